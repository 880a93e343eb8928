//! Results: stored where Celery's clients look for them, and sent to whoever asked.

use std::time::Duration;

use tracing::{error, warn};

use super::job::Job;
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

    /// Stores a result and sends it to whoever asked; counts the task where that is its end. What is no end is news: if it
    /// cannot be stored, the work goes on.
    pub(super) async fn tell(&self, entry: &Entry<C>, request: &Request, result: &TaskResult) -> Result<(), Unstored> {
        if !request.ignore_result.unwrap_or(entry.options.ignore_result) {
            match self.store(result).await {
                Err(Unstored(cause)) if !result.state.is_ready() => {
                    let (id, state) = (&request.id, &result.state);
                    warn!(task.id = %id, "it is not stored that task {id} is in {state}: {cause}");
                }
                stored => stored?,
            }
            if let Some(address) = ReplyAddress::of(request) {
                self.reply(address, result).await;
            }
        }
        let task = metrics::SharedString::from_shared(std::sync::Arc::clone(&entry.name));
        let outcome = outcome(&result.state);
        metrics::counter!("tasks_total", "task" => task, "outcome" => outcome).increment(1);
        Ok(())
    }

    /// The same for an end. What follows it may be sent by now, and a message that came again would send it again: so a backend
    /// that is away is waited for, and the message goes back only when the worker stops.
    pub(super) async fn tell_surely(&self, job: &Job<'_, C>, result: &TaskResult) -> Result<(), Unstored> {
        let (id, receipt) = (&job.request.id, job.receipt);
        let mut pause = Duration::from_millis(100);
        loop {
            let goes_back = !receipt.acknowledged() && receipt.stop().is_cancelled();
            match self.tell(&job.entry, &job.request, result).await {
                Err(Unstored(cause)) if !goes_back => {
                    warn!(task.id = %id, "the end of task {id} is not stored yet: {cause}");
                }
                told => return told,
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = receipt.stop().cancelled(), if !receipt.acknowledged() => {}
            }
            pause = (pause * 2).min(Duration::from_secs(5));
        }
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
