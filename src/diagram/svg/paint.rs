//! Writes the picture as SVG text.

use std::fmt::Write;

use waybill_domain::{Graph, Kind, Outcome, State};

use super::card::{Card, PADDING};
use super::layout::Layout;
use super::route::{Bundle, Point};
use crate::diagram::marks::{Mark, Marks};

const STYLE: &str = "
    text { font-family: 'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace; fill: #1b1f24; }
    .machine { font-size: 18px; font-weight: bold; }
    .name { font-size: 14px; font-weight: bold; }
    .event { font-size: 11px; font-weight: bold; }
    .small { font-size: 11px; fill: #57606a; }
    .line { fill: none; stroke-width: 1.6; stroke-linejoin: round; }
    .rule { stroke: #d0d7de; }
";

/// Border and filling of a card, and the colour of lines to it.
struct Colours {
    border: &'static str,
    fill: &'static str,
}

const LEGEND: [(&str, Colours); 5] = [
    (
        "active",
        Colours {
            border: "#2f6fb0",
            fill: "#e8f1fb",
        },
    ),
    (
        "attention",
        Colours {
            border: "#b9770e",
            fill: "#fdf1dc",
        },
    ),
    (
        "terminal: success",
        Colours {
            border: "#2e8b57",
            fill: "#e4f5e9",
        },
    ),
    (
        "terminal: failure",
        Colours {
            border: "#b03a2e",
            fill: "#fbe6e4",
        },
    ),
    (
        "terminal: cancelled",
        Colours {
            border: "#666666",
            fill: "#eeeeee",
        },
    ),
];

fn colours(state: &State) -> &'static Colours {
    let place = match (state.kind, state.outcome) {
        (Kind::Attention, _) => 1,
        (_, Some(Outcome::Success)) => 2,
        (_, Some(Outcome::Failure)) => 3,
        (_, Some(Outcome::Cancelled)) => 4,
        (Kind::Active | Kind::Terminal, None) => 0,
    };
    &LEGEND[place].1
}

pub(super) fn paint(graph: &Graph, layout: &Layout<'_>, marks: &Marks) -> String {
    let mut svg = String::new();
    let (width, height) = (layout.width, layout.height);
    let since = marks.since.as_ref().map(|since| format!(", {since}"));
    let title = format!(
        "{} version {}{}",
        graph.machine(),
        graph.version(),
        since.unwrap_or_default()
    );
    let _ = writeln!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">"#
    );
    let _ = writeln!(svg, "<title>{}</title>\n<style>{STYLE}</style>", escape(&title));
    let _ = writeln!(svg, r##"<rect width="{width}" height="{height}" fill="#ffffff"/>"##);
    let _ = writeln!(svg, r#"<text class="machine" x="24" y="42">{}</text>"#, escape(&title));
    let _ = writeln!(
        svg,
        r#"<text class="small" x="24" y="62">{}</text>"#,
        escape(&summary(graph, marks))
    );
    for bundle in &layout.bundles {
        paint_bundle(&mut svg, bundle, colours(layout.cards[bundle.to].state).border);
    }
    if let Some(first) = layout.cards.first() {
        paint_start(&mut svg, first);
    }
    for card in &layout.cards {
        paint_card(&mut svg, card);
        paint_mark(&mut svg, card, marks.of_state(&card.state.name));
    }
    paint_legend(&mut svg, layout.legend);
    svg.push_str("</svg>\n");
    svg
}

/// What the version is about; in a comparison, what the older one had beside.
fn summary(graph: &Graph, marks: &Marks) -> String {
    if marks.gone_states.is_empty() {
        return graph.document().summary.clone();
    }
    let gone: Vec<String> = marks.gone_states.iter().map(|state| format!("- {state}")).collect();
    format!("Gone: {}", gone.join(", "))
}

/// A frame around a card that is new or changed.
fn paint_mark(svg: &mut String, card: &Card<'_>, mark: Option<Mark>) {
    let (colour, dash) = match mark {
        None => return,
        Some(Mark::Added) => ("#2e8b57", "none"),
        Some(Mark::Changed) => ("#b9770e", "6 4"),
    };
    let (x, y) = (card.x - 4, card.y - 4);
    let (width, height) = (card.width + 8, card.height + 8);
    let _ = writeln!(
        svg,
        r#"<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="10" fill="none" stroke="{colour}" stroke-width="3" stroke-dasharray="{dash}"/>"#
    );
}

fn paint_bundle(svg: &mut String, bundle: &Bundle, colour: &str) {
    for line in &bundle.lines {
        let points: Vec<String> = line.iter().map(|(x, y)| format!("{x},{y}")).collect();
        let _ = writeln!(
            svg,
            r#"<polyline class="line" stroke="{colour}" points="{}"/>"#,
            points.join(" ")
        );
    }
    for (x, y) in &bundle.joints {
        let _ = writeln!(svg, r#"<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>"#);
    }
    paint_head(svg, bundle.arrow, colour);
}

/// The head of an arrow that comes from the first point and ends in the second, along an axis.
fn paint_head(svg: &mut String, (from, (x, y)): (Point, Point), colour: &str) {
    let (dx, dy) = ((x - from.0).signum(), (y - from.1).signum());
    let (back, side) = ((x - 9 * dx, y - 9 * dy), (4 * dy, 4 * dx));
    let _ = writeln!(
        svg,
        r#"<polygon fill="{colour}" points="{x},{y} {},{} {},{}"/>"#,
        back.0 + side.0,
        back.1 + side.1,
        back.0 - side.0,
        back.1 - side.1
    );
}

fn paint_start(svg: &mut String, first: &Card<'_>) {
    let level = first
        .exits
        .first()
        .map_or(first.y + first.height / 2, |exit| first.y + exit.offset);
    let from = (first.x - 36, level);
    let _ = writeln!(svg, r##"<circle cx="{}" cy="{level}" r="7" fill="#1b1f24"/>"##, from.0);
    let points = format!("{},{level} {},{level}", from.0, first.x);
    let _ = writeln!(svg, r##"<polyline class="line" stroke="#1b1f24" points="{points}"/>"##);
    paint_head(svg, (from, (first.x, level)), "#1b1f24");
}

fn paint_card(svg: &mut String, card: &Card<'_>) {
    let Card {
        x, y, width, height, ..
    } = *card;
    let Colours { border, fill } = colours(card.state);
    let _ = writeln!(
        svg,
        r#"<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="{fill}" stroke="{border}" stroke-width="1.6"/>"#
    );
    if card.state.is_terminal() {
        // The second border marks an end.
        let (x, y, width, height) = (x + 4, y + 4, width - 8, height - 8);
        let _ = writeln!(
            svg,
            r#"<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="5" fill="none" stroke="{border}"/>"#
        );
    }
    let left = x + PADDING;
    let name = &card.state.name;
    let _ = writeln!(
        svg,
        r#"<text class="name" x="{left}" y="{}">{name}</text>"#,
        card.title_baseline()
    );
    for (place, line) in card.lines.iter().enumerate() {
        let baseline = card.line_baseline(place);
        let _ = writeln!(
            svg,
            r#"<text class="small" x="{left}" y="{baseline}">{}</text>"#,
            escape(line)
        );
    }
    for exit in &card.exits {
        let rule = card.exit_baseline(exit, 0) - 14;
        let _ = writeln!(
            svg,
            r#"<line class="rule" x1="{left}" y1="{rule}" x2="{}" y2="{rule}"/>"#,
            x + width - PADDING
        );
        for (place, line) in exit.lines.iter().enumerate() {
            let class = if place == 0 { "event" } else { "small" };
            let baseline = card.exit_baseline(exit, place);
            let _ = writeln!(
                svg,
                r#"<text class="{class}" x="{left}" y="{baseline}">{}</text>"#,
                escape(line)
            );
        }
    }
}

fn paint_legend(svg: &mut String, y: i32) {
    let mut x = 24;
    for (name, Colours { border, fill }) in &LEGEND {
        let _ = writeln!(
            svg,
            r#"<rect x="{x}" y="{y}" width="16" height="12" rx="3" fill="{fill}" stroke="{border}"/>"#
        );
        let _ = writeln!(
            svg,
            r#"<text class="small" x="{}" y="{}">{name}</text>"#,
            x + 24,
            y + 10
        );
        x += 176;
    }
}

/// Text as XML takes it.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
