//! The application: settings in, a running process out. Wires the store, the engine, the transport, the partners and the workers.

mod beat;
mod node;
mod open;
mod partners;
mod presence;
mod results;
mod serve;
mod work;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};
use waybill_tasks::celery::amqp::{AmqpOptions, AmqpTransport};
use waybill_tasks::celery::results::ResultBackend;
use waybill_tasks::celery::transport::Transport;

use crate::api::server;
use crate::appconfig::AppConfig;
use crate::config::{Broker, Settings};
use crate::engine::{EVENTS_EXCHANGE, Engine, Outside};
use crate::local::LocalTransport;
use crate::outgoing::{Guard, Outgoing, Reaching};
use crate::relay::{Outlet, Relay};
use presence::Presence;

pub use beat::{open_beat, read_schedule};
pub use node::{Node, NodeName, invoker};
pub use open::{OpenError, open_database, open_store, read_template};
pub use partners::DeliveryPartners;

/// What a process does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Does {
    /// Serves HTTP.
    pub serve: bool,
    /// Consumes events and tasks.
    pub work: Work,
    /// What it is as a worker.
    pub node: Node,
}

impl Does {
    /// The role, as the command line calls it.
    fn role(&self) -> &'static str {
        match (self.serve, self.work) {
            (true, Work::Nothing) => "serve",
            (true, _) => "all",
            (false, _) => "work",
        }
    }

    /// A worker as it is without options.
    pub fn usual(serve: bool, work: Work) -> Self {
        let node = Node::default();
        Self { serve, work, node }
    }
}

/// What a process consumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Nothing: it only serves.
    Nothing,
    /// Payment events alone.
    Payments,
    /// Tasks alone.
    Tasks,
    /// Both.
    Everything,
    /// Neither, but other task queues.
    Others,
}

impl Work {
    /// Whether payment events are consumed.
    pub fn takes_payments(self) -> bool {
        matches!(self, Self::Payments | Self::Everything)
    }

    /// Whether tasks are consumed.
    pub fn takes_tasks(self) -> bool {
        matches!(self, Self::Tasks | Self::Everything)
    }
}

/// In-flight work is waited for so long at shutdown; then the process ends by force.
pub const GRACE: Duration = Duration::from_secs(25);

/// A running application.
pub struct App {
    /// The engine.
    pub engine: Engine,
    /// What carries messages.
    pub transport: Arc<dyn Transport>,
    /// RabbitMQ, if it is that.
    pub amqp: Option<Arc<AmqpTransport>>,
    /// Who delivers.
    pub partners: DeliveryPartners,
    /// Where HTTP is served.
    pub addr: Option<SocketAddr>,
    /// How we are reached.
    pub public_url: String,
    guard: Guard,
    told: Arc<Notify>,
    /// The tasks that it runs, by name.
    pub tasks: Vec<String>,
    /// Is cancelled when remote control asks the process to end.
    pub asked: CancellationToken,
    results: Option<Arc<dyn ResultBackend>>,
    stop: CancellationToken,
    relay_stop: CancellationToken,
    consumers: TaskTracker,
    relays: TaskTracker,
    background: TaskTracker,
}

impl App {
    /// Starts what the role does, on these settings.
    pub async fn start(settings: &Settings, does: Does) -> Result<Self, OpenError> {
        Self::start_with(settings, does, DeliveryPartners::open(settings).await?).await
    }

    /// Starts with these partners instead of those of the settings.
    pub async fn start_with(settings: &Settings, does: Does, partners: DeliveryPartners) -> Result<Self, OpenError> {
        let store = open_store(settings, true).await?;
        if !store.db().is_shared() {
            store.release_leases().await?;
        }
        let template = read_template(settings)?;
        let presence = Presence::of(&does);
        presence.announce(&store, &partners.calls).await?;
        let listener = if does.serve {
            Some(server::listen(settings.http.addr).await?)
        } else {
            None
        };
        let addr = listener.as_ref().and_then(|listener| listener.local_addr().ok());
        let public_url = settings.http.public_url(addr.unwrap_or(settings.http.addr));

        let (outlet, committing) = Outlet::new();
        let outside = Outside {
            queue: settings.queues.tasks.clone(),
            default_partner: partners.calls.default_partner().name().to_owned(),
            adapters: partners.adapters.clone(),
            public_url: public_url.clone(),
            handover_codes: settings.handover_codes,
            local: matches!(settings.broker, Broker::Local),
        };
        let (engine, committer) = Engine::start(store, template, outside, outlet.after_commit()).await?;
        let (transport, amqp): (Arc<dyn Transport>, _) = match &settings.broker {
            Broker::Local => (LocalTransport::new(engine.clone(), outlet.messages.clone()), None),
            Broker::Amqp(url) => {
                let amqp = AmqpTransport::connect(AmqpOptions::new(url.clone(), connection_name(&does)))?;
                (amqp.clone(), Some(amqp))
            }
        };

        let mut app = Self {
            engine,
            transport,
            amqp,
            partners,
            addr,
            public_url,
            guard: Guard::new(settings.subscribers.networks.clone()),
            told: outlet.told.clone(),
            tasks: Vec::new(),
            asked: CancellationToken::new(),
            results: results::open(settings)?,
            stop: CancellationToken::new(),
            relay_stop: CancellationToken::new(),
            consumers: TaskTracker::new(),
            relays: TaskTracker::new(),
            background: TaskTracker::new(),
        };
        // Without the committer nothing is written any more: the process must not look alive.
        let stop = app.stop.clone();
        app.background.spawn(async move {
            if committer.await.is_err() {
                tracing::error!("the committer has died: this process ends");
                stop.cancel();
            }
        });
        let exchange = app.transport.clone();
        app.background
            .spawn(async move { exchange.ensure_exchange(EVENTS_EXCHANGE).await });
        let relay = Relay::new(app.engine.clone(), app.transport.clone());
        app.relays
            .spawn(relay.clone().follow(committing, app.relay_stop.clone()));
        app.relays
            .spawn(relay.look_after(outlet.due.clone(), app.relay_stop.clone()));
        app.relays.spawn(presence.keep_up(&app));
        if let Some(environments) = &settings.appconfig {
            let agent =
                AppConfig::new(environments.clone()).map_err(|error| OpenError::AppConfig(error.to_string()))?;
            app.background.spawn(agent.follow(app.engine.clone(), app.stop.clone()));
        }
        app.tell_subscribers(settings)?;
        work::start(&mut app, settings, &does).await;
        if let Some(listener) = listener {
            serve::start(&app, settings, listener)?;
        }
        Ok(app)
    }

    /// Every process sends; the store settles which delivery is whose.
    fn tell_subscribers(&self, settings: &Settings) -> Result<(), OpenError> {
        let reaching = Reaching {
            guard: self.guard.clone(),
            limit: settings.subscribers.timeout,
        };
        let outgoing = Outgoing::new(self.engine.clone(), reaching);
        let outgoing = outgoing.map_err(|error| OpenError::Client(error.to_string()))?;
        self.consumers.spawn(outgoing.run(self.told.clone(), self.stop.clone()));
        Ok(())
    }

    /// Is cancelled when the process has to end: it was asked to, or something vital has died.
    pub fn stopped(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Stops: no new work, what is in hand is finished and acknowledged, what is committed is published. Answers whether all of
    /// that was done in time.
    pub async fn shut_down(self) -> bool {
        self.stop.cancel();
        self.consumers.close();
        self.relays.close();
        let in_time = tokio::time::timeout(GRACE, async {
            self.consumers.wait().await;
            self.relay_stop.cancel();
            self.relays.wait().await;
            self.partners.stop().await;
            if let Some(amqp) = &self.amqp {
                amqp.close().await;
            }
        })
        .await
        .is_ok();
        if !in_time {
            warn!(
                "what was in hand is not finished after {} s: it will be handed out again",
                GRACE.as_secs()
            );
        }
        self.relay_stop.cancel();
        info!("stopped");
        in_time
    }
}

fn connection_name(does: &Does) -> String {
    format!("waybill {} {}", does.role(), std::process::id())
}
