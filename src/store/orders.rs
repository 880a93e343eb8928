//! Delivery orders to read: one, many by filter, and the log of one.

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use uuid::Uuid;
use waybill_domain::{
    Actor, Change, DELIVERY, EventName, FieldName, FieldValue, OrderId, Revision, Role, StateName, Transition,
};
use waybill_tasks::orders::Amount;

use super::conditions::Conditions;
use super::db::{DbError, Row};
use super::record::{Loaded, LogRow, Record};
use super::rows::{ORDER_COLUMNS, decode, loaded};
use super::{Place, Store};

/// A delivery order with its record, addresses decrypted.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Order and deadline.
    pub loaded: Loaded,
    /// Its record.
    pub record: Record,
    /// Where it is picked up.
    pub pickup: Json,
    /// Where it goes.
    pub dropoff: Json,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// A row of an order's log, as it is stored.
pub type LogEntry = LogRow;

/// Which orders; an empty filter is all of them.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each field is a query parameter of GET /v1/delivery-orders")]
pub struct OrderFilter {
    pub state: Option<String>,
    pub ordering_id: Option<String>,
    pub customer_id: Option<String>,
    pub partner_order_number: Option<String>,
    pub updated_after: Option<DateTime<Utc>>,
    /// Only what comes after this one, in the order of (updated, id).
    pub after: Option<(DateTime<Utc>, Uuid)>,
    pub limit: i64,
}

impl Store {
    /// One delivery order.
    pub async fn order(&self, id: OrderId) -> Result<Option<Stored>, DbError> {
        let row = self
            .db
            .row(&format!("SELECT {ORDER_COLUMNS} WHERE i.id = $1"), vec![id.0.into()])
            .await?;
        row.map(|row| self.stored(&row)).transpose()
    }

    /// Delivery orders in the order of their last change, then id.
    pub async fn orders(&self, filter: &OrderFilter) -> Result<Vec<Stored>, DbError> {
        let mut conditions = Conditions::default();
        conditions.equal("i.machine", Some(DELIVERY));
        conditions.equal("i.state", filter.state.as_deref());
        conditions.equal("d.ordering_id", filter.ordering_id.as_deref());
        conditions.equal("d.customer_id", filter.customer_id.as_deref());
        conditions.equal("d.partner_order_number", filter.partner_order_number.as_deref());
        let (sql, values) = conditions.page(ORDER_COLUMNS, filter.updated_after, filter.after, filter.limit);
        self.db
            .stale_rows(&sql, values)
            .await?
            .iter()
            .map(|row| self.stored(row))
            .collect()
    }

    /// The order that a partner's number or booking id means, live ones first.
    pub async fn order_of_partner(&self, partner: &str, number: &str) -> Result<Option<OrderId>, DbError> {
        let row = self
            .db
            .row(
                "SELECT order_id FROM delivery_orders WHERE partner = $1 AND (partner_order_number = $2 OR partner_booking_id = $2)
                 ORDER BY live DESC, order_id DESC LIMIT 1",
                vec![partner.into(), number.into()],
            )
            .await?;
        row.map(|row| Ok(OrderId(row.uuid("order_id")?))).transpose()
    }

    /// Whether an effect of that name was tried for an order and nobody knows what it did: an attempt got no clear answer, or none
    /// at all. For who holds the order's lease: what still runs then was left by a worker that died.
    pub async fn is_outcome_unknown(&self, id: OrderId, effect: &str) -> Result<bool, DbError> {
        let sql = "SELECT 1 FROM effects WHERE order_id = $1 AND name = $2 AND (state IN ('failed', 'running') OR attempts > 0)";
        Ok(self.db.row(sql, vec![id.0.into(), effect.into()]).await?.is_some())
    }

    /// What was paid by a payment; none where it is not told yet.
    pub async fn amount_paid(&self, payment_id: &str) -> Result<Option<Amount>, DbError> {
        let sql = "SELECT minor_units, currency FROM payments WHERE payment_id = $1";
        let row = self.db.row(sql, vec![payment_id.into()]).await?;
        row.map(|row| {
            Ok(Amount {
                minor_units: row.int("minor_units")?,
                currency: row.text("currency")?,
            })
        })
        .transpose()
    }

    /// The log of one order, oldest first.
    pub async fn log(&self, id: OrderId) -> Result<Vec<LogEntry>, DbError> {
        let sql = format!("SELECT {LOG_COLUMNS} FROM transitions WHERE order_id = $1 ORDER BY sequence");
        self.db
            .rows(&sql, vec![id.0.into()])
            .await?
            .iter()
            .map(log_entry)
            .collect()
    }

    /// How many instances of each machine are in each state: by machine, then in the order of their lives.
    pub async fn count_states(&self) -> Result<Vec<(String, String, i64)>, DbError> {
        let rows = self
            .db
            .rows(
                "SELECT machine, state, COUNT(*) AS count FROM instances GROUP BY machine, state ORDER BY machine, MIN(rank), state",
                vec![],
            )
            .await?;
        rows.iter()
            .map(|row| Ok((row.text("machine")?, row.text("state")?, row.int("count")?)))
            .collect()
    }

    pub(super) fn stored(&self, row: &Row) -> Result<Stored, DbError> {
        let loaded = loaded(row)?;
        let record = loaded.record.clone().ok_or(DbError::Failed(sqlx::Error::RowNotFound))?;
        let id = loaded.order.id.to_string();
        let open = |column, blob: &[u8]| {
            self.unseal(
                Place {
                    table: "delivery_orders",
                    column,
                    row: &id,
                },
                blob,
            )
            .map_err(|error| DbError::Failed(sqlx::Error::Decode(error.into())))
        };
        let pickup = open("pickup", &record.pickup)?;
        let dropoff = open("dropoff", &record.dropoff)?;
        Ok(Stored {
            pickup,
            dropoff,
            updated_at: row.time("updated_at")?,
            record,
            loaded,
        })
    }
}

pub(super) const LOG_COLUMNS: &str =
    "order_id, sequence, kind, event, event_key, actor_role, actor_id, from_state, to_state, from_rank,
    to_rank, fields, inferred, graph_version, occurred_at, recorded_at, previous_hash, hash";

pub(super) fn log_entry(row: &Row) -> Result<LogEntry, DbError> {
    let undecodable = |what: &str| DbError::Failed(sqlx::Error::Decode(format!("log row with {what}").into()));
    let rank = |number: i64| u32::try_from(number).map_err(|_| undecodable("a negative rank"));
    let (kind, role) = (row.text("kind")?, row.text("actor_role")?);
    Ok(LogRow {
        transition: Transition {
            order_id: OrderId(row.uuid("order_id")?),
            revision: Revision(row.int("sequence")?),
            change: Change::parse(&kind).ok_or_else(|| undecodable("an unknown kind"))?,
            event: EventName::from(row.text("event")?),
            key: row.text("event_key")?,
            actor: Actor {
                role: Role::parse(&role).ok_or_else(|| undecodable("an unknown role"))?,
                id: row.text("actor_id")?,
            },
            from: row.opt_text("from_state")?.map(StateName::from),
            to: StateName::from(row.text("to_state")?),
            rank: rank(row.int("to_rank")?)?,
            fields: decode::<std::collections::BTreeMap<FieldName, FieldValue>>(row.json("fields")?)?,
            inferred: row.bool("inferred")?,
            occurred_at: row.time("occurred_at")?,
            at: row.time("recorded_at")?,
            effects: vec![],
            deadline: None,
        },
        from_rank: row.opt_int("from_rank")?.map(rank).transpose()?,
        graph_version: rank(row.int("graph_version")?)?,
        previous_hash: row.bytes("previous_hash")?,
        hash: row.bytes("hash")?,
    })
}

impl Store {
    /// The delivery order of an ordering that is not terminal.
    pub async fn live_order(&self, ordering_id: &str) -> Result<Option<OrderId>, DbError> {
        let sql = "SELECT order_id FROM delivery_orders WHERE ordering_id = $1 AND live";
        let row = self.db.row(sql, vec![ordering_id.into()]).await?;
        row.map(|row| Ok(OrderId(row.uuid("order_id")?))).transpose()
    }
}
