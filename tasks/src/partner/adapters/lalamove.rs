//! Lalamove: `/v3/quotations`, then `/v3/orders`, signed by `hmac key:time:signature`, in the market of the account.
//!
//! No idempotency key and no look-up by our reference: the quotation binds nothing and may be asked again, but an order
//! whose answer got lost is an operator's matter, as Lalamove's own documentation warns. Options: `market`, `service`,
//! `language`.

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
use crate::partner::settings::{Invalid, PartnerSettings};
use crate::partner::wire::Answer;

const ORDERS: [&str; 2] = ["v3", "orders"];

#[derive(Debug)]
struct Lalamove {
    service: String,
    language: String,
}

pub(super) fn open(settings: &PartnerSettings) -> Opened {
    let option = |name: &'static str| {
        let given = settings.option(name).map(str::to_owned);
        given.ok_or_else(|| Invalid::new(format!("options.{name}"), "Lalamove's word for it"))
    };
    let lalamove = Lalamove {
        service: option("service")?,
        language: option("language")?,
    };
    Ok((
        Arc::new(lalamove),
        Auth::lalamove(&settings.credentials, option("market")?)?,
    ))
}

fn read(answer: &Answer) -> Result<Delivery, PartnerError> {
    let body = Reading::of(answer)?;
    let id = body.id("data.orderId")?;
    Ok(Delivery {
        status: body.text("data.status").unwrap_or_default(),
        reason: None,
        number: Some(id.clone()),
        tracking_url: body.text("data.shareLink"),
        id,
    })
}

impl Lalamove {
    fn order(&self, booking: &BookingRequest, quotation: &Reading) -> Result<Call, PartnerError> {
        let (pickup, dropoff) = (Address(&booking.pickup), Address(&booking.dropoff));
        let stop = |index: usize| quotation.id(&format!("data.stops.{index}.stopId"));
        let sender = json!({"stopId": stop(0)?, "name": pickup.part("name"), "phone": pickup.phone()?});
        let recipient = json!({"stopId": stop(1)?, "name": dropoff.part("name"), "phone": dropoff.phone()?});
        let data = json!({
            "quotationId": quotation.id("data.quotationId")?,
            "sender": sender,
            "recipients": [recipient],
            "metadata": {"reference": booking.reference.to_string()},
        });
        Ok(Call::post(ORDERS, json!({ "data": data })))
    }
}

impl Dialect for Lalamove {
    fn rebooking(&self) -> Rebooking {
        Rebooking::Never
    }

    fn book(&self, booking: &BookingRequest) -> Result<Call, PartnerError> {
        let (pickup, dropoff) = (Address(&booking.pickup), Address(&booking.dropoff));
        // What would fail at the order is not worth a quotation.
        pickup.phone()?;
        dropoff.phone()?;
        let data = json!({
            "serviceType": self.service,
            "language": self.language,
            "stops": [{"address": pickup.line()}, {"address": dropoff.line()}],
        });
        Ok(Call::post(["v3", "quotations"], json!({ "data": data })).harmless())
    }

    fn booked(&self, booking: &BookingRequest, answer: &Answer) -> Result<Next, PartnerError> {
        if !matches!(answer.status, 200 | 201) {
            return Err(self.refusal(answer));
        }
        let body = Reading::of(answer)?;
        match body.at("data.quotationId").is_some() && body.at("data.orderId").is_none() {
            true => self.order(booking, &body).map(Next::Then),
            false => read(answer).map(Next::Booked),
        }
    }

    fn view(&self, booking_id: &str) -> Call {
        Call::get(ORDERS.into_iter().chain([booking_id]))
    }

    fn viewed(&self, answer: &Answer) -> Result<Delivery, PartnerError> {
        match answer.status {
            200 => read(answer),
            _ => Err(self.refusal(answer)),
        }
    }

    fn cancel(&self, booking_id: &str) -> Call {
        Call::new(Method::DELETE, ORDERS.into_iter().chain([booking_id]))
    }

    fn cancelled(&self, answer: &Answer) -> Result<Cancelled, PartnerError> {
        match answer.status {
            200 | 204 | 404 => Ok(Cancelled::Done),
            422 if code(answer) == "ERR_CANCELLATION_FORBIDDEN" => Ok(Cancelled::TooLate),
            _ => Err(self.refusal(answer)),
        }
    }

    /// Its words stand in a list of errors.
    fn refusal(&self, answer: &Answer) -> PartnerError {
        let complaint = Complaint {
            code: code(answer),
            ..Complaint::default()
        };
        complaint.refusal(answer)
    }
}

fn code(answer: &Answer) -> String {
    let code = Reading::of(answer).ok().and_then(|body| body.text("errors.0.id"));
    code.unwrap_or_default()
}
