//! What a commit tells: a delivery for each endpoint that wants to hear of it, in the same transaction.

use chrono::{DateTime, Utc};
use uuid::Uuid;
use waybill_domain::OrderId;

use super::Filter;
use crate::store::db::{DbError, Tx};
use crate::store::sql;

/// A log row of which others may want to hear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Whose.
    pub order_id: OrderId,
    /// Which.
    pub sequence: i64,
    /// Of which machine.
    pub machine: String,
    /// Of whose order; of another machine it is nobody's.
    pub customer_id: Option<String>,
    /// As listeners call it.
    pub event_type: String,
}

/// The columns of a new delivery.
pub(super) const NEW: [&str; 8] = [
    "delivery_id",
    "endpoint_id",
    "order_id",
    "sequence",
    "event_type",
    "state",
    "due_at",
    "created_at",
];

pub(in crate::store) async fn flush_told(tx: &mut Tx, told: Vec<Told>, now: DateTime<Utc>) -> Result<(), DbError> {
    if told.is_empty() {
        return Ok(());
    }
    let listening =
        "SELECT endpoint_id, event_types, machine, customer_id FROM webhook_endpoints WHERE state = 'active'";
    let listening: Vec<(Uuid, Filter)> = tx
        .rows(listening, vec![])
        .await?
        .iter()
        .map(|row| Ok((row.uuid("endpoint_id")?, Filter::of_row(row)?)))
        .collect::<Result<_, DbError>>()?;
    let rows = told.iter().flat_map(|it| {
        let wanting = listening
            .iter()
            .filter(|(_, filter)| filter.takes(&it.event_type, &it.machine, it.customer_id.as_deref()));
        wanting.map(|(endpoint, _)| {
            vec![
                super::new_id().into(),
                (*endpoint).into(),
                it.order_id.0.into(),
                it.sequence.into(),
                it.event_type.as_str().into(),
                "pending".into(),
                now.into(),
                now.into(),
            ]
        })
    });
    let rows = rows.collect();
    sql::insert(tx, "webhook_deliveries", &NEW, rows, "").await?;
    Ok(())
}
