//! The tasks of `tests/interop/python/app.py`, so that a message may go to either worker.

use serde_json::{Value, json};
use waybill_tasks::celery::protocol::Signature;
use waybill_tasks::celery::registry::{Call, Exception, Registry, Retry, TaskError, TaskOptions};

use crate::Lent;
use crate::given::{Given, plus, sum};

/// All of them, and one that does nothing at all.
pub(crate) fn register(registry: Registry<Lent>) -> Registry<Lent> {
    let noop = TaskOptions {
        ignore_result: true,
        ..TaskOptions::default()
    };
    let registry = registry
        .function("bench.noop", noop, async |_: Call<Lent>| Ok(Value::Null))
        .function("interop.add", started(), async |call: Call<Lent>| {
            let given = Given::of(&call, &["x", "y"], &[])?;
            plus(&given.value("x"), &given.value("y"))
        })
        .function("interop.total", started(), async |call: Call<Lent>| {
            sum(&Given::of(&call, &["numbers"], &[])?.list("numbers"))
        })
        .function("interop.identity", started(), async |call: Call<Lent>| {
            Ok(Given::of(&call, &["value"], &[])?.value("value"))
        })
        .function("interop.fail", started(), async |call: Call<Lent>| {
            let message = call.request.args.last().cloned().unwrap_or_default();
            Err(Exception::builtin("ValueError", message).into())
        })
        .function("interop.sleep", started(), async |call: Call<Lent>| {
            let given = Given::of(&call, &["seconds"], &[])?;
            tokio::time::sleep(given.seconds("seconds", 0.0)).await;
            Ok(given.value("seconds"))
        })
        .function("interop.retry_once", started(), retry_once);
    traces(about_itself(registry))
}

fn started() -> TaskOptions {
    TaskOptions {
        track_started: true,
        ..TaskOptions::default()
    }
}

async fn retry_once(call: Call<Lent>) -> Result<Value, TaskError> {
    let given = Given::of(&call, &[], &["countdown"])?;
    match call.request.retries {
        0 => Err(Retry::default().countdown(given.seconds("countdown", 0.0)).into()),
        retries => Ok(json!(retries)),
    }
}

fn about_itself(registry: Registry<Lent>) -> Registry<Lent> {
    registry
        .function("interop.ids", started(), async |call: Call<Lent>| {
            let given = Given::of(&call, &["label"], &[])?;
            Ok(json!([[
                given.value("label"),
                call.request.root_id,
                call.request.parent_id
            ]]))
        })
        .function("interop.ids_after", started(), async |call: Call<Lent>| {
            let given = Given::of(&call, &["before", "label"], &[])?;
            let mut ids = given.list("before");
            ids.push(json!([
                given.value("label"),
                call.request.root_id,
                call.request.parent_id
            ]));
            Ok(json!(ids))
        })
        .function("interop.trace", started(), trace)
        .function("interop.stamps", started(), async |call: Call<Lent>| {
            let names = call.request.stamped_headers.iter().map(|name| json!(name));
            let stamps = call.request.stamps.values().map(|stamp| json!(stamp.as_text()));
            Ok(names.chain(stamps).collect())
        })
}

/// What it was traced with, after what those before it were; and a child of its own on that queue.
async fn trace(call: Call<Lent>) -> Result<Value, TaskError> {
    let given = Given::of(&call, &[], &["before", "child"])?;
    if let Value::String(queue) = given.value("child") {
        call.scope.send(Signature::new("interop.trace").queue(queue)).await?;
    }
    let header = |name: &str| call.request.headers.get(name).and_then(|header| header.as_text());
    let headers = json!({
        "traceparent": header("traceparent"), "tracestate": header("tracestate"), "baggage": header("baggage"),
        "sentry-trace": header("sentry-trace"),
    });
    let mut seen = given.list("before");
    seen.push(headers);
    Ok(seen.into())
}

fn traces(registry: Registry<Lent>) -> Registry<Lent> {
    registry
        .function("interop.note", started(), async |call: Call<Lent>| {
            let given = Given::of(&call, &["key"], &[])?;
            call.context.redis.push(&given.text("key"), "ran").await?;
            Ok(Value::Null)
        })
        .function("interop.note_error", started(), async |call: Call<Lent>| {
            let given = Given::of(&call, &["task_id", "key"], &[])?;
            call.context
                .redis
                .push(&given.text("key"), &given.text("task_id"))
                .await?;
            Ok(Value::Null)
        })
        .function("interop.step", started(), step)
}

/// One part of a canvas: says in a list of all, in the order of time, that it has run, then adds one.
async fn step(call: Call<Lent>) -> Result<Value, TaskError> {
    let given = Given::of(&call, &["value", "log", "label"], &["pause"])?;
    tokio::time::sleep(given.seconds("pause", 0.0)).await;
    let line = format!("{} {} rust", given.text("label"), call.request.id);
    call.context.redis.push(&given.text("log"), &line).await?;
    match given.value("value") {
        Value::Array(values) => plus(&sum(&values)?, &json!(1)),
        value => plus(&value, &json!(1)),
    }
}
