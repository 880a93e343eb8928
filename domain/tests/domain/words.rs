//! Rules about single words of a graph, each broken once.

use waybill_domain::{DefectKind, Graph, GraphDocument, StateDocument};

use crate::support::small_document;

fn breaks(kind: DefectKind, expected: &str, spoil: impl FnOnce(&mut GraphDocument)) {
    let mut document = small_document();
    spoil(&mut document);
    let defects = Graph::check(document).expect_err("a spoiled graph");
    let found: Vec<_> = defects
        .into_iter()
        .map(|defect| (defect.kind, defect.to_string()))
        .collect();
    assert_eq!(found, [(kind, expected.to_owned())]);
}

fn state<'a>(document: &'a mut GraphDocument, name: &str) -> &'a mut StateDocument {
    document.states.get_mut(name).expect("a state of the small graph")
}

#[test]
fn the_language_version_is_one() {
    breaks(
        DefectKind::SchemaOutOfRange,
        "schema: schema is 2, expected 1",
        |document| document.schema = 2,
    );
}

#[test]
fn versions_are_counted_from_one() {
    for version in [0, -1, i64::from(i32::MAX) + 1] {
        let expected = format!("version: version is {version}, expected a number from 1 to 2147483647");
        breaks(DefectKind::VersionOutOfRange, &expected, |document| {
            document.version = version
        });
    }
}

#[test]
fn a_graph_has_a_bounded_size() {
    let many = |prefix: &str| (0..501).map(|number| format!("{prefix}{number}")).collect::<Vec<_>>();

    breaks(
        DefectKind::TooLarge,
        "states: 507 states, expected at most 500",
        |document| {
            let done = document.states["DONE"].clone();
            document
                .states
                .extend(many("S").into_iter().map(|name| (name, done.clone())));
        },
    );
    breaks(
        DefectKind::TooLarge,
        "fields: 504 fields, expected at most 500",
        |document| {
            let number = document.fields["number"].clone();
            document
                .fields
                .extend(many("f").into_iter().map(|name| (name, number.clone())));
        },
    );
    breaks(
        DefectKind::TooLarge,
        "states: 5007 transitions, expected at most 5000",
        |document| {
            let way = document.states["PENDING"].transitions["RESOLVED"].clone();
            let ways = (0..5_000).map(|number| (format!("E{number}"), way.clone()));
            state(document, "PENDING").transitions.extend(ways);
        },
    );
    breaks(
        DefectKind::TooLarge,
        "fields.reason.values: 501 entries, expected at most 500",
        |document| {
            document.fields.get_mut("reason").unwrap().values = many("R");
        },
    );
    breaks(
        DefectKind::TooLarge,
        "states.DONE.requires: 501 entries, expected at most 500",
        |document| {
            state(document, "DONE").requires = many("f");
        },
    );
    let actors = "states.PENDING.transitions.RESOLVED.actors: 501 entries, expected at most 500";
    breaks(DefectKind::TooLarge, actors, |document| {
        state(document, "PENDING")
            .transitions
            .get_mut("RESOLVED")
            .unwrap()
            .actors = many("r");
    });
}

#[test]
fn machines_have_names_like_delivery_order() {
    let expected = "machine: \"Delivery Order\" is not a good name, expected 2 to 64 of a-z, 0-9 and -, a letter first";

    breaks(DefectKind::BadName, expected, |document| {
        document.machine = "Delivery Order".to_owned()
    });
}

#[test]
fn what_is_about_a_delivery_order_is_asked_for_by_delivery_orders_only() {
    let expected = "states.CREATED.on_enter.1: notify_customer is for delivery orders, expected another name with its task and queue";

    breaks(DefectKind::EffectOfDeliveries, expected, |document| {
        document.machine = "parcel".to_owned();
        let effects = ["open_operator_case", "notify_customer"];
        state(document, "CREATED").on_enter = effects.map(str::to_owned).into();
    });
}

#[test]
fn states_have_names_in_capitals() {
    let expected = "states.Done: \"Done\" is not a good name, expected 2 to 64 of A-Z, 0-9 and _, a letter first";

    breaks(DefectKind::BadName, expected, |document| {
        let done = document.states.remove("DONE").unwrap();
        document.states.insert("Done".to_owned(), done);
        for name in ["PENDING", "PICKED_UP"] {
            let ways = state(document, name).transitions.values_mut();
            ways.filter(|way| way.to == "DONE")
                .for_each(|way| way.to = "Done".to_owned());
        }
    });
}

#[test]
fn events_have_names_in_capitals() {
    for bad in ["resolved", "_RESOLVED", "R", "RE SOLVED", "1RESOLVED", &"R".repeat(65)] {
        let expected = format!(
            "states.PENDING.transitions.{bad}: {bad:?} is not a good name, expected 2 to 64 of A-Z, 0-9 and _, a letter \
             first"
        );
        breaks(DefectKind::BadName, &expected, |document| {
            let way = state(document, "PENDING").transitions.remove("RESOLVED").unwrap();
            state(document, "PENDING").transitions.insert(bad.to_owned(), way);
        });
    }
}

#[test]
fn fields_have_names_in_small_letters() {
    let expected = "fields.Extra: \"Extra\" is not a good name, expected 2 to 64 of a-z, 0-9 and _, a letter first";

    breaks(DefectKind::BadName, expected, |document| {
        let number = document.fields["number"].clone();
        document.fields.insert("Extra".to_owned(), number);
    });
}

#[test]
fn effects_have_names_in_small_letters() {
    let expected =
        "states.DONE.on_enter.0: \"Notify\" is not a good name, expected 2 to 64 of a-z, 0-9 and _, a letter first";

    breaks(DefectKind::BadName, expected, |document| {
        state(document, "DONE").on_enter = vec!["Notify".to_owned()]
    });
}

#[test]
fn words_of_an_enum_are_in_capitals() {
    let expected =
        "fields.reason.values.1: \"unknown\" is not a good name, expected 2 to 64 of A-Z, 0-9 and _, a letter first";

    breaks(DefectKind::BadName, expected, |document| {
        document.fields.get_mut("reason").unwrap().values[1] = "unknown".to_owned();
    });
}

#[test]
fn kinds_outcomes_types_and_sources_are_known_words() {
    let kind = "states.PICKED_UP.kind: kind sleepy does not exist, expected one of active, attention, terminal";
    let outcome = "states.DONE.outcome: outcome glory does not exist, expected one of success, failure, cancelled";
    let source = "fields.number.source: source moon does not exist, expected one of event, engine";
    let field = "fields.extra.type: type text does not exist, expected one of string, uuid, enum, integer, flag, \
                 instant, duration";

    breaks(DefectKind::UnknownWord, kind, |document| {
        state(document, "PICKED_UP").kind = "sleepy".to_owned()
    });
    breaks(DefectKind::UnknownWord, outcome, |document| {
        state(document, "DONE").outcome = Some("glory".to_owned())
    });
    breaks(DefectKind::UnknownWord, source, |document| {
        document.fields.get_mut("number").unwrap().source = Some("moon".to_owned());
    });
    breaks(DefectKind::UnknownWord, field, |document| {
        let mut extra = document.fields["number"].clone();
        extra.kind = "text".to_owned();
        extra.max_length = None;
        document.fields.insert("extra".to_owned(), extra);
    });
}

#[test]
fn roles_are_known_words() {
    let expected = "states.PENDING.transitions.RESOLVED.actors.1: role courier does not exist, expected one of \
                    delivery_partner, customer, operator, service, payment_service, system";

    breaks(DefectKind::UnknownRole, expected, |document| {
        state(document, "PENDING")
            .transitions
            .get_mut("RESOLVED")
            .unwrap()
            .actors
            .push("courier".to_owned());
    });
}

#[test]
fn somebody_may_report_every_event() {
    let expected = "states.PICKED_UP.transitions.DELIVERED.actors: nobody may report this, expected at least one role";

    breaks(DefectKind::NoActors, expected, |document| {
        state(document, "PICKED_UP")
            .transitions
            .get_mut("DELIVERED")
            .unwrap()
            .actors
            .clear();
    });
}

#[test]
fn required_fields_are_defined() {
    breaks(
        DefectKind::UnknownField,
        "states.PICKED_UP.requires.1: field colour is not defined",
        |document| {
            state(document, "PICKED_UP").requires.push("colour".to_owned());
        },
    );
}

#[test]
fn effects_are_known_words() {
    let expected = "states.DONE.on_enter.0: effect launch_rocket does not exist, expected one of book_delivery_partner, \
                    cancel_delivery_partner, notify_customer, notify_order_management, open_operator_case, \
                    request_customer_confirmation";

    breaks(DefectKind::UnknownEffect, expected, |document| {
        state(document, "DONE").on_enter = vec!["launch_rocket".to_owned()];
    });
}

#[test]
fn no_list_names_anything_twice() {
    breaks(
        DefectKind::DuplicateEntry,
        "fields.reason.values.2: LOST is named twice",
        |document| {
            document
                .fields
                .get_mut("reason")
                .unwrap()
                .values
                .push("LOST".to_owned());
        },
    );
    breaks(
        DefectKind::DuplicateEntry,
        "states.PICKED_UP.requires.1: number is named twice",
        |document| {
            state(document, "PICKED_UP").requires.push("number".to_owned());
        },
    );
    breaks(
        DefectKind::DuplicateEntry,
        "states.CREATED.on_enter.1: book_delivery_partner is named twice",
        |document| {
            state(document, "CREATED")
                .on_enter
                .push("book_delivery_partner".to_owned());
        },
    );
    let actors = "states.PENDING.transitions.RESOLVED.actors.1: operator is named twice";
    breaks(DefectKind::DuplicateEntry, actors, |document| {
        state(document, "PENDING")
            .transitions
            .get_mut("RESOLVED")
            .unwrap()
            .actors
            .push("operator".to_owned());
    });
}

#[test]
fn an_enum_has_values() {
    breaks(
        DefectKind::EnumWithoutValues,
        "fields.reason: enum reason has no values",
        |document| {
            document.fields.get_mut("reason").unwrap().values.clear();
        },
    );
}

#[test]
fn only_an_enum_has_values_and_only_a_string_a_length() {
    let values = "fields.number.values: number is of type string, only an enum has values";
    let length = "fields.successor.max_length: successor is of type uuid, only a string has max_length";

    breaks(DefectKind::MisplacedAttribute, values, |document| {
        document.fields.get_mut("number").unwrap().values = vec!["ONE".to_owned()];
    });
    breaks(DefectKind::MisplacedAttribute, length, |document| {
        document.fields.get_mut("successor").unwrap().max_length = Some(3);
    });
}

#[test]
fn a_length_is_a_small_positive_number() {
    for length in [0, -1, 10_001] {
        let expected = format!("fields.number.max_length: max_length is {length}, expected a number from 1 to 10000");
        breaks(DefectKind::LengthOutOfRange, &expected, |document| {
            document.fields.get_mut("number").unwrap().max_length = Some(length);
        });
    }
}

#[test]
fn a_key_that_the_language_does_not_know_is_not_read() {
    let error = serde_json::from_str::<StateDocument>(r#"{"kind": "active", "onEnter": []}"#).unwrap_err();

    assert!(
        error
            .to_string()
            .starts_with("unknown field `onEnter`, expected one of"),
        "{error}"
    );
}
