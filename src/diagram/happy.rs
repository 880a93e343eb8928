//! The happy path: what is tagged so, else the longest way over active states to a success.

use std::collections::BTreeMap;

use waybill_domain::{Graph, Kind, Outcome, State, Tag};

/// The states of the happy path from the initial one; that one alone where no such way leads to a success.
pub(super) fn path(graph: &Graph) -> Vec<&State> {
    // A checked graph tags one way, and states come by rank.
    let tagged: Vec<&State> = graph
        .states()
        .filter(|state| state.tags.contains(&Tag::Happy))
        .collect();
    if !tagged.is_empty() {
        return tagged;
    }
    // From the end backwards: ranks rise on every edge, so what a state leads to is known before the state is asked.
    let mut ways: BTreeMap<&str, Vec<&State>> = BTreeMap::new();
    let mut states: Vec<&State> = graph.states().collect();
    states.reverse();
    for state in states {
        if state.outcome == Some(Outcome::Success) {
            ways.insert(state.name.as_str(), vec![state]);
        }
        if state.kind != Kind::Active {
            continue;
        }
        let mut onward: Vec<&Vec<&State>> = state
            .edges
            .values()
            .filter_map(|edge| ways.get(edge.to.as_str()))
            .collect();
        // The longest; of several the one whose next state comes first by name.
        onward.sort_by_key(|way| (std::cmp::Reverse(way.len()), way[0].name.clone()));
        if let Some(way) = onward.first() {
            let way = std::iter::once(state).chain(way.iter().copied()).collect();
            ways.insert(state.name.as_str(), way);
        }
    }
    ways.remove(graph.initial().name.as_str())
        .unwrap_or_else(|| vec![graph.initial()])
}

/// Whether an edge of the happy path leads from one state to the other.
pub(super) fn connects(path: &[&State], from: &str, to: &str) -> bool {
    path.windows(2).any(|pair| pair[0].name == *from && pair[1].name == *to)
}
