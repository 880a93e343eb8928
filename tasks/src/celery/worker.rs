//! Takes task messages from a transport and runs them: nothing is acknowledged before its outcome is stored.
//!
//! In the order of Celery's own worker: is it a task of ours; was it revoked, has it expired; is it for later; does its rate
//! allow it; is a place free; again, was it revoked meanwhile; then it runs. Then what follows it is published, its result is
//! stored, and its message is acknowledged.

mod errands;
mod following;
mod job;
mod refusing;
mod requeued;
mod running;
mod settling;
mod telling;
mod turns;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, info, info_span, warn};

use super::canvas::{Canvas, builtins};
use super::events::{EventSender, TaskEvent};
use super::protocol::{Accept, Request};
use super::registry::{Exception, Registry, Scope};
use super::results::{ResultBackend, State};
use super::state::{PoolPermit, WorkerState};
use super::transport::{Delivery, Handler, KeepError, Keeper, Receipt, Transport, Verdict};
use errands::Errands;
use job::Job;
use running::{Ended, Ends};
use settling::Run;
use turns::{Rates, Start, Turns};

type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// Runs the tasks of a registry.
pub struct Worker<C> {
    registry: Registry<C>,
    transport: Arc<dyn Transport>,
    keeper: Arc<dyn Keeper>,
    backend: Option<Arc<dyn ResultBackend>>,
    canvas: Arc<Canvas>,
    /// The same, for the builtin tasks.
    shared: builtins::Shared,
    events: Option<EventSender>,
    state: Arc<WorkerState>,
    accept: Accept,
    rates: Rates,
    turns: Turns,
    clock: Clock,
}

impl<C: Send + Sync + 'static> Worker<C> {
    /// Results go out over the transport; what cannot run now, or ever, goes to the keeper. As many tasks run at once as the
    /// transport has in hand, and of those that are acknowledged before they run as many as the state's pool has places.
    pub fn new(registry: Registry<C>, transport: Arc<dyn Transport>, keeper: Arc<dyn Keeper>) -> Self {
        let canvas = Arc::new(Canvas::new(Arc::clone(&transport), "celery"));
        let shared = builtins::Shared::new(Arc::clone(&canvas));
        Self {
            registry: builtins::register(registry, &shared),
            canvas,
            shared,
            transport,
            keeper,
            backend: None,
            events: None,
            state: WorkerState::new("celery@localhost", usize::MAX),
            accept: Accept::default(),
            rates: Rates::default(),
            turns: Turns::default(),
            clock: Arc::new(Utc::now),
        }
    }

    /// Another clock than the machine's, for what is due and what has expired.
    pub fn with_clock(mut self, clock: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        let clock: Clock = Arc::new(clock);
        self.clock = Arc::clone(&clock);
        let canvas = Canvas::clone(&self.canvas).with_clock(move || clock());
        self.with_canvas(Arc::new(canvas))
    }

    /// Stores results, beside sending them to whoever asks, and counts chords by them.
    pub fn with_results(mut self, backend: Arc<dyn ResultBackend>) -> Self {
        let canvas = Canvas::clone(&self.canvas).with_results(Arc::clone(&backend));
        self.backend = Some(backend);
        self.with_canvas(Arc::new(canvas))
    }

    /// Sends what follows tasks by another canvas than one of its own, whose default queue is `celery`.
    pub fn with_canvas(mut self, canvas: Arc<Canvas>) -> Self {
        self.shared.replace(Arc::clone(&canvas));
        self.canvas = canvas;
        self
    }

    /// Tells what happens to tasks.
    pub fn with_events(mut self, events: EventSender) -> Self {
        self.events = Some(events);
        self
    }

    /// Shares what it knows of itself, its pool and its revocations above all.
    pub fn with_state(mut self, state: Arc<WorkerState>) -> Self {
        self.state = state;
        self
    }

    /// Reads other content types than JSON too.
    pub fn accepting(mut self, accept: Accept) -> Self {
        self.accept = accept;
        self
    }

    async fn deal_with(&self, delivery: &Delivery, receipt: &Receipt) -> Result<Verdict, Unstored> {
        let request = match Request::decode_as(&delivery.message, self.accept) {
            Ok(request) => Arc::new(request),
            Err(malformed) => return self.refuse(delivery, malformed).await.map(|()| Verdict::Ack),
        };
        let Some(entry) = self.registry.find(&request.task) else {
            return self.refuse_unknown(delivery, &request).await.map(|()| Verdict::Ack);
        };
        let ticket = self.state.received(&request, delivery);
        let job = Job {
            delivery,
            receipt,
            request,
            entry,
            ticket,
        };
        if self.ended_before(&job).await? || self.is_over(&job).await? {
            return Ok(Verdict::Ack);
        }
        self.happened(TaskEvent::Received(&job.request));
        let now = (self.clock)();
        if let Some(eta) = job.request.eta.filter(|eta| *eta > now) {
            // Held unacknowledged it would block the consumer, and be lost to it after the broker's half hour.
            self.keeper.park(&requeued::later(delivery), eta).await?;
            return Ok(Verdict::Ack);
        }
        if let Some(verdict) = self.wait_for_rate(&job).await? {
            return Ok(verdict);
        }
        let Some(_place) = self.wait_for_place(&job).await else {
            return Ok(Verdict::Requeue);
        };
        receipt.step_aside().await;
        if self.is_over(&job).await? {
            return Ok(Verdict::Ack);
        }
        self.run(&job).await
    }

    /// The broker hands a message out again that had ended, but was not acknowledged: only what comes after its result is
    /// left to do.
    async fn ended_before(&self, job: &Job<'_, C>) -> Result<bool, Unstored> {
        let Some(backend) = self.backend.as_ref().filter(|_| job.delivery.redelivered) else {
            return Ok(false);
        };
        let ids = std::slice::from_ref(&job.request.id);
        // Who cannot be asked changes nothing: running twice works once.
        let known = backend.load(ids).await.unwrap_or_default();
        match known.into_iter().next().flatten() {
            Some(result) if result.state == State::Success => {
                info!(task.id = %job.request.id, "task {} has ended before", job.request.id);
                self.follow_stored(job, &result).await?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Revoked or expired: told, and not run.
    async fn is_over(&self, job: &Job<'_, C>) -> Result<bool, Unstored> {
        let why = if job.request.expires.is_some_and(|at| at <= (self.clock)()) {
            "expired"
        } else if self.state.is_revoked(&job.request) {
            "revoked"
        } else if job.ticket.termination().is_cancelled() {
            "terminated"
        } else {
            return Ok(false);
        };
        self.revoke(job, why).await.map(|()| true)
    }

    async fn revoke(&self, job: &Job<'_, C>, why: &str) -> Result<(), Unstored> {
        let request = &job.request;
        info!(task.id = %request.id, task.name = %request.task, "task {} is {why}", request.id);
        let exception = Exception::celery("TaskRevokedError", why);
        let result = self.raised(request, State::Revoked, &exception);
        self.tell(&job.entry, request, &result).await?;
        self.follow_stored(job, &result).await?;
        self.follow_failure(job, &exception, State::Revoked).await?;
        self.happened(TaskEvent::Revoked {
            uuid: &request.id,
            terminated: why == "terminated",
            signum: job.ticket.signal(),
            expired: why == "expired",
        });
        Ok(())
    }

    /// A verdict if it cannot start soon.
    async fn wait_for_rate(&self, job: &Job<'_, C>) -> Result<Option<Verdict>, Unstored> {
        let Some(period) = job.period(&self.state) else {
            return Ok(None);
        };
        match self.rates.next(&job.entry.name, period) {
            Start::Later(wait) => {
                let until = (self.clock)() + chrono::Duration::from_std(wait).unwrap_or(chrono::Duration::days(1));
                self.keeper.park(&requeued::later(job.delivery), until).await?;
                Ok(Some(Verdict::Ack))
            }
            Start::At(start) => tokio::select! {
                biased;
                () = tokio::time::sleep_until(start) => Ok(None),
                () = job.receipt.stop().cancelled() => Ok(Some(Verdict::Requeue)),
                () = job.ticket.termination().cancelled() => Ok(None),
            },
        }
    }

    /// `None` when the worker stops before there is one: the message goes back.
    async fn wait_for_place(&self, job: &Job<'_, C>) -> Option<PoolPermit> {
        tokio::select! {
            biased;
            place = self.turns.take(self.state.pool(), job.request.priority.unwrap_or(0)) => Some(place),
            () = job.receipt.stop().cancelled() => None,
        }
    }

    async fn run(&self, job: &Job<'_, C>) -> Result<Verdict, Unstored> {
        let request = &job.request;
        job.ticket.started();
        self.happened(TaskEvent::Started { uuid: &request.id });
        if job.entry.options.track_started {
            let process = json!({"pid": std::process::id(), "hostname": self.state.nodename()});
            self.tell(&job.entry, request, &self.result(request, State::Started, process))
                .await?;
        }
        // After this the message cannot come again: whatever goes wrong from here on is dealt with here.
        if !job.entry.options.acks_late {
            job.receipt.acknowledge();
            job.ticket.acknowledged();
        }
        let soft = CancellationToken::new();
        let scope = Scope::new(Arc::clone(request), soft.clone(), self.errands());
        let (began, task) = (
            Instant::now(),
            self.registry.start(&job.entry, Arc::clone(request), scope.clone()),
        );
        let ends = Ends {
            limits: job.limits(&self.state),
            soft: &soft,
            terminated: job.ticket.termination(),
        };
        let trace = request.headers.get("traceparent").and_then(|header| header.as_text());
        let span = info_span!("task", task.id = %request.id, task.name = %request.task, trace.parent = trace);
        let ended = running::run(task, &scope, ends).instrument(span).await;
        let run = Run {
            job,
            scope: &scope,
            took: began.elapsed(),
        };
        self.settle_surely(&run, &ended).await
    }

    /// Until it is stored, where the message is acknowledged already and cannot come again.
    async fn settle_surely(&self, run: &Run<'_, C>, ended: &Ended) -> Result<Verdict, Unstored> {
        let mut pause = Duration::from_millis(100);
        loop {
            match self.settle(run, ended).await {
                Err(Unstored(cause)) if run.job.receipt.acknowledged() => {
                    let id = &run.job.request.id;
                    warn!(task.id = %id, "the end of task {id} is not stored yet: {cause}");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
                settled => return settled,
            }
        }
    }

    fn errands(&self) -> Arc<Errands> {
        Arc::new(Errands {
            transport: Arc::clone(&self.transport),
            backend: self.backend.clone(),
            canvas: Arc::clone(&self.canvas),
            applied: AtomicUsize::new(0),
            clock: Arc::clone(&self.clock),
        })
    }

    fn happened(&self, event: TaskEvent<'_>) {
        if let Some(events) = &self.events {
            events.send(&event);
        }
    }
}

#[async_trait]
impl<C: Send + Sync + 'static> Handler for Worker<C> {
    async fn handle(&self, delivery: &Delivery) -> Verdict {
        self.handle_with(delivery, &Receipt::none()).await
    }

    async fn handle_with(&self, delivery: &Delivery, receipt: &Receipt) -> Verdict {
        match self.deal_with(delivery, receipt).await {
            Ok(verdict) => verdict,
            Err(Unstored(cause)) => {
                warn!(queue = %delivery.queue, "a message of {} has to wait: {cause}", delivery.queue);
                Verdict::Wait
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

/// What should have been stored is not: the message must be dealt with again.
struct Unstored(String);

impl From<KeepError> for Unstored {
    fn from(error: KeepError) -> Self {
        Self(error.to_string())
    }
}

#[cfg(test)]
mod tests;
