//! What a worker sends after a task has ended.

use std::sync::atomic::Ordering;

use serde_json::json;

use crate::celery::results::TaskResult;

use super::world::{World, canvas, ended, first, request};
use super::*;
use crate::celery::results::State;

fn plain(name: &str, options: &Value) -> Value {
    json!({"task": name, "args": [], "kwargs": {}, "options": options, "subtask_type": null, "immutable": false})
}

fn boom() -> Exception {
    Exception::builtin("ValueError", "boom")
}

#[tokio::test]
async fn the_next_step_of_a_chain_has_its_own_id_and_the_rest() {
    let world = Arc::new(World::default());
    let mut add = plain(
        "tasks.add",
        &json!({"queue": "nobody", "task_id": "c285", "reply_to": "asker"}),
    );
    add["args"] = json!([2]);
    let last = plain("tasks.show", &json!({"task_id": "1228"}));
    let request = request(&json!({"callbacks": null, "errbacks": null, "chain": [last, add], "chord": null}));

    let children = canvas(&world).succeeded(&request, &json!(2)).await.unwrap();

    assert_eq!(children, [json!([["c285", null], null])]);
    let next = world.requests().remove(0);
    assert_eq!((next.id.as_str(), &next.args), ("c285", &vec![json!(2), json!(2)]));
    assert_eq!(
        (next.root_id.as_deref(), next.parent_id.as_deref()),
        (Some("the-id"), Some("the-id"))
    );
    assert_eq!(
        (next.embed.chain, next.reply_to.as_deref()),
        (json!([last]), Some("asker"))
    );
}

#[tokio::test]
async fn one_callback_is_a_child_and_two_are_a_group() {
    let world = Arc::new(World::default());
    let (mut one, two) = (plain("one", &json!({})), plain("two", &json!({})));
    one["args"] = json!([10]);

    let children = canvas(&world)
        .succeeded(&request(&json!({"callbacks": [one]})), &json!(3))
        .await
        .unwrap();
    let sent = world.sent();
    assert_eq!(children, [json!([[sent[0][1], null], null])]);
    assert_eq!(sent[0][2], json!([3, 10]));

    let children = canvas(&world)
        .succeeded(&request(&json!({"callbacks": [one, two]})), &json!(3))
        .await
        .unwrap();
    let sent = world.requests();
    let group = sent[0].group.clone().unwrap();
    let members: Vec<_> = sent.iter().map(|request| json!([[request.id, null], null])).collect();
    assert_eq!(children, [json!([[group, null], members])]);
    let places: Vec<_> = sent
        .iter()
        .map(|request| (request.group.clone(), request.group_index))
        .collect();
    assert_eq!(places, [(Some(group.clone()), Some(0)), (Some(group), Some(1))]);
}

#[tokio::test]
async fn a_message_that_is_dealt_with_twice_sends_the_same_ids() {
    let world = Arc::new(World::default());
    let header = group([task("b"), chain([task("c"), task("d")])]);
    let request = request(&json!({"callbacks": [task("one").write(), task("two").write()],
        "chain": [chord(header.members().to_vec(), task("e")).write()]}));

    canvas(&world).succeeded(&request, &json!(1)).await.unwrap();
    let once = world.sent();
    canvas(&world).succeeded(&request, &json!(1)).await.unwrap();
    let twice = world.sent();

    assert_eq!(once.len(), 4);
    assert_eq!(once, twice);
    let mut again = request.clone();
    again.retries = 1;
    canvas(&world).succeeded(&again, &json!(1)).await.unwrap();
    assert_ne!(world.sent(), once);
}

#[tokio::test]
async fn error_callbacks_are_sent_with_the_id_of_what_failed() {
    let world = Arc::new(World::default());
    let mut fixed = plain("fixed", &json!({}));
    (fixed["immutable"], fixed["args"]) = (json!(true), json!(["only this"]));
    let request = request(&json!({"errbacks": [plain("remote.err", &json!({"queue": "nobody"})), fixed]}));

    canvas(&world).failed(&request, &boom(), State::Failure).await.unwrap();

    let sent = world.requests();
    assert_eq!(sent[0].args, [json!("the-id")]);
    assert_eq!(sent[1].args, [json!("only this")]);
    assert_eq!(
        (sent[0].parent_id.as_deref(), sent[0].group_index),
        (Some("the-id"), Some(0))
    );
    canvas(&world)
        .failed(
            &request,
            &Exception::celery("TaskRevokedError", "revoked"),
            State::Revoked,
        )
        .await
        .unwrap();
    assert!(world.sent().is_empty());
}

#[tokio::test]
async fn a_chain_that_breaks_ends_for_all_who_wait_for_it() {
    let world = Arc::new(World::default());
    let body = plain("body", &json!({"task_id": "6"}));
    let chord = json!({"task": "celery.chord", "args": [], "options": {"task_id": "g"}, "subtask_type": "chord", "immutable": false,
        "kwargs": {"kwargs": {}, "header": [], "body": body}});
    let last = plain(
        "last",
        &json!({"task_id": "7", "reply_to": "asker", "group_id": "outer", "group_index": 1, "chord": body}),
    );
    let request = request(&json!({"chain": [last, chord, plain("next", &json!({"task_id": "5"}))]}));

    canvas(&world).failed(&request, &boom(), State::Failure).await.unwrap();

    assert_eq!(
        world.happened(),
        ["store 5 FAILURE", "store 6 FAILURE", "store 7 FAILURE", "rpc to asker"]
    );
    let results = world.results.lock().unwrap();
    assert_eq!(results["7"].exception().unwrap().repr(), "ValueError('boom')");
    assert_eq!(results["7"].group_id.as_deref(), Some("outer"));
    let part = &world.parts.lock().unwrap()[0];
    assert_eq!(
        (part.task_id.as_str(), part.group_id.as_str(), part.group_index),
        ("7", "outer", Some(1))
    );
}

#[tokio::test]
async fn a_chord_says_its_size_before_its_header_is_sent_and_its_body_gets_all_results() {
    let world = Arc::new(World::default());
    let body = task("body").args(["own"]).link(task("after"));
    let start = first(
        &world,
        chain([task("a"), group([task("b"), task("c")]), body, task("last")]),
    )
    .await;
    world.happened();

    canvas(&world).succeeded(&start, &json!(1)).await.unwrap();

    let happened = world.happened();
    assert!(
        happened[0].starts_with("begin ") && happened[0].ends_with(" of 2"),
        "{happened:?}"
    );
    assert_eq!(happened[1..], ["send b", "send c"]);
    let header = world.requests();
    for (request, value) in header.iter().rev().zip(["second", "first"]) {
        canvas(&world)
            .stored(request, &ended(request, State::Success, json!(value)))
            .await
            .unwrap();
    }
    let body = world.requests().remove(0);
    assert_eq!(body.args, [json!(["first", "second"]), json!("own")]);
    assert_eq!(body.embed.callbacks[0]["task"], "after");
    assert_eq!(body.embed.chain[0]["task"], "last");
    assert_eq!(body.root_id, start.root_id);
    let gid = header[0].group.clone().unwrap();
    assert_eq!(world.happened(), ["send body".to_owned(), format!("finish {gid}")]);
}

#[tokio::test]
async fn a_part_that_fails_fails_the_body_and_what_follows_it() {
    let world = Arc::new(World::default());
    let body = task("body").with_id("the-body").link_error(task("err"));
    let start = first(
        &world,
        chain([
            task("a"),
            chord([task("b"), task("c")], body),
            task("last").with_id("the-last"),
        ]),
    )
    .await;
    canvas(&world).succeeded(&start, &json!(1)).await.unwrap();
    let header = world.requests();
    world.happened();

    let failed = TaskResult::raised(&header[0].id, State::Failure, &boom(), Utc::now());
    canvas(&world).stored(&header[0], &failed).await.unwrap();
    canvas(&world)
        .stored(&header[1], &ended(&header[1], State::Success, json!(2)))
        .await
        .unwrap();

    let sent = world.sent();
    assert_eq!((&sent[0][0], &sent[0][2]), (&json!("err"), &json!(["the-body"])));
    let gid = header[0].group.clone().unwrap();
    let expected = [
        "send err".to_owned(),
        "store the-body FAILURE".to_owned(),
        "store the-last FAILURE".to_owned(),
        format!("abandon {gid}"),
    ];
    assert_eq!(world.happened(), expected);
    let body = world.results.lock().unwrap()["the-body"].clone();
    // What was called because of it is its child: who knows the body finds the error callback, and its result.
    assert_eq!(body.children[0][1], json!([[[sent[0][1], null], null]]));
    let error = body.exception().unwrap();
    assert_eq!(
        error.to_json(),
        json!({"exc_type": "ChordError", "exc_module": "celery.exceptions",
        "exc_message": [format!("Dependency {} raised ValueError('boom')", header[0].id)]})
    );
}

#[tokio::test]
async fn a_chord_in_a_chord_fails_both() {
    let world = Arc::new(World::default());
    let inner = chord([task("b"), task("c")], task("inner").with_id("inner"));
    canvas(&world)
        .apply(chord([inner, task("d")], task("outer").with_id("outer")))
        .await
        .unwrap();
    let sent = world.requests();
    world.happened();

    for request in &sent {
        let failed = TaskResult::raised(&request.id, State::Failure, &boom(), Utc::now());
        canvas(&world).stored(request, &failed).await.unwrap();
    }

    let happened = world.happened();
    let stored: Vec<_> = happened.iter().filter(|what| what.starts_with("store")).collect();
    assert_eq!(stored, ["store inner FAILURE", "store outer FAILURE"]);
}

#[tokio::test]
async fn an_error_callback_of_a_chord_in_a_chord_is_called_once() {
    for (on_the_inner, called) in [(true, "inner"), (false, "outer")] {
        let world = Arc::new(World::default());
        let linked = |body: Sig, links: bool| if links { body.link_error(task("err")) } else { body };
        let inner = chord(
            [task("b"), task("c")],
            linked(task("inner").with_id("inner"), on_the_inner),
        );
        let outer = linked(task("outer").with_id("outer"), true);
        canvas(&world).apply(chord([inner, task("d")], outer)).await.unwrap();
        let header = world.requests();

        for request in &header {
            let failed = TaskResult::raised(&request.id, State::Failure, &boom(), Utc::now());
            canvas(&world).stored(request, &failed).await.unwrap();
        }

        let sent = world.sent();
        assert_eq!(sent.len(), 1);
        assert_eq!((&sent[0][0], &sent[0][2]), (&json!("err"), &json!([called])));
        let results = world.results.lock().unwrap();
        assert!(results["inner"].exception().is_some() && results["outer"].exception().is_some());
    }
}

#[tokio::test]
async fn a_group_that_is_a_body_fails_with_what_its_part_has_raised() {
    let world = Arc::new(World::default());
    let body = group([task("x").with_id("x").link_error(task("err")), task("y").with_id("y")]);
    canvas(&world).apply(chord([task("b"), task("c")], body)).await.unwrap();
    let sent = world.requests();

    for request in &sent {
        let failed = TaskResult::raised(&request.id, State::Failure, &boom(), Utc::now());
        canvas(&world).stored(request, &failed).await.unwrap();
    }

    let results = world.results.lock().unwrap();
    assert_eq!(results["x"].exception().unwrap().repr(), "ValueError('boom')");
    assert_eq!(results["y"].exception().unwrap().repr(), "ValueError('boom')");
    assert_eq!(world.sent.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn where_results_are_not_counted_a_task_looks_for_them() {
    let world = Arc::new(World {
        polls: true,
        ..World::default()
    });
    canvas(&world)
        .apply(chord(
            [task("b"), task("c")],
            task("body").queue("bodies").option("priority", 4),
        ))
        .await
        .unwrap();

    let message = world.sent.lock().unwrap()[2].clone();
    let sent = world.requests();
    let unlock = &sent[2];
    assert_eq!(
        (
            unlock.task.as_str(),
            message.routing_key.as_str(),
            message.properties.priority
        ),
        ("celery.chord_unlock", "bodies", Some(4))
    );
    assert_eq!(unlock.args[0], sent[0].group.clone().unwrap());
    assert_eq!(unlock.args[1], sent[0].embed.chord);
    assert_eq!(
        unlock.kwargs["result"],
        json!([[[sent[0].id, null], null], [[sent[1].id, null], null]])
    );
    assert_eq!(unlock.kwargs["interval"], Value::Null);
    assert_eq!((unlock.ignore_result, unlock.eta.is_some()), (Some(true), true));
}

#[tokio::test]
async fn without_a_backend_a_chord_is_refused_and_everything_else_goes_on() {
    let world = Arc::new(World::default());
    let canvas = Canvas::new(world.clone(), "celery");

    let refused = canvas
        .apply(chord([task("b"), task("c")], task("body")))
        .await
        .unwrap_err();

    assert_eq!(refused.exception().exc_type, "NotImplementedError");
    assert!(!refused.is_passing() && world.sent().is_empty());
    canvas
        .apply(chain([task("a"), group([task("b"), task("c")])]))
        .await
        .unwrap();
    assert_eq!(world.sent().len(), 1);
}

#[tokio::test]
async fn a_queue_that_nobody_has_made_is_made() {
    let world = Arc::new(World::default());
    let request = request(&json!({"callbacks": [plain("one", &json!({"queue": "missing"}))]}));

    canvas(&world).succeeded(&request, &json!(1)).await.unwrap();

    assert_eq!(*world.queues.lock().unwrap(), ["missing"]);
    assert_eq!(world.sent().len(), 1);
}

#[tokio::test]
async fn what_cannot_be_sent_now_is_an_error_that_passes() {
    let world = Arc::new(World::default());
    world.broker_away.store(true, Ordering::SeqCst);
    let embed = json!({"callbacks": [plain("one", &json!({}))], "errbacks": [plain("err", &json!({}))]});

    let succeeded = canvas(&world).succeeded(&request(&embed), &json!(1)).await;
    let failed = canvas(&world).failed(&request(&embed), &boom(), State::Failure).await;

    assert!(succeeded.unwrap_err().is_passing());
    assert!(failed.unwrap_err().is_passing());
    let embed = json!({"errbacks": [{"no": "task"}], "callbacks": [{"no": "task"}]});
    assert!(
        canvas(&world)
            .failed(&request(&embed), &boom(), State::Failure)
            .await
            .is_ok()
    );
    assert!(
        !canvas(&world)
            .succeeded(&request(&embed), &json!(1))
            .await
            .unwrap_err()
            .is_passing()
    );
}

#[tokio::test]
async fn a_task_is_replaced_under_its_id_with_everything_that_was_to_follow_it() {
    let world = Arc::new(World::default());
    let mut request = request(
        &json!({"callbacks": [plain("after", &json!({}))], "errbacks": [plain("err", &json!({}))],
        "chain": [plain("last", &json!({"task_id": "9"}))]}),
    );
    request.reply_to = Some("asker".to_owned());

    canvas(&world)
        .replace(&request, chain([task("x"), task("y")]))
        .await
        .unwrap();

    let x = world.requests().remove(0);
    assert_eq!(
        (x.task.as_str(), x.replaced_task_nesting, x.root_id.as_deref()),
        ("x", 1, Some("the-id"))
    );
    assert_eq!(x.embed.errbacks[0]["task"], "err");
    let steps = x.embed.chain.as_array().unwrap();
    let ids: Vec<_> = steps
        .iter()
        .map(|step| (&step["task"], &step["options"]["task_id"]))
        .collect();
    assert_eq!(ids, [(&json!("last"), &json!("9")), (&json!("y"), &json!("the-id"))]);
    assert_eq!(
        (
            &steps[1]["options"]["link"][0]["task"],
            &steps[1]["options"]["reply_to"]
        ),
        (&json!("after"), &json!("asker"))
    );

    canvas(&world)
        .replace(&request, group([task("x"), task("y")]))
        .await
        .unwrap();
    let members = world.requests();
    assert_eq!(members.len(), 2);
    let body = &members[0].embed.chord;
    assert_eq!(
        (&body["task"], &body["options"]["task_id"]),
        (&json!("celery.accumulate"), &json!("the-id"))
    );
}
