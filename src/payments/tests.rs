//! What payment events say, what is wrong with them, and what becomes of them.

mod consuming;
mod forms;
mod mutations;
mod refusals;

use serde_json::Value as Json;
use waybill_tasks::celery::message::{Message, Properties};

const PLAIN: &str = include_str!("../../tests/fixtures/payments/plain.json");
const STRUCTURED: &str = include_str!("../../tests/fixtures/payments/structured.json");
const DATA: &str = include_str!("../../tests/fixtures/payments/data.json");
const E_BOOKS: &str = include_str!("../../tests/fixtures/payments/e-books.json");
const REFUND: &str = include_str!("../../tests/fixtures/payments/refund.json");

fn json(text: &str) -> Json {
    serde_json::from_str(text).unwrap()
}

fn message(content_type: &str, body: impl Into<Vec<u8>>) -> Message {
    Message {
        exchange: "payments".to_owned(),
        routing_key: "payment.succeeded".to_owned(),
        properties: Properties {
            content_type: Some(content_type.to_owned()),
            content_encoding: Some("utf-8".to_owned()),
            ..Properties::default()
        },
        body: body.into(),
        ..Message::default()
    }
}

fn plain(body: impl Into<Vec<u8>>) -> Message {
    message("application/json", body)
}

fn structured(body: impl Into<Vec<u8>>) -> Message {
    message("application/cloudevents+json; charset=UTF-8", body)
}

/// A binary CloudEvent with the attributes of the structured one.
fn binary(prefix: &str, body: impl Into<Vec<u8>>) -> Message {
    let attributes = [
        ("specversion", "1.0"),
        ("id", "evt_1"),
        ("source", "/payments"),
        ("type", "com.example.payment.succeeded"),
        ("time", "2026-11-20T11:00:00.123456Z"),
    ];
    let headers = attributes.map(|(name, value)| (format!("{prefix}{name}"), value.into()));
    Message {
        headers: headers.into(),
        ..plain(body)
    }
}

/// Puts a value at a JSON pointer, or takes it away.
fn put(document: &mut Json, pointer: &str, value: Option<Json>) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).unwrap();
    match (parent, value) {
        (Json::Object(fields), Some(value)) => drop(fields.insert(name.to_owned(), value)),
        (Json::Object(fields), None) => assert!(fields.remove(name).is_some(), "nothing at {pointer}"),
        (Json::Array(elements), Some(value)) => elements[name.parse::<usize>().unwrap()] = value,
        (other, _) => panic!("nothing to change at {pointer} of {other}"),
    }
}
