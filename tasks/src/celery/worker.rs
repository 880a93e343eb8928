//! Takes task messages from a transport and runs them: nothing is acknowledged before its outcome is stored.

mod errands;
mod outcome;
mod requeued;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::protocol::{Malformed, Request};
use super::registry::{Again, Backoff, Registry, Scope, TaskError};
use super::transport::{Delivery, Handler, KeepError, Keeper, Rejected, Routing, Transport, Verdict};
use errands::Errands;
use outcome::{Outcome, ResultAddress};

type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// Runs the tasks of a registry.
pub struct Worker<C> {
    registry: Registry<C>,
    transport: Arc<dyn Transport>,
    keeper: Arc<dyn Keeper>,
    clock: Clock,
}

impl<C: Send + Sync + 'static> Worker<C> {
    /// Results go out over the transport; what cannot run now, or ever, goes to the keeper.
    pub fn new(registry: Registry<C>, transport: Arc<dyn Transport>, keeper: Arc<dyn Keeper>) -> Self {
        Self {
            registry,
            transport,
            keeper,
            clock: Arc::new(Utc::now),
        }
    }

    /// Another clock than the machine's, for what is due and what has expired.
    pub fn with_clock(mut self, clock: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    async fn deal_with(&self, delivery: &Delivery) -> Result<(), Unstored> {
        let request = match Request::decode(&delivery.message) {
            Ok(request) => Arc::new(request),
            Err(malformed) => return self.refuse(delivery, malformed).await,
        };
        let now = (self.clock)();
        if request.expires.is_some_and(|at| at <= now) {
            info!(task.id = %request.id, task.name = %request.task, "task {} has expired", request.id);
            self.tell(&request, Outcome::expired()).await;
            return Ok(());
        }
        if let Some(eta) = request.eta.filter(|eta| *eta > now) {
            // Held unacknowledged it would block the consumer, and be lost to it after the broker's half hour.
            return Ok(self.keeper.park(&requeued::later(delivery), eta).await?);
        }
        let Some(entry) = self.registry.find(&request.task) else {
            return self.refuse_unknown(delivery, &request).await;
        };
        let outside = Arc::new(Errands {
            transport: Arc::clone(&self.transport),
        });
        let scope = Scope::new(Arc::clone(&request), CancellationToken::new(), outside);
        let running = self.registry.start(&entry, Arc::clone(&request), scope);
        match tokio::spawn(running).await {
            Ok(Ok(value)) => {
                debug!(task.id = %request.id, task.name = %request.task, "task {} succeeded", request.id);
                self.tell(&request, Outcome::success(value)).await;
                Ok(())
            }
            Ok(Err(error)) => self.settle(delivery, &request, error).await,
            Err(join) => self.settle_panic(delivery, &request, join).await,
        }
    }

    async fn settle(&self, delivery: &Delivery, request: &Request, error: TaskError) -> Result<(), Unstored> {
        match error {
            TaskError::Retry(retry) => {
                let after = match retry.again {
                    Again::In(after) => after,
                    Again::Backoff => Backoff::default().wait(request.retries),
                    Again::At(at) => (at - (self.clock)()).to_std().unwrap_or_default(),
                };
                let cause = retry.exception.map(|cause| cause.message()).unwrap_or_default();
                let wait = chrono::Duration::from_std(after).unwrap_or(chrono::Duration::days(3650));
                let until = (self.clock)() + wait;
                self.keeper
                    .park(&requeued::retried(delivery, request, until), until)
                    .await?;
                info!(task.id = %request.id, task.name = %request.task, retries = request.retries + 1, "task {} is tried again at {until}", request.id);
                self.tell(request, Outcome::retry(&cause)).await;
            }
            TaskError::Failed(exception) => {
                warn!(task.id = %request.id, task.name = %request.task, exc_type = exception.exc_type, "task {} failed", request.id);
                let outcome = Outcome::failure(&exception.exc_type, &exception.exc_module, &exception.message());
                self.tell(request, outcome).await;
            }
            TaskError::Ignore | TaskError::Replaced => (),
            TaskError::Reject { reason, .. } => return Err(Unstored(reason)),
            TaskError::Wrong { code, place, detail } => {
                let message = format!("{}() {place}: {detail}", request.task);
                self.set_aside(delivery, rejected_by(request, code, place, detail))
                    .await?;
                self.tell(request, Outcome::failure("TypeError", "builtins", &message))
                    .await;
            }
            TaskError::Unavailable(cause) => return Err(Unstored(cause)),
        }
        Ok(())
    }

    /// A panic is a mistake in the task; the message is kept, and the worker goes on.
    async fn settle_panic(
        &self,
        delivery: &Delivery,
        request: &Request,
        join: tokio::task::JoinError,
    ) -> Result<(), Unstored> {
        if !join.is_panic() {
            return Err(Unstored("the worker is shutting down".to_owned()));
        }
        let payload = join.into_panic();
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        error!(task.id = %request.id, task.name = %request.task, "task {} panicked", request.id);
        let rejected = rejected_by(request, "task-panicked", request.task.clone(), text);
        self.set_aside(delivery, rejected).await?;
        self.tell(
            request,
            Outcome::failure("RuntimeError", "builtins", "the task panicked"),
        )
        .await;
        Ok(())
    }

    async fn refuse_unknown(&self, delivery: &Delivery, request: &Request) -> Result<(), Unstored> {
        let place = match delivery.message.headers.contains_key("task") {
            true => "headers.task",
            false => "body.task",
        };
        let detail = "expected the name of a task of this worker, found another";
        let rejected = rejected_by(request, "unknown-task", place.to_owned(), detail.to_owned());
        self.set_aside(delivery, rejected).await?;
        self.tell(
            request,
            Outcome::failure("NotRegistered", "celery.exceptions", &request.task),
        )
        .await;
        Ok(())
    }

    async fn refuse(&self, delivery: &Delivery, malformed: Malformed) -> Result<(), Unstored> {
        let outcome = Outcome::failure("InvalidTaskError", "celery.exceptions", &malformed.to_string());
        let address = malformed
            .task_id
            .as_deref()
            .and_then(|id| ResultAddress::of_message(&delivery.message, id));
        self.set_aside(delivery, malformed).await?;
        if let Some(address) = address {
            self.publish_result(address, outcome).await;
        }
        Ok(())
    }

    /// Stores the message whole before anything else happens to it.
    async fn set_aside(&self, delivery: &Delivery, why: Malformed) -> Result<(), Unstored> {
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

    async fn tell(&self, request: &Request, outcome: Outcome) {
        metrics::counter!("tasks_total", "task" => self.known(&request.task), "outcome" => outcome.status())
            .increment(1);
        if let Some(address) = ResultAddress::of(request) {
            self.publish_result(address, outcome).await;
        }
    }

    /// A result is news, not state: if nobody can be told, the work is done all the same.
    async fn publish_result(&self, address: ResultAddress, outcome: Outcome) {
        let task_id = address.task_id.clone();
        let message = outcome.into_message(address, (self.clock)());
        if let Err(error) = self.transport.publish(message, Routing::Optional).await {
            metrics::counter!("results_lost_total").increment(1);
            warn!(task.id = %task_id, %error, "the result of task {task_id} was not sent");
        }
    }

    /// Names from outside are no metric labels.
    fn known(&self, task: &str) -> metrics::SharedString {
        match self.registry.find(task) {
            Some(entry) => metrics::SharedString::from_shared(Arc::clone(&entry.name)),
            None => metrics::SharedString::const_str("unknown"),
        }
    }
}

#[async_trait]
impl<C: Send + Sync + 'static> Handler for Worker<C> {
    async fn handle(&self, delivery: Delivery) -> Verdict {
        match self.deal_with(&delivery).await {
            Ok(()) => Verdict::Ack,
            Err(Unstored(cause)) => {
                warn!(queue = %delivery.queue, "a message goes back into {}: {cause}", delivery.queue);
                Verdict::Requeue
            }
        }
    }
}

impl<C> fmt::Debug for Worker<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Worker")
            .field("registry", &self.registry)
            .finish_non_exhaustive()
    }
}

/// What should have been stored is not: the message must come again.
struct Unstored(String);

impl From<KeepError> for Unstored {
    fn from(error: KeepError) -> Self {
        Self(error.to_string())
    }
}

fn rejected_by(request: &Request, reason: &'static str, place: String, detail: String) -> Malformed {
    Malformed {
        reason,
        place,
        detail,
        task: Some(request.task.clone()),
        task_id: Some(request.id.clone()),
    }
}

#[cfg(test)]
mod tests;
