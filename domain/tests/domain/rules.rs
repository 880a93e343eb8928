//! Every rule of the richer language, broken once; each with its code, and a way on which it happens where there is one.

use serde_json::{Value, json};
use waybill_domain::{Defect, DefectKind, Graph};

use crate::language::document;

/// The defects after a value was put in that place: keys joined by dots.
fn defects(place: &str, value: Value) -> Vec<Defect> {
    let spoiled = document(|document| put(document, place, value));
    Graph::check(spoiled).expect_err("a spoiled graph")
}

/// Null takes away what is there.
fn put(document: &mut Value, place: &str, value: Value) {
    let (parent, key) = place.rsplit_once('.').expect("a place in a mapping");
    let target = parent.split('.').fold(document, |node, key| &mut node[key]);
    let target = target.as_object_mut().expect("a mapping");
    match value {
        Value::Null => target.remove(key),
        value => target.insert(key.to_owned(), value),
    };
}

/// Spoiling breaks exactly one rule, there and in these words; answers the way on which it happens.
#[track_caller]
fn breaks(kind: DefectKind, expected: &str, place: &str, value: Value) -> Option<String> {
    let found = defects(place, value);
    let told: Vec<_> = found.iter().map(|defect| (defect.kind, defect.to_string())).collect();
    assert_eq!(told, [(kind, expected.to_owned())]);
    found.into_iter().next().and_then(|defect| defect.way)
}

#[test]
fn codes_are_distinct_words() {
    let mut codes: Vec<&str> = DefectKind::ALL.iter().map(|kind| kind.code()).collect();
    codes.sort_unstable();
    codes.dedup();

    assert_eq!(codes.len(), DefectKind::ALL.len());
    assert!(codes.len() >= 25);
    assert!(
        codes
            .iter()
            .all(|code| code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'))
    );
    assert!(DefectKind::ALL.iter().all(|kind| kind.rule().ends_with('.')));
}

#[test]
fn a_task_of_another_service_has_a_queue() {
    let expected = "effects.void_label: void_label is an effect of another service, expected its task and its queue";

    breaks(DefectKind::BadEffect, expected, "effects.void_label.queue", Value::Null);
}

#[test]
fn an_effect_of_our_own_is_not_another_services_task() {
    let expected = "effects.notify_customer: notify_customer is an effect of our own, expected no task, queue or args";

    let ours = json!({"task": "a.b", "queue": "c"});
    breaks(DefectKind::BadEffect, expected, "effects.notify_customer", ours);
}

#[test]
fn an_inverse_is_another_known_effect() {
    let expected = "effects.print_label.inverse: inverse burn_label is not another effect of this graph";

    breaks(
        DefectKind::UnknownInverse,
        expected,
        "effects.print_label.inverse",
        json!("burn_label"),
    );
}

#[test]
fn an_argument_is_exactly_one_thing() {
    let path = "effects.print_label.args.grams";
    let both = json!({"field": "grams", "value": 1});

    breaks(
        DefectKind::BadArgument,
        &format!("{path}: expected exactly one of value, field and of"),
        path,
        both,
    );
}

#[test]
fn an_argument_names_something_of_an_order() {
    let expected = "effects.print_label.args.parcel.of: colour is nothing of an order, expected one of id, state, machine, \
                    version, sequence";

    breaks(
        DefectKind::BadArgument,
        expected,
        "effects.print_label.args.parcel.of",
        json!("colour"),
    );
}

#[test]
fn a_critical_effect_has_an_event_for_its_failure() {
    let expected = "effects.print_label.critical: print_label is critical, expected on_failure with the event of its \
                    final failure";

    breaks(
        DefectKind::CriticalWithoutFailure,
        expected,
        "effects.print_label.on_failure",
        Value::Null,
    );
}

#[test]
fn the_failure_of_an_effect_leads_out_of_where_it_was_asked_for() {
    let expected = "effects.print_label.on_failure: ARRIVED is not a transition of WEIGHED, which asks for print_label";

    breaks(
        DefectKind::FailureEventUnknown,
        expected,
        "effects.print_label.on_failure",
        json!("ARRIVED"),
    );
}

#[test]
fn the_failure_of_an_effect_is_reported_by_the_system() {
    let expected = "effects.print_label.on_failure: LABEL_FAILED is not allowed to system in WEIGHED, which reports \
                    failures of effects";

    let place = "states.WEIGHED.transitions.LABEL_FAILED.actors";
    breaks(DefectKind::FailureAsksInput, expected, place, json!(["service"]));
}

#[test]
fn the_failure_of_an_effect_asks_for_nothing_that_some_way_did_not_bring() {
    let expected = "effects.print_label.on_failure: LABEL_FAILED requires note in WEIGHED, which a failure of print_label \
                    cannot bring";

    let place = "states.WEIGHED.transitions.LABEL_FAILED.requires";
    let way = breaks(DefectKind::FailureAsksInput, expected, place, json!(["note"]));

    assert_eq!(way.as_deref(), Some("NEW -WEIGHED-> WEIGHED"));
}

#[test]
fn what_compensates_comes_after_something_that_can_be_taken_back() {
    let expected = "states.LOST.compensates: LOST compensates, but no effect before it has an inverse";

    breaks(
        DefectKind::NothingToCompensate,
        expected,
        "effects.print_label.inverse",
        Value::Null,
    );
}

#[test]
fn an_active_state_does_not_wait_for_ever() {
    let expected = "states.ON_THE_WAY: ON_THE_WAY has no deadline, and no operator can act in it: an order could wait for \
                    ever";
    let spoiled = document(|document| {
        put(document, "states.ON_THE_WAY.deadline", Value::Null);
        put(
            document,
            "states.ON_THE_WAY.transitions.HANDED_OVER.actors",
            json!(["service"]),
        );
    });

    let found = Graph::check(spoiled).unwrap_err();

    assert_eq!((found.len(), found[0].kind), (1, DefectKind::WaitsForEver));
    assert_eq!(found[0].to_string(), expected);
    assert_eq!(
        found[0].way.as_deref(),
        Some("NEW -WEIGHED-> WEIGHED -IS_LIGHT-> ON_THE_WAY")
    );
}

#[test]
fn the_deadlines_of_a_way_are_bounded_together() {
    let expected = "states.ON_THE_WAY.deadline: deadlines of 3652 days lie on a way through ON_THE_WAY, expected 3650 at \
                    most";

    let place = "states.ON_THE_WAY.deadline.after";
    let way = breaks(DefectKind::TakesTooLong, expected, place, json!("P3650D"));

    assert_eq!(way.as_deref(), Some("NEW -WEIGHED-> WEIGHED -IS_LIGHT-> ON_THE_WAY"));
}

#[test]
fn a_deadlines_event_has_no_guard() {
    let expected =
        "states.NEW.deadline.event: FORGOTTEN has a guard: if it does not hold then, the order waits for ever";

    let guard = json!([{"field": "note", "known": true}]);
    breaks(
        DefectKind::DeadlineGuarded,
        expected,
        "states.NEW.transitions.FORGOTTEN.when",
        guard,
    );
}

#[test]
fn a_deadline_counts_from_an_instant_or_a_duration() {
    let expected = "states.WEIGHED.deadline.from: field grams is integer, expected one of type instant or duration";

    breaks(
        DefectKind::DeadlineFieldUnfit,
        expected,
        "states.WEIGHED.deadline.from",
        json!("grams"),
    );
}

#[test]
fn an_automatic_event_leads_out() {
    let expected = "states.WEIGHED.automatic.1: CARRIED is not a transition of WEIGHED";

    breaks(
        DefectKind::AutomaticEventUnknown,
        expected,
        "states.WEIGHED.automatic",
        json!(["TOO_HEAVY", "CARRIED"]),
    );
}

#[test]
fn an_automatic_event_is_the_systems() {
    let expected =
        "states.WEIGHED.automatic.0: TOO_HEAVY is not allowed to system, which reports what happens by itself";

    let place = "states.WEIGHED.transitions.TOO_HEAVY.actors";
    breaks(DefectKind::AutomaticNotForSystem, expected, place, json!(["service"]));
}

#[test]
fn an_automatic_event_asks_for_nothing() {
    let expected = "states.WEIGHED.automatic.0: TOO_HEAVY requires note, which nobody brings when it happens by itself";

    let place = "states.WEIGHED.transitions.TOO_HEAVY.requires";
    let way = breaks(DefectKind::AutomaticAsksInput, expected, place, json!(["note"]));

    assert_eq!(way.as_deref(), Some("NEW -WEIGHED-> WEIGHED"));
}

#[test]
fn nothing_comes_after_what_always_happens() {
    let expected = "states.WEIGHED.automatic.1: IS_LIGHT never happens by itself: TOO_HEAVY before it always does";

    let place = "states.WEIGHED.transitions.TOO_HEAVY.when";
    breaks(DefectKind::AutomaticShadowed, expected, place, Value::Null);
}

#[test]
fn a_condition_is_one_test_that_fits() {
    let path = "states.ON_THE_WAY.transitions.ARRIVED.when";
    for (condition, why) in [
        (
            json!({"field": "grams"}),
            "expected a field with exactly one test, or exactly one state",
        ),
        (
            json!({"is": 1}),
            "expected a field with exactly one test, or exactly one state",
        ),
        (
            json!({}),
            "expected a field with exactly one test, or exactly one state",
        ),
        (
            json!({"field": "grams", "is": 1, "known": true}),
            "expected a field with exactly one test, or exactly one state",
        ),
        (
            json!({"field": "grams", "been_in": "NEW"}),
            "expected a field with exactly one test, or exactly one state",
        ),
        (json!({"field": "colour", "known": true}), "field colour is not defined"),
        (json!({"been_in": "NOWHERE"}), "state NOWHERE is not defined"),
        (
            json!({"field": "size", "is": "HUGE"}),
            "size is never HUGE, it is one of SMALL, LARGE",
        ),
        (
            json!({"field": "grams", "is": "5"}),
            "grams is never 5, it is a whole number from 0 to 30000",
        ),
        (
            json!({"field": "note", "at_least": 5}),
            "note is text of at most 5 characters without NUL, only an integer is at least or at most something",
        ),
    ] {
        breaks(
            DefectKind::BadCondition,
            &format!("{path}.0: {why}"),
            path,
            json!([condition]),
        );
    }
}

#[test]
fn a_guard_that_can_never_hold_is_found() {
    let path = "states.ON_THE_WAY.transitions.ARRIVED.when";
    for (guard, why) in [
        (
            json!([{"field": "size", "is": "SMALL"}, {"field": "size", "is": "LARGE"}]),
            "size is SMALL and size is LARGE cannot be true of size",
        ),
        (
            json!([{"field": "size", "is_not": "SMALL"}, {"field": "size", "is_not": "LARGE"}]),
            "size is not SMALL and size is not LARGE cannot be true of size",
        ),
        (
            json!([{"field": "grams", "known": false}]),
            "grams is not known cannot be true of grams",
        ),
        (
            json!([{"field": "grams", "at_least": 9}, {"field": "grams", "at_most": 8}]),
            "grams is at least 9 and grams is at most 8 cannot be true of grams",
        ),
        (
            json!([{"field": "grams", "at_least": 7, "at_most": 8}, {"field": "grams", "is_not": 7}, {"field": "grams", "is_not": 8}]),
            "grams is from 7 to 8 and grams is not 7 and grams is not 8 cannot be true of grams",
        ),
        (
            json!([{"field": "grams", "at_least": 30001}]),
            "grams is at least 30001 cannot be true of grams",
        ),
        (json!([{"been_in": "DONE"}]), "no way leads through DONE before"),
        (json!([{"not_been_in": "NEW"}]), "every way leads through NEW before"),
        (
            json!([{"been_in": "BY_HAND"}, {"not_been_in": "BY_HAND"}]),
            "an order has been in BY_HAND or has not",
        ),
    ] {
        let expected = format!("{path}: ARRIVED can never happen in ON_THE_WAY: {why}");
        let way = breaks(DefectKind::GuardNeverHolds, &expected, path, guard);
        assert!(way.is_some_and(|way| way.ends_with("ON_THE_WAY -ARRIVED-> DONE")));
    }
}

#[test]
fn a_guard_that_always_holds_is_found() {
    let path = "states.ON_THE_WAY.transitions.ARRIVED.when";
    for (condition, told) in [
        (json!({"been_in": "WEIGHED"}), "the order has been in WEIGHED"),
        (json!({"not_been_in": "LOST"}), "the order has not been in LOST"),
        (json!({"field": "grams", "known": true}), "grams is known"),
        (json!({"field": "grams", "at_least": 0}), "grams is at least 0"),
    ] {
        let expected = format!("{path}.0: {told} always holds in ON_THE_WAY");
        breaks(DefectKind::GuardAlwaysHolds, &expected, path, json!([condition]));
    }
}

#[test]
fn guards_that_may_hold_and_may_fail_are_good() {
    let path = "states.ON_THE_WAY.transitions.ARRIVED.when";
    for guard in [
        json!([{"field": "size", "known": false}]),
        json!([{"field": "size", "any_of": ["SMALL", "LARGE"]}]),
        json!([{"field": "grams", "is_not": 0}]),
        json!([{"field": "grams", "at_least": 7, "at_most": 8}, {"field": "grams", "is_not": 7}]),
        json!([{"field": "note", "is_not": "abc"}, {"field": "fragile", "is": true}]),
        json!([{"been_in": "BY_HAND"}]),
    ] {
        Graph::check(document(|document| put(document, path, guard))).unwrap_or_else(|defects| panic!("{defects:#?}"));
    }
}

#[test]
fn a_way_sets_what_events_bring_to_what_it_may_be() {
    let place = "states.NEW.transitions.FORGOTTEN.sets.";
    for (field, value, why) in [
        ("colour", json!("RED"), "field colour is not defined"),
        (
            "grams",
            json!(99_999),
            "grams is 99999, expected a whole number from 0 to 30000",
        ),
        (
            "successor",
            json!("0192f0a0-0000-7000-8000-000000000001"),
            "successor is filled by the engine",
        ),
    ] {
        let path = format!("{place}{field}");
        breaks(DefectKind::SetsUnfit, &format!("{path}: {why}"), &path, value);
    }
}

#[test]
fn a_successor_takes_over_where_an_order_ends() {
    let path = "states.NEW.transitions.WEIGHED.successor";
    let expected = format!(
        "{path}: successor successor: expected a required uuid field with source engine, and a transition to a terminal \
         state"
    );

    breaks(DefectKind::SuccessorUnfit, &expected, path, json!("successor"));
}

#[test]
fn a_disposition_is_for_an_event_that_does_not_lead_out() {
    let place = "states.ON_THE_WAY.otherwise.";
    for (event, said, why) in [
        (
            "ARRIVED",
            json!({"is": "note"}),
            "ARRIVED leads out of ON_THE_WAY: there is nothing else that it could mean",
        ),
        (
            "NONSENSE",
            json!({"is": "note"}),
            "NONSENSE is not an event of this graph",
        ),
        (
            "CARRIED",
            json!({"is": "note", "for": "PT1H"}),
            "only what is parked has a time, CARRIED is note",
        ),
    ] {
        let path = format!("{place}{event}");
        breaks(DefectKind::MisplacedDisposition, &format!("{path}: {why}"), &path, said);
    }
}

#[test]
fn nothing_is_parked_for_ever() {
    let path = "states.ON_THE_WAY.otherwise.CARRIED";
    let expected = format!("{path}: CARRIED is parked in ON_THE_WAY, but no way leads on to a state that takes it");

    let way = breaks(DefectKind::ParkedForEver, &expected, path, json!({"is": "park"}));

    assert!(way.is_some());
}

#[test]
fn dispositions_tags_and_parking_times_are_known_words() {
    let path = "states.ON_THE_WAY.otherwise.CARRIED";
    breaks(
        DefectKind::UnknownWord,
        &format!(
            "{path}.is: disposition ignore does not exist, expected one of note, duplicate, stale, park, conflict, operator"
        ),
        path,
        json!({"is": "ignore"}),
    );
    breaks(
        DefectKind::BadDuration,
        "states.NEW.otherwise.CARRIED.for: expected an ISO 8601 duration such as PT1H",
        "states.NEW.otherwise",
        json!({"CARRIED": {"is": "park", "for": "soon"}}),
    );
    breaks(
        DefectKind::UnknownWord,
        "states.NEW.tags.0: tag shiny does not exist, expected one of happy, cancellable, modifiable",
        "states.NEW.tags",
        json!(["shiny"]),
    );
}

#[test]
fn bounds_are_for_integers_and_the_right_way_round() {
    breaks(
        DefectKind::MisplacedAttribute,
        "fields.note.minimum: note is of type string, only an integer has minimum",
        "fields.note.minimum",
        json!(1),
    );
    breaks(
        DefectKind::LengthOutOfRange,
        "fields.grams.minimum: minimum is 30001, expected 30000 at most, the maximum",
        "fields.grams.minimum",
        json!(30_001),
    );
}

#[test]
fn an_end_hands_on_to_nothing_and_nothing_in_it_is_modifiable() {
    let found = defects("states.DONE.automatic", json!(["ARRIVED"]));
    let kinds: Vec<DefectKind> = found.iter().map(|defect| defect.kind).collect();
    assert_eq!(
        kinds,
        [DefectKind::TerminalWithDeadline, DefectKind::AutomaticEventUnknown]
    );

    let expected = "states.DONE.tags: DONE is terminal, nothing can be changed in it";
    breaks(
        DefectKind::ModifiableEnd,
        expected,
        "states.DONE.tags",
        json!(["modifiable"]),
    );
}

#[test]
fn what_is_tagged_cancellable_can_be_cancelled() {
    let expected = "states.NEW.tags: NEW is tagged cancellable, but no transition leads to an end that is cancelled";

    breaks(
        DefectKind::CancellableWithoutWay,
        expected,
        "states.NEW.tags",
        json!(["cancellable"]),
    );
}

#[test]
fn what_can_be_cancelled_is_tagged_so_where_anything_is() {
    let spoiled = document(|document| {
        put(document, "states.DONE.outcome", json!("cancelled"));
        put(
            document,
            "states.NEW.transitions.CALLED_OFF",
            json!({"to": "DONE", "actors": ["customer"]}),
        );
        put(document, "states.NEW.tags", json!(["cancellable"]));
    });

    let found = Graph::check(spoiled).unwrap_err();

    assert_eq!(found[0].kind, DefectKind::CancellableWithoutWay);
    assert_eq!(
        found[0].detail,
        "ARRIVED cancels, but ON_THE_WAY is not tagged cancellable"
    );
}

#[test]
fn happy_states_are_one_way_to_success() {
    let tag = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let spoiled = document(|document| {
            for name in names {
                put(document, &format!("states.{name}.tags"), json!(["happy"]));
            }
        });
        Graph::check(spoiled).map_or_else(|defects| defects[0].detail.clone(), |_| "good".to_owned())
    };

    assert_eq!(tag(&["NEW", "WEIGHED", "ON_THE_WAY", "DONE"]), "good");
    assert_eq!(
        tag(&["WEIGHED"]),
        "NEW is the initial state and not tagged happy, as others are"
    );
    assert_eq!(
        tag(&["NEW", "WEIGHED"]),
        "the happy path ends in WEIGHED, expected it to end in a success"
    );
    assert_eq!(
        tag(&["NEW", "WEIGHED", "BY_HAND", "ON_THE_WAY", "DONE"]),
        "the happy path forks in WEIGHED: BY_HAND, ON_THE_WAY"
    );
}

#[test]
fn the_way_without_a_field_is_the_counter_example() {
    let spoiled = document(|document| {
        put(
            document,
            "states.ON_THE_WAY.transitions.FORGOTTEN.requires",
            json!(["size"]),
        );
        put(document, "states.WEIGHED.transitions.SENT.requires", json!(["size"]));
    });

    let found = Graph::check(spoiled).unwrap_err();

    assert_eq!(found[0].kind, DefectKind::DeadlineAsksInput);
    let way = found[0].way.as_deref().expect("a way");
    assert!(way.ends_with("-> ON_THE_WAY") && !way.contains("SENT"), "{way}");
}
