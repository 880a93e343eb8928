//! Stuart: `/v2/jobs`, with our id as the client's reference.
//!
//! The reference must be unique, but what a second job under it is answered is not published, nor is a look-up by it: a
//! booking whose answer got lost is an operator's matter, and nothing is sent again.

use std::sync::Arc;

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

#[derive(Debug)]
struct Stuart {
    package: String,
}

pub(super) fn open(settings: &PartnerSettings) -> Opened {
    let token_url = format!("{}/oauth/token", settings.base_url.trim_end_matches('/'));
    let stuart = Stuart {
        package: settings.option("package_type").unwrap_or("small").to_owned(),
    };
    Ok((Arc::new(stuart), Auth::tokens(settings, &token_url, Some("api"))?))
}

fn read(answer: &Answer) -> Result<Delivery, PartnerError> {
    let body = Reading::of(answer)?;
    let status = body.text("deliveries.0.status").or_else(|| body.text("status"));
    Ok(Delivery {
        id: body.id("id")?,
        status: status.unwrap_or_default(),
        reason: body.text("deliveries.0.cancellation.reasonKey"),
        number: body.text("deliveries.0.id"),
        tracking_url: body.text("deliveries.0.trackingUrl"),
    })
}

impl Dialect for Stuart {
    fn rebooking(&self) -> Rebooking {
        Rebooking::Never
    }

    fn book(&self, booking: &BookingRequest) -> Result<Call, PartnerError> {
        let (pickup, dropoff) = (Address(&booking.pickup), Address(&booking.dropoff));
        let place = |address: &Address<'_>| -> Result<_, PartnerError> {
            let contact =
                json!({"firstname": address.part("name"), "phone": address.phone()?, "email": address.part("email")});
            Ok(json!({"address": address.line(), "contact": contact}))
        };
        let mut to = place(&dropoff)?;
        to["package_type"] = json!(self.package);
        to["client_reference"] = json!(booking.reference.to_string());
        Ok(Call::post(
            ["v2", "jobs"],
            json!({"job": {"pickups": [place(&pickup)?], "dropoffs": [to]}}),
        ))
    }

    fn booked(&self, _booking: &BookingRequest, answer: &Answer) -> Result<Next, PartnerError> {
        match answer.status {
            200 | 201 => read(answer).map(Next::Booked),
            409 => Err(PartnerError::Ambiguous(
                "409: the reference may be taken by an earlier try".to_owned(),
            )),
            _ => Err(self.refusal(answer)),
        }
    }

    fn view(&self, booking_id: &str) -> Call {
        Call::get(["v2", "jobs", booking_id])
    }

    fn viewed(&self, answer: &Answer) -> Result<Delivery, PartnerError> {
        match answer.status {
            200 => read(answer),
            _ => Err(self.refusal(answer)),
        }
    }

    fn cancel(&self, booking_id: &str) -> Call {
        Call::post(["v2", "jobs", booking_id, "cancel"], json!({})).repeatable()
    }

    fn cancelled(&self, answer: &Answer) -> Result<Cancelled, PartnerError> {
        match answer.status {
            200 | 201 | 204 | 404 => Ok(Cancelled::Done),
            409 | 422 => Ok(Cancelled::TooLate),
            _ => Err(self.refusal(answer)),
        }
    }

    /// Its word stands in `error`.
    fn refusal(&self, answer: &Answer) -> PartnerError {
        let mut complaint = Complaint::read(&answer.body);
        if let Ok(body) = Reading::of(answer) {
            complaint.code = body.text("error").unwrap_or(complaint.code);
        }
        complaint.refusal(answer)
    }
}
