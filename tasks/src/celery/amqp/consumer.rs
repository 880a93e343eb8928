//! One consumer of one queue, on a channel of its own, made again whenever it ends.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use futures_util::{FutureExt as _, StreamExt as _};
use lapin::Channel;
use lapin::message::Delivery as Received;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::coop::consume_budget;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use super::backoff::Backoff;
use super::link::{ANSWER, Link, Session};
use super::pace::Pace;
use super::settler::{self, Settled, Settler};
use super::topology::{self, QueueKind, TopologyError};
use super::values::{from_wire, short};
use crate::celery::message::{HeaderValue, Message};
use crate::celery::transport::{Delivery, Handler, Queue, Receipt, Stop, Verdict};

/// How long messages in hand may take to finish when the process ends.
const FINISH: Duration = Duration::from_secs(20);

/// RabbitMQ's channel passes on so many acknowledgements at once to a quorum queue, keeps the rest for a moment, and forgets them when it
/// is closed; it does not tell when the last has gone. What is forgotten comes again, and is known by its result.
const PASSED_ON: Duration = Duration::from_millis(500);

/// Consumes until it is to leave.
pub(super) async fn run(mut link: Link, consumer: Consumer) {
    let mut backoff = Backoff::default();
    let mut said = String::new();
    let mut warned = false;
    while let Some(session) = or_stop(link.ready(), &consumer.hand.stop.leave).await.flatten() {
        let since = tokio::time::Instant::now();
        let ended = consumer.use_session(&session, &mut warned).await;
        consumer.set_alive(false);
        let Err(ended) = ended else { return };
        if since.elapsed() > Duration::from_secs(10) {
            backoff.reset();
            said.clear();
        }
        let queue = consumer.queue.name.clone();
        metrics::counter!("consumer_ended_total", "queue" => queue, "refused" => if ended.refused { "yes" } else { "no" }).increment(1);
        let wait = match ended.refused {
            true => Backoff::after_refusal(),
            false => backoff.next(),
        };
        if ended.reason != said {
            ended.tell(&consumer.queue.name);
            said = ended.reason;
        }
        if or_stop(tokio::time::sleep(wait), &consumer.hand.stop.leave)
            .await
            .is_none()
        {
            break;
        }
    }
    consumer.finish().await;
}

/// Why a session of a consumer is over.
struct Ended {
    reason: String,
    /// The broker does not let us; until somebody gives us the permission it will not.
    refused: bool,
}

impl Ended {
    fn tell(&self, queue: &str) {
        let Self { reason, refused } = self;
        if *refused {
            error!(
                queue,
                "{queue} is not consumed: give our user configure, write and read on it, or take it from our queues; trying again until then: {reason}"
            );
        } else {
            warn!(queue, "consumer of {queue} ended, starting it again: {reason}");
        }
    }
}

impl From<String> for Ended {
    fn from(reason: String) -> Self {
        Self { reason, refused: false }
    }
}

impl From<&str> for Ended {
    fn from(reason: &str) -> Self {
        reason.to_owned().into()
    }
}

impl From<TopologyError> for Ended {
    fn from(error: TopologyError) -> Self {
        Self {
            refused: matches!(error, TopologyError::Refused { .. }),
            reason: error.to_string(),
        }
    }
}

async fn or_stop<T>(future: impl Future<Output = T>, stop: &CancellationToken) -> Option<T> {
    tokio::select! {
        biased;
        () = stop.cancelled() => None,
        value = future => Some(value),
    }
}

/// What a consumer keeps over its sessions.
pub(super) struct Consumer {
    queue: Queue,
    hand: Arc<Hand>,
    alive: Arc<AtomicBool>,
    /// Messages in hand that are not acknowledged, those of lost sessions too: their work goes on, and counts.
    slots: Arc<Semaphore>,
    running: TaskTracker,
    pace: Pace,
}

impl Consumer {
    pub(super) fn new(queue: Queue, handler: Arc<dyn Handler>, stop: Stop, alive: Arc<AtomicBool>) -> Self {
        let slots = Arc::new(Semaphore::new(queue.prefetch.max(1).into()));
        let hand = Hand {
            handler,
            stop,
            held_up: AtomicU32::new(0),
        };
        Self {
            queue,
            hand: Arc::new(hand),
            alive,
            slots,
            running: TaskTracker::new(),
            pace: Pace::default(),
        }
    }

    fn set_alive(&self, alive: bool) {
        // Counted, because one consumer of a queue leaves while the next is there already.
        let change = f64::from(u8::from(alive)) - f64::from(u8::from(self.alive.swap(alive, Ordering::Relaxed)));
        metrics::gauge!("consumer_alive", "queue" => self.queue.name.clone()).increment(change);
    }

    /// `Ok` when stopped; otherwise why the session is over.
    async fn use_session(&self, session: &Session, warned: &mut bool) -> Result<(), Ended> {
        let kind = topology::ensure(session, &self.queue).await?;
        if kind != QueueKind::Quorum && !std::mem::replace(warned, true) {
            let name = &self.queue.name;
            warn!(queue = %name, "queue {name} is {kind}, not quorum: it is used as it is, and as safe as its owner made it");
        }
        let channel = session.channel().await?;
        let mut deliveries = self.subscribe(&channel).await?;
        let (settler, finished) = mpsc::unbounded_channel();
        let settling = tokio::spawn(settler::run(channel.clone(), finished));
        let lasts = Arc::new(());
        self.set_alive(true);
        info!(queue = %self.queue.name, prefetch = self.queue.prefetch, "consuming {}", self.queue.name);
        loop {
            let received = match or_stop(deliveries.next(), &self.hand.stop.leave).await {
                None => break,
                Some(Some(Ok(received))) => received,
                Some(Some(Err(error))) => return Err(error.to_string().into()),
                Some(None) => return Err("the broker cancelled it: the queue is gone or has moved".into()),
            };
            // Free at once, unless messages of a lost session are still in hand.
            let slot = tokio::select! {
                biased;
                () = self.hand.stop.leave.cancelled() => {
                    settle(&settler, Settled::Requeue(received.delivery_tag));
                    break;
                }
                slot = self.slots.clone().acquire_owned() => slot.map_err(|error| Ended::from(error.to_string()))?,
                () = session.end_of(&channel) => return Err("the connection was lost".into()),
            };
            self.start(received, slot, settler.clone(), Arc::downgrade(&lasts));
            // However many are finished at once, others on this thread have their turn.
            consume_budget().await;
        }
        self.leave(&channel, deliveries, &settler).await;
        // Who did not finish in time keeps a sender: those messages come again.
        drop(settler);
        let _ = timeout(ANSWER, settling).await;
        if kind == QueueKind::Quorum {
            tokio::time::sleep(PASSED_ON).await;
        }
        // Closing waits for the broker, and the broker reads in order: the acknowledgements before it are there.
        let _ = timeout(ANSWER, channel.close(200, "done".into())).await;
        Ok(())
    }

    async fn subscribe(&self, channel: &Channel) -> Result<lapin::Consumer, Ended> {
        let name = short("a queue's name", &self.queue.name).map_err(|error| error.to_string())?;
        let subscribing = async {
            // Before the first message: lapin buffers without limit whatever the broker sends.
            channel
                .basic_qos(self.queue.prefetch.max(1), BasicQosOptions { global: false })
                .await?;
            channel
                .basic_consume(name, "".into(), BasicConsumeOptions::default(), FieldTable::default())
                .await
        };
        Ok(topology::answered(&self.queue.name, subscribing).await?)
    }

    fn start(&self, received: Received, slot: OwnedSemaphorePermit, settler: Settler, session: Weak<()>) {
        if received.redelivered {
            metrics::counter!("redelivered_total", "queue" => self.queue.name.clone()).increment(1);
        }
        let tag = received.delivery_tag;
        let delivery = Delivery {
            queue: self.queue.name.clone(),
            redelivered: received.redelivered,
            message: from_wire(received),
        };
        let hand = Arc::clone(&self.hand);
        // The broker counts what is not acknowledged, and so do we: a task that is acknowledged early makes room for the next.
        let slot = Arc::new(Mutex::new(Some(slot)));
        let quick = self.pace.is_quick();
        let mut work = Box::pin(async move {
            let (early, place) = (settler.clone(), Arc::clone(&slot));
            let receipt = Receipt::new(hand.stop.end.clone(), move || {
                settle(&early, Settled::Ack(tag));
                drop(place.lock().unwrap_or_else(PoisonError::into_inner).take());
            });
            let receipt = if quick { receipt } else { receipt.in_line() };
            let verdict = hand.deal_with(delivery, &receipt, &session).await;
            match verdict {
                _ if receipt.acknowledged() => (),
                Verdict::Ack => settle(&settler, Settled::Ack(tag)),
                Verdict::Reject => settle(&settler, Settled::Reject(tag)),
                Verdict::Wait | Verdict::Requeue => settle(&settler, Settled::Requeue(tag)),
            }
            drop(slot);
        });
        let pace = self.pace.clone();
        if quick {
            if let Some(waiting) = pace.look(work) {
                self.running.spawn(waiting);
            }
            return;
        }
        // Spawned tasks begin in any order, the last one first above all: what must be in the order of the queue is done here.
        if work.as_mut().now_or_never().is_none() {
            self.running.spawn(async move {
                if let Some(waiting) = pace.look(work) {
                    waiting.await;
                }
            });
        }
    }

    /// What has arrived and is not started goes back, what is in hand is finished.
    async fn leave(&self, channel: &Channel, mut deliveries: lapin::Consumer, settler: &Settler) {
        let cancelled = timeout(
            ANSWER,
            channel.basic_cancel(deliveries.tag(), BasicCancelOptions::default()),
        )
        .await;
        if !matches!(cancelled, Ok(Ok(()))) {
            warn!(queue = %self.queue.name, "the consumer of {} was not cancelled in time", self.queue.name);
        }
        while let Some(Some(Ok(received))) = deliveries.next().now_or_never() {
            settle(settler, Settled::Requeue(received.delivery_tag));
        }
        self.finish().await;
    }

    async fn finish(&self) {
        self.running.close();
        if or_stop(self.running.wait(), &self.hand.stop.end).await.is_some() {
            return;
        }
        if timeout(FINISH, self.running.wait()).await.is_err() {
            let left = self.running.len();
            warn!(queue = %self.queue.name, "{left} messages of {} did not finish; they come again", self.queue.name);
        }
    }
}

/// Deals with messages, in every session of a consumer.
struct Hand {
    handler: Arc<dyn Handler>,
    stop: Stop,
    /// How many tries in a row came to nothing: the wait before the next grows with it.
    held_up: AtomicU32,
}

impl Hand {
    /// Until it is dealt with, or has to go back. Of a session that is over it comes again by itself, perhaps to somebody else.
    async fn deal_with(&self, mut delivery: Delivery, receipt: &Receipt, session: &Weak<()>) -> Verdict {
        let came = Instant::now();
        loop {
            let verdict = AssertUnwindSafe(self.handler.handle_with(&delivery, receipt))
                .catch_unwind()
                .await
                .unwrap_or_else(|_| {
                    error!("a message handler panicked; its message goes back");
                    Verdict::Requeue
                });
            match verdict {
                _ if receipt.acknowledged() => return verdict,
                Verdict::Ack => self.held_up.store(0, Ordering::Relaxed),
                Verdict::Reject => (),
                Verdict::Wait | Verdict::Requeue => self.slow_down().await,
            }
            let is_over = self.stop.leave.is_cancelled() || session.strong_count() == 0;
            if verdict != Verdict::Wait || is_over || came.elapsed() >= patience(&delivery.message) {
                return verdict;
            }
            delivery.redelivered = true;
        }
    }

    /// What could not be stored now will hardly be in the next millisecond.
    async fn slow_down(&self) {
        let before = self.held_up.fetch_add(1, Ordering::Relaxed);
        let pause = Duration::from_millis(100)
            .saturating_mul(1 << before.min(6))
            .min(Duration::from_secs(5));
        or_stop(tokio::time::sleep(pause), &self.stop.end).await;
    }
}

/// How long a message that cannot be dealt with now is kept before another consumer may try. Quorum queues of RabbitMQ 4.0 to 4.2 delete
/// what came back twenty times: the oftener it has, the longer it is kept. All brokers' patience ends after half an hour.
fn patience(message: &Message) -> Duration {
    let times = match message.headers.get("x-delivery-count") {
        Some(HeaderValue::Int(times)) => u32::try_from(*times).unwrap_or_default(),
        _ => 0,
    };
    Duration::from_secs(30)
        .saturating_mul(1 << times.min(5))
        .min(Duration::from_secs(900))
}

/// An answer belongs to the session that brought the message. If that is over, the message comes again by itself.
fn settle(settler: &Settler, settled: Settled) {
    if settler.send(settled).is_err() {
        settler::stale(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_times_last_for_hours_and_no_time_for_the_brokers_half_hour() {
        let patience = |times| {
            let mut message = Message::default();
            message
                .headers
                .insert("x-delivery-count".to_owned(), HeaderValue::Int(times));
            super::patience(&message)
        };

        assert_eq!(super::patience(&Message::default()), Duration::from_secs(30));
        assert_eq!([0, 1, 2, -1].map(patience), [30, 60, 120, 30].map(Duration::from_secs));
        assert!((0..20).map(patience).sum::<Duration>() > Duration::from_secs(4 * 3600));
        assert_eq!(
            [5, 19, i64::MAX].map(|times| patience(times).as_secs() < 1800),
            [true; 3]
        );
    }
}
