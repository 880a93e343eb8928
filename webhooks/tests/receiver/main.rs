//! The route as a partner sees it: what is stored, what is refused, and that refusals tell nothing.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod partner;
mod schemes;
mod timing;
mod wire;

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use partner::{Answer, FakeInbox, NEW_SECRET, NOW, OLD_SECRET, Signed, answer, ask, receiver, receiver_behind};
use waybill_webhooks::doors::{Limits, Proxies};
use waybill_webhooks::{Doors, MAX_BODY, Stored};

const BODY: &[u8] = br#"{"type":"delivery.delivered","data":{"reference":"r"}}"#;

#[tokio::test]
async fn a_verified_callback_is_stored_as_it_came() {
    let inbox = FakeInbox::answering(Ok(Stored::New));
    let request = Signed::new("msg_1", BODY)
        .header("content-type", "application/json")
        .header("user-agent", "acme/1")
        .header("authorization", "Bearer secret")
        .request();

    let answer = ask(&inbox, request).await;

    assert_eq!(
        (answer.status, answer.text()),
        (StatusCode::OK, r#"{"status":"stored"}"#)
    );
    let stored = inbox.only();
    assert_eq!(stored.partner, "acme");
    assert_eq!(stored.event_id, "msg_1");
    assert_eq!(stored.key_id, "old");
    assert_eq!(stored.signed_at.unwrap().timestamp(), NOW);
    assert_eq!(stored.body, BODY);
    assert_eq!(
        hex::encode(stored.sha256),
        "a961f1029316b3670d8bcd2fdab2cceaf7b474b292b302e09566540a951deda1"
    );
    let mut names: Vec<_> = stored.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "content-type",
            "user-agent",
            "webhook-id",
            "webhook-signature",
            "webhook-timestamp"
        ]
    );
}

#[tokio::test]
async fn every_failed_verification_gets_the_same_401() {
    let signed = || Signed::new("msg_1", BODY);
    let forgeries = [
        (
            "unsigned",
            Request::post("/webhooks/acme").body(Body::from(BODY)).unwrap(),
        ),
        ("no id", signed().without("webhook-id").request()),
        ("no time", signed().without("webhook-timestamp").request()),
        ("no signature", signed().without("webhook-signature").request()),
        (
            "wrong secret",
            signed().secret("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").request(),
        ),
        ("stale", signed().at(NOW - 301).request()),
        ("future", signed().at(NOW + 301).request()),
        ("altered body", signed().sent_body(b"{}").request()),
        ("no body", signed().sent_body(b"").request()),
        ("another id", signed().replace("webhook-id", "msg_2").request()),
        (
            "another time",
            signed().replace("webhook-timestamp", &(NOW + 1).to_string()).request(),
        ),
        (
            "time that is none",
            signed().replace("webhook-timestamp", "now").request(),
        ),
        ("empty id", signed().replace("webhook-id", "").request()),
        ("id with full stop", Signed::new("msg.1", BODY).request()),
        ("empty signature", signed().replace("webhook-signature", "").request()),
        (
            "signature without version",
            signed().replace("webhook-signature", "AAAA").request(),
        ),
        (
            "signature not base64",
            signed().replace("webhook-signature", "v1,%%%").request(),
        ),
        (
            "unknown version",
            signed().replace("webhook-signature", "v2,AAAA").request(),
        ),
        ("id twice", signed().header("webhook-id", "msg_1").request()),
        ("unknown partner", signed().path("/webhooks/nobody").request()),
        ("another partner's", signed().path("/webhooks/other").request()),
        ("partner that is no text", signed().path("/webhooks/%ff").request()),
        ("partner with other case", signed().path("/webhooks/ACME").request()),
        ("partner and a slash", signed().path("/webhooks/acme%2Fx").request()),
    ];
    let inbox = FakeInbox::answering(Ok(Stored::New));
    let mut first: Option<Answer> = None;

    for (forgery, request) in forgeries {
        let answer = ask(&inbox, request).await;

        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{forgery}");
        let first = first.get_or_insert_with(|| answer.clone());
        assert_eq!(&answer, first, "{forgery}");
    }

    let first = first.unwrap();
    assert_eq!(first.header("content-type"), "application/problem+json");
    assert_eq!(first.json()["type"], "/problems/webhook-unauthorized");
    assert!(inbox.is_empty(), "nothing unverified is stored");
}

#[tokio::test]
async fn what_is_not_believed_is_noted_without_what_it_said() {
    let inbox = FakeInbox::answering(Ok(Stored::New));
    let forged = Signed::new("msg_1", BODY)
        .replace("webhook-signature", "v1,AAAA")
        .request();
    let foreign = Signed::new("msg_2", BODY).path("/webhooks/n%20obody").request();
    let form = Signed::new("msg_3", BODY)
        .header("content-type", "text/plain")
        .request();
    let unread = Request::post("/webhooks/acme")
        .header("content-length", "300000")
        .body(Body::from(vec![0; 300_000]));

    for request in [forged, foreign, form, unread.unwrap()] {
        ask(&inbox, request).await;
    }

    let noted = inbox.unbelieved();
    let noted: Vec<_> = noted
        .iter()
        .map(|it| {
            (
                it.partner.as_deref(),
                it.reason,
                it.event_id.as_deref(),
                it.size,
                it.sha256.is_some(),
            )
        })
        .collect();
    let size = u64::try_from(BODY.len()).ok();
    assert_eq!(
        noted,
        [
            (Some("acme"), "wrong_signature", Some("msg_1"), size, true),
            (None, "unknown_partner", Some("msg_2"), size, true),
            (Some("acme"), "content-type", Some("msg_3"), size, true),
            (Some("acme"), "too-large", None, Some(300_000), false),
        ]
    );
    assert!(inbox.is_empty());
}

#[tokio::test]
async fn only_json_is_taken_and_who_says_nothing_is_not_contradicted() {
    for (kind, status) in [
        ("application/json", 200),
        ("Application/JSON ; charset=UTF-8", 200),
        ("text/json", 200),
        ("application/cloudevents+json", 200),
        ("text/plain", 415),
        ("application/jsonp", 415),
        ("application/x-www-form-urlencoded", 415),
        ("text/\u{e4}", 415),
        ("", 415),
    ] {
        let inbox = FakeInbox::answering(Ok(Stored::New));

        let answer = ask(
            &inbox,
            Signed::new("msg_1", BODY).header("content-type", kind).request(),
        )
        .await;

        assert_eq!(answer.status.as_u16(), status, "{kind}");
        assert_eq!(inbox.is_empty(), status == 415, "{kind}");
    }
    let inbox = FakeInbox::answering(Ok(Stored::New));
    assert_eq!(
        ask(&inbox, Signed::new("msg_1", BODY).request()).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_partner_that_tells_more_than_it_may_is_told_when_to_come_again_and_nobody_else_is_held_up() {
    let inbox = FakeInbox::answering(Ok(Stored::New));
    let limits = Limits {
        callbacks: std::num::NonZeroU32::new(3).unwrap(),
        ..Limits::default()
    };
    let router = receiver_behind(&inbox, Doors::new(Proxies::default(), limits));
    // What is not believed uses up nothing.
    for _ in 0..5 {
        let forged = Signed::new("msg_0", BODY)
            .replace("webhook-signature", "v1,AAAA")
            .request();
        assert_eq!(answer(&router, forged).await.status, StatusCode::UNAUTHORIZED);
    }

    for number in 0..3 {
        let taken = Signed::new(&format!("msg_{number}"), BODY).request();
        assert_eq!(answer(&router, taken).await.status, StatusCode::OK);
    }
    let refused = answer(&router, Signed::new("msg_3", BODY).request()).await;
    let other = Signed::new("msg_1", BODY)
        .path("/webhooks/other")
        .secret("whsec_//////////////////////////////8=")
        .request();

    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.json()["type"], "/problems/webhook-too-fast");
    assert!((1..=21).contains(&refused.header("retry-after").parse::<u64>().unwrap()));
    assert_eq!(answer(&router, other).await.status, StatusCode::OK);
    assert_eq!(inbox.len(), 4, "what was refused is not stored");
}

#[tokio::test]
async fn an_address_that_is_never_right_is_not_listened_to_for_a_while_and_others_are() {
    let inbox = FakeInbox::answering(Ok(Stored::New));
    let limits = Limits {
        rejections: std::num::NonZeroU32::new(3).unwrap(),
        ..Limits::default()
    };
    let proxies = Proxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
    let router = receiver_behind(&inbox, Doors::new(proxies, limits));
    let send = async |peer: &str, forwarded: &str, signed: Signed| {
        let peer = SocketAddr::new(peer.parse().unwrap(), 40_000);
        let mut request = signed.header("x-forwarded-for", forwarded).request();
        request.extensions_mut().insert(ConnectInfo(peer));
        answer(&router, request).await
    };
    let right = |id: &str| Signed::new(id, BODY);

    for host in 1..=4 {
        let forged = right("msg_0").replace("webhook-signature", "v1,AAAA");
        let refused = send(&format!("2001:db8:0:1::{host}"), "", forged).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    }
    let closed = [
        send("2001:db8:0:1:ffff::1", "", right("msg_1")).await,
        send("10.0.0.1", "192.0.2.9, 2001:db8:0:1::9", right("msg_2")).await,
    ];
    let open = [
        send("2001:db8:0:2::1", "", right("msg_3")).await,
        // Only our own proxies say whom they speak for.
        send("203.0.113.9", "2001:db8:0:1::9", right("msg_4")).await,
        send("10.0.0.1", "198.51.100.1", right("msg_5")).await,
    ];

    for closed in closed {
        assert_eq!(closed.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(closed.json()["type"], "/problems/webhook-too-many");
        assert!((1..=21).contains(&closed.header("retry-after").parse::<u64>().unwrap()));
    }
    assert!(open.iter().all(|answer| answer.status == StatusCode::OK), "{open:?}");
    assert_eq!(inbox.len(), 3, "who is not listened to leaves nothing");
}

#[tokio::test]
async fn only_post_is_served() {
    for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let inbox = FakeInbox::answering(Ok(Stored::New));
        let mut request = Signed::new("msg_1", BODY).request();
        *request.method_mut() = method.parse().unwrap();

        let answer = ask(&inbox, request).await;

        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(answer.header("allow"), "POST", "{method}");
        assert!(inbox.is_empty(), "{method}");
    }
}

#[tokio::test]
async fn the_largest_body_is_taken_and_one_byte_more_is_not() {
    let inbox = FakeInbox::answering(Ok(Stored::New));
    assert_eq!(
        ask(&inbox, Signed::new("msg_1", &vec![b' '; MAX_BODY]).request())
            .await
            .status,
        StatusCode::OK
    );

    let request = Signed::new("msg_2", &vec![b' '; MAX_BODY + 1]).request();
    let answer = ask(&inbox, request).await;

    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.json()["type"], "/problems/webhook-too-large");
    assert_eq!(inbox.only().event_id, "msg_1");
}

#[tokio::test]
async fn a_length_announced_as_too_large_is_refused_before_the_body_is_read() {
    let body = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
    let request = Request::post("/webhooks/acme")
        .header("content-length", "99999999999")
        .body(body)
        .unwrap();

    let answer = tokio::time::timeout(
        Duration::from_secs(1),
        ask(&FakeInbox::answering(Ok(Stored::New)), request),
    )
    .await;

    assert_eq!(
        answer.expect("nothing was waited for").status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
}

#[tokio::test]
async fn a_body_without_length_is_cut_off_where_it_grows_too_large() {
    let chunk = || Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 64 * 1024]));
    let endless = Body::from_stream(futures_util::stream::repeat_with(chunk));
    let request = Request::post("/webhooks/acme").body(endless).unwrap();

    let answer = ask(&FakeInbox::answering(Ok(Stored::New)), request).await;

    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up() {
    let body = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
    let request = Request::post("/webhooks/acme").body(body).unwrap();

    let answer = ask(&FakeInbox::answering(Ok(Stored::New)), request).await;

    assert_eq!(answer.status, StatusCode::REQUEST_TIMEOUT);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_taken_for_whole() {
    let half = [Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("reset"))];
    let request = Signed::new("msg_1", b"{")
        .request()
        .map(|_| Body::from_stream(futures_util::stream::iter(half)));
    let inbox = FakeInbox::answering(Ok(Stored::New));

    let answer = ask(&inbox, request).await;

    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(inbox.is_empty());
}

#[tokio::test]
async fn what_cannot_be_stored_is_to_be_sent_again() {
    let inbox = FakeInbox::answering(Err("the disk is full of secrets"));

    let answer = ask(&inbox, Signed::new("msg_1", BODY).request()).await;

    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header("retry-after"), "5");
    assert_eq!(answer.json()["type"], "/problems/webhook-unavailable");
    assert!(
        !answer.text().contains("disk"),
        "a failure of ours is told to our log only"
    );
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_a_store_that_is_away() {
    let answer = ask(&FakeInbox::hanging(), Signed::new("msg_1", BODY).request()).await;

    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_duplicate_and_a_conflict_are_a_success_to_the_partner() {
    for stored in [Stored::Duplicate, Stored::Conflict] {
        let answer = ask(&FakeInbox::answering(Ok(stored)), Signed::new("msg_1", BODY).request()).await;

        assert_eq!(
            (answer.status, answer.text()),
            (StatusCode::OK, r#"{"status":"duplicate"}"#)
        );
    }
}

#[tokio::test]
async fn a_partner_in_rotation_is_believed_with_either_secret() {
    for (secret, id) in [(OLD_SECRET, "old"), (NEW_SECRET, "new")] {
        let inbox = FakeInbox::answering(Ok(Stored::New));

        let answer = ask(&inbox, Signed::new("msg_1", BODY).secret(secret).request()).await;

        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(inbox.only().key_id, id);
    }
}

#[tokio::test]
async fn a_sender_in_rotation_signs_with_both_secrets() {
    let retired = Signed::new("msg_1", BODY)
        .secret("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
        .signature();
    let both = format!("{retired} {}", Signed::new("msg_1", BODY).signature());
    let inbox = FakeInbox::answering(Ok(Stored::New));

    let answer = ask(
        &inbox,
        Signed::new("msg_1", BODY).replace("webhook-signature", &both).request(),
    )
    .await;

    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn what_was_verified_is_stored_whatever_it_says() {
    for body in [
        &b"\xff\xfe\x00 not text"[..],
        b"not json",
        b"",
        b"{\"type\":\"unknown\"}",
    ] {
        let inbox = FakeInbox::answering(Ok(Stored::New));

        let answer = ask(
            &inbox,
            Signed::new("msg_1", body)
                .header("content-type", "application/vnd.acme.event+json; charset=utf-8")
                .request(),
        )
        .await;

        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(inbox.only().body, body);
    }
}

#[tokio::test]
async fn a_callback_does_not_show_its_body() {
    let inbox = FakeInbox::answering(Ok(Stored::New));
    ask(&inbox, Signed::new("msg_1", b"A. Reader, Kastanienallee 7").request()).await;

    let shown = format!("{:?}", inbox.only());

    assert!(shown.contains("msg_1") && !shown.contains("Kastanienallee"), "{shown}");
}

#[tokio::test]
async fn many_partners_calls_at_once_are_each_answered() {
    let inbox = FakeInbox::answering(Ok(Stored::New));
    let router = receiver(&inbox);
    let calls: Vec<_> = (0..200)
        .map(|n| {
            let (router, request) = (router.clone(), Signed::new(&format!("msg_{n}"), BODY).request());
            tokio::spawn(async move { tower::ServiceExt::oneshot(router, request).await.unwrap().status() })
        })
        .collect();

    for call in calls {
        assert_eq!(call.await.unwrap(), StatusCode::OK);
    }

    assert_eq!(inbox.len(), 200);
}

#[test]
fn the_helper_signs_as_the_standard_says() {
    let signed = Signed::new(
        "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        br#"{"email":"test@example.com","username":"test_user"}"#,
    )
    .at(1_649_367_553)
    .secret("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");

    assert_eq!(signed.signature(), "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
}
