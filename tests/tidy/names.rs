//! Words: one name for one thing.

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
