//! Tasks that answer, fail or leave a trace, and do nothing else.

use std::fs::File;
use std::io::Write as _;

use serde_json::{Value, json};
use waybill_tasks::celery::registry::{Call, Exception, Registry, TaskError, TaskOptions};

use super::{early, expected, name, value_error};
use crate::Lent;
use crate::given::{Given, plus, sum};

pub(super) fn register(registry: Registry<Lent>) -> Registry<Lent> {
    let registry = arithmetic(registry)
        .function(name("identity"), early(), async |call: Call<Lent>| {
            Ok(Given::of(&call, &["x"], &[])?.value("x"))
        })
        .function(name("return_exception"), early(), async |call: Call<Lent>| {
            Ok(json!([Given::of(&call, &["e"], &[])?.value("e"), true]))
        })
        .function(name("sleeping"), early(), async |call: Call<Lent>| {
            let seconds = call
                .request
                .args
                .first()
                .or(call.request.kwargs.get("i"))
                .and_then(Value::as_f64);
            tokio::time::sleep(std::time::Duration::from_secs_f64(seconds.unwrap_or_default())).await;
            Ok(Value::Null)
        })
        .function(name("print_unicode"), early(), async |_: Call<Lent>| {
            tracing::warn!("håå®ƒ valmuefrø");
            Ok(Value::Null)
        })
        .function(
            name("write_to_file_and_return_int"),
            early(),
            async |call: Call<Lent>| {
                let given = Given::of(&call, &["file_name", "i"], &[])?;
                write_line(&given.text("file_name"), &given.text("i")).map_err(TaskError::failed)?;
                Ok(given.value("i"))
            },
        );
    about_itself(traces(failures(registry)))
}

fn arithmetic(registry: Registry<Lent>) -> Registry<Lent> {
    let ignored = TaskOptions {
        ignore_result: true,
        ..early()
    };
    registry
        .function(name("add"), early(), add)
        .function(name("add_not_typed"), early(), add_two)
        .function(name("add_ignore_result"), ignored, add_two)
        .function(name("add_with_result"), early(), add_two)
        .function(name("mul"), early(), async |call: Call<Lent>| {
            let given = Given::of(&call, &["x", "y"], &[])?;
            match (given.value("x").as_i64(), given.value("y").as_i64()) {
                (Some(x), Some(y)) => Ok(json!(x * y)),
                _ => Err(Exception::builtin("TypeError", "can't multiply these").into()),
            }
        })
        .function(name("tsum"), early(), async |call: Call<Lent>| {
            sum(&Given::of(&call, &["nums"], &[])?.list("nums"))
        })
        .function(name("xsum"), early(), async |call: Call<Lent>| {
            let nums = Given::of(&call, &["nums"], &[])?.list("nums");
            let sums = nums
                .iter()
                .map(|num| num.as_array().map_or_else(|| Ok(num.clone()), |nums| sum(nums)));
            sum(&sums.collect::<Result<Vec<_>, _>>()?)
        })
        .function(name("delayed_sum"), early(), async |call: Call<Lent>| {
            let given = Given::of(&call, &["numbers"], &["pause_time"])?;
            tokio::time::sleep(given.seconds("pause_time", 1.0)).await;
            sum(&given.list("numbers"))
        })
        .function(
            name("delayed_sum_with_soft_guard"),
            early(),
            async |call: Call<Lent>| {
                let given = Given::of(&call, &["numbers"], &["pause_time"])?;
                let soft = call.scope.soft_limit();
                tokio::select! {
                    () = tokio::time::sleep(given.seconds("pause_time", 1.0)) => sum(&given.list("numbers")),
                    () = soft.cancelled() => Ok(json!(0)),
                }
            },
        )
        .function(name("add_pydantic"), early(), add_model)
        .function(name("add_pydantic_string_annotations"), early(), add_model)
}

async fn add(call: Call<Lent>) -> Result<Value, TaskError> {
    let given = Given::of(&call, &["x", "y"], &["z"])?;
    let two = plus(&given.value("x"), &given.value("y"))?;
    match given.value("z") {
        Value::Null => Ok(two),
        z => plus(&two, &z),
    }
}

async fn add_two(call: Call<Lent>) -> Result<Value, TaskError> {
    let given = Given::of(&call, &["x", "y"], &[])?;
    plus(&given.value("x"), &given.value("y"))
}

async fn add_model(call: Call<Lent>) -> Result<Value, TaskError> {
    let data = Given::of(&call, &["data"], &[])?.value("data");
    Ok(json!({"result": plus(&data["x"], &data["y"])?}))
}

fn failures(registry: Registry<Lent>) -> Registry<Lent> {
    registry
        .function(name("raise_error"), early(), async |_: Call<Lent>| {
            Err(value_error("deliberate error"))
        })
        .function(name("fail"), early(), async |call: Call<Lent>| {
            let mut arguments = vec![json!("Task expected to fail")];
            arguments.extend(call.request.args.iter().cloned());
            Err(expected(arguments).into())
        })
        .function(name("fail_unpickleable"), early(), async |call: Call<Lent>| {
            let given = Given::of(&call, &["foo", "bar"], &[])?;
            Err(unpickleable(&given).into())
        })
}

/// An exception with a constructor that needs more than its arguments.
pub(super) fn unpickleable(given: &Given) -> Exception {
    Exception::new("UnpickleableException", "t.integration.tasks", given.value("foo"))
}

fn traces(registry: Registry<Lent>) -> Registry<Lent> {
    registry
        .function(name("redis_echo"), early(), async |call: Call<Lent>| {
            let given = Given::of(&call, &["message"], &["redis_key"])?;
            call.context
                .redis
                .push(&key(&given, "redis-echo"), &given.text("message"))
                .await?;
            Ok(Value::Null)
        })
        .function(name("redis_echo_group_id"), early(), async |call: Call<Lent>| {
            let given = Given::of(&call, &["_"], &["redis_key"])?;
            let group = call.request.group.clone().unwrap_or_default();
            call.context.redis.push(&key(&given, "redis-group-ids"), &group).await?;
            Ok(Value::Null)
        })
        .function(name("redis_count"), early(), async |call: Call<Lent>| {
            let given = Given::of(&call, &[], &["redis_key"])?;
            call.context.redis.count(&key(&given, "redis-count")).await?;
            Ok(Value::Null)
        })
        .function(name("sum_and_record"), early(), async |call: Call<Lent>| {
            let given = Given::of(&call, &["values", "redis_key"], &[])?;
            call.context
                .redis
                .push(&given.text("redis_key"), &call.request.id)
                .await?;
            sum(&given.list("values"))
        })
        .function(name("errback_old_style"), early(), count_error)
        .function(name("errback_new_style"), early(), count_error)
        .function(name("errback_old_style_with_args"), early(), echo_error)
        .function(name("errback_new_style_with_args"), early(), echo_error)
}

/// A worker without Python's signatures calls every error callback with the id of what failed.
async fn count_error(call: Call<Lent>) -> Result<Value, TaskError> {
    let given = Given::of(&call, &["request_id"], &[])?;
    call.context.redis.count(&given.text("request_id")).await?;
    Ok(given.value("request_id"))
}

async fn echo_error(call: Call<Lent>) -> Result<Value, TaskError> {
    let given = Given::of(&call, &["request_id", "label"], &[])?;
    call.context
        .redis
        .push(&given.text("request_id"), &given.text("label"))
        .await?;
    Ok(Value::Null)
}

fn key(given: &Given, default: &str) -> String {
    match given.value("redis_key") {
        Value::String(key) => key,
        _ => default.to_owned(),
    }
}

fn about_itself(registry: Registry<Lent>) -> Registry<Lent> {
    registry
        .function(name("ids"), early(), async |call: Call<Lent>| {
            let given = Given::of(&call, &["i"], &[])?;
            Ok(json!([call.request.root_id, call.request.parent_id, given.value("i")]))
        })
        .function(name("collect_ids"), early(), async |call: Call<Lent>| {
            let given = Given::of(&call, &["res", "i"], &[])?;
            Ok(json!([
                given.value("res"),
                [call.request.root_id, call.request.parent_id, given.value("i")]
            ]))
        })
        .function(name("return_request_eta"), early(), async |call: Call<Lent>| {
            Ok(json!(
                call.request
                    .eta
                    .map(|eta| eta.to_rfc3339_opts(chrono::SecondsFormat::Micros, false))
            ))
        })
        .function(name("return_request_time_limits"), early(), time_limits)
        .function(
            name("task_with_declared_time_limits"),
            TaskOptions {
                time_limit: Some(std::time::Duration::from_secs(60)),
                soft_time_limit: Some(std::time::Duration::from_secs(45)),
                ..early()
            },
            async |call: Call<Lent>| {
                let limit = call.request.timelimit;
                Ok(json!({"time_limit": limit.hard.unwrap_or(60.0), "soft_time_limit": limit.soft.unwrap_or(45.0)}))
            },
        )
        .function(name("return_priority"), early(), async |call: Call<Lent>| {
            let priority = call
                .request
                .priority
                .map_or("None".to_owned(), |level| level.to_string());
            Ok(json!(format!("Priority: {priority}")))
        })
        .function(name("return_properties"), early(), async |call: Call<Lent>| {
            serde_json::to_value(&call.request.properties).map_err(TaskError::failed)
        })
        .function(
            name("soft_time_limit_must_exceed_time_limit"),
            TaskOptions {
                time_limit: Some(std::time::Duration::from_secs(1)),
                soft_time_limit: Some(std::time::Duration::from_secs(2)),
                ..early()
            },
            async |_: Call<Lent>| Ok(Value::Null),
        )
        .function(name("replaced_with_me"), early(), async |_: Call<Lent>| Ok(json!(true)))
}

async fn time_limits(call: Call<Lent>) -> Result<Value, TaskError> {
    let limit = call.request.timelimit;
    Ok(json!({"time_limit": limit.hard, "soft_time_limit": limit.soft}))
}

fn write_line(file: &str, line: &str) -> std::io::Result<()> {
    writeln!(File::options().create(true).append(true).open(file)?, "{line}")
}
