//! Operator cases over HTTP: one operator has a case, and the other learns who.

use axum::http::StatusCode;
use serde_json::json;
use uuid::Uuid;
use waybill_domain::Role;

use super::world::World;

#[tokio::test]
async fn a_case_tells_why_how_long_and_about_which_order() {
    let world = World::new().await;
    let case_id = world.case("o-1").await;

    let list = world.operator_gets("/v1/operator-cases").await.json();

    let case = &list["items"][0];
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert_eq!(case["case_id"], case_id.to_string());
    assert_eq!(case["order"]["ordering_id"], "o-1");
    assert_eq!(case["order"]["state"], "PENDING_BY_OPERATOR");
    assert!(
        case["age_seconds"].as_i64().is_some_and(|age| (0..60).contains(&age)),
        "{case}"
    );
    for word in ["kind", "reason", "opened_at"] {
        assert!(
            case[word].as_str().is_some_and(|text| !text.is_empty()),
            "{word}: {case}"
        );
    }
    for absent in ["claimed_by", "claimed_at", "closed_by", "closed_at", "note"] {
        assert!(case[absent].is_null(), "{absent}");
    }
}

#[tokio::test]
async fn of_operators_who_claim_at_once_one_has_the_case_and_the_others_learn_who() {
    let world = World::new().await;
    for round in 0..5 {
        let path = format!("/v1/operator-cases/{}/claim", world.case(&format!("o-{round}")).await);

        let answers = tokio::join!(
            world.operator_posts("ada", &path, None),
            world.operator_posts("ben", &path, None),
            world.operator_posts("cem", &path, None),
        );

        let answers = [answers.0, answers.1, answers.2];
        let won: Vec<_> = answers.iter().filter(|one| one.status == StatusCode::OK).collect();
        assert_eq!(won.len(), 1);
        let winner = won[0].json()["claimed_by"].clone();
        for lost in answers.iter().filter(|one| one.status != StatusCode::OK) {
            assert_eq!((lost.status.as_u16(), lost.code().as_str()), (409, "case-taken"));
            assert_eq!(lost.json()["claimed_by"], winner);
            assert!(!lost.json()["claimed_at"].is_null());
        }
    }
}

#[tokio::test]
async fn claiming_and_closing_again_answer_the_same() {
    let world = World::new().await;
    let id = world.case("o-1").await;
    let (claim, close) = (
        format!("/v1/operator-cases/{id}/claim"),
        format!("/v1/operator-cases/{id}/close"),
    );
    let note = || Some(json!({ "note": "found it" }));

    let claims = [
        world.operator_posts("ada", &claim, None).await,
        world.operator_posts("ada", &claim, None).await,
    ];
    let closes = [
        world.operator_posts("ada", &close, note()).await,
        world.operator_posts("ada", &close, note()).await,
    ];

    for [first, second] in [claims, closes] {
        assert_eq!((first.status, second.status), (StatusCode::OK, StatusCode::OK));
        let without_age = |answered: &super::world::Answered| {
            let mut case = answered.json();
            case.as_object_mut().unwrap().remove("age_seconds");
            case
        };
        assert_eq!(without_age(&first), without_age(&second));
    }
}

#[tokio::test]
async fn a_claimed_case_is_closed_by_nobody_else() {
    let world = World::new().await;
    let id = world.case("o-1").await;
    world
        .operator_posts("ada", &format!("/v1/operator-cases/{id}/claim"), None)
        .await;

    let path = format!("/v1/operator-cases/{id}/close");
    let answered = world
        .operator_posts("ben", &path, Some(json!({ "note": "mine" })))
        .await;

    assert_eq!(
        (answered.status.as_u16(), answered.code().as_str()),
        (409, "case-taken")
    );
    assert_eq!(answered.json()["claimed_by"], "ada");
}

#[tokio::test]
async fn of_operators_who_close_at_once_one_closes() {
    let world = World::new().await;
    let path = format!("/v1/operator-cases/{}/close", world.case("o-1").await);

    let (ada, ben) = tokio::join!(
        world.operator_posts("ada", &path, Some(json!({ "note": "ada's" }))),
        world.operator_posts("ben", &path, Some(json!({ "note": "ben's" }))),
    );

    let (won, lost) = if ada.status == StatusCode::OK {
        (ada, ben)
    } else {
        (ben, ada)
    };
    assert_eq!((won.status.as_u16(), lost.status.as_u16()), (200, 409));
    assert_eq!(lost.json()["closed_by"], won.json()["closed_by"]);
    assert_eq!(lost.json()["note"], won.json()["note"]);
}

#[tokio::test]
async fn a_closed_case_leaves_the_open_ones() {
    let world = World::new().await;
    let (closed, open) = (world.case("o-1").await, world.case("o-2").await);
    let path = format!("/v1/operator-cases/{closed}/close");
    world
        .operator_posts("ada", &path, Some(json!({ "note": "found it" })))
        .await;

    let mut found = Vec::new();
    for state in ["", "?state=open", "?state=closed", "?state=all"] {
        let list = world.operator_gets(&format!("/v1/operator-cases{state}")).await.json();
        let ids = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|case| case["case_id"].as_str().unwrap().to_owned());
        found.push(ids.collect::<Vec<_>>());
    }

    let (closed, open) = (closed.to_string(), open.to_string());
    assert_eq!(
        found,
        [
            vec![open.clone()],
            vec![open.clone()],
            vec![closed.clone()],
            vec![closed, open]
        ]
    );
}

#[tokio::test]
async fn cases_come_in_pages() {
    let world = World::new().await;
    let mut expected = Vec::new();
    for number in 0..5 {
        expected.push(world.case(&format!("o-{number}")).await.to_string());
    }

    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = world
            .operator_gets(&format!("/v1/operator-cases?limit=2{cursor}"))
            .await
            .json();
        let items = page["items"].as_array().unwrap();
        assert!((1..=2).contains(&items.len()));
        found.extend(items.iter().map(|case| case["case_id"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }

    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_case_that_does_not_exist_is_neither_claimed_nor_closed() {
    let world = World::new().await;
    for id in [Uuid::new_v4().to_string(), "1".to_owned(), "%FF".to_owned()] {
        let claimed = world
            .operator_posts("ada", &format!("/v1/operator-cases/{id}/claim"), None)
            .await;
        let note = Some(json!({ "note": "found it" }));
        let closed = world
            .operator_posts("ada", &format!("/v1/operator-cases/{id}/close"), note)
            .await;

        assert_eq!(
            (claimed.code(), closed.code()),
            ("not-found".to_owned(), "not-found".to_owned()),
            "{id}"
        );
    }
}

#[tokio::test]
async fn a_case_is_closed_with_a_note_that_can_be_read() {
    let world = World::new().await;
    let path = format!("/v1/operator-cases/{}/close", world.case("o-1").await);
    let cases = [
        (json!({ "note": "" }), "bad-field"),
        (json!({ "note": " \n " }), "bad-field"),
        (json!({ "note": "ü".repeat(2001) }), "bad-field"),
        (json!({ "note": "a\0b" }), "bad-field"),
        (json!({ "note": null }), "bad-body"),
        (json!({ "note": 1 }), "bad-body"),
        (json!({}), "bad-body"),
        (json!({ "note": "x", "state": "closed" }), "bad-body"),
    ];
    for (body, code) in cases {
        let answered = world.operator_posts("ada", &path, Some(body)).await;
        assert_eq!((answered.status.as_u16(), answered.code().as_str()), (422, code));
    }

    let longest = world
        .operator_posts("ada", &path, Some(json!({ "note": "ü".repeat(2000) })))
        .await;

    assert_eq!(longest.status, StatusCode::OK);
}

#[tokio::test]
async fn moving_the_order_closes_its_case_in_the_mover_s_name() {
    let world = World::new().await;
    let case_id = world.case("o-1").await;
    let order = world.operator_gets("/v1/delivery-orders?ordering_id=o-1").await.json()["items"][0].clone();
    let id = order["delivery_order_id"].as_str().unwrap().parse().unwrap();

    let fields = json!({ "operator_note": "the neighbour has it" });
    world
        .report(Role::Operator, "ada", id, "RECEIPT_ESTABLISHED", fields)
        .await;

    let closed = world.operator_gets("/v1/operator-cases?state=closed").await.json();
    assert_eq!(closed["items"][0]["case_id"], case_id.to_string());
    assert_eq!(closed["items"][0]["closed_by"], "ada");
}

#[tokio::test]
async fn only_what_can_be_a_partners_id_is_taken_for_a_lost_booking() {
    let world = World::new().await;
    let path = format!("/v1/operator-cases/{}/booking", world.case("o-1").await);

    for (body, expected) in [
        (
            json!({ "partner_booking_id": "task-1", "note": "seen" }),
            (409, "booking-not-lost"),
        ),
        (
            json!({ "partner_booking_id": null, "note": "not there" }),
            (409, "booking-not-lost"),
        ),
        (json!({ "partner_booking_id": "", "note": "seen" }), (422, "bad-field")),
        (
            json!({ "partner_booking_id": "..", "note": "seen" }),
            (422, "bad-field"),
        ),
        (
            json!({ "partner_booking_id": "a b", "note": "seen" }),
            (422, "bad-field"),
        ),
        (
            json!({ "partner_booking_id": "x".repeat(256), "note": "seen" }),
            (422, "bad-field"),
        ),
        (
            json!({ "partner_booking_id": "task-1", "note": " " }),
            (422, "bad-field"),
        ),
        (json!({ "note": "which?" }), (422, "bad-body")),
    ] {
        let answered = world.operator_posts("ada", &path, Some(body.clone())).await;

        assert_eq!((answered.status.as_u16(), answered.code().as_str()), expected, "{body}");
    }
    let unknown = format!("/v1/operator-cases/{}/booking", Uuid::new_v4());
    let body = json!({ "partner_booking_id": null, "note": "not there" });
    assert_eq!(
        world.operator_posts("ada", &unknown, Some(body)).await.status,
        StatusCode::NOT_FOUND
    );
}
