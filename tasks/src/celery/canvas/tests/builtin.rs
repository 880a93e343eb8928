//! The tasks that every worker has, through a worker.

use serde_json::json;

use super::world::{World, ended};
use super::*;
use crate::celery::protocol::Signature;
use crate::celery::registry::{Registry, TaskError, TaskOptions};
use crate::celery::results::{State, TaskResult};
use crate::celery::transport::{Delivery, Handler as _, Verdict};
use crate::celery::worker::Worker;

/// Runs a task on a worker that knows `math.add` and `math.fail`, and answers its result.
async fn run(world: &Arc<World>, task: &str, args: Value, kwargs: Value) -> Option<TaskResult> {
    let options = TaskOptions::default();
    let registry = Registry::new(Arc::new(()))
        .function("math.add", options.clone(), |call| async move {
            Ok(json!(call.request.args.iter().filter_map(Value::as_i64).sum::<i64>()))
        })
        .function("math.fail", options, |_| async { Err(TaskError::failed("boom")) });
    let worker = Worker::new(registry, world.clone(), world.clone()).with_results(world.clone());
    let mut message = Signature::new(task).id("the-id").into_message();
    message.body = json!([args, kwargs, {}]).to_string().into_bytes();
    let delivery = Delivery {
        queue: "q".to_owned(),
        message,
        redelivered: false,
    };
    assert_eq!(worker.handle(&delivery).await, Verdict::Ack);
    world.results.lock().unwrap().get("the-id").cloned()
}

#[tokio::test]
async fn map_and_starmap_run_a_task_of_this_worker_for_each_item() {
    let world = Arc::new(World::default());
    let add = task("math.add").write();

    let mapped = run(&world, "celery.map", json!([]), json!({"task": add, "it": [1, 2]}))
        .await
        .unwrap();
    assert_eq!(mapped.result, json!([1, 2]));
    let mapped = run(&world, "celery.starmap", json!([add, [[1, 2], [3, 4]]]), json!({}))
        .await
        .unwrap();
    assert_eq!(mapped.result, json!([3, 7]));
    let failed = task("math.fail").write();
    let mapped = run(&world, "celery.map", json!([failed, [1]]), json!({}))
        .await
        .unwrap();
    assert_eq!(mapped.exception().unwrap().repr(), "RuntimeError('boom')");
    let unknown = run(&world, "celery.map", json!([task("none").write(), [1]]), json!({}))
        .await
        .unwrap();
    assert_eq!(unknown.exception().unwrap().repr(), "NotRegistered('none')");
}

#[tokio::test]
async fn accumulate_answers_all_or_one() {
    let world = Arc::new(World::default());
    for (kwargs, expected) in [
        (json!({}), json!([[1, 2]])),
        (json!({"index": 0}), json!([1, 2])),
        (json!({"index": -1}), json!([1, 2])),
    ] {
        let result = run(&world, "celery.accumulate", json!([[1, 2]]), kwargs).await.unwrap();
        assert_eq!(result.result, expected);
    }
    let beyond = run(&world, "celery.accumulate", json!([1]), json!({"index": 5}))
        .await
        .unwrap();
    assert_eq!(beyond.exception().unwrap().exc_type, "IndexError");
}

#[tokio::test]
async fn chunks_are_sent_as_portions() {
    let world = Arc::new(World::default());

    let add = task("math.add").write();
    let result = run(
        &world,
        "celery.chunks",
        json!([]),
        json!({"task": add, "it": [[1, 2], [3, 4], [5, 6]], "n": 2}),
    )
    .await;

    let sent = world.requests();
    let items: Vec<_> = sent
        .iter()
        .map(|request| (request.task.as_str(), &request.kwargs["it"]))
        .collect();
    assert_eq!(
        items,
        [
            ("celery.starmap", &json!([[1, 2], [3, 4]])),
            ("celery.starmap", &json!([[5, 6]]))
        ]
    );
    assert_eq!(result.unwrap().result[0][0], json!(sent[0].group));
}

#[tokio::test]
async fn a_chord_is_looked_after_until_its_header_is_through() {
    let world = Arc::new(World {
        polls: true,
        ..World::default()
    });
    let unlock = || {
        let result = json!([[["1", null], null], [["2", null], null]]);
        let kwargs =
            json!({"interval": null, "max_retries": null, "result": result, "_chord_unlock_exchange_type": "direct"});
        run(
            &world,
            "celery.chord_unlock",
            json!(["g", task("body").with_id("b").write()]),
            kwargs,
        )
    };

    unlock().await;
    assert_eq!(world.happened(), ["park again"]);
    let mut one = super::world::request(&json!({}));
    for id in ["1", "2"] {
        one.id = id.to_owned();
        world.store(&ended(&one, State::Success, json!(id))).await.unwrap();
    }
    world.happened();
    unlock().await;
    assert_eq!(world.sent(), [json!(["body", "b", [["1", "2"]]])]);

    let boom = Exception::builtin("ValueError", "boom");
    world
        .store(&TaskResult::raised("2", State::Failure, &boom, Utc::now()))
        .await
        .unwrap();
    unlock().await;
    let error = world.results.lock().unwrap()["b"].exception().unwrap();
    assert_eq!(error.repr(), r#"ChordError("Dependency 2 raised ValueError('boom')")"#);
    assert!(world.sent().is_empty());
}

#[tokio::test]
async fn a_header_that_cannot_be_read_fails_its_body_where_it_is_looked_for() {
    let world = Arc::new(World {
        polls: true,
        ..World::default()
    });
    let nan = "a value that cannot be read: expected JSON, found NaN";
    world.fault("load", ResultError::Refused(nan.to_owned()));
    let kwargs = json!({"result": [[["1", null], null]]});

    run(
        &world,
        "celery.chord_unlock",
        json!(["g", task("body").with_id("b").write()]),
        kwargs,
    )
    .await;

    let error = world.results.lock().unwrap()["b"].exception().unwrap();
    assert_eq!(error.exc_type, "ChordError");
    let text = error.exc_message[0].as_str().unwrap();
    assert!(text.starts_with("Join error: "), "{text}");
}

#[tokio::test]
async fn a_chord_that_is_not_looked_after_any_more_fails_its_body() {
    let world = Arc::new(World {
        polls: true,
        ..World::default()
    });
    let kwargs = json!({"max_retries": 0, "result": [[["1", null], null]]});

    run(
        &world,
        "celery.chord_unlock",
        json!(["g", task("body").with_id("b").write()]),
        kwargs,
    )
    .await;

    let error = world.results.lock().unwrap()["b"].exception().unwrap();
    assert!(
        error
            .repr()
            .contains("chord_unlock could not be retried: MaxRetriesExceededError("),
        "{}",
        error.repr()
    );
}

#[tokio::test]
async fn a_task_that_nobody_knows_fails_all_that_was_to_follow_it() {
    let world = Arc::new(World::default());
    let registry = Registry::new(Arc::new(()));
    let worker = Worker::new(registry, world.clone(), world.clone()).with_results(world.clone());
    let mut message = Signature::new("dance").id("the-id").into_message();
    let embed = json!({"chain": [task("last").with_id("last").write()], "errbacks": [task("err").write()]});
    message.body = json!([[], {}, embed]).to_string().into_bytes();
    let delivery = Delivery {
        queue: "q".to_owned(),
        message,
        redelivered: false,
    };

    assert_eq!(worker.handle(&delivery).await, Verdict::Ack);

    assert_eq!(
        world.happened(),
        [
            "quarantine unknown-task",
            "store the-id FAILURE",
            "store last FAILURE",
            "send err"
        ]
    );
}
