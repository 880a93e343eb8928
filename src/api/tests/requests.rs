//! Requests that are wrong: each is refused in the form of all problems, and none does anything.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use serde_json::json;
use waybill_domain::{OrderId, Role};

use super::world::{Answered, World};

/// Names with values.
type Headers<'a> = &'a [(&'a str, &'a str)];

const GOOD: &str = r#"{"event": "OPERATOR_ESCALATED"}"#;
const KEY: (&str, &str) = ("idempotency-key", "k-1");
const JSON: (&str, &str) = ("content-type", "application/json");

async fn report(world: &World, id: OrderId, headers: Headers<'_>, body: impl Into<Body>) -> Answered {
    let mut request = Request::post(format!("/v1/delivery-orders/{id}/events")).header(
        header::AUTHORIZATION,
        format!("Bearer {}", world.token(Role::Operator, "ada")),
    );
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    world.send(request, body.into()).await
}

#[tokio::test]
async fn a_body_that_is_wrong_is_refused_with_its_place() {
    let world = World::new().await;
    let id = world.order("o-1").await;
    let deep = format!(
        r#"{{"event": "X", "fields": {{"a": {}{}}}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    let cases: [(&str, u16, &str); 24] = [
        ("", 400, "malformed-body"),
        ("{", 400, "malformed-body"),
        ("not json", 400, "malformed-body"),
        (r#"{"event": "OPERATOR_ESCALATED"} {}"#, 400, "malformed-body"),
        (r#"{"event": "OPERATOR_ESCALATED",}"#, 400, "malformed-body"),
        (r#"{'event': 'OPERATOR_ESCALATED'}"#, 400, "malformed-body"),
        (r#"{"event": "\ud800"}"#, 400, "malformed-body"),
        (
            r#"{"event": "OPERATOR_ESCALATED", "fields": {"note": NaN}}"#,
            400,
            "malformed-body",
        ),
        (&deep, 400, "malformed-body"),
        ("null", 422, "bad-body"),
        ("\"OPERATOR_ESCALATED\"", 422, "bad-body"),
        ("{}", 422, "bad-body"),
        (r#"{"fields": {}}"#, 422, "bad-body"),
        (r#"{"event": null}"#, 422, "bad-body"),
        (r#"{"event": 1}"#, 422, "bad-body"),
        (r#"{"event": "OPERATOR_ESCALATED", "if_revision": 1}"#, 422, "bad-body"),
        (
            r#"{"event": "OPERATOR_ESCALATED", "event": "CANCELLED"}"#,
            422,
            "bad-body",
        ),
        (r#"{"event": "OPERATOR_ESCALATED", "fields": []}"#, 422, "bad-body"),
        (r#"{"event": "OPERATOR_ESCALATED", "fields": "note"}"#, 422, "bad-body"),
        (
            r#"{"event": "OPERATOR_ESCALATED", "fields": {"note": "a", "note": "b"}}"#,
            422,
            "bad-body",
        ),
        (
            r#"{"event": "OPERATOR_ESCALATED", "fields": {"note": {"a": 1}}}"#,
            422,
            "bad-field",
        ),
        (
            r#"{"event": "OPERATOR_ESCALATED", "fields": {"note": 1.5}}"#,
            422,
            "bad-field",
        ),
        (
            r#"{"event": "OPERATOR_ESCALATED", "fields": {"note": null}}"#,
            422,
            "bad-field",
        ),
        (r#"{"event": "operator_escalated"}"#, 422, "unknown-event"),
    ];
    for (body, status, code) in cases {
        let answered = report(&world, id, &[KEY, JSON], body.to_owned()).await;

        assert_eq!(
            (answered.status.as_u16(), answered.code().as_str()),
            (status, code),
            "{body}"
        );
        assert!(
            answered.json()["detail"]
                .as_str()
                .is_some_and(|detail| !detail.is_empty()),
            "{body}"
        );
    }
    let bytes = report(&world, id, &[KEY, JSON], vec![0xff, 0xfe]).await;
    assert_eq!(bytes.code(), "malformed-body");
    assert_eq!(world.state(id).await, "CREATED");
}

#[tokio::test]
async fn a_header_that_is_wrong_is_refused() {
    let world = World::new().await;
    let id = world.order("o-1").await;
    let (longest, too_long) = ("k".repeat(255), "k".repeat(256));
    let cases: [(Headers<'_>, u16, &str); 21] = [
        (&[JSON], 400, "idempotency-key-required"),
        (&[JSON, ("idempotency-key", "")], 400, "idempotency-key-required"),
        (&[JSON, ("idempotency-key", "a b")], 400, "idempotency-key-required"),
        (
            &[JSON, ("idempotency-key", "schlüssel")],
            400,
            "idempotency-key-required",
        ),
        (&[JSON, ("idempotency-key", &too_long)], 400, "idempotency-key-required"),
        (&[JSON, KEY, KEY], 400, "idempotency-key-required"),
        (&[JSON, KEY, ("if-match", "")], 400, "bad-if-match"),
        (&[JSON, KEY, ("if-match", "1")], 400, "bad-if-match"),
        (&[JSON, KEY, ("if-match", "\"1")], 400, "bad-if-match"),
        (&[JSON, KEY, ("if-match", "\"\"")], 400, "bad-if-match"),
        (&[JSON, KEY, ("if-match", "\"one\"")], 400, "bad-if-match"),
        (&[JSON, KEY, ("if-match", "\"-1\"")], 400, "bad-if-match"),
        (&[JSON, KEY, ("if-match", "W/\"1\"")], 400, "bad-if-match"),
        (&[JSON, KEY, ("if-match", "\"1\", \"2\"")], 400, "bad-if-match"),
        (
            &[JSON, KEY, ("if-match", "\"99999999999999999999\"")],
            400,
            "bad-if-match",
        ),
        (&[JSON, KEY, ("if-match", "*"), ("if-match", "*")], 400, "bad-if-match"),
        (&[KEY], 415, "unsupported-media-type"),
        (&[KEY, ("content-type", "text/plain")], 415, "unsupported-media-type"),
        (
            &[KEY, ("content-type", "application/x-www-form-urlencoded")],
            415,
            "unsupported-media-type",
        ),
        (
            &[KEY, ("content-type", "application/cloudevents")],
            415,
            "unsupported-media-type",
        ),
        (&[JSON, KEY, ("if-match", "\"7\"")], 412, "revision-mismatch"),
    ];
    for (headers, status, code) in cases {
        let answered = report(&world, id, headers, GOOD).await;

        assert_eq!(
            (answered.status.as_u16(), answered.code().as_str()),
            (status, code),
            "{headers:?}"
        );
    }
    assert_eq!(world.state(id).await, "CREATED");

    let answered = report(&world, id, &[JSON, ("idempotency-key", &longest)], GOOD).await;
    assert_eq!(answered.status, StatusCode::OK);
}

#[tokio::test]
async fn authorization_that_is_no_bearer_token_is_refused_alike() {
    let world = World::new().await;
    let good = format!("Bearer {}", world.token(Role::Operator, "ada"));
    let cases: [&[&str]; 8] = [
        &[],
        &[""],
        &["Bearer"],
        &["Bearer "],
        &["Basic YWRhOmFkYQ=="],
        &["Bearer not.a.token"],
        &["bearer a b c"],
        &[&good, &good],
    ];
    for values in cases {
        let mut request = Request::get("/v1/delivery-orders");
        for value in values {
            request = request.header(header::AUTHORIZATION, *value);
        }
        let answered = world.send(request, Body::empty()).await;

        assert_eq!(
            (answered.status.as_u16(), answered.code().as_str()),
            (401, "unauthorized"),
            "{values:?}"
        );
        assert_eq!(answered.header("www-authenticate"), "Bearer");
    }
    let lower = good.replace("Bearer", "bearer");
    let answered = world.send(
        Request::get("/v1/delivery-orders").header(header::AUTHORIZATION, lower),
        Body::empty(),
    );
    assert_eq!(answered.await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_not_read() {
    let world = World::new().await;
    let id = world.order("o-1").await;
    let of_size = |size: usize| format!("{GOOD}{}", " ".repeat(size - GOOD.len()));

    let too_large = report(&world, id, &[KEY, JSON], of_size(64 * 1024 + 1)).await;
    let endless = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(bytes::Bytes::from(vec![b' '; 1024])));
    let endless = report(&world, id, &[KEY, JSON], Body::from_stream(endless)).await;

    for answered in [too_large, endless] {
        assert_eq!(
            (answered.status.as_u16(), answered.code().as_str()),
            (413, "body-too-large")
        );
    }
    assert_eq!(world.state(id).await, "CREATED");
    let largest = report(&world, id, &[KEY, JSON], of_size(64 * 1024)).await;
    assert_eq!(largest.status, StatusCode::OK, "{}", largest.text);
}

#[tokio::test]
async fn what_is_not_there_and_what_is_not_done_there_have_the_form_of_problems() {
    let world = World::new().await;
    let long = format!("/livez?{}", "x".repeat(10_000));
    let long_api = format!("/v1/delivery-orders?customer_id={}", "x".repeat(10_000));
    let cases = [
        ("GET", "/", 404, "not-found"),
        ("GET", "/v1", 404, "not-found"),
        ("GET", "/v1/delivery-orders/", 404, "not-found"),
        ("GET", "/v2/delivery-orders", 404, "not-found"),
        ("POST", "/v1/nothing", 404, "not-found"),
        ("POST", "/v1/delivery-orders", 405, "method-not-allowed"),
        ("DELETE", "/v1/delivery-orders/1", 405, "method-not-allowed"),
        ("PUT", "/confirm/abc", 405, "method-not-allowed"),
        ("TRACE", "/livez", 405, "method-not-allowed"),
        ("GET", "/v1/operator-cases/1/claim", 405, "method-not-allowed"),
        ("GET", long_api.as_str(), 414, "uri-too-long"),
    ];
    for (method, path, status, code) in cases {
        let answered = world
            .send(Request::builder().method(method).uri(path), Body::empty())
            .await;

        assert_eq!(
            (answered.status.as_u16(), answered.code().as_str()),
            (status, code),
            "{method} {path}"
        );
        assert_eq!(status == 405, !answered.header("allow").is_empty(), "{method} {path}");
    }
    let probe = world.send(Request::get(&long), Body::empty()).await;
    assert_eq!(probe.status, StatusCode::OK);
}

#[tokio::test]
async fn every_answer_forbids_to_guess_its_kind_and_to_keep_it() {
    let world = World::new().await;
    let id = world.order("o-1").await;
    let mut answers = vec![world.send(Request::get("/nowhere"), Body::empty()).await];
    for path in [
        "/v1/delivery-orders".to_owned(),
        format!("/v1/delivery-orders/{id}"),
        "/livez".to_owned(),
    ] {
        answers.push(world.operator_gets(&path).await);
    }

    for answered in answers {
        assert_eq!(answered.header("x-content-type-options"), "nosniff");
        assert_eq!(answered.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn the_caller_is_checked_before_anything_else_is_looked_at() {
    let world = World::new().await;
    let id = world.order("o-1").await;
    let path = format!("/v1/delivery-orders/{id}/events");

    let anonymous = world.send(Request::post(&path), Body::from("{")).await;
    let customer = world.token(Role::Customer, "cus-2");
    let request = Request::post(&path).header(header::AUTHORIZATION, format!("Bearer {customer}"));
    let foreign = world.send(request, Body::from("{")).await;

    assert_eq!(
        (anonymous.code(), foreign.code()),
        ("unauthorized".to_owned(), "not-found".to_owned())
    );
}

#[tokio::test]
async fn a_report_about_an_order_that_does_not_exist_is_not_found() {
    let world = World::new().await;

    let answered = report(&world, OrderId(uuid::Uuid::new_v4()), &[KEY, JSON], GOOD).await;

    assert_eq!((answered.status.as_u16(), answered.code().as_str()), (404, "not-found"));
    assert_eq!(answered.json()["detail"], json!(null));
}
