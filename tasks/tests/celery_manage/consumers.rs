//! Queues that come and go by remote control.

use std::time::Duration;

use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, options::ExchangeDeleteOptions};
use serde_json::json;
use uuid::Uuid;
use waybill_tasks::celery::protocol::Signature;

use crate::broker::{Queues, consumed, until};
use crate::client::Client;
use crate::node::{Node, name};

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_added_with_its_exchange_and_taken_away_again() {
    let mut queues = Queues::new().await;
    let (first, second) = (queues.classic().await, queues.name());
    let exchange = format!("waybill-test-{}", Uuid::new_v4());
    let node = Node::start(&name(), &[&first], 2).await;
    let mut client = Client::connect().await;
    consumed(&node.transport, &first).await;
    node.listens().await;

    let arguments =
        json!({"queue": second, "exchange": exchange, "exchange_type": "topic", "routing_key": "reports.#"});
    let added = client.ask(&node.name, "add_consumer", arguments).await.unwrap();
    assert_eq!(added, json!({"ok": format!("add consumer {second}")}));
    consumed(&node.transport, &second).await;
    let shown = client.ask(&node.name, "active_queues", json!({})).await.unwrap();
    let shown = shown
        .as_array()
        .unwrap()
        .iter()
        .find(|queue| queue["name"] == second.as_str())
        .unwrap()
        .clone();
    assert_eq!(
        (&shown["exchange"]["name"], &shown["exchange"]["type"]),
        (&json!(exchange), &json!("topic"))
    );
    let message = Signature::new("test.wait").id("r").into_message();
    let channel = queues.channel().await;
    let mut headers = lapin::types::FieldTable::default();
    for name in ["task", "id"] {
        let text = if name == "task" { "test.wait" } else { "r" };
        headers.insert(name.into(), lapin::types::AMQPValue::LongString(text.into()));
    }
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_headers(headers);
    let options = BasicPublishOptions::default();
    channel
        .basic_publish(
            exchange.as_str().into(),
            "reports.daily".into(),
            options,
            &message.body,
            properties,
        )
        .await
        .unwrap();
    until("it runs", Duration::from_secs(10), async || {
        node.state.active().len() == 1
    })
    .await;
    node.gate.0.add_permits(1);

    let left = client
        .ask(&node.name, "cancel_consumer", json!({"queue": second}))
        .await
        .unwrap();
    assert_eq!(left, json!({"ok": format!("no longer consuming from {second}")}));
    until("nobody consumes it", Duration::from_secs(10), async || {
        node.transport.queue_exists(&second).await.unwrap().unwrap().consumers == 0
    })
    .await;
    let names: Vec<String> = node.state.queues().list().into_iter().map(|queue| queue.name).collect();
    assert_eq!(names, std::slice::from_ref(&first));

    channel
        .exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default())
        .await
        .unwrap();
    node.stop().await;
    queues.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_larger_pool_has_more_messages_in_hand() {
    let mut queues = Queues::new().await;
    let queue = queues.quorum().await;
    let node = Node::start(&name(), &[&queue], 1).await;
    for id in ["a", "b", "c", "d"] {
        node.send(&queue, id).await;
    }
    until("one runs", Duration::from_secs(10), async || {
        node.state.active().len() == 1
    })
    .await;

    node.state.pool().grow(2);

    until("three run", Duration::from_secs(10), async || {
        node.state.active().len() == 3
    })
    .await;
    node.gate.0.add_permits(4);
    until("all are done", Duration::from_secs(10), async || {
        node.state.processed() == 4 && node.state.counts() == (0, 0)
    })
    .await;
    node.stop().await;
    queues.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_takes_longer_than_a_stop_allows_is_not_done_twice_because_the_pool_grew() {
    let mut queues = Queues::new().await;
    let queue = queues.quorum().await;
    let node = Node::start(&name(), &[&queue], 1).await;
    node.send(&queue, "a").await;
    until("it runs", Duration::from_secs(10), async || {
        node.state.active().len() == 1
    })
    .await;

    node.state.pool().grow(1);
    // What stops with the process gives its messages back after 25 seconds.
    tokio::time::sleep(Duration::from_secs(28)).await;

    assert_eq!(node.state.active().len(), 1);
    node.send(&queue, "b").await;
    until("the next runs beside it", Duration::from_secs(10), async || {
        node.state.active().len() == 2
    })
    .await;
    node.gate.0.add_permits(2);
    until("both are done", Duration::from_secs(10), async || {
        node.state.processed() == 2 && node.state.counts() == (0, 0)
    })
    .await;
    until("the first consumer is gone", Duration::from_secs(10), async || {
        let status = node.transport.queue_exists(&queue).await.unwrap().unwrap();
        (status.consumers, status.messages) == (1, 0)
    })
    .await;
    node.stop().await;
    queues.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_follows_the_work_sees_that_there_is_more() {
    let mut queues = Queues::new().await;
    let queue = queues.quorum().await;
    let node = Node::start(&name(), &[&queue], 1).await;
    node.state.pool().autoscale_between(1, 1);
    for id in ["a", "b", "c", "d"] {
        node.send(&queue, id).await;
    }
    until("one runs", Duration::from_secs(10), async || {
        node.state.active().len() == 1
    })
    .await;

    node.state.pool().rescale(Some(3), None);

    until("three run", Duration::from_secs(10), async || {
        node.state.active().len() == 3
    })
    .await;
    node.gate.0.add_permits(4);
    node.stop().await;
    queues.clean_up().await;
}
