//! A partner on a real socket that answers by script, and honestly where the script has ended.

use std::collections::{BTreeMap, VecDeque};
use std::future::IntoFuture as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use waybill_tasks::partner::PartnerSettings;

/// One answer of the script.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// The honest one.
    Honest,
    /// This status and body.
    Say(u16, Value),
    /// This status, with `Retry-After`.
    RetryAfter(u16, &'static str),
    /// This text, whatever it is.
    Text(u16, String),
    /// The honest thing is done, then 500 is answered.
    DoneThen500,
    /// The honest thing is done, then nothing is answered.
    DoneThenHang,
    /// A body that breaks off.
    BreakOff(u16),
    /// `307` to somewhere else.
    Redirect(String),
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) key: Option<String>,
    pub(crate) authorization: Option<String>,
    pub(crate) body: Value,
}

/// The partner: what it is told to answer, what it was asked, what it has booked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scripted {
    pub(crate) base_url: String,
    script: Arc<Mutex<VecDeque<Reply>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// Status of each delivery by reference.
    pub(crate) deliveries: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Scripted {
    pub(crate) async fn start(script: impl IntoIterator<Item = Reply>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let script = Arc::new(Mutex::new(script.into_iter().collect()));
        let partner = Self {
            base_url,
            script,
            ..Self::default()
        };
        let router = Router::new().fallback(answer).with_state(partner.clone());
        tokio::spawn(axum::serve(listener, router).into_future());
        partner
    }

    pub(crate) fn then(&self, replies: impl IntoIterator<Item = Reply>) {
        self.script.lock().unwrap().extend(replies);
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How many requests there were of that method.
    pub(crate) fn count(&self, method: Method) -> usize {
        self.asked().iter().filter(|asked| asked.method == method).count()
    }

    /// Settings to call it by, with short times.
    pub(crate) fn settings(&self) -> PartnerSettings {
        let mut settings = PartnerSettings::standard(&self.base_url);
        settings.timeouts.per_try = Duration::from_millis(400);
        settings
    }

    fn be_honest(&self, asked: &Asked) -> Response {
        let mut deliveries = self.deliveries.lock().unwrap();
        if asked.method == Method::POST {
            let reference = asked.body["reference"].as_str().unwrap().to_owned();
            let answer = view(&reference, "booked");
            deliveries.entry(reference).or_insert_with(|| "booked".to_owned());
            return say(201, answer);
        }
        if asked.method == Method::GET {
            let reference = asked.path.split_once("reference=").unwrap().1;
            let items: Vec<_> = deliveries
                .get(reference)
                .map(|status| view(reference, status))
                .into_iter()
                .collect();
            return say(200, json!({ "items": items }));
        }
        let reference = asked.path.rsplit_once("/dlv-").map_or("", |(_, reference)| reference);
        match deliveries.get_mut(reference) {
            None => say(404, json!({"code": "unknown"})),
            Some(status) if status == "booked" || status == "cancelled" => {
                *status = "cancelled".to_owned();
                StatusCode::NO_CONTENT.into_response()
            }
            Some(_) => say(409, json!({"code": "already_picked_up"})),
        }
    }
}

async fn answer(
    State(partner): State<Scripted>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let asked = Asked {
        method,
        path: uri.to_string(),
        key: header("idempotency-key"),
        authorization: header("authorization"),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    partner.asked.lock().unwrap().push(asked.clone());
    let reply = partner.script.lock().unwrap().pop_front().unwrap_or(Reply::Honest);
    match reply {
        Reply::Honest => partner.be_honest(&asked),
        Reply::Say(status, body) => say(status, body),
        Reply::RetryAfter(status, after) => {
            (StatusCode::from_u16(status).unwrap(), [("retry-after", after)]).into_response()
        }
        Reply::Text(status, text) => (StatusCode::from_u16(status).unwrap(), text).into_response(),
        Reply::DoneThen500 => {
            partner.be_honest(&asked);
            say(500, json!({}))
        }
        Reply::DoneThenHang => {
            partner.be_honest(&asked);
            tokio::time::sleep(Duration::from_secs(30)).await;
            say(504, json!({}))
        }
        Reply::BreakOff(status) => {
            let chunks = [Ok(Bytes::from_static(b"{\"id\":")), Err(std::io::Error::other("cut"))];
            let body = Body::from_stream(futures_util::stream::iter(chunks));
            (StatusCode::from_u16(status).unwrap(), body).into_response()
        }
        Reply::Redirect(to) => (StatusCode::TEMPORARY_REDIRECT, [("location", to)]).into_response(),
    }
}

fn say(status: u16, body: Value) -> Response {
    (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
}

fn view(reference: &str, status: &str) -> Value {
    json!({
        "id": format!("dlv-{reference}"),
        "status": status,
        "tracking_url": format!("https://partner.example/{reference}"),
        "reference": reference,
    })
}
