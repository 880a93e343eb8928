//! The other machines on the same engine: every way of theirs is walked, and their business rules hold.

use waybill_domain::{
    Change, DeliveryOrder, Disposition, Event, Fields, Graph, Instance, Refusal, Role, Stop, Tag, Transition,
};

use crate::support::{With, an_id, event, noon, shipped};

const ORDER: &str = include_str!("../fixtures/order-v1.json");
const FOOD: &str = include_str!("../fixtures/food-order-v1.json");

fn graph(text: &str) -> Graph {
    let document = serde_json::from_str(text).expect("a document");
    Graph::check(document).unwrap_or_else(|defects| panic!("{defects:#?}"))
}

fn every_machine() -> [Graph; 3] {
    [shipped(), graph(ORDER), graph(FOOD)]
}

fn born(graph: &Graph, fields: &[(&str, waybill_domain::FieldValue)]) -> (Instance, Transition) {
    let mut birth = event("BORN", Role::Service);
    birth.fields = fields
        .iter()
        .map(|(name, value)| ((*name).into(), value.clone()))
        .collect();
    Instance::born(an_id(), graph, birth, noon())
}

/// Takes each event by that role; answers the transitions of the last one.
fn live(order: &mut Instance, graph: &Graph, events: &[(&str, Role)]) -> Vec<Transition> {
    let mut last = Vec::new();
    for (name, role) in events {
        last = order
            .decide(graph, filled(graph, name, *role), noon())
            .unwrap_or_else(|refusal| panic!("{refusal}"));
        last.iter().for_each(|transition| order.apply(transition));
    }
    last
}

/// An event with all that it asks for.
fn filled(graph: &Graph, name: &str, role: Role) -> Event {
    let asked = |report: Event, field: &str| match field {
        "cancel_reason" => report.with(field, "CUSTOMER_REQUEST"),
        "return_reason" => report.with(field, "DAMAGED"),
        _ => report.with(field, "X-1"),
    };
    let asks = graph.edges(name).flat_map(|(_, edge)| edge.asks().to_vec());
    asks.fold(event(name, role), |report, field| asked(report, field.as_str()))
}

fn effects(transition: &Transition) -> Vec<&str> {
    transition.effects.iter().map(|effect| effect.name.as_str()).collect()
}

fn stop(order: &mut Instance, graph: &Graph, stop: &Stop) -> Vec<Transition> {
    let mut report = event(stop.event.as_str(), stop.role);
    report.key = format!("{}-{}", stop.event, order.revision);
    report.fields = stop.fields.clone();
    // What the engine fills.
    let engine = graph
        .edge(order.state.as_str(), stop.event.as_str())
        .and_then(|edge| edge.successor.clone());
    report
        .fields
        .extend(engine.map(|field| (field, an_id().to_string().into())));
    let taken = order
        .decide(graph, report, noon())
        .unwrap_or_else(|refusal| panic!("{refusal}"));
    taken.iter().for_each(|transition| order.apply(transition));
    taken
}

#[test]
fn every_way_of_every_machine_can_be_walked_to_its_end() {
    for (graph, expected) in every_machine().iter().zip([42, 8, 27]) {
        let ways = graph.ways();
        assert_eq!(
            (ways.len() as u64, ways.len()),
            (graph.count_ways(), expected),
            "{}",
            graph.machine()
        );
        for way in ways {
            let names: Vec<&str> = way.iter().map(|(_, edge)| edge.event.as_str()).collect();
            let plan = graph
                .plan(&way, "X-1")
                .unwrap_or_else(|| panic!("{} {names:?}", graph.machine()));
            let (mut order, birth) = born(graph, &[]);
            let mut log = vec![birth];
            for planned in &plan {
                let taken = stop(&mut order, graph, planned);
                let states: Vec<_> = taken.iter().map(|transition| transition.to.clone()).collect();
                assert_eq!(states, planned.states, "{names:?}");
                log.extend(taken);
            }

            let moved = log.iter().filter(|row| row.change == Change::Moved);
            assert!(moved.map(|row| row.event.as_str()).eq(names.iter().copied()));
            assert!(
                log.windows(2)
                    .all(|rows| rows[0].rank < rows[1].rank && rows[0].revision < rows[1].revision)
            );
            assert!(
                graph
                    .state(order.state.as_str())
                    .is_some_and(|state| state.outcome.is_some())
            );
            assert_eq!(Instance::replay(&log, graph.version()), Some(order));
        }
    }
}

#[test]
fn an_instance_is_born_with_good_fields_of_its_graph() {
    let graph = graph(ORDER);
    let born = |graph: &Graph, name: &str, value: waybill_domain::FieldValue| {
        graph.accept_birth(&Fields::from([(name.into(), value)]))
    };

    assert_eq!(graph.accept_birth(&Fields::new()), Ok(()));
    assert_eq!(born(&graph, "returnable", true.into()), Ok(()));
    let unknown = born(&graph, "colour", "red".into());
    assert!(matches!(unknown, Err(Refusal::UnknownField { .. })), "{unknown:?}");
    let wrong = born(&graph, "returnable", "yes".into());
    assert!(matches!(wrong, Err(Refusal::BadField { .. })), "{wrong:?}");
    let filled = born(&shipped(), "replacement_delivery_order_id", an_id().to_string().into());
    assert!(matches!(filled, Err(Refusal::BadField { .. })), "the engine fills it");
}

#[test]
fn a_service_speaks_for_all_but_operators_and_waybill() {
    let spoken_for: Vec<Role> = Role::ALL
        .into_iter()
        .filter(|role| role.has_a_voice_elsewhere())
        .collect();

    assert_eq!(
        spoken_for,
        [
            Role::DeliveryPartner,
            Role::Customer,
            Role::Service,
            Role::PaymentService
        ]
    );
}

#[test]
fn no_pair_of_state_and_event_is_left_open_and_the_decision_is_the_disposition() {
    for graph in every_machine() {
        for state in graph.states() {
            for name in graph.states().flat_map(|state| state.edges.keys()) {
                let disposition = graph.disposition(state.name.as_str(), name.as_str());
                assert!(disposition.is_some(), "{} in {}", name, state.name);
                assert_eq!(disposition == Some(Disposition::Move), state.edges.contains_key(name));
            }
        }
        assert_eq!(graph.disposition(graph.initial().name.as_str(), "NONSENSE"), None);
    }
}

#[test]
fn refusals_on_every_way_are_what_the_dispositions_say() {
    for graph in every_machine() {
        let names: Vec<_> = graph.states().flat_map(|state| state.edges.keys().cloned()).collect();
        for way in graph.ways() {
            let (mut order, _) = born(&graph, &[]);
            for planned in graph.plan(&way, "X-1").expect("every way can be walked") {
                for name in &names {
                    agrees(&graph, &order, name.as_str());
                }
                stop(&mut order, &graph, &planned);
            }
        }
    }
}

/// Somebody who may report it elsewhere reports it here.
fn agrees(graph: &Graph, order: &DeliveryOrder, name: &str) {
    let said = graph.disposition(order.state.as_str(), name).expect("no pair is open");
    if said == Disposition::Move {
        return;
    }
    for role in graph.edges(name).flat_map(|(_, edge)| edge.actors.clone()) {
        let refusal = order
            .decide(graph, event(name, role), noon())
            .expect_err("it leads nowhere");
        // What this reporter may never take, and what this order has not been in, contradicts; it may also be ahead.
        let agrees = matches!(
            (&refusal, said),
            (Refusal::Noted { .. }, Disposition::Note)
                | (Refusal::Duplicate { .. }, Disposition::Duplicate)
                | (Refusal::Stale { .. } | Refusal::Early { .. }, Disposition::Stale)
                | (Refusal::Early { .. }, Disposition::Park(_))
                | (Refusal::ForOperator { .. }, Disposition::Operator)
                | (
                    Refusal::Contradiction { .. },
                    Disposition::Conflict | Disposition::Stale | Disposition::Park(_)
                )
        );
        assert!(agrees, "{name} by {role} in {}: {said}, {refusal}", order.state);
    }
}

#[test]
fn an_order_is_cancelled_only_before_it_is_shipped() {
    let graph = graph(ORDER);
    let way = [
        ("PAYMENT_SUCCEEDED", Role::PaymentService),
        ("GOODS_SHIPPED", Role::Service),
        ("GOODS_DELIVERED", Role::DeliveryPartner),
    ];
    let can_cancel = (0..=3).map(|steps| {
        let (mut order, _) = born(&graph, &[]);
        live(&mut order, &graph, &way[..steps]);
        order.decide(&graph, filled(&graph, "ORDER_CANCELLED", Role::Customer), noon())
    });
    let answers: Vec<_> = can_cancel.collect();

    assert!(answers[0].is_ok() && answers[1].is_ok());
    assert!(
        matches!(answers[2], Err(Refusal::ForOperator { .. })),
        "{:?}",
        answers[2]
    );
    assert!(
        matches!(answers[3], Err(Refusal::Contradiction { .. })),
        "{:?}",
        answers[3]
    );
}

#[test]
fn an_order_is_returned_only_after_it_was_delivered_and_only_if_it_may_be() {
    let graph = graph(ORDER);
    let to_the_door = [
        ("PAYMENT_SUCCEEDED", Role::PaymentService),
        ("GOODS_SHIPPED", Role::Service),
        ("GOODS_DELIVERED", Role::DeliveryPartner),
    ];
    let returned = || filled(&graph, "GOODS_RETURNED", Role::Customer);
    let (mut early, _) = born(&graph, &[("returnable", true.into())]);
    live(&mut early, &graph, &to_the_door[..2]);
    let (mut food, _) = born(&graph, &[("returnable", false.into())]);
    live(&mut food, &graph, &to_the_door);
    let (mut book, _) = born(&graph, &[("returnable", true.into())]);
    live(&mut book, &graph, &to_the_door);

    assert!(matches!(
        early.decide(&graph, returned(), noon()),
        Err(Refusal::Early { .. })
    ));
    let refusal = food.decide(&graph, returned(), noon()).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "GOODS_RETURNED is not allowed in DELIVERED: expected that returnable is true"
    );
    let taken = book.decide(&graph, returned(), noon()).unwrap();
    assert_eq!(
        effects(&taken[0]),
        ["recall_goods", "refund_payment", "release_stock", "tell_customer"]
    );
}

#[test]
fn cancelling_takes_back_what_was_done_and_nothing_else() {
    let graph = graph(FOOD);
    let cancelled = ("ORDER_CANCELLED", Role::Operator);
    let (mut new, _) = born(&graph, &[]);
    let (mut paid, _) = born(&graph, &[]);
    let (mut cooking, _) = born(&graph, &[("confirms_by_itself", true.into())]);

    let first = live(&mut new, &graph, &[cancelled]);
    let second = live(
        &mut paid,
        &graph,
        &[("PAYMENT_CONFIRMED", Role::PaymentService), cancelled],
    );
    let way = [
        ("PAYMENT_CONFIRMED", Role::PaymentService),
        ("PREPARATION_STARTED", Role::Service),
        cancelled,
    ];
    let third = live(&mut cooking, &graph, &way);

    assert_eq!(effects(&first[0]), ["void_payment", "tell_customer"]);
    assert_eq!(
        effects(&second[0]),
        ["withdraw_from_restaurant", "void_payment", "tell_customer"]
    );
    let all = [
        "release_courier",
        "withdraw_from_restaurant",
        "void_payment",
        "tell_customer",
    ];
    assert_eq!(effects(&third[0]), all);
    let told = &third[0].effects[1];
    assert_eq!(
        told.task,
        Some(("restaurants.withdraw".to_owned(), "restaurants".to_owned()))
    );
    assert_eq!(told.arguments["reason"], "CUSTOMER_REQUEST".into());
    assert_eq!(told.arguments["order_id"], an_id().to_string().into());
}

#[test]
fn who_may_cancel_depends_on_how_far_the_food_is() {
    let graph = graph(FOOD);
    let may = |state: &str| -> Vec<Role> {
        let edge = graph.edge(state, "ORDER_CANCELLED");
        edge.map(|edge| edge.actors.iter().copied().collect())
            .unwrap_or_default()
    };

    assert_eq!(may("CONFIRMED"), [Role::Customer, Role::Operator, Role::Service]);
    assert_eq!(may("PREPARING"), [Role::Operator, Role::Service]);
    assert_eq!(may("READY"), [Role::Operator]);
    assert_eq!(may("PICKED_UP"), []);
    let (mut order, _) = born(&graph, &[("confirms_by_itself", true.into())]);
    let way = [
        ("PAYMENT_CONFIRMED", Role::PaymentService),
        ("PREPARATION_STARTED", Role::Service),
    ];
    live(&mut order, &graph, &way);
    let refusal = order
        .decide(&graph, filled(&graph, "ORDER_CANCELLED", Role::Customer), noon())
        .unwrap_err();
    assert!(
        matches!(
            refusal,
            Refusal::WrongActor {
                role: Role::Customer,
                ..
            }
        ),
        "{refusal}"
    );
}

#[test]
fn a_restaurant_that_takes_everything_confirms_in_the_same_decision() {
    let graph = graph(FOOD);
    let confirmed = event("PAYMENT_CONFIRMED", Role::PaymentService);
    let (asking, _) = born(&graph, &[]);
    let (taking, _) = born(&graph, &[("confirms_by_itself", true.into())]);

    let asked = asking.decide(&graph, confirmed.clone(), noon()).unwrap();
    let taken = taking.decide(&graph, confirmed, noon()).unwrap();

    let states = |rows: &[Transition]| -> Vec<String> { rows.iter().map(|row| row.to.to_string()).collect() };
    assert_eq!(states(&asked), ["PAYMENT_CONFIRMED"]);
    assert_eq!(states(&taken), ["PAYMENT_CONFIRMED", "CONFIRMED"]);
    assert_eq!(
        (taken[1].actor.role, taken[1].fields.clone()),
        (Role::System, Fields::new())
    );
}

#[test]
fn a_deadline_counts_from_what_the_order_knows() {
    let graph = graph(FOOD);
    let due = |fields: &[(&str, waybill_domain::FieldValue)]| {
        let (mut order, _) = born(&graph, fields);
        let way = [
            ("PAYMENT_CONFIRMED", Role::PaymentService),
            ("RESTAURANT_CONFIRMED", Role::Service),
            ("PREPARATION_STARTED", Role::Service),
        ];
        let last = live(&mut order, &graph, &way).remove(0);
        last.deadline.expect("a deadline").at
    };

    assert_eq!(due(&[]), noon() + chrono::TimeDelta::hours(1));
    let promised = "2026-11-20T14:30:00+01:00";
    assert_eq!(
        due(&[("ready_at", promised.into())]),
        promised.parse::<chrono::DateTime<chrono::Utc>>().unwrap()
    );
    // What should have been long ago is due at once.
    assert_eq!(due(&[("ready_at", "2020-01-01T00:00:00Z".into())]), noon());
}

#[test]
fn what_is_said_of_a_pair_goes_before_what_follows_from_the_ranks() {
    let graph = graph(FOOD);

    assert_eq!(graph.disposition("READY", "NO_COURIER_FOUND"), Some(Disposition::Note));
    assert_eq!(
        graph.patience("PICKED_UP", "FOOD_DELIVERED"),
        chrono::TimeDelta::minutes(10)
    );
    assert_eq!(graph.patience("READY", "FOOD_DELIVERED"), Disposition::PATIENCE);
    assert_eq!(
        graph.disposition("DELIVERED", "ORDER_CANCELLED"),
        Some(Disposition::Conflict)
    );
}

#[test]
fn tags_say_where_an_order_can_still_be_changed() {
    let tagged = |text: &str, tag: Tag| -> Vec<String> {
        let graph = graph(text);
        let tagged = graph.states().filter(|state| state.tags.contains(&tag));
        tagged.map(|state| state.name.to_string()).collect()
    };

    assert_eq!(tagged(ORDER, Tag::Cancellable), ["CREATED", "PAID"]);
    assert_eq!(tagged(ORDER, Tag::Modifiable), ["CREATED"]);
    assert_eq!(tagged(FOOD, Tag::Happy).len(), 8);
}

#[test]
fn how_long_an_order_may_take_is_known() {
    let days = every_machine().map(|graph| graph.longest_wait().map(|wait| wait.num_hours()));

    // Operators and the post have all the time of the world; a meal has not.
    assert_eq!(days, [None, None, Some(5)]);
}
