//! Two versions of a graph side by side: what changed, and in which states live orders may move over.

mod facts;

use std::fmt;

use super::{Edge, Graph, State};
use crate::{StateMapping, StateName};

/// Something that two versions say differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// Only the newer one says it.
    Added {
        /// Where.
        place: String,
        /// What.
        is: String,
    },
    /// Only the older one says it.
    Removed {
        /// Where.
        place: String,
        /// What it was.
        was: String,
    },
    /// Each says something else.
    Changed {
        /// Where.
        place: String,
        /// What the older one says.
        was: String,
        /// What the newer one says.
        is: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added { place, is } => write!(f, "+ {place}: {is}"),
            Self::Removed { place, was } => write!(f, "- {place}: {was}"),
            Self::Changed { place, was, is } => write!(f, "~ {place}: {was} -> {is}"),
        }
    }
}

/// A state of the older version, and whether the orders in it may move over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// The state.
    pub state: StateName,
    /// Why they may not; empty if they may.
    pub blockers: Vec<String>,
    /// What changes for them if they do.
    pub changes: Vec<String>,
}

impl Passage {
    /// Whether orders in this state may move over.
    pub fn is_open(&self) -> bool {
        self.blockers.is_empty()
    }
}

/// An older and a newer version of one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// What changed, by place.
    pub differences: Vec<Difference>,
    /// Every state of the older version in which orders live, by rank.
    pub passages: Vec<Passage>,
}

impl Graph {
    /// Compares this version with a newer one of the same machine.
    pub fn compare(&self, newer: &Self) -> Comparison {
        let mut passages = self.passages(newer, &StateMapping::default());
        for passage in &mut passages {
            if let (Some(state), Some(target)) =
                (self.state(passage.state.as_str()), newer.state(passage.state.as_str()))
            {
                check_required(state, target, passage);
                check_behind(self, newer, state, passage);
                check_fields(self, newer, passage);
            }
        }
        Comparison {
            differences: differences(self, newer),
            passages,
        }
    }

    /// What holds for every order in a state, whatever it knows and wherever it has been.
    pub(crate) fn passages(&self, newer: &Self, mapping: &StateMapping) -> Vec<Passage> {
        let live = self.states().filter(|state| !state.is_terminal() && !state.is_passed());
        live.map(|state| passage(self, newer, state, mapping)).collect()
    }
}

fn differences(older: &Graph, newer: &Graph) -> Vec<Difference> {
    let (old, new) = (facts::of(older.document()), facts::of(newer.document()));
    let mut places: Vec<&String> = old.keys().chain(new.keys()).collect();
    places.sort_unstable();
    places.dedup();
    // What is said of a whole thing is not said again of each of its parts.
    let is_part = |place: &str, whole: &str| place.strip_prefix(whole).is_some_and(|rest| rest.starts_with('.'));
    let (mut found, mut whole): (Vec<Difference>, Option<&str>) = (Vec::new(), None);
    for place in places {
        if whole.is_some_and(|whole| is_part(place, whole)) {
            continue;
        }
        whole = None;
        let difference = match (old.get(place), new.get(place)) {
            (Some(was), Some(is)) if was == is => continue,
            (Some(was), Some(is)) => Difference::Changed {
                place: place.clone(),
                was: was.clone(),
                is: is.clone(),
            },
            (Some(was), None) => Difference::Removed {
                place: place.clone(),
                was: was.clone(),
            },
            (None, is) => Difference::Added {
                place: place.clone(),
                is: is.cloned().unwrap_or_default(),
            },
        };
        if !matches!(difference, Difference::Changed { .. }) {
            whole = Some(place);
        }
        found.push(difference);
    }
    found
}

/// Orders may move if whoever knows the older version finds nothing missing: each event still leads to the same state, for
/// the same roles, with no more asked; and the order is nowhere where it could not have come.
///
/// Where somebody has said what becomes of a state, what its events mean from then on is theirs to decide: it is told as a change.
fn passage(older: &Graph, newer: &Graph, state: &State, mapping: &StateMapping) -> Passage {
    let mut passage = Passage {
        state: state.name.clone(),
        blockers: Vec::new(),
        changes: Vec::new(),
    };
    let Some(target) = newer.state(mapping.of(&state.name).as_str()) else {
        passage.blockers.push(format!("{} was removed", state.name));
        return passage;
    };
    check_state(older, state, target, &mut passage);
    let before = passage.blockers.len();
    for edge in state.edges.values() {
        match target.edges.get(&edge.event) {
            None => passage.blockers.push(format!("{} was removed", edge.event)),
            Some(other) => check_edge(edge, other, mapping, &mut passage),
        }
    }
    if mapping.names(&state.name) {
        let decided = passage.blockers.split_off(before);
        passage.changes.extend(decided);
    }
    for edge in target
        .edges
        .values()
        .filter(|edge| !state.edges.contains_key(&edge.event))
    {
        passage
            .changes
            .push(format!("{} is new, and leads to {}", edge.event, edge.to));
    }
    passage
}

fn check_state(older: &Graph, state: &State, target: &State, passage: &mut Passage) {
    if state.kind != target.kind {
        passage
            .blockers
            .push(format!("{} was {} and is {}", state.name, state.kind, target.kind));
    }
    if target.is_passed() {
        passage
            .blockers
            .push(format!("{} is left at once now, no order waits in it", state.name));
    }
    if state.deadline != target.deadline {
        let tell = |deadline: &Option<super::Deadline>| match deadline {
            Some(deadline) => format!("{} after {}", deadline.event, facts::span(deadline.after)),
            None => "none".to_owned(),
        };
        let (was, is) = (tell(&state.deadline), tell(&target.deadline));
        passage.changes.push(format!("the deadline was {was} and is {is}"));
    }
    // A state is entered once: whoever moves over entered it by the older version.
    let follows = target.on_enter.iter().filter(|effect| !state.on_enter.contains(effect));
    let happens = target.automatic.iter().filter(|event| !state.automatic.contains(event));
    for new in follows.map(ToString::to_string).chain(happens.map(ToString::to_string)) {
        passage.changes.push(format!(
            "{new} follows on entry now, and not for those who are there already"
        ));
    }
    for effect in state.on_enter.iter().filter(|effect| !target.on_enter.contains(effect)) {
        let defined = older.effects().get(effect);
        if let Some(event) = defined.and_then(|effect| effect.on_failure.as_ref())
            && !target.edges.contains_key(event)
        {
            passage.blockers.push(format!(
                "{effect} may be under way, and its failure {event} leads nowhere now"
            ));
        }
    }
}

fn check_required(state: &State, target: &State, passage: &mut Passage) {
    for field in target.requires.iter().filter(|field| !state.requires.contains(field)) {
        passage.blockers.push(format!("{} requires {field} now", state.name));
    }
}

fn check_edge(edge: &Edge, other: &Edge, mapping: &StateMapping, passage: &mut Passage) {
    let event = &edge.event;
    if *mapping.of(&edge.to) != other.to {
        passage
            .blockers
            .push(format!("{event} led to {} and leads to {}", edge.to, other.to));
    }
    for role in edge.actors.difference(&other.actors) {
        passage
            .blockers
            .push(format!("{event} may no longer be reported by {role}"));
    }
    for role in other.actors.difference(&edge.actors) {
        passage.changes.push(format!("{event} may be reported by {role} too"));
    }
    for field in other.asks().iter().filter(|field| !edge.asks().contains(field)) {
        passage.blockers.push(format!("{event} asks for {field} now"));
    }
    for condition in other.when.iter().filter(|condition| !edge.when.contains(condition)) {
        passage.blockers.push(format!("{event} asks now that {condition}"));
    }
    if let Some(optional) = &other.optional
        && edge.optional.as_ref().is_none_or(|before| !before.is_subset(optional))
    {
        passage.blockers.push(format!("{event} takes fewer fields now"));
    }
}

/// A state behind an order must be behind it in the newer version too, else its log contradicts its graph.
fn check_behind(older: &Graph, newer: &Graph, state: &State, passage: &mut Passage) {
    for before in older
        .states()
        .filter(|before| older.leads_to(before.name.as_str(), state.name.as_str()))
    {
        if newer.state(before.name.as_str()).is_none() {
            passage
                .blockers
                .push(format!("an order may have been in {}, which was removed", before.name));
        } else if newer.leads_to(state.name.as_str(), before.name.as_str()) {
            passage.blockers.push(format!(
                "an order may have been in {}, which lies ahead now",
                before.name
            ));
        }
    }
}

fn check_fields(older: &Graph, newer: &Graph, passage: &mut Passage) {
    for (name, field) in older.fields() {
        match newer.fields().get(name) {
            None => passage
                .blockers
                .push(format!("an order may know {name}, which was removed")),
            Some(other) if !field.is_within(other) => {
                passage
                    .blockers
                    .push(format!("an order may know a value of {name} that is no longer good"));
            }
            Some(_) => {}
        }
    }
}
