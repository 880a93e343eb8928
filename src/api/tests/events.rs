//! Events reported over HTTP: what they do, what refuses them, and who was first.

use axum::http::StatusCode;
use chrono::DateTime;
use serde_json::{Value as Json, json};
use uuid::Uuid;
use waybill_domain::{OrderId, Role};

use super::world::{Answered, World, address};

/// Reports with this key and revision.
async fn report_with(world: &World, key: &str, if_match: Option<&str>, id: OrderId, body: Json) -> Answered {
    let (mut builder, body) = world.reporting(Role::Operator, "ada", id, &body);
    builder = builder.header("idempotency-key", key);
    if let Some(etag) = if_match {
        builder = builder.header("if-match", etag);
    }
    world.send(builder, body).await
}

#[tokio::test]
async fn an_event_moves_its_order_and_answers_it() {
    let world = World::new().await;
    let id = world.order("o-1").await;

    let fields = json!({ "partner_order_number": "N-7" });
    let answered = world
        .report(Role::Service, "erp", id, "PARTNER_PICKED_UP", fields)
        .await;

    let order = answered.json();
    assert_eq!(answered.status, StatusCode::OK);
    assert_eq!(answered.header("etag"), "\"2\"");
    assert_eq!(answered.header("idempotent-replayed"), "");
    assert_eq!(order["state"], "PICKED_UP");
    assert_eq!(order["revision"], 2);
    assert_eq!(order["partner_order_number"], "N-7");
    assert_eq!(order["deadline"]["event"], "DELIVERY_OVERDUE");
}

#[tokio::test]
async fn the_same_key_again_answers_the_same_and_moves_nothing() {
    let world = World::new().await;
    let id = world.order("o-1").await;
    let body = json!({ "event": "OPERATOR_ESCALATED", "fields": { "note": "look" } });

    let first = report_with(&world, "k-1", None, id, body.clone()).await;
    let second = report_with(&world, "k-1", None, id, body).await;

    assert_eq!((first.status, second.status), (StatusCode::OK, StatusCode::OK));
    assert_eq!(first.json(), second.json());
    assert_eq!(second.header("idempotent-replayed"), "true");
    assert_eq!(world.engine.store().log(id).await.unwrap().len(), 2);
}

#[tokio::test]
async fn the_same_key_again_holds_even_with_the_revision_that_it_moved_away_from() {
    let world = World::new().await;
    let id = world.order("o-1").await;
    let body = json!({ "event": "OPERATOR_ESCALATED" });

    report_with(&world, "k-1", Some("\"1\""), id, body.clone()).await;
    let again = report_with(&world, "k-1", Some("\"1\""), id, body).await;

    assert_eq!(again.status, StatusCode::OK);
    assert_eq!(again.json()["revision"], 2);
}

#[tokio::test]
async fn a_key_is_not_taken_for_another_payload() {
    let world = World::new().await;
    let id = world.order("o-1").await;
    let other = world.order("o-2").await;
    report_with(&world, "k-1", None, id, json!({ "event": "OPERATOR_ESCALATED" })).await;

    let same_order = report_with(
        &world,
        "k-1",
        None,
        id,
        json!({ "event": "CANCELLED", "fields": { "cancel_reason": "OPERATOR_DECISION" } }),
    )
    .await;
    let other_order = report_with(&world, "k-1", None, other, json!({ "event": "OPERATOR_ESCALATED" })).await;

    for answered in [same_order, other_order] {
        assert_eq!(
            (answered.status.as_u16(), answered.code().as_str()),
            (422, "idempotency-key-reuse")
        );
    }
    assert_eq!(world.state(other).await, "CREATED");
}

#[tokio::test]
async fn another_reporter_may_use_the_same_key() {
    let world = World::new().await;
    let (id, other) = (world.order("o-1").await, world.order("o-2").await);
    let body = json!({ "event": "OPERATOR_ESCALATED" });

    let mut answers = Vec::new();
    for (who, id) in [("ada", id), ("ben", other)] {
        let (builder, body) = world.reporting(Role::Operator, who, id, &body);
        answers.push(world.send(builder.header("idempotency-key", "k-1"), body).await.status);
    }

    assert_eq!(answers, [StatusCode::OK, StatusCode::OK]);
}

#[tokio::test]
async fn a_revision_that_has_passed_is_refused_with_what_happened() {
    let world = World::new().await;
    let id = world.order("o-1").await;
    world
        .move_on(id, "PARTNER_PICKED_UP", json!({ "partner_order_number": "N-7" }))
        .await;

    let answered = report_with(
        &world,
        "k-1",
        Some("\"1\""),
        id,
        json!({ "event": "OPERATOR_ESCALATED" }),
    )
    .await;

    let body = answered.json();
    assert_eq!(
        (answered.status.as_u16(), answered.code().as_str()),
        (412, "revision-mismatch")
    );
    assert_eq!((&body["state"], &body["revision"]), (&json!("PICKED_UP"), &json!(2)));
    assert_eq!(body["last"]["event"], "PARTNER_PICKED_UP");
    assert_eq!(body["last"]["actor"], json!({ "role": "service", "id": "erp" }));
    assert!(DateTime::parse_from_rfc3339(body["last"]["at"].as_str().unwrap()).is_ok());
    let allowed: Vec<_> = body["allowed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["event"].clone())
        .collect();
    assert!(
        allowed.contains(&json!("PARTNER_DELIVERED")) && !allowed.contains(&json!("CANCELLED")),
        "{allowed:?}"
    );
    assert_eq!(world.state(id).await, "PICKED_UP");
}

#[tokio::test]
async fn the_revision_that_is_or_any_revision_is_good() {
    let world = World::new().await;
    for (ordering, etag) in [("o-1", "\"1\""), ("o-2", "*")] {
        let id = world.order(ordering).await;

        let answered = report_with(
            &world,
            ordering,
            Some(etag),
            id,
            json!({ "event": "OPERATOR_ESCALATED" }),
        )
        .await;

        assert_eq!(answered.status, StatusCode::OK, "{etag}");
    }
}

#[tokio::test]
async fn what_the_graph_refuses_has_a_name_each() {
    let world = World::new().await;
    let picked_up = world.order("picked-up").await;
    world
        .move_on(picked_up, "PARTNER_PICKED_UP", json!({ "partner_order_number": "N-7" }))
        .await;
    let created = world.order("created").await;
    let pending = world.pending_order("pending").await;
    let number = || json!({ "partner_order_number": "N-8" });

    let cases = [
        (picked_up, "PARTNER_PICKED_UP", number(), 409, "duplicate-event"),
        (
            pending,
            "PARTNER_FAILED",
            json!({ "failure_reason": "LOST" }),
            409,
            "stale-event",
        ),
        (created, "PARTNER_DELIVERED", json!({}), 409, "early-event"),
        (pending, "PARTNER_PICKED_UP", number(), 409, "contradicting-event"),
        (created, "ESCALATED_BY_NOBODY", json!({}), 422, "unknown-event"),
        (created, "PARTNER_PICKED_UP", json!({}), 422, "missing-field"),
        (
            created,
            "PARTNER_PICKED_UP",
            json!({ "partner_order_number": "  " }),
            422,
            "missing-field",
        ),
        (
            created,
            "OPERATOR_ESCALATED",
            json!({ "colour": "red" }),
            422,
            "unknown-field",
        ),
        (
            created,
            "PARTNER_FAILED",
            json!({ "failure_reason": "BAD_MOOD" }),
            422,
            "bad-field",
        ),
        (
            created,
            "PARTNER_PICKED_UP",
            json!({ "partner_order_number": 7 }),
            422,
            "bad-field",
        ),
        (
            created,
            "OPERATOR_ESCALATED",
            json!({ "note": "x".repeat(2001) }),
            422,
            "bad-field",
        ),
        (
            created,
            "OPERATOR_ESCALATED",
            json!({ "note": "nul\0" }),
            422,
            "bad-field",
        ),
        (created, "PICKUP_OVERDUE", json!({}), 403, "wrong-actor"),
    ];
    for (id, event, fields, status, code) in cases {
        let answered = world.report(Role::Service, "erp", id, event, fields).await;

        assert_eq!(
            (answered.status.as_u16(), answered.code().as_str()),
            (status, code),
            "{event}"
        );
        let body = answered.json();
        let tells = ["state", "revision", "allowed", "last"].map(|name| !body[name].is_null());
        assert_eq!(tells, [status == 409; 4], "{event}: {body}");
    }
    assert_eq!(world.state(created).await, "CREATED");
}

#[tokio::test]
async fn of_two_operators_who_arrange_a_redelivery_one_wins_and_the_other_learns_who() {
    let world = World::new().await;
    for round in 0..10 {
        let id = world.pending_order(&format!("o-{round}")).await;

        let (ada, ben) = tokio::join!(
            world.report(
                Role::Operator,
                "ada",
                id,
                "REDELIVERY_ARRANGED",
                json!({ "note": "again" })
            ),
            world.report(
                Role::Operator,
                "ben",
                id,
                "REDELIVERY_ARRANGED",
                json!({ "note": "again" })
            ),
        );

        let (winner, won, lost) = if ada.status == StatusCode::OK {
            ("ada", ada, ben)
        } else {
            ("ben", ben, ada)
        };
        assert_eq!(
            (won.status.as_u16(), lost.status.as_u16()),
            (200, 409),
            "{} {}",
            won.text,
            lost.text
        );
        assert_eq!(lost.code(), "duplicate-event");
        let last = &lost.json()["last"];
        assert_eq!(
            (&last["event"], &last["actor"]["id"]),
            (&json!("REDELIVERY_ARRANGED"), &json!(winner))
        );
        assert_eq!(lost.json()["state"], "REPLACED");
        let orders = world
            .operator_gets(&format!("/v1/delivery-orders?ordering_id=o-{round}"))
            .await
            .json();
        assert_eq!(
            orders["items"].as_array().unwrap().len(),
            2,
            "one order and one successor"
        );
    }
}

#[tokio::test]
async fn a_redelivery_goes_to_the_new_address_with_the_chosen_partner() {
    let world = World::new().await;
    let id = world.pending_order("o-1").await;
    let fields = json!({ "dropoff": address("B. Neighbour"), "partner": "steady", "note": "next door" });

    let answered = world
        .report(Role::Operator, "ada", id, "REDELIVERY_ARRANGED", fields)
        .await;

    let old = answered.json();
    assert_eq!(
        (&old["state"], &old["outcome"]),
        (&json!("REPLACED"), &json!("failure"))
    );
    let successor = old["successor_id"]
        .as_str()
        .expect("the old order names the new one")
        .to_owned();
    let new = world
        .operator_gets(&format!("/v1/delivery-orders/{successor}"))
        .await
        .json();
    assert_eq!(new["predecessor_id"], old["delivery_order_id"]);
    assert_eq!(
        (&new["attempt"], &new["partner"], &new["state"]),
        (&json!(2), &json!("steady"), &json!("CREATED"))
    );
    assert_eq!(new["dropoff"], address("B. Neighbour"));
    assert_eq!(new["pickup"], old["pickup"]);
}

#[tokio::test]
async fn an_address_or_a_partner_that_cannot_be_is_refused_with_its_place() {
    let world = World::new().await;
    let id = world.pending_order("o-1").await;
    let with = |name: &str, value: Json| {
        let mut changed = address("B. Neighbour");
        changed[name] = value;
        json!({ "dropoff": changed })
    };
    let mut without_city = address("B. Neighbour");
    without_city.as_object_mut().unwrap().remove("city");

    let cases = [
        (json!({ "dropoff": "next door" }), "fields.dropoff"),
        (json!({ "dropoff": null }), "fields.dropoff"),
        (json!({ "dropoff": [] }), "fields.dropoff"),
        (json!({ "dropoff": without_city }), "fields.dropoff.city"),
        (with("name", json!("")), "fields.dropoff.name"),
        (with("line1", json!(7)), "fields.dropoff.line1"),
        (with("line1", json!("x".repeat(201))), "fields.dropoff.line1"),
        (with("postal_code", json!("a\u{0}b")), "fields.dropoff.postal_code"),
        (with("country", json!("Germany")), "fields.dropoff.country"),
        (with("country", json!("de")), "fields.dropoff.country"),
        (with("phone", json!(49)), "fields.dropoff.phone"),
        (with("planet", json!("Earth")), "fields.dropoff.planet"),
        (json!({ "partner": "nobody" }), "fields.partner"),
        (json!({ "partner": 1 }), "fields.partner"),
        (json!({ "partner": null }), "fields.partner"),
    ];
    for (fields, place) in cases {
        let answered = world
            .report(Role::Operator, "ada", id, "REDELIVERY_ARRANGED", fields)
            .await;

        assert_eq!(
            (answered.status.as_u16(), answered.code().as_str()),
            (422, "bad-field"),
            "{place}"
        );
        assert_eq!(answered.json()["field"], place);
    }
    assert_eq!(world.state(id).await, "PENDING_BY_OPERATOR");
}

#[tokio::test]
async fn an_address_is_only_for_an_order_that_takes_over() {
    let world = World::new().await;
    let id = world.order("o-1").await;

    let fields = json!({ "dropoff": address("B. Neighbour") });
    let answered = world
        .report(Role::Operator, "ada", id, "OPERATOR_ESCALATED", fields)
        .await;

    assert_eq!(
        (answered.status.as_u16(), answered.code().as_str()),
        (422, "unknown-field")
    );
}

#[tokio::test]
async fn what_the_engine_fills_nobody_else_may_fill() {
    let world = World::new().await;
    let id = world.pending_order("o-1").await;

    let fields = json!({ "replacement_delivery_order_id": Uuid::new_v4() });
    let answered = world
        .report(Role::Operator, "ada", id, "REDELIVERY_ARRANGED", fields)
        .await;

    assert_eq!((answered.status.as_u16(), answered.code().as_str()), (422, "bad-field"));
    assert_eq!(answered.json()["field"], "replacement_delivery_order_id");
}

#[tokio::test]
async fn a_caller_of_several_roles_acts_in_the_one_that_the_graph_asks_for() {
    let world = World::new().await;
    let id = world.order("o-1").await;
    let token = super::super::auth::tests::token_with_roles(&["service", "operator"]);
    let send = |event: &str, fields: Json, key: &str| {
        let builder = axum::http::Request::post(format!("/v1/delivery-orders/{id}/events"))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .header("idempotency-key", key);
        world.send(builder, json!({ "event": event, "fields": fields }).to_string().into())
    };

    // Only services may tell of a pick-up, only operators arrange a redelivery.
    let failed = send("PARTNER_FAILED", json!({ "failure_reason": "LOST" }), "k-1").await;
    let arranged = send("REDELIVERY_ARRANGED", json!({}), "k-2").await;

    assert_eq!(
        (failed.status, arranged.status),
        (StatusCode::OK, StatusCode::OK),
        "{} {}",
        failed.text,
        arranged.text
    );
    let log = world
        .operator_gets(&format!("/v1/delivery-orders/{id}/log"))
        .await
        .json();
    let roles: Vec<_> = log
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["actor"]["role"].clone())
        .collect();
    assert_eq!(roles, ["payment_service", "service", "system", "operator"]);
}
