//! Mermaid.

use std::fmt::Write;

use waybill_domain::{Graph, Kind, Outcome, State};

use super::marks::{Mark, Marks};
use super::words;

pub(super) fn render(graph: &Graph) -> String {
    render_marked(graph, &Marks::default())
}

/// With what is new, changed and gone since another version.
pub(super) fn render_marked(graph: &Graph, marks: &Marks) -> String {
    let mut text = String::new();
    let since = marks
        .since
        .as_ref()
        .map(|since| format!(", {since}"))
        .unwrap_or_default();
    let _ = writeln!(
        text,
        "---\ntitle: {} version {}{since}\n---",
        graph.machine(),
        graph.version()
    );
    text.push_str("stateDiagram-v2\n  direction LR\n");
    for (class, style) in [
        ("active", "fill:#e8f1fb,stroke:#2f6fb0"),
        ("attention", "fill:#fdf1dc,stroke:#b9770e"),
        ("success", "fill:#e4f5e9,stroke:#2e8b57"),
        ("failure", "fill:#fbe6e4,stroke:#b03a2e"),
        ("cancelled", "fill:#eeeeee,stroke:#666666"),
    ] {
        let _ = writeln!(text, "  classDef {class} {style}");
    }
    let _ = writeln!(text, "  [*] --> {}", graph.initial().name);
    for state in graph.states() {
        for edge in state.edges.values() {
            let when: String = words::deadline(state, edge)
                .into_iter()
                .chain(words::conditions(edge))
                .map(|when| format!(", {when}"))
                .collect();
            let _ = writeln!(
                text,
                "  {} --> {} : {}{} ({}{when})",
                state.name,
                edge.to,
                marks.sign(&state.name, edge),
                edge.event,
                words::roles(edge)
            );
        }
        if state.is_terminal() {
            let _ = writeln!(text, "  {} --> [*]", state.name);
        }
    }
    for state in graph.states() {
        let _ = writeln!(text, "  class {} {}", state.name, class(state));
    }
    write_marks(&mut text, graph, marks);
    text
}

/// What is new or changed has a thick border; what is gone is told in notes.
fn write_marks(text: &mut String, graph: &Graph, marks: &Marks) {
    for state in graph.states() {
        let style = match marks.of_state(&state.name) {
            None => continue,
            Some(Mark::Added) => "stroke:#2e8b57,stroke-width:4px",
            Some(Mark::Changed) => "stroke:#b9770e,stroke-width:4px,stroke-dasharray:6 4",
        };
        let _ = writeln!(text, "  style {} {style}", state.name);
        for note in marks.notes(&state.name) {
            let _ = writeln!(text, "  note right of {} : {note}", state.name);
        }
    }
    for state in &marks.gone_states {
        let _ = writeln!(text, "  %% gone: {state}");
    }
}

fn class(state: &State) -> &'static str {
    match (state.kind, state.outcome) {
        (Kind::Attention, _) => "attention",
        (_, Some(Outcome::Success)) => "success",
        (_, Some(Outcome::Failure)) => "failure",
        (_, Some(Outcome::Cancelled)) => "cancelled",
        (Kind::Active | Kind::Terminal, None) => "active",
    }
}
