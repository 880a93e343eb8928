//! Outgoing webhooks in the store: endpoints with their keys, deliveries, attempts.
//!
//! A delivery is a row, written in the transaction of the log row that it tells. What is sent is built from the log
//! when it is sent, so nothing is kept twice and an endpoint can be told of any time again.

mod attempts;
mod claim;
mod deliveries;
mod endpoints;
mod health;
mod recover;
mod secrets;
mod told;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use waybill_domain::OrderId;

use super::db::{DbError, Row, Tx};
use super::{CryptError, Place};

pub use attempts::{Attempted, Verdict};
pub use claim::Claimed;
pub use deliveries::{AttemptRow, Delivery, DeliveryFilter};
pub use endpoints::{Change, Endpoint, EndpointState, NewEndpoint};
pub use recover::Recovered;
pub use secrets::{KeptKey, StoredKey};
pub use told::Told;

pub(super) use told::flush_told;

/// What an endpoint wants to hear of; what is not named is all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Such as `delivery.delivered.v1`.
    pub event_types: Option<Vec<String>>,
    /// The machine whose instances.
    pub machine: Option<String>,
    /// The customer whose orders.
    pub customer_id: Option<String>,
}

impl Filter {
    /// Whether it wants to hear of this.
    pub fn takes(&self, event_type: &str, machine: &str, customer_id: Option<&str>) -> bool {
        let types = self.event_types.as_ref();
        types.is_none_or(|types| types.iter().any(|wanted| wanted == event_type))
            && self.machine.as_ref().is_none_or(|wanted| wanted == machine)
            && self
                .customer_id
                .as_deref()
                .is_none_or(|wanted| customer_id == Some(wanted))
    }

    fn of_row(row: &Row) -> Result<Self, DbError> {
        Ok(Self {
            event_types: row.opt_json("event_types")?.map(super::rows::decode).transpose()?,
            machine: row.opt_text("machine")?,
            customer_id: row.opt_text("customer_id")?,
        })
    }
}

/// How far behind the deliveries are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// Deliveries that wait, to endpoints that are told at all.
    pub pending: i64,
    /// Since when the oldest of them does.
    pub oldest: Option<DateTime<Utc>>,
    /// Endpoints that are disabled.
    pub disabled: i64,
}

/// The machine whose events are called by another name than its own.
const DELIVERY: (&str, &str) = (waybill_domain::DELIVERY, "delivery");

/// The type of the event that tells of a state of a machine.
pub fn event_type(machine: &str, state: &str) -> String {
    let (own, name) = DELIVERY;
    let machine = if machine == own { name } else { machine };
    format!("{machine}.{}.v1", state.to_lowercase())
}

/// The machine, and its state, of which such an event tells.
pub fn state_of(event_type: &str) -> Option<(String, String)> {
    let (machine, state) = event_type.strip_suffix(".v1")?.split_once('.')?;
    let (own, name) = DELIVERY;
    let machine = if machine == name { own } else { machine };
    Some((machine.to_owned(), state.to_uppercase()))
}

/// The id of an event, for receivers to know it again: the same in every attempt, to every endpoint.
pub fn event_id(order_id: OrderId, sequence: i64) -> String {
    format!("{order_id}/{sequence}")
}

/// `FOR NO KEY UPDATE`: transactions that only refer to the row do not wait.
fn lock(tx: &Tx) -> &'static str {
    if tx.has_arrays() { " FOR NO KEY UPDATE" } else { "" }
}

fn place<'a>(table: &'a str, column: &'a str, row: &'a str) -> Place<'a> {
    Place { table, column, row }
}

fn sealed(error: CryptError) -> DbError {
    DbError::Failed(sqlx::Error::Decode(Box::new(error)))
}

/// A new id, rising with time.
fn new_id() -> Uuid {
    Uuid::now_v7()
}
