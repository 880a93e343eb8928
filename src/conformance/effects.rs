use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;
use waybill_tasks::orders::{Begin, Booking, Finish, Orders as _};

use super::fixture::{Fixture, report};
use super::on_both;
use crate::engine::Answer;
use crate::engine::confirmation::Received;
use crate::store::effect_id;

fn booking() -> Finish {
    Finish::Booked(Booking {
        partner: "standard".to_owned(),
        id: "B-1".to_owned(),
        tracking_url: None,
    })
}

/// Publishes what waits, the oldest by a process whose clock is so much ahead; answers what the audit says of the order of it.
async fn publish_by_two_clocks(fixture: &Fixture, ahead: TimeDelta) -> Vec<&'static str> {
    fixture.order_in("o1", "PICKED_UP").await;
    let (mut process, later) = (fixture.later(ahead).await, fixture.later(TimeDelta::seconds(10)).await);
    loop {
        let due = later.store().due_effects(10, &[]).await.unwrap();
        if due.is_empty() {
            break;
        }
        process.mark_sent(&due).await.unwrap();
        process = fixture.another().await;
    }
    let findings = fixture.audit().await.findings;
    findings.iter().map(|finding| finding.invariant).collect()
}

on_both! {
    async fn clocks_of_two_processes_that_differ_a_little_do_not_look_like_a_wrong_order(fixture: Fixture) {
        assert_eq!(publish_by_two_clocks(&fixture, TimeDelta::seconds(4)).await, Vec::<&str>::new());
    }

    async fn what_was_published_long_before_an_older_effect_is_found(fixture: Fixture) {
        assert!(publish_by_two_clocks(&fixture, TimeDelta::seconds(20)).await.contains(&"I10"));
    }

    async fn an_order_that_is_handed_to_another_partner_is_booked_there(fixture: Fixture) {
        let id = fixture.order("o1").await;
        let effect = effect_id(id, 1, "book_delivery_partner");
        assert!(matches!(fixture.engine.begin(effect).await.unwrap(), Begin::Run(_)));
        let handed = Finish::Handed { from: Some("standard".to_owned()), to: "uber".to_owned(), cause: "standard refuses: too far".to_owned() };

        fixture.engine.finish(effect, handed).await.unwrap();

        let Begin::Run(work) = fixture.engine.begin(effect).await.unwrap() else { panic!("it is begun again") };
        assert_eq!((work.order.partner.as_deref(), work.attempts, work.order.revision), (Some("uber"), 0, 2));
        assert_eq!(work.asked, ["uber", "standard"]);
        assert_eq!(work.order.amount.map(|amount| (amount.minor_units > 0, amount.currency)), Some((true, "EUR".to_owned())));
        let log = fixture.engine.store().log(id).await.unwrap();
        assert_eq!(log[1].transition.event, "PARTNER_CHOSEN");
        fixture.assert_sound().await;
    }

    async fn an_effect_that_has_ended_is_not_begun_again(fixture: Fixture) {
        let id = fixture.order("o1").await;
        let effect = effect_id(id, 1, "book_delivery_partner");

        assert!(matches!(fixture.engine.begin(effect).await.unwrap(), Begin::Run(_)));
        fixture.engine.finish(effect, booking()).await.unwrap();
        fixture.engine.finish(effect, booking()).await.unwrap();

        assert!(matches!(fixture.engine.begin(effect).await.unwrap(), Begin::Done));
        let order = fixture.engine.store().order(id).await.unwrap().unwrap();
        assert_eq!(order.record.partner_booking_id.as_deref(), Some("B-1"));
        assert_eq!(order.loaded.order.revision.0, 2, "the booking is noted once");
        fixture.assert_sound().await;
    }

    async fn only_one_effect_of_an_order_talks_to_the_partner_at_a_time(fixture: Fixture) {
        let id = fixture.order("o1").await;
        let book = effect_id(id, 1, "book_delivery_partner");
        assert!(matches!(fixture.engine.begin(book).await.unwrap(), Begin::Run(_)));
        fixture.report(id, "CANCELLED", json!({ "cancel_reason": "CUSTOMER_REQUEST" })).await;
        let cancel = effect_id(id, 2, "cancel_delivery_partner");

        assert!(matches!(fixture.engine.begin(cancel).await.unwrap(), Begin::Busy));
        assert!(matches!(fixture.engine.begin(book).await.unwrap(), Begin::Busy), "nor the same one twice");
        fixture.engine.finish(book, booking()).await.unwrap();
        assert!(matches!(fixture.engine.begin(cancel).await.unwrap(), Begin::Run(_)));
    }

    async fn a_cancellation_knows_that_a_worker_died_while_it_booked(fixture: Fixture) {
        let [killed, never_begun] = [fixture.order("o1").await, fixture.order("o2").await];
        fixture.engine.begin(effect_id(killed, 1, "book_delivery_partner")).await.unwrap();
        let later = fixture.later(TimeDelta::seconds(61)).await;

        let mut unknown = Vec::new();
        for id in [killed, never_begun] {
            fixture.report(id, "CANCELLED", json!({ "cancel_reason": "CUSTOMER_REQUEST" })).await;
            let begun = later.begin(effect_id(id, 2, "cancel_delivery_partner")).await.unwrap();
            let Begin::Run(work) = begun else { panic!("the lease of the dead worker has ended: {begun:?}") };
            unknown.push(work.booking_unknown);
        }

        assert_eq!(unknown, [true, false]);
    }

    async fn a_booking_that_comes_after_the_cancellation_is_cancelled_again(fixture: Fixture) {
        let id = fixture.order("o1").await;
        let book = effect_id(id, 1, "book_delivery_partner");
        fixture.engine.begin(book).await.unwrap();
        fixture.report(id, "CANCELLED", json!({ "cancel_reason": "CUSTOMER_REQUEST" })).await;

        fixture.engine.finish(book, booking()).await.unwrap();

        let sql = "SELECT COUNT(*) AS count FROM effects WHERE name = 'cancel_delivery_partner' AND sequence = 3";
        assert_eq!(fixture.count(sql).await, 1);
        fixture.assert_sound().await;
    }

    async fn a_retry_is_due_later_and_survives_a_late_confirm_of_its_publication(fixture: Fixture) {
        let id = fixture.order("o1").await;
        let book = effect_id(id, 1, "book_delivery_partner");
        let published = fixture.engine.store().effect(book).await.unwrap().unwrap();
        fixture.engine.begin(book).await.unwrap();
        let retry = Finish::Retry { after: Duration::from_secs(30), cause: "the breaker is open".to_owned(), counts: false };

        fixture.engine.finish(book, retry).await.unwrap();
        fixture.engine.mark_sent(&[published]).await.unwrap();

        let effect = fixture.engine.store().effect(book).await.unwrap().unwrap();
        assert_eq!((effect.state.as_str(), effect.attempts), ("requested", 0));
        assert_eq!(fixture.engine.store().due_effects(10, &[]).await.unwrap(), vec![]);
        let later = fixture.later(TimeDelta::seconds(31)).await;
        let due = later.store().due_effects(10, &[]).await.unwrap();
        assert!(due.iter().any(|effect| effect.effect_id == book), "{due:?}");
    }

    async fn effects_of_an_order_wait_for_the_older_ones(fixture: Fixture) {
        let id = fixture.order("o1").await;
        fixture.report(id, "CANCELLED", json!({ "cancel_reason": "CUSTOMER_REQUEST" })).await;
        let later = fixture.later(TimeDelta::seconds(10)).await;

        let mut order = Vec::new();
        loop {
            let due = later.store().due_effects(10, &[]).await.unwrap();
            assert!(due.len() <= 1, "only the oldest unpublished one: {due:?}");
            let Some(effect) = due.into_iter().next() else { break };
            order.push(effect.name.clone());
            later.mark_sent(&[effect]).await.unwrap();
        }

        let expected = [
            "book_delivery_partner",
            "publish_event",
            "notify_order_management",
            "cancel_delivery_partner",
            "publish_event",
        ];
        assert_eq!(order, expected);
        fixture.assert_sound().await;
    }

    async fn an_order_is_looked_up_at_its_partner_by_one_effect_at_a_time(fixture: Fixture) {
        let id = fixture.order("o1").await;

        let first = fixture.engine.begin_reconciliation(id).await.unwrap().unwrap();
        assert_eq!(fixture.engine.begin_reconciliation(id).await.unwrap(), Some(first));
        assert!(matches!(fixture.engine.begin(first).await.unwrap(), Begin::Run(_)));
        fixture.engine.finish(first, booking()).await.unwrap();

        let next = fixture.engine.begin_reconciliation(id).await.unwrap();
        assert!(next.is_some_and(|next| next != first), "what ended was asked at another moment");
        assert_eq!(fixture.engine.begin_reconciliation(waybill_domain::OrderId(uuid::Uuid::nil())).await.unwrap(), None);
        fixture.assert_sound().await;
    }

    async fn each_state_is_told_as_a_cloud_event_without_addresses(fixture: Fixture) {
        let id = fixture.order_in("o1", "PICKED_UP").await;
        let effect = fixture.engine.store().effect(effect_id(id, 2, "publish_event")).await.unwrap().unwrap();

        let message = fixture.engine.message_of(&effect);

        let event: serde_json::Value = serde_json::from_slice(&message.body).unwrap();
        assert_eq!((message.exchange.as_str(), message.routing_key.as_str()), ("waybill.events", "delivery.picked_up.v1"));
        assert_eq!(event["id"], json!(format!("{id}/2")));
        assert_eq!((&event["specversion"], &event["type"]), (&json!("1.0"), &json!("delivery.picked_up.v1")));
        assert_eq!((&event["data"]["from"], &event["data"]["state"]), (&json!("CREATED"), &json!("PICKED_UP")));
        assert!(!String::from_utf8_lossy(&message.body).contains("Torstr"), "an event carries an address");
    }

    async fn an_effect_that_fails_for_ever_reaches_an_operator(fixture: Fixture) {
        let id = fixture.order("o1").await;
        let book = effect_id(id, 1, "book_delivery_partner");
        fixture.engine.begin(book).await.unwrap();

        fixture.engine.finish(book, Finish::Failed { cause: "suspended".to_owned() }).await.unwrap();

        assert_eq!(fixture.count("SELECT COUNT(*) AS count FROM operator_cases WHERE kind = 'effect-failed'").await, 1);
    }

    async fn a_deadline_happens_once_and_only_if_the_order_is_still_there(fixture: Fixture) {
        let waiting = fixture.order("o1").await;
        let moved = fixture.order("o2").await;
        let later = fixture.later(TimeDelta::hours(49)).await;
        let due = later.store().due_deadlines(10).await.unwrap();
        assert_eq!(due.len(), 2);
        fixture.report(moved, "PARTNER_PICKED_UP", json!({ "partner_order_number": "P" })).await;

        let mut fired = 0;
        for deadline in due.iter().chain(&due) {
            fired += u32::from(later.fire(deadline.clone()).await.unwrap());
        }

        assert_eq!(fired, 1);
        assert_eq!((fixture.state(waiting).await.as_str(), fixture.state(moved).await.as_str()), ("PENDING_BY_OPERATOR", "PICKED_UP"));
        fixture.assert_sound().await;
    }

    async fn a_pending_order_has_one_case_that_ends_with_it(fixture: Fixture) {
        let id = fixture.order_in("o1", "PENDING_BY_OPERATOR").await;
        let effect = effect_id(id, 3, "open_operator_case");
        let open = "SELECT COUNT(*) AS count FROM operator_cases WHERE kind = 'pending' AND closed_at IS NULL AND reason = 'LOST'";

        fixture.engine.open_case(effect).await.unwrap();
        fixture.engine.open_case(effect).await.unwrap();
        assert_eq!(fixture.count(open).await, 1);
        fixture.report(id, "REDELIVERY_ARRANGED", json!({})).await;

        assert_eq!(fixture.count(open).await, 0);
    }

    async fn the_link_is_the_same_each_time_and_takes_one_answer(fixture: Fixture) {
        let id = fixture.order_in("o1", "DELIVERED").await;
        let effect = effect_id(id, 3, "request_customer_confirmation");
        let link = fixture.engine.confirmation_link(effect).await.unwrap();
        assert_eq!(fixture.engine.confirmation_link(effect).await.unwrap(), link);
        let token = link.url.rsplit('/').next().unwrap();

        assert!(fixture.engine.confirmation("guessed").await.unwrap().is_none());
        assert_eq!(fixture.engine.confirmation(token).await.unwrap().unwrap().answer, None);
        let first = fixture.engine.answer(token, Received::Yes).await.unwrap().unwrap();
        let second = fixture.engine.answer(token, Received::No).await.unwrap().unwrap();

        assert_eq!((first.answer, second.answer), (Some(Received::Yes), Some(Received::Yes)));
        assert_eq!(fixture.state(id).await, "DELIVERY_CONFIRMED");
        assert_eq!(fixture.engine.store().order(id).await.unwrap().unwrap().record.confirmed_by.as_deref(), Some("customer"));
        let much_later = fixture.later(TimeDelta::days(60)).await;
        assert!(much_later.confirmation(token).await.unwrap().is_none());
        fixture.assert_sound().await;
    }

    async fn of_two_links_to_one_order_both_may_be_answered(fixture: Fixture) {
        let id = fixture.order_in("o1", "DELIVERED").await;
        let effect = effect_id(id, 3, "request_customer_confirmation");
        let first = fixture.engine.confirmation_link(effect).await.unwrap();
        let rotated = fixture.with_key(9).await;
        let second = rotated.confirmation_link(effect).await.unwrap();
        assert_ne!(first.url, second.url, "the link derives from the first data key");

        for link in [first, second] {
            let view = rotated.answer(link.url.rsplit('/').next().unwrap(), Received::Yes).await.unwrap();
            assert_eq!(view.unwrap().answer, Some(Received::Yes));
        }

        assert_eq!(fixture.state(id).await, "DELIVERY_CONFIRMED");
        fixture.assert_sound().await;
    }

    async fn a_no_after_the_automatic_confirmation_reaches_an_operator(fixture: Fixture) {
        let id = fixture.order_in("o1", "DELIVERED").await;
        let link = fixture.engine.confirmation_link(effect_id(id, 3, "request_customer_confirmation")).await.unwrap();
        let later = fixture.later(TimeDelta::days(15)).await;
        let due = later.store().due_deadlines(10).await.unwrap();
        assert!(later.fire(due[0].clone()).await.unwrap());

        let view = later.answer(link.url.rsplit('/').next().unwrap(), Received::No).await.unwrap().unwrap();

        assert_eq!(view.answer, Some(Received::No));
        let order = fixture.engine.store().order(id).await.unwrap().unwrap();
        assert_eq!((order.loaded.order.state.as_str(), order.record.confirmed_by.as_deref()), ("DELIVERY_CONFIRMED", Some("system")));
        let sql = "SELECT COUNT(*) AS count FROM operator_cases WHERE kind = 'disputed-after-confirmation'";
        assert_eq!(fixture.count(sql).await, 1);
        fixture.assert_sound().await;
    }

    async fn a_successor_can_be_confirmed_like_any_other_order(fixture: Fixture) {
        let old = fixture.order_in("o1", "PENDING_BY_OPERATOR").await;
        fixture.report(old, "REDELIVERY_ARRANGED", json!({})).await;
        let new = fixture.engine.store().live_order("o1").await.unwrap().unwrap();

        for (event, fields) in [
            ("PARTNER_PICKED_UP", json!({ "partner_order_number": "P-2" })),
            ("PARTNER_DELIVERED", json!({})),
            ("CUSTOMER_CONFIRMED", json!({})),
        ] {
            let answer = fixture.engine.report(report(new, event, fields, event)).await.unwrap();
            assert!(matches!(answer, Answer::Applied { .. }), "{event}: {answer:?}");
        }

        assert_eq!(fixture.state(new).await, "DELIVERY_CONFIRMED");
        fixture.assert_sound().await;
    }
}
