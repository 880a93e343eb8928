//! The partner's client against a partner on a real socket.

use std::time::{Duration, Instant};

use axum::http::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;
use waybill_domain::OrderId;
use waybill_tasks::orders::Booking;
use waybill_tasks::partner::breaker::BreakerState;
use waybill_tasks::partner::settings::{BulkheadSettings, RateSettings};
use waybill_tasks::partner::{
    BookingRequest, Cancelled, Operation, Parcel, PartnerClient, PartnerError, PartnerSettings, Partners,
    PartnersSettings,
};

use crate::scripted::{Reply, Scripted};

const REFERENCE: OrderId = OrderId(Uuid::from_u128(7));

fn booking() -> BookingRequest {
    BookingRequest {
        reference: REFERENCE,
        pickup: json!({"name": "Bookstore Mitte", "line1": "Torstr. 1"}),
        dropoff: json!({"name": "A. Reader", "line1": "Kastanienallee 7"}),
        parcels: vec![Parcel {
            items: json!([{"sku": "b-1", "quantity": 1}]),
        }],
        callback_url: "https://waybill.example/webhooks/scripted".to_owned(),
    }
}

fn client_of(partner: &Scripted) -> PartnerClient {
    PartnerClient::new("scripted", &partner.settings()).unwrap()
}

fn failures(client: &PartnerClient, operation: Operation) -> u32 {
    client.breaker(operation).snapshot(Instant::now()).failures
}

#[tokio::test]
async fn a_booking_goes_out_with_its_key_and_comes_back_with_its_id() {
    let partner = Scripted::start([]).await;
    let mut settings = partner.settings();
    settings.base_url = format!("{}/api/", partner.base_url);
    settings.credentials.bearer = Some("s3cret".into());
    let client = PartnerClient::new("scripted", &settings).unwrap();

    let booked = client.book(&booking()).await.unwrap();

    let expected = Booking {
        partner: "scripted".to_owned(),
        id: format!("dlv-{REFERENCE}"),
        tracking_url: Some(format!("https://partner.example/{REFERENCE}")),
    };
    assert_eq!(booked, expected);
    let asked = partner.asked().pop().unwrap();
    assert_eq!(
        (asked.method, asked.path.as_str()),
        (Method::POST, "/api/v1/deliveries")
    );
    assert_eq!(asked.key, Some(format!("{REFERENCE}:book")));
    assert_eq!(asked.authorization.as_deref(), Some("Bearer s3cret"));
    assert_eq!(asked.body["reference"], REFERENCE.to_string());
    assert_eq!(asked.body["parcels"][0]["items"][0]["sku"], "b-1");
    assert_eq!(asked.body["callback_url"], "https://waybill.example/webhooks/scripted");
}

#[tokio::test]
async fn neither_addresses_nor_tokens_are_shown() {
    let partner = Scripted::start([]).await;
    let mut settings = partner.settings();
    settings.credentials.bearer = Some("s3cret".into());

    let shown = format!(
        "{:?} {settings:?} {:?}",
        booking(),
        PartnerClient::new("scripted", &settings).unwrap()
    );

    assert!(
        !shown.contains("Kastanienallee") && !shown.contains("s3cret"),
        "{shown}"
    );
}

#[tokio::test]
async fn each_answer_to_a_booking_means_what_the_caller_does_about_it() {
    let rejected = |code: &str, text: &str| PartnerError::Rejected {
        code: code.to_owned(),
        text: text.to_owned(),
    };
    let suspended = |status| PartnerError::Suspended { status };
    let said = |status| Reply::Say(status, json!({"code": "nope", "message": "pay first"}));
    let throttled = |seconds| PartnerError::Throttled {
        after: Duration::from_secs(seconds),
    };
    let unknown = |text: &str| PartnerError::Ambiguous(text.to_owned());
    let cases = [
        (said(400), rejected("nope", "pay first"), 0),
        (said(422), rejected("nope", "pay first"), 0),
        (Reply::Text(404, "no JSON".to_owned()), rejected("404", ""), 0),
        (
            Reply::Say(400, json!({"code": "A. Reader, Kastanienallee 7"})),
            rejected("400", ""),
            0,
        ),
        (said(401), suspended(401), 1),
        (said(402), suspended(402), 1),
        (said(403), suspended(403), 1),
        (Reply::RetryAfter(429, "30"), throttled(30), 1),
        (Reply::RetryAfter(429, "99999999"), throttled(900), 1),
        (said(408), unknown("the partner answered 408 nope"), 1),
        (said(409), unknown("409 without the id of the earlier booking"), 1),
        (said(500), unknown("the partner answered 500 nope"), 1),
        (said(501), unknown("the partner answered 501 nope"), 1),
        (said(202), unknown("the partner answered 202 nope"), 1),
        (
            Reply::RetryAfter(503, "60"),
            unknown("the partner answered 503 without a code"),
            1,
        ),
    ];

    for (reply, expected, counted) in cases {
        let partner = Scripted::start([reply.clone()]).await;
        let client = client_of(&partner);

        let answer = client.book(&booking()).await;

        assert_eq!(answer, Err(expected), "{reply:?}");
        assert_eq!(
            (failures(&client, Operation::Book), partner.count(Method::POST)),
            (counted, 1),
            "{reply:?}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_leaves_the_outcome_unknown() {
    let replies = [
        Reply::Text(201, "<html>".to_owned()),
        Reply::Say(201, json!({"status": "booked"})),
        Reply::Say(201, json!({"id": ".."})),
        Reply::Say(201, json!({"id": "a\nb"})),
        Reply::Say(200, json!({"id": "x".repeat(300)})),
        Reply::Text(201, format!("{{\"id\": \"d\", \"x\": \"{}\"}}", "x".repeat(256 * 1024))),
        Reply::BreakOff(201),
        Reply::DoneThenHang,
        Reply::Redirect("http://169.254.169.254/latest".to_owned()),
    ];

    for reply in replies {
        let partner = Scripted::start([reply.clone()]).await;
        let client = client_of(&partner);

        let answer = client.book(&booking()).await;

        assert!(
            matches!(answer, Err(PartnerError::Ambiguous(_))),
            "{reply:?}: {answer:?}"
        );
        assert_eq!(
            (failures(&client, Operation::Book), partner.count(Method::POST)),
            (1, 1),
            "{reply:?}"
        );
    }
}

#[tokio::test]
async fn what_a_partner_writes_freely_is_in_no_message() {
    let quote = json!({"code": "Kastanienallee 7", "message": "nobody lives in Kastanienallee 7", "status": ["7"]});
    for status in [201, 202, 400, 403, 409, 422, 429, 500] {
        let partner = Scripted::start(std::iter::repeat_n(Reply::Say(status, quote.clone()), 3)).await;

        let error = client_of(&partner).book(&booking()).await.unwrap_err();

        assert!(!error.to_string().contains("Kastanienallee"), "{status}: {error}");
    }
}

#[tokio::test]
async fn a_redirect_takes_nothing_along() {
    let elsewhere = Scripted::start([]).await;
    let partner = Scripted::start([Reply::Redirect(format!("{}/v1/deliveries", elsewhere.base_url))]).await;

    let _ = client_of(&partner).book(&booking()).await;

    assert_eq!(elsewhere.asked().len(), 0);
}

#[tokio::test]
async fn what_the_partner_has_already_is_adopted() {
    let partner = Scripted::start([Reply::Say(409, json!({"code": "duplicate", "id": "dlv-first"}))]).await;

    let booked = client_of(&partner).book(&booking()).await.unwrap();

    assert_eq!(booked.id, "dlv-first");
}

#[tokio::test]
async fn a_tracking_url_that_is_no_link_is_not_passed_on_to_customers() {
    let partner = Scripted::start([Reply::Say(
        201,
        json!({"id": "d", "tracking_url": "javascript:alert(1)"}),
    )])
    .await;

    assert_eq!(client_of(&partner).book(&booking()).await.unwrap().tracking_url, None);
}

#[tokio::test]
async fn overload_is_tried_again_twice_with_the_same_key() {
    for status in [502, 503, 504] {
        let lost = || Reply::Say(status, json!({}));
        let partner = Scripted::start([lost(), lost(), Reply::Honest]).await;

        let booked = client_of(&partner).book(&booking()).await;

        let keys: Vec<_> = partner.asked().into_iter().filter_map(|asked| asked.key).collect();
        assert!(booked.is_ok(), "{status}: {booked:?}");
        assert_eq!(keys, vec![format!("{REFERENCE}:book"); 3]);
        let partner = Scripted::start([lost(), lost(), lost()]).await;
        assert!(matches!(
            client_of(&partner).book(&booking()).await,
            Err(PartnerError::Ambiguous(_))
        ));
        assert_eq!(partner.count(Method::POST), 3);
    }
}

#[tokio::test]
async fn a_no_to_the_repetition_does_not_undo_what_the_first_try_may_have_done() {
    let refused = |status| Reply::Say(status, json!({"code": "nope"}));
    for second in [
        refused(422),
        Reply::RetryAfter(429, "10"),
        refused(401),
        refused(402),
        refused(403),
    ] {
        let partner = Scripted::start([Reply::Say(502, json!({})), second.clone()]).await;

        let answer = client_of(&partner).book(&booking()).await;

        assert!(
            matches!(answer, Err(PartnerError::Ambiguous(_))),
            "{second:?}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn a_partner_that_does_not_serve_the_repetition_is_left_alone_as_well() {
    let partner = Scripted::start([Reply::Say(503, json!({})), Reply::Say(403, json!({}))]).await;
    let client = client_of(&partner);

    let _ = client.book(&booking()).await;
    let second = client.book(&booking()).await;

    assert!(
        matches!(second, Err(PartnerError::Open { after }) if after > Duration::from_secs(55)),
        "{second:?}"
    );
}

#[tokio::test]
async fn after_too_many_requests_nothing_is_unknown() {
    let throttled = || Reply::RetryAfter(429, "1");
    let partner = Scripted::start([throttled(), throttled(), throttled()]).await;

    let answer = client_of(&partner).book(&booking()).await;

    assert_eq!(
        answer,
        Err(PartnerError::Throttled {
            after: Duration::from_secs(1)
        })
    );
    assert_eq!(partner.count(Method::POST), 3);
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_sent() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = PartnerSettings::standard(format!("http://{}", listener.local_addr().unwrap()));
    drop(listener);
    let client = PartnerClient::new("gone", &settings).unwrap();

    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(client.book(&booking()).await);
    }

    assert!(
        answers[..5]
            .iter()
            .all(|answer| matches!(answer, Err(PartnerError::Unreachable(_)))),
        "{answers:?}"
    );
    assert!(
        matches!(answers[5], Err(PartnerError::Open { .. })),
        "five in a row open the breaker: {answers:?}"
    );
}

#[tokio::test]
async fn an_open_breaker_sends_nothing_and_its_probes_are_not_repeated() {
    let partner = Scripted::start(std::iter::repeat_n(Reply::Say(500, json!({})), 10)).await;
    let mut settings = partner.settings();
    settings.breaker.open_for = Duration::from_millis(200);
    let client = PartnerClient::new("scripted", &settings).unwrap();
    for _ in 0..10 {
        let _ = client.book(&booking()).await;
    }

    let refused = client.book(&booking()).await;
    let other_operation = client.find(REFERENCE).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    partner.then([Reply::Say(503, json!({}))]);
    let probe = client.book(&booking()).await;

    assert!(matches!(refused, Err(PartnerError::Open { after }) if after <= Duration::from_millis(240)));
    assert_eq!(other_operation, Ok(None), "each operation has a breaker of its own");
    assert!(matches!(probe, Err(PartnerError::Ambiguous(_))));
    assert_eq!(partner.count(Method::POST), 11);
    assert_eq!(client.status()[0].breaker.state, BreakerState::Open);
}

#[tokio::test]
async fn a_partner_that_does_not_serve_us_is_left_alone_for_a_minute() {
    let partner = Scripted::start([Reply::Say(403, json!({}))]).await;
    let client = client_of(&partner);

    let first = client.book(&booking()).await;
    let second = client.book(&booking()).await;

    assert!(matches!(first, Err(PartnerError::Suspended { status: 403 })));
    assert!(
        matches!(second, Err(PartnerError::Open { after }) if after > Duration::from_secs(55)),
        "{second:?}"
    );
}

#[tokio::test]
async fn retries_add_a_tenth_to_an_outage_and_no_more() {
    let partner = Scripted::start(std::iter::repeat_n(Reply::Say(503, json!({})), 1_000)).await;
    let mut settings = partner.settings();
    settings.breaker.minimum_calls = 10_000;
    settings.bulkhead.calls = 100;
    let client = PartnerClient::new("scripted", &settings).unwrap();

    futures_util::future::join_all((0..100).map(|_| async { client.book(&booking()).await })).await;

    let requests = partner.count(Method::POST);
    assert!((101..=113).contains(&requests), "{requests} requests for 100 calls");
}

#[tokio::test]
async fn a_slow_partner_holds_no_more_callers_than_agreed() {
    let partner = Scripted::start([Reply::DoneThenHang]).await;
    let mut settings = partner.settings();
    settings.bulkhead = BulkheadSettings {
        calls: 1,
        waiting: 1,
        wait: Duration::from_millis(50),
    };
    let client = PartnerClient::new("scripted", &settings).unwrap();

    let (slow, quick) = tokio::join!(client.find(REFERENCE), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        client.book(&booking()).await
    });

    assert!(matches!(slow, Err(PartnerError::Ambiguous(_))));
    assert!(matches!(quick, Err(PartnerError::BulkheadFull { .. })), "{quick:?}");
    assert_eq!(partner.asked().len(), 1);
}

#[tokio::test]
async fn calls_keep_to_the_partners_rate() {
    let partner = Scripted::start([]).await;
    let mut settings = partner.settings();
    settings.rate = Some(RateSettings {
        per_second: 5,
        burst: Some(2),
    });
    let client = PartnerClient::new("scripted", &settings).unwrap();
    let started = Instant::now();

    for _ in 0..4 {
        client.find(REFERENCE).await.unwrap();
    }

    assert!(
        started.elapsed() >= Duration::from_millis(380),
        "two at once, two more after their time"
    );
    settings.rate = Some(RateSettings {
        per_second: 1,
        burst: Some(1),
    });
    let client = PartnerClient::new("scripted", &settings).unwrap();
    let calls = futures_util::future::join_all((0..4).map(|_| client.find(REFERENCE))).await;
    assert!(
        calls
            .iter()
            .any(|call| matches!(call, Err(PartnerError::Throttled { .. }))),
        "{calls:?}"
    );
}

#[tokio::test]
async fn a_delivery_is_found_by_our_reference_only() {
    let ours = |id: &str, status: &str| json!({"id": id, "status": status, "reference": REFERENCE});
    let foreign = json!({"id": "d-other", "status": "booked", "reference": Uuid::from_u128(8)});
    let cases: [(Value, Option<&str>); 4] = [
        (json!({"items": []}), None),
        (json!({"items": [foreign]}), None),
        (json!({"items": [foreign, ours("d-1", "booked")]}), Some("d-1")),
        (
            json!({"items": [ours("d-old", "cancelled"), ours("d-live", "booked")]}),
            Some("d-live"),
        ),
    ];

    for (answer, id) in cases {
        let partner = Scripted::start([Reply::Say(200, answer)]).await;
        let found = client_of(&partner).find(REFERENCE).await.unwrap();
        assert_eq!(found.map(|found| found.booking.id).as_deref(), id);
        assert_eq!(partner.asked()[0].path, format!("/v1/deliveries?reference={REFERENCE}"));
    }
    let partner = Scripted::start([Reply::Say(404, json!({})), Reply::Say(200, json!([]))]).await;
    let client = client_of(&partner);
    assert_eq!(client.find(REFERENCE).await, Ok(None));
    assert!(matches!(client.find(REFERENCE).await, Err(PartnerError::Ambiguous(_))));
}

#[tokio::test]
async fn a_cancellation_is_done_unless_it_is_too_late() {
    let cases = [
        (200, Cancelled::Done),
        (204, Cancelled::Done),
        (404, Cancelled::Done),
        (410, Cancelled::Done),
        (409, Cancelled::TooLate),
    ];

    for (status, expected) in cases {
        let partner = Scripted::start([Reply::Say(status, json!({}))]).await;
        let cancelled = client_of(&partner).cancel("../1?a=b").await;
        assert_eq!(cancelled, Ok(expected), "{status}");
        assert_eq!(partner.asked()[0].path, "/v1/deliveries/..%2F1%3Fa=b");
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_nothing_behind() {
    let partner = Scripted::start(std::iter::repeat_n(Reply::DoneThenHang, 3)).await;
    let mut settings = partner.settings();
    settings.bulkhead.calls = 1;
    let client = PartnerClient::new("scripted", &settings).unwrap();

    for _ in 0..3 {
        let request = booking();
        let call = tokio::time::timeout(Duration::from_millis(50), client.book(&request));
        assert!(call.await.is_err());
    }
    let booked = client.book(&booking()).await;

    assert!(booked.is_ok(), "the bulkhead's place came back: {booked:?}");
    assert_eq!(failures(&client, Operation::Book), 0);
}

fn file(text: &str) -> Result<PartnersSettings, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

#[test]
fn the_partners_file_is_read_whole() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = file(
        r#"{"default": "a", "partners": {
            "a": {"adapter": "standard", "base_url": "https://a.example/api", "credentials": {"bearer": "t"},
                  "secrets": [{"id": "k1", "value": "whsec_x"}], "rate": {"per_second": 20, "burst": 40},
                  "breaker": {"open_ms": 1000, "minimum_calls": 20}, "bulkhead": {"calls": 4}, "timeouts": {"try_ms": 900}},
            "b": {"adapter": "standard", "base_url": "http://b.example"}}}"#,
    )
    .unwrap();

    let partners = Partners::new(&settings).unwrap();

    let a = &settings.partners["a"];
    assert_eq!(
        (a.breaker.open_for, a.breaker.minimum_calls, a.breaker.probes),
        (Duration::from_secs(1), 20, 3)
    );
    assert_eq!(
        (a.bulkhead.calls, a.bulkhead.waiting, a.timeouts.per_try),
        (4, 32, Duration::from_millis(900))
    );
    assert_eq!(partners.default_partner().name(), "a");
    assert_eq!(partners.get("b").map(|partner| partner.name()), Some("b"));
    assert!(partners.get("c").is_none());
    assert_eq!(partners.status().len(), 8);
}

#[test]
fn what_is_wrong_in_the_partners_file_is_named() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let with = |partner: &str| {
        file(&format!(
            r#"{{"default": "a", "partners": {{"a": {{"adapter": "standard", {partner}}}}}}}"#
        ))
    };
    let wrong = |partner: &str| Partners::new(&with(partner).unwrap()).unwrap_err().to_string();

    assert!(
        with(r#""base_url": "http://a", "brekaer": {}"#)
            .unwrap_err()
            .contains("brekaer")
    );
    assert!(file(r#"{"default": "a", "partners": {"a": {"adapter": "dove", "base_url": "http://a"}}}"#).is_err());
    for url in [
        "a.example",
        "ftp://a.example",
        "http://user:pw@a.example",
        "http://a.example/?q=1",
        "file:///etc/passwd",
    ] {
        assert!(
            wrong(&format!(r#""base_url": "{url}""#)).starts_with("partners.a.base_url must be"),
            "{url}"
        );
    }
    assert!(wrong(r#""base_url": "http://a", "breaker": {"probes": 0}"#).starts_with("partners.a.breaker.probes"));
    assert!(wrong(r#""base_url": "http://a", "rate": {"per_second": 0}"#).starts_with("partners.a.rate.per_second"));
    assert!(wrong(r#""base_url": "http://a", "bulkhead": {"calls": 0}"#).starts_with("partners.a.bulkhead.calls"));
    let nobody = file(r#"{"default": "z", "partners": {}}"#).unwrap();
    assert!(
        Partners::new(&nobody)
            .unwrap_err()
            .to_string()
            .starts_with("default must be")
    );
}
