//! One try of one request: sent, answered or not, read to a limit.

use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};

use super::auth::{Auth, NoToken};
use super::dialect::Call;
use super::settings::{Invalid, PartnerSettings};

/// More than this is no answer to anything we ask.
const LONGEST_ANSWER: usize = 256 * 1024;

/// A partner must not be able to send us away for a day by one header.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(15 * 60);

#[derive(Debug)]
pub(super) struct Wire {
    http: Client,
    base: Url,
    auth: Auth,
}

/// How one try ended.
#[derive(Debug)]
pub(crate) enum Tried {
    /// The partner answered.
    Answered(Answer),
    /// No connection came about, so nothing was sent.
    NotConnected(String),
    /// Something was sent, and no whole answer came back.
    Lost(String),
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Vec<u8>,
}

impl Wire {
    pub(super) fn new(settings: &PartnerSettings, auth: Auth) -> Result<Self, Invalid> {
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
        Ok(Self {
            http,
            base: read_base(&settings.base_url)?,
            auth,
        })
    }

    pub(super) async fn send(&self, call: &Call) -> Tried {
        match self.try_once(call).await {
            // A token may end, or be taken back, at any time: once it is fetched anew.
            Tried::Answered(answer) if answer.status == 401 && self.auth.forget().await => self.try_once(call).await,
            tried => tried,
        }
    }

    async fn try_once(&self, call: &Call) -> Tried {
        let url = self.locate(call);
        let body = call.body.as_ref().map(|body| Bytes::from(body.to_string()));
        let proof = match self
            .auth
            .prove(&self.http, call, &url, body.as_deref().unwrap_or_default())
            .await
        {
            Ok(proof) => proof,
            Err(NoToken::Unreachable(cause)) => return Tried::NotConnected(cause),
            Err(NoToken::Refused(status)) => return Tried::Answered(Answer::refused(status)),
        };
        let mut builder = self
            .http
            .request(call.method.clone(), url)
            .header(ACCEPT, "application/json");
        for (name, value) in proof {
            builder = builder.header(name, value);
        }
        for (name, value) in &call.headers {
            builder = builder.header(*name, value);
        }
        if let Some(body) = body {
            builder = builder.header(CONTENT_TYPE, "application/json").body(body);
        }
        match builder.send().await {
            Ok(response) => read(response).await,
            Err(error) if error.is_connect() => Tried::NotConnected(describe(error)),
            Err(error) => Tried::Lost(describe(error)),
        }
    }

    fn locate(&self, call: &Call) -> Url {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .expect("checked at the start")
            .extend(&call.path);
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        url
    }
}

impl Answer {
    /// We were refused before the partner itself was asked.
    fn refused(status: u16) -> Self {
        Self {
            status: status.clamp(401, 403),
            retry_after: None,
            body: Vec::new(),
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

fn read_base(base_url: &str) -> Result<Url, Invalid> {
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
    url.path_segments_mut().map_err(|()| invalid())?.pop_if_empty();
    Ok(url)
}
