//! What a worker knows of itself: the tasks it has in hand, what was revoked, its limits, its pool, its queues, its clock.
//!
//! One [`WorkerState`] is shared by the worker, its events and its remote control. All of it is in memory and bounded;
//! every lock is held for a few instructions, so that an answer about the worker never waits for a task.

mod clock;
mod equality;
mod limits;
mod pool;
mod queues;
mod revoked;
mod signal;
mod ticket;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::protocol::Request;
use super::registry::Rate;
use super::transport::Delivery;

pub use clock::LamportClock;
pub(super) use equality::equal;
pub use limits::TaskLimits;
pub use pool::{AllBusy, Pool, PoolPermit};
pub use queues::{ConsumedQueue, QueueCommand, Queues};
pub use revoked::REVOKED_AT_MOST;
pub use signal::{Signal, UnknownSignal};
pub use ticket::{Stage, TaskInHand, TaskTicket};
pub(super) use ticket::{args_repr, kwargs_repr};

use limits::Overrides;
use revoked::Revoked;

/// How many tasks of one name a worker counts apart: names come from its registry, so that this is never reached.
const NAMES_AT_MOST: usize = 10_000;

/// What a worker knows of itself.
pub struct WorkerState {
    nodename: String,
    began: Instant,
    next: AtomicU64,
    in_hand: Mutex<HashMap<u64, Arc<TaskInHand>>>,
    totals: Mutex<BTreeMap<String, u64>>,
    processed: AtomicU64,
    revoked: Mutex<Revoked>,
    /// Whether anything was ever revoked: nearly always not, and then no lock is taken.
    any_revoked: AtomicBool,
    overrides: Mutex<Overrides>,
    any_overrides: AtomicBool,
    task_events: AtomicBool,
    pool: Pool,
    queues: Queues,
    clock: LamportClock,
    stop: CancellationToken,
}

impl WorkerState {
    /// Of a worker with that node name, such as `waybill@host`, that runs so many tasks at once.
    pub fn new(nodename: impl Into<String>, concurrency: usize) -> Arc<Self> {
        Arc::new(Self {
            nodename: nodename.into(),
            began: Instant::now(),
            next: AtomicU64::new(0),
            in_hand: Mutex::default(),
            totals: Mutex::default(),
            processed: AtomicU64::new(0),
            revoked: Mutex::default(),
            any_revoked: AtomicBool::new(false),
            overrides: Mutex::default(),
            any_overrides: AtomicBool::new(false),
            task_events: AtomicBool::new(false),
            pool: Pool::new(concurrency),
            queues: Queues::new(),
            clock: LamportClock::default(),
            stop: CancellationToken::new(),
        })
    }

    /// What it is called by `celery inspect`.
    pub fn nodename(&self) -> &str {
        &self.nodename
    }

    /// Since it started.
    pub fn uptime(&self) -> Duration {
        self.began.elapsed()
    }

    /// How many tasks run at once.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// What it consumes.
    pub fn queues(&self) -> &Queues {
        &self.queues
    }

    /// The logical clock of events and remote control.
    pub fn clock(&self) -> &LamportClock {
        &self.clock
    }

    /// Is cancelled when somebody asks the worker from outside to shut down, warmly.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Whether events about tasks are sent.
    pub fn events_enabled(&self) -> bool {
        self.task_events.load(Ordering::Relaxed)
    }

    /// Sends events about tasks from now on, or no more; answers what was before.
    pub fn enable_events(&self, enabled: bool) -> bool {
        self.task_events.swap(enabled, Ordering::Relaxed)
    }
}

/// Tasks in hand.
impl WorkerState {
    /// A task has come: it is reserved until its ticket says more, and in hand until its ticket is dropped.
    pub fn received(self: &Arc<Self>, request: &Arc<Request>, delivery: &Delivery) -> TaskTicket {
        let key = self.next.fetch_add(1, Ordering::Relaxed);
        let task = Arc::new(TaskInHand::of(request, delivery));
        locked(&self.in_hand).insert(key, Arc::clone(&task));
        TaskTicket::new(Arc::clone(self), key, task)
    }

    /// Tasks that run.
    pub fn active(&self) -> Vec<Arc<TaskInHand>> {
        self.tasks(|task| task.stage() == Stage::Active)
    }

    /// Tasks that were received and do not run yet.
    pub fn reserved(&self) -> Vec<Arc<TaskInHand>> {
        self.tasks(|task| task.stage() == Stage::Reserved)
    }

    /// Everything in hand with that id. A message can be in hand twice: the broker hands it out again after a lost connection.
    pub fn find(&self, task_id: &str) -> Vec<Arc<TaskInHand>> {
        self.tasks(|task| task.request().id == task_id)
    }

    /// How many tasks run, and how many are in hand.
    pub fn counts(&self) -> (usize, usize) {
        let in_hand = locked(&self.in_hand);
        let active = in_hand.values().filter(|task| task.stage() == Stage::Active);
        (active.count(), in_hand.len())
    }

    /// How many tasks of each name were started.
    pub fn totals(&self) -> BTreeMap<String, u64> {
        locked(&self.totals).clone()
    }

    /// How many tasks were started.
    pub fn processed(&self) -> u64 {
        self.processed.load(Ordering::Relaxed)
    }

    fn tasks(&self, wanted: impl Fn(&TaskInHand) -> bool) -> Vec<Arc<TaskInHand>> {
        let in_hand = locked(&self.in_hand);
        let mut found: Vec<_> = in_hand.iter().filter(|(_, task)| wanted(task)).collect();
        found.sort_unstable_by_key(|(key, _)| **key);
        found.into_iter().map(|(_, task)| Arc::clone(task)).collect()
    }

    fn count(&self, name: &str) {
        self.processed.fetch_add(1, Ordering::Relaxed);
        let mut totals = locked(&self.totals);
        if let Some(total) = totals.get_mut(name) {
            *total += 1;
        } else if totals.len() < NAMES_AT_MOST {
            totals.insert(name.to_owned(), 1);
        }
    }

    fn left(&self, key: u64) {
        locked(&self.in_hand).remove(&key);
    }
}

/// Revocations.
impl WorkerState {
    /// Tasks with these ids are not to be started any more.
    pub fn revoke(&self, ids: impl IntoIterator<Item = impl Into<String>>) {
        let mut revoked = locked(&self.revoked);
        let now = Instant::now();
        for id in ids {
            revoked.add(id.into(), now);
        }
        self.any_revoked.store(true, Ordering::Release);
    }

    /// Tasks with one of these values of a stamp are not to be started any more.
    pub fn revoke_stamped(&self, stamp: &str, values: impl IntoIterator<Item = Value>) {
        locked(&self.revoked).add_stamps(stamp, values);
        self.any_revoked.store(true, Ordering::Release);
    }

    /// Whether a task was revoked, by its id or by a stamp.
    pub fn is_revoked(&self, request: &Request) -> bool {
        self.any_revoked.load(Ordering::Acquire) && locked(&self.revoked).has(request, Instant::now())
    }

    /// The ids that are revoked, the oldest first.
    pub fn revoked_ids(&self) -> Vec<String> {
        locked(&self.revoked).ids(Instant::now())
    }

    /// Ends the running tasks with these ids, and keeps those that wait from being started; answers the ids that were in hand.
    pub fn terminate(&self, ids: &[String], signal: Signal) -> Vec<String> {
        let in_hand = self.tasks(|task| ids.contains(&task.request().id));
        let mut ended = Vec::new();
        for task in in_hand {
            task.terminate(signal);
            if !ended.contains(&task.request().id) {
                ended.push(task.request().id.clone());
            }
        }
        ended
    }

    /// What is cancelled when a task in hand is to end at once; `None` if it is not in hand.
    pub fn cancel_token(&self, task_id: &str) -> Option<CancellationToken> {
        Some(self.find(task_id).first()?.termination().clone())
    }
}

/// Limits.
impl WorkerState {
    /// The limits that hold for a task now: its own, unless somebody has set others from outside.
    pub fn limits(&self, task: &str, own: TaskLimits) -> TaskLimits {
        match self.any_overrides.load(Ordering::Acquire) {
            false => own,
            true => locked(&self.overrides).over(task, own),
        }
    }

    /// Limits for tasks that have none of their own.
    pub fn limit_by_default(&self, soft: Option<Duration>, hard: Option<Duration>) {
        locked(&self.overrides).by_default(soft, hard);
        self.any_overrides.store(true, Ordering::Release);
    }

    /// At most so many of that task from now on; `None` takes the limit away.
    pub fn limit_rate(&self, task: &str, rate: Option<Rate>) {
        locked(&self.overrides).rate(task, rate);
        self.any_overrides.store(true, Ordering::Release);
    }

    /// So long from now on; `None` takes a limit away.
    pub fn limit_time(&self, task: &str, soft: Option<Duration>, hard: Option<Duration>) {
        locked(&self.overrides).time(task, soft, hard);
        self.any_overrides.store(true, Ordering::Release);
    }
}

impl fmt::Debug for WorkerState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (active, in_hand) = self.counts();
        formatter
            .debug_struct("WorkerState")
            .field("nodename", &self.nodename)
            .field("active", &active)
            .field("in_hand", &in_hand)
            .finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
