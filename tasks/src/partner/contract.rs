//! The wire shapes of the `standard` contract.

use std::fmt;

use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use waybill_domain::OrderId;

use crate::orders::Booking;

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

/// A delivery that the partner knows under our reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its booking.
    pub booking: Booking,
    /// Its status, in the partner's words.
    pub status: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Delivery {
    id: String,
    #[serde(default)]
    status: String,
    tracking_url: Option<String>,
    reference: Option<OrderId>,
}

#[derive(Debug, Deserialize)]
struct Deliveries {
    items: Vec<Delivery>,
}

/// What a partner says when it does not do what was asked.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Complaint {
    #[serde(default)]
    code: String,
    #[serde(default)]
    pub(super) message: String,
    /// With 409: the delivery that this reference has already.
    id: Option<String>,
}

impl Complaint {
    pub(super) fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }

    /// Its code, if it is a word as codes are: it goes into messages and logs.
    pub(super) fn word(&self) -> Option<String> {
        let is_word = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
        let fits = (1..=64).contains(&self.code.len()) && self.code.chars().all(is_word);
        fits.then(|| self.code.clone())
    }

    pub(super) fn earlier_booking(self, partner: &str) -> Option<Booking> {
        let id = self.id.filter(|id| is_usable(id))?;
        Some(Booking {
            partner: partner.to_owned(),
            id,
            tracking_url: None,
        })
    }
}

impl Delivery {
    pub(super) fn read(body: &[u8]) -> Result<Self, String> {
        let delivery: Self = serde_json::from_slice(body).map_err(unreadable)?;
        if !is_usable(&delivery.id) {
            return Err("the id cannot be used".to_owned());
        }
        Ok(delivery)
    }

    /// The one of a list that is ours. A live one goes before one that has ended.
    pub(super) fn find(body: &[u8], reference: OrderId) -> Result<Option<Self>, String> {
        let list: Deliveries = serde_json::from_slice(body).map_err(unreadable)?;
        let ours = list
            .items
            .into_iter()
            .filter(|delivery| is_usable(&delivery.id) && delivery.reference.is_none_or(|named| named == reference));
        Ok(ours.min_by_key(|delivery| delivery.status == "cancelled"))
    }

    pub(super) fn into_found(self, partner: &str) -> Found {
        // Customers will see this link in our notices: it must be one.
        let tracking_url = self
            .tracking_url
            .filter(|text| Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https")));
        let booking = Booking {
            partner: partner.to_owned(),
            id: self.id,
            tracking_url,
        };
        Found {
            booking,
            status: self.status,
        }
    }
}

/// Where it is wrong; serde's own words may quote what stands there.
fn unreadable(error: serde_json::Error) -> String {
    format!(
        "the answer cannot be read at line {} column {}",
        error.line(),
        error.column()
    )
}

/// An id becomes a path segment of a later request and a column of ours.
fn is_usable(id: &str) -> bool {
    !matches!(id, "" | "." | "..") && id.len() <= 255 && !id.chars().any(char::is_control)
}
