//! The worker on RabbitMQ: every message ends as a result, on the keeper's shelf, or back in the queue.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use waybill_tasks::celery::message::{HeaderValue, Message};
use waybill_tasks::celery::protocol::{Request, Signature};
use waybill_tasks::celery::registry::{Registry, Task, TaskError};
use waybill_tasks::celery::state::WorkerState;
use waybill_tasks::celery::transport::{Delivery, Handler as _, Routing, Transport as _, Verdict};
use waybill_tasks::celery::worker::Worker;

use super::consume::consume;
use super::publish::queue;
use crate::broker::{Queues, transport, until};
use crate::handlers::{Recorder, Shelf};

#[derive(Deserialize)]
struct Add {
    x: i64,
    y: i64,
}

impl Task<()> for Add {
    const NAME: &'static str = "math.add";

    async fn run(self, (): &(), _request: &Request) -> Result<Value, TaskError> {
        if self.y == 13 {
            return Err(TaskError::retry(Duration::from_secs(60), "thirteen"));
        }
        assert!(self.y != 0, "nothing to add");
        Ok(json!(self.x + self.y))
    }
}

fn add(queue: &str, reply_to: &str, x: Value, y: Value) -> Message {
    let signature = Signature::new("math.add").kwargs(json!({"x": x, "y": y}));
    signature.queue(queue).reply_to(reply_to).into_message()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_finds_its_place_and_every_sender_its_result() {
    let (transport, mut queues) = (transport().await, Queues::new().await);
    let (name, replies) = (queues.classic().await, queues.classic().await);
    let shelf = Arc::new(Shelf::default());
    let registry = Registry::new(Arc::new(())).register::<Add>();
    let worker = Arc::new(Worker::new(registry, transport.clone(), shelf.clone()));
    let recorder = Arc::new(Recorder::new());
    let stop = CancellationToken::new();
    let mut pickled = add(&name, &replies, json!(1), json!(2));
    pickled.properties.content_type = Some("application/x-python-serialize".to_owned());
    let mut broken = add(&name, &replies, json!(1), json!(2));
    broken.body = b"[[], {\"x\": NaN, \"y\": 2}, {}]".to_vec();
    let later = Signature::new("math.add")
        .queue(&name)
        .eta(Utc::now() + TimeDelta::hours(1));
    let stale = Signature::new("math.add")
        .queue(&name)
        .reply_to(&replies)
        .expires(Utc::now() - TimeDelta::hours(1));
    let mut stale = stale.into_message();
    stale.properties.expiration = None;
    let messages = [
        add(&name, &replies, json!(1), json!(2)),
        add(&name, &replies, json!(1), json!("two")),
        add(&name, &replies, json!(1), json!(0)),
        add(&name, &replies, json!(1), json!(13)),
        Signature::new("math.divide")
            .queue(&name)
            .reply_to(&replies)
            .into_message(),
        later.into_message(),
        stale,
        pickled,
        broken,
    ];

    for message in messages {
        transport.publish(message, Routing::Mandatory).await.unwrap();
    }
    let consuming = [
        consume(&transport, queue(&name, 4), worker, &stop),
        consume(&transport, queue(&replies, 4), recorder.clone(), &stop),
    ];

    until("eight results", Duration::from_secs(10), async || recorder.count() == 8).await;
    stop.cancel();
    for consuming in consuming {
        consuming.await.unwrap();
    }
    assert_eq!(transport.queue_exists(&name).await.unwrap().unwrap().messages, 0);
    let expected = [
        "body-not-json",
        "task-panicked",
        "unknown-task",
        "unsupported-content-type",
        "wrong-arguments",
    ];
    assert_eq!(shelf.reasons(), expected);
    assert_eq!(shelf.parked.lock().unwrap().len(), 2);
    let mut ends: Vec<_> = recorder.bodies().iter().map(|body| end(body)).collect();
    ends.sort();
    assert_eq!(
        ends,
        [
            "FAILURE ContentDisallowed",
            "FAILURE DecodeError",
            "FAILURE NotRegistered",
            "FAILURE RuntimeError",
            "FAILURE TypeError",
            "RETRY RuntimeError",
            "REVOKED TaskRevokedError",
            "SUCCESS 3",
        ]
    );
    transport.close().await;
    queues.clean_up().await;
}

fn end(body: &str) -> String {
    let meta: Value = serde_json::from_str(body).unwrap();
    let result = meta["result"].get("exc_type").unwrap_or(&meta["result"]);
    let result = result.as_str().map_or_else(|| result.to_string(), str::to_owned);
    format!("{} {result}", meta["status"].as_str().unwrap())
}

/// Takes a moment, and tells when it began.
#[derive(Deserialize)]
struct Note {
    number: u32,
}

impl Task<Mutex<Vec<u32>>> for Note {
    const NAME: &'static str = "line.note";

    async fn run(self, begun: &Mutex<Vec<u32>>, _request: &Request) -> Result<Value, TaskError> {
        begun.lock().unwrap().push(self.number);
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok(Value::Null)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_at_a_time_begins_in_the_order_of_the_queue() {
    const COUNT: u32 = 300;
    let (transport, mut queues) = (transport().await, Queues::new().await);
    let name = queues.classic().await;
    for number in 0..COUNT {
        let note = Signature::new("line.note").kwargs(json!({"number": number}));
        let message = note.queue(&name).into_message();
        transport.publish(message, Routing::Mandatory).await.unwrap();
    }
    let begun = Arc::new(Mutex::new(Vec::new()));
    let registry = Registry::new(begun.clone()).register::<Note>();
    let worker = Worker::new(registry, transport.clone(), Arc::new(Shelf::default()))
        .with_state(WorkerState::new("one@line", 1));
    let stop = CancellationToken::new();

    let consuming = consume(&transport, queue(&name, 8), Arc::new(worker), &stop);

    until("all", Duration::from_secs(20), async || {
        begun.lock().unwrap().len() == COUNT as usize
    })
    .await;
    stop.cancel();
    consuming.await.unwrap();
    let begun = begun.lock().unwrap().clone();
    let early: Vec<_> = begun.windows(2).filter(|pair| pair[0] > pair[1]).collect();
    assert!(early.is_empty(), "these began before those that came first: {early:?}");
    transport.close().await;
    queues.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_user_has_sent_with_copies_comes_again_later_and_without_them() {
    let (transport, mut queues) = (transport().await, Queues::new().await);
    let (name, copies) = (queues.classic().await, queues.classic().await);
    let shelf = Arc::new(Shelf::default());
    let registry = Registry::new(Arc::new(())).register::<Add>();
    let worker = Worker::new(registry, transport.clone(), shelf.clone());
    let later = Signature::new("math.add")
        .queue(&name)
        .eta(Utc::now() + TimeDelta::hours(1));
    for mut message in [add(&name, "", json!(1), json!(13)), later.into_message()] {
        message.properties.user_id = Some("somebody".to_owned());
        let copies = HeaderValue::List(vec![copies.as_str().into()]);
        message.headers.insert("CC".to_owned(), copies);
        let delivery = Delivery {
            queue: name.clone(),
            message,
            redelivered: false,
        };
        assert_eq!(worker.handle(&delivery).await, Verdict::Ack);
    }

    let parked: Vec<_> = shelf.parked.lock().unwrap().drain(..).collect();
    for (parked, _) in parked {
        transport.publish(parked.message, Routing::Mandatory).await.unwrap();
    }

    let waiting = async |name: &str| transport.queue_exists(name).await.unwrap().unwrap().messages;
    assert_eq!((waiting(&name).await, waiting(&copies).await), (2, 0));
    transport.close().await;
    queues.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_callback_can_never_be_published_fails_and_does_not_run_again() {
    let (transport, mut queues) = (transport().await, Queues::new().await);
    let replies = queues.classic().await;
    let registry = Registry::new(Arc::new(())).register::<Add>();
    let worker = Worker::new(registry, transport.clone(), Arc::new(Shelf::default()));
    let recorder = Arc::new(Recorder::new());
    let stop = CancellationToken::new();
    let consuming = consume(&transport, queue(&replies, 4), recorder.clone(), &stop);

    for options in [
        json!({"queue": replies, "task_id": "x".repeat(300)}),
        json!({"queue": "q".repeat(300)}),
        json!({"queue": replies, "headers": {"CC": "x"}}),
        json!({"queue": replies, "headers": {"long": "x".repeat(300_000)}}),
    ] {
        let callback = json!({"task": "next", "args": [], "kwargs": {}, "options": options});
        let mut message = add("q", &replies, json!(1), json!(2));
        let body = json!([[], {"x": 1, "y": 2}, {"callbacks": [callback]}]);
        message.body = body.to_string().into_bytes();
        let delivery = Delivery {
            queue: "q".to_owned(),
            message,
            redelivered: false,
        };
        assert_eq!(worker.handle(&delivery).await, Verdict::Ack);
    }

    until("four results", Duration::from_secs(5), async || recorder.count() == 4).await;
    stop.cancel();
    consuming.await.unwrap();
    for body in recorder.bodies() {
        assert_eq!(end(&body), "FAILURE OperationalError");
    }
    transport.close().await;
    queues.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_acknowledged_while_the_keeper_is_away() {
    let (transport, mut queues) = (transport().await, Queues::new().await);
    let name = queues.classic().await;
    let shelf = Arc::new(Shelf::default());
    shelf.away.store(true, Ordering::SeqCst);
    let registry = Registry::new(Arc::new(())).register::<Add>();
    let worker = Arc::new(Worker::new(registry, transport.clone(), shelf.clone()));
    let stop = CancellationToken::new();
    for _ in 0..3 {
        let unknown = Signature::new("math.divide").queue(&name).into_message();
        transport.publish(unknown, Routing::Mandatory).await.unwrap();
    }

    let consuming = consume(&transport, queue(&name, 2), worker, &stop);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(shelf.reasons().is_empty());
    shelf.away.store(false, Ordering::SeqCst);

    until("all three", Duration::from_secs(15), async || {
        shelf.reasons().len() == 3
    })
    .await;
    stop.cancel();
    consuming.await.unwrap();
    assert_eq!(transport.queue_exists(&name).await.unwrap().unwrap().messages, 0);
    transport.close().await;
    queues.clean_up().await;
}
