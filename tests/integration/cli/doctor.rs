//! `waybill doctor`.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::embedded;
use crate::support::{Place, repository};

/// The exit code, and each verdict with its detail.
fn examine(place: &Place) -> (i32, BTreeMap<String, (String, String)>) {
    let ran = place.run(&["doctor", "--json"]);
    let found: Json = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
    let text = |check: &Json, name: &str| check[name].as_str().expect("text").to_owned();
    let checks = found["checks"].as_array().expect("a list").iter();
    (
        ran.code,
        checks
            .map(|check| (text(check, "name"), (text(check, "verdict"), text(check, "detail"))))
            .collect(),
    )
}

#[test]
fn a_machine_without_settings_is_well_and_looking_at_it_makes_nothing() {
    let place = embedded();

    let (code, checks) = examine(&place);

    assert_eq!(code, 0, "{checks:?}");
    for name in ["settings", "database", "graph", "broker", "partners"] {
        assert_eq!(checks[name].0, "ok", "{checks:?}");
    }
    assert_eq!(place.files(), [""; 0]);
}

#[test]
fn a_running_process_is_well() {
    let place = embedded();
    let process = place.start(&["all"]);

    let ran = place.run(&["doctor"]);
    process.stop();

    assert_eq!(ran.code, 0, "{ran:?}");
    for line in [
        "ok    database               sqlite://waybill.db answers: SQLite ",
        "ok    migrations ",
        "ok    data key ",
    ] {
        assert!(ran.out.contains(line), "{line:?} in {}", ran.out);
    }
}

#[test]
fn a_lost_key_and_a_changed_graph_are_found() {
    let place = embedded();
    place.start(&["all"]).stop();
    let shipped = std::fs::read_to_string(repository("cloudformation/delivery-graph.yaml")).unwrap();
    let changed = shipped.replacen("PT48H", "PT47H", 1);
    assert_ne!(shipped, changed);
    place.write("changed.yaml", &changed);
    std::fs::remove_file(place.path("waybill.db.data-key")).unwrap();
    let place = place.set("WAYBILL_GRAPH", "changed.yaml");

    let (code, checks) = examine(&place);

    assert_eq!(code, 1, "{checks:?}");
    assert_eq!(checks["data key"].0, "fail");
    assert!(
        checks["data key"].1.contains("waybill.db.data-key is missing"),
        "{checks:?}"
    );
    assert_eq!(checks["graph"].0, "fail");
    assert!(checks["graph"].1.contains("publish a new version"), "{checks:?}");
}

#[test]
fn settings_that_cannot_be_used_are_usage_here_too() {
    let ran = Place::new().set("WAYBILL_QUEUE", "").run(&["doctor"]);

    assert_eq!((ran.code, ran.err.as_str()), (2, ""));
    assert!(
        ran.out
            .starts_with("fail  settings               WAYBILL_QUEUE: an empty value given"),
        "{}",
        ran.out
    );
}

#[test]
fn services_that_are_away_are_all_named() {
    let place = Place::new()
        .set("WAYBILL_DATABASE_URL", "postgres://waybill:hunter2@127.0.0.1:9/waybill")
        .set("WAYBILL_BROKER_URL", "amqp://guest:hunter2@127.0.0.1:9/%2f")
        .set("WAYBILL_PARTNERS", "partners.yaml");
    let secret = "{id: a, value: whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=}";
    place.write(
        "partners.yaml",
        &format!("partners: {{far: {{adapter: standard, base_url: 'http://127.0.0.1:9', secrets: [{secret}]}}}}\ndefault: far\n"),
    );

    let (code, checks) = examine(&place);

    assert_eq!(code, 69, "{checks:?}");
    for name in ["database", "broker", "partner far"] {
        assert_eq!(checks[name].0, "unreachable", "{checks:?}");
        assert!(!checks[name].1.contains("hunter2"), "{checks:?}");
    }
}
