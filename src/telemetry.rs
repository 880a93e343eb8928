//! What a process tells of itself: log lines, and numbers for Prometheus.

use std::io::IsTerminal as _;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::debug;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use crate::config::LogFormat;

/// Seconds: from a cached answer to what nobody should wait for.
const SECONDS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Commands that share a commit.
const BATCHES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
/// What was measured is gathered so often, whether anybody asks or not.
const UPKEEP: Duration = Duration::from_secs(5);

/// Why the log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter cannot be read.
    #[error("WAYBILL_LOG cannot be read")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Somebody has set one up before.
    #[error("the log is set up already")]
    Twice(#[from] TryInitError),
}

/// Sets up the log of this process: lines for people, or one JSON object by line, on standard error.
pub fn init(filter: &str, format: LogFormat) -> Result<(), LogError> {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter_of(filter)?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => lines.with_target(false).finish().try_init()?,
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .finish()
            .try_init()?,
    }
    Ok(())
}

/// The filter as it was set; lapin is silent unless it is named, because it writes whole messages, addresses included, into the log
/// where a queue is missing. What it would say is said by our own lines. So are PostgreSQL's notices, which tell of our migrations.
fn filter_of(filter: &str) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    if filter.contains("lapin") {
        EnvFilter::try_new(filter)
    } else {
        EnvFilter::try_new(format!("{filter},lapin=off,sqlx::postgres::notice=warn"))
    }
}

/// Starts to measure. The same handle is answered however often it is called.
pub fn install_metrics() -> Result<PrometheusHandle, BuildError> {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_batch_size".to_owned()), &BATCHES)?
        .install_recorder();
    // Two that start at once: one installs, both have the handle of that one.
    let handle = match (handle, HANDLE.get()) {
        (Ok(handle), _) => handle,
        (Err(_), Some(handle)) => return Ok(handle.clone()),
        (Err(error), None) => return Err(error),
    };
    gauge!("build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(HANDLE.get_or_init(|| handle).clone())
}

/// Gathers what was measured until the process ends, so that it takes no more memory where nobody asks for it.
pub async fn keep_up(handle: PrometheusHandle) {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        ticks.tick().await;
        handle.run_upkeep();
    }
}

/// Measures each request by its route, and logs it. An address may hold a token: neither path nor query is told.
pub async fn track(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = name_method(request.method());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let response = next.run(request).await;
    let (elapsed, status) = (started.elapsed(), response.status().as_u16());
    counter!("http_requests_total", "method" => method, "route" => route.clone(), "status" => status.to_string())
        .increment(1);
    histogram!("http_request_duration_seconds", "method" => method, "route" => route.clone()).record(elapsed);
    debug!(
        method,
        route,
        status,
        elapsed_ms = elapsed.as_secs_f64() * 1000.0,
        "{method} {route} answered {status}"
    );
    response
}

/// A method is whatever a stranger writes; a label is one of few.
fn name_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::filter_of;

    #[test]
    fn lapin_writes_no_messages_into_the_log_unless_it_is_asked_to() {
        assert!(filter_of("info").unwrap().to_string().contains("lapin=off"));
        assert!(!filter_of("info,lapin=debug").unwrap().to_string().contains("off"));
    }
}
