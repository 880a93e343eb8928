//! Telling again: from the log, what an endpoint has not taken since an instant.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Filter, event_type, state_of, told};
use crate::store::db::{DbError, Row, Tx, Value};
use crate::store::{Store, sql};

/// Rows of one step.
const STEP: i64 = 500;
/// Rows of one request, at most.
const MOST: i64 = 50_000;

/// What will be told again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// How many events.
    pub events: i64,
    /// There are more: ask again.
    pub more: bool,
}

impl Store {
    /// Asks for everything since an instant that the endpoint wants to hear of and has not taken: what failed, what came
    /// while it was disabled, what was before it was registered. Nothing where the endpoint is told nothing.
    ///
    /// Safe to ask twice: what waits or was taken is left alone.
    pub async fn recover(&self, endpoint: Uuid, since: DateTime<Utc>) -> Result<Option<Recovered>, DbError> {
        let mut events = 0;
        while events < MOST {
            let now = self.now().await?;
            let mut tx = self.db.tx().await?;
            let Some(filter) = active_filter(&mut tx, endpoint).await? else {
                tx.rollback().await?;
                return Ok(None);
            };
            let missing = missing(&mut tx, endpoint, &filter, since).await?;
            let count = i64::try_from(missing.len()).unwrap_or(STEP);
            ask(&mut tx, endpoint, &missing, now).await?;
            tx.commit().await?;
            events += count;
            if count < STEP {
                return Ok(Some(Recovered { events, more: false }));
            }
        }
        Ok(Some(Recovered { events, more: true }))
    }
}

async fn active_filter(tx: &mut Tx, endpoint: Uuid) -> Result<Option<Filter>, DbError> {
    let sql =
        "SELECT event_types, machine, customer_id FROM webhook_endpoints WHERE endpoint_id = $1 AND state = 'active'";
    let rows = tx.rows(sql, vec![endpoint.into()]).await?;
    rows.first().map(Filter::of_row).transpose()
}

async fn missing(tx: &mut Tx, endpoint: Uuid, filter: &Filter, since: DateTime<Utc>) -> Result<Vec<Row>, DbError> {
    let mut values: Vec<Value> = vec![endpoint.into(), since.into()];
    let mut clauses = String::new();
    let mut equals = |column: &str, wanted: &Option<String>| {
        if let Some(wanted) = wanted {
            values.push(wanted.as_str().into());
            clauses.push_str(&format!(" AND {column} = ${}", values.len()));
        }
    };
    equals("i.machine", &filter.machine);
    equals("d.customer_id", &filter.customer_id);
    if let Some(types) = &filter.event_types {
        let states = types.iter().filter_map(|wanted| state_of(wanted));
        let places: Vec<_> = states
            .map(|(machine, state)| {
                values.extend([machine.into(), state.into()]);
                format!("(${}, ${})", values.len() - 1, values.len())
            })
            .collect();
        clauses.push_str(&format!(
            " AND (i.machine, t.to_state) IN (VALUES {})",
            places.join(", ")
        ));
    }
    values.push(STEP.into());
    let sql = format!(
        "SELECT t.order_id, t.sequence, t.to_state, i.machine FROM transitions t JOIN instances i ON i.id = t.order_id
         LEFT JOIN delivery_orders d ON d.order_id = t.order_id
         WHERE t.recorded_at >= $2 AND t.kind IN ('born', 'moved') AND NOT EXISTS (SELECT 1 FROM webhook_deliveries w
            WHERE w.endpoint_id = $1 AND w.order_id = t.order_id AND w.sequence = t.sequence AND w.state <> 'failed'){clauses}
         ORDER BY t.recorded_at, t.order_id, t.sequence LIMIT ${}",
        values.len()
    );
    tx.rows(&sql, values).await
}

async fn ask(tx: &mut Tx, endpoint: Uuid, missing: &[Row], now: DateTime<Utc>) -> Result<(), DbError> {
    let rows = missing
        .iter()
        .map(|row| {
            Ok(vec![
                super::new_id().into(),
                endpoint.into(),
                row.uuid("order_id")?.into(),
                row.int("sequence")?.into(),
                event_type(&row.text("machine")?, &row.text("to_state")?).into(),
                "pending".into(),
                now.into(),
                now.into(),
            ])
        })
        .collect::<Result<_, DbError>>()?;
    let again = " ON CONFLICT (endpoint_id, order_id, sequence) DO UPDATE SET state = 'pending', attempts = 0,
        due_at = excluded.due_at, finished_at = NULL, cause = NULL WHERE webhook_deliveries.state = 'failed'";
    sql::insert(tx, "webhook_deliveries", &told::NEW, rows, again).await?;
    Ok(())
}
