//! Deliveries and their attempts to look at, and to ask for again.

use chrono::{DateTime, Utc};
use uuid::Uuid;
use waybill_domain::OrderId;

use super::{Backlog, place, sealed};
use crate::store::db::{DbError, Row, Value};
use crate::store::{Store, sql};

/// The type of the event that only tests whether an endpoint listens.
const TEST: &str = "waybill.test.v1";

/// One event on its way to one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is a column of webhook_deliveries")]
pub struct Delivery {
    pub delivery_id: Uuid,
    pub endpoint_id: Uuid,
    pub order_id: Option<OrderId>,
    pub sequence: i64,
    pub event_type: String,
    pub state: String,
    pub attempts: i64,
    pub due_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
    pub cause: Option<String>,
    pub created_at: DateTime<Utc>,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is a column of webhook_attempts")]
pub struct AttemptRow {
    pub number: i64,
    pub started_at: DateTime<Utc>,
    pub duration_ms: i64,
    pub status: Option<i64>,
    pub cause: Option<String>,
    pub response: Option<String>,
}

/// Which deliveries of an endpoint, newest first.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// Of this endpoint.
    pub endpoint_id: Uuid,
    /// Only those in this state.
    pub state: Option<String>,
    /// Only those of this order.
    pub order_id: Option<OrderId>,
    /// Only what comes after this one.
    pub after: Option<(DateTime<Utc>, Uuid)>,
    /// At most.
    pub limit: i64,
}

const COLUMNS: &str =
    "delivery_id, endpoint_id, order_id, sequence, event_type, state, attempts, due_at, finished_at, cause, created_at";

impl Store {
    /// A page of an endpoint's deliveries, newest first.
    pub async fn deliveries(&self, filter: &DeliveryFilter) -> Result<Vec<Delivery>, DbError> {
        let mut values: Vec<Value> = vec![filter.endpoint_id.into()];
        let mut clauses = vec!["endpoint_id = $1".to_owned()];
        if let Some(state) = &filter.state {
            values.push(state.as_str().into());
            clauses.push(format!("state = ${}", values.len()));
        }
        if let Some(order) = filter.order_id {
            values.push(order.0.into());
            clauses.push(format!("order_id = ${}", values.len()));
        }
        if let Some((at, id)) = filter.after {
            values.extend([at.into(), id.into()]);
            let (at, id) = (values.len() - 1, values.len());
            clauses.push(format!("(created_at, delivery_id) < (${at}, ${id})"));
        }
        values.push(filter.limit.into());
        let sql = format!(
            "SELECT {COLUMNS} FROM webhook_deliveries WHERE {} ORDER BY created_at DESC, delivery_id DESC LIMIT ${}",
            clauses.join(" AND "),
            values.len()
        );
        self.db.rows(&sql, values).await?.iter().map(delivery).collect()
    }

    /// One delivery.
    pub async fn delivery(&self, id: Uuid) -> Result<Option<Delivery>, DbError> {
        let sql = format!("SELECT {COLUMNS} FROM webhook_deliveries WHERE delivery_id = $1");
        let row = self.db.row(&sql, vec![id.into()]).await?;
        row.as_ref().map(delivery).transpose()
    }

    /// The attempts of a delivery, oldest first.
    pub async fn attempts(&self, delivery: Uuid) -> Result<Vec<AttemptRow>, DbError> {
        let sql = "SELECT attempt_id, number, started_at, duration_ms, status, cause, response FROM webhook_attempts
            WHERE delivery_id = $1 ORDER BY started_at, attempt_id LIMIT 1000";
        let rows = self.db.rows(sql, vec![delivery.into()]).await?;
        rows.iter().map(|row| self.attempt(row)).collect()
    }

    /// Sends a delivery again, whatever became of it. Nothing where there is none, or its endpoint is told nothing.
    pub async fn resend(&self, id: Uuid) -> Result<Option<Delivery>, DbError> {
        let now = self.now().await?;
        let sql = format!(
            "UPDATE webhook_deliveries SET state = 'pending', attempts = CASE state WHEN 'pending' THEN attempts ELSE 0 END,
             due_at = $2, finished_at = NULL, cause = NULL WHERE delivery_id = $1
             AND EXISTS (SELECT 1 FROM webhook_endpoints e WHERE e.endpoint_id = webhook_deliveries.endpoint_id AND e.state = 'active')
             RETURNING {COLUMNS}"
        );
        let mut tx = self.db.tx().await?;
        let rows = tx.rows(&sql, vec![id.into(), now.into()]).await?;
        tx.commit().await?;
        rows.first().map(delivery).transpose()
    }

    /// Asks for an event that only tests whether an endpoint listens. Nothing where the endpoint is told nothing.
    pub async fn send_test(&self, endpoint: Uuid) -> Result<Option<Delivery>, DbError> {
        let now = self.now().await?;
        let mut tx = self.db.tx().await?;
        let active = "SELECT endpoint_id FROM webhook_endpoints WHERE endpoint_id = $1 AND state = 'active'";
        if tx.rows(active, vec![endpoint.into()]).await?.is_empty() {
            tx.rollback().await?;
            return Ok(None);
        }
        let row = vec![
            super::new_id().into(),
            endpoint.into(),
            Value::Uuid(None),
            0_i64.into(),
            TEST.into(),
            "pending".into(),
            now.into(),
            now.into(),
        ];
        let returning = format!(" RETURNING {COLUMNS}");
        let rows = sql::insert(&mut tx, "webhook_deliveries", &super::told::NEW, vec![row], &returning).await?;
        tx.commit().await?;
        rows.first().map(delivery).transpose()
    }

    /// How far behind the deliveries are.
    pub async fn webhook_backlog(&self) -> Result<Backlog, DbError> {
        let sql = "SELECT (SELECT COUNT(*) FROM webhook_endpoints WHERE state = 'disabled') AS disabled,
            COUNT(*) AS pending, MIN(d.created_at) AS oldest
            FROM webhook_deliveries d JOIN webhook_endpoints e ON e.endpoint_id = d.endpoint_id
            WHERE d.state = 'pending' AND e.state = 'active'";
        let row = self.db.row(sql, vec![]).await?;
        let row = row.ok_or(DbError::Failed(sqlx::Error::RowNotFound))?;
        Ok(Backlog {
            pending: row.int("pending")?,
            oldest: row.opt_time("oldest")?,
            disabled: row.int("disabled")?,
        })
    }

    fn attempt(&self, row: &Row) -> Result<AttemptRow, DbError> {
        let id = row.uuid("attempt_id")?.to_string();
        let response = row
            .opt_bytes("response")?
            .map(|blob| self.crypt.open(place("webhook_attempts", "response", &id), &blob))
            .transpose()
            .map_err(sealed)?;
        Ok(AttemptRow {
            number: row.int("number")?,
            started_at: row.time("started_at")?,
            duration_ms: row.int("duration_ms")?,
            status: row.opt_int("status")?,
            cause: row.opt_text("cause")?,
            response: response.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        })
    }
}

fn delivery(row: &Row) -> Result<Delivery, DbError> {
    Ok(Delivery {
        delivery_id: row.uuid("delivery_id")?,
        endpoint_id: row.uuid("endpoint_id")?,
        order_id: row.opt_uuid("order_id")?.map(OrderId),
        sequence: row.int("sequence")?,
        event_type: row.text("event_type")?,
        state: row.text("state")?,
        attempts: row.int("attempts")?,
        due_at: row.time("due_at")?,
        finished_at: row.opt_time("finished_at")?,
        cause: row.opt_text("cause")?,
        created_at: row.time("created_at")?,
    })
}
