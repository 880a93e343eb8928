//! What tells of a worker and manages it: events, remote control, the hello to its neighbours. On RabbitMQ only.

use std::sync::Arc;

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use waybill_tasks::celery::amqp::AmqpTransport;
use waybill_tasks::celery::control::{BrokerFacts, Facts, Panel, Pidbox, TaskFacts};
use waybill_tasks::celery::events::{EventLoop, EventSender, Software};
use waybill_tasks::celery::state::WorkerState;

use super::super::{App, Node};
use crate::config::{Broker, Settings};

/// As the connection asks for.
const BROKER_HEARTBEAT: u64 = 10;

/// A worker that is told of and managed, or one that is alone.
pub(super) struct Managed {
    introduced: CancellationToken,
    /// Takes what happens to tasks.
    pub(super) events: Option<EventSender>,
}

impl Managed {
    /// Ends when the worker may begin: its neighbours have told it what is revoked.
    pub(super) fn ready(&self) -> impl Future<Output = ()> + use<> {
        self.introduced.clone().cancelled_owned()
    }
}

/// Where events go, and the loop that sends them; nothing without RabbitMQ.
pub(super) fn telling(app: &App, state: &Arc<WorkerState>) -> Option<(EventSender, EventLoop)> {
    app.amqp.as_ref()?;
    Some(EventSender::new(Arc::clone(state), software()))
}

pub(super) fn start(
    app: &App,
    settings: &Settings,
    node: &Node,
    state: &Arc<WorkerState>,
    tasks: Vec<TaskFacts>,
    telling: Option<(EventSender, EventLoop)>,
) -> Managed {
    let introduced = CancellationToken::new();
    let (Some(amqp), Some(facts), Some((events, sending))) = (&app.amqp, facts(settings, node, tasks), telling) else {
        introduced.cancel();
        return Managed {
            introduced,
            events: None,
        };
    };
    // With the relays: what happens to tasks while the consumers stop is told too.
    app.relays
        .spawn(sending.run(amqp.mailbox(), node.heartbeat, app.relay_stop.clone()));
    let mut panel = Panel::new(Arc::clone(state), facts, Arc::new(app.engine.clone())).with_events(events.clone());
    if let Some(results) = &app.results {
        panel = panel.with_results(Arc::clone(results));
    }
    let answering = answer(
        app,
        amqp,
        Pidbox::new(panel, amqp.mailbox()),
        node.mingle,
        introduced.clone(),
    );
    app.relays.spawn(answering);
    Managed {
        introduced,
        events: Some(events),
    }
}

/// Says hello, then answers for as long as the process lives.
fn answer(
    app: &App,
    amqp: &Arc<AmqpTransport>,
    mut pidbox: Pidbox,
    mingle: bool,
    introduced: CancellationToken,
) -> impl Future<Output = ()> + use<> {
    let (transport, stop, end) = (Arc::clone(amqp), app.stop.clone(), app.relay_stop.clone());
    async move {
        if mingle {
            pidbox.mingle(transport.as_ref(), &stop).await;
        }
        introduced.cancel();
        pidbox.run(end).await;
    }
}

fn software() -> Software {
    Software {
        ident: "waybill".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// `None` without RabbitMQ.
fn facts(settings: &Settings, node: &Node, tasks: Vec<TaskFacts>) -> Option<Facts> {
    let Broker::Amqp(url) = &settings.broker else {
        return None;
    };
    Some(Facts {
        software: software(),
        tasks,
        broker: BrokerFacts::of(url, BROKER_HEARTBEAT).ok()?,
        settings: shown(settings, node),
    })
}

/// The settings by Celery's names.
fn shown(settings: &Settings, node: &Node) -> Map<String, Value> {
    let described = |name: &str| {
        let found = settings.describe().iter().find(|setting| setting.name == name);
        found.map_or(Value::Null, |setting| setting.value.clone().into())
    };
    let entries = [
        ("broker_url", described("WAYBILL_BROKER_URL")),
        ("result_backend", described("WAYBILL_RESULT_BACKEND")),
        ("task_default_queue", settings.queues.tasks.clone().into()),
        ("task_acks_late", true.into()),
        (
            "task_time_limit",
            node.time_limit.map(|limit| limit.as_secs_f64()).into(),
        ),
        (
            "task_soft_time_limit",
            node.soft_time_limit.map(|limit| limit.as_secs_f64()).into(),
        ),
        ("worker_concurrency", node.concurrency.into()),
        ("worker_prefetch_multiplier", node.prefetch_multiplier.into()),
        ("worker_send_task_events", node.task_events.into()),
        ("accept_content", node.accept.names().into()),
        ("enable_utc", true.into()),
        ("timezone", "UTC".into()),
    ];
    entries
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}
