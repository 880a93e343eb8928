//! EasyPost: `/v2/shipments` that are bought at once, `tracker.…` events signed with a secret in Unicode form NFKD.
//!
//! As its fixtures have it. There is no idempotency key: the same request again buys a second label. A shipment is shown
//! by its id or by the reference that it was given.

use axum::http::Method;
use chrono::{DateTime, SecondsFormat, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use unicode_normalization::UnicodeNormalization as _;

use super::{Answer, Asked, Delivery, Dialect, Leg, News, Outcome, Reason, Request};
use crate::partner_sim::plan::Fate;
use crate::partner_sim::secret::CallbackSecret;

const fn failure(word: &'static str) -> Reason {
    Reason {
        status: "failure",
        word,
    }
}

const AT_PICK_UP: &[Reason] = &[
    failure("address_correction"),
    Reason {
        status: "error",
        word: "unknown",
    },
];

const AT_DELIVERY: &[Reason] = &[
    failure("damaged"),
    failure("expired"),
    failure("lost"),
    failure("missorted"),
    failure("refused"),
    failure("delivery_exception"),
    Reason {
        status: "return_to_sender",
        word: "return",
    },
];

#[derive(Debug)]
pub(super) struct EasyPost {
    key: CallbackSecret,
}

impl EasyPost {
    pub(super) fn new(secret: &CallbackSecret) -> Self {
        let normalised: String = secret.text().nfkd().collect();
        Self {
            key: CallbackSecret::of_bytes(normalised.into_bytes()),
        }
    }
}

fn complain(status: u16, code: &str) -> Answer {
    (status, json!({"error": {"code": code, "message": code, "errors": []}}))
}

impl Dialect for EasyPost {
    fn read(&self, request: &Request<'_>) -> Result<Asked, Answer> {
        if request.basic_user().is_none() {
            return Err(complain(401, "APIKEY.INACTIVE"));
        }
        match (request.method, &*request.path) {
            (&Method::POST, ["v2", "shipments"]) => {
                let needed = [
                    "service",
                    "from_address.street1",
                    "to_address.street1",
                    "to_address.zip",
                ];
                let whole = needed
                    .iter()
                    .all(|name| request.text(&format!("shipment.{name}")).is_some());
                let account = &request.body["shipment"]["carrier_accounts"][0];
                let Some(reference) = request
                    .text("shipment.reference")
                    .filter(|_| whole && account.is_string())
                else {
                    return Err(complain(422, "SHIPMENT.INVALID_PARAMS"));
                };
                Ok(Asked::Book {
                    reference: reference.to_owned(),
                    key: None,
                    callback_url: None,
                })
            }
            (&Method::GET, ["v2", "shipments", id]) if id.starts_with("shp_") => {
                Ok(Asked::View { id: (*id).to_owned() })
            }
            (&Method::GET, ["v2", "shipments", reference]) => Ok(Asked::Find {
                reference: (*reference).to_owned(),
            }),
            (&Method::POST, ["v2", "shipments", id, "refund"]) => Ok(Asked::Cancel {
                id: (*id).to_owned(),
                key: None,
            }),
            _ => Err(complain(404, "NOT_FOUND")),
        }
    }

    fn say(&self, outcome: Outcome<'_>) -> Answer {
        match outcome {
            Outcome::Booked(delivery) | Outcome::Taken(delivery) => (201, view(delivery, Value::Null)),
            Outcome::Viewed(delivery) | Outcome::Found(Some(delivery)) => (200, view(delivery, Value::Null)),
            Outcome::Cancelled(delivery) => (200, view(delivery, json!("submitted"))),
            Outcome::TooLate(delivery) => (200, view(delivery, json!("rejected"))),
            Outcome::Rejected => complain(422, "SHIPMENT.POSTAGE.FAILURE"),
            Outcome::Found(None) | Outcome::Unknown => complain(404, "NOT_FOUND"),
            Outcome::Broken(status) => complain(status, "INTERNAL_SERVER_ERROR"),
        }
    }

    fn news(&self, leg: Leg, delivery: &Delivery) -> Vec<News> {
        let told: &[_] = match leg {
            Leg::Booked => &[("tracker.created", "pre_transit", "label_created")],
            Leg::PickedUp => &[
                ("tracker.updated", "in_transit", "arrived_at_facility"),
                ("tracker.updated", "out_for_delivery", "out_for_delivery"),
            ],
            Leg::Delivered => &[("tracker.updated", "delivered", "arrived_at_destination")],
            Leg::Failed(reason) => return vec![event(delivery, "tracker.updated", reason.status, reason.word)],
            Leg::Cancelled => &[("tracker.updated", "cancelled", "cancelled")],
        };
        told.iter()
            .map(|(description, status, detail)| event(delivery, description, status, detail))
            .collect()
    }

    fn sign(&self, _id: &str, _at: DateTime<Utc>, body: &str) -> Vec<(&'static str, String)> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.bytes()).expect("HMAC takes a key of any length");
        mac.update(body.as_bytes());
        let digest = hex::encode(mac.finalize().into_bytes());
        vec![("x-hmac-signature", format!("hmac-sha256-hex={digest}"))]
    }

    fn delivery_id(&self, fate: &Fate<'_>) -> String {
        format!("shp_{:016x}{:016x}", fate.draw("delivery"), fate.draw("delivery-too"))
    }

    fn reasons_at_pick_up(&self) -> &'static [Reason] {
        AT_PICK_UP
    }

    fn reasons_at_delivery(&self) -> &'static [Reason] {
        AT_DELIVERY
    }
}

fn event(delivery: &Delivery, description: &str, status: &'static str, detail: &str) -> News {
    let body = json!({
        "object": "Event",
        "mode": "test",
        "description": description,
        "created_at": now(),
        "pending_urls": [],
        "completed_urls": [],
        "status": "pending",
        "user_id": "user_1",
        "result": tracker(delivery, status, detail),
    });
    News {
        kind: status,
        body,
        id_at: Some("id"),
    }
}

fn view(delivery: &Delivery, refund: Value) -> Value {
    let (status, detail) = match (delivery.state, delivery.reason) {
        ("failed", Some(reason)) => (reason.status, reason.word),
        ("cancelled", _) => ("cancelled", "cancelled"),
        ("picked_up", _) => ("in_transit", "arrived_at_facility"),
        ("delivered", _) => ("delivered", "arrived_at_destination"),
        _ => ("unknown", "unknown"),
    };
    json!({
        "id": delivery.id,
        "object": "Shipment",
        "mode": "test",
        "reference": delivery.reference,
        "status": status,
        "refund_status": refund,
        "tracking_code": delivery.number,
        "tracker": tracker(delivery, status, detail),
    })
}

fn tracker(delivery: &Delivery, status: &str, detail: &str) -> Value {
    json!({
        "id": format!("trk_{}", delivery.number),
        "object": "Tracker",
        "mode": "test",
        "tracking_code": delivery.number,
        "status": status,
        "status_detail": detail,
        "updated_at": now(),
        "signed_by": null,
        "shipment_id": delivery.id,
        "carrier": "USPS",
        "tracking_details": [],
        "public_url": format!("https://easypost.example/{}", delivery.number),
    })
}

fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true)
}
