//! The hash chain over an order's log: a changed, lost or reordered row breaks it.
//!
//! Field values enter as digests, so that a value can later be erased without breaking the chain.

use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};
use waybill_domain::{Fields, Transition};

/// What the first row of a log follows.
pub(super) const GENESIS: [u8; 32] = [0; 32];

/// What an erased value is replaced by: this and the hex digest it had.
const ERASED: &str = "sha256:";

/// The hash of a row: SHA-256 over the hash before it and the row in canonical JSON.
pub(super) fn hash(previous: &[u8], row: &Transition, graph_version: u32) -> Vec<u8> {
    let canonical = json!([
        row.order_id.to_string(),
        row.revision.0,
        row.change.as_str(),
        row.event.as_str(),
        row.key,
        row.actor.role.as_str(),
        row.actor.id,
        row.from.as_ref().map(|state| state.as_str()),
        row.to.as_str(),
        row.rank,
        digests(&row.fields),
        row.inferred,
        graph_version,
        row.occurred_at.timestamp_micros(),
        row.at.timestamp_micros(),
    ]);
    let mut sha = Sha256::new();
    sha.update(previous);
    sha.update(canonical.to_string().as_bytes());
    sha.finalize().to_vec()
}

fn digests(fields: &Fields) -> Json {
    let digest = |value: &waybill_domain::FieldValue| match value.as_text() {
        Some(text) if text.starts_with(ERASED) && text.len() == ERASED.len() + 64 => text[ERASED.len()..].to_owned(),
        _ => hex::encode(Sha256::digest(
            serde_json::to_vec(value).expect("a field value is JSON"),
        )),
    };
    fields
        .iter()
        .map(|(name, value)| (name.to_string(), Json::String(digest(value))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// SHA-256 of JSON in canonical form: serde_json keeps keys sorted, and writes no spaces.
pub fn digest(value: &Json) -> Vec<u8> {
    Sha256::digest(value.to_string().as_bytes()).to_vec()
}
