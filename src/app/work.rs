//! The consumers: payment events and tasks.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tracing::warn;
use waybill_tasks::celery::registry::Registry;
use waybill_tasks::celery::transport::Queue;
use waybill_tasks::celery::worker::Worker;
use waybill_tasks::effects::{Effects, OutsideNames, register};

use super::{App, Work};
use crate::config::{ResultBackend, Settings};
use crate::payments;

/// The exchange of payment events and our queue of them.
const PAYMENTS_EXCHANGE: &str = "payments";
const PAYMENTS_QUEUE: &str = "waybill.payments";
/// What is in hand at once: enough for one commit to serve many, and few enough to be handed out again without harm.
const PAYMENTS_PREFETCH: u16 = 128;
const TASKS_PREFETCH: u16 = 64;
/// How often a process says how it is.
const REPORT_EVERY: Duration = Duration::from_secs(5);

pub(super) fn start(app: &App, settings: &Settings, work: Work) {
    if work.takes_tasks() {
        let queue = Queue {
            name: settings.queues.tasks.clone(),
            bindings: vec![],
            prefetch: TASKS_PREFETCH,
        };
        consume(app, queue, Arc::new(worker(app, settings)));
    }
    if work.takes_payments() {
        let binding = |key: &str| (PAYMENTS_EXCHANGE.to_owned(), key.to_owned());
        let queue = Queue {
            name: PAYMENTS_QUEUE.to_owned(),
            bindings: vec![binding("payment.succeeded"), binding("payment.refunded")],
            prefetch: PAYMENTS_PREFETCH,
        };
        consume(
            app,
            queue,
            Arc::new(payments::Consumer {
                engine: app.engine.clone(),
            }),
        );
    }
    if matches!(
        settings.results,
        Some(ResultBackend::Database(_) | ResultBackend::Redis(_))
    ) {
        warn!("WAYBILL_RESULT_BACKEND: results go over rpc:// to whoever asks for them, and nowhere else yet");
    }
    if work != Work::Nothing {
        app.background.spawn(report(app));
    }
}

fn worker(app: &App, settings: &Settings) -> Worker<Effects> {
    let effects = Effects {
        orders: Arc::new(app.engine.clone()),
        partners: app.partners.calls.clone(),
        transport: app.transport.clone(),
        names: OutsideNames {
            oms_task: settings.queues.oms.task.clone(),
            oms_queue: settings.queues.oms.queue.clone(),
            notify_task: settings.queues.notices.task.clone(),
            notify_queue: settings.queues.notices.queue.clone(),
        },
        callback_base: app.public_url.clone(),
    };
    let registry = register(Registry::new(Arc::new(effects)));
    let store = app.engine.store().clone();
    Worker::new(registry, app.transport.clone(), Arc::new(app.engine.clone())).with_clock(move || store.estimated_now())
}

fn consume(app: &App, queue: Queue, handler: Arc<dyn waybill_tasks::celery::transport::Handler>) {
    let (transport, stop) = (app.transport.clone(), app.stop.clone());
    app.consumers
        .spawn(async move { transport.consume(queue, handler, stop).await });
}

/// Tells the store how this process is, for `waybill status`.
fn report(app: &App) -> impl Future<Output = ()> + use<> {
    let (engine, partners, stop) = (app.engine.clone(), app.partners.calls.clone(), app.stop.clone());
    let process = format!("{}-{}", hostname(), std::process::id());
    async move {
        while !stop.is_cancelled() {
            let breakers: Vec<_> = partners
                .status()
                .into_iter()
                .map(|it| json!({ "partner": it.partner, "operation": format!("{:?}", it.operation).to_lowercase(), "state": format!("{:?}", it.breaker.state).to_lowercase() }))
                .collect();
            let told = engine
                .store()
                .report_process(&process, "work", json!({ "breakers": breakers }))
                .await;
            if let Err(error) = told {
                warn!("this process could not say how it is: {error}");
            }
            tokio::select! {
                () = tokio::time::sleep(REPORT_EVERY) => {}
                () = stop.cancelled() => {}
            }
        }
    }
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "host".to_owned(), |name| name.trim().to_owned())
}
