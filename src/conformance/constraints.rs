use serde_json::json;

use super::fixture::Fixture;
use super::on_both;
use crate::store::DbError;

async fn refused(fixture: &Fixture, sql: &str) {
    let mut tx = fixture.db.tx().await.unwrap();
    let outcome = tx.execute(sql, vec![]).await;
    assert!(matches!(outcome, Err(DbError::Constraint { .. })), "{sql}\n{outcome:?}");
}

on_both! {
    async fn what_the_domain_refuses_a_constraint_refuses_too(fixture: Fixture) {
        fixture.order_in("o1", "PICKED_UP").await;
        let other = fixture.order_in("o2", "PENDING_BY_OPERATOR").await;

        for sql in [
            "UPDATE transitions SET to_rank = from_rank WHERE kind = 'moved'",
            "UPDATE transitions SET sequence = 1",
            "UPDATE transitions SET kind = 'born' WHERE sequence = 2",
            "UPDATE transitions SET event_key = 'same'",
            "UPDATE delivery_orders SET failure_reason = NULL",
            "UPDATE delivery_orders SET live = NOT live",
            "UPDATE delivery_orders SET ordering_id = 'o1'",
            "UPDATE delivery_orders SET attempt = 1, ordering_id = 'o2'",
            "UPDATE delivery_orders SET partner_order_number = 'N-o1'",
            "UPDATE delivery_orders SET ordering_id = 'nobody'",
            "UPDATE delivery_orders SET payment_id = 'nobody'",
            "UPDATE instances SET graph_version = 99",
            "UPDATE effects SET state = 'lost'",
            "INSERT INTO inbox SELECT source, key, order_id, sequence, outcome, payload_hash, received_at FROM inbox",
        ] {
            refused(&fixture, sql).await;
        }
        assert_eq!(fixture.state(other).await, "PENDING_BY_OPERATOR");
    }

    async fn the_audit_finds_what_was_altered_behind_the_engine(fixture: Fixture) {
        let id = fixture.order_in("o1", "DELIVERED").await;
        fixture.order_in("o2", "PENDING_BY_OPERATOR").await;
        fixture.assert_sound().await;
        let alterations = [
            ("I1", "UPDATE transitions SET actor_id = 'else' WHERE sequence = 2"),
            ("I1", "DELETE FROM transitions WHERE sequence = 2"),
            ("I1", "UPDATE transitions SET occurred_at = '2020-01-01T00:00:00.000000Z' WHERE sequence = 3"),
            ("I2", "UPDATE instances SET state = 'CREATED'"),
            ("I2", "UPDATE instances SET revision = 9"),
            ("I3", "DELETE FROM effects WHERE name = 'book_delivery_partner'"),
            ("I3", "UPDATE inbox SET sequence = 77 WHERE order_id IS NOT NULL"),
            ("I4", "UPDATE delivery_orders SET predecessor_id = order_id WHERE ordering_id = 'o1'"),
            ("I6", "UPDATE transitions SET event = 'CANCELLED' WHERE kind = 'moved'"),
        ];

        for (invariant, sql) in alterations {
            let saved = save(&fixture).await;
            let mut tx = fixture.db.tx().await.unwrap();
            tx.execute(sql, vec![]).await.unwrap();
            tx.commit().await.unwrap();
            let audit = fixture.audit().await;
            assert!(audit.findings.iter().any(|finding| finding.invariant == invariant), "{sql}: {:?}", audit.findings);
            restore(&fixture, saved).await;
            fixture.assert_sound().await;
        }
        assert_eq!(fixture.state(id).await, "DELIVERED");
    }

    async fn addresses_are_not_readable_in_the_database(fixture: Fixture) {
        fixture.order("o1").await;

        let rows = fixture.db.rows("SELECT pickup, dropoff FROM delivery_orders", vec![]).await.unwrap();
        let blobs = [rows[0].bytes("pickup").unwrap(), rows[0].bytes("dropoff").unwrap()];

        for blob in blobs {
            assert!(!String::from_utf8_lossy(&blob).contains("Torstr"), "an address is readable");
        }
        let order = fixture.engine.store().orders(&crate::store::OrderFilter { limit: 1, ..Default::default() }).await;
        assert_eq!(order.unwrap()[0].dropoff["line1"], json!("Torstr. 1"));
    }
}

const TABLES: [&str; 5] = ["instances", "delivery_orders", "transitions", "effects", "inbox"];

/// Copies of the tables, so that each alteration starts from a sound database.
async fn save(fixture: &Fixture) -> Vec<String> {
    let mut tx = fixture.db.tx().await.unwrap();
    for table in TABLES {
        tx.execute(&format!("CREATE TABLE saved_{table} AS SELECT * FROM {table}"), vec![])
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
    TABLES.iter().map(|table| format!("saved_{table}")).collect()
}

async fn restore(fixture: &Fixture, saved: Vec<String>) {
    let mut tx = fixture.db.tx().await.unwrap();
    for table in [
        "effects",
        "transitions",
        "deadlines",
        "delivery_orders",
        "instances",
        "inbox",
    ] {
        let kept = if table == "deadlines" {
            "CREATE TABLE saved_deadlines AS SELECT * FROM deadlines"
        } else {
            "SELECT 1"
        };
        tx.execute(kept, vec![]).await.unwrap();
        tx.execute(&format!("DELETE FROM {table}"), vec![]).await.unwrap();
    }
    for table in [
        "instances",
        "delivery_orders",
        "transitions",
        "effects",
        "inbox",
        "deadlines",
    ] {
        tx.execute(&format!("INSERT INTO {table} SELECT * FROM saved_{table}"), vec![])
            .await
            .unwrap();
    }
    for table in saved.iter().map(String::as_str).chain(["saved_deadlines"]) {
        tx.execute(&format!("DROP TABLE {table}"), vec![]).await.unwrap();
    }
    tx.commit().await.unwrap();
}
