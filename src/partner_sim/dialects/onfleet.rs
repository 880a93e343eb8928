//! Onfleet: `/api/v2/tasks` of own drivers, triggers signed by HMAC-SHA512 with a key that is written in hexadecimal.
//!
//! Neither an idempotency key nor a look-up by reference: our reference stands in the notes, where a dispatcher reads it.
//! Triggers have no id, and say of a failure what the organisation has called it.

use axum::http::Method;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha512;

use super::{Answer, Asked, Delivery, Dialect, Leg, News, Outcome, Reason, Request};
use crate::partner_sim::plan::Fate;
use crate::partner_sim::secret::CallbackSecret;

const fn failed(word: &'static str) -> Reason {
    Reason { status: "3", word }
}

const AT_PICK_UP: &[Reason] = &[failed("NOTHING_TO_COLLECT"), failed("VEHICLE_BROKEN")];
const AT_DELIVERY: &[Reason] = &[
    failed("CUSTOMER_NOT_HOME"),
    failed("REFUSED"),
    failed("WRONG_ADDRESS"),
    failed("NONE"),
];

#[derive(Debug)]
pub(super) struct Onfleet {
    key: CallbackSecret,
}

impl Onfleet {
    /// The secret is written in hexadecimal.
    pub(super) fn new(secret: &CallbackSecret) -> Option<Self> {
        let key = hex::decode(secret.text()).ok()?;
        Some(Self {
            key: CallbackSecret::of_bytes(key),
        })
    }
}

fn complain(status: u16, code: &str) -> Answer {
    (
        status,
        json!({"code": code, "message": {"error": status, "message": code, "cause": {}}}),
    )
}

impl Dialect for Onfleet {
    fn read(&self, request: &Request<'_>) -> Result<Asked, Answer> {
        if request.basic_user().is_none() {
            return Err(complain(401, "InvalidCredentials"));
        }
        let ["api", "v2", "tasks", rest @ ..] = &*request.path else {
            return Err(complain(404, "ResourceNotFound"));
        };
        match (request.method, rest) {
            (&Method::POST, []) => {
                let recipient = &request.body["recipients"][0];
                let whole = request.text("destination.address.unparsed").is_some()
                    && recipient["name"].is_string()
                    && recipient["phone"].is_string();
                let reference = request.text("notes").and_then(|notes| notes.split(';').next());
                let Some(reference) = reference.filter(|_| whole) else {
                    return Err(complain(400, "InvalidContent"));
                };
                Ok(Asked::Book {
                    reference: reference.to_owned(),
                    key: None,
                    callback_url: None,
                })
            }
            (&Method::GET, [id]) => Ok(Asked::View { id: (*id).to_owned() }),
            (&Method::DELETE, [id]) => Ok(Asked::Cancel {
                id: (*id).to_owned(),
                key: None,
            }),
            _ => Err(complain(404, "ResourceNotFound")),
        }
    }

    fn say(&self, outcome: Outcome<'_>) -> Answer {
        match outcome {
            Outcome::Booked(delivery) | Outcome::Taken(delivery) | Outcome::Viewed(delivery) => (200, task(delivery)),
            Outcome::Cancelled(_) => (200, Value::Null),
            Outcome::Rejected => complain(400, "InvalidContent"),
            Outcome::TooLate(_) => complain(409, "InvalidContent"),
            Outcome::Found(_) | Outcome::Unknown => complain(404, "ResourceNotFound"),
            Outcome::Broken(status) => complain(status, "InternalServerError"),
        }
    }

    fn news(&self, leg: Leg, delivery: &Delivery) -> Vec<News> {
        let told: &[_] = match leg {
            Leg::Booked => &[(6, "taskCreated"), (9, "taskAssigned")],
            Leg::PickedUp => &[(0, "taskStarted")],
            Leg::Delivered => &[(3, "taskCompleted")],
            Leg::Failed(_) => &[(4, "taskFailed")],
            Leg::Cancelled => &[(8, "taskDeleted")],
        };
        told.iter().map(|(id, name)| trigger(delivery, *id, name)).collect()
    }

    fn sign(&self, _id: &str, _at: DateTime<Utc>, body: &str) -> Vec<(&'static str, String)> {
        let mut mac = Hmac::<Sha512>::new_from_slice(self.key.bytes()).expect("HMAC takes a key of any length");
        mac.update(body.as_bytes());
        vec![("x-onfleet-signature", hex::encode(mac.finalize().into_bytes()))]
    }

    /// 24 letters, as of Onfleet's own.
    fn delivery_id(&self, fate: &Fate<'_>) -> String {
        let letters = format!("{:016x}{:016x}", fate.draw("delivery"), fate.draw("delivery-too"));
        format!("{}~{}*", &letters[..11], &letters[16..27])
    }

    fn reasons_at_pick_up(&self) -> &'static [Reason] {
        AT_PICK_UP
    }

    fn reasons_at_delivery(&self) -> &'static [Reason] {
        AT_DELIVERY
    }
}

fn trigger(delivery: &Delivery, id: u32, name: &'static str) -> News {
    let body = json!({
        "time": Utc::now().timestamp_millis(),
        "triggerId": id,
        "triggerName": name,
        "taskId": delivery.id,
        "workerId": "1Ds6ulPYWxNPgaIaoLPqlIQE",
        "adminId": null,
        "data": {"task": task(delivery), "worker": {"name": "A. S."}},
    });
    News {
        kind: name,
        body,
        id_at: None,
    }
}

fn task(delivery: &Delivery) -> Value {
    let ended = matches!(delivery.state, "delivered" | "failed");
    let state = match delivery.state {
        "picked_up" => 2,
        _ if ended => 3,
        _ => 0,
    };
    let mut task = json!({
        "id": delivery.id,
        "shortId": &delivery.id[..8],
        "state": state,
        "trackingURL": format!("https://onfleet.example/{}", &delivery.id[..8]),
        "recipients": [{"name": "A. R.", "phone": "+15555550103"}],
    });
    if ended {
        task["completionDetails"] = json!({
            "success": delivery.state == "delivered",
            "failureReason": delivery.reason.map_or("NONE", |reason| reason.word),
        });
    }
    task
}
