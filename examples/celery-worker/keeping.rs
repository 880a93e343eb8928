//! Waybill's own store as the keeper: what waits for its time, what is set aside, what was revoked.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use waybill::app::{open_database, open_store, read_template};
use waybill::config::{Role, Settings};
use waybill::engine::{Engine, Outside};
use waybill::relay::{Outlet, Relay};
use waybill_tasks::celery::amqp::AmqpTransport;

/// The engine, and what publishes again what was kept.
pub(crate) struct Keeping {
    pub(crate) engine: Engine,
    relays: TaskTracker,
    stop: CancellationToken,
}

impl Keeping {
    /// On a PostgreSQL database, which is migrated if it has to be.
    pub(crate) async fn start(database: &str, broker: &str, amqp: Arc<AmqpTransport>) -> Result<Self> {
        let given = [
            ("WAYBILL_DATABASE_URL", database.to_owned()),
            ("WAYBILL_BROKER_URL", broker.to_owned()),
            ("WAYBILL_DATA_KEY", "07".repeat(32)),
        ];
        let given = given.into_iter().map(|(name, value)| (name.to_owned(), value));
        let settings = Settings::load_in(Path::new("/nonexistent"), given, Role::Operator)?;
        open_database(&settings, true).await?.migrate().await?;
        let store = open_store(&settings, true).await?;
        let (outlet, committing) = Outlet::new();
        let outside = Outside {
            queue: "waybill".to_owned(),
            default_partner: "none".to_owned(),
            adapters: Default::default(),
            public_url: String::new(),
            handover_codes: false,
            local: false,
        };
        let (engine, _committer) =
            Engine::start(store, read_template(&settings)?, outside, outlet.after_commit()).await?;
        let relay = Relay::new(engine.clone(), amqp);
        let (relays, stop) = (TaskTracker::new(), CancellationToken::new());
        relays.spawn(relay.clone().follow(committing, stop.clone()));
        relays.spawn(relay.look_after(outlet.due.clone(), stop.clone()));
        Ok(Self { engine, relays, stop })
    }

    /// What is committed is published first.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.relays.close();
        self.relays.wait().await;
    }
}
