//! A worker as an application assembles it: tasks, events, remote control, consumers.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use waybill_tasks::celery::amqp::AmqpTransport;
use waybill_tasks::celery::consumers::Consumers;
use waybill_tasks::celery::control::{BrokerFacts, Facts, Panel, Pidbox, TaskFacts};
use waybill_tasks::celery::events::{EventSender, Software};
use waybill_tasks::celery::protocol::Signature;
use waybill_tasks::celery::registry::{Call, Registry, TaskOptions};
use waybill_tasks::celery::state::WorkerState;
use waybill_tasks::celery::transport::{Routing, Transport};
use waybill_tasks::celery::worker::Worker;

use crate::broker::{transport, until, url};
use crate::client::Client;
use crate::handlers::Shelf;

/// What tasks wait for.
pub(crate) struct Gate(pub(crate) Semaphore);

/// A worker that runs.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) transport: Arc<AmqpTransport>,
    pub(crate) state: Arc<WorkerState>,
    pub(crate) gate: Arc<Gate>,
    /// The transport, telling of what is sent over it.
    pub(crate) telling: Arc<dyn Transport>,
    stop: CancellationToken,
    end: CancellationToken,
    consuming: JoinHandle<()>,
    around: Vec<JoinHandle<()>>,
}

/// A name that no other test has.
pub(crate) fn name() -> String {
    format!("test-{}@host", Uuid::new_v4())
}

impl Node {
    /// A worker of that name that consumes these queues, and runs so many tasks at once.
    pub(crate) async fn start(name: &str, queues: &[&str], concurrency: usize) -> Self {
        let transport = transport().await;
        let gate = Arc::new(Gate(Semaphore::new(0)));
        let state = WorkerState::new(name, concurrency);
        let software = Software {
            ident: "test".to_owned(),
            version: "1".to_owned(),
        };
        let (events, sending) = EventSender::new(Arc::clone(&state), software.clone());
        let registry = registry(&gate);
        let facts = Facts {
            software,
            tasks: registry
                .catalogue()
                .iter()
                .map(|(name, options)| TaskFacts::of(name, options))
                .collect(),
            broker: BrokerFacts::of(&url().into(), 10).unwrap(),
            settings: Map::new(),
        };
        let keeper = Arc::new(Shelf::default());
        let worker = Worker::new(registry, transport.clone(), keeper.clone())
            .with_state(Arc::clone(&state))
            .with_events(events.clone());
        let telling = events.over(transport.clone());
        let panel = Panel::new(Arc::clone(&state), facts, keeper).with_events(events);
        let (stop, end) = (CancellationToken::new(), CancellationToken::new());
        let mut pidbox = Pidbox::new(panel, transport.mailbox());
        pidbox.mingle(transport.as_ref(), &stop).await;
        let consumers =
            Consumers::new(transport.clone(), Arc::new(worker), Arc::clone(&state)).with_mailbox(transport.mailbox());
        let queues = queues.iter().map(|queue| (*queue).to_owned()).collect();
        let heartbeat = Some(Duration::from_millis(300));
        Self {
            name: name.to_owned(),
            state,
            gate,
            telling,
            around: vec![
                tokio::spawn(sending.run(transport.mailbox(), heartbeat, end.clone())),
                tokio::spawn(pidbox.run(end.clone())),
            ],
            consuming: tokio::spawn(consumers.run(queues, stop.clone())),
            transport,
            stop,
            end,
        }
    }

    /// Waits until remote control answers.
    pub(crate) async fn listens(&self) {
        until("it listens", Duration::from_secs(10), async || {
            let mut client = Client::connect().await;
            client.ask(&self.name, "ping", json!({})).await.is_some()
        })
        .await;
    }

    /// Sends a task that waits for the gate.
    pub(crate) async fn send(&self, queue: &str, id: &str) {
        let message = Signature::new("test.wait").id(id).queue(queue).into_message();
        self.transport.publish(message, Routing::Mandatory).await.unwrap();
    }

    /// Ends as a process does: consumers first, what tells of them last.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.gate.0.add_permits(1000);
        self.consuming.await.unwrap();
        self.end.cancel();
        for task in self.around {
            task.await.unwrap();
        }
        self.transport.close().await;
    }
}

fn registry(gate: &Arc<Gate>) -> Registry<Gate> {
    Registry::new(Arc::clone(gate)).function("test.wait", TaskOptions::default(), |call: Call<Gate>| async move {
        call.context.0.acquire().await.unwrap().forget();
        let answer: Value = json!(call.request.id);
        Ok(answer)
    })
}
