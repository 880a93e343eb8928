//! A message that comes again later: itself, with what the broker added taken off.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::celery::message::HeaderValue;
use crate::celery::protocol::{Request, isoformat};
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
        message
            .headers
            .insert("retries".to_owned(), HeaderValue::Int(retries.into()));
        message
            .headers
            .insert("eta".to_owned(), HeaderValue::Text(isoformat(until)));
    } else if let Ok(Value::Object(mut fields)) = serde_json::from_slice(&message.body) {
        // Protocol 1 keeps both in its body.
        fields.insert("retries".to_owned(), retries.into());
        fields.insert("eta".to_owned(), isoformat(until).into());
        fields.insert("id".to_owned(), request.id.clone().into());
        message.body = Value::Object(fields).to_string().into_bytes();
    }
    delivery
}
