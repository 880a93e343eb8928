//! A real worker between a transport and a keeper that count, and tasks that take anything.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::runtime::Runtime;
use waybill_tasks::celery::message::Message;
use waybill_tasks::celery::protocol::Request;
use waybill_tasks::celery::registry::{Call, Registry, TaskOptions};
use waybill_tasks::celery::transport::{
    Delivery, Handler, Health, KeepError, Keeper, PublishError, Queue, Rejected, Routing, Stop, Transport, Verdict,
};
use waybill_tasks::celery::worker::Worker;

/// What the recorded messages ask for.
const TASKS: [&str; 4] = ["interop.add", "interop.identity", "interop.total", "interop.note_error"];

/// What became of a message.
#[derive(Debug)]
pub(crate) struct Fate {
    pub(crate) ran: u64,
    pub(crate) parked: u64,
    pub(crate) set_aside: u64,
    /// It came too late, and its sender wants to hear nothing of that.
    expired: bool,
    acknowledged: bool,
}

impl Fate {
    /// It is out of the queue, and it was dealt with in exactly one way.
    pub(crate) fn is_known(&self) -> bool {
        self.acknowledged && self.set_aside + self.parked + self.ran + u64::from(self.expired) == 1
    }
}

/// When the messages were recorded; those with an eta wait, those that expire have not.
const NOW: &str = "2026-11-21T11:09:32Z";

/// Counts what the worker does.
#[derive(Default)]
struct Counts {
    ran: AtomicU64,
    parked: AtomicU64,
    set_aside: AtomicU64,
    now: Mutex<Option<Message>>,
}

pub(crate) struct World {
    worker: Worker<Counts>,
    counts: Arc<Counts>,
    runtime: Runtime,
    now: DateTime<Utc>,
}

impl World {
    pub(crate) fn new() -> Self {
        let counts = Arc::new(Counts::default());
        let registry = TASKS.into_iter().fold(Registry::new(counts.clone()), |registry, name| {
            registry.function(name, TaskOptions::default(), async |call: Call<Counts>| {
                call.context.ran.fetch_add(1, Ordering::Relaxed);
                Ok(Value::Null)
            })
        });
        let now = NOW.parse().expect("an instant");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        Self {
            worker: Worker::new(
                registry,
                Arc::new(Counting(counts.clone())),
                Arc::new(Counting(counts.clone())),
            )
            .with_clock(move || now),
            now,
            counts,
            runtime,
        }
    }

    pub(crate) fn handle(&self, message: Message) -> Fate {
        let counts = &self.counts;
        for count in [&counts.ran, &counts.parked, &counts.set_aside] {
            count.store(0, Ordering::Relaxed);
        }
        *counts.now.lock().expect("nothing panics while it holds this") = Some(message.clone());
        let request = Request::decode(&message).ok();
        let expires = request.as_ref().and_then(|request| request.expires);
        let of_celery = request.is_some_and(|request| request.task.starts_with("celery."));
        let delivery = Delivery {
            queue: "celery".to_owned(),
            message,
            redelivered: false,
        };
        let verdict = self.runtime.block_on(self.worker.handle(&delivery));
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (parked, set_aside) = (of(&counts.parked), of(&counts.set_aside));
        // What cannot be run is set aside, whether it came too late or not: so does Python, which looks for the task first.
        let expired = set_aside == 0 && expires.is_some_and(|at| at <= self.now);
        Fate {
            // A task of Celery's own runs others within itself, or none.
            ran: match of_celery {
                true => u64::from(parked + set_aside == 0 && !expired),
                false => of(&counts.ran),
            },
            parked,
            set_aside,
            expired,
            acknowledged: verdict == Verdict::Ack,
        }
    }
}

struct Counting(Arc<Counts>);

#[async_trait]
impl Keeper for Counting {
    async fn quarantine(&self, rejected: Rejected) -> Result<(), KeepError> {
        let now = self.0.now.lock().expect("nothing panics while it holds this");
        let (kept, came) = (&rejected.delivery.message, now.as_ref().expect("a message"));
        // What is not a number is not equal to itself.
        assert!(
            kept == came || format!("{kept:?}") == format!("{came:?}"),
            "it is kept whole: {came:?}"
        );
        assert!(
            !rejected.reason.is_empty() && !rejected.place.is_empty(),
            "{rejected:?}"
        );
        self.0.set_aside.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn park(&self, _delivery: &Delivery, _until: DateTime<Utc>) -> Result<(), KeepError> {
        self.0.parked.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[async_trait]
impl Transport for Counting {
    async fn publish(&self, _message: Message, _routing: Routing) -> Result<(), PublishError> {
        Ok(())
    }

    async fn consume(&self, _queue: Queue, _handler: Arc<dyn Handler>, _stop: Stop) {}

    fn health(&self) -> Health {
        Health::default()
    }
}
