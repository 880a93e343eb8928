//! The seam between the worker and what carries its messages: RabbitMQ here, a database table in the application.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::task::yield_now;
use tokio_util::sync::CancellationToken;

use super::message::Message;

/// Carries messages durably. A message that was published without error is never lost.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Publishes and waits until the broker has it on disk. An error means *not known to be there*: publish again, with the same id,
    /// unless it is [impossible](PublishError::Impossible).
    async fn publish(&self, message: Message, routing: Routing) -> Result<(), PublishError>;

    /// Hands every message of the queue to the handler until it is to leave, at most `queue.prefetch` at a time; survives the
    /// loss of the connection. Returns when the messages in hand are finished.
    async fn consume(&self, queue: Queue, handler: Arc<dyn Handler>, stop: Stop);

    /// Makes a durable topic exchange if there is none of that name; tried again by whoever publishes to it.
    async fn ensure_exchange(&self, _name: &str) {}

    /// Makes a durable queue if there is none of that name, as Python's producers do before they send.
    async fn ensure_queue(&self, _name: &str) {}

    /// How the transport is at the moment, for readiness and `doctor`.
    fn health(&self) -> Health;
}

/// When a consumer takes nothing more, and from when on what it has in hand must come to its end.
#[derive(Debug, Clone)]
pub struct Stop {
    /// Takes nothing more.
    pub leave: CancellationToken,
    /// The process ends: what is in hand is finished soon, or comes again. Until then it takes as long as it takes, because
    /// whatever is given back while its work goes on is done twice.
    pub end: CancellationToken,
}

/// With the process.
impl From<CancellationToken> for Stop {
    fn from(end: CancellationToken) -> Self {
        Self {
            leave: end.clone(),
            end,
        }
    }
}

/// What a published message needs to count as published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routing {
    /// It must reach a queue: tasks.
    Mandatory,
    /// It may reach nobody: events, rpc results.
    Optional,
}

/// A queue to consume, declared passively first.
#[derive(Debug, Clone)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// What it is bound to when we make it: (topic exchange, routing key).
    pub bindings: Vec<(String, String)>,
    /// How many messages are in hand at most.
    pub prefetch: u16,
}

/// A message as it came out of a queue.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Out of which queue.
    pub queue: String,
    /// The message.
    pub message: Message,
    /// The broker has handed it out before.
    pub redelivered: bool,
}

/// Takes deliveries.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Deals with one message. What is answered happens only after it is durably stored.
    async fn handle(&self, delivery: &Delivery) -> Verdict;

    /// The same for a handler that can be asked to stop, or is done with a message before it is done with its work.
    async fn handle_with(&self, delivery: &Delivery, _receipt: &Receipt) -> Verdict {
        self.handle(delivery).await
    }
}

/// A message in hand, as its handler sees it from the transport's side.
pub struct Receipt {
    acknowledge: Option<Box<dyn Fn() + Send + Sync>>,
    acknowledged: AtomicBool,
    in_line: AtomicBool,
    stop: CancellationToken,
}

impl Receipt {
    /// Of a transport that acknowledges in the end only.
    pub fn none() -> Self {
        Self {
            acknowledge: None,
            acknowledged: AtomicBool::new(false),
            in_line: AtomicBool::new(false),
            stop: CancellationToken::new(),
        }
    }

    /// Of a message whose work is begun where messages arrive, one after the other, until it waits or steps aside.
    pub fn in_line(self) -> Self {
        self.in_line.store(true, Ordering::Relaxed);
        self
    }

    /// What was done before this was done in the order in which messages came, if nothing was waited for; what is done after it
    /// keeps no other message waiting.
    pub async fn step_aside(&self) {
        if self.in_line.swap(false, Ordering::Relaxed) {
            yield_now().await;
        }
    }

    /// Of a consumer whose process ends with that.
    pub fn until(self, stop: CancellationToken) -> Self {
        Self { stop, ..self }
    }

    /// Of one that can be told before; `stop` is the end of the consumer's process.
    pub fn new(stop: CancellationToken, acknowledge: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            acknowledge: Some(Box::new(acknowledge)),
            stop,
            ..Self::none()
        }
    }

    /// Takes the message out of its queue now: whatever becomes of its work, it does not come again.
    pub fn acknowledge(&self) {
        let Some(acknowledge) = &self.acknowledge else { return };
        if !self.acknowledged.swap(true, Ordering::AcqRel) {
            acknowledge();
        }
    }

    /// Whether that has been done.
    pub fn acknowledged(&self) -> bool {
        self.acknowledged.load(Ordering::Acquire)
    }

    /// Is cancelled when nothing new is to be started.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Receipt")
            .field("acknowledged", &self.acknowledged())
            .finish_non_exhaustive()
    }
}

/// What becomes of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Finished and stored: take it out of the queue.
    Ack,
    /// Could not be dealt with now: keep it for a while, and try again.
    Wait,
    /// Not for us, or not any more: give it back.
    Requeue,
    /// Not to be handed out again: to the queue's dead letter exchange, if it has one.
    Reject,
}

/// Why a message is not known to be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The broker has it, but no queue took it.
    #[error("no queue takes messages for exchange {exchange:?} with routing key {routing_key:?}")]
    Unroutable {
        /// The exchange.
        exchange: String,
        /// The routing key.
        routing_key: String,
    },
    /// A queue did not take it, because it is full or on its way down: it may take it later.
    #[error("the broker refused it: a queue for exchange {exchange:?} with routing key {routing_key:?} takes nothing")]
    Refused {
        /// The exchange.
        exchange: String,
        /// The routing key.
        routing_key: String,
    },
    /// Timed out or the connection broke: the outcome is unknown.
    #[error("the broker did not confirm: {0}")]
    Unconfirmed(String),
    /// AMQP cannot carry it, or the broker takes no such message: it is nowhere, and never will be.
    #[error("it can never be published: {0}")]
    Impossible(String),
}

/// How a transport is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Can publish.
    pub publishing: bool,
    /// Every consumer is alive.
    pub consuming: bool,
    /// What it is, with its version, such as `RabbitMQ 3.10.8`.
    pub server: String,
}

/// What the worker asks its application to keep durably.
#[async_trait]
pub trait Keeper: Send + Sync + 'static {
    /// Stores a message that cannot be understood, whole, before it is acknowledged.
    async fn quarantine(&self, rejected: Rejected) -> Result<(), KeepError>;

    /// Keeps a message until it is due, then publishes it to the queue it came from.
    async fn park(&self, delivery: &Delivery, until: DateTime<Utc>) -> Result<(), KeepError>;

    /// Keeps in mind until then that these tasks are revoked, for workers that are down now. What keeps nothing promises what
    /// Python's worker does: those that run know it.
    async fn revoke(&self, _ids: &[String], _until: DateTime<Utc>) -> Result<(), KeepError> {
        Ok(())
    }

    /// The ids that are kept as revoked.
    async fn revoked(&self) -> Result<Vec<String>, KeepError> {
        Ok(Vec::new())
    }

    /// So many of the messages that wait for their time, those that are due first before the others.
    async fn scheduled(&self, _limit: usize) -> Result<Vec<Scheduled>, KeepError> {
        Ok(Vec::new())
    }
}

/// A message that waits for its time.
#[derive(Debug, Clone)]
pub struct Scheduled {
    /// When it is due.
    pub until: DateTime<Utc>,
    /// The message and where it came from.
    pub delivery: Delivery,
}

/// A message set aside.
#[derive(Debug, Clone)]
pub struct Rejected {
    /// The message and where it came from.
    pub delivery: Delivery,
    /// A stable word for the reason, such as `unknown-task`.
    pub reason: &'static str,
    /// Where in the message, such as `body[1]` or `headers.id`.
    pub place: String,
    /// What was expected and what was found.
    pub detail: String,
    /// The task's name, where it is known.
    pub task: Option<String>,
    /// The task's id, where it is known.
    pub task_id: Option<String>,
}

/// The application's store does not answer.
#[derive(Debug, thiserror::Error)]
#[error("cannot be kept: {0}")]
pub struct KeepError(pub String);
