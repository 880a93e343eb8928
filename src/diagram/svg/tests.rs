use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};
use waybill_domain::{Graph, GraphDocument, GraphVersion};

use super::layout::Layout;
use super::route::Point;
use crate::diagram::marks::Marks;
use crate::template::Template;

/// Random graphs, forwards only: whatever the states, the picture must be readable.
fn any_graph() -> impl Strategy<Value = Graph> {
    let states = prop::collection::vec(
        (0..2_usize, prop::collection::vec((0..12_usize, 0..4_usize), 0..5)),
        2..12,
    );
    states.prop_map(|states| Graph::check(document(&states)).unwrap_or_else(|defects| panic!("{defects:#?}")))
}

/// Each state leads to the next one, and to some further on.
fn document(states: &[(usize, Vec<(usize, usize)>)]) -> GraphDocument {
    let last = states.len() - 1;
    let state = |place: usize, attention: usize, ways: &[(usize, usize)]| {
        let way = |to: usize| json!({"to": format!("S{to}"), "actors": ["operator"]});
        let further = ways
            .iter()
            .map(|(skip, event)| (format!("E{event}"), way((place + 1 + skip).min(last))));
        let ways: BTreeMap<String, Value> = further.chain([("NEXT".to_owned(), way(place + 1))]).collect();
        if place == last {
            return json!({"kind": "terminal", "outcome": "success"});
        }
        let kind = ["active", "attention"][attention];
        json!({"kind": kind, "transitions": ways})
    };
    let states: BTreeMap<String, Value> = states
        .iter()
        .enumerate()
        .map(|(place, (attention, ways))| (format!("S{place}"), state(place, *attention, ways)))
        .collect();
    let document = json!({"schema": 1, "machine": "random", "version": 1, "initial": "S0", "states": states});
    serde_json::from_value(document).expect("a document")
}

fn shipped_and_more() -> Vec<Graph> {
    let shipped = Template::shipped()
        .graph("delivery-order", GraphVersion(1))
        .expect("version 1");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/graphs/two-versions.yaml");
    let other = Template::read(&path).expect("a good template");
    std::iter::once(shipped)
        .chain(other.graphs())
        .map(|graph| Graph::clone(graph))
        .collect()
}

#[test]
fn the_shipped_graphs_picture_is_readable() {
    for graph in shipped_and_more() {
        is_readable(&graph);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_graphs_picture_is_readable(graph in any_graph()) {
        is_readable(&graph);
    }
}

fn is_readable(graph: &Graph) {
    let layout = Layout::of(graph, &Marks::default());
    cards_stand_apart(&layout);
    no_line_crosses_a_card(&layout);
    no_line_runs_on_top_of_another(&layout);
    arrows_end_at_their_cards(&layout);
}

fn cards_stand_apart(layout: &Layout<'_>) {
    for (place, a) in layout.cards.iter().enumerate() {
        assert!(a.x >= 0 && a.y >= 0 && a.right() <= layout.width && a.bottom() <= layout.legend);
        for b in &layout.cards[place + 1..] {
            let apart = a.right() < b.x || b.right() < a.x || a.bottom() < b.y || b.bottom() < a.y;
            assert!(apart, "{} and {}", a.state.name, b.state.name);
        }
    }
}

/// Every straight piece of a line, with the card that the line leads to.
fn segments(layout: &Layout<'_>) -> Vec<(usize, Point, Point)> {
    let lines = layout
        .bundles
        .iter()
        .flat_map(|bundle| bundle.lines.iter().map(|line| (bundle.to, line)));
    lines
        .flat_map(|(to, line)| line.windows(2).map(move |pair| (to, pair[0], pair[1])))
        .collect()
}

fn no_line_crosses_a_card(layout: &Layout<'_>) {
    for (_, (x1, y1), (x2, y2)) in segments(layout) {
        assert!(x1 == x2 || y1 == y2, "from {x1},{y1} to {x2},{y2} is not along an axis");
        assert!(x1.max(x2) <= layout.width && y1.max(y2) <= layout.legend && y1.min(y2) > 62);
        for card in &layout.cards {
            let beside = x1.max(x2) <= card.x || x1.min(x2) >= card.right();
            let beyond = y1.max(y2) <= card.y || y1.min(y2) >= card.bottom();
            assert!(
                beside || beyond,
                "from {x1},{y1} to {x2},{y2} crosses {}",
                card.state.name
            );
        }
    }
}

fn no_line_runs_on_top_of_another(layout: &Layout<'_>) {
    let overlap = |a: (i32, i32), b: (i32, i32)| a.0.max(a.1).min(b.0.max(b.1)) > a.0.min(a.1).max(b.0.min(b.1));
    let segments = segments(layout);
    for (place, (to, a1, a2)) in segments.iter().enumerate() {
        for (other, b1, b2) in segments[place + 1..].iter().filter(|(other, ..)| other != to) {
            let upright = a1.0 == a2.0 && b1.0 == b2.0 && a1.0 == b1.0 && overlap((a1.1, a2.1), (b1.1, b2.1));
            let level = a1.1 == a2.1 && b1.1 == b2.1 && a1.1 == b1.1 && overlap((a1.0, a2.0), (b1.0, b2.0));
            assert!(!upright && !level, "to {to}: {a1:?} {a2:?}, to {other}: {b1:?} {b2:?}");
        }
    }
}

fn arrows_end_at_their_cards(layout: &Layout<'_>) {
    for bundle in &layout.bundles {
        let (card, (x, y)) = (&layout.cards[bundle.to], bundle.arrow.1);
        let on_side = x == card.x && (card.y..=card.bottom()).contains(&y);
        let on_edge = (y == card.y || y == card.bottom()) && (card.x..=card.right()).contains(&x);
        assert!(on_side || on_edge, "{:?} misses {}", bundle.arrow, card.state.name);
    }
}
