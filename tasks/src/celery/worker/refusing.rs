//! Messages that no task is made of: kept whole with the reason, and the sender told what Python would have told.

use std::sync::Arc;

use tracing::warn;

use super::{Unstored, Worker};
use crate::celery::protocol::{Malformed, Request};
use crate::celery::registry::Exception;
use crate::celery::results::rpc::ReplyAddress;
use crate::celery::results::{State, TaskResult};
use crate::celery::transport::{Delivery, Rejected};

impl<C: Send + Sync + 'static> Worker<C> {
    pub(super) async fn refuse(&self, delivery: &Delivery, malformed: Malformed) -> Result<(), Unstored> {
        let (id, exception) = (malformed.task_id.clone(), malformed.exception());
        self.set_aside(delivery, malformed).await?;
        match id {
            Some(id) => self.fail_unread(delivery, &id, &exception).await,
            None => Ok(()),
        }
    }

    pub(super) async fn refuse_unknown(&self, delivery: &Delivery, request: &Arc<Request>) -> Result<(), Unstored> {
        let place = match delivery.message.headers.contains_key("task") {
            true => "headers.task",
            false => "body.task",
        };
        let detail = "expected the name of a task of this worker, found another";
        let rejected = rejected_by(request, "unknown-task", place.to_owned(), detail.to_owned());
        self.set_aside(delivery, rejected).await?;
        let exception = Exception::celery("NotRegistered", request.task.as_str());
        metrics::counter!("tasks_total", "task" => "unknown", "outcome" => "FAILURE").increment(1);
        let result = self.raised(request, State::Failure, &exception);
        if request.ignore_result != Some(true) {
            self.store(&result).await?;
            if let Some(address) = ReplyAddress::of(request) {
                self.reply(address, &result).await;
            }
        }
        self.follow_refusal(request, &exception, &result).await
    }

    /// Without a request: only the id, and the queue that the message names for answers.
    async fn fail_unread(&self, delivery: &Delivery, id: &str, exception: &Exception) -> Result<(), Unstored> {
        let result = TaskResult::raised(id, State::Failure, exception, (self.clock)());
        self.store(&result).await?;
        if let Some(address) = ReplyAddress::of_message(&delivery.message, id) {
            self.reply(address, &result).await;
        }
        Ok(())
    }

    /// Stores the message whole before anything else happens to it.
    pub(super) async fn set_aside(&self, delivery: &Delivery, why: Malformed) -> Result<(), Unstored> {
        let Malformed {
            reason,
            place,
            detail,
            task,
            task_id,
        } = why;
        warn!(queue = %delivery.queue, reason, place, task.name = task, task.id = task_id, "message from {} set aside: {reason} at {place}", delivery.queue);
        metrics::counter!("messages_quarantined_total", "reason" => reason).increment(1);
        let rejected = Rejected {
            delivery: delivery.clone(),
            reason,
            place,
            detail,
            task,
            task_id,
        };
        Ok(self.keeper.quarantine(rejected).await?)
    }
}

/// A message that was read, and is set aside for what happened to its task.
pub(super) fn rejected_by(request: &Request, reason: &'static str, place: String, detail: String) -> Malformed {
    Malformed {
        reason,
        place,
        detail,
        task: Some(request.task.clone()),
        task_id: Some(request.id.clone()),
    }
}
