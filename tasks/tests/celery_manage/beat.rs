//! Two beats send each tick once, and a beat that starts again goes on where it was.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use waybill_tasks::celery::amqp::AmqpTransport;
use waybill_tasks::celery::beat::{Beat, Schedule};
use waybill_tasks::celery::message::{HeaderValue, Message};
use waybill_tasks::celery::transport::{Queue, Transport as _};

use crate::broker::{Queues, transport, until};
use crate::handlers::Recorder;

struct Running {
    transport: Arc<AmqpTransport>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    async fn start(schedule: &Schedule) -> Self {
        let (transport, stop) = (transport().await, CancellationToken::new());
        let task = tokio::spawn(Beat::new(schedule.clone(), transport.clone()).run(stop.clone()));
        Self { transport, stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
        self.transport.close().await;
    }
}

fn schedule(queue: &str) -> Schedule {
    let name = format!("test-{}", Uuid::new_v4());
    let entry = json!({"task": "test.tick", "every": 1, "queue": queue, "kwargs": {"a": 1}, "expires": 60});
    Schedule::read(json!({"name": name, "entries": {"tick": entry}}), "unused").unwrap()
}

/// The instants of the ticks, by their ids: each id must be that of an instant.
fn ticks(schedule: &Schedule, messages: &[Message], from: DateTime<Utc>) -> Vec<i64> {
    let ids: Vec<String> = messages
        .iter()
        .map(|message| message.headers["id"].as_text().unwrap().to_owned())
        .collect();
    let known: Vec<(String, i64)> = (from.timestamp() - 5..from.timestamp() + 120)
        .map(|second| {
            let tick = DateTime::from_timestamp(second, 0).unwrap();
            (schedule.task_id(&schedule.entries[0], tick).to_string(), second)
        })
        .collect();
    let found = ids
        .iter()
        .map(|id| known.iter().find(|(known, _)| known == id).expect("an id of a tick").1);
    found.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_beats_send_each_tick_once_and_none_is_lost_when_one_takes_over() {
    let mut queues = Queues::new().await;
    let queue = queues.classic().await;
    let schedule = schedule(&queue);
    let from = Utc::now();
    let (watching, recorder, stop) = (transport().await, Arc::new(Recorder::new()), CancellationToken::new());
    let consumed = Queue {
        name: queue.clone(),
        bindings: vec![],
        prefetch: 10,
    };
    let consuming = tokio::spawn({
        let (watching, recorder, stop) = (watching.clone(), recorder.clone(), stop.clone());
        async move { watching.consume(consumed, recorder, stop.into()).await }
    });

    let first = Running::start(&schedule).await;
    until("two ticks", Duration::from_secs(20), async || recorder.count() >= 2).await;
    let second = Running::start(&schedule).await;
    let before = recorder.count();
    until("two more", Duration::from_secs(20), async || {
        recorder.count() >= before + 2
    })
    .await;
    first.stop().await;
    let before = recorder.count();
    until("two of the other", Duration::from_secs(20), async || {
        recorder.count() >= before + 2
    })
    .await;
    second.stop().await;
    let third = Running::start(&schedule).await;
    let before = recorder.count();
    until("two after a restart", Duration::from_secs(20), async || {
        recorder.count() >= before + 2
    })
    .await;
    third.stop().await;

    stop.cancel();
    consuming.await.unwrap();
    let messages: Vec<Message> = recorder
        .taken
        .lock()
        .unwrap()
        .iter()
        .map(|taken| taken.message.clone())
        .collect();
    let ticks = ticks(&schedule, &messages, from);
    let once: BTreeSet<i64> = ticks.iter().copied().collect();
    assert_eq!(once.len(), ticks.len(), "each once: {ticks:?}");
    // While one hands over to the other a tick of a second may be passed, for the latest; never more than a few.
    assert!(
        ticks.windows(2).all(|pair| pair[0] < pair[1] && pair[1] - pair[0] <= 8),
        "{ticks:?}"
    );
    let first = &messages[0];
    assert_eq!(first.headers["task"], HeaderValue::from("test.tick"));
    assert_eq!(first.headers["periodic_task_name"], HeaderValue::from("tick"));
    assert!(first.headers["expires"].as_text().is_some());
    watching.close().await;
    queues.delete(&format!("beat.{}.sent", schedule.name)).await;
    queues.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_whose_queue_is_missing_is_sent_when_it_is_there() {
    let mut queues = Queues::new().await;
    let queue = queues.name();
    let schedule = schedule(&queue);
    let beat = Running::start(&schedule).await;
    let shelf = format!("beat.{}.sent", schedule.name);
    until("it has begun", Duration::from_secs(20), async || {
        beat.transport
            .queue_exists(&shelf)
            .await
            .unwrap()
            .is_some_and(|status| status.messages > 0)
    })
    .await;
    assert!(beat.transport.queue_exists(&queue).await.unwrap().is_none());

    let durable = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    let channel = queues.channel().await;
    channel
        .queue_declare(queue.as_str().into(), durable, FieldTable::default())
        .await
        .unwrap();

    until("it is there", Duration::from_secs(20), async || {
        beat.transport
            .queue_exists(&queue)
            .await
            .unwrap()
            .is_some_and(|status| status.messages > 0)
    })
    .await;
    beat.stop().await;
    queues.delete(&format!("beat.{}.sent", schedule.name)).await;
    queues.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_whose_queue_is_missing_keeps_no_other_waiting() {
    let mut queues = Queues::new().await;
    let queue = queues.classic().await;
    let entry = |queue: &str| json!({"task": "test.tick", "every": 1, "queue": queue});
    let entries = json!({"missing": entry(&queues.name()), "tick": entry(&queue)});
    let name = format!("test-{}", Uuid::new_v4());
    let schedule = Schedule::read(json!({"name": name, "entries": entries}), "unused").unwrap();
    let beat = Running::start(&schedule).await;
    let messages = async || beat.transport.queue_exists(&queue).await.unwrap().unwrap().messages;
    until("the first tick", Duration::from_secs(20), async || messages().await > 0).await;
    let before = messages().await;

    tokio::time::sleep(Duration::from_secs(8)).await;

    let sent = messages().await - before;
    // Every second one was lost.
    assert!(sent >= 6, "{sent} ticks of one a second in eight seconds");
    beat.stop().await;
    queues.delete(&format!("beat.{}.sent", schedule.name)).await;
    queues.clean_up().await;
}
