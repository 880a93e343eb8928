//! PlantUML.

use std::fmt::Write;

use waybill_domain::{Graph, Kind, State};

use super::{happy, words};

pub(super) fn render(graph: &Graph) -> String {
    let path = happy::path(graph);
    let mut text = String::new();
    let _ = writeln!(text, "@startuml\ntitle {} version {}", graph.machine(), graph.version());
    text.push_str("hide empty description\nleft to right direction\n");
    for state in graph.states() {
        let _ = writeln!(text, "state {}{}", state.name, colour(state));
        for field in &state.requires {
            let _ = writeln!(text, "{} : requires {field}", state.name);
        }
        for effect in words::effects(graph, state) {
            let _ = writeln!(text, "{} : {effect}", state.name);
        }
    }
    let _ = writeln!(text, "[*] --> {}", graph.initial().name);
    for state in graph.states() {
        for edge in state.edges.values() {
            let when = words::deadline(state, edge)
                .map(|when| format!(" {when}"))
                .unwrap_or_default();
            let is_happy = happy::connects(&path, state.name.as_str(), edge.to.as_str());
            let arrow = if is_happy { "-[bold]->" } else { "-->" };
            let mut lines = vec![words::roles(edge)];
            lines.extend(words::conditions(edge));
            let lines = lines.join("\\n");
            let _ = writeln!(
                text,
                "{} {arrow} {} : {}{when}\\n{lines}",
                state.name, edge.to, edge.event
            );
        }
        if state.is_terminal() {
            let _ = writeln!(text, "{} --> [*]", state.name);
        }
    }
    text.push_str("@enduml\n");
    text
}

fn colour(state: &State) -> &'static str {
    match state.kind {
        Kind::Active => "",
        Kind::Attention => " #fdf1dc",
        Kind::Terminal => " ##[bold]",
    }
}
