//! Translation: what a partner wrote, in our words. One file per partner's language.

mod json;
mod standard;

use chrono::{DateTime, Utc};
use waybill_domain::{EventName, Fields};

/// The language that a partner speaks; `adapter` in the partners file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adapter {
    /// Our own contract.
    Standard,
}

impl Adapter {
    /// All adapters.
    pub const ALL: [Self; 1] = [Self::Standard];

    /// The adapter of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|adapter| adapter.as_str() == name)
    }

    /// The name in the partners file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
        }
    }

    /// Says in our words what a verified callback reports. Pure: the same body always gives the same report.
    pub fn translate(self, body: &[u8]) -> Result<PartnerReport, Unmapped> {
        match self {
            Self::Standard => standard::translate(body),
        }
    }
}

/// What a callback reports about one delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartnerReport {
    /// What kind of news it is.
    pub kind: ReportKind,
    /// Our reference, as the partner repeats it: the delivery order's id. Not checked here.
    pub reference: Option<String>,
    /// The event it means.
    pub event: EventName,
    /// What the event brings: `partner_order_number`, `failure_reason`, and `failure_raw` for a reason we do not know.
    pub fields: Fields,
    /// The partner's own number, also where the event does not bring it: it tells which order is meant.
    pub partner_order_number: Option<String>,
    /// The partner calls it cancelled: news only if we did not ask for it.
    pub cancelled: bool,
    /// When it happened, by the partner's clock.
    pub occurred_at: Option<DateTime<Utc>>,
}

/// The kinds of news a partner has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportKind {
    /// The parcel is with the partner.
    PickedUp,
    /// The parcel is with the customer.
    Delivered,
    /// The parcel will not be delivered.
    Failed,
    /// The partner does not take the delivery.
    Rejected,
}

/// A verified callback that says nothing we understand: kept for an operator, never an error to the partner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code} at {place}: {detail}")]
pub struct Unmapped {
    /// A stable word, such as `unknown-type`.
    pub code: &'static str,
    /// Where in the body, such as `data.reference`, or `line 1 column 2`.
    pub place: String,
    /// What was expected and what was found, without personal data.
    pub detail: String,
}
