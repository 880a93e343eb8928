use std::path::Path;

use waybill_domain::{Graph, GraphVersion};

use super::*;
use crate::template::Template;

fn shipped() -> &'static Graph {
    Template::shipped()
        .graph("delivery-order", GraphVersion(1))
        .expect("version 1")
}

/// The generated file is what is rendered now; `WAYBILL_ACCEPT=1` rewrites it.
fn is_up_to_date(graph: &Graph, format: Format, ending: &str) {
    let file = format!("{}-v{}.{ending}", graph.machine(), graph.version());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/diagrams").join(&file);
    let rendered = render(graph, format);
    if std::env::var_os("WAYBILL_ACCEPT").is_some() {
        std::fs::write(&path, &rendered).expect("written");
    }

    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == rendered,
        "{file} is not what the graph gives: accept it with WAYBILL_ACCEPT=1"
    );
}

#[test]
fn the_diagrams_in_the_docs_are_generated_for_every_version_of_every_machine() {
    for graph in Template::every_machine().graphs() {
        is_up_to_date(graph, Format::Svg, "svg");
        is_up_to_date(graph, Format::Mermaid, "mmd");
    }
}

#[test]
fn tagged_states_are_the_happy_path() {
    let food = Template::every_machine()
        .graph("food-order", GraphVersion(1))
        .expect("version 1");

    let names: Vec<&str> = happy::path(food).iter().map(|state| state.name.as_str()).collect();

    let expected = "PLACED PAYMENT_CONFIRMED CONFIRMED PREPARING READY PICKED_UP DELIVERING DELIVERED";
    assert_eq!(names.join(" "), expected);
}

#[test]
fn guards_foreign_effects_and_what_ways_bring_are_drawn() {
    let food = Template::every_machine()
        .graph("food-order", GraphVersion(1))
        .expect("version 1");

    for format in Format::ALL {
        let text = render(food, format);
        for told in [
            "if confirms_by_itself is true",
            "sets cancel_reason NO_COURIER",
            "by ready_at or after 1 h",
            "at once",
        ] {
            assert!(text.contains(told), "{format} {told}");
        }
        let effects = [
            "on entry assign_courier at couriers",
            "on entry takes earlier effects back",
        ];
        assert!(
            format == Format::Mermaid || effects.iter().all(|told| text.contains(told)),
            "{format}"
        );
    }
}

#[test]
fn the_happy_path_leads_over_active_states_to_success() {
    let names: Vec<&str> = happy::path(shipped()).iter().map(|state| state.name.as_str()).collect();

    assert_eq!(names, ["CREATED", "PICKED_UP", "DELIVERED", "DELIVERY_CONFIRMED"]);
}

#[test]
fn every_format_tells_every_state_event_role_and_deadline() {
    for format in Format::ALL {
        let text = render(shipped(), format);
        for state in shipped().states() {
            assert!(text.contains(state.name.as_str()), "{format} {}", state.name);
            for edge in state.edges.values() {
                assert!(text.contains(edge.event.as_str()), "{format} {}", edge.event);
                assert!(text.contains(&words::roles(edge)), "{format} {}", edge.event);
            }
        }
        for deadline in ["48 h", "7 d", "14 d", "at once"] {
            assert!(text.contains(deadline), "{format} {deadline}");
        }
    }
}

#[test]
fn every_format_draws_each_edge_once() {
    let edges: usize = shipped().states().map(|state| state.edges.len()).sum();
    let lines = |format, arrow: &str| {
        render(shipped(), format)
            .lines()
            .filter(|line| line.contains(arrow))
            .count()
    };

    // One more for the start, and in two languages one for each end.
    assert_eq!(lines(Format::Dot, " -> "), edges + 1);
    assert_eq!(lines(Format::Mermaid, " --> "), edges + 1 + 3);
    assert_eq!(lines(Format::Plantuml, "-> "), edges + 1 + 3);
}

#[test]
fn diagrams_are_the_same_every_time() {
    for format in Format::ALL {
        assert_eq!(render(shipped(), format), render(shipped(), format));
    }
}

#[test]
fn formats_are_read_as_they_are_written() {
    for format in Format::ALL {
        assert_eq!(format.to_string().parse(), Ok(format));
        assert!(format.media_type().contains('/'));
    }
    let error = "png".parse::<Format>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "no format \"png\", expected svg, dot, mermaid or plantuml"
    );
}

#[test]
fn free_text_cannot_break_the_picture() {
    let mut document = shipped().document().clone();
    document.summary = "</text><script>\"&".to_owned();
    let graph = Graph::check(document).expect("a good graph");

    let picture = render(&graph, Format::Svg);

    assert!(picture.contains("&lt;/text&gt;&lt;script&gt;&quot;&amp;"));
    assert!(!picture.contains("<script>"));
}
