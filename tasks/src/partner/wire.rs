//! One try of one request: sent, answered or not, read to a limit.

use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Url};
use secrecy::{ExposeSecret as _, SecretString};

use super::settings::{Credentials, Invalid, PartnerSettings};

/// More than this is no answer to anything we ask.
const LONGEST_ANSWER: usize = 256 * 1024;

/// A partner must not be able to send us away for a day by one header.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(15 * 60);

#[derive(Debug)]
pub(super) struct Wire {
    http: Client,
    deliveries: Url,
    bearer: Option<SecretString>,
}

#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) idempotency_key: Option<String>,
    pub(super) body: Option<Bytes>,
}

/// How one try ended.
#[derive(Debug)]
pub(super) enum Tried {
    /// The partner answered.
    Answered(Answer),
    /// No connection came about, so nothing was sent.
    NotConnected(String),
    /// Something was sent, and no whole answer came back.
    Lost(String),
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

impl Wire {
    pub(super) fn new(settings: &PartnerSettings) -> Result<Self, Invalid> {
        let http = Client::builder()
            .user_agent(concat!("waybill/", env!("CARGO_PKG_VERSION")))
            // What a partner answers must not decide where our credentials and the customers' addresses go.
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(settings.timeouts.connect)
            .read_timeout(settings.timeouts.read)
            .timeout(settings.timeouts.per_try)
            .pool_idle_timeout(Duration::from_secs(15))
            .build()
            .map_err(|error| Invalid::new("timeouts", format!("usable by the HTTP client: {error}")))?;
        let bearer = read_bearer(&settings.credentials)?;
        Ok(Self {
            http,
            deliveries: deliveries_of(&settings.base_url)?,
            bearer,
        })
    }

    /// `{base}/v1/deliveries`
    pub(super) fn deliveries(&self) -> Url {
        self.deliveries.clone()
    }

    pub(super) async fn send(&self, request: &Request) -> Tried {
        let mut builder = self.http.request(request.method.clone(), request.url.clone());
        builder = builder.header(ACCEPT, "application/json");
        if let Some(bearer) = &self.bearer {
            builder = builder.bearer_auth(bearer.expose_secret());
        }
        if let Some(key) = &request.idempotency_key {
            builder = builder.header("Idempotency-Key", key);
        }
        if let Some(body) = &request.body {
            builder = builder.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        match builder.send().await {
            Ok(response) => read(response).await,
            Err(error) if error.is_connect() => Tried::NotConnected(describe(error)),
            Err(error) => Tried::Lost(describe(error)),
        }
    }
}

async fn read(mut response: reqwest::Response) -> Tried {
    let status = response.status().as_u16();
    let retry_after = retry_after(response.headers());
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= LONGEST_ANSWER => body.extend_from_slice(&chunk),
            Ok(Some(_)) => return Tried::Lost(format!("{status} with more than {LONGEST_ANSWER} bytes")),
            Ok(None) => {
                return Tried::Answered(Answer {
                    status,
                    retry_after,
                    body,
                });
            }
            Err(error) => return Tried::Lost(format!("{status}, then {}", describe(error))),
        }
    }
}

/// Only seconds: a date would need the partner's clock to be right.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER))
}

/// The causes, without the address: it carries ids and nothing that helps.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn deliveries_of(base_url: &str) -> Result<Url, Invalid> {
    let invalid = || {
        Invalid::new(
            "base_url",
            "an http or https URL without credentials, query or fragment",
        )
    };
    let mut url = Url::parse(base_url).map_err(|_| invalid())?;
    let plain = url.username().is_empty() && url.password().is_none();
    let whole = url.query().is_none() && url.fragment().is_none() && url.has_host();
    if !plain || !whole || !matches!(url.scheme(), "http" | "https") {
        return Err(invalid());
    }
    url.path_segments_mut()
        .map_err(|()| invalid())?
        .pop_if_empty()
        .extend(["v1", "deliveries"]);
    Ok(url)
}

fn read_bearer(credentials: &Credentials) -> Result<Option<SecretString>, Invalid> {
    let Some(path) = &credentials.bearer_file else {
        return Ok(credentials.bearer.clone());
    };
    let text = std::fs::read_to_string(path)
        .map_err(|error| Invalid::new("credentials.bearer_file", format!("a readable file ({error})")))?;
    Ok(Some(text.trim().into()))
}
