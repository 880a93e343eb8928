//! `waybill all` with nothing set and nothing installed: a SQLite file, the in-process transport, the simulated partner.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value as Json, json};
use waybill_tasks::celery::protocol::Request;

use crate::carrier::{Carrier, Consumer};
use crate::stage::people::text;
use crate::stage::{Stage, eventually, payment, repository};

/// What the API says of all orders of one machine.
fn orders(stage: &Stage, token: &str) -> Vec<Json> {
    let (mut orders, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = stage.clients.get(
            &format!("{}/v1/delivery-orders?limit=200{cursor}", stage.url()),
            Some(token),
        );
        assert_eq!(page.status, 200, "{:?}", page.body);
        orders.extend(page.body["items"].as_array().expect("orders").iter().cloned());
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return orders,
        }
    }
}

/// The confirmation links of the notices that were taken.
fn links(notices: &Consumer) -> BTreeSet<String> {
    let requests = notices
        .taken()
        .into_iter()
        .map(|delivery| Request::decode(&delivery.message).expect("a task"));
    requests
        .filter_map(|request| request.kwargs["confirmation_url"].as_str().map(str::to_owned))
        .collect()
}

fn in_state(orders: &[Json], state: &str) -> usize {
    orders.iter().filter(|order| order["state"] == state).count()
}

#[test]
fn three_forms_of_payment_are_delivered_and_confirmed_by_the_link_in_the_queue_of_notices() {
    let mut stage = Stage::embedded();
    let all = stage.start(&["all"]);
    let token = stage.token("operator");
    let fixture = |name: &str| {
        repository(&format!("tests/fixtures/payments/{name}"))
            .to_string_lossy()
            .into_owned()
    };

    for (name, ordering) in [("plain.json", "ord_1"), ("structured.json", "ord_2")] {
        let text = std::fs::read_to_string(fixture(name)).unwrap();
        let of_its_own = text
            .replace("ord_1", ordering)
            .replace("pay_1", &format!("pay-{ordering}"))
            .replace("evt_1", &format!("evt-{ordering}"));
        stage.write(name, &of_its_own);
        stage.run(&["send", name]).good();
    }
    stage.run(&["send", &fixture("e-books.json")]).good();
    stage.run(&["send", "plain.json"]).good();
    let customers = Carrier::local(&stage.path(""), TimeDelta::zero());
    let notices = customers.consume("notifications", 8, 1000, 0);
    // The simulated partner fails now and then, as real ones do.
    let rest = |orders: &[Json]| in_state(orders, "DELIVERED") + in_state(orders, "PENDING_BY_OPERATOR") == 2;
    let rested = eventually("both rest", Duration::from_secs(60), || {
        Some(orders(&stage, &token)).filter(|orders| rest(orders))
    });
    let delivered = in_state(&rested, "DELIVERED");
    let links = eventually("a link of each delivery", Duration::from_secs(60), || {
        Some(links(&notices)).filter(|links| links.len() == delivered)
    });
    for link in &links {
        let form = [("content-type", "application/x-www-form-urlencoded")];
        assert_eq!(
            stage
                .clients
                .post_text(link, &form, "received=yes".to_owned())
                .unwrap()
                .status,
            200
        );
    }

    let found = eventually("what was delivered is confirmed", Duration::from_secs(20), || {
        Some(orders(&stage, &token)).filter(|orders| in_state(orders, "DELIVERY_CONFIRMED") == delivered)
    });
    assert_eq!(
        found.len(),
        2,
        "e-books and a payment told twice make no order: {found:?}"
    );
    let by_customer = found.iter().filter(|order| order["confirmed_by"] == "customer");
    assert_eq!(by_customer.count(), delivered, "{found:?}");
    assert_eq!(stage.process(all).stop(), 0);
    stage.run(&["audit", "verify"]).good();

    stage.start(&["all"]);
    assert_eq!(orders(&stage, &token), found, "a new start finds everything as it was");
}

#[test]
fn a_process_killed_in_the_middle_of_fifty_orders_loses_none() {
    let mut stage = Stage::embedded();
    let all = stage.start(&["all"]);
    let token = stage.token("operator");
    let names: BTreeSet<String> = (1..=50).map(|number| format!("ord-{number}")).collect();
    stage.write(
        "payments.jsonl",
        &names.iter().map(|name| payment(name)).collect::<Vec<_>>().join("\n"),
    );

    stage.run(&["send", "payments.jsonl"]).good();
    eventually("some are under way", Duration::from_secs(30), || {
        (orders(&stage, &token).len() > 5).then_some(())
    });
    stage.process(all).kill();
    stage.run(&["audit", "verify"]).good();
    stage.start(&["all"]);

    // The simulated partner died too, and forgot what was booked: how those go on nobody will tell.
    let found = eventually("all are made and booked", Duration::from_secs(30), || {
        let booked = |orders: &Vec<Json>| {
            orders.len() == 50 && orders.iter().all(|order| order["partner_booking_id"].is_string())
        };
        Some(orders(&stage, &token)).filter(booked)
    });
    assert_eq!(
        found
            .iter()
            .map(|order| text(&order["ordering_id"]))
            .collect::<BTreeSet<_>>(),
        names
    );
    stage.run(&["audit", "verify"]).good();
    assert_eq!(stage.run(&["dead", "list", "--json"]).json(), json!([]));
}
