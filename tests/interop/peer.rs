//! The `celery` crate, where `make long` has built its peer.

use std::process::Command;
use std::time::Duration;

use serde_json::Value as Json;

use super::{dead, waybill};
use crate::cluster::{Backend, Cluster};
use crate::stage::{Stage, eventually};

/// Runs the peer, if there is one. Its old dependencies are not built by the normal tests.
fn peer(stage: &Stage, arguments: &[&str]) -> Option<String> {
    let program = std::env::var_os("WAYBILL_TEST_PEER")?;
    let mut command = Command::new(program);
    let ran = command
        .args(["--broker", stage.setting("WAYBILL_BROKER_URL")])
        .args(arguments)
        .output();
    let output = ran.expect("the peer runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).expect("it prints JSON"))
}

#[test]
fn what_the_celery_crate_sends_is_done() {
    if std::env::var_os("WAYBILL_TEST_PEER").is_none() {
        eprintln!("WAYBILL_TEST_PEER is not set: `make long` builds the peer");
        return;
    }
    let stage = waybill();

    let sent = peer(&stage, &["pay", "--count", "5", "--prefix", "rust"]).expect("a peer");
    let orders = eventually("five orders", Duration::from_secs(30), || {
        let found = stage
            .database
            .as_ref()
            .unwrap()
            .query("SELECT order_id FROM delivery_orders WHERE ordering_id LIKE 'rust-%'");
        let found: Vec<String> = found.lines().map(str::to_owned).collect();
        (found.len() == 5).then_some(found)
    });
    let state = |order: &str| {
        stage
            .database
            .as_ref()
            .unwrap()
            .query(&format!("SELECT state FROM instances WHERE id = '{order}'"))
    };
    eventually("it waits for its customer", Duration::from_secs(30), || {
        (state(&orders[0]) == "DELIVERED").then_some(())
    });
    let report = ["report", &orders[0], "OPERATOR_ESCALATED", "--key", "story-1"];
    peer(&stage, &report).expect("a peer");
    peer(&stage, &report).expect("a peer");

    assert_eq!(sent.lines().count(), 5);
    eventually("it waits for an operator", Duration::from_secs(30), || {
        (state(&orders[0]) == "PENDING_BY_OPERATOR").then_some(())
    });
    assert_eq!(dead(&stage).len(), 0);
}

#[test]
fn our_worker_runs_what_the_celery_crate_sends_and_the_crate_what_our_worker_sends() {
    let Some(program) = std::env::var_os("WAYBILL_TEST_PEER") else {
        eprintln!("WAYBILL_TEST_PEER is not set: `make long` builds the peer");
        return;
    };
    let mut cluster = Cluster::of_ours(Backend::Redis, "ours", &["-c", "2"]);
    let peer = |words: &[&str]| {
        let mut command = Command::new(&program);
        command.args(["--broker", cluster.broker()]).args(words);
        command
    };

    // The crate asks for no result: whoever knows the id finds it where ours has left it.
    let output = peer(&["--queue", "ours", "add", "--count", "3"]).output();
    let output = output.expect("the peer runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let sent = String::from_utf8(output.stdout).expect("it prints JSON");
    assert_eq!(sent.lines().count(), 3);
    for line in sent.lines() {
        let sent: Json = serde_json::from_str(line).expect("JSON");
        let id = sent["task_id"].as_str().expect("an id");
        let told = cluster.ask(&["result", id, "--wait", "20"]).json();
        assert_eq!((&told["state"], &told["result"]), (&"SUCCESS".into(), &sent["sum"]));
    }

    // The crate consumes classic queues only, and reads keyword arguments only.
    let work = peer(&["work", "crate"]);
    let worker = cluster.employ("peer", work);
    cluster.await_consumer("crate");
    cluster.prove("stories.py", &["linked", "--to", "crate"]);
    cluster.process(worker).wait_for("{\"sum\":42}");
}
