//! Onfleet: `/api/v2/tasks`, one task for the drop-off.
//!
//! No idempotency key, and no look-up by our reference that it documents for this: a task whose answer got lost is an
//! operator's matter. A task that a driver has begun is not deleted.

use std::sync::Arc;

use reqwest::Method;
use serde_json::json;

use super::Opened;
use crate::partner::address::Address;
use crate::partner::auth::Auth;
use crate::partner::client::Cancelled;
use crate::partner::contract::{BookingRequest, Complaint};
use crate::partner::dialect::{Call, Delivery, Dialect, Next, Reading, Rebooking};
use crate::partner::error::PartnerError;
use crate::partner::settings::PartnerSettings;
use crate::partner::wire::Answer;

const TASKS: [&str; 3] = ["api", "v2", "tasks"];

#[derive(Debug)]
struct Onfleet;

pub(super) fn open(settings: &PartnerSettings) -> Opened {
    let auth = Auth::basic(settings.credentials.key("credentials.key")?, None);
    Ok((Arc::new(Onfleet), auth))
}

fn read(answer: &Answer) -> Result<Delivery, PartnerError> {
    let body = Reading::of(answer)?;
    let id = body.id("id")?;
    let failed = body
        .at("completionDetails.success")
        .and_then(serde_json::Value::as_bool)
        == Some(false);
    let state = body.text("state").unwrap_or_default();
    Ok(Delivery {
        status: if state == "3" && failed {
            "3:failed".to_owned()
        } else {
            state
        },
        reason: body.text("completionDetails.failureReason"),
        number: Some(id.clone()),
        tracking_url: body.text("trackingURL"),
        id,
    })
}

impl Dialect for Onfleet {
    fn rebooking(&self) -> Rebooking {
        Rebooking::Never
    }

    fn book(&self, booking: &BookingRequest) -> Result<Call, PartnerError> {
        let dropoff = Address(&booking.dropoff);
        let body = json!({
            "destination": {"address": {"unparsed": dropoff.line()}},
            "recipients": [{"name": dropoff.part("name"), "phone": dropoff.phone()?}],
            "notes": format!("{}; collect at {}", booking.reference, Address(&booking.pickup).line()),
            "quantity": booking.parcels.len(),
        });
        Ok(Call::post(TASKS, body))
    }

    fn booked(&self, _booking: &BookingRequest, answer: &Answer) -> Result<Next, PartnerError> {
        match answer.status {
            200 | 201 => read(answer).map(Next::Booked),
            _ => Err(self.refusal(answer)),
        }
    }

    fn view(&self, booking_id: &str) -> Call {
        Call::get(TASKS.into_iter().chain([booking_id]))
    }

    fn viewed(&self, answer: &Answer) -> Result<Delivery, PartnerError> {
        match answer.status {
            200 => read(answer),
            _ => Err(self.refusal(answer)),
        }
    }

    fn cancel(&self, booking_id: &str) -> Call {
        Call::new(Method::DELETE, TASKS.into_iter().chain([booking_id]))
    }

    fn cancelled(&self, answer: &Answer) -> Result<Cancelled, PartnerError> {
        match answer.status {
            200 | 204 | 404 => Ok(Cancelled::Done),
            409 | 412 => Ok(Cancelled::TooLate),
            _ => Err(self.refusal(answer)),
        }
    }

    /// `{"code": "InvalidContent", "message": {"error": 1000, …}}`: the message is no text.
    fn refusal(&self, answer: &Answer) -> PartnerError {
        let code = Reading::of(answer).ok().and_then(|body| body.text("code"));
        let complaint = Complaint {
            code: code.unwrap_or_default(),
            ..Complaint::default()
        };
        complaint.refusal(answer)
    }
}
