//! Tasks that send others, or leave their place to them.

use serde_json::{Value, json};
use waybill_tasks::celery::registry::{Call, Exception, Registry, TaskError};

use super::{early, name};
use crate::Lent;
use crate::canvas::{chain, chord, group, immutable, task, with};
use crate::given::Given;

pub(super) fn register(registry: Registry<Lent>) -> Registry<Lent> {
    nested(second_order(replacing(sending(registry))))
}

fn own(task_name: &str, args: Value) -> Value {
    task(&name(task_name), args)
}

fn sending(registry: Registry<Lent>) -> Registry<Lent> {
    registry
        .function(name("chain_add"), early(), async |call: Call<Lent>| {
            let given = Given::of(&call, &["x", "y"], &[])?;
            let (x, y) = (given.value("x"), given.value("y"));
            call.scope
                .apply(&chain(vec![own("add", json!([x, x])), own("add", json!([y]))]))
                .await?;
            Ok(Value::Null)
        })
        .function(name("chord_add"), early(), async |call: Call<Lent>| {
            let given = Given::of(&call, &["x", "y"], &[])?;
            let (x, y) = (given.value("x"), given.value("y"));
            call.scope
                .apply(&chord(vec![own("add", json!([x, x]))], own("add", json!([y]))))
                .await?;
            Ok(Value::Null)
        })
        .function(name("build_chain_inside_task"), early(), async |call: Call<Lent>| {
            let four = group(vec![own("add", json!([3])), own("add", json!([4]))]);
            let tasks = vec![
                own("add", json!([1, 1])),
                own("add", json!([2])),
                four,
                own("add", json!([5])),
            ];
            call.scope.apply(&chain(tasks)).await
        })
        .function(name("add_to_all_to_chord"), early(), async |call: Call<Lent>| {
            let given = Given::of(&call, &["nums", "val"], &[])?;
            for num in given.list("nums") {
                add_to_chord(&call, own("add", json!([num, given.value("val")]))).await?;
            }
            Ok(json!(0))
        })
        .function(name("add_chord_to_chord"), early(), async |call: Call<Lent>| {
            let given = Given::of(&call, &["nums", "val"], &[])?;
            let header = given
                .list("nums")
                .into_iter()
                .map(|num| own("add", json!([num, given.value("val")])));
            add_to_chord(&call, chord(header.collect(), own("tsum", json!([])))).await?;
            Ok(json!(0))
        })
}

/// One more task in the header of the chord that this one is in: Redis counts it as missing before it is sent.
async fn add_to_chord(call: &Call<Lent>, signature: Value) -> Result<(), TaskError> {
    let group = call.request.group.clone().unwrap_or_default();
    call.context
        .redis
        .count(&format!("celery-taskset-meta-{group}.t"))
        .await?;
    let signature = with(signature, "group_id", json!(group));
    let signature = with(signature, "group_index", json!(call.request.group_index));
    call.scope
        .apply(&with(signature, "chord", call.request.embed.chord.clone()))
        .await?;
    Ok(())
}

fn replacing(registry: Registry<Lent>) -> Registry<Lent> {
    registry
        .function(name("add_replaced"), early(), async |call: Call<Lent>| {
            let given = Given::of(&call, &["x", "y"], &[])?;
            leave_to(&call, own("add", json!([given.value("x"), given.value("y")]))).await
        })
        .function(name("add_replaced_with_chain"), early(), async |call: Call<Lent>| {
            let given = Given::of(&call, &["x", "y"], &[])?;
            let add = own("add", json!([given.value("x"), given.value("y")]));
            leave_to(&call, chain(vec![add, own("identity", json!([]))])).await
        })
        .function(name("replace_with_chain"), early(), async |call: Call<Lent>| {
            let tasks = vec![own("identity", json!(call.request.args)), own("identity", json!([]))];
            leave_to(&call, with(chain(tasks), "link", json!([echo(&call)]))).await
        })
        .function(
            name("replace_with_chain_which_raises"),
            early(),
            async |call: Call<Lent>| {
                let tasks = vec![own("identity", json!(call.request.args)), own("raise_error", json!([]))];
                leave_to(&call, with(chain(tasks), "link_error", json!([echo(&call)]))).await
            },
        )
        .function(name("replace_with_empty_chain"), early(), async |_: Call<Lent>| {
            Err(Exception::celery("ImproperlyConfigured", "Cannot replace with an empty chain").into())
        })
        .function(
            name("replace_with_chain_which_contains_a_group"),
            early(),
            async |call: Call<Lent>| {
                let two = group(vec![own("add", json!([1])), own("add", json!([1]))]);
                leave_to(&call, chain(vec![own("add", json!([1, 2])), two])).await
            },
        )
        .function(name("add_to_all"), early(), async |call: Call<Lent>| {
            let given = Given::of(&call, &["nums", "val"], &[])?;
            let tasks = given
                .list("nums")
                .into_iter()
                .map(|num| own("add", json!([num, given.value("val")])));
            leave_to(&call, group(tasks.collect())).await
        })
        .function(name("fail_replaced"), early(), async |call: Call<Lent>| {
            leave_to(&call, immutable(own("fail", json!(call.request.args)))).await
        })
        .function(name("record_replaced_task_nesting"), early(), record_nesting)
        .function(name("replace_with_stamped_task"), early(), async |call: Call<Lent>| {
            let given = match Given::of(&call, &[], &["replace_with"])?.value("replace_with") {
                Value::Null => own("replaced_with_me", json!([])),
                given => given,
            };
            let stamped = with(given, "stamped_headers", json!(["StampOnReplace"]));
            leave_to(
                &call,
                with(stamped, "StampOnReplace", json!("This is the replaced task")),
            )
            .await
        })
}

async fn leave_to(call: &Call<Lent>, signature: Value) -> Result<Value, TaskError> {
    Err(call.scope.replace(&signature).await)
}

/// The link of a replacing chain: with a message of its own, it takes nothing from the chain.
fn echo(call: &Call<Lent>) -> Value {
    match call.request.kwargs.get("link_msg") {
        None | Some(Value::Null) => own("redis_echo", json!([])),
        Some(message) => immutable(own("redis_echo", json!([message]))),
    }
}

async fn record_nesting(call: Call<Lent>) -> Result<Value, TaskError> {
    let given = Given::of(&call, &["replacements"], &["nesting"])?;
    let mut nesting = given.list("nesting");
    nesting.push(json!(call.request.replaced_task_nesting));
    let left = given.value("replacements").as_i64().unwrap_or_default();
    if left == 0 {
        return Ok(json!(nesting));
    }
    let again = own("record_replaced_task_nesting", json!([left - 1, nesting]));
    leave_to(&call, with(again, "reply_to", json!(call.request.reply_to))).await
}

fn second_order(registry: Registry<Lent>) -> Registry<Lent> {
    registry
        .function(name("second_order_replace1"), early(), async |call: Call<Lent>| {
            let inner = own("second_order_replace2", json!([]));
            in_and_out(call, "A", inner, "second_order_replace1").await
        })
        .function(name("second_order_replace2"), early(), async |call: Call<Lent>| {
            let inner = own("redis_echo", json!(["In/Out C"]));
            in_and_out(call, "B", inner, "second_order_replace2").await
        })
}

/// Leaves its place to the inner one and then to itself, which says that it is out.
async fn in_and_out(call: Call<Lent>, label: &str, inner: Value, itself: &str) -> Result<Value, TaskError> {
    let state = Given::of(&call, &[], &["state"])?.value("state");
    if state == json!(true) {
        call.context.redis.push("redis-echo", &format!("Out {label}")).await?;
        return Ok(Value::Null);
    }
    call.context.redis.push("redis-echo", &format!("In {label}")).await?;
    let mut after = immutable(own(itself, json!([])));
    after["kwargs"] = json!({"state": true});
    leave_to(&call, chain(vec![inner, after])).await
}

/// Tasks that answer a signature, and the one that looks at it.
fn nested(registry: Registry<Lent>) -> Registry<Lent> {
    let add = || own("add", json!([]));
    let shapes = [
        ("chain_chain", chain(vec![chain(vec![add()])])),
        ("chain_group", chain(vec![group(vec![add()])])),
        ("chain_chord", chain(vec![chord(vec![add()], add())])),
        ("group_chain", group(vec![chain(vec![add()])])),
        ("group_group", group(vec![group(vec![add()])])),
        ("group_chord", group(vec![chord(vec![add()], add())])),
        ("chord_chain", chord(vec![chain(vec![add()])], add())),
        ("chord_group", chord(vec![group(vec![add()])], add())),
        ("chord_chord", chord(vec![chord(vec![add()], add())], add())),
    ];
    let registry = shapes.into_iter().fold(registry, |registry, (shape, signature)| {
        let task = name(&format!("return_nested_signature_{shape}"));
        registry.function(task, early(), move |_: Call<Lent>| {
            let signature = signature.clone();
            async move { Ok(signature) }
        })
    });
    registry.function(name("rebuild_signature"), early(), async |call: Call<Lent>| {
        let signature = Given::of(&call, &["sig_dict"], &[])?.value("sig_dict");
        match is_signature(&signature) {
            true => Ok(Value::Null),
            false => Err(Exception::builtin("TypeError", "that is not a signature object").into()),
        }
    })
}

fn is_signature(value: &Value) -> bool {
    let parts = |name: &str| value["kwargs"][name].as_array().cloned().unwrap_or_default();
    let inner = [parts("tasks"), parts("header")].concat();
    let body = value["kwargs"].get("body");
    value["task"].is_string()
        && value["options"].is_object()
        && inner.iter().all(is_signature)
        && body.is_none_or(is_signature)
}
