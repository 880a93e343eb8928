//! Events: what happens is told, in order, and only while somebody wants to know of tasks.

use serde_json::{Value, json};
use waybill_tasks::celery::protocol::Signature;
use waybill_tasks::celery::transport::Routing;

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

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_is_told_by_whoever_sends_it() {
    let mut queues = Queues::new().await;
    let queue = queues.classic().await;
    let client = Client::connect().await;
    let node = name();
    let mut watch = client.watch(&node).await;
    let node = Node::start(&node, &[&queue], 4).await;
    node.gate.0.add_permits(10);
    watch.until("it lives", |seen| !seen.is_empty()).await;
    let signature = Signature::new("test.wait").id("child").queue(&queue);
    let message = signature.args(vec![json!(7)]).into_message();

    node.telling.publish(message.clone(), Routing::Mandatory).await.unwrap();
    node.state.enable_events(true);
    node.telling.publish(message, Routing::Mandatory).await.unwrap();
    let is_sent = |event: &Value| event["type"] == "task-sent";
    watch.until("it was sent", |seen| seen.iter().any(is_sent)).await;
    watch
        .until("it ended", |seen| {
            seen.iter().any(|event| event["type"] == "task-succeeded")
        })
        .await;

    let sent: Vec<&Value> = watch.seen.iter().filter(|event| is_sent(event)).collect();
    assert_eq!(sent.len(), 1, "the first one was sent before anybody wanted to know");
    let told = |name: &str| &sent[0][name];
    assert_eq!((told("uuid"), told("name")), (&json!("child"), &json!("test.wait")));
    assert_eq!((told("root_id"), told("parent_id")), (&json!("child"), &Value::Null));
    assert_eq!((told("args"), told("kwargs")), (&json!("(7,)"), &json!("{}")));
    assert_eq!(
        (told("queue"), told("routing_key"), told("exchange")),
        (&json!(queue), &json!(queue), &json!(""))
    );
    assert_eq!(
        (told("retries"), told("eta"), told("expires")),
        (&json!(0), &Value::Null, &Value::Null)
    );
    node.stop().await;
    queues.clean_up().await;
}
