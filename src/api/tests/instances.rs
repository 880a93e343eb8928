//! Instances of machines over HTTP: created once, shown with their log, moved by those who may.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use serde_json::{Value as Json, json};
use waybill_domain::{GraphVersion, Role};

use super::world::{Answered, World};
use crate::graph_commands::{Verdict, publish};
use crate::store::Activated;
use crate::template::{Share, Template};

const FOOD: &str = "/v1/machines/food-order/instances";

/// A world whose process knows delivery orders only; the meals are published and activated beside it.
async fn world() -> World {
    let world = World::new().await;
    let store = world.engine.store();
    let published = publish(store, Template::every_machine(), None, &mut Vec::new()).await;
    assert_eq!(published.expect("the store answers"), Verdict::Good);
    let share = Share {
        version: GraphVersion(1),
        weight: 100,
    };
    let activated = store.activate("food-order", &[share], "ada").await;
    assert_eq!(activated.expect("the store answers"), Activated::Revision(1));
    world
}

/// What somebody posts under a key.
async fn post(world: &World, role: Role, path: &str, key: &str, if_match: Option<&str>, body: Json) -> Answered {
    let mut request = Request::post(path)
        .header(header::AUTHORIZATION, format!("Bearer {}", world.token(role, "shop")))
        .header(header::CONTENT_TYPE, "application/json")
        .header("idempotency-key", key);
    if let Some(etag) = if_match {
        request = request.header("if-match", etag);
    }
    world.send(request, Body::from(body.to_string())).await
}

/// A new meal; answers where it is.
async fn meal(world: &World, key: &str) -> String {
    let created = post(world, Role::Service, FOOD, key, None, json!({})).await;
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.text);
    created.header("location").to_owned()
}

#[tokio::test]
async fn an_instance_is_created_once_for_a_key_and_is_where_it_was_said_to_be() {
    let world = world().await;
    let known = json!({ "fields": { "distance_metres": 1200 } });

    let created = post(&world, Role::Service, FOOD, "basket-1", None, known.clone()).await;
    let again = post(&world, Role::Service, FOOD, "basket-1", None, known).await;
    let other = post(&world, Role::Service, FOOD, "basket-1", None, json!({})).await;
    let shown = world.operator_gets(created.header("location")).await;

    assert_eq!(
        (created.status, again.status, shown.status),
        (StatusCode::CREATED, StatusCode::OK, StatusCode::OK)
    );
    assert_eq!(
        (created.header("etag"), created.header("idempotent-replayed")),
        ("\"1\"", "")
    );
    assert_eq!(
        (again.header("location"), again.header("idempotent-replayed")),
        (created.header("location"), "true")
    );
    assert_eq!((again.json(), shown.json()), (created.json(), created.json()));
    assert_eq!(
        (other.status.as_u16(), other.code().as_str()),
        (422, "idempotency-key-reuse")
    );
    let meal = created.json();
    assert_eq!(
        (&meal["machine"], &meal["state"], &meal["outcome"]),
        (&json!("food-order"), &json!("PLACED"), &Json::Null)
    );
    assert_eq!(
        (&meal["fields"], &meal["deadline"]["event"]),
        (&json!({ "distance_metres": 1200 }), &json!("PAYMENT_OVERDUE"))
    );
    assert_eq!(meal["log"][0]["actor"], json!({ "role": "service", "id": "shop" }));
    let allowed: Vec<_> = meal["allowed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["event"].as_str().unwrap())
        .collect();
    assert_eq!(
        allowed,
        [
            "ORDER_CANCELLED",
            "PAYMENT_CONFIRMED",
            "PAYMENT_DECLINED",
            "PAYMENT_OVERDUE"
        ]
    );
}

#[tokio::test]
async fn what_cannot_be_created_is_told_by_its_field() {
    let world = world().await;
    let create = async |path: &str, body: Json| post(&world, Role::Service, path, "k", None, body).await;

    let unknown = create(FOOD, json!({ "fields": { "colour": "red" } })).await;
    let wrong = create(FOOD, json!({ "fields": { "distance_metres": "far" } })).await;
    let object = create(FOOD, json!({ "fields": { "note": {} } })).await;
    let machine = create("/v1/machines/bicycle/instances", json!({})).await;

    assert_eq!(
        (unknown.code().as_str(), &unknown.json()["field"]),
        ("unknown-field", &json!("colour"))
    );
    assert_eq!(
        (wrong.code().as_str(), &wrong.json()["field"]),
        ("bad-field", &json!("distance_metres"))
    );
    assert_eq!(
        (object.code().as_str(), &object.json()["field"]),
        ("bad-field", &json!("fields.note"))
    );
    assert_eq!(machine.code(), "not-found");
}

#[tokio::test]
async fn an_event_moves_an_instance_once_and_what_cannot_be_is_refused_with_where_it_stands() {
    let world = world().await;
    let meal = meal(&world, "basket-1").await;
    let events = format!("{meal}/events");
    let confirmed = json!({ "event": "PAYMENT_CONFIRMED" });

    let moved = post(&world, Role::Service, &events, "k-1", Some("\"1\""), confirmed.clone()).await;
    let again = post(&world, Role::Service, &events, "k-1", Some("\"1\""), confirmed.clone()).await;
    let stale = post(&world, Role::Service, &events, "k-2", Some("\"1\""), confirmed.clone()).await;
    let twice = post(&world, Role::Service, &events, "k-3", None, confirmed).await;
    let unknown = post(
        &world,
        Role::Service,
        &events,
        "k-4",
        None,
        json!({ "event": "GOODS_SHIPPED" }),
    )
    .await;

    assert_eq!(
        (moved.status, &moved.json()["state"], moved.header("etag")),
        (StatusCode::OK, &json!("PAYMENT_CONFIRMED"), "\"2\"")
    );
    assert_eq!(
        (again.status, again.header("idempotent-replayed")),
        (StatusCode::OK, "true")
    );
    assert_eq!(
        (stale.status.as_u16(), stale.code().as_str()),
        (412, "revision-mismatch")
    );
    assert_eq!((twice.status.as_u16(), twice.code().as_str()), (409, "duplicate-event"));
    assert_eq!(
        (&twice.json()["state"], &twice.json()["last"]["event"]),
        (&json!("PAYMENT_CONFIRMED"), &json!("PAYMENT_CONFIRMED"))
    );
    assert_eq!(unknown.code(), "unknown-event");
}

#[tokio::test]
async fn a_service_speaks_for_customers_and_couriers_but_for_no_operator() {
    let world = world().await;
    let meal = meal(&world, "basket-1").await;
    let events = format!("{meal}/events");
    let cancelled = |role: &str| {
        json!({
            "event": "ORDER_CANCELLED",
            "fields": { "cancel_reason": "CUSTOMER_REQUEST" },
            "actor": { "role": role, "id": "cus-7" },
        })
    };

    let courier = post(
        &world,
        Role::Service,
        &events,
        "k-1",
        None,
        cancelled("delivery_partner"),
    )
    .await;
    let operator = post(&world, Role::Service, &events, "k-2", None, cancelled("operator")).await;
    let person = post(&world, Role::Operator, &events, "k-3", None, cancelled("customer")).await;
    let customer = post(&world, Role::Service, &events, "k-4", None, cancelled("customer")).await;

    assert_eq!((courier.status.as_u16(), courier.code().as_str()), (403, "wrong-actor"));
    assert_eq!(
        (operator.status.as_u16(), &operator.json()["field"]),
        (422, &json!("actor"))
    );
    assert_eq!((person.status.as_u16(), person.code().as_str()), (403, "wrong-actor"));
    assert_eq!(
        (customer.status, &customer.json()["outcome"]),
        (StatusCode::OK, &json!("cancelled"))
    );
    assert_eq!(
        customer.json()["log"][1]["actor"],
        json!({ "role": "customer", "id": "cus-7 by shop" })
    );
}

#[tokio::test]
async fn an_instance_is_found_under_its_own_machine_only() {
    let world = world().await;
    let meal = meal(&world, "basket-1").await;
    let id = meal.rsplit('/').next().unwrap();
    let delivery = world.order("o-1").await;

    for path in [
        format!("/v1/machines/order/instances/{id}"),
        format!("/v1/delivery-orders/{id}"),
        format!("/v1/delivery-orders/{id}/log"),
        format!("{FOOD}/{delivery}"),
        format!("{FOOD}/nonsense"),
    ] {
        assert_eq!(world.operator_gets(&path).await.code(), "not-found", "{path}");
    }
    let event = json!({ "event": "CANCELLED", "fields": { "cancel_reason": "CUSTOMER_REQUEST" } });
    let elsewhere = post(
        &world,
        Role::Operator,
        &format!("/v1/delivery-orders/{id}/events"),
        "k",
        None,
        event,
    )
    .await;
    assert_eq!(elsewhere.code(), "not-found");
    let shown = world
        .operator_gets(&format!("/v1/machines/delivery-order/instances/{delivery}"))
        .await
        .json();
    assert_eq!(shown["state"], "CREATED", "a delivery order is an instance too");
    assert!(!shown.to_string().contains("Torstr"), "without its addresses");
}

#[tokio::test]
async fn a_list_has_each_instance_of_the_machine_once_and_finds_by_state() {
    let world = world().await;
    world.order("o-1").await;
    let mut meals = Vec::new();
    for basket in 0..5 {
        meals.push(meal(&world, &format!("basket-{basket}")).await);
    }
    let confirmed = json!({ "event": "PAYMENT_CONFIRMED" });
    let events = format!("{}/events", meals[0]);
    let moved = post(&world, Role::Service, &events, "k-1", None, confirmed)
        .await
        .json();

    let list = async |query: &str| {
        let listed = world.operator_gets(&format!("{FOOD}{query}")).await;
        assert_eq!(listed.status, StatusCode::OK, "{query}: {}", listed.text);
        let page = listed.json();
        let ids: Vec<String> = page["items"].as_array().unwrap().iter().map(place).collect();
        (ids, page)
    };
    let (all, page) = list("").await;
    let (first, cut) = list("?limit=4").await;
    let (rest, end) = list(&format!("?limit=4&cursor={}", cut["next_cursor"].as_str().unwrap())).await;
    let (placed, _) = list("?state=PLACED").await;
    let (_, one) = list("?state=PAYMENT_CONFIRMED").await;

    // The one that moved has changed last.
    let mut expected = meals[1..].to_vec();
    assert_eq!(placed, expected);
    expected.push(meals[0].clone());
    assert_eq!((&all, &page["next_cursor"]), (&expected, &Json::Null));
    assert_eq!(([first, rest].concat(), &end["next_cursor"]), (expected, &Json::Null));
    let mut shown = moved;
    for history in ["allowed", "log"] {
        shown.as_object_mut().unwrap().remove(history);
    }
    assert_eq!(one["items"], json!([shown]));
}

/// Where an instance of a list is.
fn place(instance: &Json) -> String {
    format!("{FOOD}/{}", instance["instance_id"].as_str().unwrap())
}

#[tokio::test]
async fn a_list_that_cannot_be_is_refused_by_name() {
    let world = world().await;
    let cases = [
        (format!("{FOOD}?state=CREATED"), 400, "bad-parameter"),
        (format!("{FOOD}?customer_id=c"), 400, "bad-parameter"),
        (format!("{FOOD}?limit=201"), 400, "bad-parameter"),
        ("/v1/machines/bicycle/instances".to_owned(), 404, "not-found"),
    ];
    for (path, status, code) in cases {
        let refused = world.operator_gets(&path).await;
        assert_eq!(
            (refused.status.as_u16(), refused.code().as_str()),
            (status, code),
            "{path}"
        );
    }
}
