//! Writes what a unit of work decided, each table by one statement however many orders are in it.

mod effects;
mod messages;
mod people;

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use serde_json::json;
use waybill_domain::OrderId;

use super::db::{DbError, Tx, Value};
use super::outgoing::flush_told;
use super::record::{InboxRow, Loaded, LogRow, Payment, Record};
use super::sql;
use super::unit::Unit;
use effects::flush_effects;
use messages::flush_messages;
use people::{flush_callbacks, flush_cases, flush_tokens};

impl Unit {
    /// Writes everything, one statement a table.
    pub async fn flush(&mut self, tx: &mut Tx) -> Result<(), DbError> {
        let Self {
            now,
            orders,
            payments,
            effects,
            callbacks,
            tokens,
            cases,
            writes,
            ..
        } = self;
        let now = *now;
        let orderings = std::mem::take(&mut writes.orderings);
        sql::insert(
            tx,
            "orderings",
            &["ordering_id", "customer_id", "created_at"],
            orderings.into_iter().map(|(id, customer)| vec![id.into(), customer.into(), now.into()]).collect(),
            " ON CONFLICT (ordering_id) DO UPDATE SET customer_id = COALESCE(orderings.customer_id, excluded.customer_id)",
        )
        .await?;
        flush_payments(tx, std::mem::take(&mut writes.payments), payments, now).await?;
        flush_orders(tx, orders, now).await?;
        flush_log(tx, std::mem::take(&mut writes.log)).await?;
        flush_told(tx, std::mem::take(&mut writes.told), now).await?;
        flush_inbox(tx, std::mem::take(&mut writes.inbox), now).await?;
        flush_deadlines(tx, orders).await?;
        flush_effects(tx, writes, effects, now).await?;
        flush_callbacks(tx, writes, callbacks, now).await?;
        flush_cases(tx, writes, cases, now).await?;
        flush_tokens(tx, writes, tokens, now).await?;
        flush_messages(tx, writes, now).await
    }
}

fn order_values(loaded: &Loaded) -> Vec<Value> {
    let order = &loaded.order;
    vec![
        order.id.0.into(),
        order.state.as_str().into(),
        i64::from(order.rank).into(),
        order.revision.0.into(),
        json!(order.visited).into(),
        json!(order.fields).into(),
        loaded.log_hash.clone().into(),
        i64::from(order.graph_version.0).into(),
        loaded.outcome.map(|outcome| outcome.as_str().to_owned()).into(),
    ]
}

fn record_values(id: OrderId, record: &Record) -> Vec<Value> {
    vec![
        id.0.into(),
        record.successor_id.map(|id| id.0).into(),
        record.partner.clone().into(),
        record.partner_booking_id.clone().into(),
        record.partner_order_number.clone().into(),
        record.tracking_url.clone().into(),
        record.failure_reason.clone().into(),
        record.failed.into(),
        record.outcome.clone().into(),
        record.confirmed_by.clone().into(),
        record.live.into(),
    ]
}

async fn flush_orders(tx: &mut Tx, orders: &HashMap<OrderId, Loaded>, now: DateTime<Utc>) -> Result<(), DbError> {
    let mut changed: Vec<&Loaded> = orders
        .values()
        .filter(|it| it.read_revision != Some(it.order.revision.0) || it.read_record != it.record)
        .collect();
    changed.sort_by_key(|it| it.order.id);
    let (old, new): (Vec<_>, Vec<_>) = changed.into_iter().partition(|it| it.read_revision.is_some());

    // Old orders first: a successor becomes the ordering's live order only after its predecessor has ceased to be it.
    let moved: Vec<_> = old
        .iter()
        .filter(|it| it.read_revision != Some(it.order.revision.0))
        .collect();
    let rows = moved
        .iter()
        .map(|it| {
            let mut values = order_values(it);
            values.extend([now.into(), it.read_revision.into()]);
            values
        })
        .collect();
    let written = sql::with_values(
        tx,
        "UPDATE instances SET state = v.column2, rank = v.column3, revision = v.column4, visited = v.column5, fields = v.column6,
         log_hash = v.column7, graph_version = v.column8, outcome = v.column9, updated_at = v.column10 FROM",
        rows,
        "AS v WHERE instances.id = v.column1 AND instances.revision = v.column11 RETURNING instances.id",
    )
    .await?;
    if written.len() != moved.len() {
        return Err(DbError::Serialization(sqlx::Error::Protocol(
            "an order moved meanwhile".into(),
        )));
    }
    let rows = old
        .iter()
        .filter(|it| it.read_record != it.record)
        .filter_map(|it| Some(record_values(it.order.id, it.record.as_ref()?)))
        .collect();
    sql::with_values(
        tx,
        "UPDATE delivery_orders SET successor_id = v.column2, partner = v.column3, partner_booking_id = v.column4,
         partner_order_number = v.column5, tracking_url = v.column6, failure_reason = v.column7, failed = v.column8, outcome = v.column9,
         confirmed_by = v.column10, live = v.column11 FROM",
        rows,
        "AS v WHERE delivery_orders.order_id = v.column1",
    )
    .await?;

    let rows = new
        .iter()
        .map(|it| {
            let mut values = order_values(it);
            values.extend([it.machine.as_str().into(), now.into(), now.into()]);
            values
        })
        .collect();
    let columns = [
        "id",
        "state",
        "rank",
        "revision",
        "visited",
        "fields",
        "log_hash",
        "graph_version",
        "outcome",
        "machine",
        "created_at",
        "updated_at",
    ];
    sql::insert(tx, "instances", &columns, rows, "").await?;
    let rows = new
        .iter()
        .filter_map(|it| {
            let record = it.record.as_ref()?;
            let mut values = record_values(it.order.id, record);
            values.extend([
                record.ordering_id.as_str().into(),
                record.customer_id.as_str().into(),
                record.payment_id.as_str().into(),
                record.attempt.into(),
                record.predecessor_id.map(|id| id.0).into(),
                record.locale.as_str().into(),
                record.items.clone().into(),
                record.pickup.clone().into(),
                record.dropoff.clone().into(),
            ]);
            Some(values)
        })
        .collect();
    let columns = [
        "order_id",
        "successor_id",
        "partner",
        "partner_booking_id",
        "partner_order_number",
        "tracking_url",
        "failure_reason",
        "failed",
        "outcome",
        "confirmed_by",
        "live",
        "ordering_id",
        "customer_id",
        "payment_id",
        "attempt",
        "predecessor_id",
        "locale",
        "items",
        "pickup",
        "dropoff",
    ];
    sql::insert(tx, "delivery_orders", &columns, rows, "").await?;
    Ok(())
}

async fn flush_log(tx: &mut Tx, rows: Vec<LogRow>) -> Result<(), DbError> {
    let columns = [
        "order_id",
        "sequence",
        "kind",
        "event",
        "event_key",
        "actor_role",
        "actor_id",
        "from_state",
        "to_state",
        "from_rank",
        "to_rank",
        "fields",
        "inferred",
        "graph_version",
        "occurred_at",
        "recorded_at",
        "previous_hash",
        "hash",
    ];
    let rows = rows
        .into_iter()
        .map(
            |LogRow {
                 transition: it,
                 from_rank,
                 graph_version,
                 previous_hash,
                 hash,
             }| {
                vec![
                    it.order_id.0.into(),
                    it.revision.0.into(),
                    it.change.as_str().into(),
                    it.event.as_str().into(),
                    it.key.into(),
                    it.actor.role.as_str().into(),
                    it.actor.id.into(),
                    it.from.map(|state| state.to_string()).into(),
                    it.to.as_str().into(),
                    from_rank.map(i64::from).into(),
                    i64::from(it.rank).into(),
                    json!(it.fields).into(),
                    it.inferred.into(),
                    i64::from(graph_version).into(),
                    it.occurred_at.into(),
                    it.at.into(),
                    previous_hash.into(),
                    hash.into(),
                ]
            },
        )
        .collect();
    sql::insert(tx, "transitions", &columns, rows, "").await?;
    Ok(())
}

async fn flush_inbox(tx: &mut Tx, mut rows: Vec<InboxRow>, now: DateTime<Utc>) -> Result<(), DbError> {
    // Always in the order of the keys: two processes that insert the same ones wait for each other, and never in a circle.
    rows.sort_by(|a, b| (a.source, &a.key).cmp(&(b.source, &b.key)));
    let columns = [
        "source",
        "key",
        "order_id",
        "sequence",
        "outcome",
        "payload_hash",
        "received_at",
    ];
    let rows = rows
        .into_iter()
        .map(|it| {
            vec![
                it.source.into(),
                it.key.into(),
                it.order_id.map(|id| id.0).into(),
                it.sequence.into(),
                it.outcome.into(),
                it.payload_hash.into(),
                now.into(),
            ]
        })
        .collect();
    sql::insert(tx, "inbox", &columns, rows, "").await?;
    Ok(())
}

async fn flush_payments(
    tx: &mut Tx,
    rows: Vec<Payment>,
    read: &HashMap<String, Payment>,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let (known, new): (Vec<_>, Vec<_>) = rows.into_iter().partition(|it| read.contains_key(&it.payment_id));
    let known = known
        .into_iter()
        .map(|it| {
            vec![
                it.payment_id.into(),
                it.state.as_str().into(),
                it.minor_units.into(),
                it.currency.into(),
                it.refunded_units.into(),
            ]
        })
        .collect();
    sql::with_values(
        tx,
        "UPDATE payments SET state = v.column2, minor_units = v.column3, currency = v.column4, refunded_units = v.column5 FROM",
        known,
        "AS v WHERE payments.payment_id = v.column1",
    )
    .await?;

    // What was not there to be locked may be there now, from another process: then this is refused, and decided again with it in sight.
    let columns = [
        "payment_id",
        "ordering_id",
        "event_key",
        "state",
        "minor_units",
        "currency",
        "refunded_units",
        "created_at",
    ];
    let new = new
        .into_iter()
        .map(|it| {
            vec![
                it.payment_id.into(),
                it.ordering_id.into(),
                it.event_key.into(),
                it.state.as_str().into(),
                it.minor_units.into(),
                it.currency.into(),
                it.refunded_units.into(),
                now.into(),
            ]
        })
        .collect();
    sql::insert(tx, "payments", &columns, new, "").await?;
    Ok(())
}

async fn flush_deadlines(tx: &mut Tx, orders: &HashMap<OrderId, Loaded>) -> Result<(), DbError> {
    let changed: BTreeMap<OrderId, &Loaded> = orders
        .iter()
        .filter(|(_, it)| it.deadline != it.read_deadline)
        .map(|(id, it)| (*id, it))
        .collect();
    let armed = changed
        .iter()
        .filter_map(|(id, it)| {
            let armed = it.deadline.as_ref()?;
            Some(vec![
                id.0.into(),
                armed.sequence.into(),
                armed.event.as_str().into(),
                armed.due_at.into(),
            ])
        })
        .collect();
    let again = " ON CONFLICT (order_id) DO UPDATE SET sequence = excluded.sequence, event = excluded.event, due_at = excluded.due_at";
    sql::insert(
        tx,
        "deadlines",
        &["order_id", "sequence", "event", "due_at"],
        armed,
        again,
    )
    .await?;
    let gone = changed
        .iter()
        .filter(|(_, it)| it.deadline.is_none())
        .map(|(id, _)| id.0.into())
        .collect();
    sql::with_keys(tx, "DELETE FROM deadlines WHERE order_id IN", gone, "").await?;
    Ok(())
}
