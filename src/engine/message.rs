//! Messages as the store keeps them: whole, encrypted, and able to be sent again unchanged.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use waybill_domain::{MachineName, Outcome, Transition};
use waybill_tasks::celery::message::{Headers, Message, Properties};
use waybill_tasks::celery::protocol::Signature;

use super::core::MACHINE;
use crate::store::outgoing::event_type;
use crate::store::record::{Effect, Record, StoredMessage};
use crate::store::{CryptError, Place, Store};

/// A message as JSON: what `waybill dead show` prints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadMessage {
    /// The exchange it came through.
    pub exchange: String,
    /// The routing key it came with.
    pub routing_key: String,
    /// All properties.
    pub properties: Properties,
    /// All headers.
    pub headers: Headers,
    /// The body, base64.
    pub body: String,
}

impl From<&Message> for DeadMessage {
    fn from(message: &Message) -> Self {
        Self {
            exchange: message.exchange.clone(),
            routing_key: message.routing_key.clone(),
            properties: message.properties.clone(),
            headers: message.headers.clone(),
            body: STANDARD.encode(&message.body),
        }
    }
}

impl DeadMessage {
    /// The body's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        STANDARD.decode(&self.body).unwrap_or_default()
    }

    /// The message, to be sent again.
    pub fn into_message(self) -> Message {
        let body = self.bytes();
        let Self {
            exchange,
            routing_key,
            properties,
            headers,
            ..
        } = self;
        Message {
            exchange,
            routing_key,
            properties,
            headers,
            body,
        }
    }
}

/// The effect that is no task: an event for whoever listens.
pub(super) const PUBLISH_EVENT: &str = "publish_event";
/// Where events for other services are published.
pub const EVENTS_EXCHANGE: &str = "waybill.events";

/// The message that carries an effect: a task with ids only, or an event with states and reasons.
pub(super) fn of_effect(effect: &Effect, queue: &str) -> Message {
    match &effect.payload {
        Some(payload) if effect.name == PUBLISH_EVENT => event(effect, payload),
        Some(payload) => foreign_task(effect, payload),
        None => task(effect, queue),
    }
}

/// The queue of an effect's message in the in-process transport.
pub(super) fn queue_of<'a>(effect: &'a Effect, queue: &'a str) -> &'a str {
    let foreign = effect.payload.as_ref().and_then(|payload| payload["queue"].as_str());
    foreign.unwrap_or(queue)
}

/// A task of another service, named by the graph with its queue and arguments.
fn foreign_task(effect: &Effect, payload: &Json) -> Message {
    let named = |key: &str| payload[key].as_str().unwrap_or_default();
    Signature::new(named("task"))
        .id(effect.effect_id)
        .kwargs(payload["kwargs"].clone())
        .queue(named("queue"))
        .into_message()
}

/// What others are told of a transition: states and reasons, never an address, nor what else an instance knows.
pub(super) fn payload(
    transition: &Transition,
    machine: &MachineName,
    outcome: Option<Outcome>,
    record: Option<&Record>,
) -> Json {
    let Some(record) = record else {
        return json!({
            "instance_id": transition.order_id,
            "machine": machine,
            "sequence": transition.revision,
            "event": transition.event,
            "from": transition.from,
            "state": transition.to,
            "outcome": outcome,
            "occurred_at": transition.occurred_at,
        });
    };
    json!({
        "delivery_order_id": transition.order_id,
        "ordering_id": record.ordering_id,
        "customer_id": record.customer_id,
        "payment_id": record.payment_id,
        "attempt": record.attempt,
        "sequence": transition.revision,
        "event": transition.event,
        "from": transition.from,
        "state": transition.to,
        "outcome": outcome,
        "failure_reason": record.failure_reason,
        "occurred_at": transition.occurred_at,
    })
}

/// A CloudEvent 1.0 in structured JSON. Its id says whose and which: listeners sort and deduplicate by it.
pub(super) fn cloud_event(payload: &Json) -> Json {
    let id = ["delivery_order_id", "instance_id"]
        .iter()
        .find_map(|name| payload[*name].as_str());
    let id = id.unwrap_or_default();
    let machine = payload["machine"].as_str().unwrap_or(MACHINE);
    json!({
        "specversion": "1.0",
        "id": format!("{id}/{}", payload["sequence"]),
        "source": "waybill",
        "type": event_type(machine, payload["state"].as_str().unwrap_or_default()),
        "subject": id,
        "time": payload["occurred_at"],
        "datacontenttype": "application/json",
        "data": payload,
    })
}

fn event(effect: &Effect, payload: &Json) -> Message {
    let body = cloud_event(payload);
    let routing_key = body["type"].as_str().unwrap_or_default().to_owned();
    Message {
        exchange: EVENTS_EXCHANGE.to_owned(),
        routing_key,
        properties: Properties {
            content_type: Some("application/cloudevents+json".to_owned()),
            content_encoding: Some("utf-8".to_owned()),
            delivery_mode: Some(2),
            message_id: Some(effect.effect_id.to_string()),
            ..Properties::default()
        },
        headers: Headers::new(),
        body: body.to_string().into_bytes(),
    }
}

fn task(effect: &Effect, queue: &str) -> Message {
    let kwargs = match effect.subject {
        Some(callback) => json!({ "callback_id": callback }),
        None => json!({
            "effect_id": effect.effect_id,
            "delivery_order_id": effect.order_id,
            "sequence": effect.sequence,
        }),
    };
    Signature::new(format!("waybill.{}", effect.name))
        .id(effect.effect_id)
        .kwargs(kwargs)
        .queue(queue)
        // The effect's record says how it went. A result would say SUCCESS of a try after which there is another under this id, and
        // that one, handed out again, would pass for done.
        .ignore_result(true)
        .into_message()
}

/// A message for a table of messages.
pub(super) fn pack(store: &Store, queue: &str, message: &Message, due_at: DateTime<Utc>) -> StoredMessage {
    let message_id = Uuid::now_v7();
    StoredMessage {
        message_id,
        queue: queue.to_owned(),
        message: seal(store, "messages", message_id, message),
        due_at,
        attempts: 0,
    }
}

/// Encrypts a message for its row.
pub(super) fn seal(store: &Store, table: &'static str, id: Uuid, message: &Message) -> Vec<u8> {
    let json = serde_json::to_vec(&DeadMessage::from(message)).expect("a message is JSON");
    store.crypt().seal(
        Place {
            table,
            column: "message",
            row: &id.to_string(),
        },
        &json,
    )
}

/// Decrypts a message of a row.
pub fn unpack(store: &Store, table: &'static str, id: Uuid, blob: &[u8]) -> Result<DeadMessage, CryptError> {
    let json = store.crypt().open(
        Place {
            table,
            column: "message",
            row: &id.to_string(),
        },
        blob,
    )?;
    // Sealed by us, so as deep as the message was; processes that meet messages have the stack for it (`main`).
    let mut reader = serde_json::Deserializer::from_slice(&json);
    reader.disable_recursion_limit();
    DeadMessage::deserialize(&mut reader).map_err(|_| CryptError::Unopenable(format!("{table}.message of {id}")))
}

/// What makes the same message recognisable when a broker hands it out again.
pub(super) fn digest(queue: &str, message: &Message) -> Vec<u8> {
    // A quorum queue counts in its headers how often it has handed it out.
    let mut message = message.clone();
    message.forget_way();
    let mut sha = Sha256::new();
    sha.update(queue.as_bytes());
    sha.update(serde_json::to_vec(&DeadMessage::from(&message)).expect("a message is JSON"));
    sha.finalize().to_vec()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::TimeDelta;
    use secrecy::SecretBox;
    use waybill_tasks::celery::message::HeaderValue;

    use super::*;
    use crate::store::{Crypt, DataKey, Db};

    #[tokio::test]
    async fn a_message_is_read_back_however_deep_its_headers_are() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::sqlite(&folder.path().join("waybill.db")).await.unwrap();
        let key = DataKey {
            id: "k1".to_owned(),
            key: SecretBox::new(Box::new([7; 32])),
        };
        let store = Store::open(db, Arc::new(Crypt::new(vec![key])), TimeDelta::zero())
            .await
            .unwrap();
        let deep = (0..400).fold(HeaderValue::Null, |inner, _| {
            HeaderValue::Table(Headers::from([("n".to_owned(), inner)]))
        });
        let message = Message {
            headers: Headers::from([("deep".to_owned(), deep)]),
            ..Message::default()
        };
        let id = Uuid::now_v7();

        let sealed = seal(&store, "quarantine", id, &message);

        assert_eq!(
            unpack(&store, "quarantine", id, &sealed).unwrap().into_message(),
            message
        );
    }
}
