//! What the running processes say of themselves: how they are, and which words of the graphs' language they know.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value as Json;

use super::db::DbError;
use super::{Store, activations, sql};

/// A process that has not been heard of for so long is gone.
pub(super) const GONE: TimeDelta = TimeDelta::seconds(30);

/// What a process last said of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Process {
    /// Its name: host and process id.
    pub process: String,
    /// Its role.
    pub role: String,
    /// Its breakers and what else it tells.
    pub report: Json,
    /// When.
    pub seen_at: DateTime<Utc>,
}

impl Store {
    /// Says how this process is; what processes that are gone said is forgotten. Comes before or after an activation, never
    /// amidst one: either the activation sees what this process knows, or the process sees the activation.
    pub async fn report_process(&self, process: &str, role: &str, report: Json) -> Result<(), DbError> {
        let now = self.now().await?;
        let mut tx = self.db.tx().await?;
        activations::share_fence(&mut tx).await?;
        let row = vec![process.into(), role.into(), report.into(), now.into()];
        let again = " ON CONFLICT (process) DO UPDATE SET report = excluded.report, seen_at = excluded.seen_at";
        sql::insert(
            &mut tx,
            "processes",
            &["process", "role", "report", "seen_at"],
            vec![row],
            again,
        )
        .await?;
        tx.execute(
            "DELETE FROM processes WHERE seen_at < $1",
            vec![(now - GONE * 20).into()],
        )
        .await?;
        tx.commit().await
    }

    /// This process ends: nobody has to wait until it is taken for gone.
    pub async fn forget_process(&self, process: &str) -> Result<(), DbError> {
        let mut tx = self.db.tx().await?;
        tx.execute("DELETE FROM processes WHERE process = $1", vec![process.into()])
            .await?;
        tx.commit().await
    }

    /// The processes that were heard of lately.
    pub async fn processes(&self) -> Result<Vec<Process>, DbError> {
        let since = self.now().await? - GONE;
        let sql = "SELECT process, role, report, seen_at FROM processes WHERE seen_at >= $1 ORDER BY role, process";
        let rows = self.db.rows(sql, vec![since.into()]).await?;
        rows.iter()
            .map(|row| {
                Ok(Process {
                    process: row.text("process")?,
                    role: row.text("role")?,
                    report: row.json("report")?,
                    seen_at: row.time("seen_at")?,
                })
            })
            .collect()
    }
}
