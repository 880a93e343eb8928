//! Our own contract: `/v1/deliveries`, an idempotency key, a look-up by reference.

use std::sync::Arc;

use reqwest::Method;
use serde::Deserialize;
use waybill_domain::OrderId;

use super::Opened;
use crate::partner::auth::Auth;
use crate::partner::client::Cancelled;
use crate::partner::contract::{BookingRequest, Complaint};
use crate::partner::dialect::{Call, Delivery, Dialect, Next, Rebooking, is_usable};
use crate::partner::error::PartnerError;
use crate::partner::settings::PartnerSettings;
use crate::partner::wire::Answer;

const KEY: &str = "idempotency-key";

#[derive(Debug)]
struct Standard;

pub(super) fn open(settings: &PartnerSettings) -> Opened {
    Ok((Arc::new(Standard), Auth::bearer(&settings.credentials)?))
}

#[derive(Debug, Deserialize)]
struct Shown {
    id: String,
    #[serde(default)]
    status: String,
    tracking_url: Option<String>,
    reference: Option<OrderId>,
    partner_order_number: Option<String>,
    failure_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct List {
    items: Vec<Shown>,
}

impl Dialect for Standard {
    fn rebooking(&self) -> Rebooking {
        Rebooking::ByLookup
    }

    fn book(&self, booking: &BookingRequest) -> Result<Call, PartnerError> {
        let body = serde_json::to_value(booking).expect("a booking has text keys only");
        let key = format!("{}:book", booking.reference);
        Ok(Call::post(["v1", "deliveries"], body).with(KEY, key).repeatable())
    }

    fn booked(&self, _booking: &BookingRequest, answer: &Answer) -> Result<Next, PartnerError> {
        match answer.status {
            200 | 201 => Shown::read(&answer.body).map(Next::Booked),
            409 => {
                let earlier = Complaint::read(&answer.body).id.filter(|id| is_usable(id));
                let id = earlier
                    .ok_or_else(|| PartnerError::Ambiguous("409 without the id of the earlier booking".to_owned()))?;
                Ok(Next::Booked(Delivery {
                    id,
                    ..Delivery::default()
                }))
            }
            _ => Err(self.refusal(answer)),
        }
    }

    fn find(&self, reference: OrderId) -> Option<Call> {
        Some(Call::get(["v1", "deliveries"]).asking("reference", reference.to_string()))
    }

    fn found(&self, reference: OrderId, answer: &Answer) -> Result<Option<Delivery>, PartnerError> {
        match answer.status {
            200 => Shown::find(&answer.body, reference),
            404 => Ok(None),
            _ => Err(self.refusal(answer)),
        }
    }

    fn view(&self, booking_id: &str) -> Call {
        Call::get(["v1", "deliveries", booking_id])
    }

    fn viewed(&self, answer: &Answer) -> Result<Delivery, PartnerError> {
        match answer.status {
            200 => Shown::read(&answer.body),
            _ => Err(self.refusal(answer)),
        }
    }

    fn cancel(&self, booking_id: &str) -> Call {
        let key = format!("{booking_id}:cancel");
        Call::new(Method::DELETE, ["v1", "deliveries", booking_id]).with(KEY, key)
    }

    fn cancelled(&self, answer: &Answer) -> Result<Cancelled, PartnerError> {
        match answer.status {
            200 | 202 | 204 | 404 | 410 => Ok(Cancelled::Done),
            409 => Ok(Cancelled::TooLate),
            _ => Err(self.refusal(answer)),
        }
    }
}

impl Shown {
    fn read(body: &[u8]) -> Result<Delivery, PartnerError> {
        let shown: Self = serde_json::from_slice(body).map_err(unreadable)?;
        if !is_usable(&shown.id) {
            return Err(PartnerError::Ambiguous("the id cannot be used".to_owned()));
        }
        Ok(shown.into())
    }

    /// The one of a list that is ours. A live one goes before one that has ended.
    fn find(body: &[u8], reference: OrderId) -> Result<Option<Delivery>, PartnerError> {
        let list: List = serde_json::from_slice(body).map_err(unreadable)?;
        let ours = list
            .items
            .into_iter()
            .filter(|shown| is_usable(&shown.id) && shown.reference.is_none_or(|named| named == reference));
        Ok(ours.min_by_key(|shown| shown.status == "cancelled").map(Delivery::from))
    }
}

impl From<Shown> for Delivery {
    fn from(shown: Shown) -> Self {
        Self {
            id: shown.id,
            status: shown.status,
            reason: shown.failure_reason,
            number: shown.partner_order_number,
            tracking_url: shown.tracking_url,
        }
    }
}

/// Where it is wrong; serde's own words may quote what stands there.
fn unreadable(error: serde_json::Error) -> PartnerError {
    let (line, column) = (error.line(), error.column());
    PartnerError::Ambiguous(format!("the answer cannot be read at line {line} column {column}"))
}
