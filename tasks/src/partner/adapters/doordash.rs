//! DoorDash Drive: `/drive/v2/deliveries`, keyed by our own `external_delivery_id`.
//!
//! The id is the natural key: a second booking under it is answered 409, and a delivery is found, seen and called off by
//! it. Requests carry a token that is signed with the account's secret (HS256, header `dd-ver`).

use std::sync::Arc;

use reqwest::Method;
use serde_json::json;
use waybill_domain::OrderId;

use super::Opened;
use crate::partner::address::{Address, lines};
use crate::partner::auth::Auth;
use crate::partner::client::Cancelled;
use crate::partner::contract::BookingRequest;
use crate::partner::dialect::{Call, Delivery, Dialect, Next, Reading, Rebooking};
use crate::partner::error::PartnerError;
use crate::partner::settings::PartnerSettings;
use crate::partner::wire::Answer;

const DELIVERIES: [&str; 3] = ["drive", "v2", "deliveries"];

#[derive(Debug)]
struct DoorDash;

pub(super) fn open(settings: &PartnerSettings) -> Opened {
    Ok((Arc::new(DoorDash), Auth::doordash(&settings.credentials)?))
}

fn read(answer: &Answer) -> Result<Delivery, PartnerError> {
    let body = Reading::of(answer)?;
    let id = body.id("external_delivery_id")?;
    Ok(Delivery {
        status: body.text("delivery_status").unwrap_or_default(),
        reason: body.text("cancellation_reason"),
        number: Some(id.clone()),
        tracking_url: body.text("tracking_url"),
        id,
    })
}

impl Dialect for DoorDash {
    fn rebooking(&self) -> Rebooking {
        Rebooking::ByLookup
    }

    fn book(&self, booking: &BookingRequest) -> Result<Call, PartnerError> {
        let (pickup, dropoff) = (Address(&booking.pickup), Address(&booking.dropoff));
        let items: Vec<_> = booking
            .parcels
            .iter()
            .flat_map(|parcel| lines(&parcel.items))
            .map(|(name, quantity)| json!({"name": name, "quantity": quantity}))
            .collect();
        let body = json!({
            "external_delivery_id": booking.reference.to_string(),
            "pickup_address": pickup.line(),
            "pickup_business_name": pickup.part("name"),
            "pickup_phone_number": pickup.phone()?,
            "dropoff_address": dropoff.line(),
            "dropoff_contact_given_name": dropoff.part("name"),
            "dropoff_phone_number": dropoff.phone()?,
            "items": items,
        });
        Ok(Call::post(DELIVERIES, body).repeatable())
    }

    fn booked(&self, booking: &BookingRequest, answer: &Answer) -> Result<Next, PartnerError> {
        match answer.status {
            200 | 201 => read(answer).map(Next::Booked),
            // The id that is taken is our own: it is the earlier booking.
            409 => Ok(Next::Booked(Delivery {
                id: booking.reference.to_string(),
                number: Some(booking.reference.to_string()),
                ..Delivery::default()
            })),
            _ => Err(self.refusal(answer)),
        }
    }

    fn find(&self, reference: OrderId) -> Option<Call> {
        Some(self.view(&reference.to_string()))
    }

    fn found(&self, _reference: OrderId, answer: &Answer) -> Result<Option<Delivery>, PartnerError> {
        match answer.status {
            200 => read(answer).map(Some),
            404 => Ok(None),
            _ => Err(self.refusal(answer)),
        }
    }

    fn view(&self, booking_id: &str) -> Call {
        Call::get(DELIVERIES.into_iter().chain([booking_id]))
    }

    fn viewed(&self, answer: &Answer) -> Result<Delivery, PartnerError> {
        match answer.status {
            200 => read(answer),
            _ => Err(self.refusal(answer)),
        }
    }

    fn cancel(&self, booking_id: &str) -> Call {
        Call::new(Method::PUT, DELIVERIES.into_iter().chain([booking_id, "cancel"])).repeatable()
    }

    fn cancelled(&self, answer: &Answer) -> Result<Cancelled, PartnerError> {
        match answer.status {
            200 | 204 | 404 => Ok(Cancelled::Done),
            // What a courier has in hand is not called off.
            400 | 409 | 422 => Ok(Cancelled::TooLate),
            _ => Err(self.refusal(answer)),
        }
    }
}
