//! Effects on their way: published, begun, ended, and what follows from how they ended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value as Json, json};
use uuid::Uuid;
use waybill_domain::{Actor, Event, EventName, Fields, GraphVersion, MachineName, OrderId, Revision, Role};
use waybill_tasks::orders::{Booking, Finish, Reported};

use super::booking::{BOOK, CANCEL};
use super::core::{Core, has_left, text};
use super::{Engine, EngineError};
use crate::store::committer::Command;
use crate::store::record::{Effect, EffectState};
use crate::store::{LogEntry, Needs, Unit};

/// These talk to the partner, and one at a time per order.
const TALK_TO_PARTNER: [&str; 2] = [BOOK, CANCEL];
/// A worker that has not ended an effect by then is taken for dead.
const LEASE: TimeDelta = TimeDelta::seconds(60);
/// After so many attempts that count an effect is taken for one that never works, and an operator decides.
const HOPELESS: i64 = 20;

/// An order was handed to another partner: who, and why.
pub(super) const PARTNER_CHOSEN: &str = "PARTNER_CHOSEN";
/// Its field for who was asked before and is known not to have booked.
pub(super) const NOT_BOOKED_BY: &str = "not_booked_by";

/// Whether an effect can run now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lease {
    /// Yes.
    Taken,
    /// Another effect of the order is talking to the partner.
    Busy,
    /// It has ended.
    Ended,
}

impl Engine {
    /// The broker has confirmed the tasks of these effects.
    pub async fn mark_sent(&self, effects: &[Effect]) -> Result<(), EngineError> {
        let effects = effects.iter().map(|effect| (effect.effect_id, effect.due_at)).collect();
        Ok(self.committer.submit(MarkSent { effects }).await?)
    }

    /// Effects could not be published, each for its cause: not before `after` has passed.
    pub async fn defer(&self, causes: BTreeMap<Uuid, String>, after: Duration) -> Result<(), EngineError> {
        let after = Some(after);
        Ok(self.committer.submit(Hold { causes, after }).await?)
    }

    /// The queues of these effects refuse them, each as its cause says. They stay due: who publishes knows which causes still hold.
    pub async fn hold(&self, causes: BTreeMap<Uuid, String>) -> Result<(), EngineError> {
        Ok(self.committer.submit(Hold { causes, after: None }).await?)
    }

    /// Effects that nobody ended are published again: they go behind those that wait for it longer.
    pub async fn put_back(&self, effects: &[Effect]) -> Result<(), EngineError> {
        let effects = effects.iter().map(|effect| effect.effect_id).collect();
        Ok(self.committer.submit(PutBack { effects }).await?)
    }

    pub(super) async fn lease(&self, effect: Uuid, name: &str, order: OrderId) -> Result<Lease, EngineError> {
        if !TALK_TO_PARTNER.contains(&name) {
            return Ok(Lease::Taken);
        }
        Ok(self.committer.submit(TakeLease { effect, order }).await?)
    }

    pub(super) async fn end(&self, effect: Uuid, order: OrderId, finish: Finish) -> Result<(), EngineError> {
        if let Finish::Seen(seen) = &finish {
            self.take_seen(order, seen).await?;
        }
        Ok(self
            .committer
            .submit(End {
                core: self.core.clone(),
                effect,
                order,
                finish,
            })
            .await?)
    }

    pub(super) async fn open_pending_case(&self, effect: Uuid, order: OrderId) -> Result<(), EngineError> {
        let store = &self.core.store;
        let (Some(effect), Some((instance, _))) = (store.effect(effect).await?, store.instance(order).await?) else {
            return Ok(());
        };
        let sequence = effect.sequence;
        loop {
            let log = store.log(order).await?;
            let entered = log.iter().find(|entry| entry.transition.revision.0 == sequence);
            let (Some(entered), Some(last)) = (entered, log.last()) else {
                return Ok(());
            };
            if has_left(&log, sequence) {
                return Ok(());
            }
            let command = OpenCase {
                core: self.core.clone(),
                sequence,
                event: entered.transition.event.clone(),
                handed_on: self.was_handed_on(&instance.machine, entered).await?,
                order,
                seen: last.transition.revision,
            };
            if let Ok(()) = self.committer.submit(command).await? {
                return Ok(());
            }
        }
    }

    /// Whether a state was entered because the one before hands on at once.
    async fn was_handed_on(&self, machine: &MachineName, entered: &LogEntry) -> Result<bool, EngineError> {
        let graph = self.graph_of(machine, GraphVersion(entered.graph_version)).await?;
        let row = &entered.transition;
        let before = || graph.as_deref()?.state(row.from.as_ref()?.as_str())?.deadline.as_ref();
        Ok(before().is_some_and(|deadline| deadline.is_immediate() && deadline.event == row.event))
    }
}

impl Engine {
    /// Makes an effect of looking an order up at its partner. `published` says that its task is there already.
    pub(super) async fn reconcile(&self, order: OrderId, published: bool) -> Result<Option<Uuid>, EngineError> {
        let core = self.core.clone();
        let command = Reconcile { core, order, published };
        Ok(self.committer.submit(command).await?)
    }
}

struct Reconcile {
    core: Arc<Core>,
    order: OrderId,
    /// Its task is running already: it came without an effect.
    published: bool,
}

impl Command for Reconcile {
    type Answer = Option<Uuid>;

    fn needs(&self) -> Needs {
        let order = BTreeSet::from([self.order]);
        Needs {
            orders: order.clone(),
            effects_of: order,
            ..Needs::default()
        }
    }

    fn run(&self, unit: &mut Unit) -> Option<Uuid> {
        const NAME: &str = "reconcile_partner";
        let loaded = unit
            .orders
            .get(&self.order)
            .filter(|loaded| loaded.record.as_ref().is_some_and(|record| record.live))?;
        let sequence = loaded.order.revision.0;
        // A new question each time: what ended before was asked at another moment.
        let id = Uuid::now_v7();
        if let Some(open) = unit
            .effects
            .values()
            .find(|it| it.name == NAME && !matches!(it.state, EffectState::Done | EffectState::Failed))
        {
            return Some(open.effect_id);
        }
        let mut effect = Effect::requested(id, Some((self.order, sequence)), NAME, unit.now);
        if self.published {
            effect.state = EffectState::Sent;
            effect.published_at = Some(unit.now);
            unit.writes.effects.push(effect);
        } else {
            self.core.request(unit, effect);
        }
        Some(id)
    }
}

struct MarkSent {
    effects: Vec<(Uuid, DateTime<Utc>)>,
}

impl Command for MarkSent {
    type Answer = ();

    fn needs(&self) -> Needs {
        Needs::default()
    }

    fn run(&self, unit: &mut Unit) {
        unit.writes.sent_effects.extend(&self.effects);
    }

    /// What is not known to be sent is sent again, under the same id, and acts once.
    fn is_forgettable(&self) -> bool {
        true
    }
}

struct Hold {
    causes: BTreeMap<Uuid, String>,
    after: Option<Duration>,
}

impl Command for Hold {
    type Answer = ();

    fn needs(&self) -> Needs {
        Needs {
            effects: self.causes.keys().copied().collect(),
            ..Needs::default()
        }
    }

    fn run(&self, unit: &mut Unit) {
        let due_at = self.after.map(|after| unit.now + after);
        for (id, cause) in &self.causes {
            let Some(effect) = unit.effects.get_mut(id) else {
                continue;
            };
            if effect.state != EffectState::Requested {
                continue;
            }
            effect.due_at = due_at.unwrap_or(effect.due_at);
            effect.cause = Some(cause.clone());
            unit.writes.changed_effects.insert(*id);
        }
    }
}

struct PutBack {
    effects: BTreeSet<Uuid>,
}

impl Command for PutBack {
    type Answer = ();

    fn needs(&self) -> Needs {
        Needs {
            effects: self.effects.clone(),
            ..Needs::default()
        }
    }

    fn run(&self, unit: &mut Unit) {
        for id in &self.effects {
            let effect = unit.effects.get_mut(id);
            // Its worker may have ended it meanwhile.
            if let Some(effect) = effect.filter(|it| matches!(it.state, EffectState::Sent | EffectState::Running)) {
                effect.due_at = unit.now;
                unit.writes.changed_effects.insert(*id);
            }
        }
    }
}

struct TakeLease {
    effect: Uuid,
    order: OrderId,
}

impl Command for TakeLease {
    type Answer = Lease;

    fn needs(&self) -> Needs {
        let order = BTreeSet::from([self.order]);
        Needs {
            effects: BTreeSet::from([self.effect]),
            orders: order.clone(),
            effects_of: order,
            ..Needs::default()
        }
    }

    fn run(&self, unit: &mut Unit) -> Lease {
        let now = unit.now;
        let talking = unit.effects.values().any(|it| {
            it.order_id == Some(self.order)
                && it.state == EffectState::Running
                && it.lease_until.is_some_and(|until| until > now)
        });
        let Some(effect) = unit.effects.get_mut(&self.effect) else {
            return Lease::Ended;
        };
        if matches!(effect.state, EffectState::Done | EffectState::Failed) {
            return Lease::Ended;
        }
        if talking {
            return Lease::Busy;
        }
        if effect.state == EffectState::Running {
            // Whoever had it died in the middle: what it did is not known, and that was an attempt.
            effect.attempts += 1;
            effect.cause = Some("a worker died while it ran".to_owned());
        }
        effect.state = EffectState::Running;
        effect.published_at = effect.published_at.or(Some(now));
        effect.lease_until = Some(now + LEASE);
        unit.writes.changed_effects.insert(self.effect);
        Lease::Taken
    }
}

struct End {
    core: Arc<Core>,
    effect: Uuid,
    order: OrderId,
    finish: Finish,
}

impl Command for End {
    type Answer = ();

    fn needs(&self) -> Needs {
        let births = match &self.finish {
            Finish::Event(reported) => self.core.may_succeed(&reported.event),
            _ => BTreeSet::new(),
        };
        Needs {
            effects: BTreeSet::from([self.effect]),
            orders: BTreeSet::from([self.order]),
            births,
            ..Needs::default()
        }
    }

    fn run(&self, unit: &mut Unit) {
        let now = unit.now;
        let Some(effect) = unit.effects.get_mut(&self.effect) else {
            return;
        };
        if effect.state == EffectState::Done {
            return;
        }
        effect.lease_until = None;
        effect.published_at = effect.published_at.or(Some(now));
        let name = effect.name.clone();
        let failed = match &self.finish {
            Finish::Done | Finish::Booked(_) | Finish::Seen(_) | Finish::Event(_) => {
                effect.state = EffectState::Done;
                effect.finished_at = Some(now);
                effect.cause = None;
                None
            }
            Finish::Handed { cause, .. } => {
                effect.state = EffectState::Requested;
                effect.due_at = now;
                effect.attempts = 0;
                effect.cause = Some(cause.clone());
                None
            }
            Finish::Retry { after, cause, counts } if effect.attempts < HOPELESS || !counts => {
                effect.state = EffectState::Requested;
                effect.due_at = now + *after;
                effect.attempts += i64::from(*counts);
                effect.cause = Some(cause.clone());
                None
            }
            Finish::Retry { cause, .. } | Finish::Failed { cause } => {
                let news = effect.state != EffectState::Failed;
                effect.state = EffectState::Failed;
                effect.finished_at = Some(now);
                effect.cause = Some(cause.clone());
                news.then(|| cause.clone())
            }
        };
        unit.writes.changed_effects.insert(self.effect);
        if let Some(cause) = failed {
            let at_large = cause.contains("goods at large");
            let kind = if at_large { "goods-at-large" } else { "effect-failed" };
            let detail = json!({ "effect": name, "effect_id": self.effect, "cause": cause });
            // An operator may have had it tried again: then it is another case.
            let subject = format!("effect:{}:{}", self.effect, now.timestamp_millis());
            self.core
                .open_case(unit, kind, subject, Some(self.order), &name.to_uppercase(), detail);
        }
        match &self.finish {
            Finish::Booked(booking) => self.booked(unit, booking),
            Finish::Handed { from, to, cause } => self.handed(unit, from.as_deref(), to, cause),
            Finish::Event(reported) => self.reported(unit, reported),
            // What was seen is stored as a callback before its effect ends.
            Finish::Done | Finish::Seen(_) | Finish::Retry { .. } | Finish::Failed { .. } => {}
        }
    }
}

impl End {
    fn event(&self, unit: &Unit, name: &str, actor: Actor, fields: Fields) -> Event {
        let key = format!("effect:{}", self.effect);
        Event {
            name: name.into(),
            key,
            actor,
            fields,
            inferred: false,
            occurred_at: unit.now,
        }
    }

    fn booked(&self, unit: &mut Unit, booking: &Booking) {
        let actor = Actor {
            role: Role::DeliveryPartner,
            id: booking.partner.clone(),
        };
        let event = self.event(unit, "PARTNER_BOOKED", actor, Fields::new());
        self.core.booked(unit, self.order, booking, event);
    }

    /// Another partner is asked from now on. Who was asked before, and why no longer, stays in the log.
    fn handed(&self, unit: &mut Unit, from: Option<&str>, to: &str, cause: &str) {
        let order = unit.orders.get_mut(&self.order);
        let Some(record) = order.and_then(|loaded| loaded.record.as_mut()) else {
            return;
        };
        record.partner = Some(to.to_owned());
        let fields = [("partner", to), ("cause", cause)].into_iter();
        let fields = fields.chain(from.map(|from| (NOT_BOOKED_BY, from)));
        let fields = fields.map(|(name, value)| (name.into(), value.to_owned().into()));
        let waybill = Actor {
            role: Role::Service,
            id: "waybill".to_owned(),
        };
        let mut event = self.event(unit, PARTNER_CHOSEN, waybill, fields.collect());
        event.key = format!("{}:{to}", event.key);
        self.core.note(unit, self.order, event);
    }

    /// What an effect found out is an event like any other; late or contradicting, it is noted.
    fn reported(&self, unit: &mut Unit, reported: &Reported) {
        let event = self.event(
            unit,
            reported.event.as_str(),
            reported.actor.clone(),
            reported.fields.clone(),
        );
        if self.core.apply(unit, self.order, event.clone(), &Json::Null).is_err() {
            self.core.note(unit, self.order, event);
        }
    }
}

struct OpenCase {
    core: Arc<Core>,
    /// Sequence of the transition to the state that waits for an operator.
    sequence: i64,
    /// The event behind it.
    event: EventName,
    /// That event happened by itself, on arrival in the state before.
    handed_on: bool,
    order: OrderId,
    /// The revision at which the order still waited; checked again under lock.
    seen: Revision,
}

/// The order has a newer log row than was read.
struct Meanwhile;

impl Command for OpenCase {
    type Answer = Result<(), Meanwhile>;

    fn needs(&self) -> Needs {
        Needs {
            orders: BTreeSet::from([self.order]),
            ..Needs::default()
        }
    }

    fn run(&self, unit: &mut Unit) -> Result<(), Meanwhile> {
        let Some(loaded) = unit.orders.get(&self.order) else {
            return Ok(());
        };
        if loaded.order.revision != self.seen {
            return Err(Meanwhile);
        }
        let (order, record) = (&loaded.order, loaded.record.as_ref());
        let failure_reason = record.and_then(|record| record.failure_reason.clone());
        let mut detail = json!({ "machine": loaded.machine, "visited": order.visited });
        if let Some(record) = record {
            detail["ordering_id"] = json!(record.ordering_id);
            detail["attempt"] = json!(record.attempt);
            detail["failure_reason"] = json!(record.failure_reason);
            detail["failure_raw"] = json!(text(&order.fields, "failure_raw"));
        }
        // A failed delivery hands over at once: its reason says more than that it did.
        let reason = match failure_reason {
            Some(reason) if self.handed_on => reason,
            _ => self.event.to_string(),
        };
        self.core.open_case(
            unit,
            "pending",
            format!("pending:{}:{}", self.order, self.sequence),
            Some(self.order),
            &reason,
            detail,
        );
        Ok(())
    }
}
