//! Shippo: `/transactions`, a label bought in one request.
//!
//! No idempotency key and no look-up by our reference: a label whose answer got lost is an operator's matter. The number
//! may come later than the answer (`QUEUED`, `WAITING`): it is in the callbacks then. Options: `carrier_account`,
//! `service`, and the parcel's measures (`length_cm`, `width_cm`, `height_cm`, `weight_kg`).

use std::sync::Arc;

use serde_json::{Value, json};

use super::Opened;
use crate::partner::address::Address;
use crate::partner::auth::Auth;
use crate::partner::client::Cancelled;
use crate::partner::contract::{BookingRequest, Complaint};
use crate::partner::dialect::{Call, Delivery, Dialect, Next, Reading, Rebooking};
use crate::partner::error::PartnerError;
use crate::partner::settings::{Invalid, PartnerSettings};
use crate::partner::wire::Answer;

#[derive(Debug)]
struct Shippo {
    account: String,
    service: String,
    parcel: Value,
}

pub(super) fn open(settings: &PartnerSettings) -> Opened {
    let option = |name: &str| {
        let given = settings.option(name).map(str::to_owned);
        given.ok_or_else(|| Invalid::new(format!("options.{name}"), "Shippo's name of it"))
    };
    let measure = |name: &str, otherwise: &str| settings.option(name).unwrap_or(otherwise).to_owned();
    let parcel = json!({
        "length": measure("length_cm", "25"), "width": measure("width_cm", "20"), "height": measure("height_cm", "5"),
        "distance_unit": "cm", "weight": measure("weight_kg", "0.5"), "mass_unit": "kg",
    });
    let shippo = Shippo {
        account: option("carrier_account")?,
        service: option("service")?,
        parcel,
    };
    let auth = Auth::header(
        "authorization",
        "ShippoToken ",
        settings.credentials.key("credentials.key")?,
    );
    Ok((Arc::new(shippo), auth))
}

fn address(address: &Address<'_>) -> Value {
    json!({
        "name": address.part("name"), "street1": address.part("line1"), "street2": address.part("line2"),
        "city": address.part("city"), "state": address.part("region"), "zip": address.part("postal_code"),
        "country": address.part("country"), "phone": address.part("phone"), "email": address.part("email"),
    })
}

fn read(answer: &Answer) -> Result<Delivery, PartnerError> {
    let body = Reading::of(answer)?;
    Ok(Delivery {
        id: body.id("object_id")?,
        status: body.text("tracking_status").unwrap_or_else(|| "UNKNOWN".to_owned()),
        reason: None,
        number: body.text("tracking_number"),
        tracking_url: body.text("tracking_url_provider"),
    })
}

impl Dialect for Shippo {
    fn rebooking(&self) -> Rebooking {
        Rebooking::Never
    }

    fn book(&self, booking: &BookingRequest) -> Result<Call, PartnerError> {
        let body = json!({
            "shipment": {
                "address_from": address(&Address(&booking.pickup)),
                "address_to": address(&Address(&booking.dropoff)),
                "parcels": [self.parcel],
            },
            "carrier_account": self.account,
            "servicelevel_token": self.service,
            "metadata": booking.reference.to_string(),
            "async": false,
        });
        Ok(Call::post(["transactions"], body))
    }

    fn booked(&self, _booking: &BookingRequest, answer: &Answer) -> Result<Next, PartnerError> {
        if !matches!(answer.status, 200 | 201) {
            return Err(self.refusal(answer));
        }
        let body = Reading::of(answer)?;
        match body.text("status").as_deref() {
            Some("SUCCESS" | "QUEUED" | "WAITING") => read(answer).map(Next::Booked),
            Some("ERROR") => Err(PartnerError::Rejected {
                code: body.text("messages.0.code").unwrap_or_else(|| "ERROR".to_owned()),
                text: body.text("messages.0.text").unwrap_or_default(),
            }),
            _ => Err(PartnerError::Ambiguous(
                "a transaction without a status that is known".to_owned(),
            )),
        }
    }

    fn view(&self, booking_id: &str) -> Call {
        Call::get(["transactions", booking_id])
    }

    fn viewed(&self, answer: &Answer) -> Result<Delivery, PartnerError> {
        match answer.status {
            200 => read(answer),
            _ => Err(self.refusal(answer)),
        }
    }

    /// A label that was not used is given back.
    fn cancel(&self, booking_id: &str) -> Call {
        Call::post(["refunds"], json!({"transaction": booking_id, "async": false})).repeatable()
    }

    fn cancelled(&self, answer: &Answer) -> Result<Cancelled, PartnerError> {
        if !matches!(answer.status, 200 | 201) {
            return Err(self.refusal(answer));
        }
        match Reading::of(answer)?.text("status").as_deref() {
            Some("QUEUED" | "PENDING" | "SUCCESS") => Ok(Cancelled::Done),
            Some("ERROR") => Ok(Cancelled::TooLate),
            _ => Err(PartnerError::Ambiguous(
                "a refund without a status that is known".to_owned(),
            )),
        }
    }

    /// Its complaints name fields, and have no code.
    fn refusal(&self, answer: &Answer) -> PartnerError {
        Complaint::default().refusal(answer)
    }
}
