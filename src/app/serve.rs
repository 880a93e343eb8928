//! HTTP: the API, the partners' webhooks, and the customer's page.

use std::sync::Arc;

use chrono::Utc;
use tokio::net::TcpListener;

use super::{App, OpenError};
use crate::api::probes::Readiness;
use crate::api::visits::Visits;
use crate::api::{self, Auth, server};
use crate::config::Settings;
use crate::telemetry;

mod rotation;

pub(super) fn start(app: &App, settings: &Settings, listener: TcpListener) -> Result<(), OpenError> {
    let tokens = settings.tokens.as_ref().ok_or(OpenError::Missing("WAYBILL_JWT_KEY"))?;
    let auth = Auth::from_settings(tokens).map_err(|error| OpenError::Tokens(error.to_string()))?;
    let stopping = app.stop.clone();
    let alive = move || !stopping.is_cancelled();
    let readiness = Readiness::new(app.engine.store().clone(), alive, app.stop.clone());
    let metrics = telemetry::install_metrics().map_err(|error| OpenError::Metrics(error.to_string()))?;
    let (kept, stop) = (metrics.clone(), app.stop.clone());
    app.background
        .spawn(async move { stop.run_until_cancelled(telemetry::keep_up(kept)).await });
    let receiving = &app.partners.receiving;
    let handlers = api::App {
        engine: app.engine.clone(),
        auth: Arc::new(auth),
        readiness,
        metrics,
        guard: app.guard.clone(),
        told: app.told.clone(),
        visits: Visits::new(receiving.proxies(), receiving.visits_per_minute),
    };
    let inbox = Arc::new(app.engine.clone());
    let doors = receiving.doors();
    let webhooks = waybill_webhooks::router(app.partners.keys.clone(), inbox, Arc::new(Utc::now), doors);
    if let Some(file) = app.partners.file.clone() {
        let (keys, stop) = (app.partners.keys.clone(), app.stop.clone());
        app.background.spawn(rotation::follow(file, keys, stop));
    }
    let router = api::router(handlers, webhooks);
    let serving = server::serve(listener, router, app.stop.clone(), app.consumers.clone());
    app.consumers.spawn(serving);
    Ok(())
}
