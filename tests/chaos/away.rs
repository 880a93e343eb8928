//! Services that go away under load, and come back.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value as Json;

use crate::stage::people::physical;
use crate::stage::services::{Database, OwnServices, VirtualHost};
use crate::stage::{Stage, eventually};

#[test]
fn while_the_broker_is_away_callbacks_are_taken_and_when_it_is_back_nothing_is_missing() {
    let services = OwnServices::start(&["rabbitmq"]);
    let mut stage = Stage::on(&["--walk-delay", "6s"], Database::new(), VirtualHost::of(&services));
    stage.employ("yes");
    stage.start(&["serve"]);
    stage.start(&["work"]);
    stage.await_consumers();
    let orderings = physical(&stage.pay(30, &[]));
    let summary = format!("{}/_ledger/summary", stage.partner());
    eventually("all are booked", Duration::from_secs(30), || {
        (stage.clients.get(&summary, None).body["bookings"] == 30).then_some(())
    });

    services.run("rabbitmqctl", &["stop"]);
    let ready = format!("{}/readyz", stage.url());
    eventually("callbacks while the broker is away", Duration::from_secs(60), || {
        assert_eq!(stage.clients.get(&ready, None).status, 200, "it stays ready");
        (stage.count("SELECT count(*) FROM callbacks") >= 30).then_some(())
    });
    let waiting = stage.count("SELECT count(*) FROM callbacks WHERE state = 'received'");
    services.run("rabbitmq-start", &[]);
    stage.see_through(orderings.len(), Duration::from_secs(300));

    assert!(waiting > 0, "what was taken had to wait for the broker");
    assert_eq!(
        answers(&stage),
        BTreeSet::from([200]),
        "the partner had no reason to say anything twice"
    );
    stage.prove(&orderings);
}

#[test]
fn a_database_that_crashes_under_load_loses_nothing_that_was_answered() {
    let services = OwnServices::start(&["postgres"]);
    let database = Database::at(&services.setting("WAYBILL_TEST_POSTGRES_URL"));
    let mut stage = Stage::on(&["--walk-delay", "1s"], database, VirtualHost::new());
    stage.employ("yes");
    stage.start(&["serve"]);
    stage.start(&["work"]);
    stage.await_consumers();

    let paying = stage.start_paying(400, &["--duplicates", "0.05"]);
    eventually("the middle", Duration::from_secs(60), || {
        (stage.count("SELECT count(*) FROM callbacks") > 50).then_some(())
    });
    services.run("pg_ctl", &["-m", "immediate", "stop"]);
    let ready = format!("{}/readyz", stage.url());
    eventually("it says that it is not ready", Duration::from_secs(30), || {
        (stage.clients.get(&ready, None).status == 503).then_some(())
    });
    eventually("the partner is told to come again", Duration::from_secs(30), || {
        answers(&stage).contains(&503).then_some(())
    });
    services.run("pg_ctl", &["-w", "start"]);
    eventually("it is ready again", Duration::from_secs(60), || {
        (stage.clients.get(&ready, None).status == 200).then_some(())
    });
    let orderings = physical(&paying.join().expect("it pays"));
    stage.see_through(orderings.len(), Duration::from_secs(300));

    assert_eq!(
        answers(&stage),
        BTreeSet::from([200, 503]),
        "nothing else was ever answered"
    );
    stage.prove(&orderings);
}

/// What the partner's callbacks were answered; 0 is nothing.
fn answers(stage: &Stage) -> BTreeSet<u64> {
    let ledger = stage.clients.get(&format!("{}/_ledger", stage.partner()), None).body;
    let callbacks = ledger.as_array().expect("the ledger").iter().flat_map(|entry| {
        entry["callbacks"]
            .as_array()
            .expect("callbacks")
            .iter()
            .map(|callback: &Json| callback["status"].as_u64())
    });
    callbacks.map(|status| status.expect("a status")).collect()
}
