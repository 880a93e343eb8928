use std::path::PathBuf;

use serde_json::Value;

use super::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/graphs")
        .join(name)
}

/// What a command writes, and its verdict.
fn run(
    command: impl FnOnce(&mut dyn Write) -> Result<Verdict, GraphCommandError>,
) -> Result<(Verdict, String), GraphCommandError> {
    let mut out = Vec::new();
    let verdict = command(&mut out)?;
    Ok((verdict, String::from_utf8(out).expect("text")))
}

fn of(machine: &str, version: u32) -> Selection {
    Selection {
        machine: Some(machine.to_owned()),
        version: Some(GraphVersion(version)),
    }
}

#[test]
fn the_compiled_in_template_is_good() {
    let (verdict, text) = run(|out| check(None, out)).unwrap();

    assert_eq!(verdict, Verdict::Good);
    let start =
        "cloudformation/delivery-graph.yaml: delivery-order version 1 is good: 8 states, 22 transitions, sha256 ";
    assert!(text.starts_with(start), "{text}");
}

#[test]
fn a_bad_template_is_a_bad_verdict_with_every_defect_in_a_line() {
    let file = fixture("many-defects.yaml");

    let (verdict, text) = run(|out| check(Some(&file), out)).unwrap();

    assert_eq!(verdict, Verdict::Bad);
    assert_eq!(text.lines().count(), 9);
    assert!(
        text.lines()
            .all(|line| line.starts_with(&format!("{}:", file.display()))),
        "{text}"
    );
}

#[test]
fn every_version_of_a_file_is_named() {
    let file = fixture("two-versions.yaml");

    let (verdict, text) = run(|out| check(Some(&file), out)).unwrap();

    assert_eq!((verdict, text.lines().count()), (Verdict::Good, 2));
}

#[test]
fn a_file_that_is_not_there_is_an_error_not_a_verdict() {
    let error = run(|out| check(Some(Path::new("/nowhere.yaml")), out)).unwrap_err();

    assert!(matches!(
        error,
        GraphCommandError::Template(TemplateError::Unreadable { .. })
    ));
}

#[test]
fn the_graph_is_shown_in_two_tables() {
    let (_, text) = run(|out| show(Template::shipped(), &Selection::default(), Style::Text, out)).unwrap();

    let text: Vec<&str> = text.lines().filter(|line| !line.starts_with("sha256 ")).collect();
    insta::assert_snapshot!(text.join("\n"));
}

#[test]
fn the_graph_is_shown_to_programs() {
    let (_, text) = run(|out| show(Template::shipped(), &of("delivery-order", 1), Style::Json, out)).unwrap();

    let graphs: Value = serde_json::from_str(&text).unwrap();
    let graph = &graphs[0];
    assert_eq!(
        (&graph["machine"], &graph["version"], &graph["weight"]),
        (&"delivery-order".into(), &1.into(), &100.into())
    );
    let failed = graph["states"]
        .as_array()
        .unwrap()
        .iter()
        .find(|state| state["name"] == "DELIVERY_FAILED")
        .unwrap();
    assert_eq!(
        failed["deadline"],
        serde_json::json!({"after": "PT0S", "event": "ESCALATED"})
    );
    assert_eq!(
        failed["transitions"][0]["roles"],
        serde_json::json!(["operator", "system"])
    );
}

#[test]
fn shares_and_retired_versions_are_told() {
    let template = Template::read(&fixture("two-versions.yaml")).unwrap();

    let (_, text) = run(|out| show(&template, &Selection::default(), Style::Text, out)).unwrap();

    assert!(text.contains("delivery-order version 1 (live, for 90 % of new orders)"));
    assert!(text.contains("delivery-order version 2 (live, for 10 % of new orders)"));
}

#[test]
fn the_newest_version_is_drawn_unless_another_is_asked_for() {
    let template = Template::read(&fixture("two-versions.yaml")).unwrap();
    let draw = |selection: Selection| {
        run(|out| diagram(&template, &selection, Format::Mermaid, out))
            .unwrap()
            .1
    };

    assert!(draw(Selection::default()).contains("title: delivery-order version 2"));
    assert!(draw(of("delivery-order", 1)).contains("title: delivery-order version 1"));
}

#[test]
fn a_graph_that_is_not_there_is_refused_with_those_that_are() {
    let error = run(|out| diagram(Template::shipped(), &of("food-order", 1), Format::Svg, out)).unwrap_err();
    let other = run(|out| show(Template::shipped(), &of("delivery-order", 7), Style::Text, out)).unwrap_err();

    assert_eq!(
        error.to_string(),
        "no such graph, this template has delivery-order version 1"
    );
    assert_eq!(other.to_string(), error.to_string());
}

#[test]
fn several_machines_are_not_drawn_in_one() {
    let template = Template::read(&fixture("two-machines.yaml")).unwrap();

    let error = run(|out| diagram(&template, &Selection::default(), Format::Dot, out)).unwrap_err();

    let expected = "which machine? this template has delivery-order version 1, food-order version 1";
    assert_eq!(error.to_string(), expected);
}
