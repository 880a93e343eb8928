//! A task run twice works once: every registered task, also where the first run ended without being stored.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use uuid::Uuid;
use waybill_tasks::celery::registry::Registry;
use waybill_tasks::celery::transport::Verdict;
use waybill_tasks::effects::{Effects, OutsideNames, register};
use waybill_tasks::orders::{Finish, Taken};
use waybill_tasks::partner::{PartnerSettings, Partners, PartnersSettings};

use crate::world::{ORDER, World, effect_kwargs};

/// How a task is tried: what is so before it, its arguments, and how much of it has happened.
struct Case {
    task: &'static str,
    prepare: fn(&World),
    kwargs: fn() -> Value,
    happened: fn(&World) -> usize,
}

const CASES: &[Case] = &[
    Case {
        task: "waybill.create_delivery_order",
        prepare: |_| (),
        kwargs: || json!({"event_id": "evt_1", "payment": {"payment_id": "pay_1"}}),
        happened: |world| world.orders.payments.lock().unwrap().len(),
    },
    Case {
        task: "waybill.book_delivery_partner",
        prepare: |world| world.due("book_delivery_partner", "CREATED"),
        kwargs: effect_kwargs,
        happened: World::booked,
    },
    Case {
        task: "waybill.cancel_delivery_partner",
        prepare: |world| {
            world.partner_has("booked");
            world.due("cancel_delivery_partner", "CANCELLED");
        },
        kwargs: effect_kwargs,
        happened: |world| {
            world
                .partner
                .deliveries
                .lock()
                .unwrap()
                .values()
                .filter(|it| *it == "cancelled")
                .count()
        },
    },
    Case {
        task: "waybill.apply_partner_callback",
        prepare: |_| (),
        kwargs: || json!({"callback_id": Uuid::from_u128(9)}),
        happened: |world| world.orders.callbacks.lock().unwrap().len(),
    },
    Case {
        task: "waybill.notify_customer",
        prepare: |world| world.due("notify_customer", "PICKED_UP"),
        kwargs: effect_kwargs,
        happened: |world| world.told("notifications").len(),
    },
    Case {
        task: "waybill.request_customer_confirmation",
        prepare: |world| world.due("request_customer_confirmation", "DELIVERED"),
        kwargs: effect_kwargs,
        happened: |world| world.told("notifications").len(),
    },
    Case {
        task: "waybill.open_operator_case",
        prepare: |world| world.due("open_operator_case", "PENDING_BY_OPERATOR"),
        kwargs: effect_kwargs,
        happened: |world| world.orders.cases.lock().unwrap().len(),
    },
    Case {
        task: "waybill.notify_order_management",
        prepare: |world| world.due("notify_order_management", "CANCELLED"),
        kwargs: effect_kwargs,
        happened: |world| world.told("oms").len(),
    },
    Case {
        task: "waybill.reconcile_partner",
        prepare: |world| {
            world.partner_has("booked");
            world.due("reconcile_partner", "CREATED");
        },
        kwargs: effect_kwargs,
        happened: |world| {
            let finished = world.orders.finished.lock().unwrap();
            finished
                .iter()
                .filter(|finish| matches!(finish, Finish::Booked(_)))
                .count()
        },
    },
    Case {
        task: "waybill.report_event",
        prepare: |_| (),
        kwargs: || json!({"delivery_order_id": ORDER, "event": "CANCELLED", "fields": {}, "key": "k-1"}),
        happened: |world| world.orders.reports.lock().unwrap().len(),
    },
    Case {
        task: "waybill.create_instance",
        prepare: |_| (),
        kwargs: || json!({"machine": "order", "fields": {}, "key": "k-1"}),
        happened: |world| world.orders.instances.lock().unwrap().len(),
    },
    Case {
        task: "waybill.report_instance_event",
        prepare: |_| (),
        kwargs: || json!({"machine": "order", "instance_id": ORDER, "event": "GOODS_SHIPPED", "key": "k-1"}),
        happened: |world| world.orders.reports.lock().unwrap().len(),
    },
];

async fn prepared(case: &Case) -> World {
    let world = World::new([]).await;
    (case.prepare)(&world);
    world
}

#[test]
fn every_registered_task_is_tried_here() {
    let world = tokio::runtime::Runtime::new().unwrap().block_on(World::new([]));
    let partners = [(
        "scripted".to_owned(),
        PartnerSettings::standard(&world.partner.base_url),
    )]
    .into();
    let partners = PartnersSettings {
        partners,
        default: "scripted".to_owned(),
        routing: Vec::new(),
    };
    let effects = Effects {
        orders: world.orders.clone(),
        partners: Arc::new(Partners::new(&partners).unwrap()),
        transport: world.wire.clone(),
        names: OutsideNames::default(),
        callback_base: String::new(),
    };

    let registry = register(Registry::new(Arc::new(effects)));

    let registered: BTreeSet<_> = registry.names().collect();
    let tried: BTreeSet<_> = CASES.iter().map(|case| case.task).collect();
    assert_eq!(registered, tried);
    assert_eq!(CASES.len(), 12);
}

#[test]
fn every_task_is_named_as_its_file() {
    for case in CASES {
        let file = case.task.strip_prefix("waybill.").unwrap();
        let path = format!("{}/src/effects/{file}.rs", env!("CARGO_MANIFEST_DIR"));
        assert!(std::path::Path::new(&path).exists(), "{path}");
    }
}

#[tokio::test]
async fn a_task_that_is_delivered_twice_happens_once() {
    for case in CASES {
        let world = prepared(case).await;

        let verdicts = [
            world.send(case.task, (case.kwargs)()).await,
            world.send(case.task, (case.kwargs)()).await,
        ];

        assert_eq!(verdicts, [Verdict::Ack; 2], "{}", case.task);
        assert_eq!((case.happened)(&world), 1, "{}", case.task);
        assert!(world.shelf.rejected.lock().unwrap().is_empty(), "{}", case.task);
    }
}

#[tokio::test]
async fn a_task_whose_end_was_not_stored_happens_once_all_the_same() {
    for case in CASES {
        let world = prepared(case).await;
        let of_an_effect = world.orders.work.lock().unwrap().is_some();
        let trouble = if of_an_effect {
            &world.orders.crashes
        } else {
            &world.orders.loses_answer
        };
        trouble.store(true, Ordering::Relaxed);

        let verdicts = [
            world.send(case.task, (case.kwargs)()).await,
            world.send(case.task, (case.kwargs)()).await,
        ];

        assert_eq!(verdicts, [Verdict::Wait, Verdict::Ack], "{}", case.task);
        assert_eq!((case.happened)(&world), 1, "{}", case.task);
    }
}

#[tokio::test]
async fn two_workers_with_the_same_task_at_once_make_it_happen_once() {
    for case in CASES {
        let world = prepared(case).await;

        tokio::join!(
            world.send(case.task, (case.kwargs)()),
            world.send(case.task, (case.kwargs)())
        );

        // Both may adopt the same booking; the store's transaction keeps one.
        if case.task != "waybill.reconcile_partner" {
            assert_eq!((case.happened)(&world), 1, "{}", case.task);
        }
    }
}

#[tokio::test]
async fn an_effect_that_has_ended_does_nothing() {
    // Whether a case is still to be opened, only the application knows.
    let is_begun =
        |case: &&Case| (case.kwargs)().get("effect_id").is_some() && case.task != "waybill.open_operator_case";
    for case in CASES.iter().filter(is_begun) {
        let world = World::new([]).await;

        let verdict = world.send(case.task, (case.kwargs)()).await;

        assert_eq!(verdict, Verdict::Ack, "{}", case.task);
        assert!(
            world.partner.asked().is_empty() && world.wire.published.lock().unwrap().is_empty(),
            "{}",
            case.task
        );
    }
}

#[tokio::test]
async fn an_effect_waits_while_another_talks_to_the_partner() {
    let world = World::new([]).await;
    world.due("book_delivery_partner", "CREATED");
    world.orders.busy.store(true, Ordering::Relaxed);

    let verdict = world.run().await;

    assert_eq!(verdict, Verdict::Ack);
    assert_eq!(world.shelf.parked.lock().unwrap().len(), 1);
    assert!(world.partner.asked().is_empty());
}

#[tokio::test]
async fn arguments_that_are_no_arguments_are_set_aside_with_their_place() {
    let cases = [
        ("waybill.book_delivery_partner", json!({}), "body[1]"),
        (
            "waybill.book_delivery_partner",
            json!({"effect_id": "x", "delivery_order_id": ORDER, "sequence": 1}),
            "body[1].effect_id",
        ),
        (
            "waybill.report_event",
            json!({"delivery_order_id": ORDER, "event": "X", "fields": [], "key": "k"}),
            "body[1].fields",
        ),
        (
            "waybill.report_event",
            json!({"delivery_order_id": ORDER, "event": "X", "kye": "k"}),
            "body[1].kye",
        ),
        (
            "waybill.create_delivery_order",
            json!({"event_id": 1, "payment": {}}),
            "body[1].event_id",
        ),
        (
            "waybill.apply_partner_callback",
            json!({"callback_id": "cb"}),
            "body[1].callback_id",
        ),
    ];

    for (task, kwargs, place) in cases {
        let world = World::new([]).await;

        let verdict = world.send(task, kwargs).await;

        let rejected = world.shelf.rejected.lock().unwrap().pop().expect(task);
        assert_eq!(
            (verdict, rejected.reason, rejected.place.as_str()),
            (Verdict::Ack, "wrong-arguments", place),
            "{task}"
        );
    }
}

#[tokio::test]
async fn what_the_application_finds_wrong_is_set_aside_with_its_place() {
    let payment = json!({"event_id": "evt_1", "payment": {}});
    let event = json!({"delivery_order_id": ORDER, "event": "CANCELLED", "key": "k-1"});
    let cases = [
        (
            "waybill.create_delivery_order",
            &payment,
            "kwargs.payment.amount.currency",
            "body[1].payment.amount.currency",
        ),
        ("waybill.create_delivery_order", &payment, "kwargs", "body[1]"),
        (
            "waybill.report_event",
            &event,
            "kwargs.fields.cancel_reason",
            "body[1].fields.cancel_reason",
        ),
        ("waybill.report_event", &event, "key", "body[1].key"),
    ];

    for (task, kwargs, place, expected) in cases {
        for (code, reason, detail) in [
            ("missing-field", "wrong-arguments", "missing-field: expected an amount"),
            ("event-key-conflict", "event-key-conflict", "expected an amount"),
        ] {
            let world = World::new([]).await;
            let (place, told) = (place.to_owned(), "expected an amount".to_owned());
            *world.orders.wrong.lock().unwrap() = Some(Taken::Wrong {
                code: code.to_owned(),
                place,
                detail: told,
            });

            world.send(task, kwargs.clone()).await;

            let rejected = world.shelf.rejected.lock().unwrap().pop().expect(task);
            let seen = (rejected.reason, rejected.place.as_str(), rejected.detail.as_str());
            assert_eq!(seen, (reason, expected, detail), "{task}");
        }
    }
}

#[tokio::test]
async fn a_payment_and_an_event_reach_the_application_as_they_were_told() {
    let world = World::new([]).await;
    let payment = json!({"payment_id": "pay_1", "items": [1, 2.5, null]});

    world
        .send(
            "waybill.create_delivery_order",
            json!({"event_id": "evt_1", "payment": payment}),
        )
        .await;
    let report =
        json!({"delivery_order_id": ORDER, "event": "CANCELLED", "fields": {"cancel_reason": "X"}, "key": "k-1"});
    world.send("waybill.report_event", report).await;

    assert_eq!(world.orders.payments.lock().unwrap()["evt_1"], payment);
    let reports = world.orders.reports.lock().unwrap();
    assert_eq!(
        (reports["k-1"].order_id, &reports["k-1"].fields),
        (ORDER, &json!({"cancel_reason": "X"}))
    );
    assert_eq!(reports["k-1"].event, "CANCELLED");
}

#[tokio::test]
async fn anybody_may_ask_to_reconcile_a_delivery_order() {
    let world = World::new([]).await;
    world.partner_has("booked");
    world.due("reconcile_partner", "CREATED");

    let verdict = world
        .send("waybill.reconcile_partner", json!({"delivery_order_id": ORDER}))
        .await;

    assert_eq!(verdict, Verdict::Ack);
    let finished = world.orders.finished.lock().unwrap();
    assert!(matches!(finished.as_slice(), [Finish::Booked(_)]), "{finished:?}");
}

#[tokio::test]
async fn without_a_delivery_order_there_is_nothing_to_reconcile() {
    let world = World::new([]).await;

    let verdict = world.send("waybill.reconcile_partner", json!({})).await;

    assert_eq!(verdict, Verdict::Ack);
    assert!(world.partner.asked().is_empty() && world.shelf.rejected.lock().unwrap().is_empty());
}
