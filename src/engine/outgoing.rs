//! What subscribers are told, and who they are: endpoints with keys of their own, bodies built from the log.

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use serde_json::{Value as Json, json};
use uuid::Uuid;
use waybill_domain::{Change, GraphVersion, OrderId};
use waybill_webhooks::signing::SigningKey;

use super::core::text;
use super::{Engine, EngineError, message};
use crate::store::DbError;
use crate::store::outgoing::{Claimed, Endpoint, Filter, KeptKey, NewEndpoint, event_id};

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

impl Engine {
    /// Registers an endpoint and makes its keys.
    pub async fn register_endpoint(&self, registration: Registration) -> Result<(Endpoint, NewKeys), EngineError> {
        let (keys, shown) = make_keys();
        let new = NewEndpoint {
            url: registration.url,
            description: registration.description,
            filter: registration.filter,
            created_by: registration.by,
            keys,
        };
        Ok((self.store().register_endpoint(new).await?, shown))
    }

    /// Makes new keys for an endpoint; the old ones sign on for `overlap`.
    pub async fn rotate_keys(&self, endpoint: Uuid, overlap: TimeDelta) -> Result<Option<NewKeys>, EngineError> {
        let (keys, shown) = make_keys();
        let there = self.store().rotate_keys(endpoint, &keys, overlap).await?;
        Ok(there.then_some(shown))
    }

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
        let Some(order) = self.store().order(order_id).await? else {
            return Ok(None);
        };
        let log = self.store().log(order_id).await?;
        let Some(entry) = log.iter().find(|entry| entry.transition.revision.0 == sequence) else {
            return Ok(None);
        };
        // As the record was when this row was written: what came later is told later.
        let mut record = order.loaded.record;
        let graph = self.graph_of(GraphVersion(entry.graph_version)).await?;
        let state = graph
            .as_ref()
            .and_then(|graph| graph.state(entry.transition.to.as_str()));
        record.outcome = state.and_then(|state| Some(state.outcome?.as_str().to_owned()));
        record.failure_reason = log
            .iter()
            .filter(|row| row.transition.revision.0 <= sequence)
            .filter(|row| matches!(row.transition.change, Change::Born | Change::Moved))
            .find_map(|row| text(&row.transition.fields, "failure_reason"));
        Ok(Some(message::payload(&entry.transition, &record)))
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
