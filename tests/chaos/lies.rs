//! A partner that fails, and one that books and then answers 500.

use std::time::Duration;

use crate::stage::Stage;
use crate::stage::people::physical;

#[test]
fn two_thousand_payments_with_duplicates_and_a_partner_that_lies_are_each_delivered_once() {
    let mut stage = Stage::real(&[
        "--walk-delay",
        "500ms",
        "--fail",
        "0.03",
        "--error-after-booking",
        "0.02",
        "--seed",
        "11",
    ]);
    stage.employ("yes");
    stage.start(&["all"]);
    stage.await_consumers();

    let sent = stage.pay(
        2000,
        &[
            "--duplicates",
            "0.05",
            "--ebooks",
            "0.1",
            "--mixed",
            "0.2",
            "--seed",
            "11",
        ],
    );
    let orderings = physical(&sent);
    let arranged = stage.see_through(orderings.len(), Duration::from_secs(420));

    assert!(arranged > 0, "some deliveries fail");
    assert_eq!(
        stage.count("SELECT count(*) FROM delivery_orders WHERE failed AND outcome IS NOT NULL"),
        arranged as i64
    );
    let by_customer = stage.count("SELECT count(*) FROM delivery_orders WHERE confirmed_by = 'customer'");
    assert_eq!(
        by_customer,
        orderings.len() as i64,
        "each is confirmed through the link of its notice"
    );
    stage.prove(&orderings);
    stage.prove_told_once();
}
