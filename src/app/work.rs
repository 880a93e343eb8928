//! The consumers: payment events and tasks; and beside them what tells of the worker and manages it.

mod manage;

use std::sync::Arc;

use tracing::warn;
use waybill_tasks::celery::consumers::Consumers;
use waybill_tasks::celery::control::TaskFacts;
use waybill_tasks::celery::registry::Registry;
use waybill_tasks::celery::state::{ConsumedQueue, WorkerState};
use waybill_tasks::celery::transport::{Keeper as _, Queue, Transport};
use waybill_tasks::celery::worker::Worker;
use waybill_tasks::effects::{Effects, OutsideNames, register};

use super::{App, Does, Node, Work, results};
use crate::config::Settings;
use crate::payments;
use manage::Managed;

/// The exchange of payment events and our queue of them.
const PAYMENTS_EXCHANGE: &str = "payments";
const PAYMENTS_QUEUE: &str = "waybill.payments";
/// What is in hand at once: enough for one commit to serve many, and few enough to be handed out again without harm.
const PAYMENTS_PREFETCH: u16 = 128;
pub(super) async fn start(app: &mut App, settings: &Settings, does: &Does) {
    if does.work == Work::Nothing {
        return;
    }
    let state = state_of(&does.node);
    app.asked = state.stop().clone();
    state.queues().reserve(PAYMENTS_QUEUE, "payment events");
    match app.engine.revoked().await {
        Ok(ids) => state.revoke(ids),
        Err(error) => warn!("what was revoked before is not known: {error}"),
    }
    let telling = manage::telling(app, &state);
    let transport = match &telling {
        Some((events, _)) => events.over(app.transport.clone()),
        None => app.transport.clone(),
    };
    let registry = registry(app, settings, &transport);
    app.tasks = registry.names().map(str::to_owned).collect();
    let facts = registry
        .catalogue()
        .iter()
        .map(|(name, options)| TaskFacts::of(name, options))
        .collect();
    let managed = manage::start(app, settings, &does.node, &state, facts, telling);
    let worker = Worker::new(registry, transport.clone(), Arc::new(app.engine.clone()));
    let worker = results::follow(app, settings, transport, worker);
    consume_tasks(app, settings, does, &state, worker, &managed);
    if does.work.takes_payments() {
        consume_payments(app, &state, &managed);
    }
}

fn state_of(node: &Node) -> Arc<WorkerState> {
    let places = node.autoscale.map_or(node.concurrency, |(least, _)| least);
    let state = WorkerState::new(node.name.as_str(), places);
    state.enable_events(node.task_events);
    state.limit_by_default(node.soft_time_limit, node.time_limit);
    if let Some((least, most)) = node.autoscale {
        state.pool().autoscale_between(least, most);
    }
    state
}

fn registry(app: &App, settings: &Settings, transport: &Arc<dyn Transport>) -> Registry<Effects> {
    let effects = Effects {
        orders: Arc::new(app.engine.clone()),
        partners: app.partners.calls.clone(),
        transport: Arc::clone(transport),
        names: OutsideNames {
            oms_task: settings.queues.oms.task.clone(),
            oms_queue: settings.queues.oms.queue.clone(),
            notify_task: settings.queues.notices.task.clone(),
            notify_queue: settings.queues.notices.queue.clone(),
        },
        callback_base: app.public_url.clone(),
    };
    register(Registry::new(Arc::new(effects)))
}

/// Our task queue and what was asked for beside it, now or later by remote control.
fn consume_tasks(
    app: &App,
    settings: &Settings,
    does: &Does,
    state: &Arc<WorkerState>,
    worker: Worker<Effects>,
    managed: &Managed,
) {
    let store = app.engine.store().clone();
    let worker = worker
        .with_clock(move || store.estimated_now())
        .with_state(Arc::clone(state))
        .accepting(does.node.accept);
    let worker = match &managed.events {
        Some(events) => worker.with_events(events.clone()),
        None => worker,
    };
    let consumers = Consumers::new(app.transport.clone(), Arc::new(worker), Arc::clone(state))
        .with_multiplier(does.node.prefetch_multiplier);
    let consumers = match &app.amqp {
        Some(amqp) => consumers.with_mailbox(amqp.mailbox()),
        None => consumers,
    };
    let own = does.work.takes_tasks().then(|| settings.queues.tasks.clone());
    let queues = own.into_iter().chain(does.node.queues.clone()).collect();
    let (ready, stop) = (managed.ready(), app.stop.clone());
    app.consumers.spawn(async move {
        ready.await;
        consumers.run(queues, stop).await;
    });
}

fn consume_payments(app: &App, state: &Arc<WorkerState>, managed: &Managed) {
    let binding = |key: &str| (PAYMENTS_EXCHANGE.to_owned(), key.to_owned());
    let queue = Queue {
        name: PAYMENTS_QUEUE.to_owned(),
        bindings: vec![binding("payment.succeeded"), binding("payment.refunded")],
        prefetch: PAYMENTS_PREFETCH,
    };
    state.queues().consuming(ConsumedQueue {
        name: PAYMENTS_QUEUE.to_owned(),
        exchange: PAYMENTS_EXCHANGE.to_owned(),
        exchange_type: "topic".to_owned(),
        routing_key: "payment.#".to_owned(),
        prefetch: PAYMENTS_PREFETCH,
    });
    let handler = Arc::new(payments::Consumer {
        engine: app.engine.clone(),
    });
    let (transport, ready, stop) = (app.transport.clone(), managed.ready(), app.stop.clone());
    app.consumers.spawn(async move {
        ready.await;
        transport.consume(queue, handler, stop.into()).await;
    });
}
