//! `waybill all` on PostgreSQL and RabbitMQ, among stock Celery programs.

use std::time::Duration;

use serde_json::json;

use crate::stage::Stage;
use crate::stage::people::{NOTICES, physical, text};

#[test]
fn what_python_pays_for_is_delivered_confirmed_and_told_to_python() {
    let mut stage = Stage::real(&["--walk-delay", "200ms", "--duplicate", "0.05", "--reorder", "0.02"]);
    stage.employ("yes");
    let all = stage.start(&["all"]);
    stage.await_consumers();

    let sent = stage.pay(
        200,
        &[
            "--duplicates",
            "0.05",
            "--ebooks",
            "0.1",
            "--mixed",
            "0.1",
            "--seed",
            "7",
        ],
    );
    let orderings = physical(&sent);
    let arranged = stage.see_through(orderings.len(), Duration::from_secs(100));

    assert_eq!(arranged, 0, "a partner that does not fail needs no operator");
    assert!(
        sent["messages"].as_u64() > Some(200),
        "some are told twice: {}",
        sent["messages"]
    );
    stage.prove(&orderings);
    stage.prove_told_once();
    let confirmed = stage.lines(NOTICES);
    let confirmed = confirmed.iter().filter(|notice| notice["kind"] == "confirm_receipt");
    let links: Vec<String> = confirmed.map(|notice| text(&notice["confirmation_url"])).collect();
    assert_eq!(links.len(), orderings.len(), "each customer got a link");
    assert!(links.iter().all(|link| link.starts_with(&stage.url())), "{links:?}");
    let by_customer = stage.count("SELECT count(*) FROM delivery_orders WHERE confirmed_by = 'customer'");
    assert_eq!(
        by_customer,
        orderings.len() as i64,
        "each was confirmed through its link"
    );
    let status = stage.run(&["status", "--json"]).json();
    assert_eq!(
        status["states"],
        json!([{"state": "DELIVERY_CONFIRMED", "count": orderings.len()}])
    );
    assert_eq!(
        (&status["open_cases"]["count"], &status["effects"]["due"]),
        (&json!(0), &json!(0))
    );
    stage.run(&["doctor"]).good();
    assert_eq!(stage.process(all).stop(), 0);
}
