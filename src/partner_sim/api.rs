//! The partner's side of the `standard` contract, and the ledger.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use chrono::Utc;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Partner;
use super::ledger::{Booked, CallRecord, CancelResult, NewBooking};
use super::plan::{Fate, Fault};

/// Longer than any client waits.
const HANG: Duration = Duration::from_secs(31);

/// What a booking must have. Addresses and parcels are taken as they are.
#[derive(Debug, Deserialize)]
struct BookingBody {
    reference: String,
    callback_url: String,
    #[serde(rename = "pickup")]
    _pickup: Value,
    #[serde(rename = "dropoff")]
    _dropoff: Value,
    #[serde(rename = "parcels")]
    _parcels: Vec<Value>,
}

#[derive(Debug, Deserialize)]
struct FindQuery {
    reference: String,
}

pub(super) fn router(partner: Arc<Partner>) -> Router {
    let contract = Router::new()
        .route("/v1/deliveries", post(book).get(find))
        .route("/v1/deliveries/{id}", delete(cancel))
        .layer(from_fn_with_state(Arc::clone(&partner), be_away));
    let ledger = Router::new()
        .route("/_ledger", get(show_ledger))
        .route("/_ledger/summary", get(show_summary));
    contract.merge(ledger).with_state(partner)
}

async fn be_away(State(partner): State<Arc<Partner>>, request: Request, next: Next) -> Response {
    let away = partner
        .options
        .outage
        .is_some_and(|outage| outage.covers(partner.started.elapsed()));
    if away {
        complain(503, "outage")
    } else {
        next.run(request).await
    }
}

async fn book(State(partner): State<Arc<Partner>>, headers: HeaderMap, Json(body): Json<BookingBody>) -> Response {
    let Some(key) = idempotency_key(&headers) else {
        return complain(400, "missing_idempotency_key");
    };
    let reference = body.reference.as_str();
    let fate = Fate::of(&partner.options, reference);
    let fault = fate.fault("book", partner.ledger.count_call(reference, "book"));
    let rejected = fate.is_rejected();
    if matches!(fault, Fault::None | Fault::ErrorAfter | Fault::HangAfter) {
        if rejected {
            partner.ledger.reject(reference);
        } else {
            let booking = NewBooking {
                reference,
                id: &fate.delivery_id(),
                key: &key,
                callback_url: &body.callback_url,
            };
            if partner.ledger.book(booking) == Booked::First {
                partner.walk(body.reference.clone());
            }
        }
    }
    let status = match fault {
        Fault::None if rejected => 422,
        Fault::None => 201,
        Fault::Error(status) => status,
        Fault::ErrorAfter => 500,
        Fault::Hang | Fault::HangAfter => 0,
    };
    partner.note_call(reference, "book", Some(key), status);
    match status {
        0 => hang().await,
        201 => {
            let (id, state) = partner.ledger.find(reference).expect("booked above");
            (StatusCode::CREATED, Json(view(reference, &id, state))).into_response()
        }
        422 => complain(422, "address_undeliverable"),
        status => complain(status, "internal_error"),
    }
}

async fn find(State(partner): State<Arc<Partner>>, Query(query): Query<FindQuery>) -> Response {
    let reference = query.reference.as_str();
    if let Some(answer) = partner.fault(reference, "find", None) {
        return answer;
    }
    let found = partner.ledger.find(reference);
    partner.note_call(reference, "find", None, 200);
    let items: Vec<_> = found.iter().map(|(id, state)| view(reference, id, state)).collect();
    Json(json!({ "items": items })).into_response()
}

async fn cancel(State(partner): State<Arc<Partner>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let Some(reference) = partner.ledger.reference_of(&id) else {
        return complain(404, "unknown_delivery");
    };
    let key = idempotency_key(&headers);
    if let Some(answer) = partner.fault(&reference, "cancel", key.clone()) {
        return answer;
    }
    let answer = match partner.ledger.cancel(&id) {
        CancelResult::Now { reference } => {
            partner.tell_cancelled(&reference);
            StatusCode::NO_CONTENT.into_response()
        }
        CancelResult::Before => StatusCode::NO_CONTENT.into_response(),
        CancelResult::TooLate => complain(409, "already_picked_up"),
        CancelResult::Unknown => complain(404, "unknown_delivery"),
    };
    partner.note_call(&reference, "cancel", key, answer.status().as_u16());
    answer
}

async fn show_ledger(State(partner): State<Arc<Partner>>) -> Response {
    Json(partner.ledger.entries()).into_response()
}

async fn show_summary(State(partner): State<Arc<Partner>>) -> Response {
    Json(partner.ledger.summary()).into_response()
}

impl Partner {
    fn fault(&self, reference: &str, op: &'static str, key: Option<String>) -> Option<Response> {
        let attempt = self.ledger.count_call(reference, op);
        let Fault::Error(status) = Fate::of(&self.options, reference).fault(op, attempt) else {
            return None;
        };
        self.note_call(reference, op, key, status);
        Some(complain(status, "internal_error"))
    }

    fn note_call(&self, reference: &str, op: &'static str, key: Option<String>, answer: u16) {
        self.ledger.note_call(
            reference,
            CallRecord {
                op,
                key,
                at: Utc::now(),
                answer,
            },
        );
    }
}

async fn hang() -> Response {
    tokio::time::sleep(HANG).await;
    complain(504, "too_late")
}

fn view(reference: &str, id: &str, state: &str) -> Value {
    let tracking_url = format!("https://partner.example/track/{id}");
    json!({ "id": id, "status": state, "tracking_url": tracking_url, "reference": reference })
}

fn complain(status: u16, code: &str) -> Response {
    let status = StatusCode::from_u16(status).expect("statuses here are written by hand");
    (status, Json(json!({ "code": code, "message": code.replace('_', " ") }))).into_response()
}

fn idempotency_key(headers: &HeaderMap) -> Option<String> {
    Some(headers.get("Idempotency-Key")?.to_str().ok()?.to_owned())
}
