//! The graph: states, and the events that lead from one to another. A `Graph` was checked; it cannot be wrong.

mod check;
mod compare;
mod condition;
mod defect;
mod disposition;
mod document;
mod duration;
mod effect;
mod field;
mod kind;
mod vocabulary;
mod ways;

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use crate::{EffectName, EventName, FieldName, Fields, GraphVersion, MachineName, Refusal, Role, StateName};

pub use check::SCHEMA;
pub use compare::{Comparison, Difference, Passage};
pub use condition::Condition;
pub use defect::{Defect, DefectKind, Path};
pub use disposition::Disposition;
pub use document::{
    ArgumentDocument, ConditionDocument, DeadlineDocument, DispositionDocument, EffectDocument, FieldDocument,
    GraphDocument, StateDocument, TransitionDocument,
};
pub use effect::{Argument, DELIVERY, EffectDefinition, KNOWN_EFFECTS};
pub use field::{Field, FieldSource, FieldType};
pub use kind::{Kind, Outcome, Tag};
pub use vocabulary::{Vocabulary, known_words};
pub use ways::{MOST_WAYS, Stop, Way};

/// An event that happens by itself if an order stays in its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadline {
    /// After how long; zero is at once, in the same decision.
    pub after: TimeDelta,
    /// A field that it counts from instead, where the order knows it.
    pub from: Option<FieldName>,
    /// Which event.
    pub event: EventName,
}

impl Deadline {
    /// Whether it is due on arrival.
    pub fn is_immediate(&self) -> bool {
        self.after.is_zero() && self.from.is_none()
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
    /// All other fields that it takes; any field of the graph if none.
    pub optional: Option<BTreeSet<FieldName>>,
    /// What must hold, all of it.
    pub when: Vec<Condition>,
    /// What it brings itself, where neither the order nor the event does.
    pub sets: Fields,
    /// The field that names the new order which takes over, if one does.
    pub successor: Option<FieldName>,
    asks: Vec<FieldName>,
}

impl Edge {
    /// Whether an event that takes it may bring that field.
    pub fn takes(&self, field: &FieldName) -> bool {
        let named = || self.requires.contains(field) || self.sets.contains_key(field);
        self.optional
            .as_ref()
            .is_none_or(|optional| optional.contains(field) || named())
    }

    /// The required fields that a caller brings: all but those that the engine fills or the way itself brings.
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
    /// What else is said of it.
    pub tags: BTreeSet<Tag>,
    /// What an order must know to be here.
    pub requires: Vec<FieldName>,
    /// Effects of entering, in order.
    pub on_enter: Vec<EffectName>,
    /// Whether entering takes back what effects so far have done.
    pub compensates: bool,
    /// Events that happen on entry: the first whose guard holds.
    pub automatic: Vec<EventName>,
    /// What happens by itself.
    pub deadline: Option<Deadline>,
    /// Ways out.
    pub edges: BTreeMap<EventName, Edge>,
    /// What events mean that do not lead out, where that does not follow from the ranks.
    pub otherwise: BTreeMap<EventName, Disposition>,
}

impl State {
    /// Whether an order's life ends here.
    pub fn is_terminal(&self) -> bool {
        self.kind == Kind::Terminal
    }

    /// Whether no order ever waits here: it hands on at once, whatever the order knows.
    pub fn is_passed(&self) -> bool {
        let always = |event| self.edges.get(event).is_some_and(|edge| edge.when.is_empty());
        self.deadline.as_ref().is_some_and(Deadline::is_immediate) || self.automatic.iter().any(always)
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
    effects: BTreeMap<EffectName, EffectDefinition>,
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

    /// The effects that its states ask for, and their inverses.
    pub fn effects(&self) -> &BTreeMap<EffectName, EffectDefinition> {
        &self.effects
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

    /// Whether an instance may be born knowing this: fields of the graph, of their types, none that the engine fills. An initial state
    /// requires nothing.
    pub fn accept_birth(&self, fields: &Fields) -> Result<(), Refusal> {
        self.accept_reported(fields)?;
        for (name, value) in fields {
            let unknown = || Refusal::UnknownField { field: name.clone() };
            let field = self.fields.get(name).ok_or_else(unknown)?;
            if !field.accepts(value) {
                return Err(Refusal::BadField {
                    field: name.clone(),
                    expected: field.expected(),
                });
            }
        }
        Ok(())
    }

    /// The document that was checked.
    pub fn document(&self) -> &GraphDocument {
        &self.document
    }
}
