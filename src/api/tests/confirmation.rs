//! The customer's link: one question, one answer that stands.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use chrono::TimeDelta;

use super::world::{Answered, World, send};

const FORM: &str = "application/x-www-form-urlencoded";

async fn look(router: &Router, path: &str) -> Answered {
    send(router, Request::get(path), Body::empty()).await
}

async fn say(router: &Router, path: &str, kind: &str, body: &str) -> Answered {
    send(
        router,
        Request::post(path).header("content-type", kind),
        Body::from(body.to_owned()),
    )
    .await
}

#[tokio::test]
async fn looking_at_the_page_changes_nothing() {
    let world = World::new().await;
    let (id, link) = world.link("o-1", "de").await;

    for _ in 0..3 {
        let page = look(&world.router, &link).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.text.contains("Sind Ihre Bücher angekommen?"), "{}", page.text);
    }

    assert_eq!(world.state(id).await, "DELIVERED");
}

#[tokio::test]
async fn what_mail_programs_do_with_a_link_is_no_answer() {
    let world = World::new().await;
    let (id, link) = world.link("o-1", "en").await;
    let looks = [
        Request::head(&link),
        Request::get(&link).header("purpose", "prefetch"),
        Request::get(&link).header("sec-purpose", "prefetch;prerender"),
        Request::get(format!("{link}?received=yes")),
        Request::get(&link).header("content-type", FORM),
    ];

    for request in looks {
        let looked = send(&world.router, request, Body::from("received=yes")).await;
        assert_eq!(looked.status, StatusCode::OK);
    }
    for method in ["OPTIONS", "PUT", "PATCH", "DELETE", "PROPFIND"] {
        let request = Request::builder()
            .method(method)
            .uri(&link)
            .header("content-type", FORM);
        let refused = send(&world.router, request, Body::from("received=yes")).await;
        assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
    }

    assert_eq!(world.state(id).await, "DELIVERED");
}

#[tokio::test]
async fn a_yes_confirms_and_a_no_calls_an_operator() {
    let world = World::new().await;
    let answers = [
        (FORM, "received=yes", "DELIVERY_CONFIRMED", "arrived. "),
        (FORM, "received=no", "PENDING_BY_OPERATOR", "have not arrived"),
        (
            "application/json",
            r#"{"received": "yes"}"#,
            "DELIVERY_CONFIRMED",
            "have arrived",
        ),
        (
            "application/json; charset=utf-8",
            r#"{"received": "no"}"#,
            "PENDING_BY_OPERATOR",
            "have not arrived",
        ),
    ];
    for (place, (kind, body, state, said)) in answers.into_iter().enumerate() {
        let (id, link) = world.link(&format!("o-{place}"), "en").await;

        let page = say(&world.router, &link, kind, body).await;

        assert_eq!(page.status, StatusCode::OK, "{kind} {body}: {}", page.text);
        assert!(page.text.contains(said.trim_end_matches(". ")), "{}", page.text);
        assert!(!page.text.contains("<form"));
        assert_eq!(world.state(id).await, state);
    }
}

#[tokio::test]
async fn the_first_answer_stands_and_repetitions_show_it() {
    let world = World::new().await;
    let (id, link) = world.link("o-1", "en").await;
    say(&world.router, &link, FORM, "received=yes").await;

    let again = say(&world.router, &link, FORM, "received=yes").await;
    let otherwise = say(&world.router, &link, FORM, "received=no").await;
    let later = look(&world.router, &link).await;

    for page in [again, otherwise, later] {
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.text.contains("your books have arrived"), "{}", page.text);
    }
    assert_eq!(world.state(id).await, "DELIVERY_CONFIRMED");
}

#[tokio::test]
async fn a_customer_who_clicks_both_buttons_at_once_has_one_answer() {
    let world = World::new().await;
    for round in 0..5 {
        let (id, link) = world.link(&format!("o-{round}"), "en").await;

        let (yes, no) = tokio::join!(
            say(&world.router, &link, FORM, "received=yes"),
            say(&world.router, &link, FORM, "received=no")
        );

        assert_eq!(yes.text, no.text);
        let confirmed = yes.text.contains("have arrived");
        let state = if confirmed {
            "DELIVERY_CONFIRMED"
        } else {
            "PENDING_BY_OPERATOR"
        };
        assert_eq!(world.state(id).await, state);
    }
}

#[tokio::test]
async fn unknown_and_expired_links_are_the_same_page() {
    let world = World::new().await;
    let (_, link) = world.link("o-1", "de").await;
    let later = world.later(TimeDelta::days(45)).await;
    let long = format!("/confirm/{}", "A".repeat(200));

    let mut pages = vec![
        look(&later, &link).await,
        say(&later, &link, FORM, "received=yes").await,
    ];
    for path in ["/confirm/AAAA", "/confirm/%C3%BC", "/confirm/%FF", &long] {
        pages.push(look(&world.router, path).await);
        pages.push(say(&world.router, path, FORM, "received=yes").await);
    }

    for page in &pages {
        assert_eq!((page.status, &page.text), (StatusCode::NOT_FOUND, &pages[0].text));
        assert_eq!(page.headers, pages[0].headers);
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_none() {
    let world = World::new().await;
    let (id, link) = world.link("o-1", "en").await;
    let cases = [
        (FORM, "received=maybe", 422),
        (FORM, "received=YES", 422),
        (FORM, "received=", 422),
        (FORM, "", 422),
        (FORM, "received=yes&received=no", 422),
        (FORM, "received=yes&order=1", 422),
        ("application/json", r#"{"received": true}"#, 422),
        ("application/json", r#"{"received": "yes", "x": 1}"#, 422),
        ("application/json", "{", 422),
        ("text/plain", "received=yes", 415),
        ("", "received=yes", 415),
    ];
    for (kind, body, status) in cases {
        let page = say(&world.router, &link, kind, body).await;

        assert_eq!(page.status.as_u16(), status, "{kind} {body}");
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    }
    let large = say(&world.router, &link, FORM, &format!("received={}", "x".repeat(70_000))).await;
    assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(world.state(id).await, "DELIVERED");
}

#[tokio::test]
async fn the_page_speaks_the_customer_s_language() {
    let world = World::new().await;
    let languages = [
        ("en-GB", "en", "Received"),
        ("de", "de", "Erhalten"),
        ("fr-CA", "fr", "Reçus"),
        ("es", "es", "Recibidos"),
    ];
    for (locale, language, button) in languages {
        let (_, link) = world.link(locale, locale).await;

        let page = look(&world.router, &link).await;

        assert_eq!(page.header("content-language"), language);
        assert!(page.text.contains(button));
    }
}

#[tokio::test]
async fn a_customer_whose_language_we_do_not_speak_gets_the_browser_s() {
    let world = World::new().await;
    let (_, link) = world.link("o-1", "pl").await;

    let page = send(
        &world.router,
        Request::get(&link).header("accept-language", "cs, es;q=0.5"),
        Body::empty(),
    )
    .await;

    assert_eq!(
        (page.header("content-language"), page.header("vary")),
        ("es", "Accept-Language")
    );
    assert!(page.text.contains(r#"<html lang="es">"#), "{}", page.text);
}

#[tokio::test]
async fn the_page_gives_nothing_away() {
    let world = World::new().await;
    let (id, link) = world.link("o-1", "de").await;
    let token = link.strip_prefix("/confirm/").unwrap();

    for page in [
        look(&world.router, &link).await,
        say(&world.router, &link, FORM, "received=yes").await,
    ] {
        for secret in ["A. Reader", "Torstr", "Berlin", "o-1", "cus-1", token, &id.to_string()] {
            assert!(!page.text.contains(secret), "{secret}");
        }
        let policy = page.header("content-security-policy");
        for part in ["default-src 'none'", "style-src 'unsafe-inline'", "form-action 'self'"] {
            assert!(policy.contains(part), "{policy}");
        }
        assert_eq!(page.header("referrer-policy"), "no-referrer");
        assert_eq!(page.header("cache-control"), "no-store");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert!(page.text.contains(r#"<meta name="robots" content="noindex">"#));
    }
}

#[tokio::test]
async fn a_no_after_the_automatic_confirmation_still_reaches_an_operator() {
    let world = World::new().await;
    let (id, link) = world.link("o-1", "en").await;
    let later = world.later(TimeDelta::days(20)).await;
    let due = world
        .engine
        .store()
        .order(id)
        .await
        .unwrap()
        .unwrap()
        .loaded
        .deadline
        .unwrap();
    let due = crate::store::DueDeadline {
        order_id: id,
        sequence: due.sequence,
        event: due.event,
    };
    world.fire_later(due, TimeDelta::days(20)).await;
    assert_eq!(world.state(id).await, "DELIVERY_CONFIRMED");

    let page = say(&later, &link, FORM, "received=no").await;

    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("have not arrived"));
    let cases = world.operator_gets("/v1/operator-cases").await.json();
    assert_eq!(cases["items"][0]["kind"], "disputed-after-confirmation", "{cases}");
    assert_eq!(cases["items"][0]["order"]["confirmed_by"], "system");
}
