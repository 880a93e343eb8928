//! Outgoing webhooks: tells subscribers what the log says, each in order per delivery order, at least once.
//!
//! Every process sends. Which delivery is whose is settled in the store by leases that last longer than an attempt can,
//! so none is made twice at the same time, and what a process leaves behind that dies is free after its lease.

mod client;
mod guard;
mod network;
mod schedule;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use rand::RngExt as _;
use reqwest::StatusCode;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;
use waybill_webhooks::signing::{SigningKey, sign_all};

use crate::engine::Engine;
use crate::store::DbError;
use crate::store::outgoing::{Attempted, Claimed, Verdict};
use client::{Client, Reply, Signed};

pub use guard::{Guard, Refused};
pub use network::Network;

/// Attempts under way at once in one process.
const AT_ONCE: usize = 64;
/// How often a process looks for what is due, beside being rung for.
const TICK: Duration = Duration::from_millis(500);
/// How often the backlog is measured.
const MEASURE: Duration = Duration::from_secs(10);
/// What a lease has over the longest attempt, for writing down how it went.
const MARGIN: TimeDelta = TimeDelta::seconds(10);
/// How often writing it down is tried.
const WRITES: u32 = 5;

/// How subscribers are reached.
#[derive(Debug, Clone)]
pub struct Reaching {
    /// Where requests may go.
    pub guard: Guard,
    /// How long an attempt may take.
    pub limit: Duration,
}

/// Sends what is due.
#[derive(Clone)]
pub struct Outgoing {
    engine: Engine,
    client: Arc<Client>,
    lease: TimeDelta,
}

/// What an attempt needs of its endpoint.
struct Addressee {
    url: String,
    keys: Vec<SigningKey>,
}

impl Outgoing {
    /// For this engine. Needs a process-wide TLS provider.
    pub fn new(engine: Engine, reaching: Reaching) -> Result<Self, reqwest::Error> {
        let limit = TimeDelta::from_std(reaching.limit).unwrap_or(MARGIN);
        Ok(Self {
            engine,
            client: Arc::new(Client::new(reaching.guard, reaching.limit)?),
            lease: limit + MARGIN,
        })
    }

    /// Sends what is due until `stop`; then ends what is under way. `told` rings when there may be something new.
    pub async fn run(self, told: Arc<Notify>, stop: CancellationToken) {
        let mut under_way = JoinSet::new();
        let mut measured: Option<Instant> = None;
        loop {
            if !stop.is_cancelled() {
                self.start(&mut under_way).await;
                if measured.is_none_or(|at| at.elapsed() >= MEASURE) {
                    measured = Some(Instant::now());
                    self.measure().await;
                }
            } else if under_way.is_empty() {
                return;
            }
            tokio::select! {
                Some(ended) = under_way.join_next() => {
                    let mut ended: Vec<_> = ended.into_iter().collect();
                    while let Some(more) = under_way.try_join_next() {
                        ended.extend(more);
                    }
                    self.write_down(&ended).await;
                }
                () = told.notified() => {}
                () = stop.cancelled(), if !stop.is_cancelled() => {}
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// Sends once what is due now, and answers how many attempts that were. For tests, which have a clock of their own.
    pub async fn look(&self) -> Result<usize, DbError> {
        let claimed = self.claim(AT_ONCE).await?;
        let attempts = claimed
            .into_iter()
            .map(|(claimed, to)| self.clone().attempt(claimed, to));
        let ended = futures_util::future::join_all(attempts).await;
        if !ended.is_empty() {
            self.engine.store().record_attempts(&ended).await?;
        }
        Ok(ended.len())
    }

    async fn start(&self, under_way: &mut JoinSet<Attempted>) {
        match self.claim(AT_ONCE - under_way.len()).await {
            Ok(claimed) => {
                for (claimed, to) in claimed {
                    under_way.spawn(self.clone().attempt(claimed, to));
                }
            }
            Err(error) => warn!("subscribers have to wait: {error}"),
        }
    }

    async fn claim(&self, places: usize) -> Result<Vec<(Claimed, Option<Arc<Addressee>>)>, DbError> {
        let store = self.engine.store();
        let places = i64::try_from(places).unwrap_or(0);
        let claimed = store.claim_deliveries(places, self.lease).await?;
        let mut known: HashMap<Uuid, Option<Arc<Addressee>>> = HashMap::new();
        let mut found = Vec::with_capacity(claimed.len());
        for delivery in claimed {
            let id = delivery.endpoint_id;
            let to = match known.get(&id) {
                Some(to) => to.clone(),
                None => {
                    let to = self.addressee(id).await;
                    known.insert(id, to.clone());
                    to
                }
            };
            found.push((delivery, to));
        }
        Ok(found)
    }

    /// Who an endpoint is; nobody where it was removed, or where its secrets cannot be read.
    async fn addressee(&self, id: Uuid) -> Option<Arc<Addressee>> {
        let store = self.engine.store();
        let read = async {
            let Some(endpoint) = store.endpoint(id).await? else {
                return Ok(None);
            };
            let mut secrets = store.signing_secrets(&[id]).await?;
            Ok::<_, DbError>(Some((endpoint.url, secrets.remove(&id).unwrap_or_default())))
        };
        let (url, secrets) = read
            .await
            .inspect_err(|error| warn!(endpoint.id = %id, "endpoint {id} cannot be read: {error}"))
            .ok()??;
        let keys: Vec<_> = secrets.iter().map(SigningKey::parse).collect::<Result<_, _>>().ok()?;
        (!keys.is_empty()).then(|| Arc::new(Addressee { url, keys }))
    }

    async fn attempt(self, claimed: Claimed, to: Option<Arc<Addressee>>) -> Attempted {
        let (started_at, began) = (self.engine.store().estimated_now(), Instant::now());
        let reply = match to {
            Some(to) => self.send(&claimed, &to, started_at).await,
            None => Reply::failed("not sent: the endpoint or its keys cannot be read"),
        };
        let took = began.elapsed();
        let verdict = judge(&claimed, &reply);
        let outcome = match verdict {
            Verdict::Delivered => "delivered",
            Verdict::Failed { again: Some(_), .. } => "retry",
            Verdict::Failed { again: None, .. } => "given_up",
            Verdict::Gone => "gone",
        };
        metrics::counter!("webhook_attempts_total", "outcome" => outcome).increment(1);
        metrics::histogram!("webhook_attempt_seconds").record(took.as_secs_f64());
        if verdict != Verdict::Delivered {
            let cause = reply.cause.as_deref().unwrap_or_default();
            info!(
                endpoint.id = %claimed.endpoint_id, delivery.id = %claimed.delivery_id, outcome,
                "endpoint {} has not taken delivery {}: {cause}", claimed.endpoint_id, claimed.delivery_id
            );
        }
        Attempted {
            claimed,
            verdict,
            started_at,
            duration_ms: i64::try_from(took.as_millis()).unwrap_or(i64::MAX),
            status: reply.status.map(|status| status.as_u16().into()),
            cause: reply.cause,
            response: reply.response,
        }
    }

    async fn send(&self, claimed: &Claimed, to: &Addressee, now: DateTime<Utc>) -> Reply {
        let (id, body) = match self.engine.event_of(claimed).await {
            Ok(Some(event)) => event,
            Ok(None) => return Reply::failed("not sent: the log has no such row"),
            Err(error) => return Reply::failed(format!("not sent: {error}")),
        };
        let timestamp = now.timestamp();
        let signature = sign_all(&to.keys, &id, timestamp, &body);
        let signed = Signed {
            id,
            timestamp,
            signature,
            body,
        };
        self.client.send(&to.url, signed, now).await
    }

    /// Writes down how attempts went. What cannot be written is sent again after its lease: told twice, never not at all.
    async fn write_down(&self, ended: &[Attempted]) {
        for attempt in 1..=WRITES {
            match self.engine.store().record_attempts(ended).await {
                Ok(()) => return,
                Err(error) => warn!("{} attempts could not be written down: {error}", ended.len()),
            }
            if attempt < WRITES {
                tokio::time::sleep(Duration::from_millis(300) * attempt).await;
            }
        }
    }

    async fn measure(&self) {
        let store = self.engine.store();
        match (store.webhook_backlog().await, store.now().await) {
            (Ok(backlog), Ok(now)) => {
                let oldest = backlog.oldest.map_or(0.0, |oldest| (now - oldest).as_seconds_f64());
                metrics::gauge!("webhook_pending").set(backlog.pending as f64);
                metrics::gauge!("webhook_oldest_seconds").set(oldest);
                metrics::gauge!("webhook_endpoints_disabled").set(backlog.disabled as f64);
            }
            (Err(error), _) | (_, Err(error)) => warn!("the subscribers' backlog cannot be read: {error}"),
        }
    }
}

/// What an answer means: 2xx is a success and nothing else is; 410 ends it all.
fn judge(claimed: &Claimed, reply: &Reply) -> Verdict {
    match reply.status {
        Some(status) if status.is_success() => Verdict::Delivered,
        Some(StatusCode::GONE) => Verdict::Gone,
        status => {
            let throttled = status.is_some_and(schedule::is_throttled);
            let asked = reply.asked.filter(|_| throttled);
            let random = rand::rng().random_range(0.0..=1.0);
            let again = schedule::pause(claimed.attempts + 1, throttled, asked, random);
            let span = |span: Duration| TimeDelta::from_std(span).ok();
            Verdict::Failed {
                again: again.and_then(span),
                asked: asked.and_then(span),
            }
        }
    }
}
