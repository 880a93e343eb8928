//! What diagrams say in words: roles, deadlines, what a state is.

use chrono::TimeDelta;
use waybill_domain::{Edge, FieldName, Graph, State};

/// The roles of an edge.
pub(super) fn roles(edge: &Edge) -> String {
    edge.actors
        .iter()
        .map(|role| role.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

/// When the edge takes itself, if it does: `after 48 h`, `at once`, `at ready_at or after 60 min`.
pub(super) fn deadline(state: &State, edge: &Edge) -> Option<String> {
    if state.automatic.contains(&edge.event) {
        return Some("at once".to_owned());
    }
    let deadline = state
        .deadline
        .as_ref()
        .filter(|deadline| deadline.event == edge.event)?;
    let after = format!("after {}", duration(deadline.after));
    Some(match &deadline.from {
        _ if deadline.is_immediate() => "at once".to_owned(),
        Some(field) => format!("by {field} or {after}"),
        None => after,
    })
}

/// What the edge asks of the order's data, and what it brings itself.
pub(super) fn conditions(edge: &Edge) -> Vec<String> {
    let guards = edge.when.iter().map(|condition| format!("if {condition}"));
    let brings = edge.sets.iter().map(|(field, value)| format!("sets {field} {value}"));
    guards.chain(brings).collect()
}

/// What follows from entering a state, in order.
pub(super) fn effects(graph: &Graph, state: &State) -> Vec<String> {
    let back = state
        .compensates
        .then(|| "on entry takes earlier effects back".to_owned());
    let named = state.on_enter.iter().map(|name| {
        let queue = graph.effects().get(name).and_then(|effect| effect.task.as_ref());
        match queue {
            Some((_, queue)) => format!("on entry {name} at {queue}"),
            None => format!("on entry {name}"),
        }
    });
    back.into_iter().chain(named).collect()
}

/// Fields that the edge asks for beyond what its target requires anyway.
pub(super) fn own_fields<'g>(graph: &Graph, edge: &'g Edge) -> Vec<&'g FieldName> {
    let target = graph.state(edge.to.as_str());
    edge.requires
        .iter()
        .filter(|field| target.is_none_or(|target| !target.requires.contains(field)))
        .filter(|field| !edge.sets.contains_key(*field))
        .collect()
}

/// What a state is: `active`, `terminal: success`.
pub(super) fn kind(state: &State) -> String {
    match state.outcome {
        Some(outcome) => format!("{}: {outcome}", state.kind),
        None => state.kind.to_string(),
    }
}

/// In the largest unit that leaves no rest; days from the third on.
pub(crate) fn duration(delta: TimeDelta) -> String {
    let seconds = delta.num_seconds();
    match seconds {
        s if s >= 3 * 86_400 && s % 86_400 == 0 => format!("{} d", s / 86_400),
        s if s >= 3_600 && s % 3_600 == 0 => format!("{} h", s / 3_600),
        s if s >= 60 && s % 60 == 0 => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_in_the_largest_unit_without_rest() {
        let told = [0, 90, 120, 5_400, 3_600, 172_800, 259_200, 604_800].map(|s| duration(TimeDelta::seconds(s)));

        assert_eq!(told, ["0 s", "90 s", "2 min", "90 min", "1 h", "48 h", "3 d", "7 d"]);
    }
}
