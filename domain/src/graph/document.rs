//! The graph as it is written in the template: a wire shape, not yet checked.
//!
//! Words such as roles and kinds stay text here, so that a wrong one is a defect with a path, found together with all
//! others, and not the one error at which reading stops.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::FieldValue;

/// One version of a machine's graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraphDocument {
    /// Version of the template's language.
    pub schema: i64,
    /// Which machine.
    pub machine: String,
    /// Which version of it, counted from 1.
    pub version: i64,
    /// What this version is about, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// The state that orders are born in.
    pub initial: String,
    /// What events may bring.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, FieldDocument>,
    /// Effects that other services perform, and what this machine says of our own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub effects: BTreeMap<String, EffectDocument>,
    /// Where an order can be.
    pub states: BTreeMap<String, StateDocument>,
}

/// A field that events may bring.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldDocument {
    /// `string`, `uuid`, `enum`, `integer`, `flag`, `instant` or `duration`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Characters that a string may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<i64>,
    /// Words of an enum.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// Smallest integer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<i64>,
    /// Largest integer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<i64>,
    /// `event` (given by who reports; the default) or `engine` (filled by the engine, never asked of a caller).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// An effect: a Celery task that follows when an order enters a state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EffectDocument {
    /// The task's name at another service; left out for effects of our own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The queue of that service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// What the task is told, by keyword.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, ArgumentDocument>,
    /// Whether the order cannot go on without it: then its final failure is an event.
    #[serde(default, skip_serializing_if = "is_false")]
    pub critical: bool,
    /// The effect that takes it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inverse: Option<String>,
    /// The event of its final failure, reported by `system`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<String>,
}

/// What a task is told: exactly one of these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArgumentDocument {
    /// Always the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<FieldValue>,
    /// What the order knows in this field then; left out where it knows nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What the order is: `id`, `state`, `machine`, `version` or `sequence`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
}

/// A state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateDocument {
    /// `active`, `attention` or `terminal`.
    pub kind: String,
    /// `success`, `failure` or `cancelled`, for terminal states.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// `happy`, `cancellable`, `modifiable`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Fields that an order must know when it enters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
    /// Effects of entering, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_enter: Vec<String>,
    /// Whether entering takes back, newest first, every effect so far that has an inverse.
    #[serde(default, skip_serializing_if = "is_false")]
    pub compensates: bool,
    /// Events that happen at once on entry: the first whose guard holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub automatic: Vec<String>,
    /// What happens by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<DeadlineDocument>,
    /// Ways out, by event.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub transitions: BTreeMap<String, TransitionDocument>,
    /// What events mean that do not lead out of here, where the rank's answer is not the right one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub otherwise: BTreeMap<String, DispositionDocument>,
}

/// What an event means in a state that it does not lead out of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DispositionDocument {
    /// `note`, `duplicate`, `stale`, `park`, `conflict` or `operator`.
    pub is: String,
    /// How long it is parked: an ISO 8601 duration.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub patience: Option<String>,
}

/// An event that happens by itself if nothing else does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeadlineDocument {
    /// ISO 8601 duration; `PT0S` is at once.
    pub after: String,
    /// An instant or a duration that the order may know; where it does not, `after` counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Which event.
    pub event: String,
}

/// A way out of a state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransitionDocument {
    /// Where it leads.
    pub to: String,
    /// Roles that may report the event; nothing is implied.
    pub actors: Vec<String>,
    /// Fields that this way asks for, beside those of the state it leads to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
    /// All other fields that it takes; any field of the graph where this is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<Vec<String>>,
    /// What must hold, all of it; the order's data and the event's are looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<ConditionDocument>,
    /// Fields that the way itself brings, where neither the order nor the event does.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sets: BTreeMap<String, FieldValue>,
    /// The engine's field that names the new order which takes over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<String>,
}

/// A condition: a field with exactly one test, or a state that the order has or has not been in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConditionDocument {
    /// Which field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// It is known or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<bool>,
    /// It is this value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is: Option<FieldValue>,
    /// It is known and another value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_not: Option<FieldValue>,
    /// It is one of these values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub any_of: Vec<FieldValue>,
    /// It is this integer or a larger one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<i64>,
    /// It is this integer or a smaller one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<i64>,
    /// The order has been in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub been_in: Option<String>,
    /// The order has not been in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_been_in: Option<String>,
}

fn is_false(flag: &bool) -> bool {
    !flag
}
