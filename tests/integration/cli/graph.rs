//! `waybill graph`.

use std::process::Stdio;

use super::embedded;
use crate::support::{Place, repository};

#[test]
fn a_broken_template_is_refused_with_line_and_column() {
    let place = Place::new();
    std::fs::copy(
        repository("tests/fixtures/graphs/unknown-target.yaml"),
        place.path("broken.yaml"),
    )
    .unwrap();

    let ran = place.run(&["graph", "check", "broken.yaml"]);

    assert_eq!((ran.code, ran.err.as_str()), (1, ""), "{ran:?}");
    let place = ran
        .out
        .lines()
        .next()
        .unwrap()
        .strip_prefix("broken.yaml:")
        .unwrap()
        .to_owned();
    let mut numbers = place.split(':');
    for number in [numbers.next().unwrap(), numbers.next().unwrap()] {
        assert!(number.parse::<u32>().is_ok_and(|number| number > 1), "{place}");
    }
}

#[test]
fn a_process_does_not_start_on_a_broken_template() {
    let place = embedded().set("WAYBILL_GRAPH", "broken.yaml");
    std::fs::copy(
        repository("tests/fixtures/graphs/many-defects.yaml"),
        place.path("broken.yaml"),
    )
    .unwrap();

    let ran = place.run(&["all"]);
    let line = ran.refused(2);

    assert!(
        line.starts_with("broken.yaml:") && line.contains("`waybill graph check broken.yaml` lists all"),
        "{line}"
    );
}

#[test]
fn good_templates_are_good_and_missing_ones_are_usage() {
    let good = Place::new().run(&["graph", "check"]).good();

    assert!(good.contains("delivery-order version 1 is good"), "{good}");
    assert!(
        Place::new()
            .run(&["graph", "check", "none.yaml"])
            .refused(2)
            .starts_with("cannot read none.yaml: ")
    );
    assert!(
        Place::new()
            .run(&["graph", "show", "--version", "99"])
            .refused(2)
            .starts_with("no such graph")
    );
}

#[test]
fn graphs_are_shown_and_drawn() {
    let shown = Place::new().run(&["graph", "show", "--json"]).json();

    assert_eq!(shown[0]["machine"], "delivery-order", "{shown}");
    for (format, beginning) in [
        ("svg", "<svg"),
        ("dot", "digraph"),
        ("mermaid", "---"),
        ("plantuml", "@startuml"),
    ] {
        let drawn = Place::new().run(&["graph", "diagram", "--format", format]).good();
        assert!(
            drawn.contains("DELIVERY_CONFIRMED") && drawn.trim_start().starts_with(beginning),
            "{drawn}"
        );
    }
}

#[test]
fn a_reader_who_has_gone_is_no_error() {
    let mut child = Place::new()
        .command(&["graph", "show"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());

    let ended = child.wait_with_output().unwrap();

    assert_eq!(
        (ended.status.code(), String::from_utf8(ended.stderr).unwrap()),
        (Some(0), String::new())
    );
}
