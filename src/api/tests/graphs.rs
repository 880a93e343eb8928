//! Graphs over HTTP: versions, routing, counts, diagrams.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use serde_json::json;
use waybill_domain::{GraphVersion, Role};

use super::world::{Answered, World};
use crate::template::Share;

async fn show(world: &World, path: &str, accept: &str) -> Answered {
    let token = world.token(Role::Operator, "ada");
    let request = Request::get(path)
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::ACCEPT, accept);
    world.send(request, Body::empty()).await
}

#[tokio::test]
async fn versions_are_listed_with_routing_and_live_counts() {
    let world = World::new().await;
    world.order("o-1").await;
    world.pending_order("o-2").await;
    world.pending_order("o-3").await;

    let list = world.operator_gets("/v1/graphs").await.json();

    let machine = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["machine"] == "delivery-order");
    let machine = machine.expect("the machine of this program");
    let version = &machine["versions"][0];
    assert_eq!(machine["routing"]["live"], json!([1]));
    assert_eq!(machine["routing"]["active"], json!([{ "version": 1, "weight": 100 }]));
    assert_eq!(version["counts"], json!({ "CREATED": 1, "PENDING_BY_OPERATOR": 2 }));
    let template = world.engine.template();
    let sha256 = template
        .sha256("delivery-order", waybill_domain::GraphVersion(1))
        .unwrap();
    assert_eq!(version["sha256"], sha256);
}

#[tokio::test]
async fn one_version_is_shown_with_its_document() {
    let world = World::new().await;
    world.order("o-1").await;

    let graph = world.operator_gets("/v1/graphs/delivery-order/1").await.json();

    assert_eq!(
        (&graph["machine"], &graph["version"]),
        (&json!("delivery-order"), &json!(1))
    );
    assert_eq!(graph["counts"], json!({ "CREATED": 1 }));
    assert_eq!(graph["document"]["initial"], "CREATED");
}

#[tokio::test]
async fn a_version_is_drawn_in_the_language_that_is_asked_for() {
    let world = World::new().await;
    let kinds = [
        ("image/svg+xml", "<svg"),
        ("text/vnd.mermaid", "stateDiagram"),
        ("text/vnd.graphviz", "digraph"),
        ("text/x-plantuml", "@startuml"),
    ];
    for (kind, word) in kinds {
        let drawn = show(&world, "/v1/graphs/delivery-order/1", kind).await;

        assert_eq!(drawn.status, StatusCode::OK);
        assert_eq!(drawn.header("content-type"), format!("{kind}; charset=utf-8"));
        assert!(
            drawn.text.contains(word) && drawn.text.contains("PENDING_BY_OPERATOR"),
            "{kind}"
        );
    }
}

#[tokio::test]
async fn a_version_that_only_the_database_has_is_shown_and_so_are_the_events_of_its_orders() {
    let world = World::new().await;
    let store = world.engine.store();
    let template = world.engine.template();
    let shipped = template.graph("delivery-order", GraphVersion(1)).unwrap();
    let mut document = serde_json::to_value(shipped.document()).unwrap();
    document["version"] = json!(2);
    document["states"]["CREATED"]["deadline"]["after"] = json!("PT24H");
    let kept = store.keep_version("delivery-order", 2, "of another process", document);
    assert_eq!(kept.await.unwrap(), "of another process");

    let graph = world.operator_gets("/v1/graphs/delivery-order/2").await.json();
    let drawn = show(&world, "/v1/graphs/delivery-order/2", "text/vnd.mermaid").await;

    assert_eq!(
        (&graph["version"], &graph["sha256"]),
        (&json!(2), &json!("of another process"))
    );
    assert_eq!(graph["document"]["states"]["CREATED"]["deadline"]["after"], "PT24H");
    assert!(drawn.text.contains("stateDiagram"), "{}", drawn.text);

    let all = [Share {
        version: GraphVersion(2),
        weight: 100,
    }];
    store.activate("delivery-order", &all, "ada@here").await.unwrap();
    let id = world.order("o-1").await;
    let allowed = world
        .operator_gets(&format!("/v1/delivery-orders/{id}/allowed-events"))
        .await
        .json();
    assert_eq!(allowed.as_array().map(Vec::len), Some(8), "{allowed}");
}

#[tokio::test]
async fn what_cannot_be_had_is_said() {
    let world = World::new().await;
    for path in [
        "/v1/graphs/delivery-order/99",
        "/v1/graphs/delivery-order/0",
        "/v1/graphs/no/1",
        "/v1/graphs/delivery-order/x",
    ] {
        assert_eq!(world.operator_gets(path).await.code(), "not-found", "{path}");
    }

    let refused = show(&world, "/v1/graphs/delivery-order/1", "application/pdf").await;

    assert_eq!(
        (refused.status.as_u16(), refused.code().as_str()),
        (406, "not-acceptable")
    );
}
