//! Events have the fields that Python's have.

use serde_json::{Value, json};

use super::event::WorkerEvent;
use super::*;
use crate::celery::host::load_average;
use crate::celery::protocol::{Request, Signature};
use crate::celery::state::Signal;

fn names(event: &Value) -> Vec<&str> {
    event.as_object().unwrap().keys().map(String::as_str).collect()
}

fn written(kind: &'static str, event: &TaskEvent<'_>) -> Value {
    let state = WorkerState::new("w1@host", 1);
    let mut json = Vec::new();
    Event::of(&state, kind, event).write(&mut json);
    serde_json::from_slice(&json).unwrap()
}

const COMMON: [&str; 6] = ["clock", "hostname", "pid", "timestamp", "type", "utcoffset"];

#[test]
fn each_event_of_a_task_has_the_fields_of_pythons() {
    let message = Signature::new("math.add").id("a").args(vec![json!(1)]).into_message();
    let request = Request::decode(&message).unwrap();
    let result = json!({"x": [1, null]});
    let received = "args eta expires kwargs name parent_id retries root_id uuid";
    for (event, own) in [
        (TaskEvent::Received(&request), received),
        (TaskEvent::Started { uuid: "a" }, "uuid"),
        (
            TaskEvent::Succeeded {
                uuid: "a",
                result: &result,
                runtime: Duration::from_millis(1500),
            },
            "result runtime uuid",
        ),
        (
            TaskEvent::Failed {
                uuid: "a",
                exception: "ValueError('x')",
                traceback: "",
            },
            "exception traceback uuid",
        ),
        (
            TaskEvent::Revoked {
                uuid: "a",
                terminated: true,
                signum: Some(Signal::TERM),
                expired: false,
            },
            "expired signum terminated uuid",
        ),
        (
            TaskEvent::Rejected {
                uuid: "a",
                requeue: true,
            },
            "requeue uuid",
        ),
    ] {
        let written = written(event.kind(), &event);

        let mut expected: Vec<_> = COMMON.into_iter().chain(own.split(' ')).collect();
        expected.sort_unstable();
        let mut found = names(&written);
        found.sort_unstable();
        assert_eq!(found, expected, "{written}");
        assert_eq!(
            (&written["type"], &written["hostname"]),
            (&json!(event.kind()), &json!("w1@host"))
        );
    }
}

#[test]
fn values_are_told_as_python_writes_them() {
    let result = json!({"x": [1, null]});
    let succeeded = TaskEvent::Succeeded {
        uuid: "a",
        result: &result,
        runtime: Duration::from_millis(1500),
    };

    let event = written("task-succeeded", &succeeded);

    assert_eq!(
        (&event["result"], &event["runtime"]),
        (&json!("{'x': [1, None]}"), &json!(1.5))
    );
}

#[test]
fn a_worker_tells_what_it_is() {
    let state = WorkerState::new("w1@host", 1);
    let online = WorkerEvent {
        freq: 2.0,
        active: 1,
        processed: 2,
        loadavg: load_average(),
        sw_ident: "x",
        sw_ver: "1",
        sw_sys: "Linux",
    };

    let mut json = Vec::new();
    Event::of(&state, "worker-online", &online).write(&mut json);
    let event: Value = serde_json::from_slice(&json).unwrap();

    let more = "active freq loadavg processed sw_ident sw_sys sw_ver";
    let mut expected: Vec<_> = COMMON.into_iter().chain(more.split(' ')).collect();
    expected.sort_unstable();
    let mut found = names(&event);
    found.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn nothing_is_written_while_nobody_wants_it_and_then_with_a_clock_that_grows() {
    let state = WorkerState::new("w1@host", 1);
    let software = Software {
        ident: "x".to_owned(),
        version: "1".to_owned(),
    };
    let (sender, events) = EventSender::new(Arc::clone(&state), software);

    sender.send(&TaskEvent::Started { uuid: "a" });
    assert_eq!((events.waiting.take().len(), state.clock().now()), (0, 0));

    state.enable_events(true);
    for _ in 0..3 {
        sender.send(&TaskEvent::Started { uuid: "a" });
    }
    let batch = events.waiting.take().pop_front().unwrap();
    let told: Vec<Value> = serde_json::from_slice(&batch.into_json()).unwrap();
    assert_eq!(
        told.iter().map(|event| &event["clock"]).collect::<Vec<_>>(),
        [&json!(1), &json!(2), &json!(3)]
    );
}
