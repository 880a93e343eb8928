//! A process that only publishes and consumes, on either transport; it can die in the middle.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::TimeDelta;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use waybill::app::{open_database, read_template};
use waybill::config::{Role, Settings};
use waybill::engine::{Engine, Outside};
use waybill::local::LocalTransport;
use waybill::relay::Outlet;
use waybill::store::{Crypt, DataKey, Store};
use waybill_tasks::celery::amqp::{AmqpOptions, AmqpTransport};
use waybill_tasks::celery::message::Message;
use waybill_tasks::celery::transport::{Delivery, Handler, PublishError, Queue, Routing, Transport, Verdict};

/// A process with a runtime of its own. Dropped, it dies with all that it has in hand.
pub(crate) struct Carrier {
    runtime: Option<Runtime>,
    transport: Arc<dyn Transport>,
    amqp: Option<Arc<AmqpTransport>>,
    stop: CancellationToken,
    consumers: TaskTracker,
}

/// What a message says that makes its consumer panic the first time.
pub(crate) const PANIC: &[u8] = b"panic";

/// What a consumer was handed, and what it answers.
pub(crate) struct Consumer {
    taken: Mutex<Vec<Delivery>>,
    /// Each message needs one to be answered.
    pub(crate) permits: Semaphore,
    /// Answered first, as many as there are; then everything is acknowledged.
    refusals: AtomicUsize,
    in_hand: AtomicUsize,
    pub(crate) most_in_hand: AtomicUsize,
}

impl Carrier {
    /// On the SQLite file in that folder, with a clock that is so much ahead.
    pub(crate) fn local(folder: &Path, ahead: TimeDelta) -> Self {
        let runtime = runtime();
        let transport = runtime.block_on(open_local(folder, ahead));
        Self::new(runtime, transport, None)
    }

    /// On RabbitMQ.
    pub(crate) fn amqp(url: &str) -> Self {
        let runtime = runtime();
        let on = runtime.enter();
        let transport =
            AmqpTransport::connect(AmqpOptions::new(url.to_owned().into(), "carrier")).expect("an AMQP URL");
        drop(on);
        Self::new(runtime, transport.clone(), Some(transport))
    }

    fn new(runtime: Runtime, transport: Arc<dyn Transport>, amqp: Option<Arc<AmqpTransport>>) -> Self {
        Self {
            runtime: Some(runtime),
            transport,
            amqp,
            stop: CancellationToken::new(),
            consumers: TaskTracker::new(),
        }
    }

    /// Ends well: what is in hand is answered.
    pub(crate) fn end(self) {
        self.stop.cancel();
        self.consumers.close();
        self.runtime().block_on(async {
            self.consumers.wait().await;
            if let Some(amqp) = &self.amqp {
                amqp.close().await;
            }
        });
    }

    pub(crate) fn publish(&self, message: Message, routing: Routing) -> Result<(), PublishError> {
        self.runtime().block_on(self.transport.publish(message, routing))
    }

    /// Consumes with so many permits, and gives the first so many back.
    pub(crate) fn consume(&self, queue: &str, prefetch: u16, permits: usize, refusals: usize) -> Arc<Consumer> {
        let consumer = Arc::new(Consumer {
            taken: Mutex::default(),
            permits: Semaphore::new(permits),
            refusals: AtomicUsize::new(refusals),
            in_hand: AtomicUsize::new(0),
            most_in_hand: AtomicUsize::new(0),
        });
        let queue = Queue {
            name: queue.to_owned(),
            bindings: Vec::new(),
            prefetch,
        };
        let (transport, handler, stop) = (self.transport.clone(), consumer.clone(), self.stop.clone());
        let consuming = async move { transport.consume(queue, handler, stop.into()).await };
        self.consumers.spawn_on(consuming, self.runtime().handle());
        consumer
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("it is alive")
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Consumer {
    /// What it was handed so far.
    pub(crate) fn taken(&self) -> Vec<Delivery> {
        self.taken.lock().expect("nobody panics with it").clone()
    }
}

#[async_trait]
impl Handler for Consumer {
    async fn handle(&self, delivery: &Delivery) -> Verdict {
        assert!(delivery.redelivered || delivery.message.body != PANIC, "as it was told");
        let now = self.in_hand.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_in_hand.fetch_max(now, Ordering::SeqCst);
        self.taken.lock().expect("nobody panics with it").push(delivery.clone());
        self.permits.acquire().await.expect("never closed").forget();
        self.in_hand.fetch_sub(1, Ordering::SeqCst);
        let refused = self
            .refusals
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if refused.is_ok() {
            Verdict::Requeue
        } else {
            Verdict::Ack
        }
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

async fn open_local(folder: &Path, ahead: TimeDelta) -> Arc<LocalTransport> {
    let settings =
        Settings::load_in(folder, std::iter::empty(), Role::Operator).expect("no settings are good settings");
    let db = open_database(&settings, false).await.expect("a database file");
    let keys = settings
        .data_keys
        .as_ref()
        .expect("its key")
        .0
        .iter()
        .map(DataKey::duplicate);
    let store = Store::open(db, Arc::new(Crypt::new(keys.collect())), ahead)
        .await
        .expect("a store");
    let outside = Outside {
        queue: settings.queues.tasks.clone(),
        default_partner: String::new(),
        adapters: BTreeMap::new(),
        public_url: String::new(),
        handover_codes: false,
        local: true,
    };
    let (outlet, _nobody_publishes) = Outlet::new();
    let template = read_template(&settings).expect("the graphs that are compiled in");
    let started = Engine::start(store, template, outside, outlet.after_commit()).await;
    let (engine, _committer) = started.expect("an engine");
    LocalTransport::new(engine, outlet.messages.clone())
}
