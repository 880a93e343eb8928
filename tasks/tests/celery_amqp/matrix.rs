//! What stops or silences a Python worker, on a real broker: all of it is set aside whole, and whoever waits is told.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use waybill_tasks::celery::message::{HeaderValue, Message};
use waybill_tasks::celery::protocol::Signature;
use waybill_tasks::celery::registry::{Call, Registry, TaskOptions};
use waybill_tasks::celery::transport::{Routing, Transport as _};
use waybill_tasks::celery::worker::Worker;

use super::consume::consume;
use super::publish::queue;
use crate::broker::{Queues, transport, until};
use crate::handlers::{Recorder, Shelf};

type Spoil = fn(&mut Message);

const MATRIX: &[(Spoil, &str, &str)] = &[
    (|it| it.body = b"[[1,2],{}]".to_vec(), "body-two-elements", "ValueError"),
    (|it| it.body = b"5".to_vec(), "body-not-list", "TypeError"),
    (|it| it.body.clear(), "body-empty", "DecodeError"),
    (|it| drop(it.headers.remove("id")), "missing-id", "KeyError"),
    (
        |it| set(it, "timelimit", HeaderValue::Int(5)),
        "bad-timelimit",
        "TypeError",
    ),
    (|it| it.body = b"[[".to_vec(), "body-not-json", "DecodeError"),
    (
        |it| it.body = b"[[\"\xff\"],{},{}]".to_vec(),
        "body-not-utf8",
        "DecodeError",
    ),
    (
        |it| set(it, "compression", "application/x-rar".into()),
        "unknown-compression",
        "DecodeError",
    ),
    (
        |it| set(it, "compression", "application/x-gzip".into()),
        "bad-compression",
        "DecodeError",
    ),
    (
        |it| it.properties.content_type = Some("text/plain".into()),
        "unsupported-content-type",
        "ContentDisallowed",
    ),
    (|it| set(it, "eta", "soon".into()), "bad-eta", "InvalidTaskError"),
    (|it| set(it, "eta", HeaderValue::Int(5)), "bad-eta", "InvalidTaskError"),
    (
        |it| drop(it.headers.remove("task")),
        "unknown-message",
        "InvalidTaskError",
    ),
    (|it| set(it, "task", "dance".into()), "unknown-task", "NotRegistered"),
    (|it| it.body = b"[5,{},{}]".to_vec(), "args-not-list", "TypeError"),
    (
        |it| it.body = b"[[],[],{}]".to_vec(),
        "kwargs-not-object",
        "InvalidTaskError",
    ),
    (
        |it| it.body = br#"[[],{},{"callbacks":["x"]}]"#.to_vec(),
        "bad-embed",
        "AttributeError",
    ),
];

fn set(message: &mut Message, name: &str, value: HeaderValue) {
    message.headers.insert(name.to_owned(), value);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stops_or_silences_a_python_worker_is_set_aside_whole_and_told() {
    let (transport, mut queues) = (transport().await, Queues::new().await);
    let (name, replies) = (queues.quorum().await, queues.classic().await);
    let (shelf, recorder) = (Arc::new(Shelf::default()), Arc::new(Recorder::new()));
    let echo = |call: Call<()>| async move { Ok(json!(call.request.args)) };
    let registry = Registry::new(Arc::new(())).function("echo", TaskOptions::default(), echo);
    let worker = Arc::new(Worker::new(registry, transport.clone(), shelf.clone()));
    let good = |id: usize| {
        Signature::new("echo")
            .id(id)
            .queue(&name)
            .reply_to(&replies)
            .into_message()
    };
    let mut sent = Vec::new();
    for (id, (spoil, ..)) in MATRIX.iter().enumerate() {
        let mut message = good(id);
        spoil(&mut message);
        sent.push(message);
    }
    sent.push(good(MATRIX.len()));
    for message in &sent {
        transport.publish(message.clone(), Routing::Mandatory).await.unwrap();
    }
    let stop = CancellationToken::new();
    let consuming = [
        consume(&transport, queue(&name, 4), worker, &stop),
        consume(&transport, queue(&replies, 4), recorder.clone(), &stop),
    ];

    until("all answers", Duration::from_secs(20), async || {
        recorder.count() == sent.len()
    })
    .await;
    stop.cancel();
    for consuming in consuming {
        consuming.await.unwrap();
    }
    assert_eq!(transport.queue_exists(&name).await.unwrap().unwrap().messages, 0);
    let answers: Vec<Value> = recorder
        .bodies()
        .iter()
        .map(|body| serde_json::from_str(body).unwrap())
        .collect();
    let rejected = std::mem::take(&mut *shelf.rejected.lock().unwrap());
    for (id, (_, reason, exc_type)) in MATRIX.iter().enumerate() {
        let name = id.to_string();
        let kept = rejected
            .iter()
            .find(|it| it.delivery.message.properties.message_id == Some(name.clone()))
            .unwrap();
        let answer = answers
            .iter()
            .find(|answer| answer["task_id"] == name.as_str())
            .unwrap();
        assert_eq!((kept.reason, &kept.delivery.message), (*reason, &sent[id]));
        assert_eq!(
            (&answer["status"], &answer["result"]["exc_type"]),
            (&json!("FAILURE"), &json!(exc_type)),
            "{reason}"
        );
    }
    assert_eq!(rejected.len(), MATRIX.len());
    transport.close().await;
    queues.clean_up().await;
}
