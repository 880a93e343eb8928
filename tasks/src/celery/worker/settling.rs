//! What becomes of a task that has run: follow-ups first, then its result, and its message last.

use std::time::Duration;

use serde_json::{Value, json};
use tracing::{debug, error, info, warn};

use super::job::Job;
use super::refusing::rejected_by;
use super::requeued;
use super::running::Ended;
use super::{Unstored, Worker};
use crate::celery::events::TaskEvent;
use crate::celery::registry::{Again, Exception, Retry, Scope, TaskError, Tries};
use crate::celery::results::State;
use crate::celery::transport::Verdict;

/// A run that is over.
pub(super) struct Run<'a, C> {
    pub(super) job: &'a Job<'a, C>,
    pub(super) scope: &'a Scope,
    pub(super) took: Duration,
}

impl<C: Send + Sync + 'static> Worker<C> {
    /// Safe to do again from the start: what follows a task has ids that stay the same.
    pub(super) async fn settle(&self, run: &Run<'_, C>, ended: &Ended) -> Result<Verdict, Unstored> {
        let job = run.job;
        match ended {
            Ended::Answered(Ok(value)) => self.succeeded(run, value).await,
            Ended::Answered(Err(error)) => self.answered_otherwise(run, error).await,
            Ended::Panicked(words) => self.panicked(run, words).await,
            Ended::OutOfTime(seconds) => {
                let limit = if seconds.fract() == 0.0 {
                    json!(*seconds as i64)
                } else {
                    json!(seconds)
                };
                let exception = Exception::new("TimeLimitExceeded", "billiard.exceptions", limit);
                self.failed(run, &exception).await?;
                Ok(if job.entry.options.acks_on_timeout {
                    Verdict::Ack
                } else {
                    Verdict::Requeue
                })
            }
            Ended::Terminated => {
                self.revoke(job, "terminated").await?;
                Ok(Verdict::Ack)
            }
        }
    }

    async fn succeeded(&self, run: &Run<'_, C>, value: &Value) -> Result<Verdict, Unstored> {
        let (job, request) = (run.job, &run.job.request);
        debug!(task.id = %request.id, task.name = %request.task, "task {} succeeded", request.id);
        let mut children = run.scope.children();
        match self.follow_success(job, value).await? {
            Ok(more) => children.extend(more),
            // What was to follow can never be sent: as in Python, that is the task's failure.
            Err(exception) => return self.failed_and_acked(run, &exception).await,
        }
        let result = self
            .result(request, State::Success, value.clone())
            .with_children(children);
        self.tell_surely(job, &result).await?;
        self.follow_stored(job, &result).await?;
        self.happened(TaskEvent::Succeeded {
            uuid: &request.id,
            result: value,
            runtime: run.took,
        });
        Ok(Verdict::Ack)
    }

    async fn answered_otherwise(&self, run: &Run<'_, C>, error: &TaskError) -> Result<Verdict, Unstored> {
        let (job, request) = (run.job, &run.job.request);
        match error {
            TaskError::Retry(retry) => self.again(run, retry).await,
            TaskError::Failed(exception) if job.entry.options.autoretry.is_some_and(|retries| retries(exception)) => {
                self.again(run, &Retry::default().exception(exception.clone())).await
            }
            TaskError::Failed(exception) => self.failed_and_acked(run, exception).await,
            TaskError::Wrong { code, place, detail } => {
                let message = format!("{}() {place}: {detail}", request.task);
                let rejected = rejected_by(request, code, place.clone(), detail.clone());
                self.set_aside(job.delivery, rejected).await?;
                self.failed(run, &Exception::builtin("TypeError", message)).await?;
                Ok(Verdict::Ack)
            }
            TaskError::Reject { requeue, reason } => self.rejected(run, *requeue, reason).await,
            TaskError::Ignore | TaskError::Replaced => Ok(Verdict::Ack),
            TaskError::Unavailable(cause) if job.receipt.acknowledged() => self.parked_soon(job, cause).await,
            TaskError::Unavailable(cause) => Err(Unstored(cause.clone())),
        }
    }

    /// Stores the failure, then fails what was to follow.
    async fn failed(&self, run: &Run<'_, C>, exception: &Exception) -> Result<(), Unstored> {
        let (job, request) = (run.job, &run.job.request);
        warn!(task.id = %request.id, task.name = %request.task, exc_type = exception.exc_type, "task {} failed", request.id);
        let result = self
            .raised(request, State::Failure, exception)
            .with_children(run.scope.children());
        self.tell_surely(job, &result).await?;
        self.follow_stored(job, &result).await?;
        self.follow_failure(job, exception, State::Failure).await?;
        self.happened(TaskEvent::Failed {
            uuid: &request.id,
            exception: &exception.repr(),
            traceback: &exception.traceback(),
        });
        Ok(())
    }

    /// A failed message that is not to be acknowledged goes to its queue's dead letter exchange, if it has one, and is kept in
    /// any case.
    async fn failed_and_acked(&self, run: &Run<'_, C>, exception: &Exception) -> Result<Verdict, Unstored> {
        let job = run.job;
        if job.entry.options.acks_on_failure || job.receipt.acknowledged() {
            self.failed(run, exception).await?;
            return Ok(Verdict::Ack);
        }
        let rejected = rejected_by(
            &job.request,
            "task-failed",
            job.request.task.clone(),
            exception.exc_type.clone(),
        );
        self.set_aside(job.delivery, rejected).await?;
        self.failed(run, exception).await?;
        Ok(Verdict::Reject)
    }

    /// The broker has it back. Where it is not to be handed out again, it is kept by us too: a queue without a dead letter
    /// exchange would drop it.
    async fn rejected(&self, run: &Run<'_, C>, requeue: bool, reason: &str) -> Result<Verdict, Unstored> {
        let (job, request) = (run.job, &run.job.request);
        let verdict = if requeue {
            Verdict::Requeue
        } else {
            let rejected = rejected_by(request, "task-rejected", request.task.clone(), reason.to_owned());
            self.set_aside(job.delivery, rejected).await?;
            let exception = Exception::celery("Reject", reason).with_arguments(vec![json!(reason), json!(false)]);
            let result = self.raised(request, State::Failure, &exception);
            self.tell_surely(job, &result).await?;
            self.follow_stored(job, &result).await?;
            self.follow_failure(job, &exception, State::Failure).await?;
            Verdict::Reject
        };
        self.happened(TaskEvent::Rejected {
            uuid: &request.id,
            requeue,
        });
        Ok(verdict)
    }

    /// A panic is a mistake in the task; the message is kept, and the worker goes on.
    async fn panicked(&self, run: &Run<'_, C>, words: &str) -> Result<Verdict, Unstored> {
        let (job, request) = (run.job, &run.job.request);
        error!(task.id = %request.id, task.name = %request.task, "task {} panicked", request.id);
        let again = job.entry.options.reject_on_lost && !job.delivery.redelivered;
        if again && !job.receipt.acknowledged() {
            return Ok(Verdict::Requeue);
        }
        let rejected = rejected_by(request, "task-panicked", request.task.clone(), words.to_owned());
        self.set_aside(job.delivery, rejected).await?;
        self.failed(run, &Exception::builtin("RuntimeError", "the task panicked"))
            .await?;
        Ok(Verdict::Ack)
    }

    async fn again(&self, run: &Run<'_, C>, retry: &Retry) -> Result<Verdict, Unstored> {
        let (job, request) = (run.job, &run.job.request);
        let most = match retry.tries {
            Tries::OfTask => job.entry.options.max_retries,
            Tries::AtMost(most) => Some(most),
            Tries::Unlimited => None,
        };
        if most.is_some_and(|most| request.retries >= most) {
            let exception = retry
                .exception
                .as_deref()
                .cloned()
                .unwrap_or_else(|| too_often(request));
            return self.failed_and_acked(run, &exception).await;
        }
        let now = (self.clock)();
        let until = match retry.again {
            Again::At(at) => at,
            Again::In(after) => now + wait(after),
            Again::Backoff => now + wait(job.entry.options.retry.wait(request.retries)),
        };
        let arguments = requeued::Arguments::of(retry, request, job.entry.options.positional);
        let message = requeued::retried(job.delivery, request, until, arguments);
        let seconds = (until - now).num_seconds();
        let cause = retry
            .exception
            .as_deref()
            .cloned()
            .unwrap_or_else(|| Exception::celery("Retry", format!("Retry in {seconds}s")));
        let itself = json!([[request.id, null], null]);
        let result = self.raised(request, State::Retry, &cause).with_children(vec![itself]);
        // Before it can run again: the end of that run must not be written over.
        self.tell(&job.entry, request, &result).await?;
        self.keeper.park(&message, until).await?;
        info!(task.id = %request.id, task.name = %request.task, retries = request.retries + 1, "task {} is tried again at {until}", request.id);
        self.happened(TaskEvent::Retried {
            uuid: &request.id,
            exception: &cause.repr(),
            traceback: &cause.traceback(),
        });
        Ok(Verdict::Ack)
    }

    /// It is acknowledged already, so that the broker cannot hand it out again.
    async fn parked_soon(&self, job: &Job<'_, C>, cause: &str) -> Result<Verdict, Unstored> {
        warn!(task.id = %job.request.id, "task {} has to wait: {cause}", job.request.id);
        let soon = (self.clock)() + chrono::Duration::seconds(5);
        self.keeper.park(&requeued::later(job.delivery), soon).await?;
        Ok(Verdict::Ack)
    }
}

fn wait(after: Duration) -> chrono::Duration {
    let longest = chrono::Duration::days(3650);
    chrono::Duration::from_std(after).unwrap_or(longest).min(longest)
}

/// Python's words.
fn too_often(request: &crate::celery::protocol::Request) -> Exception {
    let args = crate::celery::protocol::python_repr(&Value::Array(request.args.clone()));
    let kwargs = crate::celery::protocol::python_repr(&Value::Object(request.kwargs.clone()));
    let message = format!(
        "Can't retry {}[{}] args:{args} kwargs:{kwargs}",
        request.task, request.id
    );
    Exception::celery("MaxRetriesExceededError", message)
}
