//! Payment events in their three forms: read strictly, each defect with its place.
//!
//! What is wrong is said without what was told: a place and a shape, never a name, an address or an amount.

mod cloud_event;
mod consumer;
mod data;
mod envelope;
mod field;
mod iso;
mod json;
#[cfg(test)]
mod tests;

use chrono::{SubsecRound as _, Utc};
use serde_json::Value as Json;
use waybill_tasks::celery::message::Message;

use crate::engine::payment::{Paid, Refunded};

pub use consumer::Consumer;

use envelope::{Envelope, Kind};
use field::Object;

/// A payment event that was understood.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// `payment.succeeded`.
    Paid(Paid),
    /// `payment.refunded`.
    Refunded(Refunded),
}

/// Why a payment event cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at {place}: {detail}")]
pub struct Malformed {
    /// A stable word.
    pub reason: &'static str,
    /// Where, such as `data.items[3].quantity`, or `line 1 column 7` where it is no JSON.
    pub place: String,
    /// What was expected and what was found.
    pub detail: String,
}

impl Malformed {
    fn new(reason: &'static str, place: impl Into<String>, expected: &str, found: &str) -> Self {
        Self {
            reason,
            place: place.into(),
            detail: format!("expected {expected}, found {found}"),
        }
    }
}

/// Reads a payment event, as plain JSON or as a CloudEvent. Never panics, whatever the bytes; of several defects it tells
/// one: what is no JSON first, then field by field.
pub fn read(message: &Message) -> Result<Told, Malformed> {
    let Envelope {
        key,
        kind,
        occurred_at,
        data,
        place,
    } = envelope::open(message)?;
    let data = Object::of(&data, place)?;
    Ok(match kind {
        Kind::Succeeded => Told::Paid(data::paid(&data)?.told(key, occurred_at)),
        Kind::Refunded => Told::Refunded(data::refunded(&data)?.told(key, occurred_at)),
    })
}

/// The payment of a task `waybill.create_delivery_order`: the `data` of a `payment.succeeded` that happens now.
pub fn paid_by_task(event_id: &str, payment: &Json) -> Result<Paid, Malformed> {
    let key = field::checked_key(event_id, "kwargs.event_id")?.to_owned();
    let data = Object::of(payment, "kwargs.payment")?;
    Ok(data::paid(&data)?.told(key, Utc::now().trunc_subsecs(6)))
}
