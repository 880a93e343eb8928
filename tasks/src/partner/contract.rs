//! What is asked of a partner and what it answers, whichever language it speaks.

use std::fmt;
use std::time::Duration;

use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use waybill_domain::OrderId;

use super::dialect::{Delivery, as_word, is_usable};
use super::error::PartnerError;
use super::wire::Answer;
use crate::orders::Booking;

const THROTTLED_ASK_AGAIN: Duration = Duration::from_secs(5);

/// A booking, as the partner takes it.
#[derive(Clone, PartialEq, Serialize)]
pub struct BookingRequest {
    /// Our id of the delivery order; the partner finds the delivery by it.
    pub reference: OrderId,
    /// Address of the shop.
    pub pickup: Value,
    /// Address of the customer.
    pub dropoff: Value,
    /// What is to be carried.
    pub parcels: Vec<Parcel>,
    /// Where the partner reports to.
    pub callback_url: String,
}

impl fmt::Debug for BookingRequest {
    // Addresses must not reach a log by way of a `{:?}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BookingRequest")
            .field("reference", &self.reference)
            .finish_non_exhaustive()
    }
}

/// One parcel.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Parcel {
    /// Lines of `sku, title, quantity, format`.
    pub items: Value,
}

/// A delivery that the partner knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its booking.
    pub booking: Booking,
    /// Its status, in the partner's words.
    pub status: String,
    /// Why, where the status has a reason; in the partner's words.
    pub reason: Option<String>,
    /// The partner's number of it, where it has one beside the id.
    pub partner_order_number: Option<String>,
}

impl Found {
    pub(super) fn of(delivery: Delivery, partner: &str) -> Self {
        // Customers will see this link in our notices: it must be one.
        let tracking_url = delivery
            .tracking_url
            .filter(|text| Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https")));
        Self {
            booking: Booking {
                partner: partner.to_owned(),
                id: delivery.id,
                tracking_url,
            },
            status: delivery.status,
            reason: delivery.reason,
            partner_order_number: delivery.number.filter(|number| is_usable(number)),
        }
    }
}

/// What a partner says when it does not do what was asked: `code` and `message`, as many have them.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Complaint {
    #[serde(default)]
    pub(super) code: String,
    #[serde(default)]
    pub(super) message: String,
    /// With 409: the delivery that this reference has already.
    pub(super) id: Option<String>,
}

impl Complaint {
    pub(super) fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }

    /// What an answer means that is no success, by its status.
    pub(super) fn refusal(self, answer: &Answer) -> PartnerError {
        let word = as_word(&self.code);
        match answer.status {
            401..=403 => PartnerError::Suspended { status: answer.status },
            429 => PartnerError::Throttled {
                after: answer.retry_after.unwrap_or(THROTTLED_ASK_AGAIN),
            },
            400..=499 if answer.status != 408 => PartnerError::Rejected {
                code: word.unwrap_or_else(|| answer.status.to_string()),
                text: self.message,
            },
            status => {
                let word = word.unwrap_or_else(|| "without a code".to_owned());
                PartnerError::Ambiguous(format!("the partner answered {status} {word}"))
            }
        }
    }
}
