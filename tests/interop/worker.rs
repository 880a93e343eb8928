//! The worker itself, without any delivery: stock Celery cannot tell it from its own.

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::cluster::{Backend, Cluster, OURS, target, venv, worker};
use crate::stage::{eventually, repository};

#[test]
fn whatever_a_stock_producer_writes_is_done_and_its_results_are_read_in_another_process() {
    let accepting = ["-c", "2", "--accept-content", "yaml,msgpack"];
    let cluster = Cluster::of_ours(Backend::Redis, "ours", &accepting);

    cluster.prove("stories.py", &["producers"]);
    cluster.prove("stories.py", &["results"]);
}

#[test]
fn results_are_read_from_celerys_own_tables() {
    let cluster = Cluster::of_ours(Backend::Postgres, "ours", &["-c", "2"]);

    cluster.prove("stories.py", &["results"]);
}

#[test]
fn canvases_cross_from_python_to_us_and_back_with_their_errors() {
    let cluster = Cluster::of_both(Backend::Redis);

    cluster.prove("stories.py", &["canvas"]);
}

#[test]
fn a_trace_of_opentelemetry_goes_through_us_and_on_to_python_with_its_baggage() {
    let cluster = Cluster::of_both_with_tracing(Backend::Redis);

    cluster.prove("stories.py", &["tracing"]);
}

#[test]
fn clients_and_workers_of_celery_5_4_send_wait_and_chain_across() {
    Cluster::of_both_with(Backend::Redis, venv("celery-5.4")).prove("stories.py", &["older"]);
}

#[test]
fn clients_and_workers_of_celery_5_6_send_wait_and_chain_across() {
    Cluster::of_both_with(Backend::Redis, venv("celery-5.6")).prove("stories.py", &["older"]);
}

#[test]
fn a_task_is_revoked_while_it_waits_while_it_is_scheduled_and_while_it_runs() {
    let cluster = Cluster::of_ours(Backend::Redis, "ours", &["-c", "2"]);

    cluster.prove("stories.py", &["revoke"]);
}

#[test]
fn a_worker_that_is_told_to_stop_finishes_what_runs_and_gives_back_what_waits() {
    // Longer than a stopping worker waits, where there is time.
    let (seconds, finishes) = match std::env::var_os("WAYBILL_TEST_LONG") {
        Some(_) => (60, false),
        None => (4, true),
    };
    let mut cluster = Cluster::of_ours(Backend::Redis, "ours", &["-c", "1", "--prefetch-multiplier", "4"]);
    let arguments = format!("[{seconds}]");
    let send = ["--queue", "ours", "send", "interop.sleep", "--args", &arguments];
    let ids: Vec<String> = (0..4)
        .map(|_| serde_json::from_str::<Json>(&cluster.ask(&send).good()).expect("JSON")["id"].to_string())
        .map(|id| id.trim_matches('"').to_owned())
        .collect();
    eventually("one runs and three wait for it", Duration::from_secs(30), || {
        let asked = cluster.ask(&["inspect", "active", "--limit", "1"]).good();
        (asked.contains(&ids[0]) && cluster.waiting("ours") == 0).then_some(())
    });

    let since = Instant::now();
    assert_eq!(cluster.stop(), 0);
    println!("stopped after {:?}", since.elapsed());

    let waiting = if finishes { 3 } else { 4 };
    eventually("what it had in hand is back", Duration::from_secs(10), || {
        (cluster.waiting("ours") == waiting).then_some(())
    });
    let first = cluster.ask(&["result", &ids[0], "--wait", "0.1"]).good();
    assert_eq!(first.contains("SUCCESS"), finishes, "{first}");
}

#[test]
fn every_command_of_remote_control_is_answered_as_python_answers_it() {
    let cluster = Cluster::of_both_in_silence(Backend::Redis);

    cluster.prove("control.py", &["--ours", OURS, "--python", "python@waybill"]);
}

#[test]
fn stock_tools_and_flower_take_it_for_a_worker_of_their_own() {
    let cluster = Cluster::of_ours(Backend::Redis, "ours", &["-c", "2"]);

    for story in ["tools", "events"] {
        cluster.prove("watch.py", &["--node", OURS, story]);
    }
    let picture = match std::env::var_os("WAYBILL_ACCEPT") {
        Some(_) => repository("docs/images/flower.png"),
        None => target().join("flower.png"),
    };
    let picture = picture.to_string_lossy();
    let mut flower = vec!["--node", OURS];
    // With Chromium, which only the long run installs.
    if std::env::var_os("WAYBILL_TEST_LONG").is_some() {
        flower.extend(["--screenshot", &picture]);
    }
    flower.push("flower");
    cluster.prove("watch.py", &flower);
}

#[test]
fn canvases_over_both_languages_come_through_with_both_workers_killed_again_and_again() {
    let (canvases, kills) = match std::env::var_os("WAYBILL_TEST_LONG") {
        Some(_) => ("2000", "40"),
        None => ("100", "4"),
    };
    let cluster = Cluster::vacant(Backend::Redis, &["mixed"]);
    let ours = ours(&cluster, "mixed");

    let told = cluster.run("mixed.py", &["--ours", &ours, "--canvases", canvases, "--kills", kills]);

    println!("{}{}", told.out, told.err);
    assert_eq!((told.code, cluster.set_aside()), (0, 0), "{}{}", told.out, told.err);
}

#[test]
fn a_chord_whose_last_part_comes_again_gets_its_body_where_python_takes_it_for_done() {
    let queues = ["again-ours", "again-python", "again-deduplicating"];
    let cluster = Cluster::vacant(Backend::Redis, &queues);

    cluster.prove("again.py", &["--ours", &ours(&cluster, "again-ours")]);
}

/// The command of a worker of ours on that queue, as JSON.
fn ours(cluster: &Cluster, queue: &str) -> String {
    let mut command = vec![worker().to_string_lossy().into_owned()];
    command.extend(cluster.worker_arguments(queue));
    command.extend(["-n", &format!("ours@{queue}"), "-c", "4"].map(str::to_owned));
    json!(command).to_string()
}
