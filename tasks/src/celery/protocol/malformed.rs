//! Why a message is not a task.

use crate::celery::message::{Headers, Message};
use crate::celery::registry::Exception;

/// A message that is not a task: which rule it broke, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at {place}: {detail}")]
pub struct Malformed {
    /// A stable word for the rule, such as `body-not-json`.
    pub reason: &'static str,
    /// Where in the message, such as `headers.eta` or `body[1].order`.
    pub place: String,
    /// What was expected and what was found; never the value itself.
    pub detail: String,
    /// The task's name, where it can be told.
    pub task: Option<String>,
    /// The task's id, where it can be told.
    pub task_id: Option<String>,
}

impl Malformed {
    pub(super) fn new(reason: &'static str, place: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            reason,
            place: place.into(),
            detail: detail.into(),
            task: None,
            task_id: None,
        }
    }

    /// `expected … , found …` at a place.
    pub(super) fn wrong(reason: &'static str, place: impl Into<String>, expected: &str, found: &str) -> Self {
        Self::new(reason, place, format!("expected {expected}, found {found}"))
    }

    /// What the sender gets instead of waiting for ever: of the type that Python raises for it, be it in a worker that dies of it.
    pub fn exception(&self) -> Exception {
        let (exc_type, module) = match self.reason {
            "body-not-list" | "args-not-list" | "bad-timelimit" => ("TypeError", "builtins"),
            "body-two-elements" | "body-wrong-length" => ("ValueError", "builtins"),
            "missing-id" => ("KeyError", "builtins"),
            "bad-embed" | "embed-not-object" => ("AttributeError", "builtins"),
            "unsupported-content-type" => ("ContentDisallowed", "kombu.exceptions"),
            "body-empty"
            | "body-not-json"
            | "body-not-utf8"
            | "body-not-yaml"
            | "body-not-msgpack"
            | "body-too-large"
            | "integer-too-large"
            | "nested-too-deep"
            | "unsupported-content-encoding"
            | "unknown-compression"
            | "bad-compression" => ("DecodeError", "kombu.exceptions"),
            _ => ("InvalidTaskError", "celery.exceptions"),
        };
        Exception::new(exc_type, module, self.to_string())
    }

    /// Adds the name and the id as far as the headers tell them.
    pub(super) fn named_by(mut self, message: &Message) -> Self {
        self.task = self.task.or_else(|| text(&message.headers, "task"));
        self.task_id = self
            .task_id
            .or_else(|| text(&message.headers, "id"))
            .or_else(|| message.properties.correlation_id.clone());
        self
    }
}

fn text(headers: &Headers, name: &str) -> Option<String> {
    headers
        .get(name)?
        .as_text()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}
