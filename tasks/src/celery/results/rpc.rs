//! `rpc://`: a result is a message to the queue that the sender of the task named.

use crate::celery::message::{Headers, Message, Properties};
use crate::celery::protocol::Request;

use super::TaskResult;

/// Where a result goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyAddress {
    reply_to: String,
    correlation_id: String,
}

impl ReplyAddress {
    /// `None` if nobody asks for it.
    pub fn of(request: &Request) -> Option<Self> {
        if request.ignore_result == Some(true) {
            return None;
        }
        Self::new(
            request.reply_to.as_deref(),
            request.correlation_id.as_deref(),
            &request.id,
        )
    }

    /// The same for a message that is no task, but has an id.
    pub fn of_message(message: &Message, task_id: &str) -> Option<Self> {
        let properties = &message.properties;
        Self::new(
            properties.reply_to.as_deref(),
            properties.correlation_id.as_deref(),
            task_id,
        )
    }

    /// Of somebody who waits for a task that never came to run.
    pub fn waiting(reply_to: Option<&str>, task_id: &str) -> Option<Self> {
        Self::new(reply_to, None, task_id)
    }

    fn new(reply_to: Option<&str>, correlation_id: Option<&str>, task_id: &str) -> Option<Self> {
        Some(Self {
            reply_to: reply_to.filter(|queue| !queue.is_empty())?.to_owned(),
            correlation_id: correlation_id.unwrap_or(task_id).to_owned(),
        })
    }

    /// The message, not persistent: the queue that it goes to is not either.
    pub fn message(self, result: &TaskResult) -> Message {
        Message {
            exchange: String::new(),
            routing_key: self.reply_to,
            properties: Properties {
                content_type: Some("application/json".to_owned()),
                content_encoding: Some("utf-8".to_owned()),
                delivery_mode: Some(1),
                priority: Some(0),
                correlation_id: Some(self.correlation_id),
                ..Properties::default()
            },
            headers: Headers::new(),
            body: result.to_meta().to_string().into_bytes(),
        }
    }
}
