//! What this process says of itself: how it is, for `waybill status`, and which words of the graphs' language it knows, for whoever
//! activates a version.

use std::time::Duration;

use serde_json::{Value as Json, json};
use tracing::warn;
use waybill_domain::known_words;
use waybill_tasks::celery::host::hostname;
use waybill_tasks::partner::Partners as Calls;

use super::{App, Does};
use crate::store::{DbError, Store};

/// How often a process says how it is.
const EVERY: Duration = Duration::from_secs(5);

/// A process as others hear of it.
#[derive(Debug, Clone)]
pub(super) struct Presence {
    process: String,
    role: &'static str,
}

impl Presence {
    pub(super) fn of(does: &Does) -> Self {
        Self {
            process: format!("{}-{}", hostname(), std::process::id()),
            role: does.role(),
        }
    }

    /// Says what this process knows, before it looks at which versions are active: from now on none is activated that it cannot run.
    pub(super) async fn announce(&self, store: &Store, partners: &Calls) -> Result<(), DbError> {
        let report = json!({ "knows": known_words(), "breakers": breakers(partners) });
        store.report_process(&self.process, self.role, report).await
    }

    /// Says how this process is, again and again, until it ends.
    pub(super) fn keep_up(self, app: &App) -> impl Future<Output = ()> + use<> {
        let (engine, partners, stop) = (app.engine.clone(), app.partners.calls.clone(), app.relay_stop.clone());
        async move {
            while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
                if let Err(error) = self.announce(engine.store(), &partners).await {
                    warn!("this process could not say how it is: {error}");
                }
                if let Err(error) = engine.follow_template().await {
                    warn!("the template's routing could not be compared: {error}");
                }
            }
            if let Err(error) = engine.store().forget_process(&self.process).await {
                warn!("this process could not say that it ends: {error}");
            }
        }
    }
}

/// The breakers of the partners, as they are now.
fn breakers(partners: &Calls) -> Vec<Json> {
    let status = partners.status().into_iter();
    let told = status.map(|it| {
        let operation = format!("{:?}", it.operation).to_lowercase();
        let state = format!("{:?}", it.breaker.state).to_lowercase();
        json!({ "partner": it.partner, "operation": operation, "state": state })
    });
    told.collect()
}
