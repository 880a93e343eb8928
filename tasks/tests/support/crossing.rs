//! What a stock Python worker and ours do together, told by `tests/interop/python/canvas.py`.

use std::process::Stdio;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};
use tokio::process::Command;
use waybill_tasks::celery::registry::Exception;
use waybill_tasks::celery::results::{ResultBackend, ResultTree, State, TaskResult};

use super::half::Half;

const SCRIPT: &str = "tests/interop/python/canvas.py";

/// Stock Celery, on the script.
pub(crate) fn python(mode: &str, backend: &str, more: &[&str]) -> Command {
    let python = std::env::var("WAYBILL_TEST_PYTHON");
    let python = python.expect("WAYBILL_TEST_PYTHON is not set: run `make test`, which makes a Python with Celery");
    // Of the repository, whichever of its packages is tested.
    let package = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = package
        .ancestors()
        .map(|folder| folder.join(SCRIPT))
        .find(|script| script.exists());
    let mut command = Command::new(python);
    command
        .arg(script.expect("the script is in the repository"))
        .args([mode, "--backend", backend])
        .args(more)
        .kill_on_drop(true);
    command
}

/// What it has printed.
pub(crate) async fn told(mut command: Command) -> Json {
    let output = command.output().await.expect("Python runs");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{errors}"))
}

/// Both workers at work on a queue each, and what Python gets of canvases that need both.
pub(crate) async fn cross(broker: &str, url: &str, backend: Arc<dyn ResultBackend>, theirs: &str, ours: &str) -> Json {
    // Shown if the test fails, like what Python's worker says.
    let _ = tracing_subscriber::fmt()
        .with_test_writer()
        .with_max_level(tracing::Level::WARN)
        .try_init();
    let more = ["--broker", broker, "--theirs", theirs, "--ours", ours];
    let _ours = Half::start(broker, ours, backend).await;
    let mut worker = python("work", url, &more);
    let _theirs = worker.stdout(Stdio::null()).spawn().expect("Python runs");

    told(python("canvas", url, &more)).await
}

pub(crate) fn check(found: &Json) {
    let boom = json!(["ValueError", "boom"]);
    let expected = json!({
        "chain, theirs between ours": 7,
        "chain, ours between theirs": 7,
        "group of both": [1, 2, 3, 4, 5],
        "chord of both, ours last": 21,
        "chord of both, theirs last": 21,
        "chord in a chain": 8,
        "chord in a chord": 8,
        "chain that ends in a group, in a chord": [[[2, 3], 7]],
        "chord whose body is a chord": 6,
        "chord whose body is a group": [3, 3],
        "one task": [{"deep": [1, null, 2.5, "ü"]}],
        "map": [3, 3],
        "starmap": [3, 3],
        "chain that breaks at ours": boom,
        "chain that breaks at theirs": boom,
        "chord that breaks at ours": boom,
        "chord that breaks at theirs": boom,
        "error callback": boom,
        "told": true,
        "linked": [2, [[7, 8]]],
        "states of what broke": ["FAILURE", "FAILURE"],
    });
    // Ours cannot read it; where Python comes last and sends it on, our body cannot.
    let unread = found["chord of what JSON has not"][0].as_str().unwrap_or_default();
    assert!(["ChordError", "DecodeError"].contains(&unread), "{found:#}");
    // Who looks after a chord without a counting backend depends on its body's queue, and Python's own worker may leave the id out.
    for name in [
        "body of the chord that breaks at ours",
        "body of the chord that breaks at theirs",
    ] {
        let text = found[name][1].as_str().unwrap_or_default();
        let known = ["Dependency part 0 raised ValueError('boom')", "ValueError('boom')"];
        assert!(
            found[name][0] == "ChordError" && known.contains(&text),
            "{name}: {found:#}"
        );
    }
    for (name, expected) in expected.as_object().expect("an object") {
        assert_eq!(&found[name], expected, "{name}: {found:#}");
    }
}

const DEEP: &str = r#"{"deep": [1, null, 2.5, "ü", true, -70000, 9007199254740993]}"#;

fn noon() -> DateTime<Utc> {
    "2026-11-20T12:00:00Z".parse().expect("an instant")
}

fn ours() -> Vec<TaskResult> {
    let deep = serde_json::from_str(DEEP).expect("JSON");
    let children = vec![ResultTree::task("child").to_value()];
    let raised = |id: &str, state: State, exception: Exception| TaskResult::raised(id, state, &exception, noon());
    vec![
        TaskResult::new("rs-success", State::Success, deep, noon()).with_children(children),
        TaskResult::new("rs-none", State::Success, Json::Null, noon()),
        TaskResult::new(
            "rs-started",
            State::Started,
            json!({"pid": 1, "hostname": "w@h"}),
            noon(),
        ),
        TaskResult::new("rs-progress", State::from("PROGRESS"), json!({"done": 3}), noon()),
        raised("rs-failure", State::Failure, Exception::builtin("ValueError", "boom")),
        raised(
            "rs-foreign",
            State::Failure,
            Exception::new("Lost", "library.errors", "a book"),
        ),
        raised(
            "rs-chord",
            State::Failure,
            Exception::chord_error("Dependency 1 raised ValueError('boom')"),
        ),
        raised("rs-retry", State::Retry, Exception::builtin("RuntimeError", "busy")),
        raised(
            "rs-revoked",
            State::Revoked,
            Exception::celery("TaskRevokedError", "revoked"),
        ),
    ]
}

/// Stores ours, lets Python read them and store its own, and reads those.
pub(crate) async fn exchange(backend: &dyn ResultBackend, url: &str) {
    let results = ours();
    for result in &results {
        backend.store(result).await.expect("stored");
    }
    let group = ResultTree::group(
        "rs-group",
        vec![ResultTree::task("rs-success"), ResultTree::task("rs-none")],
    );
    backend.save_group(&group).await.expect("saved");

    let stored = told(python("store", url, &["one"])).await;
    let ids: Vec<_> = results.iter().map(|result| result.task_id.as_str()).collect();
    let read = told(python("read", url, &ids)).await;

    assert_eq!(stored, json!(["one"]));
    let deep: Json = serde_json::from_str(DEEP).expect("JSON");
    assert_eq!(
        read["rs-success"],
        json!(["SUCCESS", deep, deep, null, ["child"], true])
    );
    assert_eq!(read["rs-none"], json!(["SUCCESS", null, null, null, [], true]));
    assert_eq!(
        read["rs-started"],
        json!(["STARTED", {"pid": 1, "hostname": "w@h"}, null, null, [], false])
    );
    assert_eq!(
        read["rs-progress"],
        json!(["PROGRESS", {"done": 3}, null, null, [], false])
    );
    for (id, state, module, class, text, raised) in [
        ("rs-failure", "FAILURE", "builtins", "ValueError", "boom", true),
        ("rs-foreign", "FAILURE", "celery.exceptions", "Lost", "a book", true),
        (
            "rs-chord",
            "FAILURE",
            "celery.exceptions",
            "ChordError",
            "Dependency 1 raised ValueError('boom')",
            true,
        ),
        ("rs-retry", "RETRY", "builtins", "RuntimeError", "busy", false),
        (
            "rs-revoked",
            "REVOKED",
            "celery.exceptions",
            "TaskRevokedError",
            "revoked",
            true,
        ),
    ] {
        assert_eq!(
            (&read[id][0], &read[id][1]),
            (&json!(state), &json!([module, class, [text]])),
            "{read:#}"
        );
        assert_eq!(
            read[id][2],
            if raised { json!([class, text]) } else { Json::Null },
            "{read:#}"
        );
    }
    check_theirs(backend).await;
}

async fn check_theirs(backend: &dyn ResultBackend) {
    let ids = ["py-success", "py-failure", "py-retry", "py-progress", "rs-success"].map(str::to_owned);
    let loaded = backend.load(&ids).await.expect("loaded");
    let loaded: Vec<_> = loaded.into_iter().map(|result| result.expect("a result")).collect();
    let states: Vec<_> = loaded.iter().map(|result| result.state.as_str()).collect();
    assert_eq!(states, ["SUCCESS", "FAILURE", "RETRY", "PROGRESS", "SUCCESS"]);
    assert_eq!(loaded[0].result, json!({"deep": [1, null, 2.5, "ü"]}));
    assert_eq!(loaded[1].exception().expect("an exception").repr(), "KeyError('lost')");
    assert_eq!(loaded[1].traceback.as_deref(), Some("Traceback: KeyError"));
    assert_eq!(loaded[3].result, json!({"done": 3}));
    assert_ne!(loaded[4].result, json!(13), "a success stays");
    let group = backend.load_group("py-group").await.expect("loaded");
    let members = vec![ResultTree::task("py-success"), ResultTree::task("py-failure")];
    assert_eq!(group, Some(ResultTree::group("py-group", members)));
    assert!(backend.load_group("rs-group").await.expect("loaded").is_some());
}
