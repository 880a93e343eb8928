use serde_json::json;

use super::*;

/// As Celery 5.7 has stored them.
const STORED: [&str; 4] = [
    r#"{"status": "RETRY", "result": {"exc_type": "RuntimeError", "exc_message": ["again"], "exc_module": "builtins"}, "traceback": "celery.exceptions.Retry: Retry in 1s: RuntimeError('again')\n", "children": [[["bbbb-1", null], null]], "date_done": null, "task_id": "bbbb-1"}"#,
    r#"{"status": "FAILURE", "result": {"exc_type": "ValueError", "exc_message": ["e"], "exc_module": "builtins"}, "traceback": "ValueError: e\n", "children": [], "date_done": "2026-11-20T12:08:32.521863+00:00", "task_id": "bbbb-2", "parent_id": "bbbb-1"}"#,
    r#"{"status": "SUCCESS", "result": 3, "traceback": null, "children": [[["8e656a8c", null], [[["5a0b160d", null], null], [["a686b3c7", null], null]]]], "date_done": "2026-11-20T12:08:32.536805+00:00", "task_id": "bbbb-3", "group_id": "g"}"#,
    r#"{"status": "PROGRESS", "result": {"done": 3}, "traceback": null, "children": [[["last", [["first", null], null]], null]], "date_done": null, "task_id": "bbbb-4"}"#,
];

#[test]
fn what_python_has_stored_is_written_again_as_it_was() {
    for stored in STORED {
        let meta: Value = serde_json::from_str(stored).unwrap();

        let result = TaskResult::from_meta(&meta).unwrap();

        assert_eq!(result.to_meta(), meta);
    }
}

#[test]
fn only_an_end_has_a_date() {
    let now = "2026-11-20T12:00:00Z".parse().unwrap();
    for (word, ready, exception) in [
        ("STARTED", false, false),
        ("RETRY", false, true),
        ("SUCCESS", true, false),
        ("FAILURE", true, true),
        ("REVOKED", true, true),
        ("REJECTED", false, false),
        ("PROGRESS", false, false),
    ] {
        let state = State::from(word);
        let result = TaskResult::new("id", state.clone(), json!({"exc_type": "E"}), now);

        assert_eq!(state.as_str(), word);
        assert_eq!(
            (result.date_done.is_some(), result.exception().is_some()),
            (ready, exception),
            "{word}"
        );
    }
}

#[test]
fn an_exception_is_shown_as_python_shows_it() {
    for (document, shown) in [
        (
            json!({"exc_type": "ValueError", "exc_message": ["boom"], "exc_module": "builtins"}),
            "ValueError('boom')",
        ),
        (
            json!({"exc_type": "Inner", "exc_message": [1, "it's"], "exc_module": "tasks"}),
            r#"Inner(1, "it's")"#,
        ),
        (
            json!({"exc_type": "KeyError", "exc_message": [], "exc_module": "builtins"}),
            "KeyError()",
        ),
        (
            json!({"exc_type": "Old", "exc_message": "text", "exc_module": null}),
            "Old('text')",
        ),
        (json!("no document"), r#"Exception("'no document'")"#),
    ] {
        assert_eq!(Exception::from_json(&document).repr(), shown);
    }
}

#[test]
fn a_shape_that_is_none_is_not_read() {
    for value in [
        json!(null),
        json!([]),
        json!(["id"]),
        json!([[1, null], null]),
        json!([["id", null], 3]),
        json!([["id", 3], null]),
    ] {
        assert_eq!(ResultTree::from_value(&value), None, "{value}");
    }
    assert_eq!(
        ResultTree::from_value(&json!(["id", null])),
        Some(ResultTree::task("id"))
    );
}

#[test]
fn the_leaves_of_a_shape_are_the_tasks_whose_values_are_joined() {
    let mut last = ResultTree::task("c");
    last.set_root(ResultTree::task("b"));
    last.set_root(ResultTree::group("a", vec![]));
    let shape = ResultTree::group(
        "g",
        vec![last.clone(), ResultTree::group("h", vec![ResultTree::task("d")])],
    );

    assert_eq!(shape.leaves(), ["c", "d"]);
    assert_eq!(last.to_value(), json!([["c", [["b", [["a", null], []]], null]], null]));
    assert_eq!(ResultTree::from_value(&shape.to_value()), Some(shape));
}
