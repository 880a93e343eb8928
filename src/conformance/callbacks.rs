use chrono::TimeDelta;
use serde_json::json;
use waybill_webhooks::Stored;

use super::fixture::{Fixture, StoreBody as _};
use super::on_both;
use crate::engine::replay::Replayed;
use crate::store::DeadFilter;
use crate::store::record::{CallbackState, Effect};

on_both! {
    async fn a_callback_moves_its_order_once(fixture: Fixture) {
        let id = fixture.order("o1").await;
        let picked_up = json!({ "reference": id, "partner_order_number": "P-1" });

        let callback = fixture.callback("m1", "delivery.picked_up", picked_up.clone()).await;
        let (again, _) = fixture.store_callback("m1", "delivery.picked_up", picked_up.clone()).await;
        let by_meaning = fixture.callback("m2", "delivery.picked_up", picked_up).await;

        assert_eq!((fixture.state(id).await.as_str(), again), ("PICKED_UP", Stored::Duplicate));
        assert_eq!(fixture.callback_state(callback).await, "applied");
        assert_eq!(fixture.callback_state(by_meaning).await, "duplicate");
        let order = fixture.engine.store().order(id).await.unwrap().unwrap();
        assert_eq!(order.record.partner_order_number.as_deref(), Some("P-1"));
        fixture.assert_sound().await;
    }

    async fn the_same_id_with_other_content_is_set_aside(fixture: Fixture) {
        let id = fixture.order("o1").await;
        fixture.callback("m1", "delivery.picked_up", json!({ "reference": id, "partner_order_number": "P-1" })).await;

        let stored = fixture.engine.store_body("m1", "{\"type\":\"delivery.failed\"}").await;

        assert_eq!(stored, Stored::Conflict);
        assert_eq!(fixture.count("SELECT COUNT(*) AS count FROM quarantine WHERE reason = 'event-key-conflict'").await, 1);
        assert_eq!(fixture.state(id).await, "PICKED_UP");
    }

    async fn delivered_before_picked_up_waits_and_is_applied_in_its_turn(fixture: Fixture) {
        let id = fixture.order("o1").await;

        let early = fixture.callback("m1", "delivery.delivered", json!({ "reference": id })).await;
        assert_eq!((fixture.callback_state(early).await.as_str(), fixture.state(id).await.as_str()), ("parked", "CREATED"));
        fixture.callback("m2", "delivery.picked_up", json!({ "reference": id, "partner_order_number": "P-1" })).await;
        let due = fixture.engine.store().due_effects(10, &[]).await.unwrap();
        assert!(due.iter().any(|effect| effect.effect_id == early), "the parked callback gets its turn: {due:?}");
        fixture.engine.apply_callback(early).await.unwrap();

        assert_eq!((fixture.callback_state(early).await.as_str(), fixture.state(id).await.as_str()), ("applied", "DELIVERED"));
        fixture.assert_sound().await;
    }

    async fn a_missing_pick_up_is_inferred_after_an_hour_if_the_partner_is_known_to_have_it(fixture: Fixture) {
        let id = fixture.order("o1").await;
        let data = json!({ "reference": id, "partner_order_number": "P-9" });
        let early = fixture.callback("m1", "delivery.delivered", data).await;

        fixture.later(TimeDelta::minutes(61)).await.apply_callback(early).await.unwrap();

        assert_eq!((fixture.callback_state(early).await.as_str(), fixture.state(id).await.as_str()), ("applied", "DELIVERED"));
        let log = fixture.engine.store().log(id).await.unwrap();
        let inferred: Vec<_> = log.iter().map(|row| row.transition.inferred).collect();
        assert_eq!(inferred, [false, true, false]);
        fixture.assert_sound().await;
    }

    async fn without_a_number_or_a_booking_an_operator_looks(fixture: Fixture) {
        let id = fixture.order("o1").await;
        let early = fixture.callback("m1", "delivery.delivered", json!({ "reference": id })).await;

        fixture.later(TimeDelta::minutes(61)).await.apply_callback(early).await.unwrap();

        assert_eq!(fixture.callback_state(early).await, "unresolved");
        assert_eq!(fixture.state(id).await, "PENDING_BY_OPERATOR");
        fixture.assert_sound().await;
    }

    async fn late_contradicting_unknown_and_foreign_callbacks_are_kept_and_move_nothing(fixture: Fixture) {
        let delivered = fixture.order_in("o1", "DELIVERED").await;
        let cancelled = fixture.order("o2").await;
        fixture.report(cancelled, "CANCELLED", json!({ "cancel_reason": "CUSTOMER_REQUEST" })).await;
        let other = fixture.order("o3").await;
        let number = json!({ "reference": other, "partner_order_number": "N-o1" });
        let table = [
            ("late", "delivery.picked_up", json!({ "reference": delivered, "partner_order_number": "N-o1" }), "stale"),
            ("contradiction", "delivery.failed", json!({ "reference": delivered, "failure_reason": "LOST" }), "conflict"),
            ("asked", "delivery.cancelled", json!({ "reference": cancelled }), "noted"),
            ("at large", "delivery.picked_up", json!({ "reference": cancelled, "partner_order_number": "P" }), "conflict"),
            ("taken", "delivery.picked_up", number, "conflict"),
            ("two numbers", "delivery.picked_up", json!({ "reference": delivered, "partner_order_number": "X" }), "conflict"),
            ("no number", "delivery.picked_up", json!({ "reference": other }), "conflict"),
            ("orphan", "delivery.delivered", json!({ "reference": uuid::Uuid::nil() }), "orphan"),
            ("not ours", "delivery.delivered", json!({ "reference": "somebody else's" }), "orphan"),
            ("unmapped", "delivery.teleported", json!({ "reference": delivered }), "unmapped"),
        ];

        for (name, kind, data, expected) in table {
            let id = fixture.callback(name, kind, data).await;
            assert_eq!(fixture.callback_state(id).await, expected, "{name}");
        }

        assert_eq!(fixture.state(delivered).await, "DELIVERED");
        assert_eq!(fixture.state(cancelled).await, "CANCELLED");
        assert_eq!(fixture.state(other).await, "CREATED");
        assert_eq!(fixture.count("SELECT COUNT(*) AS count FROM operator_cases WHERE kind = 'goods-at-large'").await, 1);
        fixture.assert_sound().await;
    }

    async fn an_unknown_reason_is_no_reason_to_lose_a_failure(fixture: Fixture) {
        let id = fixture.order_in("o1", "PICKED_UP").await;

        let data = json!({ "reference": id, "failure_reason": "dog ate it" });
        let callback = fixture.callback("m1", "delivery.failed", data).await;

        assert_eq!(fixture.callback_state(callback).await, "applied");
        assert_eq!(fixture.state(id).await, "PENDING_BY_OPERATOR");
        let order = fixture.engine.store().order(id).await.unwrap().unwrap();
        assert_eq!(order.record.failure_reason.as_deref(), Some("UNKNOWN"));
        assert_eq!(order.loaded.order.fields["failure_raw"].as_text(), Some("dog ate it"));
    }
}

on_both! {
    async fn a_callback_that_comes_many_times_at_once_to_two_processes_is_stored_once(fixture: Fixture) {
        let other = fixture.another().await;
        let told = (0..96).map(|number| {
            let engine = if number % 2 == 0 { &fixture.engine } else { &other };
            // Every third is the same one, the others come twice.
            let id = if number % 3 == 0 { "m".to_owned() } else { format!("m-{}", number / 6) };
            let body = format!("{{\"of\":\"{id}\"}}");
            async move { (engine.store_body(&id, &body).await, id) }
        });

        let mut answers = futures_util::future::join_all(told).await;

        answers.sort_by(|one, other| one.1.cmp(&other.1));
        for same in answers.chunk_by(|one, other| one.1 == other.1) {
            let new = same.iter().filter(|(stored, _)| *stored == Stored::New).count();
            assert_eq!(new, 1, "{same:?}");
            assert!(same.iter().all(|(stored, _)| *stored != Stored::Conflict), "{same:?}");
        }
        for table in ["callbacks", "effects", "inbox"] {
            assert_eq!(fixture.count(&format!("SELECT COUNT(*) AS count FROM {table}")).await, 17, "{table}");
        }
        let again = "SELECT CAST(SUM(repeats) AS bigint) AS count FROM callbacks";
        assert_eq!(fixture.count(again).await, 96 - 17);
    }

    async fn what_was_set_aside_under_a_known_id_is_applied_when_an_operator_wants_it(fixture: Fixture) {
        let id = fixture.order("o1").await;
        let number = json!({ "reference": id, "partner_order_number": "P-1" });
        let first = fixture.callback("m1", "delivery.picked_up", number).await;
        let (stored, _) = fixture.store_callback("m1", "delivery.delivered", json!({ "reference": id })).await;
        assert_eq!((stored, fixture.state(id).await.as_str()), (Stored::Conflict, "PICKED_UP"));
        let store = fixture.engine.store();
        let dead = store.dead(&DeadFilter { limit: 10, ..DeadFilter::default() }).await.unwrap().pop().unwrap();

        let replayed = fixture.engine.replay_conflict(&dead, "ada").await.unwrap();

        let Replayed::As(attempt) = replayed else { panic!("{replayed:?}") };
        fixture.engine.apply_callback(attempt).await.unwrap();
        assert_eq!(fixture.state(id).await, "DELIVERED");
        let kept = store.callback(attempt).await.unwrap().unwrap();
        assert_eq!((kept.replay_of, kept.replayed_by.as_deref(), kept.key_id.as_str()), (Some(first), Some("ada"), "s1"));
        assert_eq!(kept.headers, json!([["webhook-id", "m1"]]));
        assert!(store.dead_message(dead.id).await.unwrap().unwrap().replayed_at.is_some());
        assert_eq!(fixture.callback_state(first).await, "applied", "the first stays as it is");
        fixture.assert_sound().await;
    }

    async fn what_a_new_callback_asks_for_is_in_its_transaction(fixture: Fixture) {
        let (_, id) = fixture.store_callback("m1", "delivery.picked_up", json!({})).await;

        let store = fixture.engine.store();
        let callback = store.callback(id).await.unwrap().unwrap();
        let effect = store.effect(id).await.unwrap();
        assert_eq!(effect, Some(Effect::of_callback(id, callback.received_at)));
        assert_eq!((callback.state, callback.repeats, callback.key_id.as_str()), (CallbackState::Received, 0, "s1"));
        assert_eq!(callback.headers, json!([["webhook-id", "m1"]]));
        let key = "SELECT COUNT(*) AS count FROM inbox WHERE source = 'callback' AND key = 'standard m1' AND outcome = 'stored'";
        assert_eq!(fixture.count(key).await, 1);
    }
}

/// A plan that was made while a table was short is kept: if it read the whole table, every commit would, however long it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_commit_on_postgres_reads_more_than_it_names() {
    const TOLD: i64 = 300;
    let fixture = Fixture::postgres().await;
    for number in 0..TOLD {
        let id = format!("m{number}");
        assert_eq!(fixture.engine.store_body(&id, "{}").await, Stored::New);
        assert_eq!(fixture.engine.store_body(&id, "{}").await, Stored::Duplicate);
    }
    // The others wait for the broker: who marks one, or has an order, does not read all that wait.
    let some = "SELECT effect_id, created_at FROM effects LIMIT 20";
    for row in fixture.db.rows(some, vec![]).await.unwrap() {
        let effect = Effect::of_callback(row.uuid("effect_id").unwrap(), row.time("created_at").unwrap());
        fixture.engine.mark_sent(&[effect]).await.unwrap();
    }
    let marked = "SELECT COUNT(*) AS count FROM effects WHERE state = 'sent'";
    assert_eq!(fixture.count(marked).await, 20);
    fixture.order_in("o1", "DELIVERED").await;

    // A server process tells what it read when it ends.
    let end = "SELECT COUNT(*) AS count FROM (SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()) AS ended";
    assert!(fixture.count(end).await > 0);
    let whole = "SELECT CAST(SUM(seq_tup_read) AS bigint) AS count FROM pg_stat_user_tables
        WHERE relname IN ('callbacks', 'inbox', 'effects')";
    let waiting = "SELECT CAST(SUM(idx_tup_read) AS bigint) AS count FROM pg_stat_user_indexes
        WHERE indexrelname = 'effects_requested'";
    assert!(
        fixture.count(whole).await < TOLD * 3,
        "{} rows were read",
        fixture.count(whole).await
    );
    assert_eq!(fixture.count(waiting).await, 0);
}
