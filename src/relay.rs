//! The relay: publishes what commits demand, right after them, and whatever a crash or an absent broker left, in order per delivery order.
//!
//! Safe when it publishes twice: a task's id is its effect's id, and an effect acts once.

mod refusals;

use std::collections::{BTreeMap, HashMap};
use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};
use waybill_domain::OrderId;
use waybill_tasks::celery::message::Message;
use waybill_tasks::celery::transport::{PublishError, Routing, Transport};

use crate::engine::{EVENTS_EXCHANGE, Engine, EngineError, unpack};
use crate::store::Leadership;
use crate::store::committer::{AfterCommit, Committed};
use crate::store::record::Effect;
use refusals::{Destination, Refusals, Turn};

/// Commits whose effects wait to be published, at most; beyond that the relay finds them in the table.
const COMMITS: usize = 1024;
/// How many lots of effects are published at the same time.
const AT_ONCE: usize = 4;
/// How many effects make a lot that takes no further commit along.
const TOGETHER: usize = 256;
/// How often the leader looks at what is due.
const TICK: Duration = Duration::from_millis(250);
/// How long after a look the next one is at the earliest: under load nearly every commit rings, and one look serves them all.
const BREATH: Duration = Duration::from_millis(40);
/// How often another process asks whether the lead is free.
const CANDIDACY: Duration = Duration::from_secs(1);
/// How often the leader looks for tasks that nobody finished.
const FORGOTTEN_EVERY: u32 = 240;
/// What one look takes.
const BATCH: i64 = 256;
/// When what may have reached the broker, or not, is published again.
const UNKNOWN: Duration = Duration::from_secs(2);

/// What the committer tells after each commit, and who waits for it.
#[derive(Debug)]
pub struct Outlet {
    effects: mpsc::Sender<Vec<Effect>>,
    /// Rings when the in-process transport has new messages.
    pub messages: Arc<Notify>,
    /// Rings when something may be due earlier.
    pub due: Arc<Notify>,
    /// Rings when subscribers may have something to hear.
    pub told: Arc<Notify>,
}

/// What was committed and is to be published.
pub type Committing = mpsc::Receiver<Vec<Effect>>;

impl Outlet {
    /// An outlet, and what comes out of it.
    pub fn new() -> (Arc<Self>, Committing) {
        let (effects, committing) = mpsc::channel(COMMITS);
        (
            Arc::new(Self {
                effects,
                messages: Arc::default(),
                due: Arc::default(),
                told: Arc::default(),
            }),
            committing,
        )
    }

    /// For the committer.
    pub fn after_commit(self: &Arc<Self>) -> AfterCommit {
        let outlet = self.clone();
        Arc::new(move |effects, committed: Committed| {
            if !effects.is_empty() && outlet.effects.try_send(effects).is_err() {
                metrics::counter!("relay_overflow_total").increment(1);
            }
            if committed.messages {
                outlet.messages.notify_waiters();
            }
            if committed.due {
                outlet.due.notify_one();
            }
            if committed.told {
                outlet.told.notify_one();
            }
        })
    }
}

/// The relay of one process.
#[derive(Clone)]
pub struct Relay {
    engine: Engine,
    transport: Arc<dyn Transport>,
    refusals: Arc<Refusals>,
}

/// Why something was not published.
enum Unpublished {
    /// Its queue refuses, for that cause; whether it was tried or not.
    Refused(String),
    /// Nobody knows whether it reached the broker.
    Unknown(String),
}

impl Relay {
    /// Publishes over this transport.
    pub fn new(engine: Engine, transport: Arc<dyn Transport>) -> Self {
        Self {
            engine,
            transport,
            refusals: Arc::default(),
        }
    }

    /// Publishes what this process commits, until `stop`.
    pub async fn follow(self, mut committing: Committing, stop: CancellationToken) {
        let tracker = TaskTracker::new();
        let slots = Arc::new(Semaphore::new(AT_ONCE));
        loop {
            let effects = tokio::select! {
                effects = committing.recv() => effects,
                () = stop.cancelled() => None,
            };
            // At the end what is committed already is still published; what cannot be is found by whoever leads then.
            let Some(mut effects) = effects.or_else(|| committing.try_recv().ok()) else {
                break;
            };
            let slot = slots
                .clone()
                .acquire_owned()
                .await
                .expect("the semaphore is never closed");
            // What was committed meanwhile goes along: its confirms are recorded by the same statement.
            while effects.len() < TOGETHER
                && let Ok(more) = committing.try_recv()
            {
                effects.extend(more);
            }
            let relay = self.clone();
            tracker.spawn(async move {
                relay.publish(effects).await;
                drop(slot);
            });
        }
        tracker.close();
        tracker.wait().await;
    }

    /// Looks after what is due, as long as this process leads, until `stop`.
    pub async fn look_after(self, due: Arc<Notify>, stop: CancellationToken) {
        let mut leadership: Option<Leadership> = None;
        let mut tick = 0_u32;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = due.notified() => {}
                () = tokio::time::sleep(TICK) => {}
            }
            let leads = match &mut leadership {
                Some(leadership) => leadership.lasts().await,
                None => false,
            };
            if !leads {
                leadership = self.engine.store().lead().await.unwrap_or_default();
                if leadership.is_none() {
                    stop.run_until_cancelled(tokio::time::sleep(CANDIDACY)).await;
                    continue;
                }
                info!("this process looks after what is due");
            }
            let mut rest = BREATH;
            if let Err(error) = self.look(tick.is_multiple_of(FORGOTTEN_EVERY)).await {
                let cause = error.source().map_or_else(String::new, |source| format!(": {source}"));
                warn!("what is due has to wait: {error}{cause}");
                // Another process may reach the store, or know the graph version that this one does not.
                leadership = None;
                rest = CANDIDACY;
            }
            tick = tick.wrapping_add(1);
            stop.run_until_cancelled(tokio::time::sleep(rest)).await;
        }
    }

    async fn look(&self, forgotten: bool) -> Result<(), EngineError> {
        let store = self.engine.store();
        // What is in the way of one order keeps nothing else waiting: it is answered at the end.
        let fired = self.fire_deadlines().await;
        let lag = store.lag().await?;
        metrics::gauge!("outbox_unsent").set(lag.waiting as f64);
        let oldest = match lag.oldest {
            Some(oldest) => (store.now().await? - oldest).as_seconds_f64(),
            None => 0.0,
        };
        metrics::gauge!("outbox_oldest_seconds").set(oldest);
        if !self.transport.health().publishing {
            return fired;
        }
        loop {
            let held = self.refusals.causes(Instant::now());
            let effects = store.due_effects(BATCH, &held).await?;
            let full = effects.len() == BATCH as usize;
            if !self.publish(effects).await || !full {
                break;
            }
        }
        let asked = match forgotten {
            true => self.ask_again().await,
            false => Ok(()),
        };
        self.publish_parked().await?;
        fired.and(asked)
    }

    /// Lets happen what is due, each as it can.
    async fn fire_deadlines(&self) -> Result<(), EngineError> {
        let due = self.engine.store().due_deadlines(BATCH).await?;
        let fired = join_all(due.into_iter().map(|due| self.engine.fire(due))).await;
        let happened = fired.iter().filter(|fired| matches!(fired, Ok(true))).count();
        metrics::counter!("deadlines_fired_total").increment(happened as u64);
        fired.into_iter().try_for_each(|fired| fired.map(drop))
    }

    /// Asks for what nobody was heard of for long: deliveries at their partners, tasks by publishing them again.
    async fn ask_again(&self) -> Result<(), EngineError> {
        let asked = self.engine.ask_about_silent(BATCH).await;
        if let Ok(asked @ 1..) = asked {
            info!("{asked} deliveries fell silent: their partners are asked");
        }
        let effects = self.engine.store().forgotten_effects(BATCH).await?;
        if !effects.is_empty() {
            warn!(
                "{} tasks were published long ago and nobody ended them: published again",
                effects.len()
            );
            // Before, whatever becomes of it: what is never ended takes no other's turn.
            self.engine.put_back(&effects).await?;
            self.publish(effects).await;
        }
        asked.map(drop)
    }

    /// Publishes effects, those of one order one after the other. Answers whether the broker and the store go along; a queue that
    /// refuses keeps nobody from what is for others.
    async fn publish(&self, effects: Vec<Effect>) -> bool {
        let mut by_order: HashMap<Option<OrderId>, Vec<Effect>> = HashMap::new();
        let mut alone = Vec::new();
        for effect in effects {
            match effect.order_id {
                Some(_) => by_order.entry(effect.order_id).or_default().push(effect),
                None => alone.push(vec![effect]),
            }
        }
        let orders = by_order
            .into_values()
            .chain(alone)
            .map(|effects| self.publish_in_order(effects));
        let mut sent = Vec::new();
        let (mut refused, mut unknown) = (BTreeMap::new(), BTreeMap::new());
        for (confirmed, failed) in join_all(orders).await {
            sent.extend(confirmed);
            match failed {
                Some((effect, Unpublished::Unknown(cause))) => _ = unknown.insert(effect.effect_id, cause),
                // It says so already.
                Some((effect, Unpublished::Refused(cause))) if effect.cause.as_ref() == Some(&cause) => (),
                Some((effect, Unpublished::Refused(cause))) => _ = refused.insert(effect.effect_id, cause),
                None => (),
            }
        }
        let mut all = unknown.is_empty();
        if !refused.is_empty() {
            all &= kept("held", self.engine.hold(refused).await);
        }
        if !unknown.is_empty() {
            kept("deferred", self.engine.defer(unknown, UNKNOWN).await);
        }
        if !sent.is_empty() {
            // They will be published again, and act once.
            all &= kept("marked as sent", self.engine.mark_sent(&sent).await);
        }
        all
    }

    async fn publish_in_order(&self, mut effects: Vec<Effect>) -> (Vec<Effect>, Option<(Effect, Unpublished)>) {
        effects.sort_by_key(|effect| (effect.sequence, effect.ordinal));
        let mut sent = Vec::new();
        for effect in effects {
            let message = self.engine.message_of(&effect);
            // A task must reach its queue; an event may interest nobody.
            let routing = if message.exchange == EVENTS_EXCHANGE {
                Routing::Optional
            } else {
                Routing::Mandatory
            };
            match self.offer(message, routing).await {
                Ok(()) => sent.push(effect),
                Err(unpublished) => return (sent, Some((effect, unpublished))),
            }
        }
        (sent, None)
    }

    /// Publishes, unless the queue is known to refuse and it is not this message's turn to ask.
    async fn offer(&self, message: Message, routing: Routing) -> Result<(), Unpublished> {
        let to = Destination::of(&message);
        let turn = self.refusals.turn(&to, Instant::now());
        if let Turn::Waits(cause) = turn {
            return Err(Unpublished::Refused(cause));
        }
        let Err(error) = self.transport.publish(message, routing).await else {
            self.refusals.taken(&to, &turn);
            return Ok(());
        };
        let cause = error.to_string();
        match error {
            // What is no fault of its queue's keeps nothing else that is for it waiting.
            PublishError::Unconfirmed(_) | PublishError::Impossible(_) => return Err(Unpublished::Unknown(cause)),
            PublishError::Unroutable { exchange, .. } if exchange == EVENTS_EXCHANGE => {
                self.transport.ensure_exchange(EVENTS_EXCHANGE).await;
            }
            PublishError::Unroutable { .. } | PublishError::Refused { .. } => {}
        }
        self.refusals.refused(&to, &turn, cause.clone(), Instant::now());
        Err(Unpublished::Refused(cause))
    }

    async fn publish_parked(&self) -> Result<(), EngineError> {
        let store = self.engine.store();
        let mut published = Vec::new();
        let held = self.refusals.queues(Instant::now());
        for parked in store.due_messages(BATCH, &held).await? {
            let message = match unpack(store, "parked_messages", parked.message_id, &parked.message) {
                // Back to the queue that it came from.
                Ok(message) => message.into_message().into_queue(&parked.queue),
                Err(error) => {
                    warn!("message {} cannot be read: {error}", parked.message_id);
                    continue;
                }
            };
            match self.offer(message, Routing::Mandatory).await {
                Ok(()) => published.push(parked.message_id),
                // It stays due, and is left out until its queue is asked again.
                Err(Unpublished::Refused(_)) => (),
                Err(Unpublished::Unknown(cause)) => warn!("message {} has to wait: {cause}", parked.message_id),
            }
        }
        if !published.is_empty() {
            self.engine.unpark(published).await?;
        }
        Ok(())
    }
}

/// Whether what became of effects could be written.
fn kept(what: &str, written: Result<(), EngineError>) -> bool {
    if let Err(error) = &written {
        warn!("effects could not be {what}: {error}");
    }
    written.is_ok()
}
