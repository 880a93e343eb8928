//! Messages that the engine keeps: set aside, waiting for their time, or on the in-process transport.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;
use waybill_tasks::celery::message::{HeaderValue, Message};
use waybill_tasks::celery::transport::{Delivery, KeepError, Keeper, Rejected, Scheduled};

use super::core::Core;
use super::{Engine, EngineError, message};
use crate::store::committer::Command;
use crate::store::record::{Dead, StoredMessage};
use crate::store::{Needs, Unit};

#[async_trait]
impl Keeper for Engine {
    async fn quarantine(&self, rejected: Rejected) -> Result<(), KeepError> {
        let id = Uuid::now_v7();
        let digest = message::digest(&rejected.delivery.queue, &rejected.delivery.message);
        let command = SetAside {
            core: self.core.clone(),
            rejected,
            id,
            digest,
        };
        self.committer
            .submit(command)
            .await
            .map_err(|error| KeepError(error.to_string()))
    }

    async fn park(&self, delivery: &Delivery, until: DateTime<Utc>) -> Result<(), KeepError> {
        let id = Uuid::now_v7();
        let sealed = message::seal(&self.core.store, "parked_messages", id, &delivery.message);
        let parked = StoredMessage {
            message_id: id,
            queue: delivery.queue.clone(),
            message: sealed,
            due_at: until,
            attempts: 0,
        };
        self.committer
            .submit(Park {
                parked,
                task_id: task_id(&delivery.message).map(|id| storable(&id)),
            })
            .await
            .map_err(|error| KeepError(error.to_string()))
    }

    async fn revoke(&self, ids: &[String], until: DateTime<Utc>) -> Result<(), KeepError> {
        let ids: Vec<_> = ids.iter().map(|id| storable(id)).collect();
        let kept = self.core.store.revoke_tasks(&ids, until).await;
        kept.map_err(|error| KeepError(error.to_string()))
    }

    async fn revoked(&self) -> Result<Vec<String>, KeepError> {
        let known = self.core.store.revoked_tasks().await;
        known.map_err(|error| KeepError(error.to_string()))
    }

    async fn scheduled(&self, limit: usize) -> Result<Vec<Scheduled>, KeepError> {
        let store = &self.core.store;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let waiting = store.waiting_messages(limit).await;
        let waiting = waiting.map_err(|error| KeepError(error.to_string()))?;
        // What cannot be read is told by the relay when it is due.
        let scheduled = |it: StoredMessage| {
            let message = message::unpack(store, "parked_messages", it.message_id, &it.message).ok()?;
            let delivery = Delivery {
                queue: it.queue,
                message: message.into_message(),
                redelivered: false,
            };
            Some(Scheduled {
                until: it.due_at,
                delivery,
            })
        };
        Ok(waiting.into_iter().filter_map(scheduled).collect())
    }
}

impl Engine {
    /// Puts a message into the in-process transport.
    pub async fn send_locally(&self, queue: &str, message: &Message) -> Result<(), EngineError> {
        let packed = message::pack(&self.core.store, queue, message, self.core.store.now().await?);
        Ok(self.committer.submit(SendLocally { packed }).await?)
    }

    /// Takes messages of a queue of the in-process transport, under a lease.
    pub async fn claim_messages(&self, queue: &str, limit: i64) -> Result<Vec<StoredMessage>, EngineError> {
        Ok(self
            .committer
            .submit(Claim {
                queue: queue.to_owned(),
                limit,
            })
            .await?)
    }

    /// Ends messages of the in-process transport (true), or gives them back (false).
    pub async fn settle_message(&self, id: Uuid, done: bool) -> Result<(), EngineError> {
        Ok(self.committer.submit(Settle { id, done }).await?)
    }

    /// A message that waited has been published.
    pub async fn unpark(&self, ids: Vec<Uuid>) -> Result<(), EngineError> {
        Ok(self.committer.submit(Unpark { ids }).await?)
    }

    /// A message set aside has been sent again.
    pub async fn mark_replayed(&self, id: Uuid) -> Result<(), EngineError> {
        Ok(self.committer.submit(Replayed { id }).await?)
    }
}

struct SetAside {
    core: Arc<Core>,
    rejected: Rejected,
    id: Uuid,
    digest: Vec<u8>,
}

impl Command for SetAside {
    type Answer = ();

    fn needs(&self) -> Needs {
        Needs {
            digests: BTreeSet::from([self.digest.clone()]),
            ..Needs::default()
        }
    }

    fn run(&self, unit: &mut Unit) {
        let Rejected {
            delivery,
            reason,
            place,
            detail,
            task,
            task_id,
        } = &self.rejected;
        // Stored before, but not acknowledged: the broker hands it out again.
        if delivery.redelivered && unit.digests.contains(&self.digest) {
            return;
        }
        let dead = Dead {
            id: self.id,
            source: if self.core.outside.local { "local" } else { "amqp" }.to_owned(),
            queue: delivery.queue.clone(),
            task: task.clone(),
            task_id: task_id.clone(),
            reason: (*reason).to_owned(),
            place: place.clone(),
            detail: detail.clone(),
            size: i64::try_from(delivery.message.body.len()).unwrap_or(i64::MAX),
            message: message::seal(&self.core.store, "quarantine", self.id, &delivery.message),
            digest: self.digest.clone(),
            received_at: unit.now,
            replayed_at: None,
        };
        self.core.set_aside(unit, dead);
    }
}

/// A text from outside, as a column or as a part of JSON: PostgreSQL takes no NUL in either.
pub(super) fn storable(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}

/// What a task is revoked by.
fn task_id(message: &Message) -> Option<String> {
    let id = message.headers.get("id").and_then(HeaderValue::as_text);
    id.map(str::to_owned)
        .or_else(|| message.properties.correlation_id.clone())
}

struct Park {
    parked: StoredMessage,
    task_id: Option<String>,
}

impl Command for Park {
    type Answer = ();

    fn needs(&self) -> Needs {
        Needs::default()
    }

    fn run(&self, unit: &mut Unit) {
        unit.writes.parked.push((self.parked.clone(), self.task_id.clone()));
    }
}

struct Unpark {
    ids: Vec<Uuid>,
}

impl Command for Unpark {
    type Answer = ();

    fn needs(&self) -> Needs {
        Needs::default()
    }

    fn run(&self, unit: &mut Unit) {
        unit.writes.deleted_parked.extend(&self.ids);
    }
}

struct SendLocally {
    packed: StoredMessage,
}

impl Command for SendLocally {
    type Answer = ();

    fn needs(&self) -> Needs {
        Needs::default()
    }

    fn run(&self, unit: &mut Unit) {
        unit.writes.messages.push(self.packed.clone());
    }
}

struct Claim {
    queue: String,
    limit: i64,
}

impl Command for Claim {
    type Answer = Vec<StoredMessage>;

    fn needs(&self) -> Needs {
        Needs {
            claim: Some((self.queue.clone(), self.limit)),
            ..Needs::default()
        }
    }

    fn run(&self, unit: &mut Unit) -> Vec<StoredMessage> {
        unit.claimed.remove(&self.queue).unwrap_or_default()
    }
}

struct Settle {
    id: Uuid,
    done: bool,
}

impl Command for Settle {
    type Answer = ();

    fn needs(&self) -> Needs {
        Needs::default()
    }

    fn run(&self, unit: &mut Unit) {
        let ids = if self.done {
            &mut unit.writes.deleted_messages
        } else {
            &mut unit.writes.returned_messages
        };
        ids.push(self.id);
    }
}

struct Replayed {
    id: Uuid,
}

impl Command for Replayed {
    type Answer = ();

    fn needs(&self) -> Needs {
        Needs::default()
    }

    fn run(&self, unit: &mut Unit) {
        unit.writes.replayed.push(self.id);
    }
}
