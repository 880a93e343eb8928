//! A stock Python Celery on the other side: it cannot tell.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "support/broker.rs"]
#[expect(dead_code, reason = "for all tests on RabbitMQ")]
mod broker;
#[path = "support/handlers.rs"]
mod handlers;

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use waybill_tasks::celery::message::{HeaderValue, Properties};
use waybill_tasks::celery::protocol::{Request, Signature};
use waybill_tasks::celery::registry::{Exception, Registry, Task, TaskError};
use waybill_tasks::celery::transport::{Queue, Routing, Transport as _};
use waybill_tasks::celery::worker::Worker;

use broker::{Queues, transport, until, url};
use handlers::{Recorder, Shelf};

#[derive(Deserialize)]
struct Add {
    x: i64,
    y: i64,
}

impl Task<()> for Add {
    const NAME: &'static str = "math.add";

    async fn run(self, (): &(), _request: &Request) -> Result<Value, TaskError> {
        if self.y == 0 {
            return Err(Exception::builtin("ValueError", "nothing to add").into());
        }
        Ok(json!(self.x + self.y))
    }
}

fn python(mode: &str, queue: &str) -> Command {
    let python = std::env::var("WAYBILL_TEST_PYTHON");
    let python = python.expect("WAYBILL_TEST_PYTHON is not set: run `make test`, which makes a Python with Celery");
    let mut command = Command::new(python);
    let peer = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/celery_python/peer.py");
    command.args([peer, mode, &url(), queue]).kill_on_drop(true);
    command
}

fn queue(name: &str) -> Queue {
    Queue {
        name: name.to_owned(),
        bindings: Vec::new(),
        prefetch: 4,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_python_sends_is_done_and_python_gets_its_results_and_exceptions() {
    let (transport, mut queues) = (transport().await, Queues::new().await);
    let name = queues.quorum().await;
    let shelf = Arc::new(Shelf::default());
    let registry = Registry::new(Arc::new(())).register::<Add>();
    let worker = Arc::new(Worker::new(registry, transport.clone(), shelf.clone()));
    let stop = CancellationToken::new();
    let consuming = transport.consume(queue(&name), worker, stop.clone().into());

    let sending = async {
        let output = python("send", &name).output().await.unwrap();
        stop.cancel();
        output
    };
    let (output, ()) = tokio::join!(sending, consuming);

    let errors = String::from_utf8_lossy(&output.stderr);
    let answers: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{errors}"));
    assert_eq!(answers[0], json!(["math.add", "SUCCESS", 5]));
    assert_eq!(answers[1], json!(["math.add", "SUCCESS", 7]));
    let wrong = "math.add() body[1].y: invalid type: string, expected i64";
    assert_eq!(answers[2], json!(["math.add", "FAILURE", "TypeError", wrong]));
    assert_eq!(answers[3][2], "TypeError");
    assert_eq!(
        answers[4],
        json!(["math.add", "FAILURE", "ValueError", "nothing to add"])
    );
    assert_eq!(answers[5][2], "NotRegistered");
    assert_eq!(answers[6][2], "ContentDisallowed");
    let compressed = &answers.as_array().unwrap()[7..];
    assert!(
        compressed.len() >= 3,
        "zlib, bzip2 and lzma are in every Python: {answers}"
    );
    for answer in compressed {
        assert_eq!(*answer, json!(["math.add", "SUCCESS", 5]));
    }
    let reasons = [
        "unknown-task",
        "unsupported-content-type",
        "wrong-arguments",
        "wrong-arguments",
    ];
    assert_eq!(shelf.reasons(), reasons);
    assert_eq!(transport.queue_exists(&name).await.unwrap().unwrap().messages, 0);
    transport.close().await;
    queues.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_we_send_python_does_and_we_get_its_result() {
    let (transport, mut queues) = (transport().await, Queues::new().await);
    let (name, replies) = (queues.quorum().await, queues.quorum().await);
    let mut worker = python("work", &name)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let recorder = Arc::new(Recorder::new());
    let stop = CancellationToken::new();
    let consuming = transport.consume(queue(&replies), recorder.clone(), stop.clone().into());
    let signature = Signature::new("math.multiply")
        .id("our-id")
        .kwargs(json!({"x": 6, "y": 7}));
    let signature = signature
        .queue(&name)
        .reply_to(&replies)
        .header("traceparent", "00-abc");

    let asking = async {
        transport
            .publish(signature.into_message(), Routing::Mandatory)
            .await
            .unwrap();
        until("a result", Duration::from_secs(30), async || recorder.count() == 1).await;
        stop.cancel();
    };
    tokio::join!(asking, consuming);

    worker.kill().await.unwrap();
    let meta: Value = serde_json::from_str(&recorder.bodies()[0]).unwrap();
    assert_eq!(
        (&meta["status"], &meta["task_id"]),
        (&json!("SUCCESS"), &json!("our-id"))
    );
    let expected = json!({"product": 42, "id": "our-id", "kwargsrepr": "{'x': 6, 'y': 7}", "trace": "00-abc"});
    assert_eq!(meta["result"], expected);
    transport.close().await;
    queues.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_in_latin_1_are_read_and_what_comes_after_them_too() {
    let (transport, mut queues) = (transport().await, Queues::new().await);
    let name = queues.quorum().await;
    let sent = python("latin", &name).output().await.unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let recorder = Arc::new(Recorder::new());
    let stop = CancellationToken::new();
    let consuming = transport.consume(queue(&name), recorder.clone(), stop.clone().into());

    let reading = async {
        until("all three", Duration::from_secs(20), async || recorder.count() == 3).await;
        stop.cancel();
    };
    tokio::join!(reading, consuming);

    assert_eq!(recorder.bodies(), ["before", "latin", "after"]);
    let (before, latin) = {
        let taken = recorder.taken.lock().unwrap();
        (taken[0].message.clone(), taken[1].message.clone())
    };
    let text = Some("bücher".to_owned());
    assert_eq!(before.properties.correlation_id, text);
    let Properties {
        correlation_id,
        message_id,
        kind,
        ..
    } = latin.properties;
    assert_eq!([correlation_id, message_id, kind], [text.clone(), text.clone(), text]);
    assert_eq!(latin.routing_key, "bücher");
    assert_eq!(latin.headers.get("bücher"), Some(&HeaderValue::Int(1)));
    let list = HeaderValue::List(vec![HeaderValue::Table([("bücher".to_owned(), "x".into())].into())]);
    assert_eq!(latin.headers.get("list"), Some(&list));
    assert_eq!(transport.queue_exists(&name).await.unwrap().unwrap().messages, 0);
    transport.close().await;
    queues.clean_up().await;
}
