//! Subscribers over HTTP: registered, looked at, tested, told again.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use serde_json::{Value as Json, json};
use uuid::Uuid;
use waybill_domain::Role;

use super::world::{Answered, World};
use crate::outgoing::{Guard, Network, Outgoing, Reaching};

const ENDPOINTS: &str = "/v1/webhook-endpoints";

async fn ask(world: &World, method: Method, path: &str, body: Json) -> Answered {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(
            header::AUTHORIZATION,
            format!("Bearer {}", world.token(Role::Service, "erp")),
        )
        .header(header::CONTENT_TYPE, "application/json");
    world.send(request, Body::from(body.to_string())).await
}

async fn post(world: &World, path: &str, body: Json) -> Answered {
    ask(world, Method::POST, path, body).await
}

async fn register(world: &World, body: Json) -> Json {
    let registered = post(world, ENDPOINTS, body).await;
    assert_eq!(registered.status, StatusCode::OK, "{}", registered.text);
    registered.json()
}

fn path_of(registered: &Json) -> String {
    format!(
        "{ENDPOINTS}/{}",
        registered["endpoint"]["endpoint_id"].as_str().expect("an id")
    )
}

/// Answers that status, once for each time it is asked.
async fn listening(statuses: Vec<u16>) -> String {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/hooks", listener.local_addr().expect("an address"));
    let statuses = std::sync::Arc::new(std::sync::Mutex::new(statuses.into_iter()));
    let answer = move || {
        let next = statuses.lock().expect("nobody panics").next().unwrap_or(200);
        std::future::ready((StatusCode::from_u16(next).expect("a status"), "taken note of"))
    };
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
    url
}

async fn send_all(world: &World) {
    let guard = Guard::new(vec![Network::parse("127.0.0.0/8").expect("a network")]);
    let limit = std::time::Duration::from_secs(5);
    let sender = Outgoing::new(world.engine.clone(), Reaching { guard, limit }).expect("a client");
    while sender.look().await.expect("the store answers") > 0 {}
}

#[tokio::test]
async fn a_secret_is_shown_once_and_the_endpoint_as_often_as_one_likes() {
    let world = World::new().await;
    let body = json!({
        "url": "https://shop.example/hooks?key=1", "description": "the shop", "customer_id": "cus-1",
        "event_types": ["delivery.delivered.v1"], "machine": "delivery-order",
    });

    let registered = register(&world, body).await;
    let shown = world.operator_gets(&path_of(&registered)).await;
    let listed = world.operator_gets(ENDPOINTS).await;

    let (secret, public) = (
        registered["secret"].as_str().unwrap(),
        registered["public_key"].as_str().unwrap(),
    );
    assert!(
        secret.starts_with("whsec_") && public.starts_with("whpk_"),
        "{registered}"
    );
    assert_eq!(shown.json(), registered["endpoint"]);
    assert_eq!(listed.json()["items"], json!([registered["endpoint"]]));
    assert!(!shown.text.contains(secret) && shown.text.contains(public));
    let expected = json!({
        "url": "https://shop.example/hooks?key=1", "state": "active", "created_by": "erp", "machine": "delivery-order",
        "event_types": ["delivery.delivered.v1"], "customer_id": "cus-1", "description": "the shop", "failures": 0,
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(shown.json()[name], *value, "{name}");
    }
    let kept = world
        .db
        .rows("SELECT url FROM webhook_endpoints", vec![])
        .await
        .unwrap();
    assert!(
        !String::from_utf8_lossy(&kept[0].bytes("url").unwrap()).contains("shop.example"),
        "kept encrypted"
    );
}

#[tokio::test]
async fn what_cannot_be_told_is_not_registered() {
    let world = World::new().await;
    let fine = "https://shop.example/";
    let cases = [
        (json!({ "url": "https://10.0.0.1/" }), "url"),
        (json!({ "url": "https://[::ffff:169.254.169.254]/" }), "url"),
        (json!({ "url": "https://2130706434:22/" }), "ok"),
        (json!({ "url": "https://100.64.0.1/" }), "url"),
        (json!({ "url": "http://8.8.8.8/" }), "url"),
        (json!({ "url": "ftp://shop.example/" }), "url"),
        (json!({ "url": "https://me:secret@shop.example/" }), "url"),
        (json!({ "url": "" }), "url"),
        (json!({ "url": fine, "event_types": [] }), "event_types"),
        (
            json!({ "url": fine, "event_types": ["delivery.teleported.v1"] }),
            "event_types",
        ),
        (json!({ "url": fine, "machine": "toaster" }), "machine"),
        (json!({ "url": fine, "customer_id": "" }), "customer_id"),
        (json!({ "url": fine, "description": "x".repeat(501) }), "description"),
    ];
    for (body, field) in cases {
        let refused = post(&world, ENDPOINTS, body.clone()).await;
        if field == "ok" {
            assert_eq!(refused.status, StatusCode::OK, "a named network: {body}");
            continue;
        }
        assert_eq!(refused.code(), "bad-field", "{body}");
        assert_eq!(refused.json()["field"], field, "{body}");
    }
    for body in [json!({}), json!({ "url": fine, "secret": "mine" })] {
        assert_eq!(post(&world, ENDPOINTS, body).await.code(), "bad-body");
    }
}

#[tokio::test]
async fn attempts_are_kept_with_what_was_answered_and_a_delivery_is_sent_again() {
    let world = World::new().await;
    let url = listening(vec![503]).await;
    let registered = register(&world, json!({ "url": url })).await;
    let path = path_of(&registered);
    world.order("o-1").await;

    send_all(&world).await;
    let listed = world
        .operator_gets(&format!("{path}/deliveries?state=pending"))
        .await
        .json();
    let delivery = &listed["items"][0];
    let one = format!("/v1/webhook-deliveries/{}", delivery["delivery_id"].as_str().unwrap());
    assert_eq!(
        (delivery["attempts"].as_i64(), delivery["cause"].as_str()),
        (Some(1), Some("answered 503"))
    );
    assert!(delivery["next_attempt_at"].is_string());
    let again = post(&world, &format!("{one}/resend"), Json::Null).await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.text);
    send_all(&world).await;

    let shown = world.operator_gets(&one).await.json();
    assert_eq!(
        (shown["state"].as_str(), shown["attempts"].as_i64()),
        (Some("delivered"), Some(2))
    );
    let history = shown["history"].as_array().unwrap();
    let statuses: Vec<_> = history.iter().map(|attempt| attempt["status"].as_i64()).collect();
    assert_eq!(statuses, [Some(503), Some(200)]);
    assert!(history.iter().all(|attempt| attempt["response"] == "taken note of"));
    assert_eq!(shown["webhook_id"], delivery["webhook_id"]);
    let unknown = format!("/v1/webhook-deliveries/{}/resend", Uuid::new_v4());
    assert_eq!(post(&world, &unknown, Json::Null).await.code(), "not-found");
}

#[tokio::test]
async fn a_test_event_goes_to_the_endpoint_and_says_nothing() {
    let world = World::new().await;
    let registered = register(&world, json!({ "url": listening(vec![]).await })).await;

    let asked = post(&world, &format!("{}/test", path_of(&registered)), Json::Null).await;
    send_all(&world).await;

    let asked = asked.json();
    let one = format!("/v1/webhook-deliveries/{}", asked["delivery_id"].as_str().unwrap());
    let shown = world.operator_gets(&one).await.json();
    assert_eq!(
        (shown["state"].as_str(), shown["event_type"].as_str()),
        (Some("delivered"), Some("waybill.test.v1"))
    );
    assert_eq!(shown["delivery_order_id"], Json::Null);
}

#[tokio::test]
async fn a_disabled_endpoint_is_told_nothing_and_everything_once_it_is_asked_for() {
    let world = World::new().await;
    let registered = register(&world, json!({ "url": listening(vec![]).await })).await;
    let path = path_of(&registered);
    let change = async |body| ask(&world, Method::PATCH, &path, body).await;

    let disabled = change(json!({ "active": false, "description": "asleep", "customer_id": null }))
        .await
        .json();
    assert_eq!(
        (disabled["state"].as_str(), disabled["disabled_reason"].as_str()),
        (Some("disabled"), Some("operator"))
    );
    assert_eq!(disabled["description"], "asleep");
    world.order("o-1").await;
    let since = json!({ "since": disabled["disabled_at"] });
    for (way, body) in [("test", Json::Null), ("recover", since.clone())] {
        let refused = post(&world, &format!("{path}/{way}"), body).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (StatusCode::CONFLICT, "endpoint-disabled")
        );
    }
    assert_eq!(change(json!({ "active": true })).await.json()["state"], "active");
    let recovered = post(&world, &format!("{path}/recover"), since.clone()).await.json();
    let again = post(&world, &format!("{path}/recover"), since).await.json();
    send_all(&world).await;

    assert_eq!(recovered, json!({ "events": 1, "more": false }));
    assert_eq!(again, json!({ "events": 0, "more": false }));
    let told = world.operator_gets(&format!("{path}/deliveries")).await.json();
    assert_eq!(told["items"][0]["state"], "delivered", "{told}");
}

#[tokio::test]
async fn new_keys_are_shown_once_and_old_ones_end() {
    let world = World::new().await;
    let registered = register(&world, json!({ "url": "https://shop.example/" })).await;
    let path = path_of(&registered);

    let rotated = post(&world, &format!("{path}/rotate-keys"), json!({ "overlap_hours": 2 }))
        .await
        .json();
    let keys = world.operator_gets(&path).await.json()["keys"].clone();
    let at_once = post(&world, &format!("{path}/rotate-keys"), json!({ "overlap_hours": 0 })).await;
    let left = world.operator_gets(&path).await.json()["keys"].clone();

    assert_ne!(rotated["secret"], registered["secret"]);
    let ends: Vec<_> = keys
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["expires_at"].is_string())
        .collect();
    assert_eq!(ends, [true, true, false, false], "{keys}");
    assert_eq!(left.as_array().unwrap().len(), 2, "{left}");
    assert_eq!(at_once.status, StatusCode::OK);
    let long = post(&world, &format!("{path}/rotate-keys"), json!({ "overlap_hours": 169 })).await;
    assert_eq!(long.json()["field"], "overlap_hours");
}

#[tokio::test]
async fn a_removed_endpoint_is_not_there_any_more() {
    let world = World::new().await;
    let registered = register(&world, json!({ "url": "https://shop.example/" })).await;
    let path = path_of(&registered);
    world.order("o-1").await;

    let removed = ask(&world, Method::DELETE, &path, Json::Null).await;

    assert_eq!(removed.status, StatusCode::OK);
    assert_eq!(world.operator_gets(&path).await.code(), "not-found");
    assert_eq!(world.operator_gets(ENDPOINTS).await.json()["items"], json!([]));
    assert_eq!(ask(&world, Method::DELETE, &path, Json::Null).await.code(), "not-found");
    let secrets = world
        .db
        .rows("SELECT secret_id FROM webhook_secrets", vec![])
        .await
        .unwrap();
    assert!(secrets.is_empty(), "its keys are gone");
}
