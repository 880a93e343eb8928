//! Callbacks of partners: stored before they are answered, applied by their task, parked while they are early.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value as Json, json};
use uuid::Uuid;
use waybill_domain::{Actor, Disposition, Event, EventName, Fields, OrderId, Outcome, Refusal, Role};
use waybill_tasks::celery::message::{HeaderValue, Message, Properties};
use waybill_tasks::orders::Booking;
use waybill_webhooks::{Callback as Received, Inbox, PartnerReport, Stored, Unavailable, Unbelieved, Unmapped};

use super::core::Core;
use super::keep::storable;
use super::message;
use super::silence::was_asked_for;
use super::{Engine, EngineError};
use crate::crash::{self, Point};
use crate::store::committer::{Command, CommitError};
use crate::store::intake::Offered;
use crate::store::record::{Callback, CallbackState, Dead, EffectState, Record};
use crate::store::{Needs, Unit};

/// A callback that knows its delivery by the partner's id alone can be faster than the partner's answer to our booking.
const MATCHING: TimeDelta = TimeDelta::minutes(10);
/// How often it is looked for meanwhile.
const MATCH_AGAIN: TimeDelta = TimeDelta::seconds(15);

#[async_trait]
impl Inbox for Engine {
    async fn store(&self, received: Received) -> Result<Stored, Unavailable> {
        crash::pass(Point::BeforeStore);
        let stored = self.take(received).await;
        crash::pass(Point::BeforeAnswer);
        stored.map_err(|error| Unavailable(error.to_string()))
    }

    fn reject(&self, unbelieved: Unbelieved) {
        self.rejections.take(unbelieved);
    }
}

impl Engine {
    async fn take(&self, received: Received) -> Result<Stored, CommitError> {
        let core = self.core.clone();
        let id = Uuid::now_v7();
        let take = Take { core, received, id };
        if let Some(intake) = &self.intake
            && intake.offer(take.callback()).await? == Offered::Taken
        {
            return Ok(Stored::New);
        }
        self.committer.submit(take).await
    }
}

struct Take {
    core: Arc<Core>,
    received: Received,
    id: Uuid,
}

impl Take {
    /// The callback as it is kept if it is new; its instant is set by who writes it.
    fn callback(&self) -> Callback {
        let received = &self.received;
        Callback {
            callback_id: self.id,
            partner: received.partner.clone(),
            event_id: received.event_id.clone(),
            key_id: received.key_id.clone(),
            signed_at: received.signed_at,
            received_at: self.core.store.estimated_now(),
            headers: json!(received.headers),
            body: self.core.store.seal_callback(self.id, &received.body),
            sha256: received.sha256.to_vec(),
            state: CallbackState::Received,
            detail: None,
            order_id: None,
            parked_until: None,
            settled_at: None,
            parked_at: None,
            repeats: 0,
            repeated_at: None,
            replay_of: None,
            replayed_by: None,
        }
    }

    fn key(&self) -> (String, String) {
        (self.received.partner.clone(), self.received.event_id.clone())
    }

    /// What is set aside of a callback whose id was used for something else.
    fn dead(&self, unit: &Unit) -> Dead {
        let received = &self.received;
        let header = |(name, value): &(String, String)| (name.clone(), HeaderValue::Text(value.clone()));
        let message = Message {
            exchange: String::new(),
            routing_key: received.partner.clone(),
            properties: Properties {
                message_id: Some(received.event_id.clone()),
                // By which key it was believed, for who applies it nevertheless.
                app_id: Some(received.key_id.clone()),
                ..Properties::default()
            },
            headers: received.headers.iter().map(header).collect(),
            body: received.body.to_vec(),
        };
        Dead {
            id: self.id,
            source: "webhook".to_owned(),
            queue: received.partner.clone(),
            task: None,
            task_id: None,
            reason: "event-key-conflict".to_owned(),
            place: "webhook-id".to_owned(),
            detail: format!(
                "expected the content that {} had before, found another",
                received.event_id
            ),
            size: i64::try_from(received.body.len()).unwrap_or(i64::MAX),
            message: message::seal(&self.core.store, "quarantine", self.id, &message),
            digest: message::digest(&received.partner, &message),
            received_at: unit.now,
            replayed_at: None,
        }
    }
}

impl Command for Take {
    type Answer = Stored;

    fn needs(&self) -> Needs {
        Needs {
            inbox: vec![(
                "callback",
                format!("{} {}", self.received.partner, self.received.event_id),
            )],
            ..Needs::default()
        }
    }

    fn run(&self, unit: &mut Unit) -> Stored {
        let received = &self.received;
        let inbox_key = ("callback", format!("{} {}", received.partner, received.event_id));
        if let Some(known) = unit.inbox.get(&inbox_key) {
            if known.payload_hash == received.sha256 {
                unit.writes.repeated_callbacks.insert(self.key());
                return Stored::Duplicate;
            }
            let dead = self.dead(unit);
            self.core.set_aside(unit, dead);
            return Stored::Conflict;
        }
        unit.writes.inbox.push(crate::store::record::InboxRow {
            source: "callback",
            key: inbox_key.1,
            order_id: None,
            sequence: None,
            outcome: "stored".to_owned(),
            payload_hash: received.sha256.to_vec(),
        });
        self.core.take_callback(unit, self.callback());
        Stored::New
    }
}

impl Engine {
    /// Applies a stored callback: finds its order, lets the graph decide, and settles or parks it.
    pub async fn apply_callback(&self, callback_id: Uuid) -> Result<(), EngineError> {
        let store = &self.core.store;
        let Some(callback) = store.callback(callback_id).await? else {
            return Ok(());
        };
        if callback.state.is_settled() {
            return Ok(());
        }
        let body = store
            .callback_body(&callback)
            .map_err(|error| EngineError::Refused(error.to_string()))?;
        let adapter = self.adapter_of(&callback.partner);
        let translated = match was_asked_for(&callback) {
            true => match serde_json::from_slice(&body) {
                Ok(seen) => adapter.interpret(&seen),
                Err(error) => return Err(EngineError::Refused(error.to_string())),
            },
            false => adapter.translate(&body),
        };
        let order_id = match &translated {
            Ok(report) => self.find_order(&callback.partner, report).await?,
            Err(_) => None,
        };
        let command = Apply {
            core: self.core.clone(),
            callback,
            translated,
            order_id,
        };
        Ok(self.committer.submit(command).await?)
    }

    async fn find_order(&self, partner: &str, report: &PartnerReport) -> Result<Option<OrderId>, EngineError> {
        let store = &self.core.store;
        if let Some(Ok(id)) = report.reference.as_deref().map(str::parse::<OrderId>)
            && store.order(id).await?.is_some()
        {
            return Ok(Some(id));
        }
        // A reference that is not one of ours is not made up for by a number; a callback without any may be found by it.
        if report.reference.is_some() {
            return Ok(None);
        }
        for number in [&report.booking_id, &report.partner_order_number].into_iter().flatten() {
            if let Some(id) = store.order_of_partner(partner, number).await? {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }
}

struct Apply {
    core: Arc<Core>,
    /// As it was read; checked again under lock.
    callback: Callback,
    translated: Result<PartnerReport, Unmapped>,
    order_id: Option<OrderId>,
}

/// What becomes of a callback, and why.
struct Settled(CallbackState, Option<String>);

impl Command for Apply {
    type Answer = ();

    fn needs(&self) -> Needs {
        let report = self.translated.as_ref().ok();
        let number = report.and_then(|report| report.partner_order_number.clone());
        let event = report.and_then(|report| report.kind.event());
        Needs {
            births: event.map_or_else(BTreeSet::new, |event| self.core.may_succeed(&event)),
            callbacks: BTreeSet::from([self.callback.callback_id]),
            effects: BTreeSet::from([self.callback.callback_id]),
            orders: self.order_id.into_iter().collect(),
            numbers: number.into_iter().collect(),
            ..Needs::default()
        }
    }

    fn run(&self, unit: &mut Unit) {
        let id = self.callback.callback_id;
        if unit
            .callbacks
            .get(&id)
            .is_none_or(|callback| callback.state.is_settled())
        {
            return;
        }
        let Settled(state, detail) = self.settle(unit);
        let now = unit.now;
        let parked_until = match self.order_id {
            Some(_) => self.patient_until(unit),
            None => now + MATCH_AGAIN,
        };
        let Some(callback) = unit.callbacks.get_mut(&id) else {
            return;
        };
        callback.state = state;
        callback.detail = detail;
        callback.order_id = self.order_id;
        callback.settled_at = state.is_settled().then_some(now);
        callback.parked_until = (state == CallbackState::Parked).then_some(parked_until);
        callback.parked_at = callback.parked_at.or(callback.parked_until.and(Some(now)));
        unit.writes.changed_callbacks.insert(id);
        if let Some(effect) = unit.effects.get_mut(&id) {
            effect.order_id = self.order_id;
            if state == CallbackState::Parked {
                effect.state = EffectState::Requested;
                effect.due_at = parked_until;
            } else {
                effect.state = EffectState::Done;
                effect.finished_at = Some(now);
            }
            effect.published_at = effect.published_at.or(Some(now));
            unit.writes.changed_effects.insert(id);
        }
        metrics::counter!("callbacks_settled_total", "state" => state.as_str()).increment(1);
    }
}

impl Apply {
    fn settle(&self, unit: &mut Unit) -> Settled {
        let report = match &self.translated {
            Ok(report) => report,
            Err(unmapped) => {
                let partner = self.callback.partner.clone();
                metrics::counter!("callbacks_unmapped_total", "partner" => partner, "code" => unmapped.code)
                    .increment(1);
                self.open_case(unit, "unmapped-callback", None, unmapped.code, unmapped.to_string());
                return Settled(CallbackState::Unmapped, Some(unmapped.to_string()));
            }
        };
        let about = self
            .order_id
            .and_then(|id| Some((id, unit.orders.get(&id)?.record.clone()?)));
        let Some((order_id, record)) = about else {
            return self.unmatched(unit, report);
        };
        let Some(name) = report.kind.event() else {
            return Settled(CallbackState::Noted, Some(format!("{} moves nothing", report.word)));
        };
        let event = self.event(unit, report, name);
        if let Some(conflict) = self.conflict(unit, order_id, &record, report) {
            self.core.contradict(unit, order_id, event, conflict);
            return Settled(CallbackState::Conflict, Some(conflict.to_owned()));
        }
        let at_our_request = report.cancelled && is_cancelled(unit, order_id);
        if record.partner_booking_id.is_none() && !at_our_request {
            self.learn_booking(unit, order_id, report, &event);
        }
        if at_our_request {
            self.core.note(unit, order_id, event);
            return Settled(CallbackState::Noted, Some("cancelled at our request".to_owned()));
        }
        match self.core.apply(unit, order_id, event.clone(), &Json::Null) {
            Ok(_) => Settled(CallbackState::Applied, None),
            Err(refusal) => self.refused(unit, order_id, event, report, &refusal),
        }
    }

    /// A booking whose answer got lost is known when the partner speaks of it under our reference.
    fn learn_booking(&self, unit: &mut Unit, id: OrderId, report: &PartnerReport, event: &Event) {
        let (Some(_), Some(booking_id)) = (&report.reference, &report.booking_id) else {
            return;
        };
        let booking = Booking {
            partner: self.callback.partner.clone(),
            id: booking_id.clone(),
            tracking_url: None,
        };
        let booked = Event {
            name: "PARTNER_BOOKED".into(),
            key: format!("{}/booked", event.key),
            fields: Fields::new(),
            ..event.clone()
        };
        self.core.booked(unit, id, &booking, booked);
    }

    /// Nobody's yet, or nobody's at all. News that moves nothing needs nobody.
    fn unmatched(&self, unit: &mut Unit, report: &PartnerReport) -> Settled {
        let Some(event) = report.kind.event() else {
            let detail = format!("{} of a delivery that is not ours", report.word);
            return Settled(CallbackState::Orphan, Some(detail));
        };
        if report.reference.is_none() && unit.now < self.callback.received_at + MATCHING {
            return Settled(
                CallbackState::Parked,
                Some("no delivery order has this booking yet".to_owned()),
            );
        }
        let known_by = [&report.reference, &report.booking_id, &report.partner_order_number];
        let known_by = known_by.into_iter().flatten().next();
        let detail = format!("no delivery order for {}", known_by.map_or("nothing", String::as_str));
        self.open_case(unit, "orphan-callback", None, event.as_str(), detail.clone());
        Settled(CallbackState::Orphan, Some(detail))
    }

    /// Whether what is missing before this callback may be on its way. Who was asked has said how it stands: nothing more comes.
    fn may_still_come(&self, unit: &Unit) -> bool {
        !was_asked_for(&self.callback) && unit.now < self.patient_until(unit)
    }

    /// Until when this callback may wait for its turn.
    fn patient_until(&self, unit: &Unit) -> DateTime<Utc> {
        let said = || {
            let id = self.order_id?;
            let event = self.translated.as_ref().ok()?.kind.event()?;
            let state = &unit.orders.get(&id)?.order.state;
            Some(self.core.graph_in(unit, id)?.patience(state.as_str(), event.as_str()))
        };
        self.callback.received_at + said().unwrap_or(Disposition::PATIENCE)
    }

    fn refused(
        &self,
        unit: &mut Unit,
        id: OrderId,
        event: Event,
        report: &PartnerReport,
        refusal: &Refusal,
    ) -> Settled {
        let detail = Some(refusal.to_string());
        match refusal {
            Refusal::Duplicate { .. } => {
                self.core.note(unit, id, event);
                Settled(CallbackState::Duplicate, detail)
            }
            Refusal::Stale { .. } => {
                self.core.note(unit, id, event);
                Settled(CallbackState::Stale, detail)
            }
            Refusal::Noted { .. } => {
                self.core.note(unit, id, event);
                Settled(CallbackState::Noted, detail)
            }
            Refusal::Early { .. } if self.may_still_come(unit) => Settled(CallbackState::Parked, detail),
            Refusal::Early { expected, .. } => self.unresolved(unit, id, event, report, expected.as_str()),
            Refusal::Contradiction { state, .. } => {
                let kind = if is_cancelled(unit, id) {
                    "goods-at-large"
                } else {
                    "contradiction"
                };
                tracing::warn!(order.id = %id, "a partner's {} contradicts {state} of {id}", event.name);
                self.core.contradict(unit, id, event, kind);
                Settled(CallbackState::Conflict, detail)
            }
            _ => {
                self.core.contradict(unit, id, event, "callback-refused");
                Settled(CallbackState::Conflict, detail)
            }
        }
    }

    /// Its turn never came. If the partner has the parcel by all we know, the missing step is inferred; else an operator looks.
    fn unresolved(
        &self,
        unit: &mut Unit,
        id: OrderId,
        event: Event,
        report: &PartnerReport,
        expected: &str,
    ) -> Settled {
        let loaded = &unit.orders[&id];
        let known = loaded.record.as_ref();
        let number = report
            .partner_order_number
            .clone()
            .or_else(|| known?.partner_order_number.clone())
            .or_else(|| known?.partner_booking_id.clone());
        let step = self.core.graph_in(unit, id).and_then(|graph| {
            let edges = &graph.state(loaded.order.state.as_str())?.edges;
            edges
                .values()
                .find(|edge| edge.to == *expected && edge.actors.contains(&Role::DeliveryPartner))
                .cloned()
        });
        if let (Some(number), Some(step)) = (number, step) {
            let inferred = Event {
                name: step.event,
                key: format!("{}/inferred", event.key),
                fields: Fields::from([("partner_order_number".into(), number.into())]),
                inferred: true,
                ..event.clone()
            };
            let both = self.core.apply(unit, id, inferred, &Json::Null).is_ok()
                && self.core.apply(unit, id, event.clone(), &Json::Null).is_ok();
            if both {
                return Settled(CallbackState::Applied, Some(format!("{expected} was inferred")));
            }
        }
        let given_up = Event {
            name: "CALLBACK_UNRESOLVED".into(),
            key: format!("{}/unresolved", event.key),
            actor: Actor::system(),
            fields: Fields::new(),
            ..event.clone()
        };
        self.core.note(unit, id, event);
        if self.core.apply(unit, id, given_up.clone(), &Json::Null).is_err() {
            self.core.contradict(unit, id, given_up, "callback-unresolved");
        }
        Settled(
            CallbackState::Unresolved,
            Some(format!("{expected} was never reported")),
        )
    }

    /// What cannot be true of this order, whatever the graph says.
    fn conflict(&self, unit: &Unit, id: OrderId, record: &Record, report: &PartnerReport) -> Option<&'static str> {
        if record
            .partner
            .as_ref()
            .is_some_and(|partner| *partner != self.callback.partner)
        {
            return Some("wrong-partner");
        }
        let number = report.partner_order_number.as_ref()?;
        if Core::is_taken(unit, id, number) {
            return Some("partner-number-taken");
        }
        let other = record
            .partner_order_number
            .as_ref()
            .is_some_and(|known| known != number);
        other.then_some("partner-number-differs")
    }

    fn event(&self, unit: &Unit, report: &PartnerReport, name: EventName) -> Event {
        Event {
            name,
            key: format!("callback:{}:{}", self.callback.partner, self.callback.event_id),
            actor: Actor {
                role: Role::DeliveryPartner,
                id: self.callback.partner.clone(),
            },
            fields: report.fields.clone(),
            inferred: false,
            occurred_at: report.occurred_at.unwrap_or(unit.now),
        }
    }

    fn open_case(&self, unit: &mut Unit, kind: &str, about: Option<OrderId>, reason: &str, detail: String) {
        let id = self.callback.callback_id;
        let detail = json!({ "partner": self.callback.partner, "callback_id": id, "detail": detail });
        self.core
            .open_case(unit, kind, format!("callback:{id}"), about, reason, detail);
    }
}

fn is_cancelled(unit: &Unit, id: OrderId) -> bool {
    unit.orders[&id].outcome == Some(Outcome::Cancelled)
}

impl Core {
    /// Puts a message aside, with one operator case a day for its queue and reason.
    pub(super) fn set_aside(&self, unit: &mut Unit, dead: Dead) {
        let dead = Dead {
            task: dead.task.as_deref().map(storable),
            task_id: dead.task_id.as_deref().map(storable),
            place: storable(&dead.place),
            detail: storable(&dead.detail),
            ..dead
        };
        let detail = json!({ "queue": dead.queue, "task": dead.task, "place": dead.place, "detail": dead.detail, "id": dead.id });
        let subject = format!("quarantine:{}:{}:{}", dead.queue, dead.reason, unit.now.date_naive());
        self.open_case(unit, "quarantine", subject, None, &dead.reason.clone(), detail);
        metrics::counter!("quarantined_total", "reason" => dead.reason.clone()).increment(1);
        unit.writes.dead.push(dead);
    }
}
