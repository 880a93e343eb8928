//! What subscribers are told, and who they are: endpoints with keys of their own, bodies built from the log.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use serde_json::{Value as Json, json};
use uuid::Uuid;
use waybill_domain::{Change, Graph, GraphVersion, OrderId};
use waybill_webhooks::signing::SigningKey;

use super::core::text;
use super::{Engine, message};
use crate::outgoing::Guard;
use crate::store::outgoing::{Claimed, Endpoint, Filter, KeptKey, NewEndpoint, event_id, event_type};
use crate::store::{DbError, Store};

/// Characters of a description.
const MAX_DESCRIPTION: usize = 500;
/// Characters of a customer's id.
const MAX_ID: usize = 255;
/// How long old keys sign beside new ones, where nobody says otherwise.
pub const OVERLAP_HOURS: i64 = 24;
const MAX_OVERLAP_HOURS: i64 = 7 * 24;

/// What the owner of an endpoint is shown once.
#[derive(Debug)]
pub struct NewKeys {
    /// Shared secret of `v1` signatures.
    pub secret: SecretString,
    /// Public key of `v1a` signatures.
    pub public_key: String,
}

/// Who wants to hear of what.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Where.
    pub url: String,
    /// For people.
    pub description: String,
    /// What.
    pub filter: Filter,
    /// Who says so.
    pub by: String,
}

/// Something about a subscription that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} must be {expected}")]
pub struct Wrong {
    /// Which field.
    pub field: &'static str,
    /// What is expected of it.
    pub expected: String,
}

/// Registers an endpoint and makes its keys.
pub async fn register(store: &Store, registration: Registration) -> Result<(Endpoint, NewKeys), DbError> {
    let (keys, shown) = make_keys();
    let new = NewEndpoint {
        url: registration.url,
        description: registration.description,
        filter: registration.filter,
        created_by: registration.by,
        keys,
    };
    Ok((store.register_endpoint(new).await?, shown))
}

/// Makes new keys for an endpoint; the old ones sign on for `overlap`. None where there is no such endpoint.
pub async fn rotate(store: &Store, endpoint: Uuid, overlap: TimeDelta) -> Result<Option<NewKeys>, DbError> {
    let (keys, shown) = make_keys();
    let there = store.rotate_keys(endpoint, &keys, overlap).await?;
    Ok(there.then_some(shown))
}

/// Whether events may be sent there.
pub fn check_url(guard: &Guard, url: &str) -> Result<(), Wrong> {
    let checked = guard.check(url);
    checked.map(drop).map_err(|refused| wrong("url", refused.to_string()))
}

/// Whether that can be kept.
pub fn check_description(description: &str) -> Result<(), Wrong> {
    if description.chars().count() > MAX_DESCRIPTION || description.contains('\0') {
        return Err(wrong(
            "description",
            format!("at most {MAX_DESCRIPTION} characters without NUL"),
        ));
    }
    Ok(())
}

/// Whether it can ever match: a word that nothing matches would look like a subscription.
pub fn check_filter(graphs: &[Arc<Graph>], filter: &Filter) -> Result<(), Wrong> {
    let types_of = |graph: &Arc<Graph>| {
        let states = graph.states().map(|state| state.name.as_str());
        let types = states.map(|state| event_type(graph.machine().as_str(), state));
        types.collect::<Vec<_>>()
    };
    let types: BTreeSet<String> = graphs.iter().flat_map(types_of).collect();
    let named = filter.event_types.as_deref();
    if named.is_some_and(|named| named.is_empty() || named.iter().any(|name| !types.contains(name))) {
        let known: Vec<_> = types.into_iter().collect();
        return Err(wrong("event_types", format!("some of {}", known.join(", "))));
    }
    let machine = filter.machine.as_deref();
    if machine.is_some_and(|machine| !graphs.iter().any(|graph| *graph.machine() == *machine)) {
        return Err(wrong("machine", "a machine that has a published version".to_owned()));
    }
    let id = filter.customer_id.as_deref();
    if id.is_some_and(|id| id.is_empty() || id.chars().count() > MAX_ID || id.contains('\0')) {
        return Err(wrong("customer_id", format!("text of 1 to {MAX_ID} characters")));
    }
    Ok(())
}

/// How long old keys sign beside new ones.
pub fn check_overlap(overlap: TimeDelta) -> Result<TimeDelta, Wrong> {
    let fits = (0..=MAX_OVERLAP_HOURS * 3600).contains(&overlap.num_seconds());
    let fits = fits.then_some(overlap);
    fits.ok_or_else(|| wrong("overlap_hours", format!("0 to {MAX_OVERLAP_HOURS}")))
}

fn wrong(field: &'static str, expected: String) -> Wrong {
    Wrong { field, expected }
}

impl Engine {
    /// The id by which receivers know an event again, and its body. The same each time it is asked for, because a log row
    /// never changes; nothing where the log has no such row.
    pub(crate) async fn event_of(&self, claimed: &Claimed) -> Result<Option<(String, Vec<u8>)>, DbError> {
        let Some(order_id) = claimed.order_id else {
            let id = format!("test/{}", claimed.delivery_id);
            let body = test_event(&id, &claimed.event_type, claimed.created_at);
            return Ok(Some((id, body.to_string().into_bytes())));
        };
        let payload = self.payload_of(order_id, claimed.sequence).await?;
        let body = payload.map(|payload| message::cloud_event(&payload).to_string().into_bytes());
        Ok(body.map(|body| (event_id(order_id, claimed.sequence), body)))
    }

    async fn payload_of(&self, order_id: OrderId, sequence: i64) -> Result<Option<Json>, DbError> {
        let Some((mut order, _)) = self.store().instance(order_id).await? else {
            return Ok(None);
        };
        let log = self.store().log(order_id).await?;
        let Some(entry) = log.iter().find(|entry| entry.transition.revision.0 == sequence) else {
            return Ok(None);
        };
        // As the record was when this row was written: what came later is told later.
        let graph = self.graph_of(&order.machine, GraphVersion(entry.graph_version)).await?;
        let state = graph
            .as_ref()
            .and_then(|graph| graph.state(entry.transition.to.as_str()));
        let outcome = state.and_then(|state| state.outcome);
        if let Some(record) = &mut order.record {
            record.failure_reason = log
                .iter()
                .filter(|row| row.transition.revision.0 <= sequence)
                .filter(|row| matches!(row.transition.change, Change::Born | Change::Moved))
                .find_map(|row| text(&row.transition.fields, "failure_reason"));
        }
        let record = order.record.as_ref();
        Ok(Some(message::payload(
            &entry.transition,
            &order.machine,
            outcome,
            record,
        )))
    }
}

fn test_event(id: &str, event_type: &str, at: DateTime<Utc>) -> Json {
    json!({
        "specversion": "1.0",
        "id": id,
        "source": "waybill",
        "type": event_type,
        "time": at,
        "datacontenttype": "application/json",
        "data": {},
    })
}

fn make_keys() -> (Vec<KeptKey>, NewKeys) {
    let (shared, pair) = (SigningKey::shared(), SigningKey::pair());
    let shown = NewKeys {
        secret: shared.reveal(),
        public_key: pair.public().unwrap_or_default(),
    };
    let keep = |key: &SigningKey| KeptKey {
        scheme: key.scheme(),
        secret: key.reveal(),
        public_key: key.public(),
    };
    (vec![keep(&shared), keep(&pair)], shown)
}
