//! One attempt over HTTP: a signed POST with a limit of time, no redirect, and no more of the answer than a kilobyte.

use std::error::Error as _;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client as Http, Response, StatusCode};

use super::guard::{Guard, Reach, Refused};
use super::schedule;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// What is kept of an answer.
const KEPT: usize = 1024;

/// Sends what was signed.
#[derive(Debug)]
pub(super) struct Client {
    guard: Guard,
    anywhere: Http,
    named: Http,
    limit: Duration,
}

/// What is sent.
#[derive(Debug)]
pub(super) struct Signed {
    pub(super) id: String,
    pub(super) timestamp: i64,
    pub(super) signature: String,
    pub(super) body: Vec<u8>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Reply {
    pub(super) status: Option<StatusCode>,
    /// What `Retry-After` asks for.
    pub(super) asked: Option<Duration>,
    /// Why there is no status, or why it is no success.
    pub(super) cause: Option<String>,
    pub(super) response: Option<Vec<u8>>,
}

impl Reply {
    /// Nothing was answered, for this reason.
    pub(super) fn failed(cause: impl Into<String>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..Self::default()
        }
    }
}

impl Client {
    /// Needs a process-wide TLS provider.
    pub(super) fn new(guard: Guard, limit: Duration) -> Result<Self, reqwest::Error> {
        let client = |reach| {
            Http::builder()
                .user_agent(concat!("waybill/", env!("CARGO_PKG_VERSION")))
                // Where a subscriber sends us next is none of the places that were checked.
                .redirect(Policy::none())
                .no_proxy()
                .dns_resolver(guard.resolver(reach))
                .connect_timeout(CONNECT.min(limit))
                .pool_idle_timeout(Duration::from_secs(15))
                .pool_max_idle_per_host(4)
                .build()
        };
        Ok(Self {
            anywhere: client(Reach::Anywhere)?,
            named: client(Reach::Named)?,
            guard,
            limit,
        })
    }

    /// Makes one attempt. Never longer than the limit, whatever the other side does.
    pub(super) async fn send(&self, url: &str, signed: Signed, now: DateTime<Utc>) -> Reply {
        let limit = self.limit;
        match tokio::time::timeout(limit, self.attempt(url, signed, now)).await {
            Ok(reply) => reply,
            Err(_) => Reply::failed(format!("no answer within {} s", limit.as_secs_f32())),
        }
    }

    async fn attempt(&self, url: &str, signed: Signed, now: DateTime<Utc>) -> Reply {
        let url = match self.guard.check(url) {
            Ok(url) => url,
            Err(refused) => return Reply::failed(not_allowed(&refused)),
        };
        let http = match Reach::of(&url) {
            Reach::Anywhere => &self.anywhere,
            Reach::Named => &self.named,
        };
        let request = http
            .post(url)
            .header(CONTENT_TYPE, "application/cloudevents+json")
            .header("webhook-id", signed.id)
            .header("webhook-timestamp", signed.timestamp)
            .header("webhook-signature", signed.signature)
            .body(signed.body);
        match request.send().await {
            Ok(response) => read(response, now).await,
            Err(error) => Reply::failed(cause(error)),
        }
    }
}

async fn read(mut response: Response, now: DateTime<Utc>) -> Reply {
    let status = response.status();
    let asked = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| schedule::asked(value, now));
    let mut kept = Vec::new();
    while kept.len() < KEPT {
        match response.chunk().await {
            Ok(Some(chunk)) => kept.extend_from_slice(&chunk),
            // The status has come: what is missing of the rest changes nothing.
            Ok(None) | Err(_) => break,
        }
    }
    kept.truncate(KEPT);
    let cause = match status {
        status if status.is_success() => None,
        status if status.is_redirection() => Some(format!("answered {}: redirects are not followed", status.as_u16())),
        status => Some(format!("answered {}", status.as_u16())),
    };
    Reply {
        status: Some(status),
        asked,
        cause,
        response: Some(kept),
    }
}

/// Why nothing was answered, without the URL, which may hold a key.
fn cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        if let Some(refused) = source.downcast_ref::<Refused>() {
            return not_allowed(refused);
        }
        text = format!("{text}: {source}");
        next = source.source();
    }
    text.chars().take(300).collect()
}

fn not_allowed(refused: &Refused) -> String {
    format!("not sent: expected {refused}")
}
