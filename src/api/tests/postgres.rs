//! What the API reads in ways of its own, read from PostgreSQL too.

use axum::http::StatusCode;
use serde_json::json;
use waybill_domain::Role;

use super::world::World;

#[tokio::test]
async fn orders_cases_and_conflicts_read_alike_from_postgres() {
    let world = World::on_postgres().await;
    let mut cases = Vec::new();
    for number in 0..5 {
        cases.push(world.case(&format!("o-{number}")).await.to_string());
    }

    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = world
            .operator_gets(&format!("/v1/operator-cases?limit=3{cursor}"))
            .await
            .json();
        for case in page["items"].as_array().expect("items") {
            assert_eq!(case["order"]["state"], "PENDING_BY_OPERATOR", "{case}");
            found.push(case["case_id"].as_str().expect("text").to_owned());
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let mut orders = 0;
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/delivery-orders?limit=2&state=PENDING_BY_OPERATOR&customer_id=cus-1{cursor}");
        let page = world.operator_gets(&path).await.json();
        orders += page["items"].as_array().expect("items").len();
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }

    assert_eq!((found, orders), (cases, 5));
    let ready = world.operator_gets("/readyz").await;
    assert_eq!(ready.status, StatusCode::OK, "{}", ready.text);
}

#[tokio::test]
async fn on_postgres_too_the_second_operator_learns_who_was_first() {
    let world = World::on_postgres().await;
    for round in 0..5 {
        let id = world.pending_order(&format!("o-{round}")).await;

        let (ada, ben) = tokio::join!(
            world.report(Role::Operator, "ada", id, "REDELIVERY_ARRANGED", json!({})),
            world.report(Role::Operator, "ben", id, "REDELIVERY_ARRANGED", json!({})),
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
        assert_eq!(lost.json()["last"]["actor"]["id"], winner);
    }
}
