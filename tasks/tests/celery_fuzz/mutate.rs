//! Recorded messages of stock producers, and what chance makes of them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use waybill_tasks::celery::message::{HeaderValue, Headers, Message, Properties};

use crate::chance::Chance;

/// What stock producers have sent, one message a line; bodies are in base64.
pub(crate) fn recorded() -> Vec<Message> {
    include_str!("recorded.jsonl").lines().map(message).collect()
}

fn message(line: &str) -> Message {
    let line: Value = serde_json::from_str(line).expect("a line is JSON");
    let HeaderValue::Table(headers) = header(&line["headers"]) else {
        panic!("headers are an object");
    };
    Message {
        exchange: String::new(),
        routing_key: "celery".to_owned(),
        properties: serde_json::from_value::<Properties>(line["properties"].clone()).expect("properties"),
        headers,
        body: STANDARD.decode(line["body"].as_str().expect("a body")).expect("base64"),
    }
}

fn header(value: &Value) -> HeaderValue {
    match value {
        Value::Null => HeaderValue::Null,
        Value::Bool(flag) => HeaderValue::Bool(*flag),
        Value::Number(number) => number.as_i64().map_or_else(
            || HeaderValue::Float(number.as_f64().unwrap_or_default()),
            HeaderValue::Int,
        ),
        Value::String(text) => HeaderValue::Text(text.clone()),
        Value::Array(items) => HeaderValue::List(items.iter().map(header).collect()),
        Value::Object(entries) => HeaderValue::Table(
            entries
                .iter()
                .map(|(name, value)| (name.clone(), header(value)))
                .collect(),
        ),
    }
}

/// Texts that mean something to some reader.
const TEXTS: [&str; 22] = [
    "",
    " ",
    "null",
    "NaN",
    "-1",
    "2026-11-21T10:00:00+00:00",
    "2026-11-21T10:00:00",
    "2026-11-21",
    "9999-12-31T23:59:59.999999+14:00",
    "0000-00-00T00:00:00Z",
    "interop.add",
    "celery.map",
    "\u{0}",
    "ü\u{10ffff}",
    "application/json",
    "application/x-gzip",
    "application/zstd",
    "application/x-bz2",
    "application/x-lzma",
    "application/x-brotli",
    "application/x-python-serialize",
    "application/x-msgpack",
];
const NAMES: [&str; 24] = [
    "task",
    "id",
    "eta",
    "expires",
    "retries",
    "timelimit",
    "group",
    "group_index",
    "root_id",
    "parent_id",
    "argsrepr",
    "origin",
    "ignore_result",
    "stamps",
    "stamped_headers",
    "compression",
    "replaced_task_nesting",
    "traceparent",
    "x-death",
    "callbacks",
    "errbacks",
    "chain",
    "chord",
    "utc",
];
const INTEGERS: [i64; 10] = [0, 1, -1, 2, 255, 65_536, 1 << 31, 1 << 53, i64::MAX, i64::MIN];
const FLOATS: [f64; 8] = [
    0.0,
    -0.0,
    1.5,
    1e308,
    -1e308,
    f64::NAN,
    f64::INFINITY,
    f64::MIN_POSITIVE,
];
/// Bits of JSON, whole and broken, that are put anywhere.
const SCRAPS: [&str; 20] = [
    "[",
    "]",
    "{",
    "}",
    "\"",
    ",",
    ":",
    "null",
    "NaN",
    "-Infinity",
    "1e999",
    "123456789012345678901234567890",
    "\\ud800",
    "\u{feff}",
    "{\"__type__\": \"datetime\", \"__value__\": \"x\"}",
    "{\"__type__\": \"bytes\", \"__value__\": 1}",
    "{\"__type__\": \"uuid\"}",
    "{\"task\": 1}",
    "[[[[[[[[[[[[[[[[",
    "\"a\": \"a\",",
];

/// Makes messages.
pub(crate) struct Mutator {
    recorded: Vec<Message>,
}

impl Mutator {
    pub(crate) fn new() -> Self {
        Self { recorded: recorded() }
    }

    /// A recorded message with up to four changes; now and then one that never was a message.
    pub(crate) fn message(&self, chance: &mut Chance) -> Message {
        let mut message = chance.of(&self.recorded);
        // Each xz container wants a dictionary of megabytes: a few of them are enough.
        while message.headers.get("compression") == Some(&"application/x-lzma".into()) && !chance.once_in(30) {
            message = chance.of(&self.recorded);
        }
        let mut message = message.clone();
        for _ in 0..=chance.below(4) {
            match chance.below(8) {
                0..=2 => self.change_header(&mut message.headers, chance),
                3 => change_property(&mut message.properties, chance),
                4 | 5 => change_json(&mut message.body, chance),
                6 => change_bytes(&mut message.body, chance),
                _ => self.splice(&mut message.body, chance),
            }
        }
        if chance.once_in(50) {
            message.body = (0..chance.below(200)).map(|_| chance.next() as u8).collect();
        }
        message
    }

    fn change_header(&self, headers: &mut Headers, chance: &mut Chance) {
        let names: Vec<String> = headers.keys().cloned().collect();
        let name = match names.is_empty() || chance.once_in(4) {
            true => (*chance.of(&NAMES)).to_owned(),
            false => chance.of(&names).clone(),
        };
        match chance.below(3) {
            0 => drop(headers.remove(&name)),
            1 => drop(headers.insert(name, header_of_any_kind(chance, 3))),
            // Somebody else's value under this name.
            _ => {
                let other = chance
                    .of(&self.recorded)
                    .headers
                    .values()
                    .nth(chance.below(20))
                    .cloned();
                headers.insert(name, other.unwrap_or(HeaderValue::Null));
            }
        }
    }

    fn splice(&self, body: &mut Vec<u8>, chance: &mut Chance) {
        let other = &chance.of(&self.recorded).body;
        let from = chance.below(other.len());
        let cut = chance.below(body.len());
        body.truncate(cut);
        body.extend_from_slice(&other[from..]);
    }
}

fn header_of_any_kind(chance: &mut Chance, depth: usize) -> HeaderValue {
    match chance.below(if depth == 0 { 8 } else { 10 }) {
        0 => HeaderValue::Null,
        1 => HeaderValue::Bool(chance.once_in(2)),
        2 => HeaderValue::Int(*chance.of(&INTEGERS)),
        3 => HeaderValue::Float(*chance.of(&FLOATS)),
        4 => HeaderValue::from(*chance.of(&TEXTS)),
        5 => HeaderValue::Bytes(vec![0xff, chance.next() as u8]),
        6 => HeaderValue::Timestamp(chance.next()),
        7 => HeaderValue::Decimal(chance.next() as u8, chance.next() as u32),
        8 => HeaderValue::List(
            (0..chance.below(4))
                .map(|_| header_of_any_kind(chance, depth - 1))
                .collect(),
        ),
        _ => {
            let entries =
                (0..chance.below(4)).map(|_| ((*chance.of(&NAMES)).to_owned(), header_of_any_kind(chance, depth - 1)));
            HeaderValue::Table(entries.collect())
        }
    }
}

fn change_property(properties: &mut Properties, chance: &mut Chance) {
    let text = (!chance.once_in(4)).then(|| (*chance.of(&TEXTS)).to_owned());
    match chance.below(6) {
        0 => properties.content_type = text,
        1 => properties.content_encoding = text,
        2 => properties.correlation_id = text,
        3 => properties.reply_to = text,
        4 => properties.expiration = text,
        _ => properties.priority = Some(chance.next() as u8),
    }
}

/// Changes one node of a body that is JSON.
fn change_json(body: &mut Vec<u8>, chance: &mut Chance) {
    let Ok(mut value) = serde_json::from_slice::<Value>(body) else {
        return change_bytes(body, chance);
    };
    change_node(&mut value, chance);
    *body = value.to_string().into_bytes();
}

fn change_node(node: &mut Value, chance: &mut Chance) {
    if !chance.once_in(3) {
        match node {
            Value::Array(items) if !items.is_empty() => {
                let index = chance.below(items.len());
                return change_node(&mut items[index], chance);
            }
            Value::Object(entries) if !entries.is_empty() => {
                let index = chance.below(entries.len());
                return change_node(entries.values_mut().nth(index).expect("there are so many"), chance);
            }
            _ => {}
        }
    }
    *node = match (chance.below(9), node.take()) {
        (0, Value::Array(mut items)) => {
            items.pop();
            Value::Array(items)
        }
        (1, kept) => json!([kept, kept]),
        (2, kept) => json!({ (*chance.of(&NAMES)): kept }),
        (3, _) => json!(chance.of(&INTEGERS)),
        (4, _) => json!(chance.of(&TEXTS)),
        (5, _) => {
            json!({"__type__": chance.of(&["datetime", "date", "time", "decimal", "uuid", "bytes", "base64", "what"]), "__value__": chance.of(&TEXTS)})
        }
        (6, kept) => (0..chance.below(300)).fold(kept, |inner, _| Value::Array(vec![inner])),
        (7, _) => json!({}),
        _ => Value::Null,
    };
}

fn change_bytes(body: &mut Vec<u8>, chance: &mut Chance) {
    let at = chance.below(body.len() + 1);
    match chance.below(5) {
        0 => body.truncate(at),
        1 if at < body.len() => body[at] ^= 1 << chance.below(8),
        2 if at < body.len() => drop(body.remove(at)),
        3 => body.insert(at, chance.next() as u8),
        _ => {
            let scrap = chance.of(&SCRAPS).as_bytes();
            body.splice(at..at, scrap.iter().copied());
        }
    }
}
