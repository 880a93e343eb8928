//! Marks of a comparison: what of a newer version is new or changed, and what an older one had beside.

use std::collections::BTreeMap;

use waybill_domain::{Comparison, Difference, Edge, EventName, Graph, StateName};

/// What became of a thing that the newer version has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// It is new.
    Added,
    /// It says something else.
    Changed,
}

impl Mark {
    /// The sign before a line.
    pub(super) fn sign(self) -> &'static str {
        match self {
            Self::Added => "+ ",
            Self::Changed => "~ ",
        }
    }
}

/// What is marked in a picture; nothing, unless two versions are compared.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// The older version, as the picture names it.
    pub(super) since: Option<String>,
    states: BTreeMap<StateName, Mark>,
    edges: BTreeMap<(StateName, EventName), Mark>,
    /// Ways out that a state of the newer version had.
    gone: BTreeMap<StateName, Vec<(EventName, StateName)>>,
    /// States that the older version had.
    pub(super) gone_states: Vec<StateName>,
    /// States whose orders stay on the older version.
    pinned: BTreeMap<StateName, String>,
}

impl Marks {
    pub(super) fn of(older: &Graph, newer: &Graph, comparison: &Comparison) -> Self {
        let mut marks = Self {
            since: Some(format!("since version {}", older.version())),
            ..Self::default()
        };
        for difference in &comparison.differences {
            marks.take(older, newer, difference);
        }
        for passage in comparison.passages.iter().filter(|passage| !passage.is_open()) {
            marks.pinned.insert(passage.state.clone(), passage.blockers.join("; "));
        }
        marks
    }

    fn take(&mut self, older: &Graph, newer: &Graph, difference: &Difference) {
        let (place, mark) = match difference {
            Difference::Added { place, .. } => (place, Some(Mark::Added)),
            Difference::Changed { place, .. } => (place, Some(Mark::Changed)),
            Difference::Removed { place, .. } => (place, None),
        };
        let parts: Vec<&str> = place.split('.').collect();
        match (parts.as_slice(), mark) {
            (["states", state], Some(mark)) => {
                self.states.insert((*state).into(), mark);
            }
            (["states", state], None) => self.gone_states.push((*state).into()),
            (["states", state, "transitions", event], Some(mark)) => {
                self.edges.insert(((*state).into(), (*event).into()), mark);
                self.touch(newer, state);
            }
            (["states", state, "transitions", event], None) => {
                if let Some(edge) = older.edge(state, event) {
                    let gone = self.gone.entry((*state).into()).or_default();
                    gone.push((edge.event.clone(), edge.to.clone()));
                }
                self.touch(newer, state);
            }
            (["states", state, ..], _) => self.touch(newer, state),
            _ => {}
        }
    }

    /// Something about a state changed.
    fn touch(&mut self, newer: &Graph, state: &str) {
        if newer.state(state).is_some() {
            self.states.entry(state.into()).or_insert(Mark::Changed);
        }
    }

    pub(super) fn of_state(&self, state: &StateName) -> Option<Mark> {
        self.states.get(state).copied()
    }

    /// The sign before a way out; none where nothing is marked.
    pub(super) fn sign(&self, state: &StateName, edge: &Edge) -> &'static str {
        let mark = self.edges.get(&(state.clone(), edge.event.clone()));
        mark.map_or("", |mark| mark.sign())
    }

    /// What else is told of a state: ways out that it had, and why its orders stay where they are.
    pub(super) fn notes(&self, state: &StateName) -> Vec<String> {
        let gone = self.gone.get(state).into_iter().flatten();
        let gone = gone.map(|(event, to)| format!("- {event} to {to}"));
        let pinned = self
            .pinned
            .get(state)
            .map(|_| "orders here stay on the older version".to_owned());
        gone.chain(pinned).collect()
    }
}
