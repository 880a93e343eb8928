//! Who sends what: deliveries are taken for a while, by one process at a time, in order per order and endpoint.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;
use waybill_domain::OrderId;

use super::health::TROUBLED;
use crate::store::Store;
use crate::store::db::{DbError, Row, Tx};

/// What one endpoint gets at once, at most: one that hangs holds nobody else's place.
const AT_ONCE: i64 = 16;
/// What an endpoint in trouble gets at once: one that finds out whether it is well again.
const PROBES: i64 = 1;
/// Processes claim one after the other; key of the advisory lock.
const LOCK: i64 = 0x7761_7962_686f_6f6b;

/// A delivery that this process sends now. Nobody else does before its lease is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The delivery.
    pub delivery_id: Uuid,
    /// To whom.
    pub endpoint_id: Uuid,
    /// Whose log row it tells; none for a test event.
    pub order_id: Option<OrderId>,
    /// Which log row.
    pub sequence: i64,
    /// As listeners call it.
    pub event_type: String,
    /// Attempts that ended before.
    pub attempts: i64,
    /// Proves, when the outcome is written, that the lease was still ours.
    pub lease_id: Uuid,
    /// Since when it waits.
    pub created_at: DateTime<Utc>,
}

/// An endpoint that may be told something now, and how much.
struct Ready {
    endpoint_id: Uuid,
    places: i64,
}

impl Store {
    /// Takes up to `limit` deliveries that are due, for the time of `lease`: of each order and endpoint the oldest.
    pub async fn claim_deliveries(&self, limit: i64, lease: TimeDelta) -> Result<Vec<Claimed>, DbError> {
        let now = self.now().await?;
        if limit <= 0 || self.db.row(READY, ready_values(now)).await?.is_none() {
            return Ok(Vec::new());
        }
        let mut tx = self.db.tx().await?;
        if !take_turn(&mut tx).await? {
            tx.rollback().await?;
            return Ok(Vec::new());
        }
        let ready: Vec<_> = tx.rows(READY, ready_values(now)).await?;
        let mut claimed = Vec::new();
        for row in &ready {
            let Ready { endpoint_id, places } = ready_row(row)?;
            let places = places.min(limit - i64::try_from(claimed.len()).unwrap_or(limit));
            if places > 0 {
                claimed.extend(claim_of(&mut tx, endpoint_id, places, now, lease).await?);
            }
        }
        tx.commit().await?;
        Ok(claimed)
    }
}

const READY: &str = "SELECT e.endpoint_id, e.failures,
    (SELECT COUNT(*) FROM webhook_deliveries l WHERE l.endpoint_id = e.endpoint_id AND l.state = 'pending' AND l.lease_until > $1) AS busy
    FROM webhook_endpoints e WHERE e.state = 'active' AND (e.paused_until IS NULL OR e.paused_until <= $1)
    AND EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.endpoint_id = e.endpoint_id AND d.state = 'pending' AND d.due_at <= $1
        AND (d.lease_until IS NULL OR d.lease_until <= $1))
    ORDER BY (SELECT MIN(o.due_at) FROM webhook_deliveries o WHERE o.endpoint_id = e.endpoint_id AND o.state = 'pending')";

fn ready_values(now: DateTime<Utc>) -> Vec<crate::store::db::Value> {
    vec![now.into()]
}

fn ready_row(row: &Row) -> Result<Ready, DbError> {
    let at_once = if row.int("failures")? >= TROUBLED {
        PROBES
    } else {
        AT_ONCE
    };
    Ok(Ready {
        endpoint_id: row.uuid("endpoint_id")?,
        places: at_once - row.int("busy")?,
    })
}

/// Two processes that choose at once could each take the older and the younger event of one order.
async fn take_turn(tx: &mut Tx) -> Result<bool, DbError> {
    if !tx.has_arrays() {
        return Ok(true);
    }
    let rows = tx
        .rows("SELECT pg_try_advisory_xact_lock($1) AS taken", vec![LOCK.into()])
        .await?;
    rows.first().map_or(Ok(false), |row| row.bool("taken"))
}

async fn claim_of(
    tx: &mut Tx,
    endpoint: Uuid,
    places: i64,
    now: DateTime<Utc>,
    lease: TimeDelta,
) -> Result<Vec<Claimed>, DbError> {
    let lease_id = super::new_id();
    let values = vec![
        endpoint.into(),
        now.into(),
        places.into(),
        lease_id.into(),
        (now + lease).into(),
    ];
    // The conditions stand outside too: there they are looked at again in a row that has changed meanwhile.
    let rows = tx
        .rows(
            "UPDATE webhook_deliveries SET lease_id = $4, lease_until = $5
             WHERE state = 'pending' AND (lease_until IS NULL OR lease_until <= $2) AND delivery_id IN (
                SELECT d.delivery_id FROM webhook_deliveries d WHERE d.endpoint_id = $1 AND d.state = 'pending' AND d.due_at <= $2
                AND (d.lease_until IS NULL OR d.lease_until <= $2)
                AND NOT EXISTS (SELECT 1 FROM webhook_deliveries o WHERE o.endpoint_id = d.endpoint_id AND o.order_id = d.order_id
                    AND o.state = 'pending' AND o.sequence < d.sequence)
                ORDER BY d.due_at, d.delivery_id LIMIT $3)
             RETURNING delivery_id, endpoint_id, order_id, sequence, event_type, attempts, lease_id, created_at",
            values,
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Claimed {
                delivery_id: row.uuid("delivery_id")?,
                endpoint_id: row.uuid("endpoint_id")?,
                order_id: row.opt_uuid("order_id")?.map(OrderId),
                sequence: row.int("sequence")?,
                event_type: row.text("event_type")?,
                attempts: row.int("attempts")?,
                lease_id: row.uuid("lease_id")?,
                created_at: row.time("created_at")?,
            })
        })
        .collect()
}
