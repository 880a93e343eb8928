//! A task to be sent, written exactly as Python's producer writes it.

use std::sync::LazyLock;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::repr::{python_repr, tuple_repr};
use super::{Compression, Embed, TimeLimit};
use crate::celery::host::hostname;
use crate::celery::message::{HeaderValue, Headers, Message, Properties};

/// A task to be sent.
#[derive(Debug, Clone)]
pub struct Signature {
    task: String,
    id: String,
    args: Vec<Value>,
    kwargs: Map<String, Value>,
    embed: Embed,
    exchange: String,
    routing_key: String,
    shadow: Option<String>,
    reply_to: Option<String>,
    eta: Option<DateTime<Utc>>,
    expires: Option<DateTime<Utc>>,
    root_id: Option<String>,
    parent_id: Option<String>,
    group: Option<String>,
    group_index: Option<i64>,
    timelimit: TimeLimit,
    replaced_task_nesting: u32,
    ignore_result: Option<bool>,
    priority: Option<u8>,
    delivery_mode: u8,
    compression: Option<Compression>,
    stamped_headers: Vec<String>,
    stamps: Headers,
    headers: Headers,
}

impl Signature {
    /// A task by name, with a new id, for the queue `celery`.
    pub fn new(task: impl Into<String>) -> Self {
        Self {
            task: task.into(),
            id: Uuid::new_v4().to_string(),
            args: Vec::new(),
            kwargs: Map::new(),
            embed: Embed::default(),
            exchange: String::new(),
            routing_key: "celery".to_owned(),
            shadow: None,
            reply_to: None,
            eta: None,
            expires: None,
            root_id: None,
            parent_id: None,
            group: None,
            group_index: None,
            timelimit: TimeLimit::default(),
            replaced_task_nesting: 0,
            ignore_result: None,
            priority: None,
            delivery_mode: 2,
            compression: None,
            stamped_headers: Vec::new(),
            stamps: Headers::new(),
            headers: Headers::new(),
        }
    }

    /// The id: one that is derived from what the task is about makes twice once.
    pub fn id(mut self, id: impl ToString) -> Self {
        self.id = id.to_string();
        self
    }

    /// Its id.
    pub fn task_id(&self) -> &str {
        &self.id
    }

    /// Positional arguments.
    pub fn args(mut self, args: Vec<Value>) -> Self {
        self.args = args;
        self
    }

    /// Keyword arguments: a JSON object, or whatever is written as one.
    ///
    /// # Panics
    /// If they are not an object: that is a mistake in the program, not in its input.
    pub fn kwargs(mut self, kwargs: impl Serialize) -> Self {
        match serde_json::to_value(kwargs) {
            Ok(Value::Object(kwargs)) => self.kwargs = kwargs,
            other => panic!(
                "keyword arguments of {} are no object: {:?}",
                self.task,
                other.map(|_| "another value")
            ),
        }
        self
    }

    /// The queue, over the default exchange.
    pub fn queue(self, queue: impl Into<String>) -> Self {
        self.route("", queue)
    }

    /// An exchange and a routing key.
    pub fn route(mut self, exchange: impl Into<String>, routing_key: impl Into<String>) -> Self {
        self.exchange = exchange.into();
        self.routing_key = routing_key.into();
        self
    }

    /// What follows the task.
    pub fn embed(mut self, embed: Embed) -> Self {
        self.embed = embed;
        self
    }

    /// The name that logs and Flower show instead.
    pub fn shadow(mut self, shadow: impl Into<String>) -> Self {
        self.shadow = Some(shadow.into());
        self
    }

    /// The group that it belongs to, and its place in there.
    pub fn group(mut self, id: impl Into<String>, index: Option<i64>) -> Self {
        self.group = Some(id.into());
        self.group_index = index;
        self
    }

    /// How long it may run.
    pub fn timelimit(mut self, timelimit: TimeLimit) -> Self {
        self.timelimit = timelimit;
        self
    }

    /// Stamps: the names of those that are headers, and all values.
    pub fn stamps(mut self, names: Vec<String>, stamps: Headers) -> Self {
        self.stamped_headers = names;
        self.stamps = stamps;
        self
    }

    /// How often tasks replaced themselves by this one.
    pub fn replaced_task_nesting(mut self, times: u32) -> Self {
        self.replaced_task_nesting = times;
        self
    }

    /// 1: it need not survive the broker; 2, the default: it must.
    pub fn delivery_mode(mut self, mode: u8) -> Self {
        self.delivery_mode = mode;
        self
    }

    /// Compresses the body.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = Some(compression);
        self
    }

    /// The queue that the result goes to.
    pub fn reply_to(mut self, queue: impl Into<String>) -> Self {
        self.reply_to = Some(queue.into());
        self
    }

    /// Not before.
    pub fn eta(mut self, eta: DateTime<Utc>) -> Self {
        self.eta = Some(eta);
        self
    }

    /// Not after.
    pub fn expires(mut self, expires: DateTime<Utc>) -> Self {
        self.expires = Some(expires);
        self
    }

    /// The task that sends this one, and the first of its tree.
    pub fn child_of(mut self, parent_id: impl Into<String>, root_id: impl Into<String>) -> Self {
        self.parent_id = Some(parent_id.into());
        self.root_id = Some(root_id.into());
        self
    }

    /// Whether nobody wants the result.
    pub fn ignore_result(mut self, ignore: bool) -> Self {
        self.ignore_result = Some(ignore);
        self
    }

    /// 0 to 255.
    pub fn priority(mut self, priority: u8) -> Self {
        self.priority = Some(priority);
        self
    }

    /// One more header at the top level of the table, such as `traceparent`.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<HeaderValue>) -> Self {
        self.headers.insert(name.into(), value.into());
        self
    }

    /// The message, protocol 2.
    pub fn into_message(self) -> Message {
        let Embed {
            callbacks,
            errbacks,
            chain,
            chord,
        } = &self.embed;
        let embed = json!({"callbacks": callbacks, "errbacks": errbacks, "chain": chain, "chord": chord});
        let mut body = json!([self.args, self.kwargs, embed]).to_string().into_bytes();
        let mut headers = self.header_table();
        // A body that could not be compressed is sent as it is.
        if let Some((compression, small)) = self.compression.and_then(|it| Some((it, it.compress(&body).ok()?))) {
            headers.insert("compression".to_owned(), compression.content_type().into());
            body = small;
        }
        Message {
            exchange: self.exchange.clone(),
            routing_key: self.routing_key.clone(),
            properties: self.properties(),
            headers,
            body,
        }
    }

    fn properties(&self) -> Properties {
        // The broker drops what nobody took in time, as it does for Python's producer.
        let expiration = self
            .expires
            .map(|at| (at - Utc::now()).num_milliseconds().max(0).to_string());
        Properties {
            content_type: Some("application/json".to_owned()),
            content_encoding: Some("utf-8".to_owned()),
            delivery_mode: Some(self.delivery_mode),
            priority: self.priority,
            correlation_id: Some(self.id.clone()),
            reply_to: self.reply_to.clone(),
            expiration,
            message_id: Some(self.id.clone()),
            ..Properties::default()
        }
    }

    fn header_table(&self) -> Headers {
        let text = |text: &Option<String>| text.as_deref().map_or(HeaderValue::Null, HeaderValue::from);
        let instant = |at: Option<DateTime<Utc>>| at.map_or(HeaderValue::Null, |at| HeaderValue::Text(isoformat(at)));
        let stamped = match self.stamped_headers.as_slice() {
            [] => HeaderValue::Null,
            names => HeaderValue::List(names.iter().map(|name| name.as_str().into()).collect()),
        };
        let mut headers = self.headers.clone();
        let fields = [
            ("lang", "rust".into()),
            ("task", self.task.as_str().into()),
            ("id", self.id.as_str().into()),
            ("shadow", text(&self.shadow)),
            ("eta", instant(self.eta)),
            ("expires", instant(self.expires)),
            ("group", text(&self.group)),
            (
                "group_index",
                self.group_index.map_or(HeaderValue::Null, HeaderValue::Int),
            ),
            ("retries", HeaderValue::Int(0)),
            (
                "timelimit",
                HeaderValue::List(vec![seconds(self.timelimit.hard), seconds(self.timelimit.soft)]),
            ),
            ("root_id", self.root_id.as_deref().unwrap_or(&self.id).into()),
            ("parent_id", text(&self.parent_id)),
            ("argsrepr", HeaderValue::Text(tuple_repr(&self.args))),
            (
                "kwargsrepr",
                HeaderValue::Text(python_repr(&Value::Object(self.kwargs.clone()))),
            ),
            ("origin", ORIGIN.as_str().into()),
            (
                "ignore_result",
                self.ignore_result.map_or(HeaderValue::Null, HeaderValue::Bool),
            ),
            (
                "replaced_task_nesting",
                HeaderValue::Int(self.replaced_task_nesting.into()),
            ),
            ("stamped_headers", stamped),
            ("stamps", HeaderValue::Table(self.stamps.clone())),
        ];
        headers.extend(fields.map(|(name, value)| (name.to_owned(), value)));
        headers
    }
}

/// Whole seconds are an integer, as Python writes them.
fn seconds(limit: Option<f64>) -> HeaderValue {
    match limit {
        None => HeaderValue::Null,
        Some(seconds) if seconds.fract() == 0.0 && seconds.abs() < 1e15 => HeaderValue::Int(seconds as i64),
        Some(seconds) => HeaderValue::Float(seconds),
    }
}

/// `gen<pid>@<host>`, as Python's producer names itself.
static ORIGIN: LazyLock<String> = LazyLock::new(|| {
    let host = hostname();
    format!("gen{}@{host}", std::process::id())
});

/// Python's `isoformat` of an instant in UTC.
pub(in crate::celery) fn isoformat(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, false)
}
