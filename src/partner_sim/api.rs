//! The partner's side of a request, whichever language it is in; and the ledger.

use std::sync::Arc;
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use chrono::Utc;
use serde_json::Value;

use super::Partner;
use super::dialects::{Answer, Asked, Outcome, Request as Heard};
use super::ledger::{Booked, CallRecord, CancelResult, NewBooking};
use super::plan::{Fate, Fault};

/// Longer than any client waits.
const HANG: Duration = Duration::from_secs(31);
const MAX_BODY: usize = 1024 * 1024;

pub(super) fn router(partner: Arc<Partner>) -> Router {
    let ledger = Router::new()
        .route("/_ledger", get(show_ledger))
        .route("/_ledger/summary", get(show_summary));
    let spoken = Router::new()
        .fallback(any(listen))
        .layer(from_fn_with_state(Arc::clone(&partner), be_away));
    ledger.merge(spoken).with_state(partner)
}

async fn be_away(State(partner): State<Arc<Partner>>, request: Request, next: Next) -> Response {
    let away = partner
        .options
        .outage
        .is_some_and(|outage| outage.covers(partner.started.elapsed()));
    if away {
        respond(partner.dialect.say(Outcome::Broken(503)))
    } else {
        next.run(request).await
    }
}

async fn listen(
    State(partner): State<Arc<Partner>>,
    Query(query): Query<Vec<(String, String)>>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, MAX_BODY).await.unwrap_or_default();
    let heard = Heard {
        method: &head.method,
        path: head.uri.path().split('/').skip(1).collect(),
        query: &query,
        headers: &head.headers,
        body: &serde_json::from_slice(&body).unwrap_or(Value::Null),
    };
    match partner.dialect.read(&heard) {
        Err(answer) => respond(answer),
        Ok(Asked::Book {
            reference,
            key,
            callback_url,
        }) => {
            let callback_url = callback_url.or_else(|| partner.options.callback_url.clone());
            let booking = NewBooking {
                reference: &reference,
                key: key.as_deref(),
                callback_url: &callback_url.unwrap_or_default(),
            };
            partner.book(booking).await
        }
        Ok(Asked::Find { reference }) => partner.find(&reference),
        Ok(Asked::View { id }) => partner.view(&id),
        Ok(Asked::Cancel { id, key }) => partner.cancel(&id, key),
    }
}

async fn show_ledger(State(partner): State<Arc<Partner>>) -> Response {
    Json(partner.ledger.entries()).into_response()
}

async fn show_summary(State(partner): State<Arc<Partner>>) -> Response {
    Json(partner.ledger.summary()).into_response()
}

impl Partner {
    async fn book(self: &Arc<Self>, booking: NewBooking<'_>) -> Response {
        let reference = booking.reference;
        let fate = Fate::of(&self.options, reference);
        let attempt = self.ledger.count_call(reference, "book");
        let fault = fate.fault("book", attempt);
        let mut forgotten = false;
        match fault {
            Fault::None | Fault::ErrorAfter | Fault::HangAfter => {
                let again = self.carry_out(booking) == Some(Booked::Again);
                forgotten = again && booking.key.is_some() && fate.is_forgotten(attempt);
            }
            Fault::Late => self.carry_out_late(booking),
            Fault::Error(_) | Fault::Hang => {}
        }
        let delivery = self.ledger.find(reference);
        let outcome = match (fault, &delivery) {
            (Fault::Error(status), _) => Some(Outcome::Broken(status)),
            (Fault::ErrorAfter, _) => Some(Outcome::Broken(500)),
            (Fault::Hang | Fault::HangAfter | Fault::Late, _) => None,
            (Fault::None, Some(delivery)) if forgotten => Some(Outcome::Taken(delivery)),
            (Fault::None, Some(delivery)) => Some(Outcome::Booked(delivery)),
            (Fault::None, None) => Some(Outcome::Rejected),
        };
        let answer = outcome.map(|outcome| self.dialect.say(outcome));
        let status = answer.as_ref().map_or(0, |(status, _)| *status);
        self.note_call(reference, "book", booking.key.map(str::to_owned), status);
        match answer {
            Some(answer) => respond(answer),
            None => {
                tokio::time::sleep(HANG).await;
                respond(self.dialect.say(Outcome::Broken(504)))
            }
        }
    }

    /// None where it is refused.
    fn carry_out(self: &Arc<Self>, booking: NewBooking<'_>) -> Option<Booked> {
        let reference = booking.reference;
        let fate = Fate::of(&self.options, reference);
        if fate.is_rejected() {
            self.ledger.reject(reference);
            return None;
        }
        let id = self.dialect.delivery_id(&fate);
        let booked = self.ledger.book(booking, &id, &fate.order_number());
        if booked == Booked::First {
            self.walk(reference.to_owned());
        }
        Some(booked)
    }

    /// Whoever asked may have given up by then, and its connection with it.
    fn carry_out_late(self: &Arc<Self>, booking: NewBooking<'_>) {
        let partner = Arc::clone(self);
        let (reference, key) = (booking.reference.to_owned(), booking.key.map(str::to_owned));
        let callback_url = booking.callback_url.to_owned();
        self.walkers.spawn(async move {
            let lateness = Fate::of(&partner.options, &reference).lateness();
            let stop = partner.stop.clone();
            let waited = stop.run_until_cancelled(tokio::time::sleep(lateness)).await;
            if waited.is_some() {
                partner.carry_out(NewBooking {
                    reference: &reference,
                    key: key.as_deref(),
                    callback_url: &callback_url,
                });
            }
        });
    }

    fn find(&self, reference: &str) -> Response {
        if let Some(answer) = self.fault(reference, "find", None) {
            return answer;
        }
        let found = self.ledger.find(reference);
        let answer = self.dialect.say(Outcome::Found(found.as_ref()));
        self.note_call(reference, "find", None, answer.0);
        respond(answer)
    }

    fn view(&self, id: &str) -> Response {
        let Some(reference) = self.ledger.reference_of(id) else {
            return respond(self.dialect.say(Outcome::Unknown));
        };
        if let Some(answer) = self.fault(&reference, "view", None) {
            return answer;
        }
        let found = self.ledger.find(&reference);
        let answer = self
            .dialect
            .say(found.as_ref().map_or(Outcome::Unknown, Outcome::Viewed));
        self.note_call(&reference, "view", None, answer.0);
        respond(answer)
    }

    fn cancel(self: &Arc<Self>, id: &str, key: Option<String>) -> Response {
        let Some(reference) = self.ledger.reference_of(id) else {
            return respond(self.dialect.say(Outcome::Unknown));
        };
        if let Some(answer) = self.fault(&reference, "cancel", key.clone()) {
            return answer;
        }
        let result = self.ledger.cancel(id);
        let Some(delivery) = self.ledger.find(&reference) else {
            return respond(self.dialect.say(Outcome::Unknown));
        };
        let answer = self.dialect.say(match result {
            CancelResult::Now | CancelResult::Before => Outcome::Cancelled(&delivery),
            CancelResult::TooLate => Outcome::TooLate(&delivery),
        });
        if result == CancelResult::Now {
            self.tell_cancelled(&reference);
        }
        self.note_call(&reference, "cancel", key, answer.0);
        respond(answer)
    }

    fn fault(&self, reference: &str, op: &'static str, key: Option<String>) -> Option<Response> {
        let attempt = self.ledger.count_call(reference, op);
        let Fault::Error(status) = Fate::of(&self.options, reference).fault(op, attempt) else {
            return None;
        };
        self.note_call(reference, op, key, status);
        Some(respond(self.dialect.say(Outcome::Broken(status))))
    }

    fn note_call(&self, reference: &str, op: &'static str, key: Option<String>, answer: u16) {
        let at = Utc::now();
        self.ledger.note_call(reference, CallRecord { op, key, at, answer });
    }
}

fn respond((status, body): Answer) -> Response {
    let status = StatusCode::from_u16(status).expect("statuses here are written by hand");
    match body {
        Value::Null => status.into_response(),
        body => (status, Json(body)).into_response(),
    }
}
