//! A task to be sent, written exactly as Python's producer writes it.

use std::sync::LazyLock;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::repr::{python_repr, tuple_repr};
use crate::celery::message::{HeaderValue, Headers, Message, Properties};

/// A task to be sent.
#[derive(Debug, Clone)]
pub struct Signature {
    task: String,
    id: String,
    args: Vec<Value>,
    kwargs: Map<String, Value>,
    queue: String,
    reply_to: Option<String>,
    eta: Option<DateTime<Utc>>,
    expires: Option<DateTime<Utc>>,
    root_id: Option<String>,
    parent_id: Option<String>,
    ignore_result: Option<bool>,
    priority: Option<u8>,
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
            queue: "celery".to_owned(),
            reply_to: None,
            eta: None,
            expires: None,
            root_id: None,
            parent_id: None,
            ignore_result: None,
            priority: None,
            headers: Headers::new(),
        }
    }

    /// The id: one that is derived from what the task is about makes twice once.
    pub fn id(mut self, id: impl ToString) -> Self {
        self.id = id.to_string();
        self
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
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = queue.into();
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
        let embed = json!({"callbacks": null, "errbacks": null, "chain": null, "chord": null});
        let body = Value::Array(vec![
            Value::Array(self.args.clone()),
            Value::Object(self.kwargs.clone()),
            embed,
        ]);
        Message {
            exchange: String::new(),
            routing_key: self.queue.clone(),
            properties: self.properties(),
            headers: self.header_table(),
            body: body.to_string().into_bytes(),
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
            delivery_mode: Some(2),
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
        let mut headers = self.headers.clone();
        let fields = [
            ("lang", "rust".into()),
            ("task", self.task.as_str().into()),
            ("id", self.id.as_str().into()),
            ("shadow", HeaderValue::Null),
            ("eta", instant(self.eta)),
            ("expires", instant(self.expires)),
            ("group", HeaderValue::Null),
            ("group_index", HeaderValue::Null),
            ("retries", HeaderValue::Int(0)),
            (
                "timelimit",
                HeaderValue::List(vec![HeaderValue::Null, HeaderValue::Null]),
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
            ("replaced_task_nesting", HeaderValue::Int(0)),
            ("stamped_headers", HeaderValue::Null),
            ("stamps", HeaderValue::Table(Headers::new())),
        ];
        headers.extend(fields.map(|(name, value)| (name.to_owned(), value)));
        headers
    }
}

/// `gen<pid>@<host>`, as Python's producer names itself.
static ORIGIN: LazyLock<String> = LazyLock::new(|| {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() {
        "localhost"
    } else {
        host.trim()
    };
    format!("gen{}@{host}", std::process::id())
});

/// Python's `isoformat` of an instant in UTC.
pub(in crate::celery) fn isoformat(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, false)
}
