//! EasyPost: `/v2/shipments`, bought in the same request.
//!
//! No idempotency key, but our reference stands in the place of its id: a booking whose answer got lost is looked up by
//! it, and counts as made when it has a tracking code. It is not sent again, which would buy a second label. Options:
//! `carrier_account`, `service`, and the parcel's measures (`length_in`, `width_in`, `height_in`, `weight_oz`).

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

/// Its word for a booking.
const PATH: [&str; 2] = ["v2", "shipments"];

#[derive(Debug)]
struct EasyPost {
    account: String,
    service: String,
    parcel: Value,
}

pub(super) fn open(settings: &PartnerSettings) -> Opened {
    let option = |name: &str| {
        let given = settings.option(name).map(str::to_owned);
        given.ok_or_else(|| Invalid::new(format!("options.{name}"), "EasyPost's name of it"))
    };
    let measure = |name: &str, otherwise: f64| {
        let given = settings.option(name).and_then(|text| text.parse::<f64>().ok());
        given.unwrap_or(otherwise)
    };
    let parcel = json!({
        "length": measure("length_in", 10.0), "width": measure("width_in", 8.0), "height": measure("height_in", 2.0),
        "weight": measure("weight_oz", 18.0),
    });
    let easypost = EasyPost {
        account: option("carrier_account")?,
        service: option("service")?,
        parcel,
    };
    let auth = Auth::basic(settings.credentials.key("credentials.key")?, None);
    Ok((Arc::new(easypost), auth))
}

fn address(address: &Address<'_>) -> Value {
    json!({
        "name": address.part("name"), "street1": address.part("line1"), "street2": address.part("line2"),
        "city": address.part("city"), "state": address.part("region"), "zip": address.part("postal_code"),
        "country": address.part("country"), "phone": address.part("phone"), "email": address.part("email"),
    })
}

fn read(body: &Reading) -> Result<Delivery, PartnerError> {
    Ok(Delivery {
        id: body.id("id")?,
        status: body.text("status").unwrap_or_default(),
        reason: body.text("tracker.status_detail"),
        number: body.text("tracking_code"),
        tracking_url: body.text("tracker.public_url"),
    })
}

impl Dialect for EasyPost {
    fn rebooking(&self) -> Rebooking {
        Rebooking::ByLookupOnly
    }

    fn book(&self, booking: &BookingRequest) -> Result<Call, PartnerError> {
        let body = json!({
            "reference": booking.reference.to_string(),
            "from_address": address(&Address(&booking.pickup)),
            "to_address": address(&Address(&booking.dropoff)),
            "parcel": self.parcel,
            "carrier_accounts": [self.account],
            "service": self.service,
        });
        Ok(Call::post(PATH, json!({ "shipment": body })))
    }

    fn booked(&self, _booking: &BookingRequest, answer: &Answer) -> Result<Next, PartnerError> {
        if !matches!(answer.status, 200 | 201) {
            return Err(self.refusal(answer));
        }
        let body = Reading::of(answer)?;
        match body.text("tracking_code") {
            Some(_) => read(&body).map(Next::Booked),
            None => Err(PartnerError::Ambiguous(
                "it is created and may not be bought".to_owned(),
            )),
        }
    }

    fn find(&self, reference: OrderId) -> Option<Call> {
        Some(self.view(&reference.to_string()))
    }

    fn found(&self, _reference: OrderId, answer: &Answer) -> Result<Option<Delivery>, PartnerError> {
        match answer.status {
            200 => {
                let body = Reading::of(answer)?;
                let bought = body.text("tracking_code").is_some();
                bought.then(|| read(&body)).transpose()
            }
            404 => Ok(None),
            _ => Err(self.refusal(answer)),
        }
    }

    fn view(&self, booking_id: &str) -> Call {
        Call::get(PATH.into_iter().chain([booking_id]))
    }

    fn viewed(&self, answer: &Answer) -> Result<Delivery, PartnerError> {
        match answer.status {
            200 => read(&Reading::of(answer)?),
            _ => Err(self.refusal(answer)),
        }
    }

    /// A label that was not used is given back.
    fn cancel(&self, booking_id: &str) -> Call {
        Call::post(PATH.into_iter().chain([booking_id, "refund"]), json!({})).repeatable()
    }

    fn cancelled(&self, answer: &Answer) -> Result<Cancelled, PartnerError> {
        match answer.status {
            200 | 201 => match Reading::of(answer)?.text("refund_status").as_deref() {
                Some("rejected" | "not_applicable") => Ok(Cancelled::TooLate),
                _ => Ok(Cancelled::Done),
            },
            404 => Ok(Cancelled::Done),
            _ => Err(self.refusal(answer)),
        }
    }

    /// `{"error": {"code": "…", "message": "…"}}`.
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
