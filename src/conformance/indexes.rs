//! What is looked up for every callback and event costs the same however many orders there are.

use std::time::Duration;

use serde_json::json;

use super::fixture::Fixture;

/// Orders that were there before, each with a number of its partner; every other one has ended.
const CROWD: [&str; 6] = [
    "INSERT INTO orderings SELECT 'crowd-' || n, 'cus-9', now() FROM generate_series(1, 5000) n",
    "INSERT INTO payments SELECT 'crowd-' || n, 'crowd-' || n, 'crowd-' || n, 'ordered', 100, 'EUR', 0, now() FROM generate_series(1, 5000) n",
    "INSERT INTO instances SELECT md5('crowd-' || n)::uuid, 'delivery-order', 1, 'PICKED_UP', 1, 1, '[]', '{}', '', now(), now()
     FROM generate_series(1, 5000) n",
    "INSERT INTO delivery_orders (order_id, ordering_id, customer_id, payment_id, attempt, partner, partner_order_number, outcome, live,
     locale, items, pickup, dropoff)
     SELECT md5('crowd-' || n)::uuid, 'crowd-' || n, 'cus-9', 'crowd-' || n, 1, 'standard', 'C-' || n,
     CASE WHEN n % 2 = 0 THEN 'success' END, n % 2 = 1, 'en', '[]', '', '' FROM generate_series(1, 5000) n",
    "ANALYZE instances",
    "ANALYZE delivery_orders",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partners_number_is_found_without_reading_every_order() {
    let fixture = Fixture::postgres().await;
    for sql in CROWD {
        let mut tx = fixture.db.tx().await.unwrap();
        tx.execute(sql, vec![]).await.unwrap();
        tx.commit().await.unwrap();
    }
    let before = rows_read(&fixture).await;

    let store = fixture.engine.store();
    for number in 1..=20 {
        let found = store
            .order_of_partner("standard", &format!("C-{number}"))
            .await
            .unwrap();
        assert!(found.is_some(), "C-{number}");
        let id = fixture.order(&format!("o{number}")).await;
        let told = json!({ "partner_order_number": format!("N-{number}") });
        fixture.report(id, "PARTNER_PICKED_UP", told).await;
    }
    // A connection tells what it has read a second later, when it is asked for something.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let read = rows_read(&fixture).await - before;

    assert!(read < 5000, "{read} rows of delivery_orders were read for 40 numbers");
}

/// Rows and index entries of delivery orders that were read so far, by whatever plan.
async fn rows_read(fixture: &Fixture) -> i64 {
    // Every connection of the pools is asked, so that it tells.
    let asked = (0..12).map(|_| fixture.db.rows("SELECT pg_sleep(0.05)::text AS slept", vec![]));
    futures_util::future::join_all(asked).await;
    let mut tx = fixture.db.tx().await.unwrap();
    tx.execute("SELECT 1", vec![]).await.unwrap();
    tx.commit().await.unwrap();
    let sql = "SELECT (SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'delivery_orders')
        + (SELECT SUM(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'delivery_orders')::bigint AS count";
    let row = fixture.db.row(sql, vec![]).await.unwrap();
    row.expect("a row").int("count").unwrap()
}
