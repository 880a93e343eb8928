mod builtin;
mod chords;
mod following;
mod likeness;
mod world;

use serde_json::json;

use super::*;

#[test]
fn a_signature_is_written_as_it_was_read() {
    for written in [
        json!({"task": "tasks.add", "args": [4], "kwargs": {}, "subtask_type": null, "immutable": false,
            "options": {"task_id": "1", "reply_to": "2", "stamped_headers": ["mine"], "mine": "v", "unknown": {"deep": [1]},
                "headers": {"x": 1}}}),
        json!({"task": "celery.chunks", "args": [], "subtask_type": null, "immutable": true, "options": {},
            "kwargs": {"task": {"task": "add"}, "it": [[1, 2]], "n": 1}, "chord_size": 3}),
        json!({"task": "celery.chord", "args": [], "options": {}, "subtask_type": "chord", "immutable": false,
            "kwargs": {"kwargs": {"y": 1}, "more": null,
                "header": {"task": "celery.group", "args": [], "options": {"task_id": "g"}, "subtask_type": "group",
                    "immutable": false, "kwargs": {"tasks": []}},
                "body": {"task": "b", "args": [], "kwargs": {}, "options": {}, "subtask_type": null, "immutable": true}}}),
    ] {
        assert_eq!(Sig::read(&written).unwrap().write(), written);
    }
}

#[test]
fn a_signature_that_is_none_has_a_place() {
    let bad = |value: Value| Sig::read(&value).unwrap_err().to_string();

    assert_eq!(
        bad(json!("add")),
        "a signature at signature is wrong: expected an object"
    );
    assert_eq!(
        bad(json!({"args": []})),
        "a signature at signature.task is wrong: expected a task's name"
    );
    assert_eq!(
        bad(json!({"task": "a", "args": 1})),
        "a signature at signature.args is wrong: expected a list"
    );
    let chain = json!({"task": "celery.chain", "subtask_type": "chain", "kwargs": {"tasks": [{"task": "a"}, 5]}});
    assert_eq!(
        bad(chain),
        "a signature at signature.tasks[1] is wrong: expected an object"
    );
    let chord = json!({"task": "celery.chord", "subtask_type": "chord", "kwargs": {"header": []}});
    assert_eq!(bad(chord), "a signature at signature.body is wrong: expected an object");
}

#[test]
fn signatures_made_by_hand_are_what_python_writes() {
    let sig = chain([
        task("a").args([1]).kwarg("x", true),
        group([task("b"), task("c").immutable()]),
    ])
    .then(task("d"));
    let plain = |name: &str| json!({"task": name, "args": [], "kwargs": {}, "options": {}, "subtask_type": null, "immutable": false});
    let mut a = plain("a");
    a["args"] = json!([1]);
    a["kwargs"] = json!({"x": true});
    let mut c = plain("c");
    c["immutable"] = json!(true);
    let group = json!({"task": "celery.group", "args": [], "kwargs": {"tasks": [plain("b"), c]}, "options": {},
        "subtask_type": "group", "immutable": false});

    let expected = json!({"task": "celery.chain", "args": [], "kwargs": {"tasks": [a, group, plain("d")]}, "options": {},
        "subtask_type": "chain", "immutable": false});
    assert_eq!(sig.write(), expected);
}
