//! The tables behind the in-process transport.

use chrono::{DateTime, TimeDelta, Utc};

use super::Store;
use super::db::{DbError, Row, Tx};
use super::record::StoredMessage;

/// How long a message that was handed out stays away from others; then whoever had it is taken for dead.
const LEASE: TimeDelta = TimeDelta::seconds(60);

/// Hands out messages of a queue, oldest first, under a lease.
pub(super) async fn claim(
    tx: &mut Tx,
    queue: &str,
    limit: i64,
    now: DateTime<Utc>,
) -> Result<Vec<StoredMessage>, DbError> {
    let lock = if tx.for_update().is_empty() {
        ""
    } else {
        " FOR UPDATE SKIP LOCKED"
    };
    let sql = format!(
        "UPDATE messages SET lease_until = $3, attempts = attempts + 1 WHERE message_id IN (
             SELECT message_id FROM messages WHERE queue = $1 AND available_at <= $2 AND (lease_until IS NULL OR lease_until <= $2)
             ORDER BY message_id LIMIT $4{lock})
         RETURNING message_id, queue, message, available_at AS due_at, attempts"
    );
    let rows = tx
        .rows(&sql, vec![queue.into(), now.into(), (now + LEASE).into(), limit.into()])
        .await?;
    let mut messages = rows.iter().map(stored_message).collect::<Result<Vec<_>, _>>()?;
    messages.sort_by_key(|message| message.message_id);
    Ok(messages)
}

pub(super) fn stored_message(row: &Row) -> Result<StoredMessage, DbError> {
    Ok(StoredMessage {
        message_id: row.uuid("message_id")?,
        queue: row.text("queue")?,
        message: row.bytes("message")?,
        due_at: row.time("due_at")?,
        attempts: row.int("attempts")?,
    })
}

impl Store {
    /// Gives back what a process that is gone had in hand. Only for the one process that owns a SQLite file: on a shared
    /// database others are at work.
    pub async fn release_leases(&self) -> Result<(), DbError> {
        let mut tx = self.db.tx().await?;
        tx.execute(
            "UPDATE messages SET lease_until = NULL WHERE lease_until IS NOT NULL",
            vec![],
        )
        .await?;
        tx.execute(
            "UPDATE effects SET lease_until = NULL WHERE state = 'running' AND lease_until IS NOT NULL",
            vec![],
        )
        .await?;
        tx.execute(
            "UPDATE webhook_deliveries SET lease_id = NULL, lease_until = NULL WHERE state = 'pending' AND lease_id IS NOT NULL",
            vec![],
        )
        .await?;
        tx.commit().await
    }

    /// How many messages each queue of the in-process transport holds.
    pub async fn count_messages(&self) -> Result<Vec<(String, i64)>, DbError> {
        let rows = self
            .db
            .rows(
                "SELECT queue, COUNT(*) AS count FROM messages GROUP BY queue ORDER BY queue",
                vec![],
            )
            .await?;
        rows.iter()
            .map(|row| Ok((row.text("queue")?, row.int("count")?)))
            .collect()
    }
}
