//! Live orders by the graph version that they are pinned to, for those who move them to another one.

use chrono::{DateTime, Utc};
use waybill_domain::{GraphVersion, OrderId};

use super::Store;
use super::db::{DbError, Row, Value};
use super::record::Loaded;
use super::rows::{INSTANCE_COLUMNS, loaded};

/// A live order, and when it came to where it stands.
#[derive(Debug, Clone)]
pub struct Pinned {
    /// Order, record, deadline.
    pub loaded: Loaded,
    /// When it entered its state, whatever that was called then.
    pub entered_at: DateTime<Utc>,
}

/// A migration enters no state.
const ENTERED: &str = "(SELECT t.recorded_at FROM transitions t WHERE t.order_id = i.id AND t.kind IN ('born', 'moved')
    ORDER BY t.sequence DESC LIMIT 1) AS entered_at";

/// Said so that a planner can estimate it; a release before this one tells the end of a delivery order by its record alone.
const LIVE: &str = "(d.live OR d.live IS NULL AND i.outcome IS NULL)";

pub(super) const COUNT_PINNED: &str =
    "SELECT COUNT(*) AS count FROM instances i LEFT JOIN delivery_orders d ON d.order_id = i.id
    WHERE i.machine = $1 AND i.graph_version = $2 AND (d.live OR d.live IS NULL AND i.outcome IS NULL)";

impl Store {
    /// How many orders live on a version.
    pub async fn count_pinned(&self, machine: &str, version: GraphVersion) -> Result<i64, DbError> {
        let values = vec![machine.into(), i64::from(version.0).into()];
        let row = self.db.row(COUNT_PINNED, values).await?;
        row.map_or(Ok(0), |row| row.int("count"))
    }

    /// Live orders of a version in the order of their ids, those after `after` only.
    ///
    /// Ids rise with time: whoever is born while the pages are read comes on a later page.
    pub async fn pinned(
        &self,
        machine: &str,
        version: GraphVersion,
        after: Option<OrderId>,
        limit: i64,
    ) -> Result<Vec<Pinned>, DbError> {
        let mut values: Vec<Value> = vec![machine.into(), i64::from(version.0).into(), limit.into()];
        let mut clause = "";
        if let Some(after) = after {
            clause = "AND i.id > $4";
            values.push(after.0.into());
        }
        let sql = format!(
            "SELECT {ENTERED}, {INSTANCE_COLUMNS} WHERE i.machine = $1 AND i.graph_version = $2
             AND {LIVE} {clause} ORDER BY i.id LIMIT $3"
        );
        self.db.rows(&sql, values).await?.iter().map(pinned).collect()
    }

    /// One order, if it still lives on that version.
    pub async fn still_pinned(&self, version: GraphVersion, id: OrderId) -> Result<Option<Pinned>, DbError> {
        let sql = format!(
            "SELECT {ENTERED}, {INSTANCE_COLUMNS} WHERE i.id = $1 AND i.graph_version = $2
             AND {LIVE}"
        );
        let row = self
            .db
            .row(&sql, vec![id.0.into(), i64::from(version.0).into()])
            .await?;
        row.as_ref().map(pinned).transpose()
    }
}

fn pinned(row: &Row) -> Result<Pinned, DbError> {
    Ok(Pinned {
        loaded: loaded(row)?,
        entered_at: row.time("entered_at")?,
    })
}
