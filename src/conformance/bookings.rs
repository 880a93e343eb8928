use serde_json::Value as Json;
use uuid::Uuid;
use waybill_domain::{OrderId, Role};
use waybill_tasks::orders::{Begin, Finish, Orders as _};

use super::fixture::Fixture;
use super::on_both;
use crate::engine::booking::{BookingAnswer, FoundBooking};
use crate::engine::case::CaseAnswer;
use crate::store::effect_id;

/// An order whose booking got lost at a partner that cannot be asked, and the case about it.
async fn lost(fixture: &Fixture, ordering: &str) -> (OrderId, Uuid) {
    let id = fixture.order(ordering).await;
    fail(fixture, id).await;
    (id, case_of(fixture, id).await)
}

async fn fail(fixture: &Fixture, id: OrderId) {
    let effect = effect_id(id, 1, "book_delivery_partner");
    assert!(matches!(fixture.engine.begin(effect).await.unwrap(), Begin::Run(_)));
    let cause = "it is unknown whether onfleet has booked".to_owned();
    fixture.engine.finish(effect, Finish::Failed { cause }).await.unwrap();
}

/// The open case of an order.
async fn case_of(fixture: &Fixture, id: OrderId) -> Uuid {
    let sql = "SELECT case_id FROM operator_cases WHERE order_id = $1 AND kind = 'effect-failed' AND closed_at IS NULL";
    let row = fixture
        .db
        .row(sql, vec![id.0.into()])
        .await
        .unwrap()
        .expect("there is a case");
    row.uuid("case_id").unwrap()
}

fn found(booking_id: Option<&str>, operator: &str) -> FoundBooking {
    FoundBooking {
        booking_id: booking_id.map(str::to_owned),
        note: "seen in the dashboard".to_owned(),
        operator: operator.to_owned(),
    }
}

/// The last event of an order's log: its name, who it was, and the order's booking.
async fn last(fixture: &Fixture, id: OrderId) -> (String, (Role, String), Option<String>) {
    let log = fixture.engine.store().log(id).await.unwrap();
    let transition = &log.last().unwrap().transition;
    let order = fixture.engine.store().order(id).await.unwrap().unwrap();
    let who = (transition.actor.role, transition.actor.id.clone());
    (transition.event.to_string(), who, order.record.partner_booking_id)
}

on_both! {
    async fn a_booking_that_an_operator_found_is_the_orders_and_the_partner_is_asked_how_it_stands(fixture: Fixture) {
        let (id, case) = lost(&fixture, "o1").await;

        let answer = fixture.engine.settle_booking(case, found(Some("task-1"), "ada")).await.unwrap();
        let again = fixture.engine.settle_booking(case, found(Some("task-1"), "ada")).await.unwrap();

        let BookingAnswer::Done(closed) = &answer else { panic!("{answer:?}") };
        assert_eq!((closed.closed_by.as_deref(), closed.note.as_deref()), (Some("ada"), Some("seen in the dashboard")));
        assert_eq!(again, answer);
        let noted = ("PARTNER_BOOKED".to_owned(), (Role::Operator, "ada".to_owned()), Some("task-1".to_owned()));
        assert_eq!(last(&fixture, id).await, noted);
        let asks = "SELECT COUNT(*) AS count FROM effects WHERE name = 'reconcile_partner' AND state = 'requested'";
        assert_eq!(fixture.count(asks).await, 1, "once");
        let failed = "SELECT COUNT(*) AS count FROM effects WHERE state = 'failed'";
        assert_eq!(fixture.count(failed).await, 0);
        fixture.assert_sound().await;
    }

    async fn a_booking_that_an_operator_did_not_find_is_made_again_and_may_be_lost_again(fixture: Fixture) {
        let (id, case) = lost(&fixture, "o1").await;

        let answer = fixture.engine.settle_booking(case, found(None, "ada")).await.unwrap();

        assert!(matches!(answer, BookingAnswer::Done(_)), "{answer:?}");
        assert_eq!(last(&fixture, id).await, ("BOOKING_NOT_FOUND".to_owned(), (Role::Operator, "ada".to_owned()), None));
        let effect = effect_id(id, 1, "book_delivery_partner");
        let due = fixture.engine.store().due_effects(10, &[]).await.unwrap();
        assert!(due.iter().any(|it| it.effect_id == effect && it.attempts == 0), "{due:?}");
        fail(&fixture, id).await;
        assert_ne!(case_of(&fixture, id).await, case, "another loss is another case");
        fixture.assert_sound().await;
    }

    async fn what_is_found_for_an_order_that_was_cancelled_meanwhile_is_called_off(fixture: Fixture) {
        let (id, case) = lost(&fixture, "o1").await;
        fixture.report(id, "CANCELLED", serde_json::json!({ "cancel_reason": "CUSTOMER_REQUEST" })).await;

        fixture.engine.settle_booking(case, found(Some("task-1"), "ada")).await.unwrap();

        let sql = "SELECT COUNT(*) AS count FROM effects WHERE name = 'cancel_delivery_partner' AND sequence = 3";
        assert_eq!(fixture.count(sql).await, 1);
        let asks = "SELECT COUNT(*) AS count FROM effects WHERE name = 'reconcile_partner'";
        assert_eq!(fixture.count(asks).await, 0, "nobody wants to know how it stands");
        fixture.assert_sound().await;
    }

    async fn one_delivery_of_a_partner_is_not_two_orders(fixture: Fixture) {
        let (first, case) = lost(&fixture, "o1").await;
        let (second, other) = lost(&fixture, "o2").await;
        fixture.engine.settle_booking(case, found(Some("task-1"), "ada")).await.unwrap();

        let answer = fixture.engine.settle_booking(other, found(Some("task-1"), "ada")).await.unwrap();

        assert_eq!(answer, BookingAnswer::OfAnother(first));
        assert_eq!(last(&fixture, second).await.2, None);
    }

    async fn only_who_has_the_case_says_what_is_there_and_only_of_a_booking_that_is_lost(fixture: Fixture) {
        let (id, case) = lost(&fixture, "o1").await;
        assert!(matches!(fixture.engine.claim_case(case, "ben").await.unwrap(), CaseAnswer::Done(_)));
        let pending = fixture.order_in("o2", "PENDING_BY_OPERATOR").await;
        let effect = effect_id(pending, 3, "open_operator_case");
        fixture.engine.open_case(effect).await.unwrap();
        let sql = "SELECT case_id FROM operator_cases WHERE kind = 'pending'";
        let other = fixture.db.row(sql, vec![]).await.unwrap().expect("a case").uuid("case_id").unwrap();

        let answers = [
            fixture.engine.settle_booking(case, found(Some("task-1"), "ada")).await.unwrap(),
            fixture.engine.settle_booking(other, found(Some("task-1"), "ada")).await.unwrap(),
            fixture.engine.settle_booking(Uuid::nil(), found(Some("task-1"), "ada")).await.unwrap(),
        ];

        assert!(matches!(answers[0], BookingAnswer::Taken(_)), "{answers:?}");
        assert_eq!(answers[1..], [BookingAnswer::NotLost, BookingAnswer::NotFound]);
        assert_eq!(last(&fixture, id).await.2, None);
        assert_eq!(fixture.engine.store().case(case).await.unwrap().unwrap().detail["effect"], Json::from("book_delivery_partner"));
    }
}
