//! Usage and settings: exit code 2, and one line that names the way out.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use serde_json::{Value as Json, json};

use super::embedded;
use crate::support::Place;

const COMMANDS: [&[&str]; 18] = [
    &["migrate"],
    &["partner-sim"],
    &["serve"],
    &["work"],
    &["beat"],
    &["all"],
    &["send"],
    &["status"],
    &["doctor"],
    &["dead", "list"],
    &["dead", "show"],
    &["dead", "replay"],
    &["audit", "verify"],
    &["graph", "check"],
    &["graph", "show"],
    &["graph", "diagram"],
    &["config", "show"],
    &["token"],
];

#[test]
fn every_command_explains_itself_with_an_example() {
    for command in COMMANDS {
        let help = Place::new().run(&[command, &["--help"]].concat()).good();

        assert!(
            help.contains("Example") && help.contains("waybill "),
            "{command:?}: {help}"
        );
    }
}

#[test]
fn a_command_that_does_not_exist_is_usage() {
    for arguments in [
        &["shrug"][..],
        &[],
        &["dead", "shrug"],
        &["token"],
        &["send"],
        &["graph", "diagram", "--format", "x"],
    ] {
        assert_eq!(Place::new().run(arguments).code, 2, "{arguments:?}");
    }
}

#[test]
fn a_setting_that_cannot_be_used_stops_the_start_with_one_line() {
    for (command, name, value, line) in [
        (
            "all",
            "WAYBILL_HTTP_ADR",
            "x",
            "WAYBILL_HTTP_ADR: unknown setting, did you mean WAYBILL_HTTP_ADDR?",
        ),
        (
            "all",
            "WAYBILL_HTTP_ADDR",
            "here",
            "WAYBILL_HTTP_ADDR: \"here\" given, expected IP:PORT, such as 127.0.0.1:8080",
        ),
        (
            "status",
            "WAYBILL_LOG_FORMAT",
            "xml",
            "WAYBILL_LOG_FORMAT: \"xml\" given, expected text or json",
        ),
        (
            "work",
            "WAYBILL_QUEUE",
            "waybill",
            "WAYBILL_BROKER_URL: nothing given, expected amqp://… or amqps://…: local: works only inside `waybill all` and `waybill demo`",
        ),
    ] {
        assert_eq!(Place::new().set(name, value).run(&[command]).refused(2), line);
    }
}

#[test]
fn a_refused_secret_is_not_told() {
    let place = Place::new().set("WAYBILL_BROKER_URL", "mysql://me:hunter2@host/x");

    let line = place.run(&["all"]).refused(2);

    assert!(line.contains("mysql://… given") && !line.contains("hunter2"), "{line}");
}

#[test]
fn settings_are_shown_without_secrets() {
    let place = Place::new()
        .set("WAYBILL_DATABASE_URL", "postgres://me:hunter2@db/waybill")
        .set("WAYBILL_BROKER_URL", "amqp://me:hunter2@mq/%2f")
        .set("WAYBILL_JWT_KEY", "hunter2-hunter2-hunter2-hunter2-hunter2")
        .set(
            "WAYBILL_DATA_KEY",
            "68756e7465723268756e7465723268756e7465723268756e7465723268756e74",
        );

    let text = place.run(&["config", "show"]).good();
    let json = place.run(&["config", "show", "--json"]).json();

    for secret in ["hunter2", "68756e74"] {
        assert!(!text.contains(secret) && !json.to_string().contains(secret), "{text}");
    }
    assert!(text.contains("postgres://me:***@db/waybill"), "{text}");
    let queue = json!({"name": "WAYBILL_QUEUE", "value": "waybill", "source": "default"});
    assert!(json.as_array().unwrap().contains(&queue), "{json}");
    assert_eq!(place.files(), [""; 0], "showing makes nothing");
}

#[test]
fn a_token_says_who_may_do_what_and_for_how_long() {
    let place = embedded().set("WAYBILL_JWT_KEY", "0123456789abcdef0123456789abcdef");

    let token = place
        .run(&["token", "--role", "customer", "--sub", "cus-1", "--ttl", "15m"])
        .good();

    let mut parts = token
        .trim_end()
        .split('.')
        .map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
    let head: Json = serde_json::from_slice(&parts.next().unwrap()).unwrap();
    let claims: Json = serde_json::from_slice(&parts.next().unwrap()).unwrap();
    assert_eq!(head["alg"], "HS256");
    assert_eq!(
        (&claims["sub"], &claims["roles"]),
        (&json!("cus-1"), &json!(["customer"]))
    );
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!("waybill"), &json!("waybill")));
    let left = claims["exp"].as_i64().unwrap() - Utc::now().timestamp();
    assert!((870..=900).contains(&left), "{left}");
    let mut check = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
    check.set_audience(&["waybill"]);
    let key = jsonwebtoken::DecodingKey::from_secret(b"0123456789abcdef0123456789abcdef");
    assert!(jsonwebtoken::decode::<Json>(token.trim_end(), &key, &check).is_ok());
}

#[test]
fn a_token_that_the_api_would_not_take_is_not_made() {
    let public = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----";
    let token = |place: Place, ttl: &str| place.run(&["token", "--role", "operator", "--sub", "me", "--ttl", ttl]);

    assert_eq!(token(embedded(), "25h").code, 2);
    assert_eq!(token(embedded(), "soon").code, 2);
    assert_eq!(
        token(embedded().set("WAYBILL_JWT_KEY", public), "1h").refused(2),
        "tokens are issued only with a shared secret in WAYBILL_JWT_KEY"
    );
}
