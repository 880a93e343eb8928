//! What is due: deadlines, effects to publish, messages to give back; and how far behind we are.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use waybill_domain::{EventName, OrderId};

use super::Store;
use super::db::DbError;
use super::messages::stored_message;
use super::record::{Effect, StoredMessage};
use super::rows::{EFFECT_COLUMNS, effect};

/// A deadline whose time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueDeadline {
    /// Whose.
    pub order_id: OrderId,
    /// Sequence of the transition that armed it.
    pub sequence: i64,
    /// What happens now.
    pub event: EventName,
}

/// How far behind the outbox is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// Effects that are due and not published.
    pub waiting: i64,
    /// The oldest of them is due since.
    pub oldest: Option<DateTime<Utc>>,
}

/// What has just been committed is published by the process that committed it; only later does the relay look after it.
const HEAD_START: TimeDelta = TimeDelta::seconds(3);
/// A task of ours that nobody finished for so long is published again: its broker may have lost it. Twice is once.
const FORGOTTEN: TimeDelta = TimeDelta::minutes(15);

impl Store {
    /// Deadlines that are due.
    pub async fn due_deadlines(&self, limit: i64) -> Result<Vec<DueDeadline>, DbError> {
        let now = self.now().await?;
        let rows = self
            .db
            .rows(
                "SELECT order_id, sequence, event FROM deadlines WHERE due_at <= $1 ORDER BY due_at LIMIT $2",
                vec![now.into(), limit.into()],
            )
            .await?;
        rows.iter()
            .map(|row| {
                Ok(DueDeadline {
                    order_id: OrderId(row.uuid("order_id")?),
                    sequence: row.int("sequence")?,
                    event: EventName::from(row.text("event")?),
                })
            })
            .collect()
    }

    /// Effects that are due, that no older, never published effect of the same order holds back, and that do not wait for one
    /// of these causes.
    pub async fn due_effects(&self, limit: i64, held: &[String]) -> Result<Vec<Effect>, DbError> {
        let now = self.now().await?;
        let free = match held {
            [] => String::new(),
            _ => format!("AND (f.cause IS NULL OR f.cause NOT IN ({}))", places(4, held)),
        };
        let sql = format!(
            "SELECT {EFFECT_COLUMNS} FROM effects f WHERE f.state = 'requested' AND f.due_at <= $1
             AND (f.created_at <= $2 OR f.due_at > f.created_at) {free}
             AND NOT EXISTS (SELECT 1 FROM effects e WHERE e.order_id = f.order_id AND e.state = 'requested' AND e.published_at IS NULL
                AND f.published_at IS NULL AND (e.sequence, e.ordinal) < (f.sequence, f.ordinal))
             ORDER BY f.due_at LIMIT $3"
        );
        let mut values = vec![now.into(), (now - HEAD_START).into(), limit.into()];
        values.extend(held.iter().map(|cause| cause.as_str().into()));
        self.db.rows(&sql, values).await?.iter().map(effect).collect()
    }

    /// Effects that were published long ago and that nobody finished.
    pub async fn forgotten_effects(&self, limit: i64) -> Result<Vec<Effect>, DbError> {
        let before = self.now().await? - FORGOTTEN;
        let sql = format!(
            "SELECT {EFFECT_COLUMNS} FROM effects f WHERE f.state IN ('sent', 'running') AND f.published_at <= $1
             AND (f.lease_until IS NULL OR f.lease_until <= $1) AND f.due_at <= $1 ORDER BY f.due_at LIMIT $2"
        );
        self.db
            .rows(&sql, vec![before.into(), limit.into()])
            .await?
            .iter()
            .map(effect)
            .collect()
    }

    /// Live orders with a booking, in one of these states, of which nothing was heard for so long, and about which their
    /// partner was not asked meanwhile, or in vain.
    pub async fn silent_orders(
        &self,
        states: &BTreeSet<String>,
        silence: TimeDelta,
        limit: i64,
    ) -> Result<Vec<OrderId>, DbError> {
        let before = self.now().await? - silence;
        let mut values = vec![before.into(), limit.into()];
        let states: Vec<&String> = states.iter().collect();
        values.extend(states.iter().map(|state| state.as_str().into()));
        let sql = format!(
            "SELECT d.order_id FROM delivery_orders d JOIN instances i ON i.id = d.order_id
             WHERE d.live AND d.partner_booking_id IS NOT NULL AND i.updated_at <= $1 AND i.state IN ({})
             AND NOT EXISTS (SELECT 1 FROM effects e WHERE e.order_id = d.order_id AND e.name = 'reconcile_partner'
                AND (e.created_at > $1 OR e.state <> 'done'))
             ORDER BY i.updated_at LIMIT $2",
            places(3, &states)
        );
        let rows = self.db.rows(&sql, values).await?;
        rows.iter().map(|row| Ok(OrderId(row.uuid("order_id")?))).collect()
    }

    /// Messages that waited for their time, but for those of these queues.
    pub async fn due_messages(&self, limit: i64, held: &[String]) -> Result<Vec<StoredMessage>, DbError> {
        let now = self.now().await?;
        let free = match held {
            [] => String::new(),
            _ => format!("AND queue NOT IN ({})", places(3, held)),
        };
        let sql = format!(
            "SELECT message_id, queue, message, due_at, CAST(0 AS bigint) AS attempts FROM parked_messages WHERE due_at <= $1 {free}
             ORDER BY due_at LIMIT $2"
        );
        let mut values = vec![now.into(), limit.into()];
        values.extend(held.iter().map(|queue| queue.as_str().into()));
        self.db.rows(&sql, values).await?.iter().map(stored_message).collect()
    }

    /// Effects that wait for another try, or for their queue: why, and how many; the most frequent causes first.
    pub async fn waiting_effects(&self) -> Result<Vec<(String, i64)>, DbError> {
        let rows = self
            .db
            .rows(
                "SELECT name || ': ' || cause AS why, COUNT(*) AS count FROM effects
                 WHERE state = 'requested' AND cause IS NOT NULL GROUP BY name, cause ORDER BY 2 DESC, 1 LIMIT 5",
                vec![],
            )
            .await?;
        rows.iter()
            .map(|row| Ok((row.text("why")?, row.int("count")?)))
            .collect()
    }

    /// How far behind the outbox is.
    pub async fn lag(&self) -> Result<Lag, DbError> {
        let now = self.now().await?;
        let row = self
            .db
            .row(
                "SELECT COUNT(*) AS waiting, MIN(due_at) AS oldest FROM effects WHERE state = 'requested' AND due_at <= $1",
                vec![now.into()],
            )
            .await?;
        match row {
            Some(row) => Ok(Lag {
                waiting: row.int("waiting")?,
                oldest: row.opt_time("oldest")?,
            }),
            None => Ok(Lag {
                waiting: 0,
                oldest: None,
            }),
        }
    }
}

/// Places for these values in a statement, counted from `first`.
fn places<T>(first: usize, values: &[T]) -> String {
    let places: Vec<String> = (first..first + values.len()).map(|place| format!("${place}")).collect();
    places.join(", ")
}
