//! Everything that stops or silences a Python worker: its sender is told, and it is kept whole, listed, and sent again as it was.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use super::{dead, waybill};
use crate::cluster::{Backend, Cluster};
use crate::stage::Stage;

const SENDS: &str = "tests/interop/python/refused.py";

#[test]
fn what_stops_or_silences_a_python_worker_is_told_kept_whole_listed_and_sent_again() {
    let mut stage = waybill();
    let task = "waybill.create_delivery_order";

    let told = stage.run_python(SENDS, &["--backend", "rpc://", "--queue", "waybill", "--task", task]);
    let sent = lines(&told.good());
    for row in &sent {
        assert_eq!(row["got"], row["expected"], "what the sender gets of: {}", row["row"]);
    }
    let refused: Vec<&Json> = sent.iter().filter(|row| !row["reason"].is_null()).collect();
    assert!(refused.len() > 20 && sent.len() > refused.len());

    let kept: Vec<Json> = dead(&stage).iter().map(|listed| shown(&stage, listed)).collect();
    assert_eq!(kept.len(), refused.len());
    for row in &refused {
        let found = kept.iter().find(|kept| is_of(row, &kept["message"]["properties"]));
        let found = found.unwrap_or_else(|| panic!("it is not listed: {}", row["row"]));
        assert_eq!(
            (&found["reason"], &found["queue"], &found["task_id"]),
            (&row["reason"], &json!("waybill"), &row["id"]),
            "{}",
            row["row"]
        );
        let message = &found["message"];
        assert_eq!(message["properties"], row["properties"], "{}", row["row"]);
        assert_eq!(message["headers"], row["headers"], "{}", row["row"]);
        assert_eq!(body(message), row["base64"].as_str().unwrap(), "{}", row["row"]);
    }

    assert_eq!(stage.process(1).stop(), 0, "now nobody consumes");
    let replayed = stage.run(&["dead", "replay", "--filter", "queue=waybill", "--yes"]);
    assert_eq!(
        replayed.good(),
        format!("sent {0} of {0} again\n", refused.len()),
        "all of them"
    );
    assert_eq!(dead(&stage).len(), 0, "they are no longer listed");
    let count = refused.len().to_string();
    let got = stage.run_python(
        "tests/interop/python/peer.py",
        &["--queue", "waybill", "get", "--count", &count],
    );
    let mut got = lines(&got.good());
    for got in &mut got {
        // The quorum queue's own.
        got["headers"]
            .as_object_mut()
            .expect("headers")
            .remove("x-delivery-count");
    }
    for row in &refused {
        let again = got.iter().find(|got| is_of(row, &got["properties"]));
        let again = again.unwrap_or_else(|| panic!("it was not sent again: {}", row["row"]));
        for part in ["properties", "headers", "base64"] {
            assert_eq!(again[part], row[part], "{part} of: {}", row["row"]);
        }
    }
}

#[test]
fn who_sent_what_a_python_worker_answers_with_a_failure_gets_the_same_failure_of_ours() {
    let cluster = Cluster::of_both(Backend::Redis);
    let send = |queue| cluster.run("refused.py", &["--queue", queue, "--task", "interop.add", "--answered"]);

    let (ours, python) = (lines(&send("ours").good()), lines(&send("python").good()));

    assert_eq!(ours.len(), 5);
    for (ours, python) in ours.iter().zip(&python) {
        assert_eq!(
            (&ours["got"], &ours["expected"]),
            (&python["got"], &python["got"]),
            "{}",
            ours["row"]
        );
    }
}

fn lines(out: &str) -> Vec<Json> {
    let lines = out.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    lines.collect()
}

/// The message whole, as an operator sees it.
fn shown(stage: &Stage, listed: &Json) -> Json {
    let id = listed["id"].as_str().expect("an id");
    stage.run(&["dead", "show", id, "--json", "--whole"]).json()
}

fn is_of(row: &Json, properties: &Json) -> bool {
    properties["message_id"] == row["properties"]["message_id"]
}

/// The body in base64, which is how those are shown anyway that are no text.
fn body(message: &Json) -> String {
    let body = message["body"].as_str().expect("a body");
    match message["body_encoding"].as_str() {
        Some("base64") => body.to_owned(),
        _ => STANDARD.encode(body),
    }
}
