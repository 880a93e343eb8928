//! A worker for tests and benches: the one of `waybill_tasks::celery` on Waybill's store, with tasks that know no delivery.
//!
//!     celery-worker --broker amqp://… --database postgres://… --result-backend redis://… -Q celery -n ours@host -c 4 -E

mod canvas;
mod given;
mod interop;
mod keeping;
mod redis;
mod suite;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use mimalloc::MiMalloc;
use secrecy::SecretString;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing_subscriber::EnvFilter;
use waybill::store::CeleryResults;
use waybill_tasks::celery::amqp::{AmqpOptions, AmqpTransport};
use waybill_tasks::celery::canvas::Canvas;
use waybill_tasks::celery::consumers::Consumers;
use waybill_tasks::celery::control::{BrokerFacts, Facts, Panel, Pidbox, TaskFacts};
use waybill_tasks::celery::events::{EventSender, Software};
use waybill_tasks::celery::protocol::Accept;
use waybill_tasks::celery::registry::Registry;
use waybill_tasks::celery::results::ResultBackend;
use waybill_tasks::celery::results::redis::RedisBackend;
use waybill_tasks::celery::state::WorkerState;
use waybill_tasks::celery::transport::Keeper as _;
use waybill_tasks::celery::worker::Worker;

use keeping::Keeping;
use redis::Redis;

/// As the program has it: the two are measured and tested as one.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const BROKER_HEARTBEAT: u64 = 10;

#[derive(Parser)]
struct Options {
    #[arg(long)]
    broker: String,
    /// PostgreSQL, where messages wait and are set aside
    #[arg(long)]
    database: String,
    /// redis://… or db+postgresql://…
    #[arg(long)]
    result_backend: Option<String>,
    /// Where tasks leave their traces; else the result backend
    #[arg(long)]
    redis: Option<String>,
    #[arg(short = 'Q', long, value_delimiter = ',', default_value = "celery")]
    queues: Vec<String>,
    #[arg(short = 'n', long, default_value = "ours@waybill")]
    hostname: String,
    #[arg(short = 'c', long, default_value_t = 4)]
    concurrency: usize,
    #[arg(long, default_value_t = 4)]
    prefetch_multiplier: u16,
    /// What is read beside JSON: yaml, msgpack
    #[arg(long, value_delimiter = ',')]
    accept_content: Vec<String>,
    /// Sends events about tasks
    #[arg(short = 'E', long)]
    task_events: bool,
}

impl Options {
    fn accepts(&self) -> Accept {
        let has = |name: &str| self.accept_content.iter().any(|accepted| accepted == name);
        Accept {
            yaml: has("yaml"),
            msgpack: has("msgpack"),
        }
    }
}

/// What tasks are lent.
pub(crate) struct Lent {
    pub(crate) redis: Redis,
    /// Ids of tasks that gave their message back once.
    pub(crate) seen: Mutex<HashSet<String>>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let options = Options::parse();
    let broker = SecretString::from(options.broker.clone());
    let amqp = AmqpTransport::connect(AmqpOptions::new(broker.clone(), options.hostname.clone()))?;
    let keeping = Keeping::start(&options.database, &options.broker, amqp.clone()).await?;
    let backend = options.result_backend.as_deref().map(backend).transpose()?;

    let state = WorkerState::new(options.hostname.as_str(), options.concurrency);
    state.enable_events(options.task_events);
    state.revoke(keeping.engine.revoked().await?);
    let mut canvas = Canvas::new(amqp.clone(), options.queues[0].clone());
    if let Some(backend) = &backend {
        canvas = canvas.with_results(backend.clone());
    }
    let registry = registry(&options);
    let facts = facts(&options, &broker, &registry)?;
    let (events, telling) = EventSender::new(state.clone(), facts.software.clone());
    let mut worker = Worker::new(registry, amqp.clone(), Arc::new(keeping.engine.clone()))
        .with_canvas(Arc::new(canvas))
        .with_events(events.clone())
        .with_state(state.clone())
        .accepting(options.accepts());
    let mut panel = Panel::new(state.clone(), facts, Arc::new(keeping.engine.clone())).with_events(events);
    if let Some(backend) = backend {
        worker = worker.with_results(backend.clone());
        panel = panel.with_results(backend);
    }
    let mut pidbox = Pidbox::new(panel, amqp.mailbox());

    let (stop, end, around) = (stopping(&state)?, CancellationToken::new(), TaskTracker::new());
    around.spawn(telling.run(amqp.mailbox(), Some(Duration::from_secs(2)), end.clone()));
    pidbox.mingle(amqp.as_ref(), &stop).await;
    around.spawn(pidbox.run(end.clone()));
    eprintln!("{} is ready", options.hostname);
    Consumers::new(amqp.clone(), Arc::new(worker), state)
        .with_multiplier(options.prefetch_multiplier)
        .with_mailbox(amqp.mailbox())
        .run(options.queues, stop)
        .await;
    end.cancel();
    around.close();
    around.wait().await;
    keeping.stop().await;
    amqp.close().await;
    Ok(())
}

fn registry(options: &Options) -> Registry<Lent> {
    let traces = options.redis.as_ref().or(options.result_backend.as_ref());
    let lent = Lent {
        redis: Redis::at(traces.map_or("", String::as_str)),
        seen: Mutex::default(),
    };
    suite::register(interop::register(Registry::new(Arc::new(lent))))
}

fn backend(url: &str) -> Result<Arc<dyn ResultBackend>> {
    let backend: Arc<dyn ResultBackend> = match url.strip_prefix("db+") {
        Some(url) => Arc::new(CeleryResults::open(&url.to_owned().into())?),
        None => Arc::new(RedisBackend::new(&url.to_owned().into())?),
    };
    Ok(backend)
}

fn facts(options: &Options, broker: &SecretString, registry: &Registry<Lent>) -> Result<Facts> {
    let settings = serde_json::json!({
        "result_backend": options.result_backend, "task_default_queue": options.queues[0], "accept_content": options.accepts().names(),
        "worker_concurrency": options.concurrency, "worker_send_task_events": options.task_events,
    });
    Ok(Facts {
        software: Software {
            ident: "waybill".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        },
        tasks: registry
            .catalogue()
            .iter()
            .map(|(name, options)| TaskFacts::of(name, options))
            .collect(),
        broker: BrokerFacts::of(broker, BROKER_HEARTBEAT)?,
        settings: settings.as_object().cloned().unwrap_or_default(),
    })
}

/// Is cancelled by SIGTERM, SIGINT and `celery control shutdown`.
fn stopping(state: &Arc<WorkerState>) -> Result<CancellationToken> {
    let (stop, asked) = (CancellationToken::new(), state.stop().clone());
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let told = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = asked.cancelled() => {}
        }
        told.cancel();
    });
    Ok(stop)
}
