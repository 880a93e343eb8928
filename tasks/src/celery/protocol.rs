//! Celery's task messages, protocols 1 and 2: strict in what is read, exact in what is written.

mod accept;
mod compression;
mod decode;
pub mod delayed;
mod fields;
mod json;
mod malformed;
mod msgpack;
mod repr;
mod signature;
mod typed;
mod version_one;
mod yaml;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::message::{HeaderValue, Headers, Properties};

pub use accept::Accept;
pub use compression::Compression;
pub use malformed::Malformed;
pub use repr::python_repr;
pub use signature::Signature;
pub use typed::{Typed, Unsupported, plain};

pub(super) use json::parse as parse_json;
pub(super) use repr::tuple_repr;
pub(super) use signature::isoformat;

/// The longest body that is read; RabbitMQ's own limit is set to the same.
pub const MAX_BODY: usize = 16 * 1024 * 1024;

/// A task message that was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The task's id. Protocol 1 allows messages without one: they get an id derived from their body.
    pub id: String,
    /// The task's name.
    pub task: String,
    /// The name that logs and Flower show instead.
    pub shadow: Option<String>,
    /// Positional arguments.
    pub args: Vec<Value>,
    /// Keyword arguments.
    pub kwargs: Map<String, Value>,
    /// What is to follow the task.
    pub embed: Embed,
    /// Not before.
    pub eta: Option<DateTime<Utc>>,
    /// Not after.
    pub expires: Option<DateTime<Utc>>,
    /// How often it was retried.
    pub retries: u32,
    /// How long it may run.
    pub timelimit: TimeLimit,
    /// The group it belongs to.
    pub group: Option<String>,
    /// Its place in there.
    pub group_index: Option<i64>,
    /// The first task of its tree.
    pub root_id: Option<String>,
    /// The task that sent it.
    pub parent_id: Option<String>,
    /// Who sent it, such as `gen24334@host`.
    pub origin: Option<String>,
    /// `None` leaves it to the task.
    pub ignore_result: Option<bool>,
    /// The arguments as Python shows them.
    pub argsrepr: Option<String>,
    /// The same for keyword arguments.
    pub kwargsrepr: Option<String>,
    /// How often tasks replaced themselves by this one.
    pub replaced_task_nesting: u32,
    /// The names of its stamps.
    pub stamped_headers: Vec<String>,
    /// Its stamps, each text or a list.
    pub stamps: Headers,
    /// 0 to 255, where the message has one.
    pub priority: Option<u8>,
    /// The queue that wants the result.
    pub reply_to: Option<String>,
    /// What the sender finds its result by.
    pub correlation_id: Option<String>,
    /// All of the message's AMQP properties, for what Celery has no use for, such as `app_id`.
    pub properties: Properties,
    /// Every header without a field of its own here, such as `traceparent`, `periodic_task_name` or `x-death`.
    pub headers: Headers,
}

impl Request {
    /// What a tracer goes by, for whatever this task sends: W3C trace context, baggage, and Sentry's own.
    pub fn trace_headers(&self) -> impl Iterator<Item = (&str, HeaderValue)> {
        let ours = |name: &str| ["traceparent", "tracestate", "baggage"].contains(&name) || name.starts_with("sentry-");
        let found = self.headers.iter().filter(move |(name, _)| ours(name));
        found.map(|(name, value)| (name.as_str(), value.clone()))
    }
}

/// Signatures that follow a task, kept as they came.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Embed {
    /// On success.
    pub callbacks: Value,
    /// On failure.
    pub errbacks: Value,
    /// The rest of the chain, reversed.
    pub chain: Value,
    /// The body of the chord that this task is in the header of.
    pub chord: Value,
}

/// Seconds that a task may run. On the wire the hard limit comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TimeLimit {
    /// Killed after.
    pub hard: Option<f64>,
    /// Told to stop after.
    pub soft: Option<f64>,
}
