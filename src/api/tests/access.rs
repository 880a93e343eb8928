//! Who may do what: every route, every caller, own and foreign orders.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use serde_json::json;
use uuid::Uuid;
use waybill_domain::Role;

use super::callbacks::Sent;
use super::world::{OWNER, World};
use crate::store::CallbackFilter;

/// A caller: none, the order's customer, another customer, a service, an operator.
const CALLERS: [Option<(Role, &str)>; 5] = [
    None,
    Some((Role::Customer, OWNER)),
    Some((Role::Customer, "cus-2")),
    Some((Role::Service, "erp")),
    Some((Role::Operator, "ada")),
];

/// Each route with the status that each caller gets, in their order.
const MATRIX: [(&str, &str, [u16; 5]); 40] = [
    ("GET", "/v1/delivery-orders", [401, 403, 403, 200, 200]),
    ("GET", "/v1/delivery-orders/{id}", [401, 200, 404, 200, 200]),
    ("GET", "/v1/delivery-orders/{id}/log", [401, 200, 404, 200, 200]),
    (
        "GET",
        "/v1/delivery-orders/{id}/allowed-events",
        [401, 200, 404, 200, 200],
    ),
    ("POST", "/v1/delivery-orders/{id}/events", [401, 403, 404, 200, 200]),
    ("GET", "/v1/machines/{machine}/instances", [401, 403, 403, 200, 200]),
    // Payments make delivery orders, nobody else.
    ("POST", "/v1/machines/{machine}/instances", [401, 403, 403, 404, 404]),
    (
        "GET",
        "/v1/machines/{machine}/instances/{id}",
        [401, 403, 403, 200, 200],
    ),
    (
        "POST",
        "/v1/machines/{machine}/instances/{id}/events",
        [401, 403, 403, 200, 200],
    ),
    ("GET", "/v1/callbacks", [401, 403, 403, 403, 200]),
    ("GET", "/v1/callbacks/{id}", [401, 403, 403, 403, 200]),
    ("POST", "/v1/callbacks/{id}/replay", [401, 403, 403, 403, 200]),
    ("POST", "/v1/callbacks/replays", [401, 403, 403, 403, 200]),
    ("GET", "/v1/operator-cases", [401, 403, 403, 403, 200]),
    ("POST", "/v1/operator-cases/{id}/claim", [401, 403, 403, 403, 200]),
    ("POST", "/v1/operator-cases/{id}/close", [401, 403, 403, 403, 200]),
    ("POST", "/v1/operator-cases/{id}/booking", [401, 403, 403, 403, 409]),
    ("GET", "/v1/graphs", [401, 403, 403, 403, 200]),
    ("GET", "/v1/graphs/{machine}/{version}", [401, 403, 403, 403, 200]),
    ("GET", "/v1/webhook-endpoints", [401, 403, 403, 200, 200]),
    ("POST", "/v1/webhook-endpoints", [401, 403, 403, 200, 200]),
    ("GET", "/v1/webhook-endpoints/{id}", [401, 403, 403, 200, 200]),
    ("PATCH", "/v1/webhook-endpoints/{id}", [401, 403, 403, 200, 200]),
    ("DELETE", "/v1/webhook-endpoints/{id}", [401, 403, 403, 200, 200]),
    (
        "POST",
        "/v1/webhook-endpoints/{id}/rotate-keys",
        [401, 403, 403, 200, 200],
    ),
    ("POST", "/v1/webhook-endpoints/{id}/test", [401, 403, 403, 200, 200]),
    ("POST", "/v1/webhook-endpoints/{id}/recover", [401, 403, 403, 200, 200]),
    (
        "GET",
        "/v1/webhook-endpoints/{id}/deliveries",
        [401, 403, 403, 200, 200],
    ),
    ("GET", "/v1/webhook-deliveries/{id}", [401, 403, 403, 200, 200]),
    ("POST", "/v1/webhook-deliveries/{id}/resend", [401, 403, 403, 200, 200]),
    ("GET", "/code/{token}", [200; 5]),
    ("GET", "/handover/{id}", [200; 5]),
    ("POST", "/handover/{id}", [422; 5]),
    ("GET", "/confirm/{token}", [200; 5]),
    ("POST", "/confirm/{token}", [200; 5]),
    ("POST", "/webhooks/{partner}", [401; 5]),
    ("GET", "/livez", [200; 5]),
    ("GET", "/readyz", [200; 5]),
    ("GET", "/metrics", [200; 5]),
    ("GET", "/openapi.json", [200; 5]),
];

#[tokio::test]
async fn every_caller_gets_on_every_route_what_the_matrix_says() {
    let world = World::new().await;
    let mut wrong = Vec::new();

    for (method, route, expected) in MATRIX {
        for (place, caller) in CALLERS.into_iter().enumerate() {
            let ordering = format!("{method} {route} {place}");
            let path = fill(&world, route, &ordering).await;
            let mut request = Request::builder().method(method).uri(&path);
            if let Some((role, who)) = caller {
                request = request.header(header::AUTHORIZATION, format!("Bearer {}", world.token(role, who)));
            }
            let (kind, body) = body_of(route);
            request = request
                .header(header::CONTENT_TYPE, kind)
                .header("idempotency-key", Uuid::new_v4().to_string());
            let answered = world.send(request, Body::from(body)).await;
            if answered.status != expected[place] {
                wrong.push(format!(
                    "{ordering} {caller:?}: {} instead of {}",
                    answered.status, expected[place]
                ));
            }
        }
    }

    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_matrix_has_every_route_of_the_description() {
    let described = serde_json::to_value(crate::api::openapi::describe()).expect("the description is JSON");
    let paths = described["paths"].as_object().expect("paths");
    let described: BTreeSet<(String, String)> = paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods").keys();
            methods
                .map(|method| (method.to_uppercase(), path.clone()))
                .collect::<Vec<_>>()
        })
        .collect();

    let tested: BTreeSet<_> = MATRIX
        .iter()
        .map(|(method, path, _)| (method.to_string(), path.to_string()))
        .collect();

    assert_eq!(tested, described);
}

#[test]
fn the_description_has_every_route_of_the_router() {
    let described = serde_json::to_value(crate::api::openapi::describe()).expect("the description is JSON");
    let described: BTreeSet<&str> = described["paths"]
        .as_object()
        .expect("paths")
        .keys()
        .map(String::as_str)
        .collect();

    let source = include_str!("../../api.rs");
    let literal = |rest: &'static str| rest.trim_start().strip_prefix('"')?.split('"').next();
    let routed = source.split(".route(").skip(1).filter_map(literal);
    let routed: BTreeSet<&str> = routed.chain(["/webhooks/{partner}"]).collect();

    assert_eq!(routed, described);
}

#[tokio::test]
async fn an_order_that_is_not_yours_looks_like_one_that_does_not_exist() {
    let world = World::new().await;
    let id = world.order("o-1").await;

    let foreign = world
        .get(Role::Customer, "cus-2", &format!("/v1/delivery-orders/{id}"))
        .await;
    let missing = world
        .get(
            Role::Customer,
            "cus-2",
            &format!("/v1/delivery-orders/{}", Uuid::new_v4()),
        )
        .await;
    let malformed = world.get(Role::Customer, "cus-2", "/v1/delivery-orders/1").await;

    assert_eq!((foreign.status, &foreign.text), (missing.status, &missing.text));
    assert_eq!((malformed.status, &malformed.text), (missing.status, &missing.text));
}

#[tokio::test]
async fn a_service_may_not_decide_what_the_graph_leaves_to_operators() {
    let world = World::new().await;
    let id = world.pending_order("o-1").await;

    let answered = world
        .report(Role::Service, "erp", id, "REDELIVERY_ARRANGED", json!({}))
        .await;

    assert_eq!(
        (answered.status.as_u16(), answered.code().as_str()),
        (403, "wrong-actor")
    );
    assert_eq!(world.state(id).await, "PENDING_BY_OPERATOR");
}

async fn fill(world: &World, route: &str, ordering: &str) -> String {
    let case = route.starts_with("/v1/operator-cases/");
    let id = match route {
        route if !route.contains('{') => String::new(),
        _ if case => world.case(ordering).await.to_string(),
        route if route.starts_with("/v1/callbacks/") => heard(world, ordering).await,
        route if route.starts_with("/v1/webhook-") => subscribed(world, route).await,
        route if route.starts_with("/code/") => return world.code_page(ordering).await.1,
        route if route.starts_with("/handover/") => world.code_page(ordering).await.0.to_string(),
        route if route.starts_with("/confirm/") => {
            return world.link(ordering, "en").await.1;
        }
        _ => world.order(ordering).await.to_string(),
    };
    route
        .replace("{id}", &id)
        .replace("{machine}", "delivery-order")
        .replace("{version}", "1")
        .replace("{partner}", "swift")
}

/// A callback that was not understood.
async fn heard(world: &World, ordering: &str) -> String {
    let sent = Sent::new(&ordering.replace(' ', "-"), "{}").sent();
    assert_eq!(world.send(sent.0, sent.1).await.status, StatusCode::OK);
    let newest = CallbackFilter {
        limit: 1,
        ..CallbackFilter::default()
    };
    let id = world.engine.store().heard(&newest).await.expect("the store answers")[0].callback_id;
    world.engine.apply_callback(id).await.expect("the store answers");
    id.to_string()
}

/// An endpoint, or a delivery to one.
async fn subscribed(world: &World, route: &str) -> String {
    let registration = crate::engine::outgoing::Registration {
        url: "https://shop.example/".to_owned(),
        description: String::new(),
        filter: crate::store::outgoing::Filter::default(),
        by: "erp".to_owned(),
    };
    let registered = crate::engine::outgoing::register(world.engine.store(), registration).await;
    let id = registered.expect("the store answers").0.endpoint_id;
    if route.starts_with("/v1/webhook-endpoints/") {
        return id.to_string();
    }
    let tested = world.engine.store().send_test(id).await.expect("the store answers");
    tested.expect("it is active").delivery_id.to_string()
}

fn body_of(route: &str) -> (&'static str, &'static str) {
    match route {
        "/v1/machines/{machine}/instances" => ("application/json", "{}"),
        "/v1/delivery-orders/{id}/events" | "/v1/machines/{machine}/instances/{id}/events" => {
            ("application/json", r#"{"event": "OPERATOR_ESCALATED"}"#)
        }
        "/v1/operator-cases/{id}/booking" => (
            "application/json",
            r#"{"partner_booking_id": null, "note": "not there"}"#,
        ),
        "/v1/operator-cases/{id}/close" => ("application/json", r#"{"note": "found it"}"#),
        "/v1/callbacks/replays" => ("application/json", r#"{"partner": "swift"}"#),
        "/v1/webhook-endpoints" => ("application/json", r#"{"url": "https://shop.example/"}"#),
        "/v1/webhook-endpoints/{id}/recover" => ("application/json", r#"{"since": "2026-11-20T11:00:00Z"}"#),
        route if route.starts_with("/v1/webhook-") => ("application/json", "{}"),
        "/confirm/{token}" => ("application/x-www-form-urlencoded", "received=yes"),
        _ => ("application/json", ""),
    }
}
