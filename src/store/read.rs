//! What a unit of work reads under lock; every statement in the order of its keys.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::Hash;

use uuid::Uuid;
use waybill_domain::OrderId;

use super::db::{DbError, Row, Tx, Value};
use super::record::{Callback, Case, Effect, InboxRow, Loaded, Ordering, Payment, PaymentState, Token};
use super::rows::{
    CALLBACK_COLUMNS, CASE_COLUMNS, EFFECT_COLUMNS, INSTANCE_COLUMNS, callback, case, effect, loaded, token,
    undecodable,
};
use super::sql;

fn collect<K: Eq + Hash, V>(
    rows: Vec<Row>,
    pair: impl Fn(&Row) -> Result<(K, V), DbError>,
) -> Result<HashMap<K, V>, DbError> {
    rows.iter().map(pair).collect()
}

pub(super) async fn inbox(
    tx: &mut Tx,
    keys: &[(&'static str, String)],
) -> Result<HashMap<(&'static str, String), InboxRow>, DbError> {
    let wanted = keys
        .iter()
        .map(|(source, key)| vec![(*source).into(), key.as_str().into()])
        .collect();
    let rows = sql::with_values(
        tx,
        "SELECT i.source, i.key, i.order_id, i.sequence, i.outcome, i.payload_hash FROM inbox i JOIN",
        wanted,
        "AS v ON i.source = v.column1 AND i.key = v.column2",
    )
    .await?;
    collect(rows, |row| {
        let name = row.text("source")?;
        let source = keys.iter().map(|(source, _)| *source).find(|source| *source == name);
        let source = source.ok_or_else(|| undecodable("source", &name))?;
        let key = row.text("key")?;
        let row = InboxRow {
            source,
            key: key.clone(),
            order_id: row.opt_uuid("order_id")?.map(OrderId),
            sequence: row.opt_int("sequence")?,
            outcome: row.text("outcome")?,
            payload_hash: row.bytes("payload_hash")?,
        };
        Ok(((source, key), row))
    })
}

/// Locks rows in the order of their keys, before they are read together with rows of other tables: a statement that waits for a
/// lock sees the new row that it waited for beside the *old* rows of every other table.
async fn lock_first(tx: &mut Tx, table: &str, key: &str, keys: &[Value], lock: &str) -> Result<(), DbError> {
    if !lock.is_empty() {
        let (select, order) = (
            format!("SELECT {key} FROM {table} WHERE {key} IN"),
            format!(" ORDER BY {key}{lock}"),
        );
        sql::with_keys(tx, &select, keys.to_vec(), &order).await?;
    }
    Ok(())
}

pub(super) async fn orders(
    tx: &mut Tx,
    ids: BTreeSet<OrderId>,
    lock: &str,
) -> Result<HashMap<OrderId, Loaded>, DbError> {
    let keys: Vec<Value> = ids.into_iter().map(|id| id.0.into()).collect();
    lock_first(tx, "instances", "id", &keys, lock).await?;
    let rows = sql::with_keys(tx, &format!("SELECT {INSTANCE_COLUMNS} WHERE i.id IN"), keys, "").await?;
    collect(rows, |row| {
        let order = loaded(row)?;
        Ok((order.order.id, order))
    })
}

pub(super) async fn orderings(
    tx: &mut Tx,
    ids: BTreeSet<String>,
    lock: &str,
) -> Result<HashMap<String, Ordering>, DbError> {
    let keys: Vec<Value> = ids.into_iter().map(Value::from).collect();
    lock_first(tx, "orderings", "ordering_id", &keys, lock).await?;
    let rows = sql::with_keys(
        tx,
        "SELECT o.ordering_id,
         (SELECT d.order_id FROM delivery_orders d WHERE d.ordering_id = o.ordering_id AND d.live) AS live_order_id,
         (SELECT COUNT(*) FROM delivery_orders d WHERE d.ordering_id = o.ordering_id) AS attempts
         FROM orderings o WHERE o.ordering_id IN",
        keys,
        "",
    )
    .await?;
    collect(rows, |row| {
        let ordering = Ordering {
            live_order_id: row.opt_uuid("live_order_id")?.map(OrderId),
            attempts: row.int("attempts")?,
        };
        Ok((row.text("ordering_id")?, ordering))
    })
}

pub(super) async fn payments(
    tx: &mut Tx,
    ids: BTreeSet<String>,
    lock: &str,
) -> Result<HashMap<String, Payment>, DbError> {
    let rows = sql::with_keys(
        tx,
        "SELECT payment_id, ordering_id, event_key, state, minor_units, currency, refunded_units FROM payments WHERE payment_id IN",
        ids.into_iter().map(Value::from).collect(),
        &format!(" ORDER BY payment_id{lock}"),
    )
    .await?;
    collect(rows, |row| {
        let state = row.text("state")?;
        let payment = Payment {
            payment_id: row.text("payment_id")?,
            ordering_id: row.text("ordering_id")?,
            event_key: row.text("event_key")?,
            state: PaymentState::parse(&state).ok_or_else(|| undecodable("payments.state", &state))?,
            minor_units: row.int("minor_units")?,
            currency: row.text("currency")?,
            refunded_units: row.int("refunded_units")?,
        };
        Ok((payment.payment_id.clone(), payment))
    })
}

pub(super) async fn effects(
    tx: &mut Tx,
    ids: BTreeSet<Uuid>,
    of_orders: BTreeSet<OrderId>,
    lock: &str,
) -> Result<HashMap<Uuid, Effect>, DbError> {
    let mut rows = sql::with_keys(
        tx,
        &format!("SELECT {EFFECT_COLUMNS} FROM effects WHERE effect_id IN"),
        ids.into_iter().map(Value::from).collect(),
        &format!(" ORDER BY effect_id{lock}"),
    )
    .await?;
    rows.extend(
        sql::with_keys(
            tx,
            &format!("SELECT {EFFECT_COLUMNS} FROM effects WHERE state <> 'done' AND order_id IN"),
            of_orders.into_iter().map(|id| id.0.into()).collect(),
            &format!(" ORDER BY effect_id{lock}"),
        )
        .await?,
    );
    collect(rows, |row| {
        let effect = effect(row)?;
        Ok((effect.effect_id, effect))
    })
}

pub(super) async fn callbacks(
    tx: &mut Tx,
    ids: BTreeSet<Uuid>,
    lock: &str,
) -> Result<HashMap<Uuid, Callback>, DbError> {
    let rows = sql::with_keys(
        tx,
        &format!("SELECT {CALLBACK_COLUMNS} FROM callbacks WHERE callback_id IN"),
        ids.into_iter().map(Value::from).collect(),
        &format!(" ORDER BY callback_id{lock}"),
    )
    .await?;
    collect(rows, |row| {
        let callback = callback(row)?;
        Ok((callback.callback_id, callback))
    })
}

pub(super) async fn tokens(
    tx: &mut Tx,
    hashes: BTreeSet<Vec<u8>>,
    lock: &str,
) -> Result<HashMap<Vec<u8>, Token>, DbError> {
    let rows = sql::with_keys(
        tx,
        "SELECT token_hash, order_id, sequence, purpose, expires_at, answer, answered_at FROM confirmation_tokens WHERE token_hash IN",
        hashes.into_iter().map(Value::from).collect(),
        &format!(" ORDER BY token_hash{lock}"),
    )
    .await?;
    collect(rows, |row| {
        let token = token(row)?;
        Ok((token.token_hash.clone(), token))
    })
}

pub(super) async fn cases(tx: &mut Tx, ids: BTreeSet<Uuid>, lock: &str) -> Result<HashMap<Uuid, Case>, DbError> {
    let rows = sql::with_keys(
        tx,
        &format!("SELECT {CASE_COLUMNS} FROM operator_cases WHERE case_id IN"),
        ids.into_iter().map(Value::from).collect(),
        &format!(" ORDER BY case_id{lock}"),
    )
    .await?;
    collect(rows, |row| {
        let case = case(row)?;
        Ok((case.case_id, case))
    })
}

pub(super) async fn numbers(
    tx: &mut Tx,
    numbers: BTreeSet<String>,
) -> Result<HashMap<(String, String), OrderId>, DbError> {
    let rows = sql::with_keys(
        tx,
        "SELECT partner, partner_order_number, order_id FROM delivery_orders WHERE live AND partner IS NOT NULL
         AND partner_order_number IN",
        numbers.into_iter().map(Value::from).collect(),
        "",
    )
    .await?;
    collect(rows, |row| {
        Ok((
            (row.text("partner")?, row.text("partner_order_number")?),
            OrderId(row.uuid("order_id")?),
        ))
    })
}

pub(super) async fn digests(tx: &mut Tx, digests: BTreeSet<Vec<u8>>) -> Result<HashSet<Vec<u8>>, DbError> {
    let keys = digests.into_iter().map(Value::from).collect();
    let rows = sql::with_keys(
        tx,
        "SELECT digest FROM quarantine WHERE replayed_at IS NULL AND digest IN",
        keys,
        "",
    )
    .await?;
    rows.iter().map(|row| row.bytes("digest")).collect()
}
