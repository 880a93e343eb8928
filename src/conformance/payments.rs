use serde_json::json;
use waybill_domain::OrderId;

use super::fixture::{Fixture, paid, refunded, report};
use super::on_both;
use crate::engine::payment::Followed;
use crate::engine::{Answer, EngineError};

on_both! {
    async fn a_payment_makes_one_delivery_order_however_often_it_is_told(fixture: Fixture) {
        let first = fixture.engine.paid(paid("o1")).await.unwrap();
        let again = fixture.engine.paid(paid("o1")).await.unwrap();
        let mut other_event = paid("o1");
        other_event.key = "evt-other".to_owned();
        let same_payment = fixture.engine.paid(other_event).await.unwrap();

        assert!(matches!(first, Followed::Created(_)));
        assert_eq!((again, same_payment), (Followed::Duplicate, Followed::Duplicate));
        assert_eq!(fixture.count("SELECT COUNT(*) AS count FROM delivery_orders").await, 1);
        fixture.assert_sound().await;
    }

    async fn the_same_key_with_other_content_is_refused_by_name(fixture: Fixture) {
        fixture.order("o1").await;
        let mut other = paid("o1");
        other.data = json!({ "amount": 1 });

        assert_eq!(fixture.engine.paid(other).await.unwrap(), Followed::KeyConflict);
    }

    async fn e_books_make_no_order(fixture: Fixture) {
        let mut ebooks = paid("o1");
        ebooks.addresses = None;
        ebooks.physical_items = vec![];

        assert_eq!(fixture.engine.paid(ebooks).await.unwrap(), Followed::Recorded);
        assert_eq!(fixture.count("SELECT COUNT(*) AS count FROM payments WHERE state = 'seen'").await, 1);
        assert_eq!(fixture.count("SELECT COUNT(*) AS count FROM instances").await, 0);
    }

    async fn a_second_payment_of_an_ordering_with_a_live_order_reaches_an_operator(fixture: Fixture) {
        fixture.order("o1").await;
        let mut second = paid("o1");
        second.key = "evt-2".to_owned();
        second.payment_id = "pay-2".to_owned();

        assert_eq!(fixture.engine.paid(second).await.unwrap(), Followed::Recorded);
        assert_eq!(fixture.count("SELECT COUNT(*) AS count FROM operator_cases WHERE kind = 'second-payment'").await, 1);
    }

    async fn a_refund_before_pick_up_cancels(fixture: Fixture) {
        let id = fixture.order("o1").await;

        assert_eq!(fixture.engine.refunded(refunded("o1", 4599)).await.unwrap(), Followed::Cancelled(id));
        assert_eq!(fixture.engine.refunded(refunded("o1", 4599)).await.unwrap(), Followed::Duplicate);
        assert_eq!(fixture.state(id).await, "CANCELLED");
        fixture.assert_sound().await;
    }

    async fn a_refund_before_its_payment_prevents_the_order(fixture: Fixture) {
        assert_eq!(fixture.engine.refunded(refunded("o1", 4599)).await.unwrap(), Followed::Recorded);
        assert_eq!(fixture.engine.paid(paid("o1")).await.unwrap(), Followed::Duplicate);

        assert_eq!(fixture.count("SELECT COUNT(*) AS count FROM instances").await, 0);
        fixture.assert_sound().await;
    }

    async fn refunds_in_part_before_their_payment_prevent_no_order_and_reach_an_operator(fixture: Fixture) {
        let in_part = [refunded("o1", 100), refunded("o1", 200)];
        let in_full = [refunded("o2", 4000), refunded("o2", 599)];
        for refund in in_part.into_iter().chain(in_full) {
            assert_eq!(fixture.engine.refunded(refund).await.unwrap(), Followed::Recorded);
        }

        let id = fixture.order("o1").await;
        assert_eq!(fixture.engine.paid(paid("o2")).await.unwrap(), Followed::Duplicate);

        assert_eq!(fixture.state(id).await, "CREATED");
        let cases = "SELECT COUNT(*) AS count FROM operator_cases WHERE kind = 'partial-refund' AND order_id IS NOT NULL";
        assert_eq!(fixture.count(cases).await, 1);
        assert_eq!(fixture.count("SELECT COUNT(*) AS count FROM delivery_orders").await, 1);
        // The rest completes it.
        assert_eq!(fixture.engine.refunded(refunded("o1", 4299)).await.unwrap(), Followed::Cancelled(id));
        fixture.assert_sound().await;
    }

    async fn a_refund_in_another_currency_before_its_payment_prevents_no_order(fixture: Fixture) {
        let mut foreign = refunded("o1", 4599);
        foreign.amount.currency = "JPY".to_owned();

        assert_eq!(fixture.engine.refunded(foreign).await.unwrap(), Followed::Recorded);
        let id = fixture.order("o1").await;

        assert_eq!(fixture.state(id).await, "CREATED");
        let paid = fixture.engine.store().amount_paid("pay-o1").await.unwrap().unwrap();
        assert_eq!((paid.minor_units, paid.currency.as_str()), (4599, "EUR"));
        fixture.assert_sound().await;
    }

    async fn a_refund_after_pick_up_or_in_part_moves_nothing_and_reaches_an_operator(fixture: Fixture) {
        let picked_up = fixture.order_in("o1", "PICKED_UP").await;
        let created = fixture.order("o2").await;

        assert_eq!(fixture.engine.refunded(refunded("o1", 4599)).await.unwrap(), Followed::Recorded);
        assert_eq!(fixture.engine.refunded(refunded("o2", 100)).await.unwrap(), Followed::Recorded);

        assert_eq!((fixture.state(picked_up).await, fixture.state(created).await), ("PICKED_UP".into(), "CREATED".into()));
        assert_eq!(fixture.count("SELECT COUNT(*) AS count FROM operator_cases WHERE kind LIKE '%refund%'").await, 2);
        fixture.assert_sound().await;
    }

    async fn an_idempotency_key_told_again_answers_the_first_answer_and_other_content_is_refused(fixture: Fixture) {
        let id = fixture.order("o1").await;
        let told = report(id, "CANCELLED", json!({ "cancel_reason": "CUSTOMER_REQUEST" }), "k");
        let other = report(id, "CANCELLED", json!({ "cancel_reason": "OPERATOR_DECISION" }), "k");

        assert_eq!(fixture.engine.report(told.clone()).await.unwrap(), Answer::Applied { revision: 2 });
        assert_eq!(fixture.engine.report(told).await.unwrap(), Answer::Repeated { revision: 2 });
        assert_eq!(fixture.engine.report(other).await.unwrap(), Answer::KeyReused);
    }

    async fn a_redelivery_is_a_new_order_linked_both_ways(fixture: Fixture) {
        let old = fixture.order_in("o1", "PENDING_BY_OPERATOR").await;
        let dropoff = json!({ "name": "B. Reader", "line1": "Elsewhere 2", "postal_code": "1", "city": "X", "country": "DE" });

        let answer = fixture.report(old, "REDELIVERY_ARRANGED", json!({ "dropoff": dropoff, "note": "moved" })).await;

        assert!(matches!(answer, Answer::Applied { .. }), "{answer:?}");
        let store = fixture.engine.store();
        let ended = store.order(old).await.unwrap().unwrap().record;
        let successor = store.order(ended.successor_id.unwrap()).await.unwrap().unwrap();
        assert_eq!((ended.live, ended.outcome.as_deref()), (false, Some("failure")));
        assert_eq!(successor.record.predecessor_id, Some(old));
        assert_eq!((successor.record.attempt, successor.loaded.order.state.as_str()), (2, "CREATED"));
        assert_eq!((&successor.dropoff["name"], &successor.pickup["name"]), (&json!("B. Reader"), &json!("Bookstore Mitte")));
        fixture.assert_sound().await;
    }

    async fn of_two_operators_one_arranges_the_successor(fixture: Fixture) {
        let old = fixture.order_in("o1", "PENDING_BY_OPERATOR").await;
        let other = fixture.another().await;

        let (a, b) = tokio::join!(
            fixture.engine.report(report(old, "REDELIVERY_ARRANGED", json!({}), "a")),
            other.report(report(old, "REDELIVERY_ARRANGED", json!({}), "b")),
        );

        let won = |answer: &Result<Answer, EngineError>| matches!(answer, Ok(Answer::Applied { .. }));
        assert_ne!(won(&a), won(&b), "{a:?} {b:?}");
        assert_eq!(fixture.count("SELECT COUNT(*) AS count FROM delivery_orders").await, 2);
        fixture.assert_sound().await;
    }

    async fn two_processes_told_the_same_payments_at_once_make_one_order_of_each(fixture: Fixture) {
        let other = fixture.another().await;
        let tell = |engine: &crate::engine::Engine| {
            let engine = engine.clone();
            tokio::spawn(async move {
                let all = (0..100).map(|n| paid(&format!("o{n}"))).map(|paid| {
                    let engine = engine.clone();
                    tokio::spawn(async move { engine.paid(paid).await.unwrap() })
                });
                futures_util::future::join_all(all.collect::<Vec<_>>()).await
            })
        };

        let (a, b) = tokio::join!(tell(&fixture.engine), tell(&other));

        let created = a.unwrap().into_iter().chain(b.unwrap()).filter(|it| matches!(it, Ok(Followed::Created(_)))).count();
        assert_eq!(created, 100);
        assert_eq!(fixture.count("SELECT COUNT(*) AS count FROM delivery_orders WHERE live").await, 100);
        fixture.assert_sound().await;
    }

    async fn a_payment_and_its_refund_told_to_two_processes_at_once_leave_nothing_to_deliver(fixture: Fixture) {
        let other = fixture.another().await;
        let told = (0..100).map(|n| {
            let (ordering, engine, other) = (format!("o{n}"), fixture.engine.clone(), other.clone());
            let payment = paid(&ordering);
            let paying = tokio::spawn(async move { engine.paid(payment).await.unwrap() });
            let refunding = tokio::spawn(async move { other.refunded(refunded(&ordering, 4599)).await.unwrap() });
            futures_util::future::try_join(paying, refunding)
        });

        futures_util::future::try_join_all(told.collect::<Vec<_>>()).await.unwrap();

        assert_eq!(fixture.count("SELECT COUNT(*) AS count FROM delivery_orders WHERE live").await, 0);
        let known = "SELECT COUNT(*) AS count FROM payments WHERE state IN ('prevented', 'refunded') AND refunded_units = 4599";
        assert_eq!(fixture.count(known).await, 100);
        fixture.assert_sound().await;
    }

    async fn a_number_that_another_live_order_has_is_refused(fixture: Fixture) {
        fixture.order_in("o1", "PICKED_UP").await;
        let id = fixture.order("o2").await;

        let answer = fixture.report(id, "PARTNER_PICKED_UP", json!({ "partner_order_number": "N-o1" })).await;

        assert!(matches!(answer, Answer::Refused(waybill_domain::Refusal::BadField { .. })), "{answer:?}");
    }

    async fn an_unknown_order_and_another_revision_are_answered_as_such(fixture: Fixture) {
        let id = fixture.order("o1").await;
        let nobody = OrderId(uuid::Uuid::nil());
        let mut expecting = report(id, "CANCELLED", json!({ "cancel_reason": "CUSTOMER_REQUEST" }), "k");
        expecting.if_revision = Some(7);

        assert_eq!(fixture.report(nobody, "CANCELLED", json!({})).await, Answer::NotFound);
        assert_eq!(fixture.engine.report(expecting).await.unwrap(), Answer::Moved { revision: 1 });
    }
}
