//! Uber Direct: `/v1/customers/{account}/deliveries` behind a token, `event.delivery_status` signed over the body.
//!
//! As its API description and its automated courier have it: a key that is repeated books once, and a delivery of the same
//! kind is answered 409 `duplicate_delivery` with the earlier one's id. The walk is `pending`, `pickup`,
//! `pickup_complete`, `dropoff`, `delivered`, or `canceled` with a reason, or `returned`.

use axum::http::Method;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{Answer, Asked, Delivery, Dialect, Leg, News, Outcome, Reason, Request};
use crate::partner_sim::plan::Fate;
use crate::partner_sim::secret::CallbackSecret;

const TOKEN: &str = "simulated-token";

const fn canceled(word: &'static str) -> Reason {
    Reason {
        status: "canceled",
        word,
    }
}

const AT_PICK_UP: &[Reason] = &[
    canceled("merchant_closed"),
    canceled("merchant_refused"),
    canceled("unable_to_find_pickup"),
    canceled("MERCHANT_CANCEL"),
    canceled("UNKNOWN_CANCEL"),
];

const AT_DELIVERY: &[Reason] = &[
    canceled("cannot_access_customer_location"),
    canceled("cannot_find_customer_address"),
    canceled("customer_rejected_order"),
    canceled("customer_unavailable"),
    canceled("recipient_age"),
    Reason {
        status: "returned",
        word: "",
    },
];

#[derive(Debug)]
pub(super) struct Uber {
    key: CallbackSecret,
}

impl Uber {
    pub(super) fn new(secret: &CallbackSecret) -> Self {
        Self { key: secret.clone() }
    }
}

fn complain(status: u16, code: &str) -> Answer {
    (
        status,
        json!({"code": code, "kind": "error", "message": code.replace('_', " ")}),
    )
}

impl Dialect for Uber {
    fn read(&self, request: &Request<'_>) -> Result<Asked, Answer> {
        if (request.method, &*request.path) == (&Method::POST, &["oauth", "v2", "token"]) {
            return Err((
                200,
                json!({"access_token": TOKEN, "expires_in": 2_592_000, "token_type": "Bearer", "scope": "eats.deliveries"}),
            ));
        }
        if request.header("authorization") != Some(&format!("Bearer {TOKEN}")) {
            return Err(complain(401, "unauthorized"));
        }
        if let (&Method::POST, ["v1", "customers", _, "delivery_quotes"]) = (request.method, &*request.path) {
            let whole = ["pickup_address", "dropoff_address"]
                .iter()
                .all(|name| request.text(name).is_some());
            return Err(if whole {
                (200, quote())
            } else {
                complain(400, "invalid_params")
            });
        }
        let ["v1", "customers", _, "deliveries", rest @ ..] = &*request.path else {
            return Err(complain(404, "not_found"));
        };
        match (request.method, rest) {
            (&Method::POST, []) => {
                let needed = [
                    "pickup_name",
                    "pickup_address",
                    "pickup_phone_number",
                    "dropoff_name",
                    "dropoff_address",
                    "dropoff_phone_number",
                ];
                let whole = needed.iter().all(|name| request.text(name).is_some());
                let carries = request.body["manifest_items"]
                    .as_array()
                    .is_some_and(|items| !items.is_empty());
                let Some(reference) = request.text("external_id").filter(|_| whole && carries) else {
                    return Err(complain(400, "invalid_params"));
                };
                Ok(Asked::Book {
                    reference: reference.to_owned(),
                    key: request.text("idempotency_key").map(str::to_owned),
                    callback_url: None,
                })
            }
            (&Method::GET, [id]) => Ok(Asked::View { id: (*id).to_owned() }),
            (&Method::POST, [id, "cancel"]) => Ok(Asked::Cancel {
                id: (*id).to_owned(),
                key: None,
            }),
            _ => Err(complain(404, "not_found")),
        }
    }

    fn say(&self, outcome: Outcome<'_>) -> Answer {
        match outcome {
            Outcome::Booked(delivery) | Outcome::Viewed(delivery) | Outcome::Cancelled(delivery) => {
                (200, view(delivery))
            }
            Outcome::Taken(earlier) => {
                let (status, mut body) = complain(409, "duplicate_delivery");
                body["metadata"] = json!({"delivery_id": earlier.id});
                (status, body)
            }
            Outcome::Rejected => complain(400, "address_undeliverable"),
            Outcome::TooLate(_) => complain(400, "noncancelable_delivery"),
            Outcome::Found(_) | Outcome::Unknown => complain(404, "delivery_not_found"),
            Outcome::Broken(500) => complain(500, "unknown_error"),
            Outcome::Broken(status) => complain(status, "service_unavailable"),
        }
    }

    fn news(&self, leg: Leg, delivery: &Delivery) -> Vec<News> {
        let statuses: &[_] = match leg {
            Leg::Booked => &["pending", "pickup"],
            Leg::PickedUp => &["pickup_complete", "dropoff"],
            Leg::Delivered => &["delivered"],
            Leg::Failed(reason) => return vec![event(delivery, reason.status, reason.word)],
            Leg::Cancelled => return vec![event(delivery, "canceled", "cancelled_by_merchant_api")],
        };
        statuses.iter().map(|status| event(delivery, status, "")).collect()
    }

    fn sign(&self, _id: &str, _at: DateTime<Utc>, body: &str) -> Vec<(&'static str, String)> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.bytes()).expect("HMAC takes a key of any length");
        mac.update(body.as_bytes());
        vec![("x-uber-signature", hex::encode(mac.finalize().into_bytes()))]
    }

    fn delivery_id(&self, fate: &Fate<'_>) -> String {
        format!("del_{:016x}", fate.draw("delivery"))
    }

    fn reasons_at_pick_up(&self) -> &'static [Reason] {
        AT_PICK_UP
    }

    fn reasons_at_delivery(&self) -> &'static [Reason] {
        AT_DELIVERY
    }
}

/// The same for everybody: how it is compared is not the partner's matter.
fn quote() -> Value {
    let in_minutes = |minutes| (Utc::now() + TimeDelta::minutes(minutes)).to_rfc3339_opts(SecondsFormat::Millis, true);
    json!({
        "kind": "delivery_quote",
        "id": "dqt_simulated",
        "created": in_minutes(0),
        "expires": in_minutes(15),
        "fee": 600,
        "currency": "eur",
        "currency_type": "EUR",
        "dropoff_eta": in_minutes(38),
        "duration": 38,
        "pickup_duration": 12,
        "dropoff_deadline": in_minutes(90),
    })
}

fn event(delivery: &Delivery, status: &'static str, reason: &str) -> News {
    let body = json!({
        "kind": "event.delivery_status",
        "status": status,
        "delivery_id": delivery.id,
        "created": Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
        "customer_id": "simulated",
        "developer_id": "",
        "account_id": "",
        "live_mode": false,
        "data": describe(delivery, status, reason),
    });
    News {
        kind: status,
        body,
        id_at: Some("id"),
    }
}

fn view(delivery: &Delivery) -> Value {
    let (status, reason) = match (delivery.state, delivery.reason) {
        ("failed", Some(reason)) => (reason.status, reason.word),
        ("cancelled", _) => ("canceled", "cancelled_by_merchant_api"),
        ("picked_up", _) => ("dropoff", ""),
        ("delivered", _) => ("delivered", ""),
        _ => ("pending", ""),
    };
    describe(delivery, status, reason)
}

fn describe(delivery: &Delivery, status: &str, reason: &str) -> Value {
    json!({
        "id": delivery.id,
        "kind": "delivery",
        "status": status,
        "complete": matches!(status, "delivered" | "canceled" | "returned"),
        "external_id": delivery.reference,
        "live_mode": false,
        "dropoff": {
            "name": "A. R.",
            "verification_requirements": {"pincode": {"enabled": true, "value": "4711"}},
        },
        "tracking_url": format!("https://uber.example/orders/{}", delivery.id),
        "undeliverable_action": if status == "returned" { "returned" } else { "" },
        "undeliverable_reason": reason,
    })
}
