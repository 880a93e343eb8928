//! Uber Direct: `/v1/customers/{account}/deliveries`, with an idempotency key in the body.
//!
//! The same key within an hour is the same delivery, and later the same `external_id` is answered 409 with the earlier
//! delivery's id, which is adopted. Uber's own error codes say more than its statuses. A quote is asked for to compare
//! partners, and a delivery is booked without it, at the price of the moment: a quote holds for minutes, an order may wait.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::Opened;
use crate::partner::address::{Address, lines};
use crate::partner::auth::Auth;
use crate::partner::client::Cancelled;
use crate::partner::contract::{BookingRequest, Complaint};
use crate::partner::dialect::{Call, Delivery, Dialect, Next, Reading, Rebooking};
use crate::partner::error::PartnerError;
use crate::partner::settings::{Invalid, PartnerSettings};
use crate::partner::strategy::Quote;
use crate::partner::wire::Answer;

const COURIERS_ASK_AGAIN: Duration = Duration::from_secs(120);

#[derive(Debug)]
struct Uber {
    customer: String,
}

pub(super) fn open(settings: &PartnerSettings) -> Opened {
    let customer = settings.credentials.account.clone();
    let customer = customer.ok_or_else(|| Invalid::new("credentials.account", "Uber's id of our organisation"))?;
    let auth = Auth::tokens(
        settings,
        "https://auth.uber.com/oauth/v2/token",
        Some("eats.deliveries"),
    )?;
    Ok((Arc::new(Uber { customer }), auth))
}

impl Uber {
    fn path<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        let mut path = vec!["v1", "customers", &self.customer, "deliveries"];
        path.extend(rest);
        path
    }

    fn read(answer: &Answer) -> Result<Delivery, PartnerError> {
        let body = Reading::of(answer)?;
        let id = body.id("id")?;
        Ok(Delivery {
            status: body.text("status").unwrap_or_default(),
            reason: body.text("undeliverable_reason"),
            number: Some(id.clone()),
            tracking_url: body.text("tracking_url"),
            id,
        })
    }
}

impl Dialect for Uber {
    fn rebooking(&self) -> Rebooking {
        Rebooking::ByKey
    }

    fn quote(&self, booking: &BookingRequest) -> Result<Option<Call>, PartnerError> {
        let body = json!({
            "pickup_address": Address(&booking.pickup).line(),
            "dropoff_address": Address(&booking.dropoff).line(),
        });
        Ok(Some(Call::post(
            ["v1", "customers", &self.customer, "delivery_quotes"],
            body,
        )))
    }

    /// `fee` in cents, `duration` in minutes to the door.
    fn quoted(&self, answer: &Answer) -> Result<Quote, PartnerError> {
        if answer.status != 200 {
            return Err(self.refusal(answer));
        }
        let body = Reading::of(answer)?;
        let currency = body.text("currency_type").or_else(|| body.text("currency"));
        let (Some(minor_units), Some(currency)) = (body.whole("fee"), currency) else {
            return Err(PartnerError::Ambiguous("the quote has no price".to_owned()));
        };
        let minutes = body.whole("duration").and_then(|minutes| u64::try_from(minutes).ok());
        Ok(Quote {
            minor_units,
            currency: currency.to_ascii_uppercase(),
            takes: minutes.map(|minutes| Duration::from_secs(minutes.saturating_mul(60))),
        })
    }

    fn book(&self, booking: &BookingRequest) -> Result<Call, PartnerError> {
        let (pickup, dropoff) = (Address(&booking.pickup), Address(&booking.dropoff));
        let items: Vec<Value> = booking
            .parcels
            .iter()
            .flat_map(|parcel| lines(&parcel.items))
            .map(|(name, quantity)| json!({"name": name, "quantity": quantity, "size": "small"}))
            .collect();
        let reference = booking.reference.to_string();
        let body = json!({
            "idempotency_key": format!("{reference}:book"),
            "external_id": reference,
            "manifest_reference": reference,
            "manifest_items": items,
            "pickup_name": pickup.part("name"),
            "pickup_address": pickup.line(),
            "pickup_phone_number": pickup.phone()?,
            "dropoff_name": dropoff.part("name"),
            "dropoff_address": dropoff.line(),
            "dropoff_phone_number": dropoff.phone()?,
            "undeliverable_action": "return",
        });
        Ok(Call::post(self.path(&[]), body).repeatable())
    }

    fn booked(&self, _booking: &BookingRequest, answer: &Answer) -> Result<Next, PartnerError> {
        match answer.status {
            200 | 201 => Self::read(answer).map(Next::Booked),
            409 => {
                let id = Reading::of(answer)?.id("metadata.delivery_id")?;
                Ok(Next::Booked(Delivery {
                    number: Some(id.clone()),
                    id,
                    ..Delivery::default()
                }))
            }
            _ => Err(self.refusal(answer)),
        }
    }

    fn view(&self, booking_id: &str) -> Call {
        Call::get(self.path(&[booking_id]))
    }

    fn viewed(&self, answer: &Answer) -> Result<Delivery, PartnerError> {
        match answer.status {
            200 => Self::read(answer),
            _ => Err(self.refusal(answer)),
        }
    }

    fn cancel(&self, booking_id: &str) -> Call {
        Call::post(self.path(&[booking_id, "cancel"]), json!({})).repeatable()
    }

    fn cancelled(&self, answer: &Answer) -> Result<Cancelled, PartnerError> {
        let code = Complaint::read(&answer.body).code;
        match (answer.status, &*code) {
            (200 | 204, _) | (404, "delivery_not_found") => Ok(Cancelled::Done),
            (_, "noncancelable_delivery") => Ok(Cancelled::TooLate),
            _ => Err(self.refusal(answer)),
        }
    }

    fn refusal(&self, answer: &Answer) -> PartnerError {
        let complaint = Complaint::read(&answer.body);
        match &*complaint.code {
            "address_undeliverable_limited_couriers" | "couriers_busy" => PartnerError::Busy {
                after: answer.retry_after.unwrap_or(COURIERS_ASK_AGAIN),
            },
            "customer_suspended" | "customer_blocked" | "missing_payment" => {
                PartnerError::Suspended { status: answer.status }
            }
            _ => complaint.refusal(answer),
        }
    }
}
