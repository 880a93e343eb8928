//! Words: one name for one thing.

use std::collections::BTreeSet;

use crate::code::{identifiers, words};
use crate::repository::{files, keep, product};

#[test]
fn modules_are_files_beside_their_folders() {
    let broken = files().iter().filter(|file| file.path.ends_with("/mod.rs"));

    keep(
        "`foo.rs` and `foo/`, never `mod.rs`",
        broken.map(|file| file.path.clone()).collect(),
    );
}

#[test]
fn modules_have_names_that_say_what_is_in_them() {
    let forbidden = ["util", "utils", "common", "helper", "helpers", "manager", "misc"];
    let rust = files().iter().filter(|file| file.is_rust());

    let broken = rust.filter(|file| {
        let path = file.path.trim_end_matches(".rs");
        path.split('/')
            .any(|part| forbidden.contains(&part) || part.starts_with("new_") || part.ends_with("_v2"))
    });

    keep(
        "never utils, common, helpers, manager, new_*, *_v2",
        broken.map(|file| file.path.clone()).collect(),
    );
}

#[test]
fn what_we_declare_is_called_by_our_words() {
    let never = ["shipment", "workflow", "timer"];
    let declaring = ["struct", "enum", "trait", "type", "fn", "mod", "const", "static"];
    let mut broken = Vec::new();

    // Celery has words of its own.
    for file in product().filter(|file| !file.is_in("tasks/src/celery")) {
        let mut previous = "";
        for (at, name) in identifiers(&file.code) {
            if declaring.contains(&previous) && words(name).iter().any(|word| never.contains(&word.as_str())) {
                broken.push(file.at(at));
            }
            previous = name;
        }
    }

    keep(
        "delivery order, graph, deadline; never shipment, workflow, timer",
        broken,
    );
}

#[test]
fn a_task_is_called_as_its_file() {
    let effects =
        product().filter(|file| file.path.starts_with("tasks/src/effects/") && file.code.contains("const NAME"));

    let broken = effects.filter(|file| {
        let name = file.stem();
        !file.text.contains(&format!("\"{name}\"")) && !file.text.contains(&format!("\"waybill.{name}\""))
    });

    keep(
        "effect, Celery task and file have one name",
        broken.map(|file| file.path.clone()).collect(),
    );
}

/// Places that speak of something else by the same words: partners' languages, Celery, and the columns of a table.
const OTHER_WORDS: [&str; 4] = [
    "webhooks/src/partners",
    "src/partner_sim",
    "tasks/src/celery",
    "src/commands/subscribers",
];

/// The states of every version in a template, by their place in the frame that all templates share.
fn states(template: &str) -> BTreeSet<&str> {
    let (before_states, in_state) = ("          states:", "            ");
    let mut inside = false;
    let mut states = BTreeSet::new();
    for line in template.lines() {
        match line.strip_prefix(in_state) {
            Some(name) if inside && !name.starts_with(' ') => states.extend(name.strip_suffix(':')),
            Some(_) => {}
            None => inside = line == before_states || inside && line.is_empty(),
        }
    }
    states
}

#[test]
fn what_an_order_is_in_is_named_by_its_graph_only() {
    let template = files()
        .iter()
        .find(|file| file.path == "cloudformation/delivery-graph.yaml");
    let states = states(&template.expect("the template of delivery orders").text);
    assert!(
        states.contains("PENDING_BY_OPERATOR") && states.len() >= 8,
        "{states:?}"
    );

    let others = product().filter(|file| !OTHER_WORDS.iter().any(|place| file.is_in(place)));
    let broken = others.flat_map(|file| {
        let code = &file.text[..file.code_outside_tests().len()];
        file.lines_where(code, |line| {
            states.iter().any(|state| line.contains(&format!("\"{state}\"")))
        })
    });

    keep(
        "no Rust code names a state of a published graph: ask for its kind, its outcome, or where an event leads",
        broken.collect(),
    );
}
