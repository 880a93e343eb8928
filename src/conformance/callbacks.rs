use chrono::TimeDelta;
use serde_json::json;
use waybill_webhooks::Stored;

use super::fixture::{Fixture, StoreBody as _};
use super::on_both;

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
        let due = fixture.engine.store().due_effects(10).await.unwrap();
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
