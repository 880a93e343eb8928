//! Tasks for other services: published under an id that is derived from the effect, so that telling twice is telling once.

use std::time::Duration;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::Effects;
use super::patience::pause;
use crate::celery::message::{HeaderValue, Message};
use crate::celery::protocol::Signature;
use crate::celery::transport::{PublishError, Routing};
use crate::orders::{Finish, Work};

/// A queue that others have to make: asked for again at leisure.
const QUEUE_MISSING: Duration = Duration::from_secs(30);

/// A task of another service.
#[derive(Debug)]
pub(super) struct Outside<'a> {
    pub(super) task: &'a str,
    pub(super) queue: &'a str,
    /// What the id is derived with. Fixed, so that another task name in the settings tells nothing twice.
    pub(super) purpose: &'static str,
    pub(super) kwargs: Map<String, Value>,
}

impl Effects {
    /// Hands a task over; done when the broker has it.
    pub(super) async fn hand_over(&self, work: &Work, outside: Outside<'_>) -> Finish {
        let queue = outside.queue;
        match self
            .transport
            .publish(message(work, &outside), Routing::Mandatory)
            .await
        {
            Ok(()) => Finish::Done,
            Err(error @ PublishError::Unroutable { .. }) => {
                let cause = format!("queue {queue} is missing: {error}");
                Finish::Retry {
                    after: QUEUE_MISSING,
                    cause,
                    counts: false,
                }
            }
            Err(error) => Finish::Retry {
                after: pause(work.attempts),
                cause: error.to_string(),
                counts: true,
            },
        }
    }
}

fn message(work: &Work, outside: &Outside<'_>) -> Message {
    let id = Uuid::new_v5(&work.effect_id, outside.purpose.as_bytes());
    let parent = work.effect_id.to_string();
    let mut message = Signature::new(outside.task)
        .id(id)
        .kwargs(&outside.kwargs)
        .queue(outside.queue)
        .child_of(parent.clone(), parent)
        .ignore_result(true)
        .into_message();
    // Monitors show this header to everybody, and the arguments hold e-mail addresses and confirmation links.
    message
        .headers
        .insert("kwargsrepr".to_owned(), HeaderValue::from("{...}"));
    message
}
