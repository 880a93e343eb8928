//! A graph as two tables for people: its states, its transitions.

use super::view::{GraphView, StateView};

pub(super) fn write(graph: &GraphView) -> String {
    let routing = match (graph.live, graph.weight) {
        (true, 0) => "live, not for new orders".to_owned(),
        (true, weight) => format!("live, for {weight} % of new orders"),
        (false, _) => "not live".to_owned(),
    };
    let mut text = format!("{} version {} ({routing})\n", graph.machine, graph.version);
    if !graph.summary.is_empty() {
        text += &format!("{}\n", graph.summary);
    }
    text += &format!("sha256 {}\n\n", graph.sha256);
    let head = ["RANK", "STATE", "KIND", "REQUIRES", "ON ENTRY", "DEADLINE"];
    text += &columns(std::iter::once(head.map(str::to_owned)).chain(graph.states.iter().map(state_row)));
    text.push('\n');
    let head = ["FROM", "EVENT", "TO", "ROLES", "ASKS"];
    text += &columns(std::iter::once(head.map(str::to_owned)).chain(graph.states.iter().flat_map(edge_rows)));
    text
}

fn state_row(state: &StateView) -> [String; 6] {
    let kind = match state.outcome {
        Some(outcome) => format!("{}: {outcome}", state.kind),
        None => state.kind.to_string(),
    };
    let deadline = state
        .deadline
        .as_ref()
        .map(|deadline| format!("{} after {}", deadline.event, deadline.after));
    [
        state.rank.to_string(),
        state.name.to_string(),
        kind,
        list(&state.requires),
        list(&state.on_enter),
        deadline.unwrap_or_else(|| "-".to_owned()),
    ]
}

fn edge_rows(state: &StateView) -> impl Iterator<Item = [String; 5]> {
    state.transitions.iter().map(|edge| {
        [
            state.name.to_string(),
            edge.event.to_string(),
            edge.to.to_string(),
            list(&edge.roles),
            list(&edge.asks),
        ]
    })
}

fn list(entries: &[impl ToString]) -> String {
    if entries.is_empty() {
        return "-".to_owned();
    }
    entries.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Rows with every column as wide as its widest cell.
pub(super) fn columns<const N: usize>(rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = rows.collect();
    let width = |place: usize| {
        rows.iter()
            .map(|row| row[place].chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}
