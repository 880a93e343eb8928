//! The graph: states, and the events that lead from one to another. A `Graph` was checked; it cannot be wrong.

mod check;
mod defect;
mod document;
mod duration;
mod field;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::{EffectName, EventName, FieldName, Fields, GraphVersion, MachineName, Refusal, Role, StateName};

pub use check::{KNOWN_EFFECTS, SCHEMA};
pub use defect::{Defect, DefectKind, Path};
pub use document::{DeadlineDocument, FieldDocument, GraphDocument, StateDocument, TransitionDocument};
pub use field::{Field, FieldSource, FieldType};

/// What a state means for the people around an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// On the way; nobody needs to step in.
    Active,
    /// Off the way; somebody must step in.
    Attention,
    /// The end.
    Terminal,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Active, Self::Attention, Self::Terminal];

    /// The kind as the graph writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Attention => "attention",
            Self::Terminal => "terminal",
        }
    }

    /// The kind of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How an order ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The customer has it.
    Success,
    /// This order brought nothing.
    Failure,
    /// Called off.
    Cancelled,
}

impl Outcome {
    /// All outcomes.
    pub const ALL: [Self; 3] = [Self::Success, Self::Failure, Self::Cancelled];

    /// The outcome as the graph writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
        }
    }

    /// The outcome of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == text)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An event that happens by itself if an order stays in its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadline {
    /// After how long; zero is at once, in the same decision.
    pub after: TimeDelta,
    /// Which event.
    pub event: EventName,
}

impl Deadline {
    /// Whether it is due on arrival.
    pub fn is_immediate(&self) -> bool {
        self.after.is_zero()
    }
}

/// A way from one state to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// The event that takes it.
    pub event: EventName,
    /// Where it leads.
    pub to: StateName,
    /// Who may report the event.
    pub actors: BTreeSet<Role>,
    /// What the order must know then: own fields and those of the target, the engine's included.
    pub requires: Vec<FieldName>,
    asks: Vec<FieldName>,
}

impl Edge {
    /// The required fields that a caller brings: all but those the engine fills.
    pub fn asks(&self) -> &[FieldName] {
        &self.asks
    }
}

/// A state of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Its name.
    pub name: StateName,
    /// What it means.
    pub kind: Kind,
    /// How an order ended that ends here; terminal states have one, others none.
    pub outcome: Option<Outcome>,
    /// Length of the longest way from the initial state: it rises on every edge.
    pub rank: u32,
    /// What an order must know to be here.
    pub requires: Vec<FieldName>,
    /// Effects of entering, in order.
    pub on_enter: Vec<EffectName>,
    /// What happens by itself.
    pub deadline: Option<Deadline>,
    /// Ways out.
    pub edges: BTreeMap<EventName, Edge>,
}

impl State {
    /// Whether an order's life ends here.
    pub fn is_terminal(&self) -> bool {
        self.kind == Kind::Terminal
    }
}

/// One checked version of a machine's graph. Acyclic; every state is reachable and leads to an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    machine: MachineName,
    version: GraphVersion,
    initial: usize,
    /// By rank, then by name.
    states: Vec<State>,
    places: BTreeMap<StateName, usize>,
    fields: BTreeMap<FieldName, Field>,
    ahead: BTreeMap<StateName, BTreeSet<StateName>>,
    document: GraphDocument,
}

impl Graph {
    /// Checks a document: the graph, or everything that is wrong with it.
    pub fn check(document: GraphDocument) -> Result<Self, Vec<Defect>> {
        check::check(document)
    }

    /// The machine that this is a version of.
    pub fn machine(&self) -> &MachineName {
        &self.machine
    }

    /// Which version.
    pub fn version(&self) -> GraphVersion {
        self.version
    }

    /// The state that orders are born in.
    pub fn initial(&self) -> &State {
        &self.states[self.initial]
    }

    /// The state of that name.
    pub fn state(&self, name: &str) -> Option<&State> {
        self.places.get(name).map(|place| &self.states[*place])
    }

    /// All states, by rank and then by name.
    pub fn states(&self) -> impl Iterator<Item = &State> {
        self.states.iter()
    }

    /// The edge that `event` takes in the state `from`.
    pub fn edge(&self, from: &str, event: &str) -> Option<&Edge> {
        self.state(from)?.edges.get(event)
    }

    /// Every edge that `event` takes, with the state it starts in, by that state's rank.
    pub fn edges(&self, event: &str) -> impl Iterator<Item = (&State, &Edge)> {
        self.states
            .iter()
            .filter_map(move |state| Some((state, state.edges.get(event)?)))
    }

    /// What events may bring.
    pub fn fields(&self) -> &BTreeMap<FieldName, Field> {
        &self.fields
    }

    /// Whether some way leads from the state `from` to another state `to`.
    pub fn leads_to(&self, from: &str, to: &str) -> bool {
        self.ahead.get(from).is_some_and(|ahead| ahead.contains(to))
    }

    /// Refuses fields that only the engine fills; for what callers send, before the engine adds its own.
    pub fn accept_reported(&self, fields: &Fields) -> Result<(), Refusal> {
        let own = |name: &&FieldName| {
            self.fields
                .get(*name)
                .is_some_and(|field| field.source == FieldSource::Engine)
        };
        match fields.keys().find(own) {
            Some(field) => Err(Refusal::BadField {
                field: field.clone(),
                expected: "left out, it is filled by the engine".to_owned(),
            }),
            None => Ok(()),
        }
    }

    /// The document that was checked.
    pub fn document(&self) -> &GraphDocument {
        &self.document
    }
}
