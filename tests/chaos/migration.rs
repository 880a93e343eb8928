//! Live orders move to another graph version while they are booked, carried and confirmed, and whoever moves them is killed.

use std::time::Duration;

use crate::stage::graphs::two_versions;
use crate::stage::people::physical;
use crate::stage::{Stage, eventually};

#[test]
fn a_migration_killed_in_the_middle_goes_on_from_there_and_no_order_is_lost_or_moved_twice() {
    let (live, per_second, patience) = if std::env::var_os("WAYBILL_TEST_LONG").is_some() {
        // With a release build `WAYBILL_BENCH=migration make bench` moves five times as many.
        (20_000, "1000", Duration::from_secs(7200))
    } else {
        (300, "40", Duration::from_secs(420))
    };
    let mut stage = Stage::real(&["--walk-delay", "2s", "--fail", "0.02", "--seed", "7"]);
    stage.write("graphs.yaml", &two_versions());
    stage.run(&["graph", "publish", "graphs.yaml"]).good();
    stage.employ("yes");
    stage.start(&["serve"]);
    // Payments become orders, and nobody works on what follows yet.
    stage.start(&["work", "-Q", "waybill.payments"]);
    let consumers = |stage: &Stage| {
        stage
            .clients
            .queue("waybill.payments")
            .filter(|(_, consumers)| *consumers > 0)
    };
    eventually("a consumer of the payments", patience, || consumers(&stage));
    let mut orderings = physical(&stage.pay(live, &["--form", "json", "--prefix", "first"]));
    let born = |stage: &Stage, orderings: usize| {
        eventually("orders on version 1", patience, || {
            let orders = stage.count("SELECT count(*) FROM delivery_orders WHERE attempt = 1");
            (orders == orderings as i64).then_some(())
        });
    };
    born(&stage, orderings.len());
    let migrated = "SELECT count(*) FROM transitions WHERE kind = 'migrated'";
    let moving = ["graph", "migrate-orders", "--from", "1", "--to", "2"];

    stage.start(&["work"]);
    let killed = stage.begin(&[&moving[..], &["--per-second", per_second]].concat());
    eventually("the middle", patience, || {
        (stage.count(migrated) >= live as i64 / 10).then_some(())
    });
    stage.process(killed).kill();
    let before = stage.count(migrated);
    // More are born on version 1 meanwhile, and the last of them before version 2 is the active one.
    orderings.extend(physical(
        &stage.pay(live / 6, &["--form", "json", "--prefix", "second"]),
    ));
    born(&stage, orderings.len());
    stage.run(&["graph", "activate", "2"]).good();
    let told = stage.run(&[&moving[..], &["--json"]].concat()).json();
    stage.see_through(orderings.len(), patience);

    let moved = told["moved"].as_i64().expect("a count");
    assert_eq!((&told["outcome"], &told["stay"]), (&"done".into(), &0.into()), "{told}");
    assert!(
        before >= live as i64 / 10 && moved > 0,
        "{before} before the kill, {told}"
    );
    assert_eq!(before + moved, stage.count(migrated));
    let twice = "SELECT count(*) FROM (SELECT 1 FROM transitions WHERE kind = 'migrated' GROUP BY order_id HAVING count(*) > 1) t";
    let unsaid = "SELECT count(*) FROM instances i WHERE graph_version = 2 AND NOT EXISTS (SELECT 1 FROM transitions t
         WHERE t.order_id = i.id AND t.graph_version = 2 AND t.kind IN ('born', 'migrated'))";
    assert_eq!((stage.count(twice), stage.count(unsaid)), (0, 0));
    stage.run(&["graph", "retire", "1"]).good();
    stage.prove(&orderings);
}
