//! `waybill send`.

use serde_json::json;

use super::{embedded, malformed, payment, status};
use crate::support::{Place, eventually};

#[test]
fn what_was_sent_is_taken_by_a_running_process() {
    let place = embedded();
    let lines = [payment("ord-1"), payment("ord-2"), payment("ord-2")]
        .map(|event| event.to_string())
        .join("\n");

    let sent = place.run_reading(&lines, &["send", "-"]).good();
    let waiting = status(&place);
    let process = place.start(&["all"]);
    eventually("two orders", || (status(&place)["orders"] == 2).then_some(()));
    process.stop();

    assert_eq!(sent, "sent 3 messages from 1 of 1 files\n");
    assert_eq!(waiting["queues"], json!({"waybill.payments": 3}));
}

#[test]
fn of_a_file_with_a_defect_nothing_is_sent() {
    let place = embedded();
    place.write("good.json", &json!([payment("ord-1"), payment("ord-2")]).to_string());
    place.write(
        "bad.jsonl",
        &format!("{}\n\n{}\n", payment("ord-3"), malformed("ord-4")),
    );

    let ran = place.run(&["send", "bad.jsonl", "good.json"]);

    assert_eq!((ran.code, ran.out.as_str()), (1, "sent 2 messages from 1 of 2 files\n"));
    let mut lines = ran.err.lines();
    let defect = lines.next().unwrap();
    assert!(
        defect.starts_with("bad.jsonl:3: ") && defect.contains("data.items[0].quantity"),
        "{defect}"
    );
    assert_eq!(
        lines.next(),
        Some("waybill: nothing of bad.jsonl was sent, because of what is wrong there")
    );
    assert_eq!(status(&place)["queues"], json!({"waybill.payments": 2}));
}

#[test]
fn what_is_no_event_is_named_with_file_and_line() {
    let order = "0199a1b2-0000-7000-8000-000000000000";
    for (content, defect) in [
        (String::new(), "bad:1:1: there is no message in it"),
        ("{\n  \"a\": }".to_owned(), "bad:2:8: no JSON: expected value"),
        ("[1]".to_owned(), "bad:1: "),
        ("{}".to_owned(), "bad:1: "),
        (
            format!("\n{{\"delivery_order_id\": \"{order}\", \"event\": \"VANISHED\", \"key\": \"k\"}}"),
            "bad:2: event: no graph has \"VANISHED\"",
        ),
        (
            format!("{{\"delivery_order_id\": \"{order}\", \"event\": \"CANCELLED\"}}"),
            "bad:1: missing field `key`",
        ),
        ("{\"specversion\": \"1.0\"}".to_owned(), "bad:1: "),
    ] {
        let place = embedded();
        place.write("bad", &content);

        let ran = place.run(&["send", "bad"]);

        assert_eq!(
            (ran.code, ran.out.as_str()),
            (1, "sent 0 messages from 0 of 1 files\n"),
            "{content}"
        );
        assert!(ran.err.starts_with(defect), "{content}: {}", ran.err);
    }
}

#[test]
fn bytes_that_are_no_text_are_named_with_their_line() {
    let place = embedded();
    std::fs::write(place.path("bad"), b"{}\n\xff").unwrap();

    assert_eq!(
        place.run(&["send", "bad"]).refused(1),
        "bad:2: not UTF-8, expected JSON; nothing was sent"
    );
    assert!(
        place
            .run(&["send", "none.json"])
            .refused(2)
            .starts_with("cannot read none.json: ")
    );
}

#[test]
fn unchecked_sends_whatever_is_there() {
    let place = embedded();
    place.write("bad.json", &malformed("ord-1").to_string());
    place.write("worse.txt", "no JSON at all");

    let sent = place.run(&["send", "--unchecked", "bad.json", "worse.txt"]).good();

    assert_eq!(sent, "sent 2 messages from 2 of 2 files\n");
    assert_eq!(status(&place)["queues"], json!({"waybill.payments": 2}));
}

#[test]
fn an_event_about_an_order_goes_to_our_queue() {
    let place = embedded().set("WAYBILL_QUEUE", "ours");
    place.write(
        "cancel.json",
        r#"{"delivery_order_id": "0199a1b2-0000-7000-8000-000000000000", "event": "CANCELLED",
            "fields": {"cancel_reason": "CUSTOMER_REQUEST"}, "key": "ticket-17"}"#,
    );

    place.run(&["send", "cancel.json"]).good();

    assert_eq!(status(&place)["queues"], json!({"ours": 1}));
}

#[test]
fn a_broker_that_is_away_takes_nothing() {
    let place = Place::new().set("WAYBILL_BROKER_URL", "amqp://guest:hunter2@127.0.0.1:9/%2f");
    place.write("payment.json", &payment("ord-1").to_string());

    let line = place.run(&["send", "payment.json"]).refused(69);

    assert!(
        line.starts_with("no connection to RabbitMQ at amqp://guest:***@127.0.0.1:9/%2f within "),
        "{line}"
    );
    assert_eq!(place.files(), ["payment.json"], "nothing is made on the way");
}
