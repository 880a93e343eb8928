//! `POST /webhooks/{partner}`: read once, verify, store, answer.

mod body;
mod tick;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{ConnectInfo, Path, RawQuery, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use metrics::counter;
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tracing::{error, info, warn};

pub use body::MAX_BODY;

use crate::doors::Doors;
use crate::problem::Problem;
use crate::signature::is_event_id;
use crate::{Callback, Inbox, Incoming, PartnerKeys, Rejection, Stored, Unbelieved, Verified};

/// What tells the time; tests bring their own.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// Partners give up after seconds, and send again: better they hear so than that both sides wait.
const STORE_DEADLINE: Duration = Duration::from_secs(5);

/// The longest text that is given back to a partner that asks whether we are there.
const MAX_ECHO: usize = 128;

#[derive(Clone)]
struct Receiver {
    partners: Arc<PartnerKeys>,
    inbox: Arc<dyn Inbox>,
    clock: Clock,
    doors: Arc<Doors>,
}

/// The route of the partners' callbacks.
pub fn router(partners: Arc<PartnerKeys>, inbox: Arc<dyn Inbox>, clock: Clock, doors: Doors) -> Router {
    let receiver = Receiver {
        partners,
        inbox,
        clock,
        doors: Arc::new(doors),
    };
    Router::new()
        .route("/webhooks/{partner}", post(receive).get(echo).fallback(refuse_method))
        .with_state(receiver)
}

async fn refuse_method() -> Response {
    Problem::MethodNotAllowed.into_response()
}

/// Onfleet validates an address by `GET …?check=`, and wants the text back. Everybody gets it: an answer to known
/// partners alone would tell who they are.
async fn echo(RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    match query.strip_prefix("check=") {
        Some(text) if (1..=MAX_ECHO).contains(&text.len()) && text.bytes().all(plain) => {
            let headers = [
                (header::CONTENT_TYPE, "text/plain"),
                (header::CACHE_CONTROL, "no-store"),
            ];
            (StatusCode::OK, headers, text.to_owned()).into_response()
        }
        _ => Problem::MethodNotAllowed.into_response(),
    }
}

async fn receive(
    State(receiver): State<Receiver>,
    partner: Result<Path<String>, PathRejection>,
    request: Request<Body>,
) -> Response {
    // A name that is no text is one more unknown partner.
    let partner = partner.map(|Path(name)| name).unwrap_or_default();
    let (parts, body) = request.into_parts();
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let address = peer.map(|ConnectInfo(peer)| receiver.doors.locate(peer.ip(), &parts.headers));
    if let Some(after) = address.and_then(|address| receiver.doors.closed_for(address)) {
        counter!("webhook_turned_away_total").increment(1);
        return Problem::TooMany { after }.into_response();
    }
    let body = body::read(&parts.headers, body).await;
    let read_at = Instant::now();
    let taken = match body {
        Ok(body) => receiver.take(&partner, parts, address, body).await,
        Err(problem) => {
            counter!("webhook_unread_total").increment(1);
            receiver.note_unread(&partner, problem, &parts, address);
            Err(problem)
        }
    };
    if let (Err(Problem::Unauthorized), Some(address)) = (&taken, address) {
        receiver.doors.count_rejection(address);
    }
    // Counted before, and nothing of the request is kept meanwhile: a flood that waits is no more than its connections.
    if taken.is_err_and(Problem::is_told_to_anyone) {
        tick::after(read_at).await;
    }
    taken.map_or_else(Problem::into_response, accept)
}

fn accept(stored: Stored) -> Response {
    // The same id with another content is our operator's matter: the partner has nothing to do again.
    let body = match stored {
        Stored::New => r#"{"status":"stored"}"#,
        Stored::Duplicate | Stored::Conflict => r#"{"status":"duplicate"}"#,
    };
    (
        StatusCode::OK,
        [
            (header::CONTENT_TYPE, "application/json"),
            (header::CACHE_CONTROL, "no-store"),
        ],
        body,
    )
        .into_response()
}

impl Receiver {
    async fn take(&self, partner: &str, parts: Parts, address: Option<IpAddr>, body: Bytes) -> Result<Stored, Problem> {
        let request = Incoming {
            method: &parts.method,
            path: parts.uri.path(),
            query: parts.uri.query(),
            headers: &parts.headers,
            body: &body,
            address,
        };
        if !body::is_json(&parts.headers) {
            counter!("webhook_unread_total").increment(1);
            self.note(partner, "content-type", &request);
            return Err(Problem::NotJson);
        }
        let verified = self.partners.verify(partner, &request, (self.clock)());
        let verified = verified.map_err(|why| {
            report_rejection(partner, why);
            self.note(partner, why.as_str(), &request);
            Problem::Unauthorized
        })?;
        self.doors.count_callback(partner).map_err(|after| {
            counter!("webhook_verified_total", "partner" => partner.to_owned(), "outcome" => "too-fast").increment(1);
            Problem::TooFast { after }
        })?;
        self.store(to_callback(partner, verified, &parts.headers, body)).await
    }

    /// Hands over what was not believed.
    fn note(&self, partner: &str, reason: &'static str, request: &Incoming<'_>) {
        self.inbox.reject(Unbelieved {
            partner: self.partners.adapter(partner).map(|_| partner.to_owned()),
            reason,
            event_id: claimed_id(request.headers),
            address: request.address,
            size: u64::try_from(request.body.len()).ok(),
            sha256: Some(Sha256::digest(request.body).into()),
        });
    }

    /// The same where the body was not read: a partner's may be too large, or too slow.
    fn note_unread(&self, partner: &str, problem: Problem, parts: &Parts, address: Option<IpAddr>) {
        self.inbox.reject(Unbelieved {
            partner: self.partners.adapter(partner).map(|_| partner.to_owned()),
            reason: problem.reason(),
            event_id: claimed_id(&parts.headers),
            address,
            size: body::announced_length(&parts.headers),
            sha256: None,
        });
    }

    async fn store(&self, callback: Callback) -> Result<Stored, Problem> {
        let (partner, event_id) = (callback.partner.clone(), callback.event_id.clone());
        let outcome = match tokio::time::timeout(STORE_DEADLINE, self.inbox.store(callback)).await {
            Ok(Ok(stored)) => {
                info!(partner, event_id, "callback {event_id} of {partner} taken: {stored:?}");
                Ok(stored)
            }
            Ok(Err(cause)) => {
                error!(
                    partner,
                    event_id, "callback {event_id} of {partner} is not stored: {cause}"
                );
                Err(Problem::Unavailable)
            }
            Err(_) => {
                error!(
                    partner,
                    event_id, "callback {event_id} of {partner} is not stored in time"
                );
                Err(Problem::Unavailable)
            }
        };
        counter!("webhook_verified_total", "partner" => partner, "outcome" => name_outcome(&outcome)).increment(1);
        outcome
    }
}

fn name_outcome(outcome: &Result<Stored, Problem>) -> &'static str {
    match outcome {
        Ok(Stored::New) => "stored",
        Ok(Stored::Duplicate) => "duplicate",
        Ok(Stored::Conflict) => "conflict",
        Err(_) => "unavailable",
    }
}

/// A partner that is not known gets no label and no log field: its name is whatever a stranger wrote.
fn report_rejection(partner: &str, why: Rejection) {
    let partner = if why == Rejection::UnknownPartner || !is_plain(partner) {
        "-"
    } else {
        partner
    };
    counter!("webhook_rejected_total", "reason" => why.as_str()).increment(1);
    warn!(partner, reason = why.as_str(), "callback rejected: {why}");
}

fn is_plain(name: &str) -> bool {
    name.len() <= 64
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

fn to_callback(partner: &str, verified: Verified, headers: &HeaderMap, body: Bytes) -> Callback {
    Callback {
        partner: partner.to_owned(),
        event_id: verified.event_id,
        key_id: verified.key_id,
        signed_at: verified.signed_at,
        headers: pick_headers(headers),
        sha256: Sha256::digest(&body).into(),
        body,
    }
}

/// What a sender calls its event, where that could be an id.
fn claimed_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("webhook-id")?.to_str().ok()?;
    is_event_id(id).then(|| id.to_owned())
}

/// What helps to understand a callback later. Everything else may be a credential of some proxy.
fn pick_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let wanted = |name: &str| {
        let signature = ["signature", "hmac"].iter().any(|word| name.contains(word));
        signature || name.starts_with("webhook-") || name == "content-type" || name == "user-agent"
    };
    headers
        .iter()
        .filter(|(name, _)| wanted(name.as_str()))
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}
