//! Probes and measures.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::json;

use super::super::probes::Readiness;
use super::world::World;
use crate::store::{Db, Store};

async fn get(world: &World, path: &str) -> super::world::Answered {
    world.send(Request::get(path), Body::empty()).await
}

#[tokio::test]
async fn a_process_is_ready_until_it_is_about_to_end() {
    let world = World::new().await;

    let before = get(&world, "/readyz").await;
    world.draining.cancel();
    let after = get(&world, "/readyz").await;

    let checks = json!({ "database": true, "migrations": true, "committer": true, "serving": true });
    assert_eq!(
        (before.status, before.json()),
        (StatusCode::OK, json!({ "status": "ready", "checks": checks }))
    );
    assert_eq!(after.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(after.json()["status"], "not_ready");
    assert_eq!(after.json()["checks"]["serving"], false);
    assert_eq!(get(&world, "/livez").await.status, StatusCode::OK);
}

#[tokio::test]
async fn without_its_database_a_process_lives_and_is_not_ready() {
    let world = World::new().await;
    world.db.close().await;

    let ready = get(&world, "/readyz").await;

    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ready.json()["checks"]["database"], false);
    assert_eq!(get(&world, "/livez").await.status, StatusCode::OK);
}

#[tokio::test]
async fn without_its_database_the_api_says_so_and_nothing_else() {
    let world = World::new().await;
    let id = world.order("o-1").await;
    world.db.close().await;

    let answers = [
        world.operator_gets("/v1/delivery-orders").await,
        world.operator_gets(&format!("/v1/delivery-orders/{id}")).await,
        world.operator_gets("/v1/operator-cases").await,
        world.operator_gets("/v1/graphs").await,
        world
            .operator_posts("ada", &format!("/v1/operator-cases/{id}/claim"), None)
            .await,
    ];

    for answered in answers {
        assert_eq!(
            (answered.status.as_u16(), answered.code().as_str()),
            (503, "unavailable"),
            "{}",
            answered.text
        );
        assert_eq!(answered.header("retry-after"), "2");
        let body = answered.json();
        assert!(body["instance"].as_str().is_some_and(|id| id.starts_with("urn:uuid:")));
        assert!(body["detail"].is_null(), "{body}");
    }
}

#[tokio::test]
async fn requests_are_measured_by_route_and_never_by_address() {
    let world = World::new().await;
    let id = world.order("o-1").await;
    world.operator_gets(&format!("/v1/delivery-orders/{id}")).await;
    get(&world, "/confirm/secret-token-of-a-customer?query=secret").await;
    get(&world, "/wp-admin.php").await;

    let metrics = get(&world, "/metrics").await;

    assert!(metrics.header("content-type").starts_with("text/plain; version=0.0.4"));
    let line = r#"http_requests_total{method="GET",route="/v1/delivery-orders/{id}",status="200"}"#;
    assert!(metrics.text.contains(line), "{}", metrics.text);
    assert!(metrics.text.contains(r#"route="/confirm/{token}",status="404""#));
    assert!(metrics.text.contains(r#"route="none",status="404""#));
    assert!(metrics.text.contains("http_request_duration_seconds_bucket"));
    for secret in ["secret", "wp-admin", id.to_string().as_str()] {
        assert!(!metrics.text.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn a_committer_that_has_died_makes_the_process_unready() {
    let world = World::new().await;
    let readiness = Readiness::new(world.engine.store().clone(), || false, world.draining.clone());

    let checks = readiness.check().await;

    assert!(!checks.committer && !checks.is_ready() && checks.database && checks.migrations);
}

#[tokio::test]
async fn a_database_that_was_never_migrated_is_not_ready_and_one_of_a_newer_release_is() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let world = World::new().await;
    let bare = Db::sqlite(&folder.path().join("bare.db"))
        .await
        .expect("a database file");
    let store = Store::open(bare, world.crypt.clone(), chrono::TimeDelta::zero()).await;
    let bare = Readiness::new(store.expect("the store opens"), || true, world.draining.clone());

    let mut tx = world.db.tx().await.expect("a transaction");
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (99991231000000, 'of a newer release', TRUE, x'00', 0)";
    tx.execute(newer, vec![]).await.expect("the migration is recorded");
    tx.commit().await.expect("it is committed");
    let newer = Readiness::new(world.engine.store().clone(), || true, world.draining.clone());

    assert!(!bare.check().await.migrations);
    assert!(newer.check().await.is_ready());
}
