use chrono::TimeDelta;
use serde_json::{Value as Json, json};
use uuid::Uuid;
use waybill_domain::OrderId;
use waybill_tasks::orders::{Begin, Booking, Finish, Orders as _, Seen};

use super::fixture::Fixture;
use super::on_both;
use crate::store::effect_id;

/// An order that Uber has booked as `del_1`.
async fn booked(fixture: &Fixture) -> OrderId {
    let id = fixture.order("o1").await;
    book(fixture, id).await;
    id
}

async fn book(fixture: &Fixture, id: OrderId) {
    book_as(fixture, id, "del_1").await;
}

async fn book_as(fixture: &Fixture, id: OrderId, booking_id: &str) {
    let effect = effect_id(id, 1, "book_delivery_partner");
    assert!(matches!(fixture.engine.begin(effect).await.unwrap(), Begin::Run(_)));
    let booking = Booking {
        partner: "uber".to_owned(),
        id: booking_id.to_owned(),
        tracking_url: None,
    };
    fixture.engine.finish(effect, Finish::Booked(booking)).await.unwrap();
}

/// Who looks so much later has the partner asked: the effects that wait for it.
async fn asked(fixture: &Fixture, offset: TimeDelta) -> Vec<Uuid> {
    fixture.later(offset).await.ask_about_silent(10).await.unwrap();
    let sql = "SELECT effect_id FROM effects WHERE name = 'reconcile_partner' AND state = 'requested'";
    let rows = fixture.db.rows(sql, vec![]).await.unwrap();
    rows.iter().map(|row| row.uuid("effect_id").unwrap()).collect()
}

fn seen(status: &str) -> Finish {
    Finish::Seen(Seen {
        partner: "uber".to_owned(),
        booking_id: "del_1".to_owned(),
        status: status.to_owned(),
        reason: None,
        partner_order_number: Some("del_1".to_owned()),
    })
}

fn told(status: &str, event: &str) -> Json {
    json!({"id": event, "kind": "event.delivery_status", "status": status, "delivery_id": "del_1", "data": {}})
}

on_both! {
    async fn a_delivery_that_fell_silent_is_asked_about_and_what_differs_moves_it(fixture: Fixture) {
        let id = booked(&fixture).await;
        assert!(asked(&fixture, TimeDelta::hours(1)).await.is_empty(), "it was heard of within two hours");
        let later = fixture.later(TimeDelta::hours(3)).await;

        let effects = asked(&fixture, TimeDelta::hours(3)).await;
        assert_eq!(effects.len(), 1);
        assert!(matches!(later.begin(effects[0]).await.unwrap(), Begin::Run(_)));
        later.finish(effects[0], seen("pickup_complete")).await.unwrap();
        let callback = fixture.callback_of("asked:").await.expect("what was seen is stored");
        later.apply_callback(callback).await.unwrap();

        assert_eq!(fixture.callback_state(callback).await, "applied");
        assert_eq!(fixture.state(id).await, "PICKED_UP");
        let order = fixture.engine.store().order(id).await.unwrap().unwrap();
        assert_eq!(order.record.partner_order_number.as_deref(), Some("del_1"));
    }

    async fn an_order_that_this_program_cannot_read_keeps_no_other_from_being_asked_about(fixture: Fixture) {
        let unreadable = booked(&fixture).await;
        let beside = fixture.order("o2").await;
        book_as(&fixture, beside, "del_2").await;
        fixture.make_unreadable(unreadable).await;
        let later = fixture.later(TimeDelta::hours(3)).await;

        let asked = later.ask_about_silent(10).await;

        assert!(asked.is_err(), "{asked:?}");
        let sql = "SELECT order_id FROM effects WHERE name = 'reconcile_partner'";
        let rows = fixture.db.rows(sql, vec![]).await.unwrap();
        let of: Vec<Uuid> = rows.iter().map(|row| row.uuid("order_id").unwrap()).collect();
        assert_eq!(of, [beside.0]);
    }

    async fn what_is_seen_to_be_delivered_waits_for_no_pick_up_that_got_lost(fixture: Fixture) {
        let id = booked(&fixture).await;
        let later = fixture.later(TimeDelta::hours(3)).await;
        let effects = asked(&fixture, TimeDelta::hours(3)).await;

        later.finish(effects[0], seen("delivered")).await.unwrap();
        let callback = fixture.callback_of("asked:").await.expect("what was seen is stored");
        later.apply_callback(callback).await.unwrap();

        assert_eq!((fixture.callback_state(callback).await.as_str(), fixture.state(id).await.as_str()), ("applied", "DELIVERED"));
        let log = fixture.engine.store().log(id).await.unwrap();
        let inferred: Vec<_> = log.iter().filter(|entry| entry.transition.inferred).collect();
        assert_eq!((inferred.len(), inferred[0].transition.event.as_str()), (1, "PARTNER_PICKED_UP"));
        fixture.assert_sound().await;
    }

    async fn what_is_known_already_makes_no_row_and_no_second_question(fixture: Fixture) {
        let id = booked(&fixture).await;
        let later = fixture.later(TimeDelta::hours(3)).await;
        let effects = asked(&fixture, TimeDelta::hours(3)).await;

        later.finish(effects[0], seen("pickup")).await.unwrap();

        assert_eq!(fixture.callback_of("asked:").await, None);
        assert_eq!(fixture.state(id).await, "CREATED");
        assert!(asked(&fixture, TimeDelta::hours(4)).await.is_empty(), "it was asked about within two hours");
        assert_eq!(asked(&fixture, TimeDelta::hours(6)).await.len(), 1, "and then again");
    }

    async fn a_status_that_nobody_knows_is_for_an_operator(fixture: Fixture) {
        booked(&fixture).await;
        let later = fixture.later(TimeDelta::hours(3)).await;
        let effects = asked(&fixture, TimeDelta::hours(3)).await;

        later.finish(effects[0], seen("abducted")).await.unwrap();
        let callback = fixture.callback_of("asked:").await.expect("what was seen is stored");
        later.apply_callback(callback).await.unwrap();

        assert_eq!(fixture.callback_state(callback).await, "unmapped");
        assert_eq!(fixture.count("SELECT COUNT(*) AS count FROM operator_cases WHERE kind = 'unmapped-callback'").await, 1);
    }

    async fn an_order_without_booking_or_with_an_operator_is_not_asked_about(fixture: Fixture) {
        fixture.order("o1").await;
        fixture.order_in("o2", "PENDING_BY_OPERATOR").await;

        assert!(asked(&fixture, TimeDelta::hours(30)).await.is_empty());
    }

    async fn a_callback_by_the_partners_own_id_finds_its_order(fixture: Fixture) {
        let id = booked(&fixture).await;

        let callback = fixture.store_of("uber", "evt_1", &told("pickup_complete", "evt_1")).await;
        fixture.engine.apply_callback(callback).await.unwrap();

        assert_eq!((fixture.callback_state(callback).await.as_str(), fixture.state(id).await.as_str()), ("applied", "PICKED_UP"));
        fixture.assert_sound().await;
    }

    async fn a_partner_that_calls_off_what_it_never_confirmed_still_tells_its_booking(fixture: Fixture) {
        let id = fixture.order("o1").await;
        let effect = effect_id(id, 1, "book_delivery_partner");
        fixture.engine.begin(effect).await.unwrap();
        let handed = Finish::Handed { from: None, to: "uber".to_owned(), cause: "the rules".to_owned() };
        fixture.engine.finish(effect, handed).await.unwrap();
        let mut body = told("canceled", "evt_1");
        body["data"] = json!({"external_id": id, "cancellation_reason": "MERCHANT_CANCEL"});

        let callback = fixture.store_of("uber", "evt_1", &body).await;
        fixture.engine.apply_callback(callback).await.unwrap();

        let order = fixture.engine.store().order(id).await.unwrap().unwrap();
        let found = (order.loaded.order.state.as_str(), order.record.partner_booking_id.as_deref());
        assert_eq!(found, ("PENDING_BY_OPERATOR", Some("del_1")));
        fixture.assert_sound().await;
    }

    async fn a_callback_under_our_reference_tells_the_booking_whose_answer_got_lost(fixture: Fixture) {
        let id = fixture.order("o1").await;
        let effect = effect_id(id, 1, "book_delivery_partner");
        fixture.engine.begin(effect).await.unwrap();
        let handed = Finish::Handed { from: None, to: "uber".to_owned(), cause: "the rules".to_owned() };
        fixture.engine.finish(effect, handed).await.unwrap();
        let mut body = told("pickup_complete", "evt_1");
        body["data"] = json!({"external_id": id});
        let callback = fixture.store_of("uber", "evt_1", &body).await;
        fixture.engine.apply_callback(callback).await.unwrap();

        let order = fixture.engine.store().order(id).await.unwrap().unwrap();
        assert_eq!((order.loaded.order.state.as_str(), order.record.partner_booking_id.as_deref()), ("PICKED_UP", Some("del_1")));
        let log = fixture.engine.store().log(id).await.unwrap();
        let events: Vec<_> = log.iter().map(|entry| entry.transition.event.as_str()).collect();
        assert_eq!(events[1..], ["PARTNER_CHOSEN", "PARTNER_BOOKED", "PARTNER_PICKED_UP"]);
        book(&fixture, id).await;
        assert_eq!(fixture.engine.store().log(id).await.unwrap().len(), 4, "the answer that comes late is no news");
        fixture.assert_sound().await;
    }

    async fn a_callback_that_beats_the_answer_to_our_booking_waits_for_it(fixture: Fixture) {
        let id = fixture.order("o1").await;
        let callback = fixture.store_of("uber", "evt_1", &told("pickup_complete", "evt_1")).await;
        fixture.engine.apply_callback(callback).await.unwrap();
        assert_eq!(fixture.callback_state(callback).await, "parked");

        book(&fixture, id).await;
        let later = fixture.later(TimeDelta::seconds(30)).await;
        let due = later.store().due_effects(100, &[]).await.unwrap();
        assert!(due.iter().any(|effect| effect.effect_id == callback), "it is looked for again: {due:?}");
        later.apply_callback(callback).await.unwrap();

        assert_eq!((fixture.callback_state(callback).await.as_str(), fixture.state(id).await.as_str()), ("applied", "PICKED_UP"));
        fixture.assert_sound().await;
    }

    async fn a_callback_about_nothing_of_ours_is_an_orphan_after_ten_minutes(fixture: Fixture) {
        let callback = fixture.store_of("uber", "evt_1", &told("delivered", "evt_1")).await;
        fixture.engine.apply_callback(callback).await.unwrap();
        assert_eq!(fixture.callback_state(callback).await, "parked");

        fixture.later(TimeDelta::minutes(11)).await.apply_callback(callback).await.unwrap();

        assert_eq!(fixture.callback_state(callback).await, "orphan");
        assert_eq!(fixture.count("SELECT COUNT(*) AS count FROM operator_cases WHERE kind = 'orphan-callback'").await, 1);
    }

    async fn progress_moves_nothing_and_writes_no_log(fixture: Fixture) {
        let id = booked(&fixture).await;
        let before = fixture.engine.store().log(id).await.unwrap().len();

        let callback = fixture.store_of("uber", "evt_1", &told("pickup", "evt_1")).await;
        fixture.engine.apply_callback(callback).await.unwrap();

        assert_eq!(fixture.callback_state(callback).await, "noted");
        assert_eq!(fixture.engine.store().log(id).await.unwrap().len(), before);
        fixture.assert_sound().await;
    }
}
