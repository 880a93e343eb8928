//! What partners told, as an operator finds it: by what it was, without what it says of people, and applied again.

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use serde_json::{Value as Json, json};
use uuid::Uuid;
use waybill_domain::{OrderId, Role};

use super::callbacks::Sent;
use super::world::{VISITS, World, on_both, uber};
use crate::store::CallbackFilter;

/// A payload of the partner's own contract.
fn told(kind: &str, data: Json) -> String {
    json!({ "type": kind, "timestamp": "2026-11-20T11:00:00Z", "data": data }).to_string()
}

/// Sends it, and applies what it left; answers its id.
async fn tell(world: &World, id: &str, body: &str) -> Uuid {
    let (request, body) = Sent::new(id, body).sent();
    assert_eq!(world.send(request, body).await.status, StatusCode::OK, "{id}");
    let known = CallbackFilter {
        event_id: Some(id.to_owned()),
        limit: 1,
        ..CallbackFilter::default()
    };
    let callback = world.engine.store().heard(&known).await.unwrap()[0].callback_id;
    world.engine.apply_callback(callback).await.unwrap();
    callback
}

async fn list(world: &World, query: &str) -> Vec<Json> {
    let listed = world.operator_gets(&format!("/v1/callbacks?{query}")).await;
    assert_eq!(listed.status, StatusCode::OK, "{}", listed.text);
    listed.json()["items"].as_array().unwrap().clone()
}

/// The partner's ids of what is listed, newest first.
async fn ids(world: &World, query: &str) -> Vec<String> {
    let listed = list(world, query).await;
    listed
        .iter()
        .map(|row| row["event_id"].as_str().unwrap().to_owned())
        .collect()
}

async fn replay(world: &World, id: Uuid) -> (StatusCode, Json) {
    let answered = world
        .operator_posts("ada", &format!("/v1/callbacks/{id}/replay"), None)
        .await;
    (answered.status, answered.json())
}

async fn pick_up(world: &World, order: OrderId, number: &str) {
    tell(
        world,
        &format!("up-{number}"),
        &told(
            "delivery.picked_up",
            json!({"reference": order, "partner_order_number": number}),
        ),
    )
    .await;
}

on_both! {
    async fn every_callback_is_found_by_what_it_was(world: World) {
        let order = world.order("o-1").await;
        let waiting = world.order("o-2").await;
        let up = told("delivery.picked_up", json!({"reference": order, "partner_order_number": "N-1"}));
        tell(&world, "first", &up).await;
        tell(&world, "first", &up).await;
        tell(&world, "in-other-words", &up).await;
        tell(&world, "ahead", &told("delivery.delivered", json!({"reference": waiting}))).await;
        tell(&world, "done", &told("delivery.delivered", json!({"reference": order}))).await;
        tell(&world, "late", &up).await;
        tell(&world, "odd", &told("delivery.teleported", json!({"reference": order}))).await;
        tell(&world, "nobodys", &told("delivery.delivered", json!({"reference": Uuid::nil()}))).await;
        tell(&world, "against", &told("delivery.failed", json!({"reference": order, "failure_reason": "LOST"}))).await;
        let (forged, body) = Sent::new("forged", &up).with("webhook-signature", "v1,AAAA");
        assert_eq!(world.send(forged, body).await.status, StatusCode::UNAUTHORIZED);

        for (disposition, expected) in [
            ("accepted", &["done", "first"][..]),
            ("duplicate", &["in-other-words", "first"]),
            ("early", &["ahead"]),
            ("stale", &["late"]),
            ("unmapped", &["odd"]),
            ("orphan", &["nobodys"]),
            ("conflict", &["against"]),
            ("noted", &[]),
            ("unresolved", &[]),
        ] {
            assert_eq!(ids(&world, &format!("disposition={disposition}")).await, expected, "{disposition}");
        }
        let mut rejected = Vec::new();
        while rejected.is_empty() {
            rejected = list(&world, "disposition=rejected&partner=swift").await;
            tokio::task::yield_now().await;
        }
        assert_eq!((&rejected[0]["event_id"], &rejected[0]["detail"]), (&json!("forged"), &json!("wrong_signature")));
        assert_eq!(rejected[0]["size"], up.len());
        assert_eq!(ids(&world, &format!("delivery_order_id={waiting}")).await, ["ahead"]);
        assert_eq!(list(&world, "event_id=first").await[0]["repeats"], 1);
        assert_eq!(ids(&world, "partner=steady").await, [""; 0]);
        let page = world.operator_gets("/v1/callbacks?limit=3").await.json();
        let next = page["next_cursor"].as_str().unwrap();
        assert_eq!(ids(&world, &format!("limit=3&cursor={next}")).await, ["late", "done", "ahead"]);
    }

    async fn what_came_early_is_still_known_as_early_when_it_was_applied(world: World) {
        let order = world.order("o-1").await;
        let early = tell(&world, "ahead", &told("delivery.delivered", json!({"reference": order}))).await;

        pick_up(&world, order, "N-1").await;
        world.engine.apply_callback(early).await.unwrap();

        let row = &list(&world, "disposition=early").await[0];
        assert_eq!((&row["callback_id"], &row["disposition"]), (&json!(early), &json!("accepted")));
        assert!(row["parked_at"].is_string() && row["parked_until"].is_null(), "{row}");
        assert_eq!(world.state(order).await, "DELIVERED");
    }

    async fn a_replay_is_a_new_attempt_that_is_linked_to_the_original(world: World) {
        let odd = tell(&world, "odd", "{}").await;

        let (status, first) = replay(&world, odd).await;
        let attempt: Uuid = first["callback_id"].as_str().unwrap().parse().unwrap();
        world.engine.apply_callback(attempt).await.unwrap();
        let (_, second) = replay(&world, attempt).await;

        assert_eq!((status, &first["replay_of"]), (StatusCode::OK, &json!(odd)));
        let original = world.operator_gets(&format!("/v1/callbacks/{odd}")).await.json();
        assert_eq!((&original["disposition"], &original["replay_of"]), (&json!("unmapped"), &Json::Null));
        assert_eq!(original["replays"], json!([attempt, second["callback_id"]]), "an attempt at an attempt is one at the original");
        let again = world.operator_gets(&format!("/v1/callbacks/{attempt}")).await.json();
        assert_eq!((&again["replay_of"], &again["replayed_by"], &again["disposition"]), (&json!(odd), &json!("ada"), &json!("unmapped")));
        assert_eq!(again["payload"], original["payload"]);
    }

    async fn a_replay_does_nothing_twice(world: World) {
        let order = world.order("o-1").await;
        pick_up(&world, order, "N-1").await;
        let original = list(&world, "event_id=up-N-1").await[0]["callback_id"].as_str().unwrap().parse().unwrap();

        let (_, attempt) = replay(&world, original).await;
        let attempt = attempt["callback_id"].as_str().unwrap().parse().unwrap();
        world.engine.apply_callback(attempt).await.unwrap();

        let log = world.get(Role::Operator, "ada", &format!("/v1/delivery-orders/{order}/log")).await.json();
        let moves = log.as_array().unwrap().iter().filter(|row| row["event"] == "PARTNER_PICKED_UP" && row["kind"] == "moved");
        assert_eq!(moves.count(), 1);
        assert_eq!(ids(&world, "disposition=duplicate").await, [format!("replay:{attempt}")]);
    }

    async fn what_waits_is_not_applied_again_and_what_is_not_there_cannot_be(world: World) {
        let order = world.order("o-1").await;
        let early = tell(&world, "ahead", &told("delivery.delivered", json!({"reference": order}))).await;

        let (status, problem) = replay(&world, early).await;
        let (missing, _) = replay(&world, Uuid::nil()).await;

        assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("callback-waits")));
        assert_eq!(missing, StatusCode::NOT_FOUND);
        assert_eq!(list(&world, "").await.len(), 1);
    }

    async fn many_are_counted_first_and_applied_only_while_as_many_fit(world: World) {
        let order = world.order("o-1").await;
        let odd = told("delivery.teleported", json!({"reference": order}));
        tell(&world, "odd-1", &odd).await;
        tell(&world, "odd-2", &odd).await;
        tell(&world, "ahead", &told("delivery.delivered", json!({"reference": order}))).await;
        let ask = async |body: Json| world.operator_posts("ada", "/v1/callbacks/replays", Some(body)).await;

        let counted = ask(json!({"partner": "swift"})).await.json();
        let nothing = list(&world, "").await.len();
        tell(&world, "odd-3", &odd).await;
        let changed = ask(json!({"partner": "swift", "count": 2})).await;
        let applied = ask(json!({"disposition": "unmapped", "count": 3})).await.json();

        let by = json!([{"partner": "swift", "disposition": "unmapped", "count": 2}]);
        assert_eq!(counted, json!({"count": 2, "by": by, "replays": []}), "what waits for its turn needs no help");
        assert_eq!(nothing, 3, "counting applies nothing");
        assert_eq!((changed.status, changed.code().as_str()), (StatusCode::CONFLICT, "callbacks-changed"));
        assert_eq!(changed.json()["count"], 3);
        let attempts = applied["replays"].as_array().unwrap();
        assert_eq!(attempts.len(), 3);
        for attempt in attempts {
            let path = format!("/v1/callbacks/{}", attempt["callback_id"].as_str().unwrap());
            let shown = world.operator_gets(&path).await.json();
            assert_eq!((&shown["replay_of"], &shown["replayed_by"]), (&attempt["replay_of"], &json!("ada")));
        }
        assert_eq!(ask(json!({"disposition": "unmapped"})).await.json()["count"], 3, "attempts are tried by their originals");
        for (choice, field) in [
            (json!({}), "disposition"),
            (json!({"disposition": "rejected"}), "disposition"),
            (json!({"disposition": "odd"}), "disposition"),
        ] {
            let refused = ask(choice).await;
            assert_eq!((refused.code().as_str(), &refused.json()["field"]), ("bad-field", &json!(field)));
        }
        let customer = world.token(Role::Customer, "cus-1");
        let request = Request::post("/v1/callbacks/replays")
            .header("authorization", format!("Bearer {customer}"))
            .header("content-type", "application/json");
        let forbidden = world.send(request, Body::from(r#"{"partner":"swift"}"#)).await;
        assert_eq!(forbidden.status, StatusCode::FORBIDDEN);
    }

    async fn a_pin_in_a_payload_is_on_no_page(world: World) {
        let order = world.order("o-1").await;
        let status = json!({
            "id": "evt_1", "kind": "event.delivery_status", "status": "dropoff", "delivery_id": "del_1",
            "data": {
                "external_id": order, "dropoff": {"name": "Ada Reader", "phone_number": "+493012345"},
                "verification_requirements": {"pincode": {"enabled": true, "value": "4711"}},
            },
        });
        let (request, body) = uber(&status.to_string());
        assert_eq!(world.send(request, body).await.status, StatusCode::OK);
        let id: Uuid = list(&world, "partner=uber").await[0]["callback_id"].as_str().unwrap().parse().unwrap();
        world.engine.apply_callback(id).await.unwrap();

        let pages = [
            format!("/v1/callbacks/{id}"),
            "/v1/callbacks".to_owned(),
            format!("/v1/delivery-orders/{order}"),
            format!("/v1/delivery-orders/{order}/log"),
            "/v1/operator-cases".to_owned(),
            "/metrics".to_owned(),
        ];
        for page in pages {
            let shown = world.operator_gets(&page).await;
            assert_eq!(shown.status, StatusCode::OK, "{page}");
            for secret in ["4711", "Ada Reader", "+493012345"] {
                assert!(!shown.text.contains(secret), "{secret} is on {page}: {}", shown.text);
            }
        }
        let shown = world.operator_gets(&format!("/v1/callbacks/{id}")).await.json();
        assert_eq!(shown["payload"]["status"], "dropoff", "what happened is shown");
    }

    async fn of_what_was_not_believed_the_newest_thousand_of_a_partner_are_kept(world: World) {
        let row = |partner: &str| crate::store::Rejected {
            rejection_id: Uuid::now_v7(),
            partner: partner.to_owned(),
            reason: "stale".to_owned(),
            event_id: None,
            address: None,
            size: None,
            sha256: None,
        };
        let store = world.engine.store();
        store.keep_rejected(vec![row("steady")], 3).await.unwrap();
        let many: Vec<_> = (0..5).map(|_| row("swift")).collect();
        let newest: Vec<_> = many.iter().rev().take(3).map(|it| json!(it.rejection_id)).collect();

        store.keep_rejected(many, 3).await.unwrap();

        let kept = list(&world, "disposition=rejected&partner=swift").await;
        assert_eq!(kept.iter().map(|row| row["callback_id"].clone()).collect::<Vec<_>>(), newest);
        assert_eq!(list(&world, "disposition=rejected").await.len(), 4, "another partner's stay");
    }
}

#[tokio::test]
async fn a_flood_of_what_is_not_believed_does_not_fill_the_table() {
    let world = World::new().await;
    for number in 0..1000 {
        let (forged, body) = Sent::new(&format!("m-{number}"), "{}").with("webhook-signature", "v1,AAAA");
        assert_eq!(world.send(forged, body).await.status, StatusCode::UNAUTHORIZED);
    }

    // Two hundred at once and five a second: a thousand rows would take more than two minutes.
    let mut rows = Vec::new();
    while rows.len() < 200 {
        rows = list(&world, "disposition=rejected&limit=200").await;
    }
    let all = world
        .db
        .row("SELECT COUNT(*) AS count FROM rejected_callbacks", vec![])
        .await;

    assert!(all.unwrap().unwrap().int("count").unwrap() < 1000);
}

#[tokio::test]
async fn who_comes_too_often_to_a_page_is_told_when_to_come_again_and_others_are_not_held_up() {
    let world = World::new().await;
    let (_, way) = world.link("o-1", "de").await;
    let visit = |from: &'static str| {
        let peer: std::net::SocketAddr = from.parse().unwrap();
        Request::get(&way).extension(ConnectInfo(peer))
    };
    for number in 0..VISITS.get() {
        let shown = world.send(visit("192.0.2.1:5000"), Body::empty()).await;
        assert_eq!(shown.status, StatusCode::OK, "visit {number}");
    }

    let turned_away = world.send(visit("192.0.2.1:5001"), Body::empty()).await;
    let neighbour = world.send(visit("192.0.2.2:5000"), Body::empty()).await;

    assert_eq!(turned_away.status, StatusCode::TOO_MANY_REQUESTS);
    assert!((1..=4).contains(&turned_away.header("retry-after").parse::<u64>().unwrap()));
    assert_eq!(turned_away.header("referrer-policy"), "no-referrer");
    assert_eq!(neighbour.status, StatusCode::OK);
}

#[tokio::test]
async fn a_page_that_cannot_be_shown_says_when_to_come_again() {
    let world = World::new().await;
    let (_, link) = world.link("o-1", "en").await;
    let (order, code) = world.code_page("o-2").await;
    world.db.close().await;

    for path in [link, code, format!("/handover/{order}")] {
        let shown = world.send(Request::get(&path), Body::empty()).await;

        assert_eq!(shown.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(shown.header("retry-after"), "5", "{path}");
    }
}
