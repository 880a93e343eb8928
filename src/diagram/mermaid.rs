//! Mermaid.

use std::fmt::Write;

use waybill_domain::{Graph, Kind, Outcome, State};

use super::words;

pub(super) fn render(graph: &Graph) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "---\ntitle: {} version {}\n---", graph.machine(), graph.version());
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
                "  {} --> {} : {} ({}{when})",
                state.name,
                edge.to,
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
    text
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
