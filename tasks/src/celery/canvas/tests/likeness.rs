//! Whatever Celery 5.7 published for a canvas, we publish for it too: `recorded.json` holds its messages, field by field.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::celery::message::HeaderValue;

const RECORDED: &str = include_str!("recorded.json");

/// Ids by the order in which they appear, so that only their being the same is compared.
#[derive(Default)]
struct Names(BTreeMap<String, usize>);

impl Names {
    fn renamed(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) if uuid::Uuid::parse_str(text).is_ok() => {
                let next = self.0.len();
                json!(format!("id {}", self.0.entry(text.clone()).or_insert(next)))
            }
            Value::Array(items) => items.iter().map(|item| self.renamed(item)).collect(),
            Value::Object(entries) => {
                let kept = entries.iter().filter(|(name, value)| !is_idle(name, value));
                Value::Object(kept.map(|(name, value)| (name.clone(), self.renamed(value))).collect())
            }
            other => other.clone(),
        }
    }
}

/// What a producer leaves in its signatures and means nothing to a worker: a queue of answers that nobody reads, a flag of its own,
/// options without a value or with the usual one.
fn is_idle(name: &str, value: &Value) -> bool {
    let usual = name == "ignore_result" && *value == json!(false);
    name == "reply_to" || name == "add_to_parent" || value.is_null() || usual
}

/// Messages, sizes of chords (whose order means nothing) and what is waited for. What came before a body is known to us whole, and to
/// Python in part.
fn comparable(messages: &Value, sizes: &Value, result: &Value) -> Value {
    let mut names = Names::default();
    let messages = names.renamed(messages);
    let mut sizes = names.renamed(sizes);
    sizes.as_array_mut().unwrap().sort_by_key(Value::to_string);
    json!([messages, sizes, names.renamed(&result[0][0])])
}

fn plain(value: &HeaderValue) -> Value {
    match value {
        HeaderValue::Bool(flag) => (*flag).into(),
        HeaderValue::Int(number) => (*number).into(),
        HeaderValue::Float(number) => (*number).into(),
        HeaderValue::Text(text) => text.as_str().into(),
        HeaderValue::List(items) => items.iter().map(plain).collect(),
        HeaderValue::Table(entries) => Value::Object(
            entries
                .iter()
                .map(|(name, value)| (name.clone(), plain(value)))
                .collect(),
        ),
        _ => Value::Null,
    }
}

fn published(acts: Vec<Act>, messages: &mut Vec<Value>, sizes: &mut Vec<Value>) {
    for act in acts {
        match act {
            Act::Send(message) => {
                let ours = ["lang", "origin", "argsrepr", "kwargsrepr"];
                let headers = message
                    .headers
                    .iter()
                    .filter(|(name, _)| !ours.contains(&name.as_str()));
                let headers: serde_json::Map<_, _> =
                    headers.map(|(name, value)| (name.clone(), plain(value))).collect();
                let body: Value = serde_json::from_slice(&message.body).unwrap();
                messages.push(json!({"headers": headers, "body": body}));
            }
            Act::Chord(start, parts) => {
                sizes.push(json!([start.group_id, start.size]));
                published(parts, messages, sizes);
            }
        }
    }
}

#[test]
fn every_canvas_is_published_as_python_publishes_it() {
    let recorded: BTreeMap<String, Value> = serde_json::from_str(RECORDED).unwrap();
    let mut unlike = Vec::new();
    for (name, recorded) in recorded {
        let mut planner = Planner {
            lineage: Lineage::default(),
            default_queue: "celery",
            joining: Joining::Counting,
            run: ChordRun::New,
            now: Utc::now(),
            ids: Ids::random(),
            acts: Vec::new(),
            trail: Vec::new(),
            within: 0,
        };
        let sig = Sig::read(&recorded["signature"]).unwrap();
        let args = recorded["args"].as_array().unwrap().clone();

        let tree = planner.apply(sig, With::args(args)).unwrap();

        let (mut messages, mut sizes) = (Vec::new(), Vec::new());
        published(planner.acts, &mut messages, &mut sizes);
        let ours = comparable(&messages.into(), &sizes.into(), &tree.to_value());
        let theirs = comparable(&recorded["messages"], &recorded["sizes"], &recorded["result"]);
        if ours != theirs {
            unlike.push(format!("{name}: ours\n{ours:#}\ntheirs\n{theirs:#}"));
        }
    }

    assert!(unlike.is_empty(), "{}", unlike.join("\n\n"));
}
