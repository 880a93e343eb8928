//! The message of one task, with everything that its signature's options say.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use super::sig::listed;
use crate::celery::message::{HeaderValue, Headers, Message};
use crate::celery::protocol::{Request, Signature, isoformat};

/// Whose child is sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Lineage {
    /// The first task of the tree.
    pub(super) root_id: Option<String>,
    /// The task that sends.
    pub(super) parent_id: Option<String>,
    /// What a tracer goes by.
    pub(super) trace: Headers,
}

impl Lineage {
    /// A child of a task.
    pub(super) fn of(request: &Request) -> Self {
        let root_id = request.root_id.clone().unwrap_or_else(|| request.id.clone());
        let trace = request.trace_headers().map(|(name, value)| (name.to_owned(), value));
        Self {
            root_id: Some(root_id),
            parent_id: Some(request.id.clone()),
            trace: trace.collect(),
        }
    }
}

/// One task, ready to be sent.
#[derive(Debug, Clone)]
pub(super) struct Single {
    pub(super) task: String,
    pub(super) id: String,
    pub(super) args: Vec<Value>,
    pub(super) kwargs: Map<String, Value>,
    pub(super) options: Map<String, Value>,
}

impl Single {
    /// The message, protocol 2.
    pub(super) fn message(self, lineage: &Lineage, default_queue: &str, now: DateTime<Utc>) -> Message {
        let option = |name: &str| self.options.get(name).filter(|value| !value.is_null());
        let text = |name: &str| option(name).and_then(Value::as_str).map(str::to_owned);
        let root = lineage
            .root_id
            .clone()
            .or_else(|| text("root_id"))
            .unwrap_or_else(|| self.id.clone());
        let parent = lineage.parent_id.clone().or_else(|| text("parent_id"));
        let body = json!([self.args, self.kwargs, embed(&self.options)]);
        let mut signature = Signature::new(&self.task)
            .id(&self.id)
            .args(self.args.clone())
            .kwargs(&self.kwargs);
        signature = signature
            .queue(queue(&self.options, default_queue))
            .reply_to(text("reply_to").unwrap_or_default());
        if let Some(expires) = option("expires").and_then(|value| instant(value, now)) {
            signature = signature.expires(expires);
        }
        let mut message = signature.into_message();
        message.body = body.to_string().into_bytes();
        if let Some(exchange) = text("exchange").filter(|name| !name.is_empty() && text("queue").is_none()) {
            message.exchange = exchange;
        }
        let properties = &mut message.properties;
        properties.priority = option("priority")
            .and_then(Value::as_u64)
            .and_then(|level| u8::try_from(level).ok());
        properties.delivery_mode = Some(delivery_mode(option("delivery_mode")));
        let mut set = |name: &str, value: Value| message.headers.insert(name.to_owned(), header(&value));
        set("root_id", root.into());
        set("parent_id", parent.into());
        set("eta", eta(&self.options, now).map(isoformat).into());
        set("timelimit", json!([option("time_limit"), option("soft_time_limit")]));
        for (name, option_name) in [
            ("group", "group_id"),
            ("group_index", "group_index"),
            ("shadow", "shadow"),
            ("ignore_result", "ignore_result"),
            ("stamped_headers", "stamped_headers"),
        ] {
            set(name, option(option_name).cloned().unwrap_or_default());
        }
        for name in ["retries", "replaced_task_nesting"] {
            set(name, option(name).cloned().unwrap_or_else(|| 0.into()));
        }
        set("stamps", stamps(&self.options));
        message.headers.extend(lineage.trace.clone());
        if let Some(Value::Object(more)) = option("headers") {
            message
                .headers
                .extend(more.iter().map(|(name, value)| (name.clone(), header(value))));
        }
        message
    }
}

/// What is to follow the task.
fn embed(options: &Map<String, Value>) -> Value {
    let list = |name: &str| Some(listed(options.get(name))).filter(|list| !list.is_empty());
    json!({
        "callbacks": list("link"),
        "errbacks": list("link_error"),
        "chain": list("chain"),
        "chord": options.get("chord"),
    })
}

/// Where it goes over the default exchange: Python names the queue, or the queue's routing key.
pub(super) fn queue(options: &Map<String, Value>, default: &str) -> String {
    let named = ["queue", "routing_key"]
        .iter()
        .find_map(|name| options.get(*name).and_then(Value::as_str));
    named.unwrap_or(default).to_owned()
}

fn eta(options: &Map<String, Value>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let countdown = options
        .get("countdown")
        .filter(|value| value.as_f64().is_some_and(|seconds| seconds != 0.0));
    countdown
        .or_else(|| options.get("eta"))
        .and_then(|value| instant(value, now))
}

/// Seconds from now, or an instant as text; kombu may have wrapped it.
fn instant(value: &Value, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match value {
        Value::Number(seconds) => {
            let micros = seconds.as_f64().filter(|seconds| seconds.abs() < 1e11)? * 1e6;
            #[expect(clippy::cast_possible_truncation, reason = "bounded above")]
            now.checked_add_signed(TimeDelta::microseconds(micros as i64))
        }
        Value::String(text) => {
            let naive = || text.parse::<chrono::NaiveDateTime>().ok().map(|at| at.and_utc());
            DateTime::parse_from_rfc3339(text)
                .map(|at| at.to_utc())
                .ok()
                .or_else(naive)
        }
        Value::Object(typed) => instant(typed.get("__value__")?, now),
        _ => None,
    }
}

/// Persistent, unless a producer wants it otherwise.
fn delivery_mode(option: Option<&Value>) -> u8 {
    match option {
        Some(Value::Number(mode)) if mode.as_u64() == Some(1) => 1,
        Some(Value::String(mode)) if mode == "transient" => 1,
        _ => 2,
    }
}

/// A signature has its stamps among its options, and their names beside them.
fn stamps(options: &Map<String, Value>) -> Value {
    let names = listed(options.get("stamped_headers"));
    let stamp = |name: &Value| Some((name.as_str()?.to_owned(), options.get(name.as_str()?)?.clone()));
    Value::Object(names.iter().filter_map(stamp).collect())
}

/// JSON as a header.
fn header(value: &Value) -> HeaderValue {
    match value {
        Value::Null => HeaderValue::Null,
        Value::Bool(flag) => HeaderValue::Bool(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => HeaderValue::Int(integer),
            None => number.as_f64().map_or(HeaderValue::Null, HeaderValue::Float),
        },
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
