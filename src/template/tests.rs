use std::fmt::Write;
use std::path::PathBuf;

use proptest::prelude::*;
use uuid::Uuid;
use waybill_domain::{GraphDocument, Kind, Role};

use super::*;

mod large;
mod locked;
mod refused;
mod rules_page;

const MACHINE: &str = "delivery-order";

fn at_home(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn fixture(name: &str) -> String {
    std::fs::read_to_string(at_home("tests/fixtures/graphs").join(name)).expect("a fixture")
}

fn faults(text: &str) -> Vec<String> {
    match Template::parse(text, "template.yaml") {
        Err(TemplateError::Faulty { faults, .. }) => faults.iter().map(ToString::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_shipped_template_is_good() {
    let template = Template::parse(SHIPPED, SHIPPED_NAME).unwrap_or_else(|error| panic!("{error}"));

    let versions: Vec<(&str, u32)> = template
        .graphs()
        .map(|graph| (graph.machine().as_str(), graph.version().0))
        .collect();
    assert_eq!(versions, [(MACHINE, 1)]);
    assert_eq!(template.routing(MACHINE).unwrap().live, [GraphVersion(1)]);
    assert_eq!(&template, Template::shipped());
}

#[test]
fn every_fixture_is_refused_at_its_line_and_column_or_taken() {
    let mut names: Vec<String> = std::fs::read_dir(at_home("tests/fixtures/graphs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let mut table = String::new();
    for name in &names {
        match Template::parse(&fixture(name), name) {
            Ok(template) => writeln!(table, "{name}: good, {} graphs", template.graphs().count()).unwrap(),
            Err(error) => writeln!(table, "{error}").unwrap(),
        }
    }

    assert!(names.len() > 60);
    insta::assert_snapshot!(table);
}

#[test]
fn the_domains_fixtures_are_the_graphs_of_every_machine() {
    for published in Template::every_machine().published() {
        let graph = published.graph();
        let document: serde_json::Value = serde_json::from_str(published.canonical_json()).unwrap();
        let pretty = serde_json::to_string_pretty(&document).unwrap() + "\n";
        let name = format!("domain/tests/fixtures/{}-v{}.json", graph.machine(), graph.version());
        if std::env::var_os("WAYBILL_ACCEPT").is_some() {
            std::fs::write(at_home(&name), &pretty).unwrap();
        }

        let kept = std::fs::read_to_string(at_home(&name)).unwrap_or_default();
        assert!(
            kept == pretty,
            "{name} is not the template's: accept it with WAYBILL_ACCEPT=1"
        );
    }
}

#[test]
fn a_graph_is_the_same_however_it_is_written() {
    let good = Template::parse(&fixture("good.yaml"), "good.yaml").unwrap();
    let rewritten = fixture("good.yaml")
        .replace("initial: CREATED\n", "initial: 'CREATED' # where it begins\n")
        .replace(
            "{type: string, max_length: 64}",
            "\n              max_length: 64\n              type: \"string\"",
        );
    let changed = fixture("good.yaml").replace("max_length: 64", "max_length: 65");

    let sha256 = |text: &str| {
        let template = Template::parse(text, "t").unwrap_or_else(|error| panic!("{error}"));
        template.sha256(MACHINE, GraphVersion(1)).unwrap().to_owned()
    };

    let before = good.sha256(MACHINE, GraphVersion(1)).unwrap();
    assert_eq!(before.len(), 64);
    assert_eq!(sha256(&rewritten), before);
    assert_ne!(sha256(&changed), before);
}

#[test]
fn the_canonical_json_is_the_document() {
    let template = Template::shipped();

    let document: GraphDocument =
        serde_json::from_str(template.canonical_json(MACHINE, GraphVersion(1)).unwrap()).unwrap();

    assert_eq!(&document, template.graph(MACHINE, GraphVersion(1)).unwrap().document());
}

#[test]
fn new_orders_are_born_with_active_versions_only() {
    let canary = Template::parse(&fixture("two-versions.yaml"), "two-versions.yaml").unwrap();
    let chosen = |template: &Template, number| template.active(MACHINE, OrderId(Uuid::from_u128(number)));

    let versions: std::collections::BTreeSet<_> = (0..100).map(|number| chosen(&canary, number)).collect();

    assert_eq!(
        versions.into_iter().collect::<Vec<_>>(),
        [Some(GraphVersion(1)), Some(GraphVersion(2))]
    );
    assert_eq!(chosen(Template::shipped(), 11), Some(GraphVersion(1)));
    assert_eq!(chosen(&canary, 11), chosen(&canary, 11));
    assert_eq!(canary.active("food-order", OrderId(Uuid::nil())), None);
}

#[test]
fn what_is_not_published_is_not_found() {
    let template = Template::shipped();

    assert!(template.graph(MACHINE, GraphVersion(2)).is_none());
    assert!(template.graph("food-order", GraphVersion(1)).is_none());
    assert_eq!(template.sha256(MACHINE, GraphVersion(2)), None);
    assert!(template.routing("food-order").is_none());
}

#[test]
fn a_single_version_needs_no_routing() {
    let template = Template::parse(&fixture("one-version-no-routing.yaml"), "one").unwrap();

    assert_eq!(template.active(MACHINE, OrderId(Uuid::nil())), Some(GraphVersion(1)));
}

#[test]
fn a_template_of_more_than_a_mebibyte_is_refused_unread() {
    let text = " ".repeat((1 << 20) + 1);

    assert_eq!(
        faults(&text),
        ["1:1: file-too-large: the template has 1048577 bytes, expected at most 1048576"]
    );
}

#[test]
fn deep_nesting_is_refused_before_it_costs_anything() {
    for open in ["[", "{a: ", "- ", "? "] {
        let text = format!("Resources:\n  {}", open.repeat(100_000));
        let found = faults(&text);
        assert!(found[0].ends_with("nested deeper than 64 levels"), "{open} {found:?}");
    }
}

#[test]
fn a_file_is_read_like_its_text() {
    let template = Template::read(&at_home(SHIPPED_NAME)).unwrap();

    assert_eq!(&template, Template::shipped());
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Template::read(Path::new("/nowhere/graph.yaml")).unwrap_err();

    assert_eq!(error.to_string(), "cannot read /nowhere/graph.yaml");
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn bytes_that_are_not_text_are_refused_where_they_stand() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), b"Resources:\n  \xC3\xBC\xFF: {}\n").unwrap();

    let error = Template::read(file.path()).unwrap_err().to_string();

    assert!(
        error.ends_with(":2:4: not-utf-8: not UTF-8, expected a template in YAML"),
        "{error}"
    );
}

#[test]
fn a_file_of_more_than_a_mebibyte_is_refused_whatever_it_holds() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![0xFF; 2 << 20]).unwrap();

    let error = Template::read(file.path()).unwrap_err().to_string();

    assert!(
        error.ends_with(":1:1: file-too-large: the template has 1048577 bytes, expected at most 1048576"),
        "{error}"
    );
}

#[test]
fn the_frames_schema_knows_the_words_that_the_domain_knows() {
    // The validator of the template is the first to see a new version; what it lets through is checked again here.
    for kind in Kind::ALL {
        assert!(SHIPPED.contains(kind.as_str()));
    }
    let roles: Vec<&str> = Role::ALL.iter().map(|role| role.as_str()).collect();
    assert!(SHIPPED.contains(&format!("items: {{enum: [{}]}}", roles.join(", "))));
}

/// What stands in every machine's template: all but versions, publication, routing and what is put out of them.
fn frame_of(text: &str) -> (&str, &str) {
    let head = text
        .find("GraphV1:\n")
        .and_then(|end| text[..end].rfind('\n'))
        .expect("a first version");
    let tail = text.find("\nOutputs:\n").expect("outputs");
    let end = text
        .find("  GraphV1ConfigurationVersion:")
        .expect("the first version's output");
    (&text[..head], &text[tail..end])
}

/// The frame of delivery orders, in the words of another machine.
fn in_words_of(frame: &str, machine: &str, prefix: &str, people_say: &str) -> String {
    let short = machine.strip_suffix("-order").unwrap_or(machine);
    frame
        .replace("Name: waybill\n", &format!("Name: waybill-{machine}\n"))
        .replace("delivery-order", machine)
        .replace("delivery orders", people_say)
        .replace("delivery-graph", &format!("{short}-graph"))
        .replace("DeliveryGraph", &format!("{prefix}Graph"))
}

#[test]
fn every_machines_template_has_the_same_frame() {
    let (head, tail) = frame_of(SHIPPED);
    for (machine, prefix, people_say, (name, text)) in [
        ("order", "Order", "orders", MACHINES[1]),
        ("food-order", "Food", "food orders", MACHINES[2]),
    ] {
        let (old_head, old_tail) = frame_of(text);
        let expected = text
            .replacen(old_head, &in_words_of(head, machine, prefix, people_say), 1)
            .replacen(old_tail, &in_words_of(tail, machine, prefix, people_say), 1);
        if std::env::var_os("WAYBILL_ACCEPT").is_some() {
            std::fs::write(at_home(name), &expected).unwrap();
        }

        let kept = std::fs::read_to_string(at_home(name)).unwrap();
        assert!(
            kept == expected,
            "the frame of {name} is another one: accept it with WAYBILL_ACCEPT=1"
        );
    }
}

#[test]
fn every_machine_that_this_program_was_built_with_is_found() {
    let machines: Vec<String> = Template::every_machine()
        .graphs()
        .map(|graph| format!("{} {}", graph.machine(), graph.version()))
        .collect();

    assert_eq!(machines, ["delivery-order 1", "food-order 1", "order 1"]);
    for machine in ["delivery-order", "food-order", "order"] {
        let chosen = Template::every_machine().active(machine, OrderId(Uuid::nil()));
        assert_eq!(chosen, Some(GraphVersion(1)));
    }
}

#[test]
fn a_defect_leads_to_its_line() {
    let text = fixture("unknown-target.yaml");

    let line = text.lines().nth(41).unwrap();

    assert_eq!(
        faults(&text),
        ["42:23: unknown-target: states.PICKED_UP.transitions.DELIVERED.to: state NOWHERE is not defined"]
    );
    assert_eq!(&line[22..], "NOWHERE");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_damage_to_a_template_breaks_the_reader(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..40_usize, "[ -~\n]{0,6}"), 1..4)
    ) {
        let mut text: Vec<char> = fixture("good.yaml").chars().collect();
        for (place, length, instead) in cuts {
            let start = place.index(text.len());
            let end = (start + length).min(text.len());
            text.splice(start..end, instead.chars());
        }

        match Template::parse(&text.iter().collect::<String>(), "damaged.yaml") {
            Ok(template) => prop_assert!(template.graphs().count() > 0),
            Err(error) => prop_assert!(error.to_string().starts_with("damaged.yaml:"), "{}", error),
        }
    }
}
