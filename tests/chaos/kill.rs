//! `kill -9` among processes that share the work.

use std::time::Duration;

use crate::stage::people::physical;
use crate::stage::{Stage, eventually};

#[test]
fn a_worker_killed_in_the_middle_loses_nothing_and_doubles_nothing() {
    let runs = if std::env::var_os("WAYBILL_TEST_LONG").is_some() {
        10
    } else {
        1
    };
    for run in 0..runs {
        kill_a_worker(run);
    }
}

fn kill_a_worker(run: usize) {
    let seed = run.to_string();
    let mut stage = Stage::real(&[
        "--walk-delay",
        "500ms",
        "--error-after-booking",
        "0.02",
        "--seed",
        &seed,
    ]);
    stage.employ("yes");
    stage.start(&["serve"]);
    let victim = stage.start(&["work"]);
    stage.start(&["work"]);
    stage.await_consumers();

    let paying = stage.start_paying(2000, &["--duplicates", "0.02", "--seed", &seed]);
    let middle = 400 + 120 * run as i64;
    eventually("the middle", Duration::from_secs(120), || {
        (stage.count("SELECT count(*) FROM delivery_orders") > middle).then_some(())
    });
    stage.process(victim).kill();
    // Every second time nobody starts it again.
    if run % 2 == 1 {
        stage.start(&["work"]);
    }
    let orderings = physical(&paying.join().expect("it pays"));
    stage.see_through(orderings.len(), Duration::from_secs(420));

    stage.prove(&orderings);
}
