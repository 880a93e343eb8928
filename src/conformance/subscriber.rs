//! A subscriber over real HTTP: it keeps what it is told, and answers as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde_json::Value as Json;
use waybill_webhooks::{Incoming, Key, PartnerKeys, Trust};

use super::fixture::Fixture;
use crate::engine::Engine;
use crate::engine::outgoing::{NewKeys, Registration, register};
use crate::outgoing::{Guard, Network, Outgoing, Reaching};
use crate::store::outgoing::{Endpoint, Filter};

/// How a subscriber answers.
#[derive(Debug, Clone)]
pub(super) enum Answers {
    Status(u16),
    /// With a header.
    With(u16, &'static str, String),
    /// Never.
    Hangs,
    /// Without end.
    Endlessly,
}

/// What it was told.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Heard {
    pub(super) fn id(&self) -> String {
        self.headers["webhook-id"].to_str().expect("an id is text").to_owned()
    }

    pub(super) fn json(&self) -> Json {
        serde_json::from_slice(&self.body).expect("a body is JSON")
    }

    /// Whether a receiver with this key believes it, by its own timestamp.
    pub(super) fn is_believed_with(&self, key: &str) -> bool {
        let trust = Trust::standard(vec![Key::parse("k", &SecretString::from(key)).expect("a key")]);
        let receiver = PartnerKeys::new([("waybill".to_owned(), trust)]).expect("one partner");
        let at = self.headers["webhook-timestamp"]
            .to_str()
            .ok()
            .and_then(|text| text.parse().ok());
        let at: DateTime<Utc> = at
            .and_then(|at| DateTime::from_timestamp(at, 0))
            .expect("a timestamp is seconds");
        let request = Incoming {
            method: &Method::POST,
            path: &self.path,
            query: None,
            headers: &self.headers,
            body: &self.body,
            address: None,
        };
        receiver.verify("waybill", &request, at).is_ok()
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Subscriber {
    heard: Arc<Mutex<Vec<Heard>>>,
    answers: Arc<Mutex<VecDeque<Answers>>>,
    always: Arc<Mutex<Option<Answers>>>,
    pub(super) url: String,
}

impl Subscriber {
    pub(super) async fn listening() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("an address");
        let subscriber = Self {
            url: format!("http://{addr}/hooks"),
            ..Self::default()
        };
        let router = Router::new().fallback(hear).with_state(subscriber.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        subscriber
    }

    /// The same under another name.
    pub(super) fn at(&self, url: String) -> Self {
        Self { url, ..self.clone() }
    }

    /// The next answers, in order; then 200, or what [`Self::always`] says.
    pub(super) fn answers(&self, answers: impl IntoIterator<Item = Answers>) {
        lock(&self.answers).extend(answers);
    }

    pub(super) fn always(&self, answer: Option<Answers>) {
        *lock(&self.always) = answer;
    }

    pub(super) fn heard(&self) -> Vec<Heard> {
        lock(&self.heard).clone()
    }

    /// The states that it heard of, with how often each order's sequence; empties the list.
    pub(super) fn states(&self) -> Vec<String> {
        let heard = std::mem::take(&mut *lock(&self.heard));
        let state = |heard: &Heard| heard.json()["data"]["state"].as_str().unwrap_or_default().to_owned();
        heard.iter().map(state).collect()
    }

    pub(super) async fn subscribe(&self, fixture: &Fixture, filter: Filter) -> (Endpoint, NewKeys) {
        let registration = Registration {
            url: self.url.clone(),
            description: "order management".to_owned(),
            filter,
            by: "erp".to_owned(),
        };
        let registered = register(fixture.engine.store(), registration).await;
        registered.expect("the store answers")
    }
}

async fn hear(State(subscriber): State<Subscriber>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    lock(&subscriber.heard).push(Heard {
        path: uri.path().to_owned(),
        headers,
        body,
    });
    let next = lock(&subscriber.answers).pop_front();
    let answer = next.or_else(|| lock(&subscriber.always).clone());
    match answer.unwrap_or(Answers::Status(200)) {
        Answers::Status(status) => status_of(status).into_response(),
        Answers::With(status, name, value) => (status_of(status), [(name, value)]).into_response(),
        Answers::Hangs => std::future::pending().await,
        Answers::Endlessly => {
            let chunks =
                futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 700])));
            Body::from_stream(chunks).into_response()
        }
    }
}

fn status_of(status: u16) -> StatusCode {
    StatusCode::from_u16(status).expect("a status")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What sends for an engine, into the loopback network too.
pub(super) fn sender(engine: &Engine) -> Outgoing {
    let guard = Guard::new(vec![Network::parse("127.0.0.0/8").expect("a network")]);
    let limit = Duration::from_secs(5);
    Outgoing::new(engine.clone(), Reaching { guard, limit }).expect("a client")
}

/// Sends until nothing more is due; answers how many attempts that were.
pub(super) async fn send_all(sender: &Outgoing) -> usize {
    let mut all = 0;
    loop {
        match sender.look().await.expect("the store answers") {
            0 => return all,
            some => all += some,
        }
    }
}
