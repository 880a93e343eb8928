//! What the sender of a task is told: Celery's result document, over `rpc://`.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::celery::message::{Headers, Message, Properties};
use crate::celery::protocol::Request;
use crate::celery::protocol::isoformat;

/// Where a result goes.
pub(super) struct ResultAddress {
    reply_to: String,
    correlation_id: String,
    pub(super) task_id: String,
    group_id: Option<String>,
    parent_id: Option<String>,
}

impl ResultAddress {
    /// `None` if nobody asks for it.
    pub(super) fn of(request: &Request) -> Option<Self> {
        if request.ignore_result == Some(true) {
            return None;
        }
        Some(Self {
            reply_to: request.reply_to.clone().filter(|queue| !queue.is_empty())?,
            correlation_id: request.correlation_id.clone().unwrap_or_else(|| request.id.clone()),
            task_id: request.id.clone(),
            group_id: request.group.clone(),
            parent_id: request.parent_id.clone(),
        })
    }

    /// The same for a message that is no task, but has an id.
    pub(super) fn of_message(message: &Message, task_id: &str) -> Option<Self> {
        let properties = &message.properties;
        Some(Self {
            reply_to: properties.reply_to.clone().filter(|queue| !queue.is_empty())?,
            correlation_id: properties.correlation_id.clone().unwrap_or_else(|| task_id.to_owned()),
            task_id: task_id.to_owned(),
            group_id: None,
            parent_id: None,
        })
    }
}

/// How a task ended, in Celery's words.
pub(super) struct Outcome {
    status: &'static str,
    result: Value,
    traceback: Option<String>,
}

impl Outcome {
    pub(super) fn success(result: Value) -> Self {
        Self {
            status: "SUCCESS",
            result,
            traceback: None,
        }
    }

    pub(super) fn failure(exc_type: &str, exc_module: &str, message: &str) -> Self {
        Self::raised("FAILURE", exc_type, exc_module, message)
    }

    pub(super) fn retry(cause: &str) -> Self {
        Self::raised("RETRY", "RuntimeError", "builtins", cause)
    }

    pub(super) fn expired() -> Self {
        Self {
            traceback: None,
            ..Self::raised("REVOKED", "TaskRevokedError", "celery.exceptions", "expired")
        }
    }

    fn raised(status: &'static str, exc_type: &str, exc_module: &str, message: &str) -> Self {
        Self {
            status,
            result: json!({"exc_type": exc_type, "exc_message": [message], "exc_module": exc_module}),
            // Python prints it above the exception; a worker in another language has its last line only.
            traceback: Some(format!("{exc_module}.{exc_type}: {message}\n")),
        }
    }

    pub(super) fn status(&self) -> &'static str {
        self.status
    }

    pub(super) fn into_message(self, address: ResultAddress, now: DateTime<Utc>) -> Message {
        let done = (self.status != "RETRY").then(|| isoformat(now));
        let mut meta = json!({
            "status": self.status,
            "result": self.result,
            "traceback": self.traceback,
            "children": [],
            "date_done": done,
            "task_id": address.task_id,
        });
        let more = [("group_id", address.group_id), ("parent_id", address.parent_id)];
        for (name, value) in more.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            meta[name] = value.into();
        }
        Message {
            exchange: String::new(),
            routing_key: address.reply_to,
            properties: Properties {
                content_type: Some("application/json".to_owned()),
                content_encoding: Some("utf-8".to_owned()),
                delivery_mode: Some(1),
                priority: Some(0),
                correlation_id: Some(address.correlation_id),
                ..Properties::default()
            },
            headers: Headers::new(),
            body: meta.to_string().into_bytes(),
        }
    }
}
