use std::time::Duration;

use rand::RngExt as _;

use super::fixture::Fixture;
use super::on_both;

on_both! {
    async fn a_cancelled_begin_leaves_no_transaction_open_and_loses_no_later_write(fixture: Fixture) {
        let mut tx = fixture.db.tx().await.unwrap();
        tx.execute("CREATE TABLE written (id INTEGER PRIMARY KEY)", vec![]).await.unwrap();
        tx.commit().await.unwrap();

        let mut acknowledged = 0;
        for id in 0..300_i64 {
            let patience = Duration::from_micros(rand::rng().random_range(0..400));
            let _ = tokio::time::timeout(patience, fixture.db.tx()).await;
            let mut tx = fixture.db.tx().await.unwrap();
            tx.execute("INSERT INTO written (id) VALUES ($1)", vec![id.into()]).await.unwrap();
            tx.commit().await.unwrap();
            acknowledged += 1;
        }

        assert_eq!(fixture.count("SELECT COUNT(*) AS count FROM written").await, acknowledged);
        if fixture.db.is_shared() {
            let sql = "SELECT COUNT(*) AS count FROM pg_stat_activity
                       WHERE state LIKE 'idle in transaction%' AND datname = current_database()";
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert_eq!(fixture.count(sql).await, 0);
        }
    }

    async fn an_unfinished_transaction_is_rolled_back(fixture: Fixture) {
        let mut tx = fixture.db.tx().await.unwrap();
        tx.execute("INSERT INTO orderings (ordering_id, created_at) VALUES ('o', '2026-01-01T00:00:00Z')", vec![]).await.unwrap();
        drop(tx);

        fixture.order("another").await;

        assert_eq!(fixture.count("SELECT COUNT(*) AS count FROM orderings").await, 1);
    }
}
