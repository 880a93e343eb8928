//! Instances of any machine to read: one, and many by filter.

use chrono::{DateTime, Utc};
use uuid::Uuid;
use waybill_domain::OrderId;

use super::Store;
use super::conditions::Conditions;
use super::db::{DbError, Row};
use super::record::Loaded;
use super::rows::{INSTANCE_COLUMNS, loaded};

/// Which instances of a machine.
#[derive(Debug, Clone, Default)]
#[expect(
    missing_docs,
    reason = "each field is a parameter of GET /v1/machines/{machine}/instances"
)]
pub struct InstanceFilter {
    pub machine: String,
    pub state: Option<String>,
    pub updated_after: Option<DateTime<Utc>>,
    /// Only what comes after this one, in the order of (updated, id).
    pub after: Option<(DateTime<Utc>, Uuid)>,
    pub limit: i64,
}

impl Store {
    /// One instance, as the last commit left it, and when it last changed.
    pub async fn instance(&self, id: OrderId) -> Result<Option<(Loaded, DateTime<Utc>)>, DbError> {
        let sql = format!("SELECT {INSTANCE_COLUMNS} WHERE i.id = $1");
        let row = self.db.row(&sql, vec![id.0.into()]).await?;
        row.as_ref().map(with_change).transpose()
    }

    /// Instances in the order of their last change, then id.
    pub async fn instances(&self, filter: &InstanceFilter) -> Result<Vec<(Loaded, DateTime<Utc>)>, DbError> {
        let mut conditions = Conditions::default();
        conditions.equal("i.machine", Some(&filter.machine));
        conditions.equal("i.state", filter.state.as_deref());
        let (sql, values) = conditions.page(INSTANCE_COLUMNS, filter.updated_after, filter.after, filter.limit);
        self.db
            .stale_rows(&sql, values)
            .await?
            .iter()
            .map(with_change)
            .collect()
    }
}

fn with_change(row: &Row) -> Result<(Loaded, DateTime<Utc>), DbError> {
    Ok((loaded(row)?, row.time("updated_at")?))
}
