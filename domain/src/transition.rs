//! Transitions: accepted events, each one row of an order's log.

use std::collections::BTreeMap;

use crate::{Actor, EffectName, EventName, FieldValue, Fields, OrderId, Revision, StateName, Timestamp};

/// What a log row did to its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The order came into being; sequence 1.
    Born,
    /// The order entered another state, of higher rank.
    Moved,
    /// Something was recorded, the state stayed.
    Noted,
    /// The order was moved to another version of its graph.
    Migrated,
}

impl Change {
    /// The kind as the log writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Born => "born",
            Self::Moved => "moved",
            Self::Noted => "noted",
            Self::Migrated => "migrated",
        }
    }

    /// The kind of that name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Born, Self::Moved, Self::Noted, Self::Migrated]
            .into_iter()
            .find(|change| change.as_str() == text)
    }
}

/// An event that will happen by itself unless the order moves on before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArmedDeadline {
    /// What happens then.
    pub event: EventName,
    /// When.
    pub at: Timestamp,
}

/// A task that must follow a transition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedEffect {
    /// The effect's name in the graph.
    pub name: EffectName,
    /// The task and the queue of another service; none for an effect of our own.
    pub task: Option<(String, String)>,
    /// What the task is told beside ids, by keyword.
    pub arguments: BTreeMap<String, FieldValue>,
}

/// One row of an order's log: decided, not yet written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// Whose log.
    pub order_id: OrderId,
    /// The sequence of this row, and the order's revision after it.
    pub revision: Revision,
    /// What it does to the order.
    pub change: Change,
    /// The event behind it.
    pub event: EventName,
    /// Key of that event; a transition that followed by itself (a zero deadline) has a derived one.
    pub key: String,
    /// Who reported it.
    pub actor: Actor,
    /// State before; none for the birth.
    pub from: Option<StateName>,
    /// State after; the same as before where nothing moved.
    pub to: StateName,
    /// Rank of `to` in the order's graph version.
    pub rank: u32,
    /// What the event brought.
    pub fields: Fields,
    /// Concluded, not reported.
    pub inferred: bool,
    /// When it happened, by the reporter.
    pub occurred_at: Timestamp,
    /// When it was decided, by the database's clock.
    pub at: Timestamp,
    /// What must follow, in order; empty where nothing moved.
    pub effects: Vec<RequestedEffect>,
    /// The deadline of `to`, if it has one that is not immediate. That of a migration is the order's own where the new version
    /// has the same.
    pub deadline: Option<ArmedDeadline>,
}
