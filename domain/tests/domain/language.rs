//! What the language adds to states and arrows: guards, what ways bring, automatic events, typed fields.

use serde_json::{Value, json};
use waybill_domain::{Event, FieldValue, Graph, GraphDocument, Instance, Refusal, Role, Transition};

use crate::support::{an_id, event, noon};

/// A graph that decides by itself what a parcel is, and takes corrections.
fn graph() -> Graph {
    Graph::check(document(|_| ())).unwrap_or_else(|defects| panic!("{defects:#?}"))
}

pub(crate) fn document(change: impl FnOnce(&mut Value)) -> GraphDocument {
    let mut document = json!({
        "schema": 1, "machine": "parcel", "version": 1, "initial": "NEW",
        "fields": {
            "grams": {"type": "integer", "minimum": 0, "maximum": 30000},
            "fragile": {"type": "flag"},
            "size": {"type": "enum", "values": ["SMALL", "LARGE"]},
            "collected_at": {"type": "instant"},
            "patience": {"type": "duration"},
            "note": {"type": "string", "max_length": 5},
            "reason": {"type": "enum", "values": ["LATE", "LOST"]},
            "successor": {"type": "uuid", "source": "engine"}
        },
        "effects": {
            "print_label": {"task": "labels.print", "queue": "labels", "inverse": "void_label",
                "args": {"parcel": {"of": "id"}, "grams": {"field": "grams"}, "copies": {"value": 2}, "step": {"of": "sequence"}},
                "critical": true, "on_failure": "LABEL_FAILED"},
            "void_label": {"task": "labels.void", "queue": "labels"}
        },
        "states": {
            "NEW": {"kind": "active", "deadline": {"after": "PT1H", "event": "FORGOTTEN"},
                "transitions": {
                    "WEIGHED": {"to": "WEIGHED", "actors": ["service"], "requires": ["grams"], "optional": ["fragile", "size", "patience"]},
                    "FORGOTTEN": {"to": "LOST", "actors": ["system"], "sets": {"reason": "LATE"}}}},
            "WEIGHED": {"kind": "active", "on_enter": ["print_label"], "automatic": ["TOO_HEAVY", "IS_LIGHT"],
                "deadline": {"after": "P2D", "from": "patience", "event": "FORGOTTEN"},
                "transitions": {
                    "TOO_HEAVY": {"to": "BY_HAND", "actors": ["system"], "when": [{"field": "grams", "at_least": 20000}]},
                    "IS_LIGHT": {"to": "ON_THE_WAY", "actors": ["system"],
                        "when": [{"field": "grams", "at_most": 500}, {"field": "fragile", "is": false}]},
                    "SENT": {"to": "ON_THE_WAY", "actors": ["service"], "when": [{"field": "size", "known": true}]},
                    "LABEL_FAILED": {"to": "BY_HAND", "actors": ["service", "system"]},
                    "FORGOTTEN": {"to": "LOST", "actors": ["system"], "sets": {"reason": "LATE"}}}},
            "BY_HAND": {"kind": "attention",
                "transitions": {
                    "CARRIED": {"to": "ON_THE_WAY", "actors": ["operator"]},
                    "GIVEN_UP": {"to": "LOST", "actors": ["operator"], "sets": {"reason": "LOST"}}}},
            "ON_THE_WAY": {"kind": "active", "deadline": {"after": "P9D", "event": "FORGOTTEN"},
                "transitions": {
                    "ARRIVED": {"to": "DONE", "actors": ["service"], "when": [{"not_been_in": "BY_HAND"}]},
                    "HANDED_OVER": {"to": "DONE", "actors": ["operator"], "when": [{"been_in": "BY_HAND"}]},
                    "FORGOTTEN": {"to": "LOST", "actors": ["system"], "sets": {"reason": "LATE"}}},
                "otherwise": {"WEIGHED": {"is": "operator"}, "SENT": {"is": "note"}, "GIVEN_UP": {"is": "conflict"}}},
            "DONE": {"kind": "terminal", "outcome": "success"},
            "LOST": {"kind": "terminal", "outcome": "failure", "requires": ["reason"], "compensates": true}
        }
    });
    change(&mut document);
    serde_json::from_value(document).unwrap_or_else(|error| panic!("{error}"))
}

fn report(name: &str, role: Role, fields: &[(&str, FieldValue)]) -> Event {
    let mut report = event(name, role);
    report.fields = fields
        .iter()
        .map(|(name, value)| ((*name).into(), value.clone()))
        .collect();
    report
}

fn weighed(fields: &[(&str, FieldValue)]) -> (Instance, Vec<Transition>) {
    let graph = graph();
    let (mut parcel, _) = Instance::born(an_id(), &graph, event("BORN", Role::Service), noon());
    let taken = parcel
        .decide(&graph, report("WEIGHED", Role::Service, fields), noon())
        .unwrap_or_else(|refusal| panic!("{refusal}"));
    taken.iter().for_each(|transition| parcel.apply(transition));
    (parcel, taken)
}

#[test]
fn the_first_automatic_event_whose_guard_holds_happens_on_entry() {
    let ends = |fields: &[(&str, FieldValue)]| weighed(fields).0.state.to_string();

    assert_eq!(ends(&[("grams", 25_000.into())]), "BY_HAND");
    assert_eq!(ends(&[("grams", 20_000.into())]), "BY_HAND");
    assert_eq!(ends(&[("grams", 19_999.into())]), "WEIGHED");
    assert_eq!(ends(&[("grams", 500.into()), ("fragile", false.into())]), "ON_THE_WAY");
    assert_eq!(ends(&[("grams", 500.into()), ("fragile", true.into())]), "WEIGHED");
    // A comparison asks that the field is known.
    assert_eq!(ends(&[("grams", 500.into())]), "WEIGHED");
}

#[test]
fn a_guard_that_does_not_hold_refuses_with_what_it_asks() {
    let graph = graph();
    let (parcel, _) = weighed(&[("grams", 900.into())]);

    let refusal = parcel.decide(&graph, event("SENT", Role::Service), noon()).unwrap_err();
    let allowed = parcel.decide(
        &graph,
        report("SENT", Role::Service, &[("size", "SMALL".into())]),
        noon(),
    );

    assert_eq!(
        refusal.to_string(),
        "SENT is not allowed in WEIGHED: expected that size is known"
    );
    assert_eq!(allowed.unwrap()[0].to.as_str(), "ON_THE_WAY");
}

#[test]
fn a_guard_may_ask_where_the_order_has_been() {
    let graph = graph();
    let (mut parcel, _) = weighed(&[("grams", 25_000.into())]);
    let carried = parcel.decide(&graph, event("CARRIED", Role::Operator), noon()).unwrap();
    parcel.apply(&carried[0]);

    let refusal = parcel
        .decide(&graph, event("ARRIVED", Role::Service), noon())
        .unwrap_err();

    assert!(matches!(refusal, Refusal::GuardNotMet { .. }), "{refusal}");
    assert!(
        parcel
            .decide(&graph, event("HANDED_OVER", Role::Operator), noon())
            .is_ok()
    );
}

#[test]
fn a_way_brings_what_it_sets_unless_somebody_else_does() {
    let graph = graph();
    let (parcel, _) = weighed(&[("grams", 900.into())]);

    let silent = parcel.decide(&graph, event("FORGOTTEN", Role::System), noon()).unwrap();
    let told = report("FORGOTTEN", Role::System, &[("reason", "LOST".into())]);
    let told = parcel.decide(&graph, told, noon()).unwrap();

    assert_eq!(silent[0].fields["reason"], "LATE".into());
    assert_eq!(told[0].fields["reason"], "LOST".into());
    assert!(graph.edge("WEIGHED", "FORGOTTEN").unwrap().asks().is_empty());
}

#[test]
fn a_way_takes_only_the_fields_that_it_names() {
    let graph = graph();
    let (parcel, _) = Instance::born(an_id(), &graph, event("BORN", Role::Service), noon());
    let fields = [("grams", FieldValue::from(1)), ("note", "hello".into())];

    let refusal = parcel
        .decide(&graph, report("WEIGHED", Role::Service, &fields), noon())
        .unwrap_err();

    assert_eq!(refusal.to_string(), "note must be left out, WEIGHED does not take it");
}

#[test]
fn fields_hold_what_their_types_allow() {
    let graph = graph();
    let good: [(&str, FieldValue); 7] = [
        ("grams", 30_000.into()),
        ("fragile", true.into()),
        ("size", "LARGE".into()),
        ("collected_at", "2026-11-20T12:00:00+01:00".into()),
        ("patience", "P3D".into()),
        ("note", "12345".into()),
        ("successor", "0192f0a0-0000-7000-8000-000000000001".into()),
    ];
    let bad: [(&str, FieldValue); 11] = [
        ("grams", 30_001.into()),
        ("grams", (-1).into()),
        ("grams", "5".into()),
        ("fragile", "true".into()),
        ("fragile", 1.into()),
        ("size", "MEDIUM".into()),
        ("collected_at", "2026-11-20T12:00:00".into()),
        ("patience", "P1M".into()),
        ("note", "123456".into()),
        ("note", 5.into()),
        ("successor", "me".into()),
    ];

    for (name, value) in good {
        assert!(graph.fields()[name].accepts(&value), "{name} {value}");
    }
    for (name, value) in bad {
        assert!(!graph.fields()[name].accepts(&value), "{name} {value}");
    }
}

#[test]
fn a_task_of_another_service_is_told_what_the_graph_says() {
    let (_, taken) = weighed(&[("grams", 900.into())]);

    let label = &taken[0].effects[0];

    assert_eq!(label.name.as_str(), "print_label");
    assert_eq!(label.task, Some(("labels.print".to_owned(), "labels".to_owned())));
    let told = |key: &str| label.arguments[key].clone();
    assert_eq!(told("parcel"), an_id().to_string().into());
    assert_eq!(
        (told("grams"), told("copies"), told("step")),
        (900.into(), 2.into(), 2.into())
    );
}

#[test]
fn a_deadline_counts_from_a_duration_that_the_order_knows() {
    let due = |fields: &[(&str, FieldValue)]| weighed(fields).1[0].deadline.clone().expect("a deadline").at - noon();

    assert_eq!(due(&[("grams", 900.into())]).num_hours(), 48);
    assert_eq!(
        due(&[("grams", 900.into()), ("patience", "PT3H".into())]).num_hours(),
        3
    );
}

#[test]
fn the_graph_says_what_an_event_means_where_it_leads_nowhere() {
    let graph = graph();
    let (parcel, _) = weighed(&[("grams", 1.into()), ("fragile", false.into())]);
    let told = |name: &str, role| parcel.decide(&graph, event(name, role), noon()).unwrap_err();

    assert!(matches!(told("WEIGHED", Role::Service), Refusal::ForOperator { .. }));
    assert!(matches!(told("SENT", Role::Service), Refusal::Noted { .. }));
    assert!(matches!(
        told("GIVEN_UP", Role::Operator),
        Refusal::Contradiction { .. }
    ));
    // Who may never report it is told so first.
    assert!(matches!(told("WEIGHED", Role::Customer), Refusal::WrongActor { .. }));
}

#[test]
fn what_was_written_is_written_again_alike() {
    let written = document(|_| ());

    let json = serde_json::to_value(&written).unwrap();

    assert_eq!(serde_json::from_value::<GraphDocument>(json).unwrap(), written);
    assert_eq!(*graph().document(), written);
}
