//! What partners, operators and customers have a part in: callbacks, cases, tokens.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::store::callbacks::{NEW_CALLBACK, new_callback};
use crate::store::db::{DbError, Tx};
use crate::store::record::{Callback, Case, Token};
use crate::store::unit::Writes;
use crate::store::{cases, sql};

pub(super) async fn flush_callbacks(
    tx: &mut Tx,
    writes: &mut Writes,
    callbacks: &HashMap<Uuid, Callback>,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let columns = [&NEW_CALLBACK[..], &["replay_of", "replayed_by"]].concat();
    let rows = std::mem::take(&mut writes.callbacks)
        .into_iter()
        .map(|it| {
            let links = [it.replay_of.into(), it.replayed_by.clone().into()];
            new_callback(it, now).into_iter().chain(links).collect()
        })
        .collect();
    sql::insert(tx, "callbacks", &columns, rows, "").await?;
    let changed = std::mem::take(&mut writes.changed_callbacks)
        .into_iter()
        .map(|id| {
            let it = &callbacks[&id];
            vec![
                id.into(),
                it.state.as_str().into(),
                it.detail.clone().into(),
                it.order_id.map(|id| id.0).into(),
                it.parked_until.into(),
                it.settled_at.into(),
                it.parked_at.into(),
            ]
        })
        .collect();
    sql::with_values(
        tx,
        "UPDATE callbacks SET state = v.column2, detail = v.column3, order_id = v.column4, parked_until = v.column5,
         settled_at = v.column6, parked_at = v.column7 FROM",
        changed,
        "AS v WHERE callbacks.callback_id = v.column1",
    )
    .await?;
    let repeated = std::mem::take(&mut writes.repeated_callbacks)
        .into_iter()
        .map(|(partner, event_id)| vec![partner.into(), event_id.into(), now.into()])
        .collect();
    sql::with_values(
        tx,
        "UPDATE callbacks SET repeats = callbacks.repeats + 1, repeated_at = v.column3 FROM",
        repeated,
        "AS v WHERE callbacks.partner = v.column1 AND callbacks.event_id = v.column2",
    )
    .await?;
    Ok(())
}

pub(super) async fn flush_cases(
    tx: &mut Tx,
    writes: &mut Writes,
    known: &HashMap<Uuid, Case>,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    cases::open(tx, std::mem::take(&mut writes.cases)).await?;
    let closed = std::mem::take(&mut writes.closed_cases)
        .into_iter()
        .map(|(order, who, note)| vec![order.0.into(), who.into(), now.into(), note.into()])
        .collect();
    // COALESCE keeps the index of open cases out of it, as it does where effects are marked.
    sql::with_values(
        tx,
        "UPDATE operator_cases SET closed_by = v.column2, closed_at = v.column3, note = v.column4 FROM",
        closed,
        "AS v WHERE operator_cases.order_id = v.column1 AND operator_cases.kind = 'pending' AND COALESCE(operator_cases.closed_by, '') = ''",
    )
    .await?;
    let changed = std::mem::take(&mut writes.changed_cases)
        .into_iter()
        .map(|id| {
            let it = &known[&id];
            vec![
                id.into(),
                it.claimed_by.clone().into(),
                it.claimed_at.into(),
                it.closed_by.clone().into(),
                it.closed_at.into(),
                it.note.clone().into(),
            ]
        })
        .collect();
    sql::with_values(
        tx,
        "UPDATE operator_cases SET claimed_by = v.column2, claimed_at = v.column3, closed_by = v.column4, closed_at = v.column5,
         note = v.column6 FROM",
        changed,
        "AS v WHERE operator_cases.case_id = v.column1",
    )
    .await?;
    Ok(())
}

pub(super) async fn flush_tokens(
    tx: &mut Tx,
    writes: &mut Writes,
    tokens: &HashMap<Vec<u8>, Token>,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let columns = [
        "token_hash",
        "order_id",
        "sequence",
        "purpose",
        "expires_at",
        "created_at",
    ];
    let rows = std::mem::take(&mut writes.tokens)
        .into_iter()
        .map(|it| {
            vec![
                it.token_hash.into(),
                it.order_id.0.into(),
                it.sequence.into(),
                it.purpose.into(),
                it.expires_at.into(),
                now.into(),
            ]
        })
        .collect();
    sql::insert(
        tx,
        "confirmation_tokens",
        &columns,
        rows,
        " ON CONFLICT (token_hash) DO NOTHING",
    )
    .await?;
    let answered = std::mem::take(&mut writes.answered_tokens)
        .into_iter()
        .map(|hash| {
            let token = &tokens[&hash];
            vec![hash.into(), token.answer.clone().into(), token.answered_at.into()]
        })
        .collect();
    sql::with_values(
        tx,
        "UPDATE confirmation_tokens SET answer = v.column2, answered_at = v.column3 FROM",
        answered,
        "AS v WHERE confirmation_tokens.token_hash = v.column1",
    )
    .await?;
    Ok(())
}
