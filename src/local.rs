//! The in-process transport: a table in the same database. Honest and durable on one machine, with nothing to install.
//!
//! Messages are claimed under a lease and deleted when they are done; a crash leaves them to be claimed again.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, warn};
use waybill_tasks::celery::message::Message;
use waybill_tasks::celery::transport::{
    Delivery, Handler, Health, PublishError, Queue, Receipt, Routing, Stop, Transport, Verdict,
};

use crate::engine::{Engine, unpack};
use crate::store::record::StoredMessage;

/// How long a consumer waits when nobody rings.
const POLL: Duration = Duration::from_millis(500);
/// How long a message that could not be handled rests before it is given back.
const REST: Duration = Duration::from_millis(500);

/// Topic exchanges that it knows: what is published to them goes to this queue.
const BINDINGS: [(&str, &str); 1] = [("payments", "waybill.payments")];

/// The in-process transport.
pub struct LocalTransport {
    engine: Engine,
    /// Rings when there are new messages.
    messages: Arc<Notify>,
}

impl LocalTransport {
    /// On the engine's store; `messages` rings when a commit has brought new ones.
    pub fn new(engine: Engine, messages: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self { engine, messages })
    }

    async fn handle(&self, queue: &str, stored: StoredMessage, handler: &dyn Handler, end: CancellationToken) {
        let id = stored.message_id;
        let message = match unpack(self.engine.store(), "messages", id, &stored.message) {
            Ok(message) => message.into_message(),
            Err(error) => return error!("message {id} in {queue} cannot be read and stays: {error}"),
        };
        let delivery = Delivery {
            queue: queue.to_owned(),
            message,
            redelivered: stored.attempts > 1,
        };
        let receipt = Receipt::none().in_line().until(end);
        // It begins on the consumer's own task, which has to outlive it.
        let verdict = AssertUnwindSafe(handler.handle_with(&delivery, &receipt))
            .catch_unwind()
            .await
            .unwrap_or_else(|_| {
                error!("the handler of message {id} in {queue} panicked; it is given back");
                Verdict::Requeue
            });
        let done = match verdict {
            // There are no dead letter exchanges here; what was rejected is in quarantine.
            Verdict::Ack | Verdict::Reject => true,
            Verdict::Wait | Verdict::Requeue => {
                tokio::time::sleep(REST).await;
                false
            }
        };
        if let Err(error) = self.engine.settle_message(id, done).await {
            // Its lease will end, and it will be handed out again: handling twice is handling once.
            warn!("message {id} in {queue} could not be settled: {error}");
        }
    }
}

#[async_trait]
impl Transport for LocalTransport {
    async fn publish(&self, message: Message, routing: Routing) -> Result<(), PublishError> {
        let queue = match BINDINGS.iter().find(|(exchange, _)| *exchange == message.exchange) {
            Some((_, queue)) => (*queue).to_owned(),
            None if message.exchange.is_empty() => message.routing_key.clone(),
            None if routing == Routing::Optional => return Ok(()),
            None => {
                let Message {
                    exchange, routing_key, ..
                } = message;
                return Err(PublishError::Unroutable { exchange, routing_key });
            }
        };
        let sent = self.engine.send_locally(&queue, &message).await;
        sent.map_err(|error| PublishError::Unconfirmed(error.to_string()))
    }

    async fn consume(&self, queue: Queue, handler: Arc<dyn Handler>, stop: Stop) {
        let slots = Arc::new(Semaphore::new(usize::from(queue.prefetch.max(1))));
        let tracker = TaskTracker::new();
        let this = Self {
            engine: self.engine.clone(),
            messages: self.messages.clone(),
        };
        let this = Arc::new(this);
        while !stop.leave.is_cancelled() {
            let rung = this.messages.notified();
            tokio::pin!(rung);
            rung.as_mut().enable();
            let free = slots
                .clone()
                .acquire_owned()
                .await
                .expect("the semaphore is never closed");
            let more = i64::try_from(slots.available_permits()).unwrap_or(0);
            drop(free);
            let claimed = match this.engine.claim_messages(&queue.name, more + 1).await {
                Ok(claimed) => claimed,
                Err(error) => {
                    warn!("{} has to wait: {error}", queue.name);
                    tokio::time::sleep(REST).await;
                    continue;
                }
            };
            let idle = claimed.is_empty();
            for stored in claimed {
                let slot = slots
                    .clone()
                    .acquire_owned()
                    .await
                    .expect("the semaphore is never closed");
                let (this, handler, name) = (this.clone(), handler.clone(), queue.name.clone());
                let end = stop.end.clone();
                let mut work = Box::pin(async move {
                    this.handle(&name, stored, handler.as_ref(), end).await;
                    drop(slot);
                });
                // Begun in the order of the queue, as spawned tasks are not.
                if work.as_mut().now_or_never().is_none() {
                    tracker.spawn(work);
                }
            }
            if idle {
                tokio::select! {
                    () = rung => {}
                    () = tokio::time::sleep(POLL) => {}
                    () = stop.leave.cancelled() => {}
                }
            }
        }
        tracker.close();
        tracker.wait().await;
    }

    fn health(&self) -> Health {
        Health {
            publishing: true,
            consuming: true,
            server: "in-process".to_owned(),
        }
    }
}
