//! The API answers: what partners, customers, operators and programs ask over HTTP.
//!
//! It decides nothing. Who may do what is in [`caller`]; what an order may do is in its graph; what happened is in the
//! engine.

pub mod auth;
pub mod caller;
pub mod openapi;
pub mod probes;
pub mod problem;
pub mod server;
pub mod views;

mod address;
mod body;
pub(crate) mod callbacks;
mod cases;
mod confirm;
mod cursor;
mod events;
mod graphs;
mod handover;
mod headers;
mod instances;
mod limits;
mod orders;
mod query;
pub mod visits;
pub(crate) mod webhooks;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, Request, header};
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Router, body::Body as HttpBody};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Notify;

use crate::engine::Engine;
use crate::outgoing::Guard;
use crate::telemetry;
use problem::Problem;

pub use auth::Auth;

/// What the handlers work with.
#[derive(Clone)]
pub struct App {
    /// The engine.
    pub engine: Engine,
    /// Checks tokens.
    pub auth: Arc<auth::Auth>,
    /// Whether this process may have work.
    pub readiness: Arc<probes::Readiness>,
    /// What was measured.
    pub metrics: PrometheusHandle,
    /// Where subscribers may be.
    pub guard: Guard,
    /// Rings when subscribers have something to hear.
    pub told: Arc<Notify>,
    /// How often one address may come to the pages.
    pub visits: visits::Visits,
}

/// Every route of the service; `webhooks` is the partners' receiver, with limits of its own.
pub fn router(app: App, webhooks: Router) -> Router {
    let places = limits::Places::default();
    let pages = Router::new()
        .route("/code/{token}", get(handover::show_code))
        .route("/handover/{id}", get(handover::show_handover).post(handover::take_code))
        .route("/confirm/{token}", get(confirm::show_page).post(confirm::take_answer))
        .layer(from_fn_with_state(app.visits.clone(), visits::limit));
    let limited = Router::new()
        .route("/v1/delivery-orders", get(orders::list_orders))
        .route("/v1/delivery-orders/{id}", get(orders::show_order))
        .route("/v1/delivery-orders/{id}/log", get(orders::show_log))
        .route(
            "/v1/delivery-orders/{id}/allowed-events",
            get(orders::show_allowed_events),
        )
        .route("/v1/delivery-orders/{id}/events", post(events::report_event))
        .route(
            "/v1/machines/{machine}/instances",
            get(instances::list_instances).post(instances::create_instance),
        )
        .route("/v1/machines/{machine}/instances/{id}", get(instances::show_instance))
        .route(
            "/v1/machines/{machine}/instances/{id}/events",
            post(instances::report_instance_event),
        )
        .route("/v1/callbacks", get(callbacks::list_callbacks))
        .route("/v1/callbacks/replays", post(callbacks::replays::replay_callbacks))
        .route("/v1/callbacks/{id}", get(callbacks::show_callback))
        .route("/v1/callbacks/{id}/replay", post(callbacks::replay_callback))
        .route("/v1/operator-cases", get(cases::list_cases))
        .route("/v1/operator-cases/{id}/claim", post(cases::claim_case))
        .route("/v1/operator-cases/{id}/close", post(cases::close_case))
        .route("/v1/operator-cases/{id}/booking", post(cases::settle_booking))
        .route("/v1/graphs", get(graphs::list_graphs))
        .route("/v1/graphs/{machine}/{version}", get(graphs::show_graph))
        .route(
            "/v1/webhook-endpoints",
            get(webhooks::list_endpoints).post(webhooks::register_endpoint),
        )
        .route(
            "/v1/webhook-endpoints/{id}",
            get(webhooks::show_endpoint)
                .patch(webhooks::change_endpoint)
                .delete(webhooks::remove_endpoint),
        )
        .route("/v1/webhook-endpoints/{id}/rotate-keys", post(webhooks::rotate_keys))
        .route(
            "/v1/webhook-endpoints/{id}/test",
            post(webhooks::deliveries::test_endpoint),
        )
        .route(
            "/v1/webhook-endpoints/{id}/recover",
            post(webhooks::deliveries::recover_endpoint),
        )
        .route(
            "/v1/webhook-endpoints/{id}/deliveries",
            get(webhooks::deliveries::list_deliveries),
        )
        .route("/v1/webhook-deliveries/{id}", get(webhooks::deliveries::show_delivery))
        .route(
            "/v1/webhook-deliveries/{id}/resend",
            post(webhooks::deliveries::resend_delivery),
        )
        .merge(pages)
        .layer(DefaultBodyLimit::max(body::MAX_BODY))
        .layer(limits::body_deadline())
        .layer(from_fn_with_state(places, limits::limit));
    let platform = Router::new()
        .route("/livez", get(probes::livez))
        .route("/readyz", get(probes::readyz))
        .route("/metrics", get(probes::show_metrics))
        .route("/openapi.json", get(openapi::show_openapi));
    limited
        .merge(platform)
        .with_state(app)
        .merge(webhooks)
        .fallback(|| async { Problem::not_found() })
        .layer(map_response(problem::dress))
        .layer(from_fn(add_headers))
        .layer(from_fn(telemetry::track))
}

/// Headers that every answer has, unless it has its own.
async fn add_headers(request: Request<HttpBody>, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests;
