//! Rules about the whole: defined states, no cycle, nothing unreachable, no dead end; ranks and reachability.

use std::collections::{BTreeMap, BTreeSet};

use super::{DefectKind, Findings, GraphDocument, Kind, Path, StateDocument};
use crate::StateName;

/// The arrows between states that are defined.
pub(super) struct Shape<'a> {
    initial: &'a str,
    exits: BTreeMap<&'a str, Vec<(&'a str, &'a str)>>,
    /// What each state leads to, itself only by a cycle.
    reach: BTreeMap<&'a str, BTreeSet<&'a str>>,
    /// From where, and by which event, the shortest way comes to each state that can be reached.
    came: BTreeMap<&'a str, (&'a str, &'a str)>,
}

impl<'a> Shape<'a> {
    pub(super) fn of(document: &'a GraphDocument) -> Self {
        let defined = |to: &str| document.states.contains_key(to);
        let arrows = |state: &'a StateDocument| {
            let exits = state
                .transitions
                .iter()
                .filter(|(_, transition)| defined(&transition.to));
            exits
                .map(|(event, transition)| (event.as_str(), transition.to.as_str()))
                .collect()
        };
        let exits: BTreeMap<&str, Vec<_>> = document
            .states
            .iter()
            .map(|(name, state)| (name.as_str(), arrows(state)))
            .collect();
        let reach = exits.keys().map(|name| (*name, reach(&exits, name))).collect();
        Self {
            initial: &document.initial,
            came: shortest(&exits, &document.initial),
            exits,
            reach,
        }
    }

    /// All states, each before those that it leads to; only in an acyclic shape.
    pub(super) fn order(&self) -> Vec<&'a str> {
        // Who leads to more states comes first: in an acyclic shape that is a topological order.
        let mut order: Vec<&str> = self.exits.keys().copied().collect();
        order.sort_by_key(|name| std::cmp::Reverse(self.reach[name].len()));
        order
    }

    /// The shortest way to a state, as a counter-example; none where no way leads.
    pub(super) fn way(&self, to: &str) -> Option<String> {
        let mut text = String::new();
        let mut name = to;
        while let Some((from, event)) = self.came.get(name) {
            text = format!(" -{event}-> {name}{text}");
            name = from;
        }
        (name == self.initial).then(|| format!("{name}{text}"))
    }

    /// The same, and on by one more event.
    pub(super) fn way_on(&self, from: &str, event: &str, to: &str) -> Option<String> {
        Some(format!("{} -{event}-> {to}", self.way(from)?))
    }

    pub(super) fn check(&self, document: &GraphDocument, findings: &mut Findings) {
        for (name, state) in &document.states {
            for (event, transition) in &state.transitions {
                if !document.states.contains_key(&transition.to) {
                    let detail = format!("state {} is not defined", transition.to);
                    findings.add(
                        Path::transition(name, event).at("to"),
                        DefectKind::UnknownTarget,
                        detail,
                    );
                }
            }
            self.check_ends(name, state, findings);
        }
        for cycle in self.cycles() {
            let detail = format!("the graph must be acyclic: {}", cycle.way.join(" -> "));
            findings.add_on(
                self.way_on(cycle.from, cycle.event, cycle.way[0]),
                Path::transition(cycle.from, cycle.event).at("to"),
                DefectKind::Cycle,
                detail,
            );
        }
        let Some(reached) = self.reach.get(self.initial) else {
            let detail = format!("state {} is not defined", self.initial);
            findings.add(Path::root().at("initial"), DefectKind::UnknownInitial, detail);
            return;
        };
        for name in document
            .states
            .keys()
            .filter(|name| *name != self.initial && !reached.contains(name.as_str()))
        {
            let detail = format!("no way leads from {} to {name}", self.initial);
            findings.add(Path::state(name), DefectKind::Unreachable, detail);
        }
    }

    fn check_ends(&self, name: &str, state: &StateDocument, findings: &mut Findings) {
        let path = Path::state(name);
        let Some(kind) = Kind::parse(&state.kind) else { return };
        if kind == Kind::Terminal {
            check_end(name, state, findings);
            return;
        }
        if state.transitions.is_empty() {
            let detail = format!("{name} is not terminal and has no transitions: an order would stay for ever");
            findings.add_on(self.way(name), path.clone(), DefectKind::DeadEnd, detail);
        }
        if state.outcome.is_some() {
            let detail = format!("{name} is not terminal, expected no outcome");
            findings.add(path.at("outcome"), DefectKind::OutcomeBeforeEnd, detail);
        }
    }

    /// Whether a way leads from one state to another, or to itself by a cycle.
    pub(super) fn leads_to(&self, from: &str, to: &str) -> bool {
        self.reach.get(from).is_some_and(|reach| reach.contains(to))
    }

    /// What each state leads to.
    pub(super) fn ahead(&self) -> BTreeMap<StateName, BTreeSet<StateName>> {
        let own = |reach: &BTreeSet<&str>| reach.iter().copied().map(StateName::from).collect();
        self.reach
            .iter()
            .map(|(name, reach)| (StateName::from(*name), own(reach)))
            .collect()
    }

    /// Length of the longest way to each state; the shape must be acyclic.
    pub(super) fn ranks(&self) -> BTreeMap<&'a str, u32> {
        let mut ranks: BTreeMap<&str, u32> = self.exits.keys().map(|name| (*name, 0)).collect();
        for from in self.order() {
            let next = ranks[from] + 1;
            for (_, to) in &self.exits[from] {
                let rank = ranks.entry(to).or_default();
                *rank = (*rank).max(next);
            }
        }
        ranks
    }

    /// One cycle per arrow that leads back, found depth first.
    fn cycles(&self) -> Vec<Cycle<'a>> {
        let mut search = Search {
            exits: &self.exits,
            done: BTreeSet::new(),
            way: Vec::new(),
            cycles: Vec::new(),
        };
        for name in std::iter::once(self.initial).chain(self.exits.keys().copied()) {
            search.visit(name);
        }
        search.cycles
    }
}

fn check_end(name: &str, state: &StateDocument, findings: &mut Findings) {
    let path = Path::state(name);
    if state.outcome.is_none() {
        let detail = format!("terminal state {name} has no outcome, expected success, failure or cancelled");
        findings.add(path.clone(), DefectKind::TerminalWithoutOutcome, detail);
    }
    if !state.transitions.is_empty() {
        let detail = format!("{name} is terminal, expected no transitions");
        findings.add(path.at("transitions"), DefectKind::TerminalWithExits, detail);
    }
    for (key, is_there) in [
        ("deadline", state.deadline.is_some()),
        ("automatic", !state.automatic.is_empty()),
    ] {
        if is_there {
            let detail = format!("{name} is terminal, expected no {key}");
            findings.add(path.at(key), DefectKind::TerminalWithDeadline, detail);
        }
    }
}

/// Arrows by which the shortest ways come, breadth first.
fn shortest<'a>(
    exits: &BTreeMap<&'a str, Vec<(&'a str, &'a str)>>,
    initial: &'a str,
) -> BTreeMap<&'a str, (&'a str, &'a str)> {
    let mut came: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    let mut open = std::collections::VecDeque::from([initial]);
    while let Some(from) = open.pop_front() {
        for (event, to) in exits.get(from).into_iter().flatten() {
            if *to != initial && !came.contains_key(to) {
                came.insert(to, (from, event));
                open.push_back(to);
            }
        }
    }
    came
}

fn reach<'a>(exits: &BTreeMap<&'a str, Vec<(&'a str, &'a str)>>, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(name) = open.pop() {
        for (_, to) in &exits[name] {
            if reached.insert(*to) {
                open.push(to);
            }
        }
    }
    reached
}

/// A way back, with the arrow that closes it.
struct Cycle<'a> {
    from: &'a str,
    event: &'a str,
    way: Vec<&'a str>,
}

/// Depth first search; as deep as a graph has states, which is bounded.
struct Search<'s, 'a> {
    exits: &'s BTreeMap<&'a str, Vec<(&'a str, &'a str)>>,
    done: BTreeSet<&'a str>,
    way: Vec<&'a str>,
    cycles: Vec<Cycle<'a>>,
}

impl<'a> Search<'_, 'a> {
    fn visit(&mut self, name: &'a str) {
        let Some(exits) = self.exits.get(name).filter(|_| !self.done.contains(name)) else {
            return;
        };
        self.way.push(name);
        for (event, to) in exits {
            match self.way.iter().position(|earlier| earlier == to) {
                Some(place) => {
                    let way = self.way[place..].iter().copied().chain([*to]).collect();
                    self.cycles.push(Cycle { from: name, event, way });
                }
                None => self.visit(to),
            }
        }
        self.way.pop();
        self.done.insert(name);
    }
}
