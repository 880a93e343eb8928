//! What an event means for an order: the transitions it makes, or the refusal.

use chrono::TimeDelta;
use waybill_domain::{Change, DeliveryOrder, FieldValue, Graph, Refusal, Revision, Role, Timestamp, Transition};

use crate::support::{
    With, a_new_order, an_id, delivered, event, failed, noon, picked_up, shipped, small_document, take,
};

fn refusal(order: &DeliveryOrder, graph: &Graph, event: waybill_domain::Event) -> Refusal {
    order.decide(graph, event, noon()).expect_err("a refusal")
}

fn effects(transition: &Transition) -> Vec<&str> {
    transition.effects.iter().map(|effect| effect.name.as_str()).collect()
}

fn an_order_after(graph: &Graph, events: impl IntoIterator<Item = waybill_domain::Event>) -> DeliveryOrder {
    let mut order = a_new_order(graph);
    for event in events {
        take(&mut order, graph, event);
    }
    order
}

#[test]
fn an_order_is_born_in_the_initial_state() {
    let graph = shipped();
    let event = event("PAYMENT_SUCCEEDED", Role::PaymentService).with("note", "handle with care");

    let (order, birth) = DeliveryOrder::born(an_id(), &graph, event, noon());

    assert_eq!(order.state, "CREATED");
    assert_eq!(
        (order.rank, order.revision, order.graph_version),
        (0, Revision(1), graph.version())
    );
    assert_eq!(
        order.visited.iter().map(|state| state.as_str()).collect::<Vec<_>>(),
        ["CREATED"]
    );
    assert_eq!(order.fields["note"], "handle with care".into());
    assert_eq!(
        (birth.change, birth.from.as_ref(), birth.to.as_str()),
        (Change::Born, None, "CREATED")
    );
    assert_eq!(
        (birth.event.as_str(), birth.key.as_str()),
        ("PAYMENT_SUCCEEDED", "PAYMENT_SUCCEEDED-1")
    );
    assert_eq!(effects(&birth), ["book_delivery_partner"]);
    let deadline = birth.deadline.unwrap();
    assert_eq!(
        (deadline.event.as_str(), deadline.at),
        ("PICKUP_OVERDUE", noon() + TimeDelta::hours(48))
    );
}

#[test]
fn a_good_event_moves_the_order_along_its_edge() {
    let graph = shipped();
    let order = a_new_order(&graph);

    let transitions = order.decide(&graph, picked_up(), noon()).unwrap();

    let [transition] = transitions.as_slice() else {
        panic!("{transitions:?}")
    };
    assert_eq!((transition.change, transition.revision), (Change::Moved, Revision(2)));
    assert_eq!(
        (transition.from.as_ref().unwrap().as_str(), transition.to.as_str()),
        ("CREATED", "PICKED_UP")
    );
    assert_eq!((transition.rank, transition.inferred), (1, false));
    assert_eq!(transition.fields["partner_order_number"], "P-17".into());
    assert_eq!(effects(transition), ["notify_customer"]);
    assert_eq!(transition.deadline.as_ref().unwrap().at, noon() + TimeDelta::days(7));
}

#[test]
fn deciding_changes_nothing_until_it_is_applied() {
    let graph = shipped();
    let mut order = a_new_order(&graph);
    let before = order.clone();

    let transitions = order.decide(&graph, picked_up(), noon()).unwrap();

    assert_eq!(order, before);
    order.apply(&transitions[0]);
    assert_eq!(
        (order.state.as_str(), order.rank, order.revision),
        ("PICKED_UP", 1, Revision(2))
    );
}

#[test]
fn instants_are_kept_to_the_microsecond() {
    let graph = shipped();
    let precise: Timestamp = "2026-11-20T12:00:00.123456789Z".parse().unwrap();
    let mut event = picked_up();
    event.occurred_at = precise;

    let moved = a_new_order(&graph)
        .decide(&graph, event.clone(), precise)
        .unwrap()
        .remove(0);
    let noted = a_new_order(&graph).note(event, precise);

    for transition in [&moved, &noted] {
        assert_eq!((transition.at, transition.occurred_at), (noon(), noon()));
    }
    assert_eq!(moved.deadline.unwrap().at, noon() + TimeDelta::days(7));
}

#[test]
fn a_failure_is_handed_to_the_operator_in_the_same_decision() {
    let graph = shipped();
    let order = an_order_after(&graph, [picked_up()]);

    let transitions = order.decide(&graph, failed(), noon()).unwrap();

    let [failure, escalation] = transitions.as_slice() else {
        panic!("{transitions:?}")
    };
    assert_eq!(
        (failure.to.as_str(), failure.revision),
        ("DELIVERY_FAILED", Revision(3))
    );
    assert_eq!((effects(failure), &failure.deadline), (vec!["notify_customer"], &None));
    assert_eq!(escalation.from.as_ref().unwrap().as_str(), "DELIVERY_FAILED");
    assert_eq!(
        (escalation.to.as_str(), escalation.revision),
        ("PENDING_BY_OPERATOR", Revision(4))
    );
    assert_eq!(
        (escalation.event.as_str(), escalation.key.as_str()),
        ("ESCALATED", "PARTNER_FAILED-1/ESCALATED")
    );
    assert_eq!(
        (escalation.actor.role, escalation.inferred, escalation.fields.len()),
        (Role::System, false, 0)
    );
    assert_eq!(effects(escalation), ["open_operator_case"]);
    assert!(escalation.rank > failure.rank);
}

#[test]
fn states_that_hand_on_at_once_may_follow_each_other() {
    let mut document = small_document();
    let pending = document.states.get_mut("PENDING").unwrap();
    pending.deadline = Some(serde_json::from_str(r#"{"after": "PT0S", "event": "GIVEN_UP"}"#).unwrap());
    pending.requires = vec!["reason".to_owned()];
    let given_up = serde_json::from_str(r#"{"to": "DONE", "actors": ["system"]}"#).unwrap();
    pending.transitions.insert("GIVEN_UP".to_owned(), given_up);
    document
        .states
        .get_mut("CREATED")
        .unwrap()
        .transitions
        .remove("OVERDUE");
    document.states.get_mut("CREATED").unwrap().deadline = None;
    let graph = Graph::check(document).unwrap();
    let number = event("PICKED_UP", Role::DeliveryPartner).with("number", "P-1");
    let order = an_order_after(&graph, [number]);

    let failed = event("FAILED", Role::DeliveryPartner).with("reason", "LOST");
    let transitions = order.decide(&graph, failed, noon()).unwrap();

    let way: Vec<_> = transitions
        .iter()
        .map(|transition| (transition.to.as_str(), transition.key.as_str()))
        .collect();
    assert_eq!(
        way,
        [
            ("FAILED", "FAILED-1"),
            ("PENDING", "FAILED-1/ESCALATED"),
            ("DONE", "FAILED-1/ESCALATED/GIVEN_UP")
        ]
    );
}

#[test]
fn an_event_told_twice_is_a_duplicate() {
    let graph = shipped();
    let order = an_order_after(&graph, [picked_up()]);

    let refusal = refusal(&order, &graph, picked_up());

    assert_eq!(
        refusal,
        Refusal::Duplicate {
            state: "PICKED_UP".into(),
            event: "PARTNER_PICKED_UP".into()
        }
    );
    assert_eq!(
        refusal.to_string(),
        "PARTNER_PICKED_UP is a duplicate: the order is in PICKED_UP"
    );
}

#[test]
fn an_event_whose_target_was_left_is_stale() {
    let graph = shipped();
    let order = an_order_after(&graph, [picked_up(), delivered()]);

    let refusal = refusal(&order, &graph, picked_up());

    let (state, event, target) = ("DELIVERED".into(), "PARTNER_PICKED_UP".into(), "PICKED_UP".into());
    assert_eq!(refusal, Refusal::Stale { state, event, target });
}

#[test]
fn a_failure_told_twice_is_stale_because_the_operator_has_it_already() {
    let graph = shipped();
    let order = an_order_after(&graph, [failed()]);

    let refusal = refusal(&order, &graph, failed());

    assert!(matches!(refusal, Refusal::Stale { target, .. } if target == "DELIVERY_FAILED"));
}

#[test]
fn an_event_whose_start_is_still_ahead_is_early() {
    let graph = shipped();

    let refusal = refusal(&a_new_order(&graph), &graph, delivered());

    let (state, event) = ("CREATED".into(), "PARTNER_DELIVERED".into());
    assert_eq!(
        refusal,
        Refusal::Early {
            state,
            event,
            expected: "PICKED_UP".into(),
            target: "DELIVERED".into()
        }
    );
}

#[test]
fn an_event_that_its_reporter_may_not_report_later_either_is_not_early() {
    // A customer cancels before pick-up only; the payment service also while an operator decides.
    let graph = shipped();
    let order = an_order_after(&graph, [picked_up()]);
    let cancelled = |role| event("CANCELLED", role).with("cancel_reason", "PAYMENT_REVERSED");

    assert!(matches!(
        refusal(&order, &graph, cancelled(Role::Customer)),
        Refusal::Contradiction { .. }
    ));
    assert!(matches!(
        refusal(&order, &graph, cancelled(Role::PaymentService)),
        Refusal::Early { .. }
    ));
}

#[test]
fn a_failure_after_delivery_is_a_contradiction() {
    let graph = shipped();
    let order = an_order_after(&graph, [picked_up(), delivered()]);

    let refusal = refusal(&order, &graph, failed());

    assert_eq!(
        refusal,
        Refusal::Contradiction {
            state: "DELIVERED".into(),
            event: "PARTNER_FAILED".into()
        }
    );
    assert_eq!(
        refusal.to_string(),
        "PARTNER_FAILED is not allowed in DELIVERED: it contradicts what is known"
    );
}

#[test]
fn an_event_of_no_edge_is_unknown() {
    let graph = shipped();

    let refusal = refusal(&a_new_order(&graph), &graph, event("PARCEL_TELEPORTED", Role::Operator));

    assert_eq!(
        refusal,
        Refusal::UnknownEvent {
            event: "PARCEL_TELEPORTED".into()
        }
    );
}

#[test]
fn only_listed_roles_may_report() {
    let graph = shipped();
    let order = a_new_order(&graph);
    let by = |name: &str, role| refusal(&order, &graph, event(name, role));

    let partner = Refusal::WrongActor {
        role: Role::Customer,
        event: "PARTNER_PICKED_UP".into(),
    };
    assert_eq!(by("PARTNER_PICKED_UP", Role::Customer), partner);
    // Nothing is implied: an operator is no delivery partner.
    assert!(matches!(
        by("PARTNER_PICKED_UP", Role::Operator),
        Refusal::WrongActor { .. }
    ));
    // No edge here, and the role is on none elsewhere: the role is what is wrong.
    assert!(matches!(
        by("CUSTOMER_CONFIRMED", Role::DeliveryPartner),
        Refusal::WrongActor { .. }
    ));
}

#[test]
fn a_required_field_must_be_brought() {
    let graph = shipped();
    let order = a_new_order(&graph);
    let missing = Refusal::MissingField {
        field: "partner_order_number".into(),
        event: "PARTNER_PICKED_UP".into(),
    };

    assert_eq!(
        refusal(&order, &graph, event("PARTNER_PICKED_UP", Role::DeliveryPartner)),
        missing
    );
    for empty in ["", "  "] {
        assert_eq!(
            refusal(&order, &graph, picked_up().with("partner_order_number", empty)),
            missing,
            "{empty:?}"
        );
    }
}

#[test]
fn what_the_order_knows_need_not_be_brought_again() {
    let graph = shipped();
    let mut order = a_new_order(&graph);
    let note = event("PARTNER_NOTED", Role::DeliveryPartner).with("partner_order_number", "P-17");
    let noted = order.note(note, noon());
    order.apply(&noted);

    let bare = event("PARTNER_PICKED_UP", Role::DeliveryPartner);

    assert_eq!(order.decide(&graph, bare.clone(), noon()).unwrap()[0].to, "PICKED_UP");
    assert_eq!(
        order
            .decide(&graph, bare.with("partner_order_number", ""), noon())
            .unwrap()[0]
            .to,
        "PICKED_UP"
    );
}

#[test]
fn a_field_that_only_the_transition_requires_is_required_too() {
    let graph = shipped();
    let order = an_order_after(&graph, [failed()]);
    let established = event("RECEIPT_ESTABLISHED", Role::Operator);

    assert!(matches!(
        refusal(&order, &graph, established.clone()),
        Refusal::MissingField { field, .. } if field == "operator_note"
    ));
    let told = established.with("operator_note", "the neighbour has it");
    assert_eq!(order.decide(&graph, told, noon()).unwrap()[0].to, "DELIVERY_CONFIRMED");
}

#[test]
fn the_successor_comes_from_the_engine() {
    let graph = shipped();
    let order = an_order_after(&graph, [failed()]);
    let arranged = event("REDELIVERY_ARRANGED", Role::Operator);
    let successor = arranged
        .clone()
        .with("replacement_delivery_order_id", "0192f0a0-0000-7000-8000-000000000001");

    assert!(matches!(
        refusal(&order, &graph, arranged.clone()),
        Refusal::MissingField { .. }
    ));
    assert_eq!(
        order.decide(&graph, successor.clone(), noon()).unwrap()[0].to,
        "REPLACED"
    );
    assert_eq!(graph.accept_reported(&arranged.fields), Ok(()));
    assert_eq!(
        graph.accept_reported(&successor.fields).unwrap_err().to_string(),
        "replacement_delivery_order_id must be left out, it is filled by the engine"
    );
}

#[test]
fn a_field_that_the_graph_does_not_know_is_refused() {
    let graph = shipped();

    let refusal = refusal(&a_new_order(&graph), &graph, picked_up().with("colour", "red"));

    assert_eq!(refusal, Refusal::UnknownField { field: "colour".into() });
}

#[test]
fn a_value_must_be_of_its_fields_type() {
    let graph = shipped();
    let created = a_new_order(&graph);
    let pending = an_order_after(&graph, [failed()]);
    let bad = |order: &DeliveryOrder, event, field: &str, value: FieldValue| {
        let mut event: waybill_domain::Event = event;
        event.fields.insert(field.into(), value);
        refusal(order, &graph, event).to_string()
    };
    let long = "x".repeat(65);
    let cancelled = event("CANCELLED", Role::Customer);
    let arranged = event("REDELIVERY_ARRANGED", Role::Operator);
    let text = "partner_order_number must be text of at most 64 characters without NUL";
    let number = "partner_order_number";

    assert_eq!(bad(&created, picked_up(), number, long.as_str().into()), text);
    assert_eq!(bad(&created, picked_up(), number, "a\0b".into()), text);
    assert_eq!(bad(&created, picked_up(), number, FieldValue::Integer(17)), text);
    assert_eq!(bad(&created, picked_up(), number, FieldValue::Flag(true)), text);
    assert_eq!(
        bad(&created, cancelled, "cancel_reason", "BORED".into()),
        "cancel_reason must be one of PAYMENT_REVERSED, CUSTOMER_REQUEST, OPERATOR_DECISION"
    );
    assert_eq!(
        bad(&pending, arranged, "replacement_delivery_order_id", "soon".into()),
        "replacement_delivery_order_id must be a UUID"
    );
}

#[test]
fn length_is_counted_in_characters() {
    let graph = shipped();
    let order = a_new_order(&graph);

    let umlauts = picked_up().with("partner_order_number", &"ü".repeat(64));

    assert_eq!(order.decide(&graph, umlauts, noon()).unwrap()[0].to, "PICKED_UP");
}

#[test]
fn optional_fields_are_checked_and_kept() {
    let graph = shipped();
    let mut order = a_new_order(&graph);

    let unknown = event("PARTNER_FAILED", Role::DeliveryPartner)
        .with("failure_reason", "UNKNOWN")
        .with("failure_raw", "E-4711")
        .with("note", "gate closed");
    take(&mut order, &graph, unknown);

    assert_eq!(order.fields["failure_raw"], "E-4711".into());
    assert_eq!(order.fields["note"], "gate closed".into());
}

#[test]
fn the_role_is_refused_before_the_fields() {
    let graph = shipped();
    let order = a_new_order(&graph);

    let wrong_everywhere = event("PARTNER_PICKED_UP", Role::Customer).with("colour", "red");

    assert!(matches!(
        refusal(&order, &graph, wrong_everywhere),
        Refusal::WrongActor { .. }
    ));
}

#[test]
fn what_is_inferred_is_marked() {
    let graph = shipped();
    let mut inferred = picked_up();
    inferred.inferred = true;

    let transitions = a_new_order(&graph).decide(&graph, inferred, noon()).unwrap();

    assert!(transitions[0].inferred);
}

#[test]
fn a_deadline_beyond_the_calendar_is_the_end_of_it() {
    let graph = shipped();

    let transitions = a_new_order(&graph)
        .decide(&graph, picked_up(), Timestamp::MAX_UTC)
        .unwrap();

    assert_eq!(transitions[0].deadline.as_ref().unwrap().at, Timestamp::MAX_UTC);
}
