//! What the platform asks: does the process live, may it have work, what does it measure.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use utoipa::ToSchema;

use super::App;
use crate::store::{MigrateError, Store};

/// The database has to answer within that.
const PING: Duration = Duration::from_secs(1);
/// An answer of the database is believed for so long.
const BELIEVED: Duration = Duration::from_secs(2);
/// Migrations that fit are not looked at again for so long.
const MIGRATIONS_BELIEVED: Duration = Duration::from_secs(30);

/// What the readiness of this process depends on. The broker is not part of it: the outbox takes what it cannot.
pub struct Readiness {
    store: Store,
    committer: Box<dyn Fn() -> bool + Send + Sync>,
    draining: CancellationToken,
    seen: Mutex<Option<Seen>>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    at: Instant,
    database: bool,
    migrations: bool,
    migrations_at: Instant,
}

/// Each check by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Checks {
    /// It answers in time.
    pub database: bool,
    /// It is what this program needs, or newer.
    pub migrations: bool,
    /// What is written is committed.
    pub committer: bool,
    /// This process is not about to end.
    pub serving: bool,
}

impl Checks {
    /// Whether all are good.
    pub fn is_ready(self) -> bool {
        self.database && self.migrations && self.committer && self.serving
    }
}

impl Readiness {
    /// Of a process with this store, that writes while `committer` says so and ends when `draining` is cancelled.
    pub fn new(
        store: Store,
        committer: impl Fn() -> bool + Send + Sync + 'static,
        draining: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            committer: Box::new(committer),
            draining,
            seen: Mutex::new(None),
        })
    }

    /// Looks, or remembers what it saw a moment ago.
    pub async fn check(&self) -> Checks {
        // One looks, others wait for what it sees.
        let mut seen = self.seen.lock().await;
        let known = seen.filter(|seen| seen.at.elapsed() < BELIEVED);
        let now = match known {
            Some(known) => known,
            None => self.look(*seen).await,
        };
        *seen = Some(now);
        Checks {
            database: now.database,
            migrations: now.migrations,
            committer: (self.committer)(),
            serving: !self.draining.is_cancelled(),
        }
    }

    async fn look(&self, before: Option<Seen>) -> Seen {
        let database = matches!(timeout(PING, self.store.ping()).await, Ok(Ok(())));
        if !database {
            warn!("the database does not answer a ping");
        }
        let believed = before.filter(|seen| seen.migrations && seen.migrations_at.elapsed() < MIGRATIONS_BELIEVED);
        let (migrations, migrations_at) = match believed {
            Some(seen) => (true, seen.migrations_at),
            None => (database && self.fits().await, Instant::now()),
        };
        Seen {
            at: Instant::now(),
            database,
            migrations,
            migrations_at,
        }
    }

    async fn fits(&self) -> bool {
        match timeout(PING, self.store.db().check_migrations()).await {
            // A newer release has migrated while this one serves: migrations are made so that both can.
            Ok(Ok(()) | Err(MigrateError::Ahead { .. })) => true,
            Ok(Err(error)) => {
                warn!("not ready: {error}");
                false
            }
            Err(_) => false,
        }
    }
}

/// Whether the process lives. It asks nobody: a restart would mend nothing elsewhere.
#[utoipa::path(
    get, path = "/livez", tag = "platform", responses((status = 200, description = "the process answers", body = Object)),
)]
pub async fn livez() -> Json<Value> {
    Json(json!({ "status": "alive" }))
}

/// Whether the process may have work.
#[utoipa::path(
    get, path = "/readyz", tag = "platform",
    responses(
        (status = 200, description = "ready, with each check", body = Object),
        (status = 503, description = "not ready, with each check", body = Object),
    ),
)]
pub async fn readyz(State(app): State<App>) -> Response {
    let checks = app.readiness.check().await;
    let (status, word) = match checks.is_ready() {
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
    };
    (status, Json(json!({ "status": word, "checks": checks }))).into_response()
}

/// What this process measures, for Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "platform",
    responses((status = 200, description = "Prometheus text", body = String, content_type = "text/plain")),
)]
pub async fn show_metrics(State(app): State<App>) -> Response {
    metrics::gauge!("committer_waiting").set(f64::from(u32::try_from(app.engine.depth()).unwrap_or(u32::MAX)));
    let text = app.metrics.render();
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        text,
    )
        .into_response()
}
