//! `waybill dead`.

use serde_json::{Value as Json, json};

use super::{embedded, malformed, status};
use crate::support::{Place, eventually};

fn list(place: &Place, arguments: &[&str]) -> Vec<Json> {
    let listed = place.run(&[&["dead", "list", "--json"], arguments].concat()).json();
    listed.as_array().expect("a list").clone()
}

/// A place where a malformed payment event was set aside.
fn with_one() -> (Place, String, Json) {
    let place = embedded();
    let event = malformed("ord-1");
    place.write("bad.json", &event.to_string());
    place.run(&["send", "--unchecked", "bad.json"]).good();
    let process = place.start(&["all"]);
    eventually("it is set aside", || {
        (status(&place)["dead_messages"] == 1).then_some(())
    });
    process.stop();
    let id = list(&place, &[])[0]["id"].as_str().expect("an id").to_owned();
    (place, id, event)
}

#[test]
fn what_was_set_aside_is_listed_shown_whole_and_sent_again() {
    let (place, id, event) = with_one();

    let listed = list(
        &place,
        &["--queue", "waybill.payments", "--source", "local", "--since", "1h"],
    );
    let shown = place.run(&["dead", "show", &id, "--whole", "--json"]).json();
    let text = place.run(&["dead", "show", &id, "--whole"]).good();
    let redacted = place.run(&["dead", "show", &id]).good();
    let replayed = place.run(&["dead", "replay", &id, "--yes"]).good();

    assert_eq!(listed.len(), 1);
    for (name, value) in [
        ("source", json!("local")),
        ("queue", json!("waybill.payments")),
        ("task", Json::Null),
        ("replayed_at", Json::Null),
    ] {
        assert_eq!(listed[0][name], value, "{name}");
    }
    assert_eq!(listed[0]["place"], "data.items[0].quantity");
    let message = &shown["message"];
    assert_eq!(
        (&message["exchange"], &message["routing_key"]),
        (&json!("payments"), &json!("payment.succeeded"))
    );
    assert_eq!(message["properties"]["content_type"], "application/json");
    assert_eq!(
        (&message["body"], &message["body_encoding"]),
        (&json!(event.to_string()), &json!("utf-8"))
    );
    assert!(
        text.starts_with(&format!("id           {id}\n")) && text.contains(&event.to_string()),
        "{text}"
    );
    assert!(
        redacted.contains("\"ordering_id\": \"ord-1\""),
        "what it is about is shown: {redacted}"
    );
    for person in ["A. Reader", "Torstr.", "10119"] {
        assert!(!redacted.contains(person), "{person} is not: {redacted}");
    }
    assert_eq!(replayed, "sent 1 of 1 again\n");
    assert_eq!(status(&place)["queues"], json!({"waybill.payments": 1}));
    assert_eq!(list(&place, &[]), [Json::Null; 0]);
    assert!(list(&place, &["--all"])[0]["replayed_at"].is_string());
}

#[test]
fn a_message_is_sent_again_once_unless_one_insists() {
    let (place, id, _) = with_one();
    place.run(&["dead", "replay", &id, "--yes"]).good();

    let second = place.run(&["dead", "replay", &id, "--yes"]);
    let insisting = place.run(&["dead", "replay", &id, "--yes", "--again"]).good();

    assert_eq!((second.code, second.out.as_str()), (1, "nothing to send again\n"));
    assert!(second.err.contains("it was sent again at"), "{}", second.err);
    assert_eq!(insisting, "sent 1 of 1 again\n");
    assert_eq!(status(&place)["queues"], json!({"waybill.payments": 2}));
}

#[test]
fn what_fits_every_filter_is_sent_again_and_nobody_is_asked_without_a_terminal() {
    let (place, id, _) = with_one();

    let other = place
        .run(&["dead", "replay", "--filter", "reason=unknown-task", "--yes"])
        .good();
    let unasked = place.run(&["dead", "replay", "--filter", "queue=waybill.payments"]);
    let done = place
        .run(&[
            "dead",
            "replay",
            "--filter",
            "queue=waybill.payments",
            "--filter",
            "since=1h",
            "--yes",
        ])
        .good();

    assert_eq!(other, "nothing to send again\n");
    assert_eq!(unasked.code, 2);
    assert!(
        unasked
            .err
            .contains("1  to waybill.payments, set aside for bad-quantity"),
        "{}",
        unasked.err
    );
    assert!(unasked.err.contains("say --yes"), "{}", unasked.err);
    assert_eq!(done, "sent 1 of 1 again\n");
    assert!(list(&place, &["--all"])[0]["id"] == id.as_str());
}

#[test]
fn a_message_that_nobody_knows_is_a_bad_verdict_and_no_id_is_usage() {
    let unknown = "0199a1b2-0000-7000-8000-000000000000";

    for command in ["show", "replay"] {
        assert!(
            embedded()
                .run(&["dead", command, unknown])
                .refused(1)
                .starts_with(&format!("no message {unknown} was set aside"))
        );
        assert_eq!(embedded().run(&["dead", command, "17"]).code, 2);
    }
    assert_eq!(embedded().run(&["dead", "replay"]).code, 2);
    assert_eq!(
        embedded().run(&["dead", "replay", unknown, "--filter", "queue=x"]).code,
        2
    );
    assert_eq!(embedded().run(&["dead", "list"]).good(), "nothing is set aside\n");
}

#[test]
fn what_came_another_way_is_not_sent_over_this_transport() {
    let (place, id, _) = with_one();
    let place = place.set("WAYBILL_BROKER_URL", "amqp://guest@127.0.0.1:9/%2f");

    let ran = place.run(&["dead", "replay", &id, "--yes"]);

    assert_eq!((ran.code, ran.out.as_str()), (1, "nothing to send again\n"));
    assert!(
        ran.err
            .contains("it came over the in-process transport: set WAYBILL_BROKER_URL to local:"),
        "{}",
        ran.err
    );
}
