//! Messages: of the in-process transport, waiting for their time, and set aside.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::store::db::{DbError, Tx, Value};
use crate::store::record::StoredMessage;
use crate::store::sql;
use crate::store::unit::Writes;

pub(super) async fn flush_messages(tx: &mut Tx, writes: &mut Writes, now: DateTime<Utc>) -> Result<(), DbError> {
    let rows = |messages: Vec<StoredMessage>| -> Vec<Vec<Value>> {
        let row = |it: StoredMessage| {
            vec![
                it.message_id.into(),
                it.queue.into(),
                it.message.into(),
                it.due_at.into(),
            ]
        };
        messages.into_iter().map(row).collect()
    };
    let ids = |ids: &mut Vec<Uuid>| -> Vec<Value> { std::mem::take(ids).into_iter().map(Value::from).collect() };
    let messages = rows(std::mem::take(&mut writes.messages));
    sql::insert(
        tx,
        "messages",
        &["message_id", "queue", "message", "available_at"],
        messages,
        "",
    )
    .await?;
    sql::with_keys(
        tx,
        "DELETE FROM messages WHERE message_id IN",
        ids(&mut writes.deleted_messages),
        "",
    )
    .await?;
    let returned = std::mem::take(&mut writes.returned_messages)
        .into_iter()
        .map(|id| vec![id.into(), now.into()])
        .collect();
    sql::with_values(
        tx,
        "UPDATE messages SET lease_until = NULL, available_at = v.column2 FROM",
        returned,
        "AS v WHERE messages.message_id = v.column1",
    )
    .await?;
    let parked = std::mem::take(&mut writes.parked)
        .into_iter()
        .map(|(it, task_id)| {
            vec![
                it.message_id.into(),
                it.queue.into(),
                it.message.into(),
                it.due_at.into(),
                task_id.into(),
            ]
        })
        .collect();
    let again = " ON CONFLICT (message_id) DO NOTHING";
    sql::insert(
        tx,
        "parked_messages",
        &["message_id", "queue", "message", "due_at", "task_id"],
        parked,
        again,
    )
    .await?;
    sql::with_keys(
        tx,
        "DELETE FROM parked_messages WHERE message_id IN",
        ids(&mut writes.deleted_parked),
        "",
    )
    .await?;

    let columns = [
        "id",
        "source",
        "queue",
        "task",
        "task_id",
        "reason",
        "place",
        "detail",
        "size",
        "message",
        "digest",
        "received_at",
    ];
    let dead = std::mem::take(&mut writes.dead)
        .into_iter()
        .map(|it| {
            vec![
                it.id.into(),
                it.source.into(),
                it.queue.into(),
                it.task.into(),
                it.task_id.into(),
                it.reason.into(),
                it.place.into(),
                it.detail.into(),
                it.size.into(),
                it.message.into(),
                it.digest.into(),
                now.into(),
            ]
        })
        .collect();
    sql::insert(tx, "quarantine", &columns, dead, "").await?;
    let replayed = std::mem::take(&mut writes.replayed)
        .into_iter()
        .map(|id| vec![id.into(), now.into()])
        .collect();
    sql::with_values(
        tx,
        "UPDATE quarantine SET replayed_at = v.column2 FROM",
        replayed,
        "AS v WHERE quarantine.id = v.column1",
    )
    .await?;
    Ok(())
}
