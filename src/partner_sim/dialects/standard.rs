//! Our own contract: `/v1/deliveries`, Standard Webhooks.

use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{Answer, Asked, Delivery, Dialect, Leg, News, Outcome, Reason, Request, complain};
use crate::partner_sim::plan::Fate;
use crate::partner_sim::secret::CallbackSecret;

/// `failed` for a reason of our list.
const fn failed(word: &'static str) -> Reason {
    Reason { status: "failed", word }
}

const AT_PICK_UP: &[Reason] = &[
    failed("PICKUP_FAILED"),
    failed("NO_COURIER"),
    failed("COURIER_INCIDENT"),
    failed("PACKAGE_MISMATCH"),
    failed("PARTNER_TECHNICAL"),
];

const AT_DELIVERY: &[Reason] = &[
    failed("RECIPIENT_UNAVAILABLE"),
    failed("RECIPIENT_REFUSED"),
    failed("RECIPIENT_MOVED"),
    failed("BUSINESS_CLOSED"),
    failed("ADDRESS_INVALID"),
    failed("ACCESS_RESTRICTED"),
    failed("NO_SAFE_PLACE"),
    failed("VERIFICATION_FAILED"),
    failed("DAMAGED"),
    failed("LOST"),
    failed("MISROUTED"),
    failed("UNCLAIMED"),
    failed("RETURNED_TO_SENDER"),
    failed("COURIER_INCIDENT"),
    failed("WEATHER_OR_FORCE_MAJEURE"),
];

#[derive(Debug)]
pub(super) struct Standard {
    key: CallbackSecret,
}

impl Standard {
    /// The secret is written `whsec_` and base64 of 24 to 64 bytes.
    pub(super) fn new(secret: &CallbackSecret) -> Option<Self> {
        let key = STANDARD.decode(secret.text().strip_prefix("whsec_")?).ok()?;
        let key = CallbackSecret::of_bytes(key);
        (24..=64).contains(&key.bytes().len()).then_some(Self { key })
    }
}

impl Dialect for Standard {
    fn read(&self, request: &Request<'_>) -> Result<Asked, Answer> {
        let key = request.header("idempotency-key").map(str::to_owned);
        match (request.method, &*request.path) {
            (&Method::POST, ["v1", "deliveries"]) => {
                let whole = ["pickup", "dropoff", "parcels"]
                    .iter()
                    .all(|part| !request.body[part].is_null());
                let (Some(reference), Some(url), true) =
                    (request.text("reference"), request.text("callback_url"), whole)
                else {
                    return Err(complain(422, "missing_field"));
                };
                match key {
                    None => Err(complain(400, "missing_idempotency_key")),
                    key => Ok(Asked::Book {
                        reference: reference.to_owned(),
                        key,
                        callback_url: Some(url.to_owned()),
                    }),
                }
            }
            (&Method::GET, ["v1", "deliveries"]) => {
                let reference = request
                    .parameter("reference")
                    .ok_or_else(|| complain(400, "missing_reference"))?;
                Ok(Asked::Find {
                    reference: reference.to_owned(),
                })
            }
            (&Method::GET, ["v1", "deliveries", id]) => Ok(Asked::View { id: (*id).to_owned() }),
            (&Method::DELETE, ["v1", "deliveries", id]) => Ok(Asked::Cancel {
                id: (*id).to_owned(),
                key,
            }),
            _ => Err(complain(404, "no_such_route")),
        }
    }

    fn say(&self, outcome: Outcome<'_>) -> Answer {
        match outcome {
            Outcome::Booked(delivery) => (201, view(delivery)),
            Outcome::Taken(earlier) => (
                409,
                json!({"code": "already_booked", "message": "already booked", "id": earlier.id}),
            ),
            Outcome::Rejected => complain(422, "address_undeliverable"),
            Outcome::Found(found) => (200, json!({"items": found.map(view).into_iter().collect::<Vec<_>>()})),
            Outcome::Viewed(delivery) => (200, view(delivery)),
            Outcome::Cancelled(_) => (204, Value::Null),
            Outcome::TooLate(_) => complain(409, "already_picked_up"),
            Outcome::Unknown => complain(404, "unknown_delivery"),
            Outcome::Broken(status) => complain(status, "internal_error"),
        }
    }

    fn news(&self, leg: Leg, delivery: &Delivery) -> Vec<News> {
        let (kind, number, reason, note) = match leg {
            Leg::Booked => return Vec::new(),
            Leg::PickedUp => ("delivery.picked_up", Some(&delivery.number), None, None),
            Leg::Delivered => ("delivery.delivered", None, None, None),
            Leg::Failed(reason) => ("delivery.failed", None, Some(reason.word), Some("simulated")),
            Leg::Cancelled => ("delivery.cancelled", None, None, Some("cancelled on request")),
        };
        let body = json!({
            "type": kind,
            "timestamp": Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true),
            "data": {
                "reference": delivery.reference,
                "partner_order_number": number,
                "failure_reason": reason,
                "note": note,
            },
        });
        vec![News {
            kind,
            body,
            id_at: None,
        }]
    }

    fn sign(&self, id: &str, at: DateTime<Utc>, body: &str) -> Vec<(&'static str, String)> {
        let at = at.timestamp();
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.bytes()).expect("HMAC takes a key of any length");
        mac.update(format!("{id}.{at}.{body}").as_bytes());
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        vec![
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", at.to_string()),
            ("webhook-signature", signature),
        ]
    }

    fn delivery_id(&self, fate: &Fate<'_>) -> String {
        format!("dlv_{:016x}", fate.draw("delivery"))
    }

    fn reasons_at_pick_up(&self) -> &'static [Reason] {
        AT_PICK_UP
    }

    fn reasons_at_delivery(&self) -> &'static [Reason] {
        AT_DELIVERY
    }
}

fn view(delivery: &Delivery) -> Value {
    json!({
        "id": delivery.id,
        "status": delivery.state,
        "tracking_url": format!("https://partner.example/track/{}", delivery.id),
        "reference": delivery.reference,
        "failure_reason": delivery.reason.map(|reason| reason.word),
        "partner_order_number": (!matches!(delivery.state, "booked" | "cancelled")).then_some(&delivery.number),
    })
}
