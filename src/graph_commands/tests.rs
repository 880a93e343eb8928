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
    let start = "cloudformation/delivery-graph.yaml: delivery-order version 1 is good: 8 states, 22 transitions, 42 ways of \
                 at most 4 steps, no bound on its time, sha256 ";
    assert!(text.starts_with(start), "{text}");
    assert!(
        text.contains(
            "food-order version 1 is good: 9 states, 24 transitions, 27 ways of at most 7 steps, at most 350 min"
        ),
        "{text}"
    );
    assert_eq!(text.lines().count(), 3);
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

fn the_two(painting: Painting) -> (Verdict, String) {
    let template = Template::read(&fixture("two-versions-that-differ.yaml")).unwrap();
    run(|out| diff(&template, None, (GraphVersion(1), GraphVersion(2)), painting, out)).unwrap()
}

#[test]
fn a_difference_says_what_changed_and_who_may_move() {
    let (verdict, text) = the_two(Painting::Text);

    // Somebody stays pinned, and a script can see it.
    assert_eq!(verdict, Verdict::Bad);
    insta::assert_snapshot!(text);
}

#[test]
fn a_difference_is_told_to_programs() {
    let (_, text) = the_two(Painting::Json);

    let difference: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&difference["from"], &difference["to"]), (&1.into(), &2.into()));
    let picked_up = &difference["states"][1];
    assert_eq!(
        (&picked_up["state"], &picked_up["may_move"]),
        (&"PICKED_UP".into(), &false.into())
    );
    assert_eq!(picked_up["because"][0], "DELIVERED was removed");
}

#[test]
fn a_difference_is_one_picture() {
    let (_, svg) = the_two(Painting::Drawn(Format::Svg));
    let (_, mermaid) = the_two(Painting::Drawn(Format::Mermaid));
    let template = Template::read(&fixture("two-versions-that-differ.yaml")).unwrap();
    let two = (GraphVersion(1), GraphVersion(2));
    let refusal = run(|out| diff(&template, None, two, Painting::Drawn(Format::Dot), out)).unwrap_err();

    assert!(svg.contains("delivery-order version 2, since version 1"));
    for told in [
        "+ SET_OUT",
        "~ RESOLVED",
        "- DELIVERED to DONE",
        "orders here stay on the older version",
    ] {
        assert!(svg.contains(told), "{told}");
    }
    assert!(
        svg.contains(r##"fill="none" stroke="#2e8b57" stroke-width="3""##),
        "the new state has a frame"
    );
    assert!(
        mermaid.contains("style UNDER_WAY stroke:#2e8b57") && mermaid.contains("note right of PICKED_UP : - DELIVERED")
    );
    assert_eq!(refusal.to_string(), "a difference is drawn as svg or mermaid");
}

/// No machine has two published versions yet: the example is that of a fixture.
#[test]
fn the_picture_of_a_difference_in_the_docs_is_generated() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/diagrams/difference-example.svg");
    let (_, svg) = the_two(Painting::Drawn(Format::Svg));
    if std::env::var_os("WAYBILL_ACCEPT").is_some() {
        std::fs::write(&path, &svg).unwrap();
    }

    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == svg,
        "difference-example.svg is not what `graph diff` draws: accept it with WAYBILL_ACCEPT=1"
    );
}

#[test]
fn nothing_changes_from_a_version_to_itself() {
    let one = (GraphVersion(1), GraphVersion(1));

    let (verdict, text) = run(|out| diff(Template::every_machine(), Some("order"), one, Painting::Text, out)).unwrap();
    let unclear = run(|out| diff(Template::every_machine(), None, one, Painting::Text, out)).unwrap_err();

    assert_eq!(verdict, Verdict::Good);
    assert!(
        text.starts_with("order version 1 -> version 1\n\nThey say the same.\n"),
        "{text}"
    );
    assert!(matches!(unclear, GraphCommandError::Ambiguous(_)));
}

#[test]
fn an_edited_version_is_refused_by_check_and_never_locked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("template.yaml");
    let good = std::fs::read_to_string(fixture("good.yaml")).unwrap();
    std::fs::write(&file, &good).unwrap();
    let locked = run(|out| lock(&file, out)).unwrap();
    let again = run(|out| lock(&file, out)).unwrap();
    let checked = run(|out| check(Some(&file), out)).unwrap();

    std::fs::write(&file, good.replace("PT48H", "PT47H")).unwrap();
    let edited = run(|out| check(Some(&file), out)).unwrap();
    let relocked = run(|out| lock(&file, out)).unwrap();

    assert!(
        locked.0 == Verdict::Good && locked.1.contains("graph.lock: delivery-order 1 "),
        "{locked:?}"
    );
    assert_eq!((again, checked.0), ((Verdict::Good, String::new()), Verdict::Good));
    assert_eq!((edited.0, relocked.0), (Verdict::Bad, Verdict::Bad));
    assert!(
        edited
            .1
            .contains(":4:3: version-changed: delivery-order version 1 was published with sha256 "),
        "{edited:?}"
    );
}
