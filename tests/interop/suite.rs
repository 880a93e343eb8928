//! Celery's own integration tests, pointed at our worker. They come with Celery's source distribution, downloaded by the run.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::cluster::{Backend, Cluster, OURS, target, venv};
use crate::stage::services::OwnServices;
use crate::stage::{ran, repository};

/// What an external Python worker fails at, measured with the same plugin: what looks into the worker's own process.
const BASELINE: &str = include_str!("python/suite/baseline.txt");
/// What Python does and a worker in another language cannot be asked for, with the reason.
const NOT_APPLICABLE: &str = include_str!("python/suite/not-applicable.txt");

/// Those that take a moment only, of every kind.
const QUICK: [&str; 4] = [
    "t/integration/test_inspect.py",
    "t/integration/test_tasks.py::test_tasks",
    "t/integration/test_tasks.py::test_task_replacement",
    "t/integration/test_canvas.py::test_link_error",
];
/// Of the quick ones, those that wait for seconds.
const SLOW: &str = "not test_timeout and not expired and not test_eta and not test_retry and not test_revoke and not complex_canvas \
     and not test_active and not query_task";

#[derive(Deserialize)]
struct Outcome {
    test: String,
    outcome: String,
    why: String,
    seconds: f64,
}

#[test]
fn celerys_own_tests_fail_where_they_fail_with_python_too_and_nowhere_else() {
    let long = std::env::var_os("WAYBILL_TEST_LONG").is_some();
    let outcomes = match long {
        true => {
            let mut outcomes = run(
                "1",
                &["t/integration/test_inspect.py", "t/integration/test_tasks.py"],
                &[],
            );
            outcomes.extend(run("4", &["t/integration/test_canvas.py"], &[]));
            outcomes
        }
        // What fails with Python too waits in vain for half a minute each.
        false => run("1", &QUICK, &["-k", SLOW, "--without-baseline"]),
    };

    let expected: BTreeSet<&str> = BASELINE.lines().collect();
    let excused = excuses();
    let mut unexpected = Vec::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for outcome in &outcomes {
        let verdict = match (
            outcome.outcome.as_str(),
            expected.contains(outcome.test.as_str()),
            excused.get(outcome.test.as_str()),
        ) {
            ("failed", true, _) => "fails with Python too",
            ("failed", _, Some(_)) => "not applicable",
            ("failed", ..) => {
                unexpected.push(format!("{}: {}", outcome.test, outcome.why));
                "FAILED"
            }
            (other, ..) => other,
        };
        *counts.entry(verdict).or_default() += 1;
        let why = excused.get(outcome.test.as_str()).copied().unwrap_or(&outcome.why);
        println!(
            "{verdict:<22} {:7.2} s  {}  {}",
            outcome.seconds,
            outcome.test,
            if verdict == "passed" { "" } else { why }
        );
    }
    println!("{counts:?}");
    assert!(
        outcomes.len() > if long { 300 } else { 30 },
        "only {} tests have run",
        outcomes.len()
    );
    assert!(unexpected.is_empty(), "{}", unexpected.join("\n"));
}

fn excuses() -> BTreeMap<&'static str, &'static str> {
    let lines = NOT_APPLICABLE.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(": ")).collect()
}

/// Runs tests against our worker of that concurrency, on services of their own: they share keys of Redis.
fn run(concurrency: &str, tests: &[&str], options: &[&str]) -> Vec<Outcome> {
    let services = OwnServices::start(&["redis"]);
    let redis = services.setting("WAYBILL_TEST_REDIS_URL");
    let cluster = Cluster::of_ours(Backend::At(redis.clone()), "celery", &["-c", concurrency]);
    // A Python with what these tests need beside Celery.
    let mut command = Command::new(venv("celery-suite"));
    command.arg("-B").arg(repository("tests/interop/python/suite/run.py"));
    command.arg("--folder").arg(target().join("celery-suite-source"));
    command.args(["--broker", cluster.broker(), "--redis", &redis, "--node", OURS]);
    command.args(options).args(tests).stderr(Stdio::piped());
    let told = ran(command.output().expect("Python runs"));
    let outcomes: Vec<Outcome> = told
        .out
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    assert!(!outcomes.is_empty(), "{}\n{}", told.err, told.out);
    outcomes
}
