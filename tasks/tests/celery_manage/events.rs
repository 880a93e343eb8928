//! Events: what happens is told, in order, and only while somebody wants to know of tasks.

use serde_json::{Value, json};

use crate::broker::Queues;
use crate::client::Client;
use crate::node::{Node, name};

#[tokio::test(flavor = "multi_thread")]
async fn a_workers_life_and_its_tasks_are_told_in_order() {
    let mut queues = Queues::new().await;
    let queue = queues.classic().await;
    let mut client = Client::connect().await;
    let node = name();
    let mut watch = client.watch(&node).await;
    let node = Node::start(&node, &[&queue], 4).await;
    node.gate.0.add_permits(10);
    let has = |kind: &'static str| move |seen: &[Value]| seen.iter().any(|event| event["type"] == kind);

    watch.until("it lives", has("worker-heartbeat")).await;
    node.send(&queue, "before").await;
    let mut told = client.ask(&node.name, "enable_events", json!({})).await;
    while told.is_none() {
        told = client.ask(&node.name, "enable_events", json!({})).await;
    }
    node.send(&queue, "after").await;
    watch.until("a task's end", has("task-succeeded")).await;
    let nodename = node.name.clone();
    node.stop().await;
    watch.until("its end", has("worker-offline")).await;

    assert_eq!(watch.types()[0], "worker-online");
    let of_task = |event: &&Value| event["uuid"] == "after";
    let tasks: Vec<&Value> = watch.seen.iter().filter(of_task).collect();
    let types: Vec<&str> = tasks.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["task-received", "task-started", "task-succeeded"]);
    assert_eq!(
        (&tasks[0]["name"], &tasks[2]["result"]),
        (&json!("test.wait"), &json!("'after'"))
    );
    let clocks: Vec<u64> = watch
        .seen
        .iter()
        .map(|event| event["clock"].as_u64().unwrap())
        .collect();
    assert!(
        tasks
            .windows(2)
            .all(|pair| pair[0]["clock"].as_u64() < pair[1]["clock"].as_u64()),
        "{clocks:?}"
    );
    assert!(watch.seen.iter().all(|event| event["hostname"] == nodename.as_str()));
    queues.clean_up().await;
}
