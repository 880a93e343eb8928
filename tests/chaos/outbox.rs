//! A broker that is there and takes nothing: what was committed waits in the outbox.

use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::stage::people::physical;
use crate::stage::services::{Database, OwnServices, VirtualHost};
use crate::stage::{Stage, eventually};

/// Everybody at work, and so many orders booked whose callbacks are still to come.
fn booked(services: &OwnServices, orders: usize) -> (Stage, Json) {
    let mut stage = Stage::on(&["--walk-delay", "6s"], Database::new(), VirtualHost::of(services));
    stage.employ("yes");
    stage.start(&["serve"]);
    stage.start(&["work"]);
    stage.await_consumers();
    let paid = stage.pay(orders, &[]);
    let summary = format!("{}/_ledger/summary", stage.partner());
    eventually("all are booked", Duration::from_secs(60), || {
        (stage.clients.get(&summary, None).body["bookings"] == orders).then_some(())
    });
    (stage, paid)
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
    let (stage, paid) = booked(&services, 30);
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
