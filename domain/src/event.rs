//! Events: facts reported to us, each with who reported it and what it brings.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{EventName, FieldName, Timestamp};

/// What an event brings, by field.
pub type Fields = BTreeMap<FieldName, FieldValue>;

/// A field's value. Text also carries UUIDs and the words of an enumeration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FieldValue {
    /// `true` or `false`.
    Flag(bool),
    /// A whole number.
    Integer(i64),
    /// Text, a UUID, or one word of an enumeration.
    Text(String),
}

impl FieldValue {
    /// The text, if it is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Flag(_) | Self::Integer(_) => None,
        }
    }

    /// Whether it is more than blank text.
    pub fn says_something(&self) -> bool {
        self.as_text().is_none_or(|text| !text.trim().is_empty())
    }
}

impl fmt::Display for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => flag.fmt(f),
            Self::Integer(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl From<i64> for FieldValue {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<bool> for FieldValue {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<&str> for FieldValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for FieldValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// Who may report an event. A graph names roles per transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The company that carries the parcel.
    DeliveryPartner,
    /// The person who paid and receives.
    Customer,
    /// Our own staff.
    Operator,
    /// Another service of the shop, by API token or Celery task.
    Service,
    /// Whoever tells us of payments and refunds.
    PaymentService,
    /// Waybill itself: deadlines and what follows from them.
    System,
}

impl Role {
    /// All roles, in the order of their declaration.
    pub const ALL: [Self; 6] = [
        Self::DeliveryPartner,
        Self::Customer,
        Self::Operator,
        Self::Service,
        Self::PaymentService,
        Self::System,
    ];

    /// The role as the graph and the log write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DeliveryPartner => "delivery_partner",
            Self::Customer => "customer",
            Self::Operator => "operator",
            Self::Service => "service",
            Self::PaymentService => "payment_service",
            Self::System => "system",
        }
    }

    /// The role of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// Whether a service may report for somebody in this role. An operator speaks for themselves, and nobody for Waybill.
    pub fn has_a_voice_elsewhere(self) -> bool {
        !matches!(self, Self::Operator | Self::System)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who reported an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// In which role.
    pub role: Role,
    /// Under which name: a partner's, a token's `sub`, `waybill` for ourselves.
    pub id: String,
}

impl Actor {
    /// Waybill itself.
    pub fn system() -> Self {
        Self {
            role: Role::System,
            id: "waybill".to_owned(),
        }
    }
}

/// A fact about one order, as it was reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub name: EventName,
    /// What makes a repetition recognisable; unique per order in its log.
    pub key: String,
    /// Who says so.
    pub actor: Actor,
    /// What it brings.
    pub fields: Fields,
    /// Not reported but concluded from a later fact.
    pub inferred: bool,
    /// When it happened, by the reporter's clock; never used for ordering.
    pub occurred_at: Timestamp,
}
