//! Celery's own integration tests, pointed at our worker. They come with Celery's source distribution, downloaded by the run.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::cluster::{Backend, Cluster, OURS, target, venv};
use crate::stage::services::OwnServices;
use crate::stage::{ran, repository};

/// What an external Python worker fails at, measured with the same plugin: what looks into the worker's own process.
const BASELINE: &str = include_str!("python/suite/baseline.txt");

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

/// With a clock of its own.
const IMPATIENT: &str = "t/integration/test_tasks.py::test_tasks::test_revoked_by_headers_complex_canvas";

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
            let one = ["-c", "1"];
            let rest = ["-k", "not complex_canvas"];
            let mut outcomes = run(
                &one,
                &["t/integration/test_inspect.py", "t/integration/test_tasks.py"],
                &rest,
            );
            // It has twenty seconds, and waits for all that is in hand: four tasks of two seconds take a Python worker 20.7.
            outcomes.extend(run(&["-c", "1", "--prefetch-multiplier", "1"], &[IMPATIENT], &[]));
            outcomes.extend(run(&["-c", "4"], &["t/integration/test_canvas.py"], &[]));
            outcomes
        }
        // What fails with Python too waits in vain for half a minute each.
        false => run(&["-c", "1"], &QUICK, &["-k", SLOW, "--without-baseline"]),
    };

    let expected: BTreeSet<&str> = BASELINE.lines().collect();
    let mut unexpected = Vec::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for outcome in &outcomes {
        let verdict = match (outcome.outcome.as_str(), expected.contains(outcome.test.as_str())) {
            ("failed", true) => "fails with Python too",
            ("failed", false) => {
                unexpected.push(format!("{}: {}", outcome.test, outcome.why));
                "FAILED"
            }
            (other, _) => other,
        };
        *counts.entry(verdict).or_default() += 1;
        println!(
            "{verdict:<22} {:7.2} s  {}  {}",
            outcome.seconds, outcome.test, outcome.why
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

/// Runs tests against our worker with those options, on services of their own: they share keys of Redis.
fn run(worker: &[&str], tests: &[&str], options: &[&str]) -> Vec<Outcome> {
    let services = OwnServices::start(&["redis"]);
    let redis = services.setting("WAYBILL_TEST_REDIS_URL");
    let cluster = Cluster::of_ours(Backend::At(redis.clone()), "celery", worker);
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
