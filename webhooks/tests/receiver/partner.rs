//! A partner that signs, an inbox that remembers, and the receiver between them.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use tower::ServiceExt;
use waybill_webhooks::{Callback, Doors, Inbox, Key, PartnerKeys, Stored, Trust, Unavailable, Unbelieved, router};

pub(crate) const NOW: i64 = 1_795_000_000;
pub(crate) const OLD_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
pub(crate) const NEW_SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

/// A callback on its way, as the partner signs it and as something between changes it.
pub(crate) struct Signed {
    path: String,
    id: String,
    at: i64,
    secret: String,
    body: Vec<u8>,
    sent_body: Option<Vec<u8>>,
    changes: Vec<(HeaderName, Change)>,
}

enum Change {
    Drop,
    Replace(HeaderValue),
    Add(HeaderValue),
}

impl Signed {
    pub(crate) fn new(id: &str, body: &[u8]) -> Self {
        Self {
            path: "/webhooks/acme".to_owned(),
            id: id.to_owned(),
            at: NOW,
            secret: OLD_SECRET.to_owned(),
            body: body.to_vec(),
            sent_body: None,
            changes: Vec::new(),
        }
    }

    pub(crate) fn path(self, path: &str) -> Self {
        Self {
            path: path.to_owned(),
            ..self
        }
    }

    pub(crate) fn at(self, at: i64) -> Self {
        Self { at, ..self }
    }

    pub(crate) fn secret(self, secret: &str) -> Self {
        Self {
            secret: secret.to_owned(),
            ..self
        }
    }

    pub(crate) fn sent_body(self, body: &[u8]) -> Self {
        Self {
            sent_body: Some(body.to_vec()),
            ..self
        }
    }

    pub(crate) fn without(self, name: &'static str) -> Self {
        self.change(name, Change::Drop)
    }

    pub(crate) fn replace(self, name: &'static str, value: &str) -> Self {
        self.change(name, Change::Replace(value.parse().unwrap()))
    }

    pub(crate) fn header(self, name: &'static str, value: &str) -> Self {
        self.change(name, Change::Add(HeaderValue::from_bytes(value.as_bytes()).unwrap()))
    }

    fn change(mut self, name: &'static str, change: Change) -> Self {
        self.changes.push((HeaderName::from_static(name), change));
        self
    }

    pub(crate) fn signature(&self) -> String {
        let secret = STANDARD.decode(self.secret.strip_prefix("whsec_").unwrap()).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap();
        mac.update(format!("{}.{}.", self.id, self.at).as_bytes());
        mac.update(&self.body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }

    pub(crate) fn request(self) -> Request<Body> {
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", self.id.parse().unwrap());
        headers.insert("webhook-timestamp", self.at.into());
        headers.insert("webhook-signature", self.signature().parse().unwrap());
        for (name, change) in self.changes {
            match change {
                Change::Drop => drop(headers.remove(name)),
                Change::Replace(value) => drop(headers.insert(name, value)),
                Change::Add(value) => drop(headers.append(name, value)),
            }
        }
        let mut request = Request::post(self.path)
            .body(Body::from(self.sent_body.unwrap_or(self.body)))
            .unwrap();
        *request.headers_mut() = headers;
        request
    }
}

/// An inbox that answers always the same, and remembers what it was given.
pub(crate) struct FakeInbox {
    answer: Option<Result<Stored, &'static str>>,
    callbacks: Mutex<Vec<Callback>>,
    unbelieved: Mutex<Vec<Unbelieved>>,
}

impl FakeInbox {
    pub(crate) fn answering(answer: Result<Stored, &'static str>) -> Arc<Self> {
        Arc::new(Self {
            answer: Some(answer),
            callbacks: Mutex::default(),
            unbelieved: Mutex::default(),
        })
    }

    pub(crate) fn hanging() -> Arc<Self> {
        Arc::new(Self {
            answer: None,
            callbacks: Mutex::default(),
            unbelieved: Mutex::default(),
        })
    }

    /// Takes everything, and keeps nothing: for thousands of requests.
    pub(crate) fn forgetful() -> Arc<dyn Inbox> {
        struct Forgetful;
        #[async_trait]
        impl Inbox for Forgetful {
            async fn store(&self, _: Callback) -> Result<Stored, Unavailable> {
                Ok(Stored::New)
            }
            fn reject(&self, _: Unbelieved) {}
        }
        Arc::new(Forgetful)
    }

    pub(crate) fn only(&self) -> Callback {
        let callbacks = self.callbacks.lock().unwrap();
        assert_eq!(callbacks.len(), 1);
        callbacks[0].clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.callbacks.lock().unwrap().len()
    }

    /// What was not believed, since this was asked last.
    pub(crate) fn unbelieved(&self) -> Vec<Unbelieved> {
        std::mem::take(&mut self.unbelieved.lock().unwrap())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[async_trait]
impl Inbox for FakeInbox {
    async fn store(&self, callback: Callback) -> Result<Stored, Unavailable> {
        let Some(answer) = self.answer else {
            std::future::pending().await
        };
        self.callbacks.lock().unwrap().push(callback);
        answer.map_err(|cause| Unavailable(cause.to_owned()))
    }

    fn reject(&self, unbelieved: Unbelieved) {
        self.unbelieved.lock().unwrap().push(unbelieved);
    }
}

/// The whole answer, to be compared with others.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

/// The receiver with two partners: `acme` in rotation, and `other`.
pub(crate) fn receiver(inbox: &Arc<FakeInbox>) -> Router {
    receiver_behind(inbox, Doors::default())
}

/// The same behind these doors.
pub(crate) fn receiver_behind(inbox: &Arc<FakeInbox>, doors: Doors) -> Router {
    let key = |id: &str, secret: &str| Key::parse(id, &secret.to_owned().into()).unwrap();
    let other = key("only", "whsec_//////////////////////////////8=");
    let partners = PartnerKeys::new([
        (
            "acme".to_owned(),
            Trust::standard(vec![key("new", NEW_SECRET), key("old", OLD_SECRET)]),
        ),
        ("other".to_owned(), Trust::standard(vec![other])),
    ])
    .unwrap();
    router(
        Arc::new(partners),
        inbox.clone(),
        Arc::new(|| DateTime::from_timestamp(NOW, 0).unwrap()),
        doors,
    )
}

/// Asks a receiver that was just made.
pub(crate) async fn ask(inbox: &Arc<FakeInbox>, request: Request<Body>) -> Answer {
    answer(&receiver(inbox), request).await
}

pub(crate) async fn answer(receiver: &Router, request: Request<Body>) -> Answer {
    let response = receiver.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: to_bytes(body, 1 << 20).await.unwrap(),
    }
}
