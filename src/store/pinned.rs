//! Live orders by the graph version that they are pinned to, for those who move them to another one.

use chrono::{DateTime, Utc};
use uuid::Uuid;
use waybill_domain::{GraphVersion, OrderId, StateName};

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

/// Where an order stood when it was looked at.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Which one.
    pub id: OrderId,
    /// Its state.
    pub state: StateName,
    /// When it entered it, whatever that was called then.
    pub entered_at: DateTime<Utc>,
}

/// Orders that are read at once.
const PAGE: usize = 500;

const STANDING: &str = "i.id, i.state FROM instances i";

/// A migration enters no state.
const ENTERED: &str = "(SELECT t.recorded_at FROM transitions t WHERE t.order_id = i.id AND t.kind IN ('born', 'moved')
    ORDER BY t.sequence DESC LIMIT 1) AS entered_at";

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

    /// Orders of a version that seem to live, in the order of their ids, those after `after` only. A release before this one tells the
    /// end of a delivery order by its record alone: [`Loaded::is_live`] knows.
    ///
    /// Ids rise with time: whoever is born while the pages are read comes on a later page.
    pub async fn pinned(
        &self,
        machine: &str,
        version: GraphVersion,
        after: Option<OrderId>,
    ) -> Result<Vec<Pinned>, DbError> {
        let rows = self.page(INSTANCE_COLUMNS, (machine, version, after)).await?;
        rows.iter().map(pinned).collect()
    }

    /// Where they stand: for those who look again under lock.
    pub async fn standing(
        &self,
        machine: &str,
        version: GraphVersion,
        after: Option<OrderId>,
    ) -> Result<Vec<Standing>, DbError> {
        let rows = self.page(STANDING, (machine, version, after)).await?;
        rows.iter().map(standing).collect()
    }

    /// Where one order stands, if it still lives on that version.
    pub async fn still_standing(&self, version: GraphVersion, id: OrderId) -> Result<Option<Standing>, DbError> {
        let sql =
            format!("SELECT {ENTERED}, {STANDING} WHERE i.id = $1 AND i.graph_version = $2 AND i.outcome IS NULL");
        let values = vec![id.0.into(), i64::from(version.0).into()];
        self.db.row(&sql, values).await?.as_ref().map(standing).transpose()
    }

    async fn page(
        &self,
        columns: &str,
        (machine, version, after): (&str, GraphVersion, Option<OrderId>),
    ) -> Result<Vec<Row>, DbError> {
        let after = after.map_or(Uuid::nil(), |after| after.0);
        let values: Vec<Value> = vec![machine.into(), i64::from(version.0).into(), after.into()];
        let sql = format!(
            "SELECT {ENTERED}, {columns} WHERE i.machine = $1 AND i.graph_version = $2 AND i.id > $3 AND i.outcome IS NULL
             ORDER BY i.id LIMIT {PAGE}"
        );
        self.db.rows(&sql, values).await
    }
}

fn standing(row: &Row) -> Result<Standing, DbError> {
    Ok(Standing {
        id: OrderId(row.uuid("id")?),
        state: StateName::from(row.text("state")?),
        entered_at: row.time("entered_at")?,
    })
}

fn pinned(row: &Row) -> Result<Pinned, DbError> {
    Ok(Pinned {
        loaded: loaded(row)?,
        entered_at: row.time("entered_at")?,
    })
}
