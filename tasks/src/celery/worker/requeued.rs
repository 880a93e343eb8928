//! A message that comes again later: itself, with what the broker added taken off.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::celery::message::{HeaderValue, Message};
use crate::celery::protocol::delayed;
use crate::celery::protocol::{Accept, Request, isoformat};
use crate::celery::transport::Delivery;

/// As it came, for its ETA.
pub(super) fn later(delivery: &Delivery) -> Delivery {
    let mut delivery = delivery.clone();
    delivery.redelivered = false;
    let message = &mut delivery.message;
    message.headers.retain(|name, _| {
        !name.starts_with("x-death") && !name.starts_with("x-first-death-") && !name.starts_with("x-last-death-")
    });
    message.headers.remove("x-delivery-count");
    if let Some(routing_key) = delayed::stripped(&message.routing_key) {
        message.routing_key = routing_key.to_owned();
    }
    // Its clock would start anew; the `expires` header says the same and is checked by us.
    message.properties.expiration = None;
    delivery
}

/// With one more retry on its count, due at an instant; id, arguments, signatures and all other headers stay.
pub(super) fn retried(delivery: &Delivery, request: &Request, until: DateTime<Utc>) -> Delivery {
    let mut delivery = later(delivery);
    let retries = request.retries.saturating_add(1);
    let message = &mut delivery.message;
    if message.headers.contains_key("task") {
        let parent = request.parent_id.as_deref().unwrap_or(&request.id);
        let changed = [
            ("retries", HeaderValue::Int(retries.into())),
            ("eta", HeaderValue::Text(isoformat(until))),
            // As Python's: a retry is sent by the task itself.
            ("parent_id", parent.into()),
        ];
        message
            .headers
            .extend(changed.map(|(name, value)| (name.to_owned(), value)));
    } else if let Some(Value::Object(mut fields)) = body(message) {
        // Protocol 1 keeps both in its body.
        fields.insert("retries".to_owned(), retries.into());
        fields.insert("eta".to_owned(), isoformat(until).into());
        fields.insert("id".to_owned(), request.id.clone().into());
        message.body = Value::Object(fields).to_string().into_bytes();
        message.headers.remove("compression");
        message.properties.content_type = Some("application/json".to_owned());
        message.properties.content_encoding = Some("utf-8".to_owned());
    }
    message.properties.expiration = expiration(request, until);
    delivery
}

fn body(message: &Message) -> Option<Value> {
    let all = Accept {
        yaml: true,
        msgpack: true,
    };
    all.read(message).ok()
}

/// What is left of its time when it is due, for a broker that drops what nobody took. None is left off: the worker that gets it
/// tells that it has expired, the broker would not.
fn expiration(request: &Request, until: DateTime<Utc>) -> Option<String> {
    let left = (request.expires? - until).num_milliseconds();
    (left > 0).then(|| left.to_string())
}
