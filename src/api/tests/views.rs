//! Shapes: every name that interfaces promise, and nulls where nothing is known.

use serde_json::{Value as Json, json};
use waybill_domain::Role;

use super::world::{OWNER, World, address};

fn names(value: &Json) -> Vec<&str> {
    let mut names: Vec<&str> = value
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn an_order_shows_every_promised_field() {
    let world = World::new().await;
    let id = world.order("o-1").await;

    let answered = world
        .get(Role::Customer, OWNER, &format!("/v1/delivery-orders/{id}"))
        .await;

    let order = answered.json();
    let mut promised = vec![
        "delivery_order_id",
        "ordering_id",
        "customer_id",
        "payment_id",
        "attempt",
        "predecessor_id",
        "successor_id",
        "machine",
        "graph_version",
        "state",
        "outcome",
        "revision",
        "partner",
        "partner_booking_id",
        "partner_order_number",
        "failure_reason",
        "confirmed_by",
        "items",
        "pickup",
        "dropoff",
        "created_at",
        "updated_at",
        "deadline",
    ];
    promised.sort_unstable();
    assert_eq!(names(&order), promised);
    assert_eq!(answered.header("etag"), "\"1\"");
    assert_eq!(order["delivery_order_id"], id.to_string());
    assert_eq!(
        (&order["machine"], &order["graph_version"]),
        (&json!("delivery-order"), &json!(1))
    );
    assert_eq!((&order["state"], &order["revision"]), (&json!("CREATED"), &json!(1)));
    assert_eq!(order["pickup"], address("Bookstore Mitte"));
    assert_eq!(order["items"][0]["sku"], "b-1");
    assert_eq!(names(&order["deadline"]), ["at", "event"]);
    assert_eq!(order["deadline"]["event"], "PICKUP_OVERDUE");
    for absent in [
        "predecessor_id",
        "successor_id",
        "outcome",
        "partner_order_number",
        "failure_reason",
        "confirmed_by",
    ] {
        assert!(order[absent].is_null(), "{absent}");
    }
    for instant in [&order["created_at"], &order["updated_at"], &order["deadline"]["at"]] {
        let text = instant.as_str().expect("an instant is text");
        assert!(chrono::DateTime::parse_from_rfc3339(text).is_ok(), "{text}");
    }
}

#[tokio::test]
async fn an_order_that_ended_has_no_deadline() {
    let world = World::new().await;
    let id = world.order("o-1").await;
    world
        .report(
            Role::Operator,
            "ada",
            id,
            "CANCELLED",
            json!({ "cancel_reason": "CUSTOMER_REQUEST" }),
        )
        .await;

    let order = world.operator_gets(&format!("/v1/delivery-orders/{id}")).await.json();

    assert_eq!(order["deadline"], Json::Null);
    assert_eq!(
        (&order["state"], &order["outcome"]),
        (&json!("CANCELLED"), &json!("cancelled"))
    );
}

#[tokio::test]
async fn a_log_shows_each_row_with_its_promised_fields() {
    let world = World::new().await;
    let id = world.pending_order("o-1").await;

    let log = world
        .operator_gets(&format!("/v1/delivery-orders/{id}/log"))
        .await
        .json();

    let rows = log.as_array().expect("rows");
    let promised = [
        "actor",
        "event",
        "fields",
        "from",
        "hash",
        "inferred",
        "kind",
        "occurred_at",
        "recorded_at",
        "sequence",
        "to",
    ];
    for (place, row) in rows.iter().enumerate() {
        assert_eq!(names(row), promised);
        assert_eq!(names(&row["actor"]), ["id", "role"]);
        assert_eq!(row["sequence"], place + 1);
        assert_eq!(row["hash"].as_str().map(str::len), Some(64));
    }
    let brief: Vec<_> = rows
        .iter()
        .map(|row| (row["kind"].clone(), row["from"].clone(), row["to"].clone()))
        .collect();
    assert_eq!(
        brief,
        [
            (json!("born"), Json::Null, json!("CREATED")),
            (json!("moved"), json!("CREATED"), json!("DELIVERY_FAILED")),
            (json!("moved"), json!("DELIVERY_FAILED"), json!("PENDING_BY_OPERATOR")),
        ]
    );
    assert_eq!(rows[1]["fields"], json!({ "failure_reason": "LOST" }));
    assert_eq!(rows[2]["actor"], json!({ "role": "system", "id": "waybill" }));
}

#[tokio::test]
async fn allowed_events_name_roles_and_what_is_still_missing() {
    let world = World::new().await;
    let id = world.order("o-1").await;

    let path = format!("/v1/delivery-orders/{id}/allowed-events");
    let allowed = world.operator_gets(&path).await.json();

    let of = |event: &str| {
        let found = allowed
            .as_array()
            .expect("events")
            .iter()
            .find(|one| one["event"] == event);
        found.unwrap_or_else(|| panic!("{event} is allowed")).clone()
    };
    assert_eq!(
        of("PARTNER_PICKED_UP"),
        json!({
            "event": "PARTNER_PICKED_UP", "to": "PICKED_UP", "roles": ["delivery_partner", "service"],
            "requires": ["partner_order_number"],
        })
    );
    assert_eq!(of("CANCELLED")["requires"], json!(["cancel_reason"]));
    assert_eq!(of("OPERATOR_ESCALATED")["requires"], json!([]));
}

#[tokio::test]
async fn what_the_engine_fills_is_asked_of_nobody() {
    let world = World::new().await;
    let id = world.pending_order("o-1").await;

    let allowed = world
        .operator_gets(&format!("/v1/delivery-orders/{id}/allowed-events"))
        .await
        .json();

    let events: Vec<_> = allowed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (&one["event"], &one["requires"]))
        .collect();
    assert_eq!(
        events,
        [
            (&json!("CANCELLED"), &json!(["cancel_reason"])),
            (&json!("RECEIPT_ESTABLISHED"), &json!(["operator_note"])),
            (&json!("REDELIVERY_ARRANGED"), &json!([])),
        ]
    );
}
