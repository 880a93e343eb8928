//! Effects as a graph defines them: which task follows, with what, and how it is taken back.

use std::collections::BTreeMap;

use super::{ArgumentDocument, EffectDocument};
use crate::{EffectName, EventName, FieldName, FieldValue};

/// The machine of delivery orders: most of what this program does itself is about their record.
pub const DELIVERY: &str = "delivery-order";

/// Effects that this program performs itself, each with the one that takes it back.
const OWN: [(&str, Option<&str>); 6] = [
    ("book_delivery_partner", Some("cancel_delivery_partner")),
    ("cancel_delivery_partner", None),
    ("notify_customer", None),
    ("notify_order_management", None),
    ("open_operator_case", None),
    ("request_customer_confirmation", None),
];

/// Effects that this program performs itself; all others are tasks of other services, by name and queue.
pub const KNOWN_EFFECTS: [&str; OWN.len()] = {
    let mut names = [""; OWN.len()];
    let mut place = 0;
    while place < OWN.len() {
        names[place] = OWN[place].0;
        place += 1;
    }
    names
};

/// Whether an effect of ours is about the record of a delivery order. Whatever becomes an operator's case is not.
pub(super) fn needs_record(name: &str) -> bool {
    name != "open_operator_case" && KNOWN_EFFECTS.contains(&name)
}

/// What a task may be told of its order.
pub(super) const PROPERTIES: [&str; 5] = ["id", "state", "machine", "version", "sequence"];

/// What a task is told under one keyword.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// Always the same.
    Value(FieldValue),
    /// What the order knows in this field.
    Field(FieldName),
    /// What the order is: its id, state, machine, version or sequence.
    Property(String),
}

/// An effect of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectDefinition {
    /// Its name in the graph.
    pub name: EffectName,
    /// The task and the queue of another service; none for an effect of our own.
    pub task: Option<(String, String)>,
    /// What the task is told.
    pub arguments: BTreeMap<String, Argument>,
    /// Whether the order cannot go on without it.
    pub critical: bool,
    /// What takes it back.
    pub inverse: Option<EffectName>,
    /// The event of its final failure.
    pub on_failure: Option<EventName>,
}

/// The inverse that a graph has for an effect: what it says itself, else what we know of our own.
pub(super) fn inverse<'a>(effects: &'a BTreeMap<String, EffectDocument>, name: &str) -> Option<&'a str> {
    let own = OWN
        .iter()
        .find(|(own, _)| *own == name)
        .and_then(|(_, inverse)| *inverse);
    effects.get(name).and_then(|effect| effect.inverse.as_deref()).or(own)
}

/// The definition of an effect; the document was checked.
pub(super) fn define(effects: &BTreeMap<String, EffectDocument>, name: &str) -> EffectDefinition {
    let document = effects.get(name).cloned().unwrap_or_default();
    EffectDefinition {
        name: name.into(),
        inverse: inverse(effects, name).map(EffectName::from),
        arguments: document
            .args
            .into_iter()
            .filter_map(|(key, given)| Some((key, argument(given)?)))
            .collect(),
        task: document.task.zip(document.queue),
        critical: document.critical,
        on_failure: document.on_failure.map(EventName::from),
    }
}

fn argument(document: ArgumentDocument) -> Option<Argument> {
    let value = document.value.map(Argument::Value);
    let field = document.field.map(|field| Argument::Field(field.into()));
    value.or(field).or(document.of.map(Argument::Property))
}
