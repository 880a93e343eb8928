//! Moving orders to another version: who may, what their log says then, and what becomes of deadlines.

use std::sync::Arc;

use chrono::TimeDelta;
use waybill_domain::{
    Actor, ArmedDeadline, Change, Event, Fields, Graph, GraphDocument, GraphVersion, Instance, Migration,
    MigrationError, OrderId, Role, StateMapping, Timestamp, Transition,
};

use crate::support::{noon, shipped, shipped_document};

/// An order that has come so far on version 1, and its log.
fn order(events: &[&str]) -> (Instance, Vec<Transition>) {
    let graph = shipped();
    let event = |name: &str| {
        let fields = match name {
            "PARTNER_PICKED_UP" => Fields::from([("partner_order_number".into(), "N-1".into())]),
            "PARTNER_FAILED" => Fields::from([("failure_reason".into(), "WEATHER_OR_FORCE_MAJEURE".into())]),
            _ => Fields::new(),
        };
        Event {
            name: name.into(),
            key: name.to_owned(),
            actor: Actor {
                role: Role::Service,
                id: "shop".to_owned(),
            },
            fields,
            inferred: false,
            occurred_at: noon(),
        }
    };
    let (mut order, birth) = Instance::born(
        OrderId(uuid::Uuid::nil()),
        &graph,
        event("DELIVERY_ORDER_CREATED"),
        noon(),
    );
    let mut log = vec![birth];
    for name in events {
        for transition in order.decide(&graph, event(name), noon()).expect("it is allowed") {
            order.apply(&transition);
            log.push(transition);
        }
    }
    (order, log)
}

/// The way to version 2, which is version 1 after a change.
fn migration(change: impl FnOnce(&mut GraphDocument), mapping: &[(&str, &str)]) -> Migration {
    let mut document = shipped_document();
    document.version = 2;
    change(&mut document);
    let newer = Graph::check(document).unwrap_or_else(|defects| panic!("{defects:#?}"));
    let mapping = mapping.iter().map(|(old, new)| ((*old).into(), (*new).into()));
    Migration::plan(Arc::new(shipped()), Arc::new(newer), mapping.collect()).expect("a plan")
}

/// Decides a day after the order came to where it stands.
fn decide(migration: &Migration, order: &Instance, armed: Option<&ArmedDeadline>) -> Result<Transition, Vec<String>> {
    let ada = Actor {
        role: Role::Operator,
        id: "ada".to_owned(),
    };
    migration.decide(order, armed, noon(), ada, a_day_later())
}

fn a_day_later() -> Timestamp {
    noon() + TimeDelta::days(1)
}

/// Renames a state, wherever it is named.
fn rename(document: &mut GraphDocument, old: &str, new: &str) {
    let state = document.states.remove(old).expect("a state");
    document.states.insert(new.to_owned(), state);
    let edges = document
        .states
        .values_mut()
        .flat_map(|state| state.transitions.values_mut());
    for edge in edges.filter(|edge| edge.to == old) {
        new.clone_into(&mut edge.to);
    }
}

#[test]
fn an_order_goes_on_by_the_new_version_and_its_log_replays_to_it() {
    let migration = migration(|_| (), &[]);
    let (mut order, mut log) = order(&["PARTNER_PICKED_UP"]);

    let moved = decide(&migration, &order, None).expect("it may move");
    order.apply(&moved);
    log.push(moved.clone());

    assert_eq!(
        (moved.change, moved.event.as_str(), moved.actor.id.as_str()),
        (Change::Migrated, "GRAPH_MIGRATED", "ada")
    );
    assert_eq!(moved.migrated(), Some((GraphVersion(1), GraphVersion(2))));
    assert_eq!(
        (moved.revision.0, &moved.from, &moved.to),
        (3, &Some("PICKED_UP".into()), &"PICKED_UP".into())
    );
    assert!(moved.effects.is_empty());
    assert_eq!(order.graph_version, GraphVersion(2));
    assert!(!order.fields.contains_key("to_version"), "{:?}", order.fields);
    assert_eq!(Instance::replay(&log, GraphVersion(1)), Some(order));
}

#[test]
fn a_state_that_is_called_otherwise_is_mapped_with_the_history() {
    let migration = migration(
        |document| rename(document, "PICKED_UP", "COLLECTED"),
        &[("PICKED_UP", "COLLECTED")],
    );
    for (events, stands) in [
        (&["PARTNER_PICKED_UP"][..], "COLLECTED"),
        (&["PARTNER_PICKED_UP", "PARTNER_DELIVERED"][..], "DELIVERED"),
    ] {
        let (mut order, mut log) = order(events);

        let moved = decide(&migration, &order, None).expect("it may move");
        order.apply(&moved);
        log.push(moved);

        assert_eq!(order.state, stands);
        assert!(
            order.visited.contains("COLLECTED") && !order.visited.contains("PICKED_UP"),
            "{:?}",
            order.visited
        );
        assert_eq!(Instance::replay(&log, GraphVersion(1)), Some(order));
    }
}

#[test]
fn a_state_that_was_removed_keeps_those_that_are_or_were_in_it() {
    let migration = migration(|document| rename(document, "PICKED_UP", "COLLECTED"), &[]);
    let why = |events: &[&str]| {
        decide(&migration, &order(events).0, None)
            .expect_err("it stays")
            .join("; ")
    };

    assert_eq!(why(&["PARTNER_PICKED_UP"]), "PICKED_UP was removed");
    assert_eq!(
        why(&["PARTNER_PICKED_UP", "PARTNER_DELIVERED"]),
        "it was in PICKED_UP, which was removed"
    );
    assert_eq!(why(&[]), "PARTNER_PICKED_UP led to PICKED_UP and leads to COLLECTED");
}

#[test]
fn what_an_order_knows_decides_for_it_alone() {
    let migration = migration(
        |document| {
            let values = &mut document.fields.get_mut("failure_reason").expect("a field").values;
            values.retain(|value| value != "WEATHER_OR_FORCE_MAJEURE");
        },
        &[],
    );

    let knows = decide(&migration, &order(&["PARTNER_FAILED"]).0, None);
    let does_not = decide(&migration, &order(&["OPERATOR_ESCALATED"]).0, None);

    assert_eq!(knows.unwrap_err(), ["its failure_reason is no longer good"]);
    assert_eq!(does_not.expect("it may move").to, "PENDING_BY_OPERATOR");
}

#[test]
fn nobody_is_moved_to_where_they_have_been_or_out_of_life() {
    let back = migration(|_| (), &[("PICKED_UP", "CREATED")]);
    let ended = migration(|_| (), &[("PICKED_UP", "DELIVERY_CONFIRMED")]);
    let (order, _) = order(&["PARTNER_PICKED_UP"]);

    let why = |migration: &Migration| decide(migration, &order, None).expect_err("it stays").join("; ");

    assert!(why(&back).contains("it was in CREATED before"), "{}", why(&back));
    assert!(
        why(&ended).contains("PICKED_UP was active and is terminal"),
        "{}",
        why(&ended)
    );
}

#[test]
fn a_mapping_says_what_events_mean_from_then_on() {
    let change = |document: &mut GraphDocument| {
        let created = document.states.get_mut("CREATED").expect("a state");
        created.transitions.remove("BOOKING_FAILED");
    };
    let unsaid = migration(change, &[]);
    let said = migration(change, &[("CREATED", "CREATED")]);
    let (order, _) = order(&[]);

    assert_eq!(
        decide(&unsaid, &order, None).unwrap_err(),
        ["BOOKING_FAILED was removed"]
    );
    assert!(decide(&said, &order, None).is_ok());
    assert_eq!(said.changes(&"CREATED".into()), ["BOOKING_FAILED was removed"]);
}

#[test]
fn a_deadline_is_kept_where_it_is_the_same_and_counts_from_the_entry_where_it_is_not() {
    let (order, log) = order(&[]);
    let armed = log[0].deadline.clone().expect("a deadline");
    let deadline = |change: fn(&mut GraphDocument)| {
        decide(&migration(change, &[]), &order, Some(&armed))
            .expect("it may move")
            .deadline
    };

    let same = deadline(|_| ());
    let longer = deadline(|document| {
        let created = document.states.get_mut("CREATED").expect("a state");
        created.deadline.as_mut().expect("a deadline").after = "PT72H".to_owned();
    });
    let shorter = deadline(|document| {
        let created = document.states.get_mut("CREATED").expect("a state");
        created.deadline.as_mut().expect("a deadline").after = "PT12H".to_owned();
    });

    assert_eq!(same, Some(armed.clone()));
    assert_eq!(longer.expect("a deadline").at, noon() + TimeDelta::hours(72));
    assert!(shorter.expect("a deadline").at < a_day_later(), "it is due at once");
}

#[test]
fn a_plan_needs_two_versions_of_one_machine_and_states_that_they_have() {
    let one = Arc::new(shipped());
    let mut document = shipped_document();
    document.version = 2;
    let two = Arc::new(Graph::check(document).expect("a good graph"));
    let mapping = |old: &str, new: &str| [(old.into(), new.into())].into_iter().collect::<StateMapping>();
    let refused = |to: &Arc<Graph>, mapping| Migration::plan(one.clone(), to.clone(), mapping).expect_err("no plan");

    let same = refused(&one, StateMapping::default());
    let unknown_old = refused(&two, mapping("LOST", "CREATED"));
    let unknown_new = refused(&two, mapping("CREATED", "LOST"));

    assert!(matches!(same, MigrationError::NotTwoVersions(..)), "{same}");
    assert_eq!(unknown_old.to_string(), "version 1 has no state LOST");
    assert_eq!(unknown_new.to_string(), "version 2 has no state LOST");
}
