use std::path::Path;
use std::sync::Arc;

use waybill_domain::{Graph, GraphVersion};

use super::layout::Layout;
use crate::template::Template;

fn shipped() -> &'static Graph {
    Template::shipped()
        .graph("delivery-order", GraphVersion(1))
        .expect("version 1")
}

fn two_versions() -> Template {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/graphs/two-versions.yaml");
    Template::read(&path).expect("a good template")
}

#[test]
fn cards_do_not_overlap_and_no_line_crosses_one() {
    let other = two_versions();
    for graph in [shipped()].into_iter().chain(other.graphs().map(Arc::as_ref)) {
        let layout = Layout::of(graph);
        let boxes: Vec<[i32; 4]> = layout
            .cards
            .iter()
            .map(|card| [card.x, card.y, card.right(), card.bottom()])
            .collect();
        for (place, a) in boxes.iter().enumerate() {
            assert!(a[0] >= 0 && a[1] >= 0 && a[2] <= layout.width && a[3] <= layout.height);
            for b in &boxes[place + 1..] {
                assert!(a[2] < b[0] || b[2] < a[0] || a[3] < b[1] || b[3] < a[1], "{a:?} {b:?}");
            }
        }
        let lines = layout.bundles.iter().flat_map(|bundle| &bundle.lines);
        for segment in lines.flat_map(|line| line.windows(2)) {
            let [(x1, y1), (x2, y2)] = segment else {
                unreachable!("windows of two")
            };
            assert!(x1 == x2 || y1 == y2, "{segment:?} is not along an axis");
            for [left, top, right, bottom] in &boxes {
                let beside = x1.max(x2) <= left || x1.min(x2) >= right;
                let beyond = y1.max(y2) <= top || y1.min(y2) >= bottom;
                assert!(beside || beyond, "{segment:?} crosses a card of {}", graph.version());
            }
        }
    }
}

#[test]
fn lines_to_different_states_never_run_on_top_of_each_other() {
    let layout = Layout::of(shipped());
    let segments: Vec<(usize, [(i32, i32); 2])> = layout
        .bundles
        .iter()
        .flat_map(|bundle| {
            bundle
                .lines
                .iter()
                .flat_map(|line| line.windows(2).map(|pair| (bundle.to, [pair[0], pair[1]])))
        })
        .collect();
    let overlaps = |a: (i32, i32), b: (i32, i32)| a.0.max(a.1).min(b.0.max(b.1)) > a.0.min(a.1).max(b.0.min(b.1));

    for (place, (to, [a1, a2])) in segments.iter().enumerate() {
        for (other, [b1, b2]) in &segments[place + 1..] {
            let along_y = a1.0 == a2.0 && b1.0 == b2.0 && a1.0 == b1.0 && overlaps((a1.1, a2.1), (b1.1, b2.1));
            let along_x = a1.1 == a2.1 && b1.1 == b2.1 && a1.1 == b1.1 && overlaps((a1.0, a2.0), (b1.0, b2.0));
            assert!(to == other || !(along_x || along_y), "{a1:?} {a2:?} and {b1:?} {b2:?}");
        }
    }
}
