//! Graphviz.

use std::fmt::Write;

use waybill_domain::{Edge, Graph, Kind, State};

use super::{happy, words};

pub(super) fn render(graph: &Graph) -> String {
    let path = happy::path(graph);
    let mut text = String::new();
    let name = format!("{} version {}", graph.machine(), graph.version());
    let _ = writeln!(text, "digraph \"{name}\" {{");
    text.push_str("  rankdir=LR;\n  node [shape=box, style=rounded, fontname=monospace];\n  edge [fontname=monospace, fontsize=10];\n");
    text.push_str("  start [shape=point, width=0.15, label=\"\"];\n");
    for state in graph.states() {
        let group = if path.iter().any(|happy| happy.name == state.name) {
            ", group=happy"
        } else {
            ""
        };
        let _ = writeln!(
            text,
            "  {} [label=\"{}\"{}{group}];",
            state.name,
            label(graph, state),
            shape(state)
        );
    }
    let _ = writeln!(text, "  start -> {};", graph.initial().name);
    for state in graph.states() {
        for edge in state.edges.values() {
            let weight = if happy::connects(&path, state.name.as_str(), edge.to.as_str()) {
                ", weight=10"
            } else {
                ""
            };
            let _ = writeln!(
                text,
                "  {} -> {} [label=\"{}\"{weight}];",
                state.name,
                edge.to,
                caption(state, edge)
            );
        }
    }
    text.push_str("}\n");
    text
}

fn label(graph: &Graph, state: &State) -> String {
    let mut lines = vec![state.name.to_string(), words::kind(state)];
    lines.extend(state.requires.iter().map(|field| format!("requires {field}")));
    lines.extend(words::effects(graph, state));
    lines.join("\\n")
}

fn caption(state: &State, edge: &Edge) -> String {
    let when = words::deadline(state, edge)
        .map(|when| format!(" {when}"))
        .unwrap_or_default();
    let mut lines = vec![format!("{}{when}", edge.event), words::roles(edge)];
    lines.extend(words::conditions(edge));
    lines.join("\\n")
}

fn shape(state: &State) -> &'static str {
    match state.kind {
        Kind::Active => "",
        Kind::Attention => ", color=orange",
        Kind::Terminal => ", peripheries=2",
    }
}
