use std::time::Duration;

use rand::RngExt as _;
use secrecy::SecretString;

use super::fixture::Fixture;
use super::on_both;
use crate::store::Db;

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

#[tokio::test]
async fn a_process_that_vanished_with_its_host_is_noticed_by_postgres_within_seconds() {
    let fixture = Fixture::postgres().await;

    let mut limits = Vec::new();
    for name in [
        "tcp_keepalives_idle",
        "tcp_keepalives_interval",
        "tcp_keepalives_count",
        "tcp_user_timeout",
    ] {
        let sql = format!("SELECT current_setting('{name}') AS value");
        limits.push(
            fixture
                .db
                .row(&sql, vec![])
                .await
                .unwrap()
                .unwrap()
                .text("value")
                .unwrap(),
        );
    }

    assert_eq!(limits, ["5", "5", "3", "15000"]);
}

#[tokio::test]
async fn postgres_is_reached_through_a_unix_socket_too() {
    let fixture = Fixture::postgres().await;
    let sql = "SELECT current_setting('unix_socket_directories') AS folder, current_setting('port') AS port";
    let server = fixture.db.row(sql, vec![]).await.unwrap().unwrap();
    let (folder, port) = (server.text("folder").unwrap(), server.text("port").unwrap());

    let url = format!("postgres:///postgres?user=postgres&host={folder}&port={port}");
    let db = Db::postgres(&SecretString::from(url), None).await.unwrap();

    let sql = "SELECT inet_client_addr() IS NULL AS is_local";
    assert!(db.row(sql, vec![]).await.unwrap().unwrap().bool("is_local").unwrap());
}
