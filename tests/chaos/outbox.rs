//! A broker that is there and takes nothing: what was committed waits in the outbox, and nobody storms the broker meanwhile.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::stage::people::physical;
use crate::stage::services::{Database, OwnServices, VirtualHost};
use crate::stage::{Stage, eventually};

/// Everybody at work, and so many orders booked whose callbacks are still to come, each after that delay. The worker is told apart.
fn booked(services: &OwnServices, orders: usize, delay: &str) -> (Stage, Json, usize) {
    let mut stage = Stage::on(&["--walk-delay", delay], Database::new(), VirtualHost::of(services));
    stage.employ("yes");
    stage.start(&["serve"]);
    let worker = stage.start(&["work"]);
    stage.await_consumers();
    let paid = stage.pay(orders, &[]);
    let summary = format!("{}/_ledger/summary", stage.partner());
    eventually("all are booked", Duration::from_secs(60), || {
        (stage.clients.get(&summary, None).body["bookings"] == orders).then_some(())
    });
    (stage, paid, worker)
}

fn waiting(stage: &Stage) -> i64 {
    stage.count("SELECT count(*) FROM effects WHERE state = 'requested'")
}

#[test]
fn while_the_broker_takes_no_messages_the_outbox_keeps_them_and_the_api_stays_ready() {
    // Longer than a publish is waited for, so that some end as unknown.
    let alarm = Duration::from_secs(if std::env::var_os("WAYBILL_TEST_LONG").is_some() {
        60
    } else {
        15
    });
    let services = OwnServices::start(&["rabbitmq"]);
    let (stage, paid, _) = booked(&services, 30, "6s");
    let orderings = physical(&paid);
    let ready = format!("{}/readyz", stage.url());

    services.run("rabbitmqctl", &["set_vm_memory_high_watermark", "0.00001"]);
    let since = Instant::now();
    eventually(
        "callbacks in the alarm, and what follows them",
        Duration::from_secs(60),
        || {
            assert_eq!(stage.clients.get(&ready, None).status, 200, "it stays ready");
            let unknown = stage.count("SELECT count(*) FROM effects WHERE cause LIKE '%RabbitMQ blocks publishers%'");
            (since.elapsed() > alarm && waiting(&stage) > 0 && unknown > 0).then_some(())
        },
    );
    let status = stage.run(&["status", "--json"]).json();
    assert!(
        status["effects"]["due"].as_i64() > Some(0),
        "who looks sees the lag: {status}"
    );
    services.run("rabbitmqctl", &["set_vm_memory_high_watermark", "0.4"]);

    stage.see_through(orderings.len(), Duration::from_secs(300));
    stage.prove(&orderings);
}

#[test]
fn a_queue_that_refuses_leaves_effects_unsent_and_is_asked_slowly_until_it_takes_them() {
    let services = OwnServices::start(&["rabbitmq"]);
    let (mut stage, paid, worker) = booked(&services, 5, "6s");
    let orderings = physical(&paid);
    let full = r#"{"max-length": 1, "overflow": "reject-publish"}"#;

    // Nobody takes what fills the queue.
    assert_eq!(stage.process(worker).stop(), 0);
    services.run(
        "rabbitmqctl",
        &["set_policy", "full", "^waybill$", full, "--apply-to", "queues"],
    );
    eventually("effects that are refused", Duration::from_secs(60), || {
        let refused = stage
            .count("SELECT count(*) FROM effects WHERE state = 'requested' AND cause LIKE '%the broker refused it%'");
        (refused >= 4).then_some(())
    });
    let (before, since) = (refusals(&stage), Instant::now());
    thread::sleep(Duration::from_secs(10));
    let (tries, seconds) = (refusals(&stage) - before, since.elapsed().as_secs_f64());
    println!("{tries} tries in {seconds:.1} s");
    assert!(tries > 0.0, "it goes on trying");
    assert!(tries < 5.0 * seconds, "{tries} tries in {seconds} s");
    assert!(waiting(&stage) >= 4, "what was refused is not marked as sent");

    services.run("rabbitmqctl", &["clear_policy", "full"]);
    stage.start(&["work"]);
    stage.see_through(orderings.len(), Duration::from_secs(300));
    stage.prove(&orderings);
}

#[test]
fn what_no_queue_takes_is_never_marked_as_sent() {
    let services = OwnServices::start(&["rabbitmq"]);
    let (mut stage, paid, worker) = booked(&services, 4, "12s");
    let orderings = physical(&paid);
    let unfinished = "SELECT count(*) FROM effects WHERE state <> 'done'";
    eventually("nothing is on its way", Duration::from_secs(30), || {
        (stage.count(unfinished) == 0).then_some(())
    });

    assert_eq!(stage.process(worker).stop(), 0);
    services.run("rabbitmqctl", &["delete_queue", "waybill"]);
    eventually("effects that no queue takes", Duration::from_secs(60), || {
        let unroutable =
            stage.count("SELECT count(*) FROM effects WHERE state = 'requested' AND cause LIKE 'no queue takes%'");
        (unroutable >= 4).then_some(())
    });
    assert_eq!(stage.count(unfinished), waiting(&stage), "none passes for sent");

    // It makes its queue again, and half a minute after it was tried each effect is tried again.
    stage.start(&["work"]);
    stage.see_through(orderings.len(), Duration::from_secs(300));
    stage.prove(&orderings);
}

/// How often the broker has refused a message of the process that serves, which is the one that publishes what callbacks demand.
fn refusals(stage: &Stage) -> f64 {
    let told = stage.clients.get(&format!("{}/metrics", stage.url()), None).body;
    let told = told.as_str().expect("metrics in text").to_owned();
    let line = told
        .lines()
        .find_map(|line| line.strip_prefix("publish_refused_total "));
    line.map_or(0.0, |count| count.parse().expect("a number"))
}
