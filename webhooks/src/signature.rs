//! Standard Webhooks 1.0: what is signed, by which versions, and how old it may be; and why a callback is not believed.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};

use crate::claim::Claim;
use crate::incoming::Incoming;

const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";

/// As many signatures as a sender in rotation has keys, and some room; more only cost time.
const MAX_SIGNATURES: usize = 8;

/// The longest event id that is taken.
pub(crate) const MAX_ID: usize = 256;

/// What a right signature proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The partner's id of the event, or one that is derived from what it says.
    pub event_id: String,
    /// The id of the key that matched.
    pub key_id: String,
    /// When this attempt was signed, where the scheme says so.
    pub signed_at: Option<DateTime<Utc>>,
}

/// Why a callback was not believed. For logs and metrics only: the partner sees one answer for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// No partner has this name.
    #[error("no partner has this name")]
    UnknownPartner,
    /// A header (or the token of the address) that the scheme needs is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// It is there twice, or is not what the scheme says.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// No signature matches one of the partner's keys.
    #[error("no signature matches")]
    WrongSignature,
    /// Signed rightly, too long ago.
    #[error("the signature is too old")]
    Stale,
    /// Signed rightly, too far ahead of our clock.
    #[error("the signature is of the future")]
    Future,
    /// Signed rightly, from an address that the partner does not have.
    #[error("the address is not one of the partner's")]
    ForeignAddress,
}

impl Rejection {
    /// The reason as a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownPartner => "unknown_partner",
            Self::Missing(_) => "missing_header",
            Self::Malformed(_) => "malformed_header",
            Self::WrongSignature => "wrong_signature",
            Self::Stale => "stale",
            Self::Future => "future",
            Self::ForeignAddress => "foreign_address",
        }
    }
}

/// Reads the three headers of the standard; each has to be there exactly once.
pub(crate) fn read_standard<'a>(request: &Incoming<'a>) -> Result<Claim<'a>, Rejection> {
    let id = request.header(ID)?;
    // A full stop would let a signed id, time and body be cut at other places.
    if !is_event_id(id) || id.contains('.') {
        return Err(Rejection::Malformed(ID));
    }
    let timestamp = request.header(TIMESTAMP)?;
    let signed_at = read_seconds(timestamp).ok_or(Rejection::Malformed(TIMESTAMP))?;
    let parts = [id.as_bytes(), b".", timestamp.as_bytes(), b".", request.body];
    let mut claim = Claim {
        signed: parts.into_iter().map(Cow::Borrowed).collect(),
        signed_at: Some(signed_at),
        event_id: Some(id.to_owned()),
        ..Claim::default()
    };
    read_signatures(&mut claim, request.header(SIGNATURE)?)?;
    Ok(claim)
}

/// Takes the signatures of the versions that are known. Others belong to schemes to come, and are no error.
fn read_signatures(claim: &mut Claim<'_>, list: &str) -> Result<(), Rejection> {
    for (index, entry) in list.split(' ').filter(|entry| !entry.is_empty()).enumerate() {
        if index == MAX_SIGNATURES {
            return Err(Rejection::Malformed(SIGNATURE));
        }
        let (version, encoded) = entry.split_once(',').ok_or(Rejection::Malformed(SIGNATURE))?;
        let signatures = match version {
            "v1" => &mut claim.sha256,
            "v1a" => &mut claim.ed25519,
            _ => continue,
        };
        let signature = STANDARD.decode(encoded);
        signatures.push(signature.map_err(|_| Rejection::Malformed(SIGNATURE))?);
    }
    Ok(())
}

/// Printable, without spaces, and not longer than a key should be.
pub(crate) fn is_event_id(id: &str) -> bool {
    (1..=MAX_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whole seconds since 1970, digits only.
pub(crate) fn read_seconds(text: &str) -> Option<DateTime<Utc>> {
    let digits = (1..=11).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .then(|| text.parse().ok())
        .flatten()
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
}

#[cfg(test)]
mod tests;
