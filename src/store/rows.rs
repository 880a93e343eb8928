//! Rows as records: the columns to ask for, and what they become.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;
use waybill_domain::{
    EventName, FieldName, FieldValue, GraphVersion, Instance, MachineName, OrderId, Outcome, Revision, StateName,
};

use super::db::{DbError, Row};
use super::record::{Armed, Callback, CallbackState, Case, Effect, EffectState, Loaded, Record, Token};

/// An instance, with its record if it is a delivery order, from a row of [`ORDER_COLUMNS`] or [`INSTANCE_COLUMNS`].
pub(super) fn loaded(row: &Row) -> Result<Loaded, DbError> {
    let record = row.opt_text("ordering_id")?.map(|_| record(row)).transpose()?;
    let outcome = row.opt_text("ended")?;
    let deadline = match row.opt_int("deadline_sequence")? {
        None => None,
        Some(sequence) => Some(Armed {
            sequence,
            event: EventName::from(row.text("deadline_event")?),
            due_at: row.time("deadline_at")?,
        }),
    };
    let number = |column| -> Result<u32, DbError> {
        u32::try_from(row.int(column)?).map_err(|error| DbError::Failed(sqlx::Error::Decode(error.into())))
    };
    let revision = row.int("revision")?;
    Ok(Loaded {
        machine: MachineName::from(row.text("machine")?),
        order: Instance {
            id: OrderId(row.uuid("id")?),
            graph_version: GraphVersion(number("graph_version")?),
            state: StateName::from(row.text("state")?),
            rank: number("rank")?,
            revision: Revision(revision),
            visited: decode::<BTreeSet<StateName>>(row.json("visited")?)?,
            fields: decode::<BTreeMap<FieldName, FieldValue>>(row.json("fields")?)?,
        },
        outcome: outcome
            .map(|word| Outcome::parse(&word).ok_or_else(|| undecodable("outcome", &word)))
            .transpose()?,
        log_hash: row.bytes("log_hash")?,
        waiting: row.bool("waiting")?,
        created_at: row.time("created_at")?,
        read_revision: Some(revision),
        read_record: record.clone(),
        record,
        read_deadline: deadline.clone(),
        deadline,
    })
}

macro_rules! instances {
    ($join:literal) => {
        concat!(
            "i.id, i.machine, i.graph_version, i.state, i.rank, i.revision, i.visited, i.fields, i.log_hash, i.created_at, i.updated_at,
            d.ordering_id, d.customer_id, d.payment_id, d.attempt, d.predecessor_id, d.successor_id, d.partner, d.partner_booking_id,
            d.partner_order_number, d.tracking_url, d.failure_reason, d.failed, d.outcome, d.confirmed_by, d.locale, d.items, d.pickup,
            d.dropoff, d.live, COALESCE(d.outcome, i.outcome) AS ended,
            x.sequence AS deadline_sequence, x.event AS deadline_event, x.due_at AS deadline_at,
            EXISTS (SELECT 1 FROM effects e WHERE e.order_id = i.id AND COALESCE(e.state, '') = 'requested' AND e.published_at IS NULL) AS waiting
            FROM instances i ",
            $join,
            " delivery_orders d ON d.order_id = i.id LEFT JOIN deadlines x ON x.order_id = i.id"
        )
    };
}

/// The columns of [`loaded`], from `instances i`, `delivery_orders d` and `deadlines x`: delivery orders only.
pub(super) const ORDER_COLUMNS: &str = instances!("JOIN");

/// The same of every machine.
pub(super) const INSTANCE_COLUMNS: &str = instances!("LEFT JOIN");

fn record(row: &Row) -> Result<Record, DbError> {
    Ok(Record {
        ordering_id: row.text("ordering_id")?,
        customer_id: row.text("customer_id")?,
        payment_id: row.text("payment_id")?,
        attempt: row.int("attempt")?,
        predecessor_id: row.opt_uuid("predecessor_id")?.map(OrderId),
        successor_id: row.opt_uuid("successor_id")?.map(OrderId),
        partner: row.opt_text("partner")?,
        partner_booking_id: row.opt_text("partner_booking_id")?,
        partner_order_number: row.opt_text("partner_order_number")?,
        tracking_url: row.opt_text("tracking_url")?,
        failure_reason: row.opt_text("failure_reason")?,
        failed: row.bool("failed")?,
        outcome: row.opt_text("outcome")?,
        confirmed_by: row.opt_text("confirmed_by")?,
        locale: row.text("locale")?,
        items: row.json("items")?,
        pickup: row.bytes("pickup")?,
        dropoff: row.bytes("dropoff")?,
        live: row.bool("live")?,
    })
}

pub(super) fn decode<T: serde::de::DeserializeOwned>(json: Json) -> Result<T, DbError> {
    serde_json::from_value(json).map_err(|error| DbError::Failed(sqlx::Error::Decode(error.into())))
}

pub(super) fn undecodable(column: &str, text: &str) -> DbError {
    DbError::Failed(sqlx::Error::Decode(format!("{column} holds {text:?}").into()))
}

pub(super) const EFFECT_COLUMNS: &str =
    "effect_id, order_id, sequence, ordinal, name, subject, payload, state, attempts, due_at, published_at,
    lease_until, finished_at, cause, created_at";

pub(super) fn effect(row: &Row) -> Result<Effect, DbError> {
    let state = row.text("state")?;
    Ok(Effect {
        effect_id: row.uuid("effect_id")?,
        order_id: row.opt_uuid("order_id")?.map(OrderId),
        sequence: row.int("sequence")?,
        ordinal: row.int("ordinal")?,
        name: row.text("name")?,
        subject: row.opt_uuid("subject")?,
        payload: row.opt_json("payload")?,
        state: EffectState::parse(&state).ok_or_else(|| undecodable("effects.state", &state))?,
        attempts: row.int("attempts")?,
        due_at: row.time("due_at")?,
        published_at: row.opt_time("published_at")?,
        lease_until: row.opt_time("lease_until")?,
        finished_at: row.opt_time("finished_at")?,
        cause: row.opt_text("cause")?,
        created_at: row.time("created_at")?,
    })
}

pub(super) const CALLBACK_COLUMNS: &str =
    "callback_id, partner, event_id, key_id, signed_at, received_at, headers, body, sha256, state,
    detail, order_id, parked_until, settled_at, parked_at, repeats, repeated_at, replay_of, replayed_by";

pub(super) fn callback(row: &Row) -> Result<Callback, DbError> {
    let state = row.text("state")?;
    Ok(Callback {
        callback_id: row.uuid("callback_id")?,
        partner: row.text("partner")?,
        event_id: row.text("event_id")?,
        key_id: row.text("key_id")?,
        signed_at: row.opt_time("signed_at")?,
        received_at: row.time("received_at")?,
        headers: row.json("headers")?,
        body: row.bytes("body")?,
        sha256: row.bytes("sha256")?,
        state: CallbackState::parse(&state).ok_or_else(|| undecodable("callbacks.state", &state))?,
        detail: row.opt_text("detail")?,
        order_id: row.opt_uuid("order_id")?.map(OrderId),
        parked_until: row.opt_time("parked_until")?,
        settled_at: row.opt_time("settled_at")?,
        parked_at: row.opt_time("parked_at")?,
        repeats: row.int("repeats")?,
        repeated_at: row.opt_time("repeated_at")?,
        replay_of: row.opt_uuid("replay_of")?,
        replayed_by: row.opt_text("replayed_by")?,
    })
}

pub(super) fn token(row: &Row) -> Result<Token, DbError> {
    Ok(Token {
        token_hash: row.bytes("token_hash")?,
        order_id: OrderId(row.uuid("order_id")?),
        sequence: row.int("sequence")?,
        purpose: row.text("purpose")?,
        expires_at: row.time("expires_at")?,
        answer: row.opt_text("answer")?,
        answered_at: row.opt_time("answered_at")?,
    })
}

pub(super) const CASE_COLUMNS: &str =
    "case_id, kind, subject, order_id, reason, detail, opened_at, claimed_by, claimed_at, closed_by,
    closed_at, note";

pub(super) fn case(row: &Row) -> Result<Case, DbError> {
    Ok(Case {
        case_id: row.uuid("case_id")?,
        kind: row.text("kind")?,
        subject: row.text("subject")?,
        order_id: row.opt_uuid("order_id")?.map(OrderId),
        reason: row.text("reason")?,
        detail: row.json("detail")?,
        opened_at: row.time("opened_at")?,
        claimed_by: row.opt_text("claimed_by")?,
        claimed_at: row.opt_time("claimed_at")?,
        closed_by: row.opt_text("closed_by")?,
        closed_at: row.opt_time("closed_at")?,
        note: row.opt_text("note")?,
    })
}
