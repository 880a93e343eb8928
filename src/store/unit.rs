//! A unit of work: what one transaction reads under lock, and what it will write.
//!
//! Commands run between [`Unit::load`] and [`Unit::flush`] on memory alone; so many of them share one transaction, and each
//! table is written by one statement, however many orders are in it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};
use uuid::Uuid;
use waybill_domain::{
    Change, DeliveryOrder, EventName, FieldName, FieldValue, GraphVersion, MachineName, OrderId, Revision, StateName,
    Transition,
};

use super::chain;
use super::db::{DbError, Row, Tx, Value};
use super::record::{
    Armed, Callback, Case, Dead, Effect, InboxRow, Loaded, LogRow, Ordering, Payment, Record, StoredMessage, Token,
};
use super::{messages, read, sql};

/// What a command needs to see. Two commands that need the same never share a transaction.
#[derive(Debug, Default, Clone)]
pub struct Needs {
    /// Keys of what was told.
    pub inbox: Vec<(&'static str, String)>,
    /// Orders, with their records.
    pub orders: BTreeSet<OrderId>,
    /// Orderings.
    pub orderings: BTreeSet<String>,
    /// Payments.
    pub payments: BTreeSet<String>,
    /// Effects.
    pub effects: BTreeSet<Uuid>,
    /// Orders of which every unfinished effect is needed.
    pub effects_of: BTreeSet<OrderId>,
    /// Callbacks by id.
    pub callbacks: BTreeSet<Uuid>,
    /// Callbacks by partner and event id.
    pub callback_keys: BTreeSet<(String, String)>,
    /// Tokens by hash.
    pub tokens: BTreeSet<Vec<u8>>,
    /// Cases by id.
    pub cases: BTreeSet<Uuid>,
    /// Partner's numbers: which live orders have them.
    pub numbers: BTreeSet<String>,
    /// Digests of messages set aside.
    pub digests: BTreeSet<Vec<u8>>,
    /// Messages of the in-process transport to hand out: a queue, and how many at most.
    pub claim: Option<(String, i64)>,
}

impl Needs {
    /// Everything that is touched, as text that names it.
    pub(crate) fn touches(&self) -> Vec<String> {
        let mut all: Vec<String> = self
            .inbox
            .iter()
            .map(|(source, key)| format!("i{source}|{key}"))
            .collect();
        all.extend(self.orders.iter().chain(&self.effects_of).map(|id| format!("o{id}")));
        all.extend(self.orderings.iter().map(|id| format!("g{id}")));
        all.extend(self.payments.iter().map(|id| format!("p{id}")));
        all.extend(
            self.effects
                .iter()
                .chain(&self.callbacks)
                .chain(&self.cases)
                .map(|id| format!("u{id}")),
        );
        all.extend(
            self.callback_keys
                .iter()
                .map(|(partner, id)| format!("c{partner}|{id}")),
        );
        all.extend(self.numbers.iter().map(|number| format!("n{number}")));
        all.extend(self.tokens.iter().chain(&self.digests).map(hex::encode));
        all.extend(self.claim.iter().map(|(queue, _)| format!("q{queue}")));
        all.sort_unstable();
        all.dedup();
        all
    }

    fn merge(&mut self, other: Self) {
        self.inbox.extend(other.inbox);
        self.orders.extend(other.orders);
        self.orderings.extend(other.orderings);
        self.payments.extend(other.payments);
        self.effects.extend(other.effects);
        self.effects_of.extend(other.effects_of);
        self.callbacks.extend(other.callbacks);
        self.callback_keys.extend(other.callback_keys);
        self.tokens.extend(other.tokens);
        self.cases.extend(other.cases);
        self.numbers.extend(other.numbers);
        self.digests.extend(other.digests);
    }
}

/// What one transaction works on.
#[derive(Debug)]
pub struct Unit {
    /// The database's clock, read for this transaction.
    pub now: DateTime<Utc>,
    /// What was told before under the needed keys.
    pub inbox: HashMap<(&'static str, String), InboxRow>,
    /// The needed orders that exist.
    pub orders: HashMap<OrderId, Loaded>,
    /// The needed orderings that exist.
    pub orderings: HashMap<String, Ordering>,
    /// The needed payments that exist.
    pub payments: HashMap<String, Payment>,
    /// The needed effects that exist.
    pub effects: HashMap<Uuid, Effect>,
    /// The needed callbacks that exist.
    pub callbacks: HashMap<Uuid, Callback>,
    /// Ids of the callbacks with the needed keys.
    pub callback_ids: HashMap<(String, String), Uuid>,
    /// The needed tokens that exist.
    pub tokens: HashMap<Vec<u8>, Token>,
    /// The needed cases that exist.
    pub cases: HashMap<Uuid, Case>,
    /// Who of the live orders has the needed partner numbers.
    pub numbers: HashMap<(String, String), OrderId>,
    /// The needed digests that are in quarantine already.
    pub digests: HashSet<Vec<u8>>,
    /// Messages that were handed out, by queue.
    pub claimed: HashMap<String, Vec<StoredMessage>>,
    /// What will be written.
    pub writes: Writes,
}

/// What a unit writes beside the orders that it changed.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "each field is a table and what is done to it")]
pub struct Writes {
    pub log: Vec<LogRow>,
    pub inbox: Vec<InboxRow>,
    pub orderings: BTreeMap<String, Option<String>>,
    pub payments: Vec<Payment>,
    pub effects: Vec<Effect>,
    /// Effects that exist and were changed, by id.
    pub changed_effects: BTreeSet<Uuid>,
    /// Effects that the broker has, with the due time they were published for.
    pub sent_effects: Vec<(Uuid, DateTime<Utc>)>,
    pub callbacks: Vec<Callback>,
    pub changed_callbacks: BTreeSet<Uuid>,
    pub cases: Vec<Case>,
    pub changed_cases: BTreeSet<Uuid>,
    /// Cases of these orders are over: (order, who, note).
    pub closed_cases: Vec<(OrderId, String, String)>,
    pub tokens: Vec<Token>,
    pub answered_tokens: BTreeSet<Vec<u8>>,
    pub messages: Vec<StoredMessage>,
    pub deleted_messages: Vec<Uuid>,
    pub returned_messages: Vec<Uuid>,
    pub parked: Vec<StoredMessage>,
    pub deleted_parked: Vec<Uuid>,
    pub dead: Vec<Dead>,
    pub replayed: Vec<Uuid>,
    /// Callbacks of these orders that came early get their turn.
    pub unparked: BTreeSet<OrderId>,
}

impl Unit {
    /// Reads everything that the commands need, locked against other writers, always in the same order of tables and keys.
    pub async fn load(tx: &mut Tx, all: impl IntoIterator<Item = Needs>, now: DateTime<Utc>) -> Result<Self, DbError> {
        let mut needs = Needs::default();
        let mut claimed = HashMap::new();
        for mut each in all {
            if let Some((queue, limit)) = each.claim.take() {
                let messages = messages::claim(tx, &queue, limit, now).await?;
                claimed.insert(queue, messages);
            }
            needs.merge(each);
        }
        let lock = tx.for_update();
        Ok(Self {
            now,
            inbox: read::inbox(tx, &needs.inbox).await?,
            orderings: read::orderings(tx, needs.orderings, lock).await?,
            payments: read::payments(tx, needs.payments, lock).await?,
            orders: read::orders(tx, needs.orders, lock).await?,
            effects: read::effects(tx, needs.effects, needs.effects_of, lock).await?,
            callback_ids: read::callback_ids(tx, needs.callback_keys).await?,
            callbacks: read::callbacks(tx, needs.callbacks, lock).await?,
            tokens: read::tokens(tx, needs.tokens, lock).await?,
            cases: read::cases(tx, needs.cases, lock).await?,
            numbers: read::numbers(tx, needs.numbers).await?,
            digests: read::digests(tx, needs.digests).await?,
            claimed,
            writes: Writes::default(),
        })
    }

    /// Takes a decided transition: moves the order, writes its log row, arms its deadline. Answers the effects that must follow.
    pub fn take(&mut self, transition: &Transition) -> Vec<Effect> {
        let loaded = self
            .orders
            .get_mut(&transition.order_id)
            .expect("a command takes transitions of orders it needs");
        let from_rank = transition.from.is_some().then_some(loaded.order.rank);
        let graph_version = loaded.order.graph_version.0;
        let hash = chain::hash(&loaded.log_hash, transition, graph_version);
        let previous_hash = std::mem::replace(&mut loaded.log_hash, hash.clone());
        loaded.order.apply(transition);
        if matches!(transition.change, Change::Born | Change::Moved) {
            loaded.deadline = transition.deadline.as_ref().map(|deadline| Armed {
                sequence: transition.revision.0,
                event: deadline.event.clone(),
                due_at: deadline.at,
            });
        }
        let effects = transition
            .effects
            .iter()
            .zip(0..)
            .map(|(name, ordinal)| Effect {
                effect_id: super::effect_id(transition.order_id, transition.revision.0, name.as_str()),
                order_id: Some(transition.order_id),
                sequence: transition.revision.0,
                ordinal,
                name: name.to_string(),
                subject: None,
                payload: None,
                state: super::record::EffectState::Requested,
                attempts: 0,
                due_at: self.now,
                published_at: None,
                lease_until: None,
                finished_at: None,
                cause: None,
                created_at: self.now,
            })
            .collect();
        self.writes.log.push(LogRow {
            transition: transition.clone(),
            from_rank,
            graph_version,
            previous_hash,
            hash,
        });
        effects
    }

    /// The new effects that may be published right after the commit: those of orders of which none older waits.
    pub fn publishable(&self) -> Vec<Effect> {
        let free = |effect: &&Effect| {
            effect.state == super::record::EffectState::Requested
                && effect.due_at <= self.now
                && effect
                    .order_id
                    .is_none_or(|id| self.orders.get(&id).is_none_or(|order| !order.waiting))
        };
        self.writes.effects.iter().filter(free).cloned().collect()
    }

    /// Puts an order into this unit that it makes.
    pub fn give_birth(&mut self, machine: MachineName, order: DeliveryOrder, record: Record) {
        self.orders.insert(
            order.id,
            Loaded {
                machine,
                order,
                record,
                log_hash: chain::GENESIS.to_vec(),
                deadline: None,
                waiting: false,
                created_at: self.now,
                read_revision: None,
                read_record: None,
                read_deadline: None,
            },
        );
    }

    /// Writes everything, one statement a table.
    pub async fn flush(&mut self, tx: &mut Tx) -> Result<(), DbError> {
        let Self {
            now,
            orders,
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
        flush_payments(tx, std::mem::take(&mut writes.payments), now).await?;
        flush_orders(tx, orders, now).await?;
        flush_log(tx, std::mem::take(&mut writes.log)).await?;
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
        .filter(|it| it.read_revision != Some(it.order.revision.0) || it.read_record.as_ref() != Some(&it.record))
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
         log_hash = v.column7, updated_at = v.column8 FROM",
        rows,
        "AS v WHERE instances.id = v.column1 AND instances.revision = v.column9 RETURNING instances.id",
    )
    .await?;
    if written.len() != moved.len() {
        return Err(DbError::Serialization(sqlx::Error::Protocol(
            "an order moved meanwhile".into(),
        )));
    }
    let rows = old
        .iter()
        .filter(|it| it.read_record.as_ref() != Some(&it.record))
        .map(|it| record_values(it.order.id, &it.record))
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
            values.extend([
                it.machine.as_str().into(),
                i64::from(it.order.graph_version.0).into(),
                now.into(),
                now.into(),
            ]);
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
        "machine",
        "graph_version",
        "created_at",
        "updated_at",
    ];
    sql::insert(tx, "instances", &columns, rows, "").await?;
    let rows = new
        .iter()
        .map(|it| {
            let record = &it.record;
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
            values
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

async fn flush_payments(tx: &mut Tx, rows: Vec<Payment>, now: DateTime<Utc>) -> Result<(), DbError> {
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
    let rows = rows
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
    let known = " ON CONFLICT (payment_id) DO UPDATE SET state = excluded.state, minor_units = excluded.minor_units,
         refunded_units = excluded.refunded_units";
    sql::insert(tx, "payments", &columns, rows, known).await?;
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

async fn flush_effects(
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
    // A worker may have ended it, or asked for it again, before we learnt of the confirm: then it stays as the worker left it.
    let sent = sent
        .into_iter()
        .map(|(id, due_at)| vec![id.into(), now.into(), due_at.into()])
        .collect();
    sql::with_values(
        tx,
        "UPDATE effects SET state = CASE effects.name WHEN 'publish_event' THEN 'done' ELSE 'sent' END, published_at = COALESCE(effects.published_at, v.column2) FROM",
        sent,
        "AS v WHERE effects.effect_id = v.column1 AND effects.due_at = v.column3 AND effects.state = 'requested'",
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
        "AS v WHERE effects.order_id = v.column1 AND effects.name = 'apply_partner_callback' AND effects.state = 'requested'",
    )
    .await?;
    Ok(())
}

async fn flush_callbacks(
    tx: &mut Tx,
    writes: &mut Writes,
    callbacks: &HashMap<Uuid, Callback>,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let columns = [
        "callback_id",
        "partner",
        "event_id",
        "key_id",
        "signed_at",
        "received_at",
        "headers",
        "body",
        "sha256",
        "state",
    ];
    let rows = std::mem::take(&mut writes.callbacks)
        .into_iter()
        .map(|it| {
            vec![
                it.callback_id.into(),
                it.partner.into(),
                it.event_id.into(),
                it.key_id.into(),
                it.signed_at.into(),
                now.into(),
                it.headers.into(),
                it.body.into(),
                it.sha256.into(),
                it.state.as_str().into(),
            ]
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
            ]
        })
        .collect();
    sql::with_values(
        tx,
        "UPDATE callbacks SET state = v.column2, detail = v.column3, order_id = v.column4, parked_until = v.column5,
         settled_at = v.column6 FROM",
        changed,
        "AS v WHERE callbacks.callback_id = v.column1",
    )
    .await?;
    Ok(())
}

async fn flush_cases(
    tx: &mut Tx,
    writes: &mut Writes,
    cases: &HashMap<Uuid, Case>,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let columns = [
        "case_id",
        "kind",
        "subject",
        "order_id",
        "reason",
        "detail",
        "opened_at",
    ];
    let rows = std::mem::take(&mut writes.cases)
        .into_iter()
        .map(|it| {
            vec![
                it.case_id.into(),
                it.kind.into(),
                it.subject.into(),
                it.order_id.map(|id| id.0).into(),
                it.reason.into(),
                it.detail.into(),
                now.into(),
            ]
        })
        .collect();
    sql::insert(
        tx,
        "operator_cases",
        &columns,
        rows,
        " ON CONFLICT (subject) DO NOTHING",
    )
    .await?;
    let closed = std::mem::take(&mut writes.closed_cases)
        .into_iter()
        .map(|(order, who, note)| vec![order.0.into(), who.into(), now.into(), note.into()])
        .collect();
    sql::with_values(
        tx,
        "UPDATE operator_cases SET closed_by = v.column2, closed_at = v.column3, note = v.column4 FROM",
        closed,
        "AS v WHERE operator_cases.order_id = v.column1 AND operator_cases.kind = 'pending' AND operator_cases.closed_at IS NULL",
    )
    .await?;
    let changed = std::mem::take(&mut writes.changed_cases)
        .into_iter()
        .map(|id| {
            let it = &cases[&id];
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

async fn flush_tokens(
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

async fn flush_messages(tx: &mut Tx, writes: &mut Writes, now: DateTime<Utc>) -> Result<(), DbError> {
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
    let parked = rows(std::mem::take(&mut writes.parked));
    let again = " ON CONFLICT (message_id) DO NOTHING";
    sql::insert(
        tx,
        "parked_messages",
        &["message_id", "queue", "message", "due_at"],
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

/// An order with its record, from a row of [`ORDER_COLUMNS`].
pub(super) fn loaded(row: &Row) -> Result<Loaded, DbError> {
    let record = record(row)?;
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
        order: DeliveryOrder {
            id: OrderId(row.uuid("id")?),
            graph_version: GraphVersion(number("graph_version")?),
            state: StateName::from(row.text("state")?),
            rank: number("rank")?,
            revision: Revision(revision),
            visited: decode::<BTreeSet<StateName>>(row.json("visited")?)?,
            fields: decode::<BTreeMap<FieldName, FieldValue>>(row.json("fields")?)?,
        },
        log_hash: row.bytes("log_hash")?,
        waiting: row.bool("waiting")?,
        created_at: row.time("created_at")?,
        read_revision: Some(revision),
        read_record: Some(record.clone()),
        record,
        read_deadline: deadline.clone(),
        deadline,
    })
}

/// The columns of [`loaded`], from `instances i`, `delivery_orders d` and `deadlines x`.
pub(super) const ORDER_COLUMNS: &str = "i.id, i.machine, i.graph_version, i.state, i.rank, i.revision, i.visited, i.fields, i.log_hash,
    i.created_at, i.updated_at, d.ordering_id, d.customer_id, d.payment_id, d.attempt, d.predecessor_id, d.successor_id, d.partner,
    d.partner_booking_id, d.partner_order_number, d.tracking_url, d.failure_reason, d.failed, d.outcome, d.confirmed_by, d.locale,
    d.items, d.pickup, d.dropoff, d.live, x.sequence AS deadline_sequence, x.event AS deadline_event, x.due_at AS deadline_at,
    EXISTS (SELECT 1 FROM effects e WHERE e.order_id = i.id AND e.state = 'requested' AND e.published_at IS NULL) AS waiting
    FROM instances i JOIN delivery_orders d ON d.order_id = i.id LEFT JOIN deadlines x ON x.order_id = i.id";

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
