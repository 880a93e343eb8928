//! What may come in a wrong order, twice, or against each other, over HTTP and on both databases: docs/edge-cases.md.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use chrono::TimeDelta;
use serde_json::{Value as Json, json};
use uuid::Uuid;
use waybill_domain::{GraphVersion, OrderId, Role};

use super::callbacks::Sent;
use super::world::{Answered, World, on_both, uber};
use crate::store::CallbackFilter;
use crate::store::record::CallbackState;
use crate::template::Template;

/// Sends a callback of the partner `swift`; answers its id.
async fn tell(world: &World, id: &str, kind: &str, data: Json) -> Uuid {
    take(world, id, said(id, kind, data)).await
}

fn said(id: &str, kind: &str, data: Json) -> (axum::http::request::Builder, Body) {
    let body = json!({ "type": kind, "timestamp": "2026-11-20T11:00:00Z", "data": data }).to_string();
    Sent::new(id, body).sent()
}

async fn take(world: &World, id: &str, sent: (axum::http::request::Builder, Body)) -> Uuid {
    let callback = store(world, id, sent).await;
    world.engine.apply_callback(callback).await.unwrap();
    callback
}

/// Sends it, and leaves it to be applied later.
async fn store(world: &World, id: &str, (request, body): (axum::http::request::Builder, Body)) -> Uuid {
    let answered = world.send(request, body).await;
    assert_eq!(answered.status, StatusCode::OK, "{id}: {}", answered.text);
    let known = CallbackFilter {
        event_id: Some(id.to_owned()),
        limit: 1,
        ..CallbackFilter::default()
    };
    world.engine.store().heard(&known).await.unwrap()[0].callback_id
}

/// What a callback was, as the operators' list says it.
async fn disposition(world: &World, id: Uuid) -> String {
    let shown = world.operator_gets(&format!("/v1/callbacks/{id}")).await.json();
    shown["disposition"].as_str().unwrap().to_owned()
}

/// The kinds of the open cases, oldest first.
async fn cases(world: &World) -> Vec<String> {
    let listed = world.operator_gets("/v1/operator-cases").await.json();
    let items = listed["items"].as_array().unwrap().iter();
    items.map(|case| case["kind"].as_str().unwrap().to_owned()).collect()
}

/// The order's log: event, and whether it moved, was noted or was inferred.
async fn log(world: &World, id: OrderId) -> Vec<(String, String, bool)> {
    let log = world
        .operator_gets(&format!("/v1/delivery-orders/{id}/log"))
        .await
        .json();
    let text = |value: &Json| value.as_str().unwrap().to_owned();
    let rows = log.as_array().unwrap().iter();
    rows.map(|row| (text(&row["event"]), text(&row["kind"]), row["inferred"] == true))
        .collect()
}

async fn say(world: &World, link: &str, received: &str) -> Answered {
    let request = Request::post(link).header("content-type", "application/x-www-form-urlencoded");
    world.send(request, Body::from(format!("received={received}"))).await
}

fn up(order: OrderId, number: &str) -> Json {
    json!({ "reference": order, "partner_order_number": number })
}

/// Publishes the shipped graph of a machine under that version, with an effect that only a newer program has.
async fn keep_unreadable(world: &World, machine: &str, version: u32) {
    let graph = Template::every_machine().graph(machine, GraphVersion(1)).unwrap();
    let mut document = serde_json::to_value(graph.document()).unwrap();
    let initial = document["initial"].as_str().unwrap().to_owned();
    document["states"][initial]["on_enter"] = json!(["launch_rocket"]);
    let kept = world
        .engine
        .store()
        .keep_version(machine, version, "of a newer program", document);
    assert_eq!(kept.await.unwrap(), "of a newer program");
}

/// Lets an order obey that version, as a program does that can read both.
async fn pin(world: &World, order: OrderId, version: i64) {
    let mut tx = world.db.tx().await.unwrap();
    let moved = "UPDATE instances SET graph_version = $1 WHERE id = $2";
    tx.execute(moved, vec![version.into(), order.0.into()]).await.unwrap();
    tx.commit().await.unwrap();
}

on_both! {
    async fn delivered_before_picked_up_waits_for_its_turn(world: World) {
        let order = world.order("o-1").await;

        let early = tell(&world, "down", "delivery.delivered", json!({ "reference": order })).await;
        assert_eq!((disposition(&world, early).await.as_str(), world.state(order).await.as_str()), ("early", "CREATED"));
        tell(&world, "up", "delivery.picked_up", up(order, "N-1")).await;
        world.engine.apply_callback(early).await.unwrap();

        assert_eq!((disposition(&world, early).await.as_str(), world.state(order).await.as_str()), ("accepted", "DELIVERED"));
    }

    async fn a_pick_up_that_never_came_is_inferred_where_the_partner_is_known_to_have_the_parcel(world: World) {
        let order = world.order("o-1").await;
        let early = tell(&world, "down", "delivery.delivered", up(order, "N-1")).await;

        world.apply_later(early, TimeDelta::minutes(61)).await;

        assert_eq!((disposition(&world, early).await.as_str(), world.state(order).await.as_str()), ("accepted", "DELIVERED"));
        let log = log(&world, order).await;
        assert_eq!(log[1], ("PARTNER_PICKED_UP".to_owned(), "moved".to_owned(), true));
        assert_eq!(log[2], ("PARTNER_DELIVERED".to_owned(), "moved".to_owned(), false));
    }

    async fn a_pick_up_that_never_came_is_an_operators_where_nothing_is_known(world: World) {
        let order = world.order("o-1").await;
        let early = tell(&world, "down", "delivery.delivered", json!({ "reference": order })).await;

        world.apply_later(early, TimeDelta::minutes(61)).await;

        assert_eq!((disposition(&world, early).await.as_str(), world.state(order).await.as_str()), ("unresolved", "PENDING_BY_OPERATOR"));
    }

    async fn a_late_pick_up_is_noted_and_moves_nothing(world: World) {
        let order = world.order("o-1").await;
        tell(&world, "up", "delivery.picked_up", up(order, "N-1")).await;
        tell(&world, "down", "delivery.delivered", json!({ "reference": order })).await;

        let late = tell(&world, "up-again", "delivery.picked_up", up(order, "N-1")).await;

        assert_eq!((disposition(&world, late).await.as_str(), world.state(order).await.as_str()), ("stale", "DELIVERED"));
        assert_eq!(log(&world, order).await.last().unwrap().1, "noted");
        assert_eq!(cases(&world).await, [""; 0]);
    }

    async fn the_same_fact_under_another_id_is_a_duplicate(world: World) {
        let order = world.order("o-1").await;
        let first = tell(&world, "up", "delivery.picked_up", up(order, "N-1")).await;
        let again = tell(&world, "up", "delivery.picked_up", up(order, "N-1")).await;

        let otherwise = tell(&world, "up-in-other-words", "delivery.picked_up", up(order, "N-1")).await;

        assert_eq!(first, again, "the same id is one callback");
        assert_eq!(disposition(&world, otherwise).await, "duplicate");
        assert_eq!(log(&world, order).await.iter().filter(|row| row.1 == "moved").count(), 1);
    }

    async fn of_delivered_and_failed_the_first_stands_and_an_operator_sees_both(world: World) {
        let order = world.order("o-1").await;
        tell(&world, "up", "delivery.picked_up", up(order, "N-1")).await;
        tell(&world, "down", "delivery.delivered", json!({ "reference": order })).await;

        let against = tell(&world, "lost", "delivery.failed", json!({ "reference": order, "failure_reason": "LOST" })).await;

        assert_eq!((disposition(&world, against).await.as_str(), world.state(order).await.as_str()), ("conflict", "DELIVERED"));
        assert_eq!(cases(&world).await, ["contradiction"]);
        let evidence = world.operator_gets(&format!("/v1/delivery-orders/{order}/log")).await.text;
        assert!(evidence.contains("LOST"), "what was claimed is kept: {evidence}");
    }

    async fn after_our_cancellation_goods_that_are_under_way_are_at_large_and_its_confirmation_is_not(world: World) {
        let order = world.order("o-1").await;
        world.move_on(order, "CANCELLED", json!({ "cancel_reason": "CUSTOMER_REQUEST" })).await;

        let asked = tell(&world, "off", "delivery.cancelled", json!({ "reference": order })).await;
        assert_eq!((disposition(&world, asked).await.as_str(), cases(&world).await.len()), ("noted", 0));
        let at_large = tell(&world, "down", "delivery.delivered", json!({ "reference": order })).await;

        assert_eq!((disposition(&world, at_large).await.as_str(), world.state(order).await.as_str()), ("conflict", "CANCELLED"));
        assert_eq!(cases(&world).await, ["goods-at-large"]);
    }

    async fn of_a_cancellation_and_a_pick_up_at_once_one_wins_and_goods_are_never_forgotten(world: World) {
        for round in 0..5 {
            let order = world.order(&format!("o-{round}")).await;
            let cancelled = json!({ "cancel_reason": "CUSTOMER_REQUEST" });
            let event = format!("up-{round}");

            let (cancel, pick_up) = tokio::join!(
                world.report(Role::Operator, "ada", order, "CANCELLED", cancelled),
                tell(&world, &event, "delivery.picked_up", up(order, &format!("N-{round}"))),
            );

            let state = world.state(order).await;
            match cancel.status {
                StatusCode::OK => {
                    assert_eq!((state.as_str(), disposition(&world, pick_up).await.as_str()), ("CANCELLED", "conflict"));
                    assert!(cases(&world).await.contains(&"goods-at-large".to_owned()));
                }
                lost => {
                    assert_eq!((lost, state.as_str()), (StatusCode::CONFLICT, "PICKED_UP"), "{}", cancel.text);
                    assert_eq!(disposition(&world, pick_up).await, "accepted");
                }
            }
        }
    }

    async fn a_callback_of_an_unknown_order_is_an_orphan_with_a_case(world: World) {
        let orphan = tell(&world, "down", "delivery.delivered", json!({ "reference": Uuid::nil() })).await;

        assert_eq!(disposition(&world, orphan).await, "orphan");
        assert_eq!(cases(&world).await, ["orphan-callback"]);
    }

    async fn a_callback_that_knows_only_the_booking_is_looked_for_ten_minutes(world: World) {
        let body = json!({
            "id": "evt_1", "kind": "event.delivery_status", "status": "delivered", "delivery_id": "del_1", "data": {},
        });

        let early = take(&world, "evt_1", uber(&body.to_string())).await;
        assert_eq!(disposition(&world, early).await, "early");
        world.apply_later(early, TimeDelta::minutes(11)).await;

        assert_eq!(disposition(&world, early).await, "orphan");
        assert_eq!(cases(&world).await, ["orphan-callback"]);
    }

    async fn a_number_of_another_live_order_is_refused(world: World) {
        let (first, second) = (world.order("o-1").await, world.order("o-2").await);
        tell(&world, "up-1", "delivery.picked_up", up(first, "N-1")).await;

        let reused = tell(&world, "up-2", "delivery.picked_up", up(second, "N-1")).await;

        assert_eq!((disposition(&world, reused).await.as_str(), world.state(second).await.as_str()), ("conflict", "CREATED"));
        assert_eq!(cases(&world).await, ["partner-number-taken"]);
    }

    async fn of_two_numbers_the_first_stands(world: World) {
        let order = world.order("o-1").await;
        tell(&world, "up", "delivery.picked_up", up(order, "N-1")).await;

        let other = tell(&world, "down", "delivery.delivered", up(order, "N-2")).await;

        assert_eq!((disposition(&world, other).await.as_str(), world.state(order).await.as_str()), ("conflict", "PICKED_UP"));
        assert_eq!(cases(&world).await, ["partner-number-differs"]);
        let view = world.operator_gets(&format!("/v1/delivery-orders/{order}")).await.json();
        assert_eq!(view["partner_order_number"], "N-1");
    }

    async fn the_same_id_with_another_content_is_set_aside(world: World) {
        let order = world.order("o-1").await;
        tell(&world, "one", "delivery.picked_up", up(order, "N-1")).await;

        let body = json!({ "type": "delivery.failed", "data": { "reference": order } }).to_string();
        let (request, body) = Sent::new("one", body).sent();
        let answered = world.send(request, body).await;

        assert_eq!((answered.status, answered.text.as_str()), (StatusCode::OK, r#"{"status":"duplicate"}"#));
        assert_eq!(world.state(order).await, "PICKED_UP");
        assert_eq!(cases(&world).await, ["quarantine"]);
    }

    async fn of_two_operators_at_once_one_wins_and_the_other_learns_who(world: World) {
        let order = world.pending_order("o-1").await;

        let (ada, ben) = tokio::join!(
            world.report(Role::Operator, "ada", order, "REDELIVERY_ARRANGED", json!({})),
            world.report(Role::Operator, "ben", order, "REDELIVERY_ARRANGED", json!({})),
        );

        let (winner, lost) = if ada.status == StatusCode::OK { ("ada", ben) } else { ("ben", ada) };
        assert_eq!((lost.status, &lost.json()["last"]["actor"]["id"]), (StatusCode::CONFLICT, &json!(winner)));
        let orders = world.operator_gets("/v1/delivery-orders?ordering_id=o-1").await.json();
        assert_eq!(orders["items"].as_array().unwrap().len(), 2, "one successor");
    }

    async fn of_a_customer_and_an_operator_at_once_one_wins_and_nothing_is_lost(world: World) {
        for round in 0..5 {
            let (order, link) = world.link(&format!("o-{round}"), "en").await;

            let (customer, operator) = tokio::join!(
                say(&world, &link, "yes"),
                world.report(Role::Operator, "ada", order, "OPERATOR_ESCALATED", json!({})),
            );

            assert_eq!(customer.status, StatusCode::OK, "the customer is never told to come again");
            match operator.status {
                StatusCode::OK => assert_eq!(world.state(order).await, "PENDING_BY_OPERATOR"),
                lost => {
                    assert_eq!((lost, world.state(order).await.as_str()), (StatusCode::CONFLICT, "DELIVERY_CONFIRMED"));
                    assert_eq!(operator.json()["last"]["event"], "CUSTOMER_CONFIRMED");
                }
            }
        }
    }

    async fn a_customer_who_says_both_at_once_has_one_answer(world: World) {
        let (order, link) = world.link("o-1", "en").await;

        let (yes, no) = tokio::join!(say(&world, &link, "yes"), say(&world, &link, "no"));

        assert_eq!((yes.status, no.status), (StatusCode::OK, StatusCode::OK));
        assert_eq!(yes.text, no.text);
        let state = world.state(order).await;
        assert!(["DELIVERY_CONFIRMED", "PENDING_BY_OPERATOR"].contains(&state.as_str()), "{state}");
    }

    async fn an_unknown_status_is_stored_and_shown(world: World) {
        let order = world.order("o-1").await;

        let odd = tell(&world, "odd", "delivery.teleported", json!({ "reference": order })).await;

        assert_eq!((disposition(&world, odd).await.as_str(), world.state(order).await.as_str()), ("unmapped", "CREATED"));
        assert_eq!(cases(&world).await, ["unmapped-callback"]);
    }

    async fn a_replayed_request_is_a_duplicate_and_a_forged_one_is_not_believed(world: World) {
        let order = world.order("o-1").await;
        let body = json!({ "type": "delivery.picked_up", "data": up(order, "N-1") }).to_string();
        let mut answers = Vec::new();
        for _ in 0..3 {
            let (request, body) = Sent::new("one", &body).sent();
            answers.push(world.send(request, body).await.text);
        }
        let (forged, altered) = Sent::new("one", &body).with("webhook-id", "two");
        let forged = world.send(forged, altered).await;

        assert_eq!(answers, [r#"{"status":"stored"}"#, r#"{"status":"duplicate"}"#, r#"{"status":"duplicate"}"#]);
        assert_eq!(forged.status, StatusCode::UNAUTHORIZED);
        let known = world.operator_gets("/v1/callbacks").await.json();
        assert_eq!(known["items"][0]["repeats"], 2);
        assert_eq!(known["items"].as_array().unwrap().len(), 1);
    }

    async fn the_same_callback_many_times_at_once_moves_its_order_once(world: World) {
        let order = world.order("o-1").await;
        let body = json!({ "type": "delivery.picked_up", "data": up(order, "N-1") }).to_string();
        let sending = (0..16).map(|_| {
            let (request, body) = Sent::new("one", &body).sent();
            world.send(request, body)
        });

        let answers = futures_util::future::join_all(sending).await;
        take(&world, "one", Sent::new("one", &body).sent()).await;

        let stored = answers.iter().filter(|answered| answered.text.contains("stored")).count();
        assert!(answers.iter().all(|answered| answered.status == StatusCode::OK));
        assert_eq!(stored, 1, "one of them was the first");
        assert_eq!(log(&world, order).await.iter().filter(|row| row.0 == "PARTNER_PICKED_UP").count(), 1);
    }

    async fn a_partner_that_hangs_up_and_sends_again_is_heard_once(world: World) {
        let order = world.order("o-1").await;
        let body = json!({ "type": "delivery.picked_up", "data": up(order, "N-1") }).to_string();
        for patience in [0, 1, 5, 20] {
            let (request, body) = Sent::new("one", &body).sent();
            let patience = std::time::Duration::from_millis(patience);
            // Whether it was answered in time is no matter.
            let _answered = tokio::time::timeout(patience, world.send(request, body)).await;
        }

        take(&world, "one", Sent::new("one", &body).sent()).await;

        let listed = world.operator_gets("/v1/callbacks").await.json();
        assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
        assert_eq!(log(&world, order).await.iter().filter(|row| row.0 == "PARTNER_PICKED_UP").count(), 1);
    }

    async fn what_obeys_a_version_that_this_program_cannot_read_is_left_to_others_and_nothing_is_lost(world: World) {
        let order = world.order("o-1").await;
        let bystander = world.order("o-2").await;
        let cancel = json!({ "cancel_reason": "OPERATOR_DECISION" });
        // A newer program has published what this one does not know, moved an order there, and lets meals begin so.
        keep_unreadable(&world, "delivery-order", 2).await;
        keep_unreadable(&world, "food-order", 1).await;
        pin(&world, order, 2).await;
        let mut tx = world.db.tx().await.unwrap();
        let activated = "INSERT INTO graph_activations (machine, revision, shares, activated_by, activated_at)
                         SELECT 'food-order', 1, $1, 'newer', activated_at FROM graph_activations WHERE revision = 1";
        tx.execute(activated, vec![json!([{ "version": 1, "weight": 100 }]).into()]).await.unwrap();
        tx.commit().await.unwrap();

        let (refused, beside) = tokio::join!(
            world.report(Role::Operator, "ada", order, "CANCELLED", cancel.clone()),
            world.report(Role::Operator, "ada", bystander, "CANCELLED", cancel.clone()),
        );
        let unborn = Request::post("/v1/machines/food-order/instances")
            .header("authorization", format!("Bearer {}", world.token(Role::Service, "shop")))
            .header("content-type", "application/json")
            .header("idempotency-key", "basket-1");
        let unborn = world.send(unborn, Body::from("{}")).await;
        let callback = store(&world, "up", said("up", "delivery.picked_up", up(order, "N-1"))).await;
        let applied = world.engine.apply_callback(callback).await;
        let shown = world.operator_gets(&format!("/v1/delivery-orders/{order}")).await.json();

        for answered in [&refused, &unborn] {
            assert_eq!((answered.status.as_u16(), answered.code().as_str()), (503, "unavailable"), "{}", answered.text);
            assert_ne!(answered.header("retry-after"), "");
        }
        assert!(applied.is_err(), "its task is run again");
        let waiting = world.engine.store().callback(callback).await.unwrap().unwrap();
        assert_eq!(waiting.state, CallbackState::Received);
        assert_eq!((&shown["state"], &shown["graph_version"]), (&json!("CREATED"), &json!(2)));
        assert_eq!(log(&world, order).await.len(), 1);
        assert_eq!(beside.status, StatusCode::OK, "{}", beside.text);

        // Where it can be read, what waited is done.
        pin(&world, order, 1).await;
        world.engine.apply_callback(callback).await.unwrap();
        assert_eq!((disposition(&world, callback).await.as_str(), world.state(order).await.as_str()), ("accepted", "PICKED_UP"));
        assert_eq!(cases(&world).await, [""; 0]);
    }
}
