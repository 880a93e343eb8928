//! Effects: new, changed, published, and those whose turn has come.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::store::db::{DbError, Tx};
use crate::store::record::Effect;
use crate::store::sql;
use crate::store::unit::Writes;

pub(super) async fn flush_effects(
    tx: &mut Tx,
    writes: &mut Writes,
    effects: &HashMap<Uuid, Effect>,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let columns = [
        "effect_id",
        "order_id",
        "sequence",
        "ordinal",
        "name",
        "subject",
        "payload",
        "state",
        "attempts",
        "due_at",
        "published_at",
        "created_at",
        "finished_at",
        "cause",
    ];
    let rows = std::mem::take(&mut writes.effects)
        .into_iter()
        .map(|it| {
            vec![
                it.effect_id.into(),
                it.order_id.map(|id| id.0).into(),
                it.sequence.into(),
                it.ordinal.into(),
                it.name.into(),
                it.subject.into(),
                it.payload.into(),
                it.state.as_str().into(),
                it.attempts.into(),
                it.due_at.into(),
                it.published_at.into(),
                it.created_at.into(),
                it.finished_at.into(),
                it.cause.into(),
            ]
        })
        .collect();
    sql::insert(tx, "effects", &columns, rows, "").await?;

    let changed = std::mem::take(&mut writes.changed_effects)
        .into_iter()
        .map(|id| {
            let it = &effects[&id];
            vec![
                it.effect_id.into(),
                it.state.as_str().into(),
                it.attempts.into(),
                it.due_at.into(),
                it.published_at.into(),
                it.lease_until.into(),
                it.finished_at.into(),
                it.cause.clone().into(),
                it.order_id.map(|id| id.0).into(),
            ]
        })
        .collect();
    sql::with_values(
        tx,
        "UPDATE effects SET state = v.column2, attempts = v.column3, due_at = v.column4, published_at = v.column5, lease_until = v.column6,
         finished_at = v.column7, cause = v.column8, order_id = v.column9 FROM",
        changed,
        "AS v WHERE effects.effect_id = v.column1",
    )
    .await?;

    let mut sent = std::mem::take(&mut writes.sent_effects);
    sent.sort_unstable();
    sent.dedup();
    // What carries a payload is handed over to others: it is done when the broker has it.
    // A worker may have ended it, or asked for it again, before we learnt of the confirm: then it stays as the worker left it.
    // COALESCE keeps the index of what is requested out of it: that is short when the statement is planned, and may be long.
    let sent = sent
        .into_iter()
        .map(|(id, due_at)| vec![id.into(), now.into(), due_at.into()])
        .collect();
    sql::with_values(
        tx,
        "UPDATE effects SET state = CASE WHEN effects.payload IS NULL THEN 'sent' ELSE 'done' END, published_at = COALESCE(effects.published_at, v.column2) FROM",
        sent,
        "AS v WHERE effects.effect_id = v.column1 AND effects.due_at = v.column3 AND COALESCE(effects.state, '') = 'requested'",
    )
    .await?;

    let unparked = std::mem::take(&mut writes.unparked)
        .into_iter()
        .map(|id| vec![id.0.into(), now.into()])
        .collect();
    sql::with_values(
        tx,
        "UPDATE effects SET due_at = v.column2 FROM",
        unparked,
        "AS v WHERE effects.order_id = v.column1 AND effects.name = 'apply_partner_callback' AND COALESCE(effects.state, '') = 'requested'",
    )
    .await?;
    Ok(())
}
