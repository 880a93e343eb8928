//! Tasks that were revoked, and the messages that wait for their time.

use chrono::{DateTime, Utc};

use super::db::DbError;
use super::messages::stored_message;
use super::record::StoredMessage;
use super::{Store, sql};

impl Store {
    /// Keeps in mind until then that these tasks are revoked. Their messages that wait for their time are due at once: the
    /// worker that gets them tells whoever waits.
    pub async fn revoke_tasks(&self, ids: &[String], until: DateTime<Utc>) -> Result<(), DbError> {
        let now = self.now().await?;
        let mut tx = self.db.tx().await?;
        tx.execute("DELETE FROM revoked_tasks WHERE forgotten_at <= $1", vec![now.into()])
            .await?;
        // One statement must not touch a row twice.
        let ids: std::collections::BTreeSet<&str> = ids.iter().map(String::as_str).collect();
        let rows = ids.iter().map(|id| vec![(*id).into(), until.into()]).collect();
        let again = " ON CONFLICT (task_id) DO UPDATE SET forgotten_at = excluded.forgotten_at";
        sql::insert(&mut tx, "revoked_tasks", &["task_id", "forgotten_at"], rows, again).await?;
        let due = ids.iter().map(|id| vec![(*id).into(), now.into()]).collect();
        sql::with_values(
            &mut tx,
            "UPDATE parked_messages SET due_at = v.column2 FROM",
            due,
            "AS v WHERE parked_messages.task_id = v.column1 AND parked_messages.due_at > v.column2",
        )
        .await?;
        tx.commit().await
    }

    /// The tasks that are revoked.
    pub async fn revoked_tasks(&self) -> Result<Vec<String>, DbError> {
        let now = self.now().await?;
        let sql = "SELECT task_id FROM revoked_tasks WHERE forgotten_at > $1 ORDER BY forgotten_at, task_id";
        let rows = self.db.rows(sql, vec![now.into()]).await?;
        rows.iter().map(|row| row.text("task_id")).collect()
    }

    /// So many of the messages that wait, those that are due first before the others.
    pub async fn waiting_messages(&self, limit: i64) -> Result<Vec<StoredMessage>, DbError> {
        let sql = "SELECT message_id, queue, message, due_at, CAST(0 AS bigint) AS attempts FROM parked_messages
             ORDER BY due_at, message_id LIMIT $1";
        let rows = self.db.rows(sql, vec![limit.into()]).await?;
        rows.iter().map(stored_message).collect()
    }
}
