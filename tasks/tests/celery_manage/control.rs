//! Remote control: whoever is asked answers, at once, under a name that only one has.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::broker::{Queues, until};
use crate::client::Client;
use crate::node::{Node, name};

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_all_its_places_busy_answers_and_is_managed() {
    let mut queues = Queues::new().await;
    let queue = queues.classic().await;
    let node = Node::start(&name(), &[&queue], 1).await;
    let mut client = Client::connect().await;
    for id in ["a", "b", "c"] {
        node.send(&queue, id).await;
    }
    until("one runs", Duration::from_secs(10), async || {
        node.state.active().len() == 1
    })
    .await;

    let asked = Instant::now();
    let pong = client.ask(&node.name, "ping", json!({})).await.unwrap();
    let active = client.ask(&node.name, "active", json!({})).await.unwrap();
    let unknown = client.ask(&node.name, "nosuch", json!({})).await.unwrap();
    assert!(asked.elapsed() < Duration::from_secs(3), "three answers");
    let grown = client.ask(&node.name, "pool_grow", json!({"n": 2})).await.unwrap();

    assert_eq!(pong, json!({"ok": "pong"}));
    assert_eq!(unknown, json!({"error": "KeyError('nosuch')"}));
    let info = &active[0];
    assert_eq!(
        (&info["name"], &info["hostname"]),
        (&json!("test.wait"), &json!(node.name))
    );
    assert_eq!(
        info["delivery_info"],
        json!({"exchange": "", "routing_key": queue, "priority": null, "redelivered": false})
    );
    assert_eq!(grown, json!({"ok": "pool will grow"}));
    until("three run", Duration::from_secs(10), async || {
        node.state.active().len() == 3
    })
    .await;
    let id = node.state.active()[0].request().id.clone();
    let ended = client
        .ask(&node.name, "revoke", json!({"task_id": [id], "terminate": true}))
        .await
        .unwrap();
    assert_eq!(ended, json!({"ok": format!("terminate: {id}")}));
    until("it is ended", Duration::from_secs(10), async || {
        node.state.find(&id).is_empty()
    })
    .await;

    node.stop().await;
    queues.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_meant_is_silent_and_all_are_meant_by_nobodys_name() {
    let node = Node::start(&name(), &[], 1).await;
    let mut client = Client::connect().await;
    node.listens().await;

    let other = client.broadcast(json!(["somebody@else"]), "ping", &json!({})).await;
    assert_eq!(client.answer(&node.name, &other).await, None);
    let all = client.broadcast(Value::Null, "ping", &json!({})).await;
    assert_eq!(client.answer(&node.name, &all).await, Some(json!({"ok": "pong"})));

    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neighbours_tell_each_other_what_is_revoked_and_a_name_goes_over_when_its_owner_is_gone() {
    let shared = name();
    let first = Node::start(&shared, &[], 1).await;
    let mut client = Client::connect().await;
    until("the first answers", Duration::from_secs(10), async || {
        Client::connect().await.ask(&shared, "ping", json!({})).await.is_some()
    })
    .await;
    let revoked = client.ask(&shared, "revoke", json!({"task_id": "x"})).await.unwrap();
    assert_eq!(revoked, json!({"ok": "tasks {'x'} flagged as revoked"}));

    let neighbour = Node::start(&name(), &[], 1).await;
    assert!(neighbour.state.revoked_ids().contains(&"x".to_owned()));
    assert!(
        neighbour.state.clock().now() > 1000,
        "the client's clock came over the first one's"
    );
    let second = Node::start(&shared, &[], 1).await;
    second.state.revoke(["mark"]);
    first.stop().await;

    until("the second answers", Duration::from_secs(20), async || {
        let told = Client::connect().await.ask(&shared, "revoked", json!({})).await;
        told.is_some_and(|told| told.as_array().unwrap().contains(&json!("mark")))
    })
    .await;
    let client = Client::connect().await;
    client.broadcast(json!([shared]), "shutdown", &json!({})).await;
    until("it was told to stop", Duration::from_secs(10), async || {
        second.state.stop().is_cancelled()
    })
    .await;
    assert!(!neighbour.state.stop().is_cancelled());

    second.stop().await;
    neighbour.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_takes_its_time_is_not_held_up_by_a_command_that_wants_none() {
    let node = Node::start(&name(), &[], 1).await;
    let mut client = Client::connect().await;
    node.listens().await;

    // Both ask the store, the one that nobody hears of is done first.
    client.tell(&node.name, "query_task", &json!({"ids": ["t-1"]})).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let scheduled = client.ask(&node.name, "scheduled", json!({})).await;

    assert_eq!(scheduled, Some(json!([])));
    node.stop().await;
}
