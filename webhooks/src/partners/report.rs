//! What a partner's news is in our words, whichever way it came.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use waybill_domain::{EventName, FieldValue, Fields};

use super::reason::Reason;

/// What a callback reports about one delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartnerReport {
    /// What kind of news it is.
    pub kind: ReportKind,
    /// The partner's own word for it.
    pub word: String,
    /// Our reference, as the partner repeats it: the delivery order's id. Not checked here.
    pub reference: Option<String>,
    /// The partner's id of the delivery, as it was answered to our booking.
    pub booking_id: Option<String>,
    /// What the event brings: `partner_order_number`, `failure_reason`, and `failure_raw` for what the partner said.
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
    /// Something went on that moves no order: a courier was found, a parcel was sorted.
    Progress,
    /// The parcel is with the partner.
    PickedUp,
    /// The parcel is with the customer.
    Delivered,
    /// The parcel will not be delivered.
    Failed,
    /// The partner does not take the delivery.
    Rejected,
}

impl ReportKind {
    /// The event that it means; none where it moves nothing.
    pub fn event(self) -> Option<EventName> {
        let name = match self {
            Self::Progress => return None,
            Self::PickedUp => "PARTNER_PICKED_UP",
            Self::Delivered => "PARTNER_DELIVERED",
            Self::Failed => "PARTNER_FAILED",
            Self::Rejected => "PARTNER_REJECTED",
        };
        Some(EventName::from(name))
    }
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

impl Unmapped {
    /// A value of a list that has grown since: the partner's word is shown if it is a word.
    pub(super) fn unknown(code: &'static str, place: &str, word: &str) -> Self {
        Self {
            code,
            place: place.to_owned(),
            detail: format!("not known: {}", show_word(word)),
        }
    }
}

/// A partner's word, as far as it is one: whatever else stands there may name people.
pub(super) fn show_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || " _-.:/".contains(c);
    if word.len() <= 100 && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("a text of {} characters", word.chars().count())
    }
}

/// How a delivery stands, as the partner said when it was asked. The words are the partner's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Seen {
    /// The partner's id of the delivery.
    pub booking_id: String,
    /// Its status.
    pub status: String,
    /// Why, where the status has a reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The partner's number of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partner_order_number: Option<String>,
}

/// What one of a partner's statuses means.
pub(super) type Meaning = (ReportKind, Option<Reason>, bool);

/// Moves nothing.
pub(super) const PROGRESS: Meaning = (ReportKind::Progress, None, false);
/// With the partner.
pub(super) const PICKED_UP: Meaning = (ReportKind::PickedUp, None, false);
/// With the customer.
pub(super) const DELIVERED: Meaning = (ReportKind::Delivered, None, false);

/// It will not be delivered, for that reason.
pub(super) const fn failed(reason: Reason) -> Meaning {
    (ReportKind::Failed, Some(reason), false)
}

/// Called off, by whomever the reason says.
pub(super) const fn cancelled(reason: Reason) -> Meaning {
    (ReportKind::Failed, Some(reason), true)
}

impl PartnerReport {
    /// News of that meaning; `raw` is the partner's own code of the reason.
    pub(super) fn new((kind, reason, cancelled): Meaning, word: &str, raw: Option<&str>) -> Self {
        let mut fields = Fields::new();
        if let Some(reason) = reason {
            fields.insert("failure_reason".into(), FieldValue::from(reason.0.as_str()));
            fields.insert("failure_raw".into(), FieldValue::from(reason.raw(raw.unwrap_or(word))));
        }
        Self {
            kind,
            word: show_word(word),
            reference: None,
            booking_id: None,
            fields,
            partner_order_number: None,
            cancelled,
            occurred_at: None,
        }
    }

    /// With our reference, if it can be one of ours: what else stands there is the partner's own business.
    pub(super) fn referring_to(mut self, reference: Option<&str>) -> Self {
        self.reference = reference
            .filter(|text| text.parse::<waybill_domain::OrderId>().is_ok())
            .map(str::to_owned);
        self
    }

    /// With the partner's id of the delivery.
    pub(super) fn booked_as(mut self, booking_id: Option<String>) -> Self {
        self.booking_id = booking_id;
        self
    }

    /// With the partner's number, which a pick-up brings.
    pub(super) fn numbered(mut self, number: Option<String>) -> Self {
        if let (ReportKind::PickedUp, Some(number)) = (self.kind, &number) {
            self.fields
                .insert("partner_order_number".into(), FieldValue::from(number.as_str()));
        }
        self.partner_order_number = number;
        self
    }

    /// With the partner's time.
    pub(super) fn at(mut self, instant: Option<DateTime<Utc>>) -> Self {
        self.occurred_at = instant;
        self
    }

    /// As it was seen by asking: the delivery is known by the partner's id, which is also its number where it has no other.
    pub(super) fn seen(self, seen: &Seen) -> Self {
        let number = seen.partner_order_number.clone();
        let known = number.clone().unwrap_or_else(|| seen.booking_id.clone());
        let report = self.booked_as(Some(seen.booking_id.clone())).numbered(Some(known));
        Self {
            partner_order_number: number,
            ..report
        }
    }
}
