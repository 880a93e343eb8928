mod away;
mod matrix;
mod semantics;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::celery::message::{HeaderValue, Message};
use crate::celery::protocol::{Signature, TimeLimit};
use crate::celery::registry::{Task, TaskError};
use crate::celery::results::{ResultError, ResultTree, TaskResult};
use crate::celery::transport::{Health, PublishError, Queue, Rejected, Routing, Stop};

/// What happens to messages, in order.
#[derive(Default)]
struct World {
    happened: Mutex<Vec<String>>,
    results: Mutex<Vec<(Message, Value)>>,
    sent: Mutex<Vec<Message>>,
    parked: Mutex<Vec<(Delivery, DateTime<Utc>)>>,
    rejected: Mutex<Vec<Rejected>>,
    keeper_away: AtomicBool,
    broker_away: AtomicBool,
    runs: AtomicU32,
}

impl World {
    fn note(&self, what: &str) {
        self.happened.lock().unwrap().push(what.to_owned());
    }

    fn check_keeper(&self) -> Result<(), KeepError> {
        match self.keeper_away.load(Ordering::SeqCst) {
            true => Err(KeepError("away".to_owned())),
            false => Ok(()),
        }
    }

    fn result(&self) -> Value {
        self.results.lock().unwrap()[0].1.clone()
    }
}

#[async_trait]
impl Transport for World {
    async fn publish(&self, message: Message, routing: Routing) -> Result<(), PublishError> {
        if routing == Routing::Mandatory {
            let task = message.headers.get("task").and_then(HeaderValue::as_text);
            self.note(&format!("sent {}", task.unwrap_or_default()));
            self.sent.lock().unwrap().push(message);
            return Ok(());
        }
        if self.broker_away.load(Ordering::SeqCst) {
            return Err(PublishError::Unconfirmed("away".to_owned()));
        }
        let meta: Value = serde_json::from_slice(&message.body).unwrap();
        self.note(&format!("result {}", meta["status"].as_str().unwrap()));
        self.results.lock().unwrap().push((message, meta));
        Ok(())
    }

    async fn consume(&self, _queue: Queue, _handler: Arc<dyn Handler>, _stop: Stop) {}

    fn health(&self) -> Health {
        Health::default()
    }
}

#[async_trait]
impl Keeper for World {
    async fn quarantine(&self, rejected: Rejected) -> Result<(), KeepError> {
        self.check_keeper()?;
        self.note(&format!("quarantine {}", rejected.reason));
        self.rejected.lock().unwrap().push(rejected);
        Ok(())
    }

    async fn park(&self, delivery: &Delivery, until: DateTime<Utc>) -> Result<(), KeepError> {
        self.check_keeper()?;
        self.note("park");
        self.parked.lock().unwrap().push((delivery.clone(), until));
        Ok(())
    }
}

/// A result backend that takes nothing, and why.
struct Closed(fn(String) -> ResultError);

#[async_trait]
impl ResultBackend for Closed {
    async fn store(&self, _result: &TaskResult) -> Result<(), ResultError> {
        Err((self.0)("closed".to_owned()))
    }

    async fn load(&self, task_ids: &[String]) -> Result<Vec<Option<TaskResult>>, ResultError> {
        Ok(vec![None; task_ids.len()])
    }

    async fn save_group(&self, _group: &ResultTree) -> Result<(), ResultError> {
        Ok(())
    }

    async fn load_group(&self, _group_id: &str) -> Result<Option<ResultTree>, ResultError> {
        Ok(None)
    }

    fn as_uri(&self) -> String {
        "closed://".to_owned()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    Return(Value),
    Retry,
    Fail,
    Panic,
    Unavailable,
}

#[derive(Deserialize)]
struct Obey {
    order: Order,
}

impl Task<World> for Obey {
    const NAME: &'static str = "obey";

    async fn run(self, world: &World, _request: &Request) -> Result<Value, TaskError> {
        world.runs.fetch_add(1, Ordering::SeqCst);
        match self.order {
            Order::Return(value) => Ok(value),
            Order::Retry => Err(TaskError::retry(Duration::from_secs(90), "busy")),
            Order::Fail => Err(Exception::builtin("ValueError", "boom").into()),
            Order::Panic => panic!("at the disco"),
            Order::Unavailable => Err(TaskError::Unavailable("database".to_owned())),
        }
    }
}

const NOON: &str = "2026-11-20T12:00:00Z";

fn noon() -> DateTime<Utc> {
    NOON.parse().unwrap()
}

fn order(order: Value) -> Signature {
    Signature::new("obey")
        .id("the-id")
        .queue("q")
        .reply_to("replies")
        .kwargs(json!({"order": order}))
}

async fn handle(world: &Arc<World>, message: Message) -> Verdict {
    let registry = Registry::new(world.clone()).register::<Obey>();
    let worker = Worker::new(registry, world.clone(), world.clone()).with_clock(noon);
    let delivery = Delivery {
        queue: "q".to_owned(),
        message,
        redelivered: false,
    };
    worker.handle(&delivery).await
}

fn happened(world: &World) -> Vec<String> {
    world.happened.lock().unwrap().clone()
}

#[tokio::test]
async fn a_success_is_told_as_python_tells_it() {
    let world = Arc::new(World::default());

    let verdict = handle(&world, order(json!({"return": {"sum": 5}})).into_message()).await;

    assert_eq!(verdict, Verdict::Ack);
    let (message, meta) = world.results.lock().unwrap()[0].clone();
    let expected = json!({"status": "SUCCESS", "result": {"sum": 5}, "traceback": null, "children": [],
        "date_done": "2026-11-20T12:00:00.000000+00:00", "task_id": "the-id"});
    assert_eq!(meta, expected);
    assert_eq!(
        (message.exchange.as_str(), message.routing_key.as_str()),
        ("", "replies")
    );
    let properties = &message.properties;
    assert_eq!(
        (properties.correlation_id.as_deref(), properties.delivery_mode),
        (Some("the-id"), Some(1))
    );
    assert!(message.headers.is_empty());
}

#[tokio::test]
async fn nobody_is_told_who_does_not_ask() {
    for signature in [
        order(json!({"return": 1})).ignore_result(true),
        order(json!({"return": 1})).reply_to(""),
    ] {
        let world = Arc::new(World::default());

        assert_eq!(handle(&world, signature.into_message()).await, Verdict::Ack);

        assert!(happened(&world).is_empty());
        assert_eq!(world.runs.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn each_end_has_its_result_and_its_place() {
    let exception = |exc_type: &str, module: &str, message: &str| json!({"exc_type": exc_type, "exc_message": [message], "exc_module": module});
    let unknown = Signature::new("dance").reply_to("replies");
    let expired = order(json!({"return": 1})).expires(noon());
    for (signature, events, result) in [
        (
            order(json!("fail")),
            vec!["result FAILURE"],
            exception("ValueError", "builtins", "boom"),
        ),
        (
            order(json!("panic")),
            vec!["quarantine task-panicked", "result FAILURE"],
            exception("RuntimeError", "builtins", "the task panicked"),
        ),
        (
            unknown,
            vec!["quarantine unknown-task", "result FAILURE"],
            exception("NotRegistered", "celery.exceptions", "dance"),
        ),
        (
            order(json!("jump")),
            vec!["quarantine wrong-arguments", "result FAILURE"],
            exception(
                "TypeError",
                "builtins",
                "obey() body[1].order: unknown variant `jump`, expected one of `return`, `retry`, `fail`, `panic`, `unavailable`",
            ),
        ),
        (
            order(json!("retry")),
            vec!["result RETRY", "park"],
            exception("RuntimeError", "builtins", "busy"),
        ),
        (
            expired,
            vec!["result REVOKED"],
            exception("TaskRevokedError", "celery.exceptions", "expired"),
        ),
    ] {
        let world = Arc::new(World::default());

        assert_eq!(handle(&world, signature.into_message()).await, Verdict::Ack);

        assert_eq!(happened(&world), events);
        assert_eq!(world.result()["result"], result);
    }
}

#[tokio::test]
async fn what_cannot_be_stored_is_not_acknowledged_and_not_told() {
    let world = Arc::new(World::default());
    world.keeper_away.store(true, Ordering::SeqCst);
    let later = order(json!({"return": 1})).eta(noon() + chrono::TimeDelta::seconds(1));
    let mut malformed = order(json!("fail")).into_message();
    malformed.body.clear();

    for message in [
        order(json!("panic")).into_message(),
        order(json!("jump")).into_message(),
        order(json!("unavailable")).into_message(),
        Signature::new("dance").reply_to("replies").into_message(),
        later.into_message(),
        malformed,
    ] {
        assert_eq!(handle(&world, message).await, Verdict::Wait);
    }

    assert!(happened(&world).is_empty());
    let retry = order(json!("retry")).into_message();
    assert_eq!(handle(&world, retry).await, Verdict::Wait);
    // True either way, and later it might come after the end of the retry.
    assert_eq!(happened(&world), ["result RETRY"]);
}

#[tokio::test]
async fn a_result_that_cannot_be_sent_undoes_no_work() {
    let world = Arc::new(World::default());
    world.broker_away.store(true, Ordering::SeqCst);

    assert_eq!(
        handle(&world, order(json!({"return": 1})).into_message()).await,
        Verdict::Ack
    );
}

#[tokio::test]
async fn a_task_waits_for_its_eta_without_running() {
    let world = Arc::new(World::default());
    let eta = noon() + chrono::TimeDelta::minutes(5);

    let verdict = handle(&world, order(json!({"return": 1})).eta(eta).into_message()).await;
    assert_eq!((verdict, world.runs.load(Ordering::SeqCst)), (Verdict::Ack, 0));
    assert_eq!(world.parked.lock().unwrap()[0].1, eta);

    let due = order(json!({"return": 1})).eta(noon()).into_message();
    assert_eq!(
        (handle(&world, due).await, world.runs.load(Ordering::SeqCst)),
        (Verdict::Ack, 1)
    );
}

#[tokio::test]
async fn a_retry_is_the_same_message_with_one_more_on_its_count() {
    let world = Arc::new(World::default());
    let mut message = order(json!("retry"))
        .header("traceparent", "00-a")
        .priority(4)
        .into_message();
    message.headers.insert("retries".to_owned(), HeaderValue::Int(2));
    let sent = message.clone();
    message.headers.insert("x-death".to_owned(), HeaderValue::List(vec![]));
    message
        .headers
        .insert("x-first-death-reason".to_owned(), "expired".into());
    message
        .headers
        .insert("x-delivery-count".to_owned(), HeaderValue::Int(1));
    message
        .headers
        .insert("CC".to_owned(), HeaderValue::List(vec!["audit".into()]));
    message.properties.user_id = Some("somebody".to_owned());
    message.properties.expiration = Some("600000".to_owned());

    handle(&world, message).await;

    let (parked, until) = world.parked.lock().unwrap().remove(0);
    assert_eq!(until, noon() + chrono::TimeDelta::seconds(90));
    let mut expected = sent;
    expected.headers.insert("retries".to_owned(), HeaderValue::Int(3));
    expected
        .headers
        .insert("eta".to_owned(), "2026-11-20T12:01:30.000000+00:00".into());
    expected.headers.insert("parent_id".to_owned(), "the-id".into());
    assert_eq!(parked.message, expected);
    assert_eq!(world.result()["date_done"], Value::Null);
}

#[tokio::test]
async fn a_retry_of_protocol_one_counts_in_its_body() {
    let world = Arc::new(World::default());
    let mut message = order(json!("retry")).into_message();
    message.headers.clear();
    message.body = json!({"task": "obey", "kwargs": {"order": "retry"}, "retries": 1})
        .to_string()
        .into_bytes();
    let first = Request::decode(&message).unwrap();

    handle(&world, message).await;

    let parked = world.parked.lock().unwrap().remove(0).0;
    let again = Request::decode(&parked.message).unwrap();
    assert_eq!((again.retries, again.id), (2, first.id));
}

#[tokio::test]
async fn a_malformed_message_is_kept_whole_with_what_is_known_of_it() {
    let world = Arc::new(World::default());
    let mut message = order(json!("fail")).into_message();
    message.headers.insert("eta".to_owned(), "soon".into());

    handle(&world, message.clone()).await;

    let rejected = world.rejected.lock().unwrap().remove(0);
    assert_eq!((rejected.reason, rejected.place.as_str()), ("bad-eta", "headers.eta"));
    assert_eq!(
        (rejected.task.as_deref(), rejected.task_id.as_deref()),
        (Some("obey"), Some("the-id"))
    );
    assert_eq!(rejected.delivery.message, message);
    assert_eq!(happened(&world), ["quarantine bad-eta", "result FAILURE"]);
    assert_eq!(world.result()["result"]["exc_type"], "InvalidTaskError");
}
