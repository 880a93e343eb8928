//! Other machines than delivery orders, on the same engine: the stories of an `order` and of a `food-order`.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use serde_json::{Value as Json, json};
use waybill_domain::{Actor, Change, Fields, GraphVersion, OrderId, Outcome, Refusal, Role};
use waybill_tasks::orders::{Finish, NewInstance as TaskInstance, Orders, Report as TaskReport, Taken};

use super::fixture::Fixture;
use super::on_both;
use crate::engine::instances::{Birth, NewInstance};
use crate::engine::orders::split_fields;
use crate::engine::{Answer, Engine, Report};
use crate::store::record::{Effect, EffectState, Loaded};
use crate::store::{Activated, Retirement};
use crate::template::{Share, Template};

const ORDER: &str = "order";
const FOOD: &str = "food-order";

impl Fixture {
    /// The same database, with the versions of every machine published and active.
    async fn every_machine(&self) -> Engine {
        self.with_template(Template::every_machine().clone()).await
    }
}

fn fields(given: &Json) -> Fields {
    split_fields(given).expect("fields").0
}

fn shop() -> Actor {
    Actor {
        role: Role::Service,
        id: "shop".to_owned(),
    }
}

fn new(machine: &str, key: &str, given: &Json) -> NewInstance {
    NewInstance {
        machine: machine.into(),
        fields: fields(given),
        actor: shop(),
        key: key.to_owned(),
    }
}

async fn born(engine: &Engine, machine: &str, key: &str, given: Json) -> OrderId {
    match engine
        .create_instance(new(machine, key, &given))
        .await
        .expect("the store answers")
    {
        Birth::Born(id) => id,
        other => panic!("expected a new instance, found {other:?}"),
    }
}

/// An event by somebody in that role, with a key of its own.
async fn tell(engine: &Engine, machine: &str, id: OrderId, event: &str, role: Role, given: Json) -> Answer {
    let report = Report {
        machine: machine.into(),
        order_id: id,
        event: event.into(),
        fields: fields(&given),
        extra: Json::Null,
        actor: Actor {
            role,
            id: "somebody".to_owned(),
        },
        key: uuid::Uuid::new_v4().to_string(),
        if_revision: None,
        occurred_at: None,
    };
    engine.report(report).await.expect("the store answers")
}

async fn lead(engine: &Engine, machine: &str, id: OrderId, way: &[(&str, Role, Json)]) {
    for (event, role, given) in way {
        let answer = tell(engine, machine, id, event, *role, given.clone()).await;
        assert!(matches!(answer, Answer::Applied { .. }), "{event}: {answer:?}");
    }
}

async fn instance(engine: &Engine, id: OrderId) -> Loaded {
    let found = engine.store().instance(id).await.expect("the store answers");
    found.expect("it exists").0
}

async fn state(engine: &Engine, id: OrderId) -> String {
    instance(engine, id).await.order.state.to_string()
}

/// Publishes all that waits, in order: the tasks of other services, as (queue, task, keyword arguments).
async fn published(fixture: &Fixture) -> Vec<(String, String, Json)> {
    published_after(fixture, TimeDelta::zero()).await
}

/// The same, when so much time has passed.
async fn published_after(fixture: &Fixture, passed: TimeDelta) -> Vec<(String, String, Json)> {
    let later = fixture.later(passed + TimeDelta::seconds(10)).await;
    let mut tasks = Vec::new();
    loop {
        let due = later.store().due_effects(100, &[]).await.unwrap();
        if due.is_empty() {
            return tasks;
        }
        tasks.extend(due.iter().filter_map(|effect| task(&later, effect)));
        later.mark_sent(&due).await.unwrap();
    }
}

fn task(engine: &Engine, effect: &Effect) -> Option<(String, String, Json)> {
    let message = engine.message_of(effect);
    let task = message.headers.get("task")?.as_text()?.to_owned();
    let body: Json = serde_json::from_slice(&message.body).expect("JSON");
    Some((message.routing_key, task, body[1].clone()))
}

fn names(tasks: &[(String, String, Json)]) -> Vec<&str> {
    tasks.iter().map(|(_, task, _)| task.as_str()).collect()
}

on_both! {
    async fn an_instance_is_born_once_on_the_active_version_and_knows_its_fields(fixture: Fixture) {
        let engine = fixture.every_machine().await;
        let known = json!({ "confirms_by_itself": true, "distance_metres": 1200 });

        let first = engine.create_instance(new(FOOD, "basket-1", &known)).await.unwrap();
        let again = engine.create_instance(new(FOOD, "basket-1", &known)).await.unwrap();
        let other = engine.create_instance(new(FOOD, "basket-1", &json!({}))).await.unwrap();

        let Birth::Born(id) = first else { panic!("{first:?}") };
        assert_eq!((again, other), (Birth::Repeated(id), Birth::KeyReused));
        let food = instance(&engine, id).await;
        assert_eq!((food.machine.as_str(), food.order.state.as_str(), food.order.graph_version), (FOOD, "PLACED", GraphVersion(1)));
        assert_eq!((food.order.fields, food.outcome, food.record), (fields(&known), None, None));
        assert_eq!(food.deadline.map(|armed| (armed.event.to_string(), armed.due_at - food.created_at)), Some(("PAYMENT_OVERDUE".to_owned(), TimeDelta::minutes(10))));
        assert_eq!(fixture.count("SELECT COUNT(*) AS count FROM instances").await, 1);
        fixture.assert_sound().await;
    }

    async fn what_a_graph_does_not_take_is_not_born(fixture: Fixture) {
        let engine = fixture.every_machine().await;
        let refused = async |machine: &str, given: Json| engine.create_instance(new(machine, "k", &given)).await.unwrap();

        assert!(matches!(refused(FOOD, json!({ "colour": "red" })).await, Birth::Refused(Refusal::UnknownField { .. })));
        assert!(matches!(refused(FOOD, json!({ "distance_metres": -1 })).await, Birth::Refused(Refusal::BadField { .. })));
        assert_eq!(refused("bicycle", json!({})).await, Birth::UnknownMachine);
        assert_eq!(refused("delivery-order", json!({})).await, Birth::UnknownMachine, "a payment makes it");
        // Not recorded: the key is as good as new.
        born(&engine, FOOD, "k", json!({})).await;
        fixture.assert_sound().await;
    }

    async fn instances_born_at_once_are_those_of_their_machines(fixture: Fixture) {
        let engine = fixture.every_machine().await;

        let births = (0..20).map(|number| {
            let (machine, key) = (if number % 2 == 0 { ORDER } else { FOOD }, number.to_string());
            let engine = engine.clone();
            async move { (machine, born(&engine, machine, &key, json!({})).await) }
        });
        let (born, delivery) = tokio::join!(futures_util::future::join_all(births), fixture.order("o1"));

        for (machine, id) in born {
            assert_eq!(instance(&engine, id).await.machine.as_str(), machine);
        }
        assert_eq!(instance(&engine, delivery).await.machine.as_str(), "delivery-order");
        fixture.assert_sound().await;
    }

    async fn a_meal_goes_from_the_basket_to_the_door(fixture: Fixture) {
        let engine = fixture.every_machine().await;
        let id = born(&engine, FOOD, "basket-1", json!({})).await;

        let way = [
            ("PAYMENT_CONFIRMED", Role::PaymentService, json!({})),
            ("RESTAURANT_CONFIRMED", Role::Service, json!({})),
            ("PREPARATION_STARTED", Role::Service, json!({ "ready_at": "2030-01-01T12:00:00Z" })),
            ("FOOD_READY", Role::Service, json!({})),
            ("COURIER_PICKED_UP", Role::DeliveryPartner, json!({ "courier_id": "c-7" })),
            ("COURIER_UNDER_WAY", Role::DeliveryPartner, json!({})),
            ("FOOD_DELIVERED", Role::Customer, json!({})),
        ];
        lead(&engine, FOOD, id, &way).await;

        let food = instance(&engine, id).await;
        assert_eq!((food.order.state.as_str(), food.outcome, food.deadline), ("DELIVERED", Some(Outcome::Success), None));
        let tasks = published(&fixture).await;
        let expected = [
            "payments.authorize", "restaurants.offer", "notifications.send", "couriers.assign", "notifications.send", "payments.settle",
            "notifications.send",
        ];
        assert_eq!(names(&tasks), expected);
        let (queue, _, told) = &tasks[3];
        assert_eq!((queue.as_str(), told), ("couriers", &json!({ "order_id": id, "ready_at": "2030-01-01T12:00:00Z" })));
        let log = engine.store().log(id).await.unwrap();
        assert!(log.iter().skip(1).all(|row| row.transition.change == Change::Moved) && log.len() == 8);
        fixture.assert_sound().await;
    }

    async fn a_restaurant_that_says_nothing_in_time_is_taken_back_with_all_before_it(fixture: Fixture) {
        let engine = fixture.every_machine().await;
        let id = born(&engine, FOOD, "basket-1", json!({})).await;
        lead(&engine, FOOD, id, &[("PAYMENT_CONFIRMED", Role::PaymentService, json!({}))]).await;
        published(&fixture).await;
        let soon = fixture.later(TimeDelta::minutes(14)).await.store().due_deadlines(10).await.unwrap();
        let later = fixture.later(TimeDelta::minutes(16)).await;

        let due = later.store().due_deadlines(10).await.unwrap();
        let fired = [later.fire(due[0].clone()).await.unwrap(), later.fire(due[0].clone()).await.unwrap()];
        let tasks = published_after(&fixture, TimeDelta::minutes(16)).await;

        assert_eq!((soon.len(), due.len(), fired), (0, 1, [true, false]));
        let food = instance(&engine, id).await;
        assert_eq!((food.order.state.as_str(), food.outcome), ("CANCELLED", Some(Outcome::Cancelled)));
        assert_eq!(food.order.fields["cancel_reason"], "RESTAURANT_OVERDUE".into());
        assert_eq!(names(&tasks), ["restaurants.withdraw", "payments.void", "notifications.send"], "the newest is taken back first");
        assert_eq!(tasks[1].2, json!({ "order_id": id, "reason": "RESTAURANT_OVERDUE" }));
        fixture.assert_sound().await;
    }

    async fn who_may_cancel_a_meal_depends_on_how_far_it_is(fixture: Fixture) {
        let engine = fixture.every_machine().await;
        let reason = json!({ "cancel_reason": "CUSTOMER_REQUEST" });
        let id = born(&engine, FOOD, "basket-1", json!({ "confirms_by_itself": true })).await;
        lead(&engine, FOOD, id, &[("PAYMENT_CONFIRMED", Role::PaymentService, json!({})), ("PREPARATION_STARTED", Role::Service, json!({}))]).await;

        let customer = tell(&engine, FOOD, id, "ORDER_CANCELLED", Role::Customer, reason.clone()).await;
        let restaurant = tell(&engine, FOOD, id, "ORDER_CANCELLED", Role::Service, reason.clone()).await;

        assert!(matches!(customer, Answer::Refused(Refusal::WrongActor { role: Role::Customer, .. })), "{customer:?}");
        assert!(matches!(restaurant, Answer::Applied { .. }), "{restaurant:?}");
        let early = born(&engine, FOOD, "basket-2", json!({})).await;
        lead(&engine, FOOD, early, &[("ORDER_CANCELLED", Role::Customer, reason)]).await;
        let tasks = published(&fixture).await;
        let of = |id: OrderId| -> Vec<&str> {
            tasks.iter().filter(|(.., told)| told["order_id"] == id.to_string()).map(|(_, task, _)| task.as_str()).collect()
        };
        // What was never asked for is not taken back.
        assert_eq!(of(early), ["payments.authorize", "payments.void", "notifications.send"]);
        assert_eq!(of(id)[4..], ["couriers.release", "restaurants.withdraw", "payments.void", "notifications.send"]);
        fixture.assert_sound().await;
    }

    async fn cancelling_what_is_under_way_is_for_an_operator_whose_case_ends_with_it(fixture: Fixture) {
        let engine = fixture.every_machine().await;
        let id = born(&engine, ORDER, "cart-1", json!({})).await;
        let way = [
            ("PAYMENT_SUCCEEDED", Role::PaymentService, json!({ "payment_id": "p-1" })),
            ("GOODS_SHIPPED", Role::Service, json!({ "tracking_number": "T-1" })),
        ];
        lead(&engine, ORDER, id, &way).await;

        let answer = tell(&engine, ORDER, id, "ORDER_CANCELLED", Role::Customer, json!({ "cancel_reason": "CUSTOMER_REQUEST" })).await;

        assert!(matches!(answer, Answer::Refused(Refusal::ForOperator { .. })), "{answer:?}");
        assert_eq!(state(&engine, id).await, "SHIPPED");
        let cases = "SELECT COUNT(*) AS count FROM operator_cases WHERE kind = 'contradiction' AND order_id IS NOT NULL";
        assert_eq!(fixture.count(cases).await, 1);
        fixture.assert_sound().await;
    }

    async fn an_order_is_cancelled_before_it_is_shipped_and_returned_after_it_was_delivered(fixture: Fixture) {
        let engine = fixture.every_machine().await;
        let cancelled = born(&engine, ORDER, "cart-1", json!({})).await;
        let returned = born(&engine, ORDER, "cart-2", json!({ "returnable": true })).await;
        let kept = born(&engine, ORDER, "cart-3", json!({ "return_window": "PT48H" })).await;
        let paid = |number: u32| ("PAYMENT_SUCCEEDED", Role::PaymentService, json!({ "payment_id": format!("p-{number}") }));
        let shipped = ("GOODS_SHIPPED", Role::Service, json!({ "tracking_number": "T-1" }));
        let delivered = ("GOODS_DELIVERED", Role::DeliveryPartner, json!({}));
        let damaged = json!({ "return_reason": "DAMAGED" });

        lead(&engine, ORDER, cancelled, &[paid(1), ("ORDER_CANCELLED", Role::Customer, json!({ "cancel_reason": "CUSTOMER_REQUEST" }))]).await;
        lead(&engine, ORDER, returned, &[paid(2), shipped.clone()]).await;
        let early = tell(&engine, ORDER, returned, "GOODS_RETURNED", Role::Customer, damaged.clone()).await;
        lead(&engine, ORDER, returned, &[delivered.clone(), ("GOODS_RETURNED", Role::Customer, damaged.clone())]).await;
        lead(&engine, ORDER, kept, &[paid(3), shipped, delivered]).await;
        let forbidden = tell(&engine, ORDER, kept, "GOODS_RETURNED", Role::Customer, damaged).await;
        // The window is the one that this order knows, not the graph's thirty days.
        let closed = fixture.later(TimeDelta::hours(49)).await;
        let due = closed.store().due_deadlines(10).await.unwrap();
        assert_eq!(due.iter().map(|it| it.event.as_str()).collect::<Vec<_>>(), ["RETURN_WINDOW_CLOSED"]);
        closed.fire(due[0].clone()).await.unwrap();

        assert!(matches!(early, Answer::Refused(Refusal::Early { .. })), "{early:?}");
        assert!(matches!(forbidden, Answer::Refused(Refusal::GuardNotMet { .. })), "{forbidden:?}");
        let mut ends = Vec::new();
        for id in [cancelled, returned, kept] {
            let order = instance(&engine, id).await;
            ends.push((order.order.state.to_string(), order.outcome));
        }
        let expected = [("CANCELLED", Outcome::Cancelled), ("RETURNED", Outcome::Failure), ("COMPLETED", Outcome::Success)];
        assert_eq!(ends, expected.map(|(state, outcome)| (state.to_owned(), Some(outcome))));
        let tasks = published(&fixture).await;
        let back = tasks.iter().filter(|(_, task, told)| task == "warehouse.recall" && told["order_id"] == returned.to_string());
        assert_eq!(back.count(), 1);
        fixture.assert_sound().await;
    }

    async fn an_event_about_an_instance_of_another_machine_is_about_nothing(fixture: Fixture) {
        let engine = fixture.every_machine().await;
        let food = born(&engine, FOOD, "basket-1", json!({})).await;
        let delivery = fixture.order("o1").await;
        let reason = json!({ "cancel_reason": "CUSTOMER_REQUEST" });

        for (machine, id, event) in [(ORDER, food, "ORDER_CANCELLED"), ("delivery-order", food, "CANCELLED"), (FOOD, delivery, "ORDER_CANCELLED")] {
            assert_eq!(tell(&engine, machine, id, event, Role::Operator, reason.clone()).await, Answer::NotFound);
        }
        assert!(engine.store().order(food).await.unwrap().is_none(), "it is no delivery order");
    }

    async fn other_services_create_and_report_by_tasks_and_speak_for_others(fixture: Fixture) {
        let engine = fixture.every_machine().await;
        let create = |machine: &str, actor: Option<Actor>| TaskInstance {
            machine: machine.into(),
            fields: json!({ "distance_metres": 3 }),
            actor,
            key: "basket-1".to_owned(),
        };
        let Taken::Ok(told) = Orders::create_instance(&engine, create(FOOD, None)).await.unwrap() else { panic!("it is created") };
        let id: OrderId = told["instance_id"].as_str().expect("an id").parse().expect("an id");
        let report = |event: &str, role: Option<Role>| TaskReport {
            machine: Some(FOOD.into()),
            order_id: id,
            event: event.into(),
            fields: json!({}),
            actor: role.map(|role| Actor { role, id: "cus-7".to_owned() }),
            key: event.to_owned(),
        };

        let confirmed = Orders::report(&engine, report("PAYMENT_CONFIRMED", Some(Role::PaymentService))).await.unwrap();
        let again = Orders::report(&engine, report("PAYMENT_CONFIRMED", Some(Role::PaymentService))).await.unwrap();
        let mut cancel = report("ORDER_CANCELLED", Some(Role::Customer));
        cancel.fields = json!({ "cancel_reason": "CUSTOMER_REQUEST" });
        let cancelled = Orders::report(&engine, cancel).await.unwrap();
        let operator = Orders::report(&engine, report("ORDER_CANCELLED", Some(Role::Operator))).await.unwrap();
        let unknown = Orders::create_instance(&engine, create("bicycle", None)).await.unwrap();
        let nonsense = Orders::create_instance(&engine, create("a\0b", None)).await.unwrap();
        let nul = Orders::report(&engine, TaskReport { key: "a\0b".to_owned(), ..report("RESTAURANT_CONFIRMED", None) }).await.unwrap();

        assert_eq!((&confirmed, &confirmed), (&again, &Taken::Ok(json!({ "revision": 2 }))));
        assert_eq!(cancelled, Taken::Ok(json!({ "revision": 3 })));
        let code = |taken: Taken| match taken {
            Taken::Wrong { code, .. } => code,
            Taken::Ok(told) => panic!("{told}"),
        };
        assert_eq!((code(operator), code(nul)), ("wrong-actor".to_owned(), "wrong-key".to_owned()));
        assert_eq!((code(unknown), code(nonsense)), ("unknown-machine".to_owned(), "unknown-machine".to_owned()));
        let log = engine.store().log(id).await.unwrap();
        let by: Vec<_> = log.iter().map(|row| (row.transition.actor.role, row.transition.actor.id.as_str())).collect();
        assert_eq!(by, [(Role::Service, "task"), (Role::PaymentService, "cus-7 by task"), (Role::Customer, "cus-7 by task")]);
        fixture.assert_sound().await;
    }

    async fn each_state_of_an_instance_is_told_under_the_name_of_its_machine(fixture: Fixture) {
        let engine = fixture.every_machine().await;
        let id = born(&engine, FOOD, "basket-1", json!({ "distance_metres": 3 })).await;
        let effect = engine.store().effect(crate::store::effect_id(id, 1, "publish_event")).await.unwrap().unwrap();

        let message = engine.message_of(&effect);

        let event: Json = serde_json::from_slice(&message.body).unwrap();
        assert_eq!((message.routing_key.as_str(), &event["type"]), ("food-order.placed.v1", &json!("food-order.placed.v1")));
        assert_eq!((&event["id"], &event["subject"]), (&json!(format!("{id}/1")), &json!(id)));
        assert_eq!((&event["data"]["machine"], &event["data"]["state"]), (&json!(FOOD), &json!("PLACED")));
        assert!(!event.to_string().contains("distance"), "what an instance knows is for its tasks only");
    }

    async fn a_version_of_any_machine_is_retired_when_nobody_lives_on_it(fixture: Fixture) {
        let engine = fixture.every_machine().await;
        let store = engine.store();
        let id = born(&engine, ORDER, "cart-1", json!({})).await;

        let active = store.retire(ORDER, GraphVersion(1), "ada").await.unwrap();
        let live = store.count_pinned(ORDER, GraphVersion(1)).await.unwrap();
        lead(&engine, ORDER, id, &[("ORDER_CANCELLED", Role::Customer, json!({ "cancel_reason": "CUSTOMER_REQUEST" }))]).await;

        assert_eq!((active, live), (Retirement::Active, 1));
        assert_eq!(store.count_pinned(ORDER, GraphVersion(1)).await.unwrap(), 0);
        let share = Share { version: GraphVersion(1), weight: 100 };
        assert!(matches!(store.activate(ORDER, &[share], "ada").await.unwrap(), Activated::Revision(2)));
    }

    async fn the_audit_finds_what_was_altered_of_an_instance_behind_the_engine(fixture: Fixture) {
        let engine = fixture.every_machine().await;
        let id = born(&engine, FOOD, "basket-1", json!({})).await;
        lead(&engine, FOOD, id, &[("PAYMENT_CONFIRMED", Role::PaymentService, json!({}))]).await;
        fixture.assert_sound().await;
        let alterations = [
            ("I2", "UPDATE instances SET outcome = 'success'", "UPDATE instances SET outcome = NULL"),
            ("I1", "UPDATE transitions SET actor_id = 'else' WHERE sequence = 2", "UPDATE transitions SET actor_id = 'somebody' WHERE sequence = 2"),
            ("I2", "UPDATE instances SET state = 'PLACED'", "UPDATE instances SET state = 'PAYMENT_CONFIRMED'"),
            ("I3", "UPDATE effects SET name = 'lost', effect_id = order_id WHERE name = 'ask_restaurant'", "SELECT 1"),
        ];

        for (invariant, sql, back) in alterations {
            for statement in [sql, back] {
                let mut tx = fixture.db.tx().await.unwrap();
                tx.execute(statement, vec![]).await.unwrap();
                tx.commit().await.unwrap();
                if statement == sql {
                    let found: BTreeSet<_> = fixture.audit().await.findings.into_iter().map(|it| it.invariant).collect();
                    assert_eq!(found, [invariant].into(), "{sql}");
                }
            }
        }
    }

    async fn any_machine_may_open_an_operators_case(fixture: Fixture) {
        let engine = fixture.every_machine().await;
        let mut document = serde_json::to_value(Template::every_machine().graph(FOOD, GraphVersion(1)).unwrap().document()).unwrap();
        document["version"] = json!(2);
        document["states"]["PLACED"]["on_enter"].as_array_mut().unwrap().push(json!("open_operator_case"));
        engine.store().keep_version(FOOD, 2, "with a case", document).await.unwrap();
        let share = Share { version: GraphVersion(2), weight: 100 };
        let activated = engine.store().activate(FOOD, &[share], "ada").await.unwrap();
        assert!(matches!(activated, Activated::Revision(_)), "{activated:?}");
        let id = born(&engine, FOOD, "basket-1", json!({})).await;
        published(&fixture).await;
        let effect = crate::store::effect_id(id, 1, "open_operator_case");

        engine.open_case(effect).await.unwrap();
        engine.open_case(effect).await.unwrap();
        engine.finish(effect, Finish::Done).await.unwrap();

        let cases = "SELECT COUNT(*) AS count FROM operator_cases WHERE kind = 'pending' AND reason = 'INSTANCE_CREATED'";
        assert_eq!(fixture.count(cases).await, 1);
        let ended = engine.store().effect(effect).await.unwrap().unwrap();
        assert_eq!(ended.state, EffectState::Done, "its task is never forgotten");
        fixture.assert_sound().await;
    }

    async fn an_effect_is_done_when_the_broker_has_it(fixture: Fixture) {
        let engine = fixture.every_machine().await;
        let id = born(&engine, FOOD, "basket-1", json!({})).await;
        let effect = crate::store::effect_id(id, 1, "authorize_payment");

        let before = engine.store().effect(effect).await.unwrap().unwrap();
        published(&fixture).await;
        let after = engine.store().effect(effect).await.unwrap().unwrap();

        assert_eq!((before.state, after.state), (EffectState::Requested, EffectState::Done));
        assert!(after.published_at.is_some());
    }
}
