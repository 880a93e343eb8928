//! Messages set aside, to list, show and replay.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Store;
use super::db::{DbError, Row, Value};
use super::record::Dead;

/// Which messages set aside.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each field is a column of the listing")]
pub struct DeadFilter {
    pub source: Option<String>,
    pub queue: Option<String>,
    pub task: Option<String>,
    pub reason: Option<String>,
    pub received_after: Option<DateTime<Utc>>,
    /// Also those that were replayed.
    pub replayed: bool,
    pub limit: i64,
}

const COLUMNS: &str =
    "id, source, queue, task, task_id, reason, place, detail, size, message, digest, received_at, replayed_at";

impl Store {
    /// Messages set aside, oldest first.
    pub async fn dead(&self, filter: &DeadFilter) -> Result<Vec<Dead>, DbError> {
        let mut values: Vec<Value> = Vec::new();
        let mut clauses = vec!["1 = 1".to_owned()];
        for (column, wanted) in [
            ("source", &filter.source),
            ("queue", &filter.queue),
            ("task", &filter.task),
            ("reason", &filter.reason),
        ] {
            if let Some(wanted) = wanted {
                values.push(wanted.as_str().into());
                clauses.push(format!("{column} = ${}", values.len()));
            }
        }
        if let Some(after) = filter.received_after {
            values.push(after.into());
            clauses.push(format!("received_at > ${}", values.len()));
        }
        if !filter.replayed {
            clauses.push("replayed_at IS NULL".to_owned());
        }
        values.push(filter.limit.into());
        let sql = format!(
            "SELECT {COLUMNS} FROM quarantine WHERE {} ORDER BY received_at, id LIMIT ${}",
            clauses.join(" AND "),
            values.len()
        );
        self.db.rows(&sql, values).await?.iter().map(dead).collect()
    }

    /// One message set aside.
    pub async fn dead_message(&self, id: Uuid) -> Result<Option<Dead>, DbError> {
        let sql = format!("SELECT {COLUMNS} FROM quarantine WHERE id = $1");
        self.db.row(&sql, vec![id.into()]).await?.as_ref().map(dead).transpose()
    }

    /// How many are set aside and not replayed.
    pub async fn count_dead(&self) -> Result<i64, DbError> {
        let row = self
            .db
            .row(
                "SELECT COUNT(*) AS count FROM quarantine WHERE replayed_at IS NULL",
                vec![],
            )
            .await?;
        row.map_or(Ok(0), |row| row.int("count"))
    }
}

fn dead(row: &Row) -> Result<Dead, DbError> {
    Ok(Dead {
        id: row.uuid("id")?,
        source: row.text("source")?,
        queue: row.text("queue")?,
        task: row.opt_text("task")?,
        task_id: row.opt_text("task_id")?,
        reason: row.text("reason")?,
        place: row.text("place")?,
        detail: row.text("detail")?,
        size: row.int("size")?,
        message: row.bytes("message")?,
        digest: row.bytes("digest")?,
        received_at: row.time("received_at")?,
        replayed_at: row.opt_time("replayed_at")?,
    })
}
