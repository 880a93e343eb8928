//! From a message to a request, or to the reason why it is none.

use serde_json::{Map, Value};

use super::fields::{Field, json_kind, kind};
use super::malformed::Malformed;
use super::{Accept, Embed, Request, version_one};
use crate::celery::message::{HeaderValue, Headers, Message};

impl Request {
    /// Reads a task message of protocol 1 or 2, or the mix of both that old producers send. Never panics, whatever the bytes.
    pub fn decode(message: &Message) -> Result<Self, Malformed> {
        Self::decode_as(message, Accept::default())
    }

    /// The same with other content types than JSON.
    pub fn decode_as(message: &Message, accept: Accept) -> Result<Self, Malformed> {
        read(message, accept).map_err(|malformed| malformed.named_by(message))
    }
}

fn read(message: &Message, accept: Accept) -> Result<Request, Malformed> {
    let body = accept.read(message)?;
    match (message.headers.get("task"), body) {
        (None | Some(HeaderValue::Null), Value::Object(fields)) => version_one::read(message, fields),
        (None | Some(HeaderValue::Null), other) => Err(Malformed::wrong(
            "unknown-message",
            "headers.task",
            "a task name, here or in the body",
            &format!("none, and {} as body", json_kind(&other)),
        )),
        (Some(HeaderValue::Text(task)), body) if !task.is_empty() => {
            let task = task.clone();
            let (parts, body_fields) = match body {
                Value::Object(fields) if fields.contains_key("args") => version_one::parts(fields)?,
                other => (Parts::of_list(other)?, Map::new()),
            };
            with_headers(message, task, parts, body_fields)
        }
        (Some(other), _) => Err(Malformed::wrong("bad-task", "headers.task", "a task name", kind(other))),
    }
}

/// The three parts of a body.
pub(super) struct Parts {
    pub(super) args: Vec<Value>,
    pub(super) kwargs: Map<String, Value>,
    pub(super) embed: Embed,
}

impl Parts {
    fn of_list(body: Value) -> Result<Self, Malformed> {
        let elements = match body {
            Value::Array(elements) => elements,
            other => {
                return Err(Malformed::wrong(
                    "body-not-list",
                    "body",
                    "[args, kwargs, embed]",
                    json_kind(&other),
                ));
            }
        };
        let found = elements.len();
        let [args, kwargs, embed] = <[Value; 3]>::try_from(elements).map_err(|_| {
            let reason = if found == 2 {
                "body-two-elements"
            } else {
                "body-wrong-length"
            };
            Malformed::wrong(reason, "body", "[args, kwargs, embed]", &format!("{found} elements"))
        })?;
        Ok(Self {
            args: list(args, "body[0]")?,
            kwargs: object(kwargs, "body[1]")?,
            embed: Embed::read(embed)?,
        })
    }
}

pub(super) fn list(value: Value, place: &str) -> Result<Vec<Value>, Malformed> {
    match value {
        Value::Array(items) => Ok(items),
        other => Err(Malformed::wrong("args-not-list", place, "a list", json_kind(&other))),
    }
}

pub(super) fn object(value: Value, place: &str) -> Result<Map<String, Value>, Malformed> {
    match value {
        Value::Object(entries) => Ok(entries),
        other => Err(Malformed::wrong(
            "kwargs-not-object",
            place,
            "an object",
            json_kind(&other),
        )),
    }
}

impl Embed {
    fn read(value: Value) -> Result<Self, Malformed> {
        let mut entries = match value {
            Value::Null => Map::new(),
            Value::Object(entries) => entries,
            other => {
                return Err(Malformed::wrong(
                    "embed-not-object",
                    "body[2]",
                    "an object",
                    json_kind(&other),
                ));
            }
        };
        Self::from_fields(&mut entries, "body[2]")
    }

    /// Each of the four is null, a signature (the chord) or a list of signatures (the others).
    pub(super) fn from_fields(entries: &mut Map<String, Value>, place: &str) -> Result<Self, Malformed> {
        let mut signatures = |name: &str| {
            let value = entries.remove(name).unwrap_or_default();
            let good = match &value {
                Value::Null => true,
                Value::Object(_) => name == "chord",
                Value::Array(items) => name != "chord" && items.iter().all(Value::is_object),
                _ => false,
            };
            let expected = if name == "chord" {
                "a signature or null"
            } else {
                "a list of signatures or null"
            };
            if good {
                return Ok(value);
            }
            let place = format!("{place}.{name}");
            Err(Malformed::wrong("bad-embed", place, expected, json_kind(&value)))
        };
        Ok(Self {
            callbacks: signatures("callbacks")?,
            errbacks: signatures("errbacks")?,
            chain: signatures("chain")?,
            chord: signatures("chord")?,
        })
    }
}

/// Headers win over the fields of a body that carries them too.
fn with_headers(
    message: &Message,
    task: String,
    parts: Parts,
    mut body: Map<String, Value>,
) -> Result<Request, Malformed> {
    let mut field =
        |name: &'static str| Field::of(&message.headers, name).or(|| Field::from_json(name, body.remove(name)));
    let id = field("id").text("bad-id")?.filter(|id| !id.is_empty());
    let Some(id) = id else {
        return Err(Malformed::wrong("missing-id", "headers.id", "the task's id", "none"));
    };
    Ok(Request {
        id,
        task,
        shadow: field("shadow").shown(),
        args: parts.args,
        kwargs: parts.kwargs,
        embed: parts.embed,
        eta: field("eta").instant("bad-eta")?,
        expires: field("expires").instant("bad-expires")?,
        retries: field("retries").count("bad-retries")?,
        timelimit: field("timelimit").timelimit()?,
        group: field("group").text("bad-header")?,
        group_index: field("group_index").integer("bad-header")?,
        root_id: field("root_id").text("bad-header")?,
        parent_id: field("parent_id").text("bad-header")?,
        origin: field("origin").text("bad-header")?,
        ignore_result: field("ignore_result").flag("bad-header")?,
        argsrepr: field("argsrepr").shown(),
        kwargsrepr: field("kwargsrepr").shown(),
        replaced_task_nesting: field("replaced_task_nesting").count("bad-header")?,
        stamped_headers: field("stamped_headers").texts("bad-header")?,
        stamps: field("stamps").table("bad-header")?,
        priority: message.properties.priority,
        reply_to: message.properties.reply_to.clone(),
        correlation_id: message.properties.correlation_id.clone(),
        properties: message.properties.clone(),
        headers: others(&message.headers),
    })
}

/// Headers that are no fields of a request.
fn others(headers: &Headers) -> Headers {
    let others = headers.iter().filter(|(name, _)| !is_field(name));
    others.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Each message has some twenty headers: compared by length first, nearly none is compared twice.
fn is_field(header: &str) -> bool {
    matches!(
        header,
        "argsrepr"
            | "eta"
            | "expires"
            | "group"
            | "group_index"
            | "id"
            | "ignore_result"
            | "kwargsrepr"
            | "origin"
            | "parent_id"
            | "replaced_task_nesting"
            | "retries"
            | "root_id"
            | "shadow"
            | "stamped_headers"
            | "stamps"
            | "task"
            | "timelimit"
    )
}

#[cfg(test)]
mod tests;
