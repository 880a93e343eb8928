//! Tasks that are tried again, and those that the broker gets back.

use std::sync::PoisonError;
use std::time::Duration;

use serde_json::{Map, Value, json};
use waybill_tasks::celery::registry::{Backoff, Call, Registry, Retry, TaskError, TaskOptions};

use super::plain::unpickleable;
use super::{early, expected, name, value_error};
use crate::Lent;
use crate::given::{Given, plus};

pub(super) fn register(registry: Registry<Lent>) -> Registry<Lent> {
    let by_itself = TaskOptions {
        autoretry: Some(|exception| exception.exc_type == "ValueError"),
        max_retries: Some(1),
        retry: Backoff::exponential(),
        ..early()
    };
    let registry = registry
        .function(
            "auto_retry_class_task",
            by_itself,
            async |call: Call<Lent>| match call.request.retries {
                0 => Err(value_error("")),
                retries => Ok(json!(retries)),
            },
        )
        .function(name("retry"), early(), async |call: Call<Lent>| {
            let given = Given::of(&call, &[], &["return_value"])?;
            if call.request.retries >= 3 && !given.value("return_value").is_null() {
                return Ok(given.value("return_value"));
            }
            Err(Retry::default()
                .countdown(Duration::from_secs(5))
                .exception(expected(Vec::new()))
                .into())
        })
        .function(name("retry_unpickleable"), early(), async |call: Call<Lent>| {
            let given = Given::of(&call, &["foo", "bar"], &["retry_kwargs"])?;
            let told = given.value("retry_kwargs");
            let after = Duration::from_secs(told["countdown"].as_u64().unwrap_or(1));
            let most = told["max_retries"].as_u64().unwrap_or(3) as u32;
            Err(Retry::default()
                .countdown(after)
                .max_retries(most)
                .exception(unpickleable(&given))
                .into())
        });
    rejected(once(changing(registry)))
}

/// Those that come for the second time with other arguments.
fn changing(registry: Registry<Lent>) -> Registry<Lent> {
    let options = |positional| TaskOptions {
        max_retries: Some(1),
        positional,
        ..early()
    };
    registry
        .function(
            name("retry_with_args_after_kwargs"),
            options(&["foo", "bar", "label"]),
            async |call: Call<Lent>| {
                let given = Given::of(&call, &["foo", "bar"], &["label"])?;
                let (first, second) = (given.value("foo"), given.value("bar"));
                if call.request.retries == 0 {
                    let more = [plus(&first, &json!(1))?, plus(&second, &json!(1))?];
                    return Err(Retry::default().args(more).countdown(Duration::ZERO).into());
                }
                Ok(
                    json!({"foo": first, "bar": second, "label": given.value("label"), "retries": call.request.retries,
                    "is_eager": false}),
                )
            },
        )
        .function(
            name("retry_with_kwargs_after_args"),
            options(&["foo", "bar"]),
            async |call: Call<Lent>| {
                let given = Given::of(&call, &["foo", "bar"], &[])?;
                let (first, second) = (given.value("foo"), given.value("bar"));
                if call.request.retries == 0 {
                    let more = Map::from_iter([("foo".to_owned(), plus(&first, &json!(1))?)]);
                    return Err(Retry::default().kwargs(more).countdown(Duration::ZERO).into());
                }
                Ok(json!({"foo": first, "bar": second, "retries": call.request.retries, "is_eager": false}))
            },
        )
}

/// Those that say something of themselves when they come for the second time.
fn once(registry: Registry<Lent>) -> Registry<Lent> {
    let once = || TaskOptions {
        max_retries: Some(1),
        ..early()
    };
    let ignored = TaskOptions {
        ignore_result: true,
        ..early()
    };
    registry
        .function(name("retry_once"), once(), async |call: Call<Lent>| {
            second(&call, json!(call.request.retries))
        })
        .function(name("retry_once_ignore_result"), ignored, async |call: Call<Lent>| {
            second(&call, json!(call.request.retries))
        })
        .function(name("retry_once_with_result"), early(), async |call: Call<Lent>| {
            second(&call, json!(call.request.retries))
        })
        .function(name("retry_once_priority"), once(), async |call: Call<Lent>| {
            second(&call, json!(call.request.priority))
        })
        .function(name("retry_once_headers"), once(), async |call: Call<Lent>| {
            let headers = call
                .request
                .headers
                .iter()
                .filter_map(|(name, value)| Some((name.clone(), json!(value.as_text()?))));
            second(&call, Value::Object(headers.collect()))
        })
}

fn second(call: &Call<Lent>, answer: Value) -> Result<Value, TaskError> {
    match call.request.retries {
        0 => {
            let seconds = call
                .request
                .kwargs
                .get("countdown")
                .and_then(Value::as_f64)
                .unwrap_or(0.1);
            Err(Retry::default().countdown(Duration::from_secs_f64(seconds)).into())
        }
        _ => Ok(answer),
    }
}

fn rejected(registry: Registry<Lent>) -> Registry<Lent> {
    registry
        .function(
            name("reject_then_succeed"),
            TaskOptions::default(),
            async |call: Call<Lent>| match came_before(&call) {
                true => Ok(json!("second-pass")),
                false => Err(reject(true)),
            },
        )
        .function(
            name("store_success_then_reject"),
            TaskOptions::default(),
            async |call: Call<Lent>| {
                if came_before(&call) {
                    return Ok(json!("dedup-pass"));
                }
                call.scope.update_state("SUCCESS", json!("first-pass")).await?;
                Err(reject(true))
            },
        )
        .function(name("reject_without_requeue"), early(), async |_: Call<Lent>| {
            Err(reject(false))
        })
}

fn came_before(call: &Call<Lent>) -> bool {
    let mut seen = call.context.seen.lock().unwrap_or_else(PoisonError::into_inner);
    !seen.insert(call.request.id.clone())
}

fn reject(requeue: bool) -> TaskError {
    TaskError::Reject {
        requeue,
        reason: "rejected".to_owned(),
    }
}
