//! What every command works with: the graphs, the keys, and what follows from a transition, whatever the machine.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use waybill_domain::{
    Change, Event, EventName, Fields, Graph, GraphVersion, Instance, MachineName, OrderId, Refusal, Transition,
};

use super::{delivery, message};
use crate::store::outgoing::{Told, event_type};
use crate::store::record::{Callback, Case, Effect, EffectState, Record};
use crate::store::{LogEntry, Store, Unit, effect_id};
use crate::template::Template;

pub use waybill_domain::DELIVERY as MACHINE;

/// The event by which an instance of any other machine comes into being.
pub(super) const CREATED: &str = "INSTANCE_CREATED";

/// Names and addresses outside, from the settings.
#[derive(Debug, Clone)]
pub struct Outside {
    /// Our task queue.
    pub queue: String,
    /// The partner that books where nobody chose another.
    pub default_partner: String,
    /// The language of each partner's callbacks.
    pub adapters: std::collections::BTreeMap<String, waybill_webhooks::Adapter>,
    /// How customers and partners reach us, without a slash at the end.
    pub public_url: String,
    /// Customers get a code that they say to the courier.
    pub handover_codes: bool,
    /// Effects go into the in-process transport, in the transaction that asks for them.
    pub local: bool,
}

/// What commands share.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) store: Store,
    pub(super) template: Arc<Template>,
    pub(super) outside: Outside,
}

/// What an event did to an order.
#[derive(Debug, Clone)]
pub(super) struct Applied {
    /// The log rows that it made.
    pub(super) transitions: Vec<Transition>,
}

impl Core {
    /// A version that this process knows: of its template, or published by another process and readable for this one.
    pub(super) fn graph(&self, machine: &MachineName, version: GraphVersion) -> Option<Arc<Graph>> {
        self.store.graph(machine.as_str(), version)
    }

    /// The machines of which an event can bring a new instance into being that takes over.
    pub(super) fn may_succeed(&self, event: &EventName) -> BTreeSet<MachineName> {
        let leads_on = |graph: &&Arc<Graph>| graph.edges(event.as_str()).any(|(_, edge)| edge.successor.is_some());
        let graphs = self.store.every_graph();
        graphs
            .iter()
            .filter(leads_on)
            .map(|graph| graph.machine().clone())
            .collect()
    }

    /// The graph of an instance in this unit. Versions are kept as long as an instance is pinned to them.
    pub(super) fn graph_in(&self, unit: &Unit, id: OrderId) -> Option<Arc<Graph>> {
        let loaded = unit.orders.get(&id)?;
        self.graph(&loaded.machine, loaded.order.graph_version)
    }

    /// Lets an event move an order, with everything that follows in the same transaction.
    pub(super) fn apply(
        &self,
        unit: &mut Unit,
        id: OrderId,
        mut event: Event,
        extra: &Json,
    ) -> Result<Applied, Refusal> {
        let unknown = || Refusal::UnknownEvent {
            event: event.name.clone(),
        };
        let graph = self.graph_in(unit, id).ok_or_else(unknown)?;
        let loaded = unit.orders.get(&id).ok_or_else(unknown)?;
        let mut order = loaded.order.clone();
        if text(&event.fields, "partner_order_number").is_some_and(|number| Self::is_taken(unit, id, &number)) {
            let expected = "a number that no other live order of the partner has".to_owned();
            return Err(Refusal::BadField {
                field: "partner_order_number".into(),
                expected,
            });
        }
        let edge = graph.edge(order.state.as_str(), event.name.as_str());
        let named = edge.and_then(|edge| edge.successor.clone());
        let successor = named.map(|field| (field, super::new_order_id()));
        if let Some((field, successor)) = &successor {
            event.fields.insert(field.clone(), successor.to_string().into());
        }
        let transitions = order.decide(&graph, event, unit.now)?;
        for transition in &transitions {
            self.enter(unit, &graph, transition);
            order.apply(transition);
        }
        if let (Some((_, successor)), Some(last)) = (successor, transitions.last()) {
            self.succeed(unit, id, successor, last, extra);
        }
        Ok(Applied { transitions })
    }

    /// Records an event that does not move its order.
    pub(super) fn note(&self, unit: &mut Unit, id: OrderId, event: Event) -> Option<Transition> {
        let now = unit.now;
        // A late pick-up still tells the number, unless that belongs to another order.
        let number = text(&event.fields, "partner_order_number").filter(|number| !Self::is_taken(unit, id, number));
        let loaded = unit.orders.get_mut(&id)?;
        let noted = loaded.order.note(event, now);
        if let Some(record) = loaded.record.as_mut().filter(|record| record.live)
            && record.partner_order_number.is_none()
        {
            record.partner_order_number = number;
        }
        unit.take(&noted);
        Some(noted)
    }

    /// Takes one transition: log row, record, effects, and what ends with the state that is left.
    pub(super) fn enter(&self, unit: &mut Unit, graph: &Graph, transition: &Transition) {
        let id = transition.order_id;
        let effects = unit.take(transition);
        let Some(state) = graph.state(transition.to.as_str()) else {
            return;
        };
        let loaded = unit.orders.get_mut(&id).expect("take demands that the order is loaded");
        loaded.outcome = state.outcome;
        if let Some(record) = &mut loaded.record {
            delivery::enter(record, state, transition);
        }
        let left_attention = transition
            .from
            .as_ref()
            .and_then(|from| graph.state(from.as_str()))
            .is_some_and(|from| from.kind == waybill_domain::Kind::Attention);
        if transition.change == Change::Moved {
            unit.writes.unparked.insert(id);
            if left_attention {
                let note = format!("{} led to {}", transition.event, transition.to);
                unit.writes.closed_cases.push((id, transition.actor.id.clone(), note));
            }
        }
        self.tell(unit, transition);
        let told = self.telling(unit, transition, i64::try_from(effects.len()).unwrap_or(i64::MAX));
        for effect in effects.into_iter().chain(told) {
            self.request(unit, effect);
        }
    }

    /// Subscribers hear of it, each who wants to.
    fn tell(&self, unit: &mut Unit, transition: &Transition) {
        let Some(loaded) = unit.orders.get(&transition.order_id) else {
            return;
        };
        unit.writes.told.push(Told {
            order_id: transition.order_id,
            sequence: transition.revision.0,
            machine: loaded.machine.to_string(),
            customer_id: loaded.record.as_ref().map(|record| record.customer_id.clone()),
            event_type: event_type(loaded.machine.as_str(), transition.to.as_str()),
        });
    }

    /// The event for other services: published by the relay itself, after the tasks of the same transition.
    fn telling(&self, unit: &Unit, transition: &Transition, ordinal: i64) -> Option<Effect> {
        // Nobody can listen to the in-process transport.
        if self.outside.local {
            return None;
        }
        let (id, sequence) = (transition.order_id, transition.revision.0);
        let loaded = unit.orders.get(&id)?;
        let name = message::PUBLISH_EVENT;
        let mut effect = Effect::requested(effect_id(id, sequence, name), Some((id, sequence)), name, unit.now);
        effect.ordinal = ordinal;
        effect.payload = Some(message::payload(
            transition,
            &loaded.machine,
            loaded.outcome,
            loaded.record.as_ref(),
        ));
        Some(effect)
    }

    /// Asks for an effect: as a row of the outbox, and with the in-process transport as its message at once.
    pub(super) fn request(&self, unit: &mut Unit, mut effect: Effect) {
        if self.outside.local && effect.due_at <= unit.now {
            effect.state = match effect.payload {
                Some(_) => EffectState::Done,
                None => EffectState::Sent,
            };
            effect.published_at = Some(unit.now);
            let message = message::of_effect(&effect, &self.outside.queue);
            let queue = message::queue_of(&effect, &self.outside.queue);
            unit.writes
                .messages
                .push(message::pack(&self.store, queue, &message, unit.now));
        }
        unit.writes.effects.push(effect);
    }

    /// Keeps a callback, and asks for its task, which has its id.
    pub(super) fn take_callback(&self, unit: &mut Unit, callback: Callback) {
        let id = callback.callback_id;
        unit.writes.callbacks.push(callback);
        self.request(unit, Effect::of_callback(id, unit.now));
    }

    /// Brings an instance of a machine into being; a delivery order with its record. None where the machine has no version to be born
    /// with: the command must need its births.
    pub(super) fn give_birth(
        &self,
        unit: &mut Unit,
        machine: &MachineName,
        id: OrderId,
        event: Event,
        record: Option<Record>,
    ) -> Option<Transition> {
        let graph = self.birth_graph(unit, machine, id)?;
        let (order, birth) = Instance::born(id, &graph, event, unit.now);
        if let Some(record) = &record {
            unit.writes
                .orderings
                .entry(record.ordering_id.clone())
                .or_insert_with(|| Some(record.customer_id.clone()));
        }
        unit.give_birth(machine.clone(), order, record);
        self.enter(unit, &graph, &birth);
        Some(birth)
    }

    /// The version that an instance of this id is born with.
    pub(super) fn birth_graph(&self, unit: &Unit, machine: &MachineName, id: OrderId) -> Option<Arc<Graph>> {
        // What was read behind the fence counts; the template only where nothing was ever activated.
        let activation = unit.activations.get(machine);
        let activated = activation.and_then(|activation| activation.choose(id));
        self.graph(
            machine,
            activated.or_else(|| self.template.active(machine.as_str(), id))?,
        )
    }

    /// The new instance that takes over, in the transaction that ends the old one.
    fn succeed(&self, unit: &mut Unit, old: OrderId, new: OrderId, ended: &Transition, extra: &Json) {
        let Some(loaded) = unit.orders.get(&old) else {
            return;
        };
        let machine = loaded.machine.clone();
        let is_delivery = loaded.record.is_some();
        let record = self.succeeding_record(unit, old, new, extra);
        let event = Event {
            name: if is_delivery { delivery::CREATED } else { CREATED }.into(),
            key: format!("successor:{old}"),
            actor: ended.actor.clone(),
            fields: Fields::new(),
            inferred: false,
            occurred_at: ended.occurred_at,
        };
        self.give_birth(unit, &machine, new, event, record);
    }

    /// Opens an operator case; one per subject.
    pub(super) fn open_case(
        &self,
        unit: &mut Unit,
        kind: &str,
        subject: String,
        about: Option<OrderId>,
        reason: &str,
        detail: Json,
    ) {
        let case = Case::opened(kind, subject, reason, detail, unit.now).about(about);
        unit.writes.cases.push(case);
    }

    /// A fact that contradicts what is known is noted, and an operator hears of it with both sides.
    ///
    /// What it claims is kept under `claimed_…`: it is evidence, and nothing that the order knows.
    pub(super) fn contradict(&self, unit: &mut Unit, id: OrderId, mut event: Event, kind: &str) -> Option<Transition> {
        let detail = json!({ "event": event.name, "by": event.actor.id, "fields": event.fields, "occurred_at": event.occurred_at });
        let reason = event.name.to_string();
        event.fields = event
            .fields
            .into_iter()
            .map(|(name, value)| (format!("claimed_{name}").into(), value))
            .collect();
        let noted = self.note(unit, id, event)?;
        let subject = format!("{kind}:{id}:{}", noted.revision);
        self.open_case(unit, kind, subject, Some(id), &reason, detail);
        Some(noted)
    }
}

/// A field of an event, as text.
pub(super) fn text(fields: &Fields, name: &str) -> Option<String> {
    fields.get(name).and_then(|value| value.as_text()).map(str::to_owned)
}

/// Whether an order has left the state that a row of its log led to.
pub(super) fn has_left(log: &[LogEntry], sequence: i64) -> bool {
    // Ranks rise, so it never comes back; a migration gives the state another name at most.
    let later = log
        .iter()
        .map(|entry| &entry.transition)
        .filter(|row| row.revision.0 > sequence);
    later.into_iter().any(|row| row.change == Change::Moved)
}
