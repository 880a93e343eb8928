//! The graph as it is written in the template: a wire shape, not yet checked.
//!
//! Words such as roles and kinds stay text here, so that a wrong one is a defect with a path, found together with all
//! others, and not the one error at which reading stops.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

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
    /// Where an order can be.
    pub states: BTreeMap<String, StateDocument>,
}

/// A field that events may bring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldDocument {
    /// `string`, `uuid` or `enum`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Characters that a string may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<i64>,
    /// Words of an enum.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// `event` (given by who reports; the default) or `engine` (filled by the engine, never asked of a caller).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// A state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateDocument {
    /// `active`, `attention` or `terminal`.
    pub kind: String,
    /// `success`, `failure` or `cancelled`, for terminal states.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Fields that an order must know when it enters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
    /// Effects of entering, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_enter: Vec<String>,
    /// What happens by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<DeadlineDocument>,
    /// Ways out, by event.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub transitions: BTreeMap<String, TransitionDocument>,
}

/// An event that happens by itself if nothing else does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeadlineDocument {
    /// ISO 8601 duration; `PT0S` is at once.
    pub after: String,
    /// Which event.
    pub event: String,
}

/// A way out of a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransitionDocument {
    /// Where it leads.
    pub to: String,
    /// Roles that may report the event; nothing is implied.
    pub actors: Vec<String>,
    /// Fields that this way asks for, beside those of the state it leads to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
}
