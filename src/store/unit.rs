//! A unit of work: what one transaction reads under lock, and what it will write.
//!
//! Commands run between [`Unit::load`] and [`Unit::flush`] on memory alone; so many of them share one transaction, and each
//! table is written by one statement, however many orders are in it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};
use uuid::Uuid;
use waybill_domain::{Change, GraphVersion, Instance, MachineName, OrderId, RequestedEffect, Transition};

use super::activations::{self, Activation};
use super::chain;
use super::db::{DbError, Tx};
use super::outgoing::Told;
use super::record::{
    Armed, Callback, Case, Dead, Effect, InboxRow, Loaded, LogRow, Ordering, Payment, Record, StoredMessage, Token,
};
use super::{messages, read};

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
    /// Tokens by hash.
    pub tokens: BTreeSet<Vec<u8>>,
    /// Cases by id.
    pub cases: BTreeSet<Uuid>,
    /// Partner's numbers: which live orders have them.
    pub numbers: BTreeSet<String>,
    /// Digests of messages set aside.
    pub digests: BTreeSet<Vec<u8>>,
    /// The machines that an instance may be born of: which versions are active.
    pub births: BTreeSet<MachineName>,
    /// The version that orders move to: whether it is retired. It is not while the transaction lasts.
    pub settles: Option<(MachineName, GraphVersion)>,
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
        all.extend(self.numbers.iter().map(|number| format!("n{number}")));
        all.extend(self.tokens.iter().chain(&self.digests).map(hex::encode));
        all.extend(self.claim.iter().map(|(queue, _)| format!("q{queue}")));
        all.sort_unstable();
        all.dedup();
        all
    }

    fn merge(&mut self, other: Self) {
        self.births.extend(other.births);
        self.settles = self.settles.take().or(other.settles);
        self.inbox.extend(other.inbox);
        self.orders.extend(other.orders);
        self.orderings.extend(other.orderings);
        self.payments.extend(other.payments);
        self.effects.extend(other.effects);
        self.effects_of.extend(other.effects_of);
        self.callbacks.extend(other.callbacks);
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
    /// The needed tokens that exist.
    pub tokens: HashMap<Vec<u8>, Token>,
    /// The needed cases that exist.
    pub cases: HashMap<Uuid, Case>,
    /// Who of the live orders has the needed partner numbers.
    pub numbers: HashMap<(String, String), OrderId>,
    /// The needed digests that are in quarantine already.
    pub digests: HashSet<Vec<u8>>,
    /// Which versions instances are born with that come into being here, of the machines that [`Needs::births`] names.
    pub activations: BTreeMap<MachineName, Activation>,
    /// Whether the version of [`Needs::settles`] is retired.
    pub is_retired: bool,
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
    /// Callbacks that came again, by partner and event id.
    pub repeated_callbacks: BTreeSet<(String, String)>,
    pub cases: Vec<Case>,
    pub changed_cases: BTreeSet<Uuid>,
    /// Cases of these orders are over: (order, who, note).
    pub closed_cases: Vec<(OrderId, String, String)>,
    pub tokens: Vec<Token>,
    pub answered_tokens: BTreeSet<Vec<u8>>,
    pub messages: Vec<StoredMessage>,
    pub deleted_messages: Vec<Uuid>,
    pub returned_messages: Vec<Uuid>,
    /// With the ids of their tasks.
    pub parked: Vec<(StoredMessage, Option<String>)>,
    pub deleted_parked: Vec<Uuid>,
    pub dead: Vec<Dead>,
    pub replayed: Vec<Uuid>,
    /// Callbacks of these orders that came early get their turn.
    pub unparked: BTreeSet<OrderId>,
    /// What subscribers may want to hear of.
    pub told: Vec<Told>,
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
        // The fence comes before every row lock: an activation waits for it holding none.
        let mut activations = BTreeMap::new();
        for machine in needs.births {
            let activation = activations::read_shared(tx, machine.as_str()).await?;
            activations.extend(activation.map(|activation| (machine, activation)));
        }
        let is_retired = match &needs.settles {
            Some((machine, version)) => activations::is_retired_shared(tx, machine.as_str(), *version).await?,
            None => false,
        };
        let lock = tx.for_update();
        Ok(Self {
            now,
            activations,
            is_retired,
            inbox: read::inbox(tx, &needs.inbox).await?,
            orderings: read::orderings(tx, needs.orderings, lock).await?,
            payments: read::payments(tx, needs.payments, lock).await?,
            orders: read::orders(tx, needs.orders, lock).await?,
            effects: read::effects(tx, needs.effects, needs.effects_of, lock).await?,
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
        loaded.order.apply(transition);
        // The version that the row leads to, if it is a migration's.
        let graph_version = loaded.order.graph_version.0;
        let hash = chain::hash(&loaded.log_hash, transition, graph_version);
        let previous_hash = std::mem::replace(&mut loaded.log_hash, hash.clone());
        if transition.change != Change::Noted {
            let armed = transition.deadline.as_ref().map(|deadline| Armed {
                sequence: transition.revision.0,
                event: deadline.event.clone(),
                due_at: deadline.at,
            });
            let is_kept = |armed: &Armed| {
                let before = loaded.deadline.as_ref();
                transition.change == Change::Migrated
                    && before.is_some_and(|it| (&it.event, it.due_at) == (&armed.event, armed.due_at))
            };
            if !armed.as_ref().is_some_and(is_kept) {
                loaded.deadline = armed;
            }
        }
        let effects = transition
            .effects
            .iter()
            .zip(0..)
            .map(|(requested, ordinal)| Effect {
                effect_id: super::effect_id(transition.order_id, transition.revision.0, requested.name.as_str()),
                order_id: Some(transition.order_id),
                sequence: transition.revision.0,
                ordinal,
                name: requested.name.to_string(),
                subject: None,
                payload: payload(requested),
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

    /// The versions that orders may be born with in this unit.
    pub(super) fn may_be_born(&self) -> Vec<(MachineName, GraphVersion)> {
        let shares = |(machine, activation): (&MachineName, &Activation)| {
            let versions = activation.shares.iter().map(|share| share.version);
            versions.map(|version| (machine.clone(), version)).collect::<Vec<_>>()
        };
        self.activations.iter().flat_map(shares).collect()
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

    /// Puts an instance into this unit that it makes; a delivery order with its record.
    pub fn give_birth(&mut self, machine: MachineName, order: Instance, record: Option<Record>) {
        self.orders.insert(
            order.id,
            Loaded {
                machine,
                order,
                outcome: None,
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
}

/// What a task of another service is sent with; our own tasks carry ids only.
fn payload(requested: &RequestedEffect) -> Option<Json> {
    let (task, queue) = requested.task.as_ref()?;
    Some(json!({ "task": task, "queue": queue, "kwargs": requested.arguments }))
}
