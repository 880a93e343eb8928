//! Telling other services: exactly what was agreed, under one id, and visibly late where their queue is missing.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;
use waybill_tasks::celery::message::{HeaderValue, Message};
use waybill_tasks::celery::protocol::Request;
use waybill_tasks::celery::transport::Routing;
use waybill_tasks::orders::{Finish, Stage};

use crate::world::{EFFECT, ORDER, World};

async fn due(name: &str, entered: &str) -> World {
    let world = World::new([]).await;
    world.due(name, entered);
    world
}

fn sent(world: &World) -> (Message, Request) {
    let published = world.wire.published.lock().unwrap();
    assert_eq!(published.len(), 1, "exactly one message");
    let (message, routing) = published[0].clone();
    assert_eq!(routing, Routing::Mandatory);
    let request = Request::decode(&message).unwrap();
    (message, request)
}

#[tokio::test]
async fn a_customer_is_told_of_the_pick_up() {
    let world = due("notify_customer", "COLLECTED_AS_SOME_GRAPH_SAYS").await;
    world.change(|work| {
        work.stage = Stage::Collected;
        work.order.tracking_url = Some("https://partner.example/1".to_owned());
    });

    world.run().await;

    let (message, request) = sent(&world);
    assert_eq!(
        (message.exchange.as_str(), message.routing_key.as_str()),
        ("", "notifications")
    );
    assert_eq!(request.task, "notifications.send");
    let expected = json!({
        "kind": "picked_up",
        "delivery_order_id": ORDER,
        "customer_id": "cus_1",
        "locale": "de",
        "email": "reader@example.org",
        "phone": "+4930000000",
        "confirmation_url": null,
        "tracking_url": "https://partner.example/1",
        "expires_at": null,
    });
    assert_eq!(Value::Object(request.kwargs), expected);
    assert_eq!(world.last(), Finish::Done);
}

#[tokio::test]
async fn a_customer_is_told_of_a_failure_even_if_the_order_has_moved_on() {
    let world = due("notify_customer", "FAILED_AS_SOME_GRAPH_SAYS").await;
    world.change(|work| {
        work.stage = Stage::Attention;
        work.has_left = true;
    });

    world.run().await;

    assert_eq!(sent(&world).1.kwargs["kind"], "failed");
}

#[tokio::test]
async fn of_any_other_state_a_customer_is_told_by_its_name() {
    let world = due("notify_customer", "AT_THE_DOOR").await;

    world.run().await;

    assert_eq!(sent(&world).1.kwargs["kind"], "at_the_door");
}

#[tokio::test]
async fn a_customer_is_asked_to_confirm_by_a_link() {
    let world = due("request_customer_confirmation", "DELIVERED").await;

    world.run().await;

    let kwargs = sent(&world).1.kwargs;
    assert_eq!(kwargs["kind"], "confirm_receipt");
    assert_eq!(
        kwargs["confirmation_url"],
        format!("https://waybill.example/confirm/{EFFECT}")
    );
    assert_eq!(kwargs["expires_at"], "2026-12-04T11:00:00Z");
}

#[tokio::test]
async fn a_customer_without_e_mail_and_phone_is_told_of_with_nulls() {
    let world = due("notify_customer", "PICKED_UP").await;
    world.change(|work| work.order.dropoff = json!({"name": "A. Reader"}));

    world.run().await;

    let kwargs = sent(&world).1.kwargs;
    assert_eq!((&kwargs["email"], &kwargs["phone"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn order_management_is_told_how_it_ended() {
    let world = due("notify_order_management", "DELIVERY_CONFIRMED").await;
    let successor = Uuid::from_u128(8);
    world.change(|work| {
        work.order.outcome = Some("success".to_owned());
        work.order.confirmed_by = Some("customer".to_owned());
        work.order.successor_id = Some(waybill_domain::OrderId(successor));
    });

    world.run().await;

    let (message, request) = sent(&world);
    assert_eq!(
        (message.routing_key.as_str(), request.task.as_str()),
        ("oms", "oms.delivery_update")
    );
    let expected = json!({
        "delivery_order_id": ORDER,
        "ordering_id": "ord_1",
        "customer_id": "cus_1",
        "payment_id": "pay_1",
        "attempt": 1,
        "successor_id": successor,
        "state": "DELIVERY_CONFIRMED",
        "outcome": "success",
        "failure_reason": null,
        "confirmed_by": "customer",
        "sequence": 3,
        "occurred_at": "2026-11-20T11:00:00Z",
    });
    assert_eq!(Value::Object(request.kwargs), expected);
}

#[tokio::test]
async fn the_ids_follow_from_the_effect() {
    for (name, entered, purpose) in [
        ("notify_customer", "PICKED_UP", "notifications.send"),
        ("notify_order_management", "CANCELLED", "oms.delivery_update"),
    ] {
        let world = due(name, entered).await;

        world.run().await;

        let (_, request) = sent(&world);
        assert_eq!(request.id, Uuid::new_v5(&EFFECT, purpose.as_bytes()).to_string());
        assert_eq!(request.parent_id, Some(EFFECT.to_string()));
    }
}

#[tokio::test]
async fn monitors_see_no_addresses() {
    let world = due("request_customer_confirmation", "DELIVERED").await;

    world.run().await;

    let (message, _) = sent(&world);
    assert_eq!(message.headers["kwargsrepr"], HeaderValue::from("{...}"));
    assert!(!format!("{:?}{:?}", message.headers, message.properties).contains("reader@example.org"));
}

#[tokio::test]
async fn a_missing_queue_is_waited_for_and_named() {
    for (name, entered, queue) in [
        ("notify_customer", "PICKED_UP", "notifications"),
        ("notify_order_management", "CANCELLED", "oms"),
    ] {
        let world = due(name, entered).await;
        *world.wire.missing.lock().unwrap() = Some(queue.to_owned());

        world.run().await;

        let Finish::Retry {
            after,
            cause,
            counts: false,
        } = world.last()
        else {
            panic!("{:?}", world.last())
        };
        assert_eq!(after, Duration::from_secs(30));
        assert!(cause.contains(&format!("queue {queue} is missing")), "{cause}");
        *world.wire.missing.lock().unwrap() = None;
        world.run().await;
        assert_eq!((world.last(), world.told(queue).len()), (Finish::Done, 1));
    }
}

#[tokio::test]
async fn a_broker_that_does_not_confirm_is_asked_again_with_growing_pauses() {
    let world = due("notify_order_management", "CANCELLED").await;
    world.wire.silent.store(true, Ordering::Relaxed);

    for attempt in 0..20u32 {
        world.run().await;

        let Finish::Retry {
            after, counts: true, ..
        } = world.last()
        else {
            panic!("{:?}", world.last())
        };
        let longest = Duration::from_secs(2 << attempt.min(8)).min(Duration::from_secs(300));
        assert!(after <= longest && after >= longest / 2, "attempt {attempt}: {after:?}");
    }

    world.wire.silent.store(false, Ordering::Relaxed);
    world.run().await;
    assert_eq!(world.last(), Finish::Done);
}

#[tokio::test]
async fn an_operator_is_told_of_instances_of_every_machine() {
    let world = due("open_operator_case", "WAITS_AS_SOME_GRAPH_SAYS").await;
    world.orders.has_no_record.store(true, Ordering::Relaxed);

    world.run().await;

    assert_eq!(*world.orders.cases.lock().unwrap(), [EFFECT].into());
    assert_eq!(world.last(), Finish::Done);
}
