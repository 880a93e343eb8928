//! What a task's options, its answer and its limits make of its message.

use super::*;
use crate::celery::registry::{Backoff, Call, Rate, Retry, TaskOptions};
use crate::celery::state::{Signal, WorkerState};

/// A worker with one task, `t`.
fn worker<F, R>(world: &Arc<World>, options: TaskOptions, run: F) -> Worker<World>
where
    F: Fn(Call<World>) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Value, TaskError>> + Send + 'static,
{
    let registry = Registry::new(world.clone()).function("t", options, run);
    Worker::new(registry, world.clone(), world.clone()).with_clock(noon)
}

fn delivery(signature: Signature) -> Delivery {
    Delivery {
        queue: "q".to_owned(),
        message: signature.queue("q").into_message(),
        redelivered: false,
    }
}

fn t() -> Signature {
    Signature::new("t").id("the-id").reply_to("replies")
}

fn retried(times: i64) -> Delivery {
    let mut delivery = delivery(t());
    delivery
        .message
        .headers
        .insert("retries".to_owned(), HeaderValue::Int(times));
    delivery
}

fn exception(world: &World) -> String {
    let result = &world.result()["result"];
    format!("{} {}", result["exc_type"].as_str().unwrap(), result["exc_message"])
}

#[tokio::test]
async fn a_retry_waits_as_its_task_says_and_ends_when_it_was_too_often() {
    let options = TaskOptions {
        max_retries: Some(2),
        retry: Backoff {
            jitter: false,
            ..Backoff::exponential()
        },
        ..TaskOptions::default()
    };
    let again = || Retry::default().exception(Exception::builtin("OSError", "away"));
    for (retries, ask, parked, told) in [
        (1, again(), Some(2), "OSError [\"away\"]"),
        (2, again(), None, "OSError [\"away\"]"),
        (
            2,
            again().max_retries(3).countdown(Duration::from_secs(9)),
            Some(9),
            "OSError [\"away\"]",
        ),
        (
            2,
            Retry::default(),
            None,
            "MaxRetriesExceededError [\"Can't retry t[the-id] args:[] kwargs:{}\"]",
        ),
    ] {
        let world = Arc::new(World::default());
        let worker = worker(&world, options.clone(), move |_| {
            let ask = ask.clone();
            async move { Err(ask.into()) }
        });

        assert_eq!(worker.handle(&retried(retries)).await, Verdict::Ack);

        let until = world
            .parked
            .lock()
            .unwrap()
            .first()
            .map(|(_, until)| (*until - noon()).num_seconds());
        assert_eq!((until, exception(&world).as_str()), (parked, told));
        let status = if parked.is_some() { "RETRY" } else { "FAILURE" };
        assert_eq!(world.result()["status"], status);
        if parked.is_some() {
            assert_eq!(world.result()["children"], json!([[["the-id", null], null]]));
        }
    }
}

#[tokio::test]
async fn a_retry_with_other_arguments_gives_each_of_them_once() {
    let object = |value: Value| value.as_object().unwrap().clone();
    let (given, all) = (json!({"foo": 1, "bar": 2, "label": "kept"}), Retry::default());
    for (sent, ask, args, kwargs) in [
        (
            t().kwargs(&given),
            all.clone().args([2, 3]),
            json!([2, 3]),
            json!({"label": "kept"}),
        ),
        (
            t().args(vec![json!(1), json!(2)]),
            all.clone().kwargs(object(json!({"foo": 2, "label": "new"}))),
            json!([2, 2]),
            json!({"label": "new"}),
        ),
        (
            t().args(vec![json!(1)]).kwargs(json!({"bar": 2})),
            all.clone().args([5]).kwargs(object(json!({"bar": 6}))),
            json!([5]),
            json!({"bar": 6}),
        ),
    ] {
        let world = Arc::new(World::default());
        let options = TaskOptions {
            positional: &["foo", "bar", "label"],
            ..TaskOptions::default()
        };
        let worker = worker(&world, options, move |_| {
            let ask = ask.clone();
            async move { Err(ask.into()) }
        });
        let mut sent = delivery(sent);
        sent.message.body = String::from_utf8(sent.message.body)
            .unwrap()
            .replace("\"chain\":null", "\"chain\":[{\"task\":\"next\"}]")
            .into_bytes();

        worker.handle(&sent).await;

        let parked = world.parked.lock().unwrap().remove(0).0;
        let again = Request::decode(&parked.message).unwrap();
        assert_eq!((json!(again.args), Value::Object(again.kwargs)), (args, kwargs));
        assert_eq!(again.embed.chain[0]["task"], "next");
        let first = again.args[0].to_string();
        assert!(again.argsrepr.unwrap().starts_with(&format!("({first},")));
    }
}

#[tokio::test]
async fn failures_that_a_task_names_are_retried_by_themselves() {
    let options = TaskOptions {
        autoretry: Some(|exception| exception.exc_type == "OSError"),
        ..TaskOptions::default()
    };
    for (exc_type, parked) in [("OSError", 1), ("ValueError", 0)] {
        let world = Arc::new(World::default());
        let worker = worker(&world, options.clone(), move |_| async move {
            Err(Exception::builtin(exc_type, "x").into())
        });

        worker.handle(&delivery(t())).await;

        assert_eq!(world.parked.lock().unwrap().len(), parked);
    }
}

#[tokio::test]
async fn a_retry_that_is_due_after_its_expiry_is_told_by_us_and_not_dropped_by_the_broker() {
    for (expires, expiration) in [(600, Some("590000")), (5, None)] {
        let world = Arc::new(World::default());
        let worker = worker(&world, TaskOptions::default(), |_| async {
            Err(Retry::default().countdown(Duration::from_secs(10)).into())
        });

        worker
            .handle(&delivery(t().expires(noon() + chrono::TimeDelta::seconds(expires))))
            .await;

        let parked = world.parked.lock().unwrap().remove(0).0;
        assert_eq!(parked.message.properties.expiration.as_deref(), expiration);
    }
}

#[tokio::test]
async fn a_message_ends_as_its_task_and_its_options_say() {
    let rejecting = TaskOptions {
        acks_on_failure: false,
        acks_on_timeout: false,
        reject_on_lost: true,
        time_limit: Some(Duration::from_millis(5)),
        ..TaskOptions::default()
    };
    type Answer = fn() -> Result<Value, TaskError>;
    let rows: [(&str, Answer, Verdict, &[&str]); 6] = [
        (
            "fail",
            || Err(TaskError::failed("x")),
            Verdict::Reject,
            &["quarantine task-failed", "result FAILURE"],
        ),
        (
            "reject",
            || {
                Err(TaskError::Reject {
                    requeue: false,
                    reason: "x".to_owned(),
                })
            },
            Verdict::Reject,
            &["quarantine task-rejected", "result FAILURE"],
        ),
        (
            "requeue",
            || {
                Err(TaskError::Reject {
                    requeue: true,
                    reason: "x".to_owned(),
                })
            },
            Verdict::Requeue,
            &[],
        ),
        ("ignore", || Err(TaskError::Ignore), Verdict::Ack, &[]),
        ("panic", || panic!("x"), Verdict::Requeue, &[]),
        ("hang", || Ok(json!("never")), Verdict::Requeue, &["result FAILURE"]),
    ];
    for (what, answer, verdict, events) in rows {
        let world = Arc::new(World::default());
        let worker = worker(&world, rejecting.clone(), move |_| async move {
            if what == "hang" {
                std::future::pending::<()>().await;
            }
            answer()
        });

        assert_eq!(worker.handle(&delivery(t())).await, verdict, "{what}");

        assert_eq!(happened(&world), events, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_early_acknowledgement_comes_before_the_work_and_its_end_is_stored_all_the_same() {
    let world = Arc::new(World::default());
    world.keeper_away.store(true, Ordering::SeqCst);
    let early = TaskOptions {
        acks_late: false,
        ..TaskOptions::default()
    };
    let worker = worker(&world, early, |call: Call<World>| async move {
        call.context.note("run");
        Err(TaskError::retry(Duration::from_secs(1), "again"))
    });
    let acked = world.clone();
    let receipt = Receipt::new(CancellationToken::new(), move || acked.note("ack"));

    let healing = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        world.keeper_away.store(false, Ordering::SeqCst);
    };
    let sent = delivery(t());
    let (verdict, ()) = tokio::join!(worker.handle_with(&sent, &receipt), healing);

    assert_eq!((verdict, receipt.acknowledged()), (Verdict::Ack, true));
    let told = ["result RETRY"; 3];
    assert_eq!(happened(&world), [&["ack", "run"], &told[..], &["park"]].concat());
}

#[tokio::test]
async fn what_a_backend_never_takes_is_told_once_and_is_no_reason_to_run_again() {
    let mut malformed = delivery(t());
    malformed.message.body.clear();
    for (delivery, events) in [
        (delivery(t().args(vec![json!("plain")])), vec!["result SUCCESS"]),
        // News on the way is no reason to fail.
        (delivery(t()), vec!["result PROGRESS", "result SUCCESS"]),
        (
            delivery(Signature::new("dance").id("the-id").reply_to("replies")),
            vec!["quarantine unknown-task", "result FAILURE"],
        ),
        (malformed, vec!["quarantine body-empty", "result FAILURE"]),
    ] {
        let world = Arc::new(World::default());
        let worker = worker(&world, TaskOptions::default(), |call: Call<World>| async move {
            if call.request.args.is_empty() {
                call.scope.update_state("PROGRESS", json!({"done": 1})).await?;
            }
            Ok(Value::Null)
        })
        .with_results(Arc::new(Closed(ResultError::Refused)));

        assert_eq!(worker.handle(&delivery).await, Verdict::Ack);

        assert_eq!(happened(&world), events);
    }
}

#[tokio::test(start_paused = true)]
async fn time_limits_of_the_message_win_and_a_task_that_listens_ends_by_itself() {
    let options = TaskOptions {
        time_limit: Some(Duration::from_secs(100)),
        soft_time_limit: Some(Duration::from_secs(50)),
        ..TaskOptions::default()
    };
    let limit = |hard, soft| TimeLimit { hard, soft };
    for (limits, listens, after, told) in [
        (limit(None, None), false, 50.0, "SoftTimeLimitExceeded []"),
        (limit(None, None), true, 51.0, "ValueError [\"stopped\"]"),
        (limit(Some(9.0), None), false, 9.0, "TimeLimitExceeded [9]"),
        (limit(Some(7.5), Some(7.0)), true, 7.5, "TimeLimitExceeded [7.5]"),
        (limit(Some(0.0), Some(3.0)), false, 3.0, "SoftTimeLimitExceeded []"),
    ] {
        let world = Arc::new(World::default());
        let worker = worker(&world, options.clone(), move |call: Call<World>| async move {
            if listens {
                call.scope.soft_limit().cancelled().await;
                tokio::time::sleep(Duration::from_secs(1)).await;
                return Err(Exception::builtin("ValueError", "stopped").into());
            }
            std::future::pending().await
        });
        let began = Instant::now();

        assert_eq!(worker.handle(&delivery(t().timelimit(limits))).await, Verdict::Ack);

        assert_eq!(exception(&world), told);
        assert!(
            (began.elapsed().as_secs_f64() - after).abs() < 0.1,
            "{:?}",
            began.elapsed()
        );
    }
}

#[tokio::test]
async fn a_task_is_revoked_before_it_runs_and_terminated_while_it_runs() {
    let (world, state) = (Arc::new(World::default()), WorkerState::new("w@h", 4));
    let worker = Arc::new(
        worker(&world, TaskOptions::default(), |call: Call<World>| async move {
            call.context.note("run");
            std::future::pending().await
        })
        .with_state(state.clone()),
    );
    state.revoke(["revoked"]);

    assert_eq!(worker.handle(&delivery(t().id("revoked"))).await, Verdict::Ack);
    assert_eq!(exception(&world), "TaskRevokedError [\"revoked\"]");
    let running = tokio::spawn(async move { worker.handle(&delivery(t())).await });
    while state.active().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(state.terminate(&["the-id".to_owned()], Signal::TERM), ["the-id"]);

    assert_eq!(running.await.unwrap(), Verdict::Ack);
    assert_eq!(happened(&world), ["result REVOKED", "run", "result REVOKED"]);
    assert_eq!(
        world.results.lock().unwrap()[1].1["result"]["exc_message"],
        json!(["terminated"])
    );
    assert_eq!(state.counts(), (0, 0));
}

#[tokio::test]
async fn what_waits_for_a_place_goes_back_when_the_worker_stops() {
    let (world, state) = (Arc::new(World::default()), WorkerState::new("w@h", 1));
    let worker = worker(&world, TaskOptions::default(), |_| async { Ok(Value::Null) }).with_state(state.clone());
    let _busy = state.pool().acquire().await;
    let stop = CancellationToken::new();
    let receipt = Receipt::new(stop.clone(), || ());

    let stopping = async { stop.cancel() };
    let sent = delivery(t());
    let (verdict, ()) = tokio::join!(worker.handle_with(&sent, &receipt), stopping);

    assert_eq!((verdict, happened(&world).len()), (Verdict::Requeue, 0));
}

#[tokio::test(start_paused = true)]
async fn a_rate_spaces_starts_and_parks_what_cannot_start_soon() {
    let world = Arc::new(World::default());
    let options = TaskOptions {
        rate_limit: Rate::parse("4/m").unwrap(),
        ..TaskOptions::default()
    };
    let began = Instant::now();
    let worker = worker(&world, options, move |call: Call<World>| async move {
        call.context.note(&format!("run after {}", began.elapsed().as_secs()));
        Ok(Value::Null)
    });

    let sent = delivery(t().ignore_result(true));
    let handled = (0..4).map(|_| worker.handle(&sent));
    futures_util::future::join_all(handled).await;

    assert_eq!(
        happened(&world),
        ["run after 0", "park", "run after 15", "run after 30"]
    );
    assert_eq!(
        world.parked.lock().unwrap()[0].1,
        noon() + chrono::TimeDelta::seconds(45)
    );
}

#[tokio::test]
async fn what_follows_a_task_is_sent_before_its_result_is_told() {
    let world = Arc::new(World::default());
    let worker = worker(&world, TaskOptions::default(), |_| async { Ok(json!(7)) });
    let mut delivery = delivery(t());
    delivery.message.body =
        br#"[[],{},{"callbacks":[{"task":"next","args":[1],"kwargs":{},"options":{"task_id":"n-1","queue":"q"}}],
        "errbacks":null,"chain":null,"chord":null}]"#
            .to_vec();

    assert_eq!(worker.handle(&delivery).await, Verdict::Ack);

    assert_eq!(happened(&world), ["sent next", "result SUCCESS"]);
    assert_eq!(world.result()["children"], json!([[["n-1", null], null]]));
    let sent = Request::decode(&world.sent.lock().unwrap()[0]).unwrap();
    assert_eq!(
        (sent.args, sent.parent_id.as_deref()),
        (vec![json!(7), json!(1)], Some("the-id"))
    );
}

#[tokio::test]
async fn a_task_is_replaced_by_another_under_its_id_and_tells_nothing() {
    let world = Arc::new(World::default());
    let worker = worker(&world, TaskOptions::default(), |call: Call<World>| async move {
        let other = json!({"task": "other", "args": [1], "kwargs": {}, "options": {"queue": "q"}});
        Err(call.scope.replace(&other).await)
    });

    assert_eq!(worker.handle(&delivery(t())).await, Verdict::Ack);

    assert_eq!(happened(&world), ["sent other"]);
    let sent = Request::decode(&world.sent.lock().unwrap()[0]).unwrap();
    assert_eq!((sent.id.as_str(), sent.replaced_task_nesting), ("the-id", 1));
}

#[tokio::test]
async fn a_task_sends_children_that_carry_its_trace() {
    let world = Arc::new(World::default());
    let worker = worker(&world, TaskOptions::default(), |call: Call<World>| async move {
        call.scope
            .send(Signature::new("child").id("c-1").queue("other"))
            .await?;
        call.scope.update_state("PROGRESS", json!({"done": 1})).await?;
        Ok(Value::Null)
    });

    worker
        .handle(&delivery(
            t().header("traceparent", "00-a")
                .header("sentry-trace", "s")
                .header("mine", "x"),
        ))
        .await;

    let child = world.sent.lock().unwrap().remove(0);
    let text = |name: &str| child.headers.get(name).and_then(HeaderValue::as_text);
    assert_eq!((text("parent_id"), text("root_id")), (Some("the-id"), Some("the-id")));
    assert_eq!(
        (text("traceparent"), text("sentry-trace"), text("mine")),
        (Some("00-a"), Some("s"), None)
    );
    assert_eq!(happened(&world), ["sent child", "result PROGRESS", "result SUCCESS"]);
    let (_, success) = world.results.lock().unwrap().remove(1);
    assert_eq!(success["children"], json!([[["c-1", null], null]]));
}
