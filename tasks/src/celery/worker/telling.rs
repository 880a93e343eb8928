//! Results: stored where Celery's clients look for them, and sent to whoever asked.

use tracing::{error, warn};

use super::{Unstored, Worker};
use crate::celery::protocol::Request;
use crate::celery::registry::{Entry, Exception};
use crate::celery::results::rpc::ReplyAddress;
use crate::celery::results::{ResultError, State, TaskResult};
use crate::celery::transport::Routing;

impl<C: Send + Sync + 'static> Worker<C> {
    /// A result of a request, with its group and its parent.
    pub(super) fn result(&self, request: &Request, state: State, result: serde_json::Value) -> TaskResult {
        TaskResult::new(&request.id, state, result, (self.clock)()).of(request)
    }

    /// The same with an exception.
    pub(super) fn raised(&self, request: &Request, state: State, exception: &Exception) -> TaskResult {
        TaskResult::raised(&request.id, state, exception, (self.clock)()).of(request)
    }

    /// Stores a result and sends it to whoever asked; counts the task where that is its end.
    pub(super) async fn tell(&self, entry: &Entry<C>, request: &Request, result: &TaskResult) -> Result<(), Unstored> {
        let task = metrics::SharedString::from_shared(std::sync::Arc::clone(&entry.name));
        let outcome = outcome(&result.state);
        metrics::counter!("tasks_total", "task" => task, "outcome" => outcome).increment(1);
        if request.ignore_result.unwrap_or(entry.options.ignore_result) {
            return Ok(());
        }
        self.store(result).await?;
        if let Some(address) = ReplyAddress::of(request) {
            self.reply(address, result).await;
        }
        Ok(())
    }

    /// Stores a result in the backend, if there is one.
    pub(super) async fn store(&self, result: &TaskResult) -> Result<(), Unstored> {
        let Some(backend) = &self.backend else { return Ok(()) };
        match backend.store(result).await {
            Ok(()) => Ok(()),
            Err(ResultError::Away(cause)) => Err(Unstored(cause)),
            Err(ResultError::Refused(cause)) => {
                error!(task.id = %result.task_id, "the result of task {} is refused: {cause}", result.task_id);
                // Whoever waits for it gets an exception rather than nothing.
                let exception = Exception::new("EncodeError", "kombu.exceptions", cause);
                let failure = TaskResult::raised(&result.task_id, State::Failure, &exception, (self.clock)());
                match backend.store(&failure).await {
                    Ok(()) => Ok(()),
                    Err(ResultError::Away(cause)) => Err(Unstored(cause)),
                    // It is the id that is refused: the backend can have nothing for whoever waits.
                    Err(ResultError::Refused(cause)) => {
                        error!(task.id = %result.task_id, "nothing can be stored of task {}: {cause}", result.task_id);
                        Ok(())
                    }
                }
            }
        }
    }

    /// A result is news, not state: if nobody can be told, the work is done all the same.
    pub(super) async fn reply(&self, address: ReplyAddress, result: &TaskResult) {
        let task_id = &result.task_id;
        if let Err(error) = self.transport.publish(address.message(result), Routing::Optional).await {
            metrics::counter!("results_lost_total").increment(1);
            warn!(task.id = %task_id, %error, "the result of task {task_id} was not sent");
        }
    }
}

/// States from outside are no metric labels.
fn outcome(state: &State) -> &'static str {
    match state {
        State::Pending => "PENDING",
        State::Started => "STARTED",
        State::Success => "SUCCESS",
        State::Failure => "FAILURE",
        State::Retry => "RETRY",
        State::Revoked => "REVOKED",
        State::Rejected => "REJECTED",
        State::Custom(_) => "CUSTOM",
    }
}
