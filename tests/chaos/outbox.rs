//! A broker that is there and takes nothing: what was committed waits in the outbox, and nobody storms the broker meanwhile.

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::stage::people::physical;
use crate::stage::services::{Database, OwnServices, VirtualHost};
use crate::stage::{Stage, eventually, repository};

/// So many effects wait for one queue.
const REFUSED: i64 = 299;

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
fn a_queue_that_refuses_leaves_effects_unsent_until_it_takes_them() {
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
    assert!(waiting(&stage) >= 4, "what was refused is not marked as sent");

    services.run("rabbitmqctl", &["clear_policy", "full"]);
    stage.start(&["work"]);
    stage.see_through(orderings.len(), Duration::from_secs(300));
    stage.prove(&orderings);
}

#[test]
fn many_effects_for_a_queue_that_refuses_ask_it_one_at_a_time_and_hold_nobody_else_up() {
    let services = OwnServices::start(&["rabbitmq"]);
    let mut stage = Stage::on(&["--walk-delay", "100ms"], Database::new(), VirtualHost::of(&services));
    stage.employ("yes");
    let template = repository("cloudformation/order-graph.yaml").display().to_string();
    stage.run(&["graph", "publish", &template]).good();
    stage.run(&["graph", "activate", "--machine", "order", "1"]).good();
    let declare = ["--queue", "inventory", "declare", "--arguments", "{}"];
    stage.run_python("tests/interop/python/peer.py", &declare).good();
    let full = r#"{"max-length": 1, "overflow": "reject-publish"}"#;
    services.run("rabbitmqctl", &["set_policy", "full", "^inventory$", full]);
    for process in ["serve", "work"] {
        stage.start(&[process]);
    }
    stage.await_consumers();

    let (url, token) = (
        format!("{}/v1/machines/order/instances", stage.url()),
        stage.token("service"),
    );
    for cart in 0..REFUSED + 1 {
        let created = stage.clients.post(&url, &token, &format!("cart-{cart}"), &json!({}));
        assert_eq!(created.status, 201, "{:?}", created.body);
    }
    let held = "SELECT count(*) FROM effects WHERE name = 'reserve_stock' AND state = 'requested' AND cause LIKE 'the broker refused it%'";
    eventually(
        "all but the one that there is room for wait",
        Duration::from_secs(60),
        || (stage.count(held) == REFUSED).then_some(()),
    );
    let told = stage.run(&["status", "--json"]).json()["effects"]["waiting"].to_string();
    assert!(
        told.contains("reserve_stock: the broker refused it") && told.contains(&REFUSED.to_string()),
        "{told}"
    );
    let (before, since) = (refusals(&stage), Instant::now());
    println!("{before} tries for {REFUSED} effects until all of them wait");
    assert!(2.0 * before < REFUSED as f64, "{before} tries");

    let orderings = physical(&stage.pay(5, &[]));
    let ended = "SELECT count(DISTINCT ordering_id) FROM delivery_orders WHERE outcome = 'success'";
    eventually("what goes to other queues goes", Duration::from_secs(120), || {
        (stage.count(ended) == orderings.len() as i64).then_some(())
    });
    eventually("it is asked again and again", Duration::from_secs(120), || {
        (refusals(&stage) >= before + 3.0).then_some(())
    });
    let (tries, seconds) = (refusals(&stage) - before, since.elapsed().as_secs_f64());
    println!("{tries} tries in {seconds:.1} s");
    assert!(tries < 1.0 + seconds, "{tries} tries in {seconds} s");
    assert_eq!(stage.count(held), REFUSED);

    services.run("rabbitmqctl", &["clear_policy", "full"]);
    eventually(
        "the next one to ask is taken, and all follow",
        Duration::from_secs(90),
        || {
            let taken = stage
                .clients
                .queue("inventory")
                .map(|(messages, _)| i64::from(messages));
            (waiting(&stage) == 0 && taken == Some(REFUSED + 1)).then_some(())
        },
    );
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

    // It makes its queue again. The next effect to ask for it is taken, and all follow.
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
