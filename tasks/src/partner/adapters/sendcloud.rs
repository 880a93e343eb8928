//! Sendcloud: `/api/v2/parcels`, with a label asked for at once.
//!
//! Our id is the parcel's external reference and order number, and no key: a parcel whose answer got lost is looked up by
//! it, and not sent again, which would be a second one. A label may be announced later: the status says so. Option:
//! `method`, the id of the shipping method.

use std::sync::Arc;

use serde_json::{Value, json};
use waybill_domain::OrderId;

use super::Opened;
use crate::partner::address::Address;
use crate::partner::auth::Auth;
use crate::partner::client::Cancelled;
use crate::partner::contract::{BookingRequest, Complaint};
use crate::partner::dialect::{Call, Delivery, Dialect, Next, Reading, Rebooking};
use crate::partner::error::PartnerError;
use crate::partner::settings::{Invalid, PartnerSettings};
use crate::partner::wire::Answer;

const PARCELS: [&str; 3] = ["api", "v2", "parcels"];

#[derive(Debug)]
struct Sendcloud {
    method: u64,
}

pub(super) fn open(settings: &PartnerSettings) -> Opened {
    let method = settings.option("method").and_then(|text| text.parse().ok());
    let method = method.ok_or_else(|| Invalid::new("options.method", "the number of a Sendcloud shipping method"))?;
    let credentials = &settings.credentials;
    let auth = Auth::basic(
        credentials.key("credentials.key")?,
        Some(credentials.secret("credentials.secret")?),
    );
    Ok((Arc::new(Sendcloud { method }), auth))
}

fn read(body: &Reading, at: &str) -> Result<Delivery, PartnerError> {
    let path = |name: &str| format!("{at}.{name}");
    Ok(Delivery {
        id: body.id(&path("id"))?,
        status: body.text(&path("status.message")).unwrap_or_default(),
        reason: None,
        number: body.text(&path("tracking_number")),
        tracking_url: body.text(&path("tracking_url")),
    })
}

impl Dialect for Sendcloud {
    fn rebooking(&self) -> Rebooking {
        Rebooking::ByLookupOnly
    }

    fn book(&self, booking: &BookingRequest) -> Result<Call, PartnerError> {
        let to = Address(&booking.dropoff);
        let reference = booking.reference.to_string();
        let parcel = json!({
            "name": to.part("name"),
            "address": to.part("line1"),
            "address_2": to.part("line2"),
            "city": to.part("city"),
            "postal_code": to.part("postal_code"),
            "country": to.part("country"),
            "telephone": to.part("phone"),
            "email": to.part("email"),
            "order_number": reference,
            "external_reference": reference,
            "request_label": true,
            "shipment": {"id": self.method},
        });
        Ok(Call::post(PARCELS, json!({ "parcel": parcel })))
    }

    fn booked(&self, _booking: &BookingRequest, answer: &Answer) -> Result<Next, PartnerError> {
        match answer.status {
            200 | 201 => read(&Reading::of(answer)?, "parcel").map(Next::Booked),
            _ => Err(self.refusal(answer)),
        }
    }

    fn find(&self, reference: OrderId) -> Option<Call> {
        Some(Call::get(PARCELS).asking("external_reference", reference.to_string()))
    }

    fn found(&self, reference: OrderId, answer: &Answer) -> Result<Option<Delivery>, PartnerError> {
        if answer.status != 200 {
            return Err(self.refusal(answer));
        }
        let body = Reading::of(answer)?;
        let parcels = body.at("parcels").and_then(Value::as_array).map_or(0, Vec::len);
        // A filter that is not understood would show everybody's parcels.
        let ours = (0..parcels).find(|index| {
            let named = |name: &str| body.text(&format!("parcels.{index}.{name}"));
            let reference = reference.to_string();
            named("external_reference").as_ref() == Some(&reference) || named("order_number") == Some(reference)
        });
        ours.map(|index| read(&body, &format!("parcels.{index}"))).transpose()
    }

    fn view(&self, booking_id: &str) -> Call {
        Call::get(PARCELS.into_iter().chain([booking_id]))
    }

    fn viewed(&self, answer: &Answer) -> Result<Delivery, PartnerError> {
        match answer.status {
            200 => read(&Reading::of(answer)?, "parcel"),
            _ => Err(self.refusal(answer)),
        }
    }

    fn cancel(&self, booking_id: &str) -> Call {
        Call::post(PARCELS.into_iter().chain([booking_id, "cancel"]), json!({})).repeatable()
    }

    fn cancelled(&self, answer: &Answer) -> Result<Cancelled, PartnerError> {
        match answer.status {
            200 | 202 | 404 | 410 => Ok(Cancelled::Done),
            400 | 409 => Ok(Cancelled::TooLate),
            _ => Err(self.refusal(answer)),
        }
    }

    /// `{"error": {"code": 400, "request": "…", "message": "…"}}`.
    fn refusal(&self, answer: &Answer) -> PartnerError {
        let body = Reading::of(answer).ok();
        let text = |path: &str| body.as_ref().and_then(|body| body.text(path)).unwrap_or_default();
        let complaint = Complaint {
            code: text("error.code"),
            message: text("error.message"),
            id: None,
        };
        complaint.refusal(answer)
    }
}
