//! Contactless handover: the customer's six digits, entered by the courier.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use chrono::TimeDelta;
use serde_json::{Value as Json, json};
use waybill_domain::OrderId;
use waybill_tasks::orders::Orders as _;

use super::world::{Answered, World, send};
use crate::store::effect_id;

async fn look(world: &World, path: &str) -> Answered {
    world
        .send(Request::get(path).header("accept-language", "en"), Body::empty())
        .await
}

/// The digits on the customer's page.
async fn code(world: &World, page: &str) -> String {
    let page = look(world, page).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    let (_, rest) = page.text.split_once("class=\"code\"").expect("the page has a code");
    let (_, rest) = rest.split_once('>').expect("an element");
    rest[..6].to_owned()
}

async fn enter(world: &World, id: OrderId, code: &str) -> Answered {
    let request = Request::post(format!("/handover/{id}"))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("accept-language", "en");
    world.send(request, Body::from(format!("code={code}"))).await
}

fn other_than(code: &str) -> String {
    let number: u32 = code.parse().expect("digits");
    format!("{:06}", (number + 1) % 1_000_000)
}

async fn cases(world: &World, kind: &str) -> usize {
    let cases = world.operator_gets("/v1/operator-cases").await.json();
    let items = cases["items"].as_array().expect("a list");
    items.iter().filter(|case| case["kind"] == kind).count()
}

async fn on_both(story: impl AsyncFn(World)) {
    story(World::new().await).await;
    story(World::on_postgres().await).await;
}

#[tokio::test]
async fn a_code_at_the_door_is_the_customer_s_yes_as_soon_as_the_partner_reports_the_delivery() {
    on_both(async |world: World| {
        let (id, page) = world.code_page("o-1").await;
        let code = code(&world, &page).await;

        let taken = enter(&world, id, &code).await;
        let again = enter(&world, id, &format!("{}+{}", &code[..3], &code[3..])).await;
        assert_eq!(
            (taken.status, again.status),
            (StatusCode::OK, StatusCode::OK),
            "{}",
            taken.text
        );
        assert_eq!(world.state(id).await, "PICKED_UP", "the partner has not said so yet");
        world.move_on(id, "PARTNER_DELIVERED", Json::Null).await;
        let effect = effect_id(id, 3, "request_customer_confirmation");
        world.engine.confirmation_link(effect).await.expect("the store answers");

        let order = world.operator_gets(&format!("/v1/delivery-orders/{id}")).await.json();
        assert_eq!(
            (&order["state"], &order["confirmed_by"]),
            (&json!("DELIVERY_CONFIRMED"), &json!("customer"))
        );
        let kept = world
            .db
            .rows("SELECT code_digest, token_hash FROM handover_codes", vec![])
            .await
            .unwrap();
        assert!(
            !String::from_utf8_lossy(&kept[0].bytes("code_digest").unwrap()).contains(&code),
            "hashed"
        );
    })
    .await;
}

#[tokio::test]
async fn the_code_is_shown_in_the_customer_s_language_and_entered_in_the_courier_s() {
    let world = World::new().await;
    let (id, page) = world.code_page("o-1").await;

    let (shown, asked) = (
        look(&world, &page).await,
        look(&world, &format!("/handover/{id}")).await,
    );

    assert_eq!(
        (shown.header("content-language"), asked.header("content-language")),
        ("de", "en")
    );
}

#[tokio::test]
async fn after_the_delivery_a_code_confirms_at_once() {
    let world = World::new().await;
    let (id, page) = world.code_page("o-1").await;
    world.move_on(id, "PARTNER_DELIVERED", Json::Null).await;

    let taken = enter(&world, id, &code(&world, &page).await).await;

    assert_eq!(taken.status, StatusCode::OK);
    assert_eq!(world.state(id).await, "DELIVERY_CONFIRMED");
}

#[tokio::test]
async fn five_wrong_codes_are_heard_out_and_then_an_operator_decides() {
    on_both(async |world: World| {
        let (id, page) = world.code_page("o-1").await;
        let right = code(&world, &page).await;
        let wrong = other_than(&right);

        let mut answers = Vec::new();
        for _ in 0..5 {
            answers.push(enter(&world, id, &wrong).await);
        }
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status.as_u16()).collect();
        assert_eq!(statuses, [422, 422, 422, 422, 403]);
        assert!(answers[3].text.contains("Tries left: 1"), "{}", answers[3].text);
        assert_eq!(cases(&world, "handover-code").await, 1);

        let late = enter(&world, id, &right).await;
        world.move_on(id, "PARTNER_DELIVERED", Json::Null).await;
        let effect = effect_id(id, 3, "request_customer_confirmation");
        world.engine.confirmation_link(effect).await.expect("the store answers");

        assert_eq!(late.status, StatusCode::FORBIDDEN, "even the right one");
        assert_eq!(world.state(id).await, "DELIVERED", "the customer's link still answers");
        assert_eq!(cases(&world, "handover-code").await, 1);
    })
    .await;
}

#[tokio::test]
async fn who_tries_many_codes_at_once_has_no_more_tries() {
    on_both(async |world: World| {
        let (id, page) = world.code_page("o-1").await;
        let wrong = other_than(&code(&world, &page).await);

        let tries = (0..12).map(|_| enter(&world, id, &wrong));
        let answers = futures_util::future::join_all(tries).await;

        let heard = answers.iter().filter(|answer| answer.status.as_u16() == 422).count();
        assert_eq!((heard, answers.len() - heard), (4, 8));
        assert_eq!(cases(&world, "handover-code").await, 1);
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_a_code_costs_no_try_and_looking_costs_nothing() {
    let world = World::new().await;
    let (id, page) = world.code_page("o-1").await;
    for text in ["", "12345", "1234567", "abcdef", "１２３４５６", "12345%00"] {
        assert_eq!(
            enter(&world, id, text).await.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{text}"
        );
    }
    for path in [page.clone(), format!("/handover/{id}")] {
        for request in [
            Request::get(&path),
            Request::head(&path),
            Request::get(&path).header("purpose", "prefetch"),
        ] {
            let looked = world.send(request, Body::empty()).await;
            assert_eq!(looked.status, StatusCode::OK);
            assert_eq!(looked.header("referrer-policy"), "no-referrer");
            assert_eq!(looked.header("x-robots-tag"), "noindex");
            assert_eq!(looked.header("cache-control"), "no-store");
        }
    }

    assert_eq!(
        enter(&world, id, &code(&world, &page).await).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn an_order_without_a_code_looks_like_one_that_does_not_exist() {
    let world = World::new().await;
    let without = world.order("o-1").await;
    let (id, page) = world.code_page("o-2").await;
    let later = world.later(TimeDelta::days(31)).await;
    let nobody = uuid::Uuid::new_v4();

    let form = |path: String| Request::post(path).header("content-type", "application/x-www-form-urlencoded");
    let mut answers = vec![
        look(&world, &format!("/handover/{without}")).await,
        look(&world, &format!("/handover/{nobody}")).await,
        look(&world, "/handover/1").await,
        look(&world, "/code/AAAA").await,
        enter(&world, without, "123456").await,
        enter(&world, OrderId(nobody), "123456").await,
    ];
    answers.push(send(&later, Request::get(&page), Body::empty()).await);
    answers.push(send(&later, form(format!("/handover/{id}")), Body::from("code=123456")).await);

    for answer in &answers {
        assert_eq!((answer.status, &answer.text), (StatusCode::NOT_FOUND, &answers[0].text));
    }
}

#[tokio::test]
async fn the_page_of_one_purpose_does_not_serve_another() {
    let world = World::new().await;
    let (id, page) = world.code_page("o-1").await;
    let token = page.strip_prefix("/code/").unwrap();

    let confirmed = world
        .send(
            Request::post(format!("/confirm/{token}")).header("content-type", "application/x-www-form-urlencoded"),
            Body::from("received=yes"),
        )
        .await;

    assert_eq!(confirmed.status, StatusCode::NOT_FOUND);
    assert_eq!(world.state(id).await, "PICKED_UP");
}
