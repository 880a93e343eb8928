//! Defects of fields, each with its reason and place.

mod cloud_events;
mod syntax;

use serde_json::{Value as Json, json};
use waybill_tasks::celery::message::Message;

use super::{DATA, E_BOOKS, PLAIN, REFUND, json, plain, put};
use crate::payments::{Malformed, paid_by_task, read};

/// A value to put at a place (or nothing, to take away what is there), the reason and the place of the defect.
type Row = (&'static str, Option<Json>, &'static str, &'static str);

fn refused(message: &Message) -> Malformed {
    read(message).expect_err("this event should not be understood")
}

/// Each row breaks a good document at one place.
fn assert_each_refused(good: &str, rows: &[Row], tell: fn(String) -> Message) {
    for (pointer, value, reason, place) in rows {
        let mut document = json(good);
        put(&mut document, pointer, value.clone());

        let malformed = refused(&tell(document.to_string()));

        let found = (malformed.reason, malformed.place.as_str());
        assert_eq!(found, (*reason, *place), "{pointer} = {value:?}: {malformed}");
    }
}

fn long(bytes: usize) -> Option<Json> {
    Some("x".repeat(bytes).into())
}

#[test]
fn each_defect_of_a_plain_event_is_found_at_its_place() {
    let line = json!({"sku": "b-1", "title": "A", "quantity": 1, "format": "physical"});
    #[rustfmt::skip]
    let rows: [Row; 69] = [
        ("/event_id", None, "missing-field", "event_id"),
        ("/event_id", Some(Json::Null), "wrong-type", "event_id"),
        ("/event_id", Some(json!(1)), "wrong-type", "event_id"),
        ("/event_id", Some(json!("")), "empty-text", "event_id"),
        ("/event_id", Some(json!(" \t")), "empty-text", "event_id"),
        ("/event_id", Some(json!("evt\n1")), "bad-text", "event_id"),
        ("/event_id", long(256), "too-long", "event_id"),
        ("/type", None, "missing-field", "type"),
        ("/type", Some(json!("payment.failed")), "unknown-type", "type"),
        ("/type", Some(json!("com.example.payment.succeeded")), "unknown-type", "type"),
        ("/type", Some(json!(["payment.succeeded"])), "wrong-type", "type"),
        ("/occurred_at", None, "missing-field", "occurred_at"),
        ("/occurred_at", Some(json!("2026-11-20T11:00:00")), "bad-time", "occurred_at"),
        ("/occurred_at", Some(json!("2026-11-20")), "bad-time", "occurred_at"),
        ("/occurred_at", Some(json!("2026-02-30T11:00:00Z")), "bad-time", "occurred_at"),
        ("/occurred_at", Some(json!("0001-01-01T00:00:00Z")), "bad-time", "occurred_at"),
        ("/occurred_at", Some(json!("9999-12-31T23:59:59-01:00")), "bad-time", "occurred_at"),
        ("/occurred_at", Some(json!(1_763_636_400)), "wrong-type", "occurred_at"),
        ("/data", None, "missing-field", "data"),
        ("/data", Some(json!([])), "wrong-type", "data"),
        ("/data", Some(json!("{}")), "wrong-type", "data"),
        ("/data/payment_id", None, "missing-field", "data.payment_id"),
        ("/data/payment_id", Some(json!("pay\u{7}")), "bad-text", "data.payment_id"),
        ("/data/ordering_id", Some(json!(17)), "wrong-type", "data.ordering_id"),
        ("/data/ordering_id", long(4_097), "too-long", "data.ordering_id"),
        ("/data/customer_id", Some(json!("")), "empty-text", "data.customer_id"),
        ("/data/locale", Some(json!(49)), "wrong-type", "data.locale"),
        ("/data/locale", Some(json!("de/../..")), "bad-locale", "data.locale"),
        ("/data/amount", None, "missing-field", "data.amount"),
        ("/data/amount", Some(json!(4599)), "wrong-type", "data.amount"),
        ("/data/amount/minor_units", None, "missing-field", "data.amount.minor_units"),
        ("/data/amount/minor_units", Some(json!("4599")), "wrong-type", "data.amount.minor_units"),
        ("/data/amount/minor_units", Some(json!(-1)), "bad-amount", "data.amount.minor_units"),
        ("/data/amount/minor_units", Some(json!(45.99)), "bad-amount", "data.amount.minor_units"),
        ("/data/amount/minor_units", Some(json!(1.0)), "bad-amount", "data.amount.minor_units"),
        ("/data/amount/minor_units", Some(json!(u64::MAX)), "bad-amount", "data.amount.minor_units"),
        ("/data/amount/minor_units", Some(json!(-1e300)), "bad-amount", "data.amount.minor_units"),
        ("/data/amount/currency", None, "missing-field", "data.amount.currency"),
        ("/data/amount/currency", Some(json!("eur")), "bad-currency", "data.amount.currency"),
        ("/data/amount/currency", Some(json!("ABC")), "bad-currency", "data.amount.currency"),
        ("/data/amount/currency", Some(json!("\u{20ac}")), "bad-currency", "data.amount.currency"),
        ("/data/items", None, "missing-field", "data.items"),
        ("/data/items", Some(json!({})), "wrong-type", "data.items"),
        ("/data/items", Some(json!([])), "no-items", "data.items"),
        ("/data/items", Some(vec![line; 1_001].into()), "too-many-items", "data.items"),
        ("/data/items/1", Some(json!("b-1")), "wrong-type", "data.items[1]"),
        ("/data/items/1/sku", None, "missing-field", "data.items[1].sku"),
        ("/data/items/0/title", Some(json!(1984)), "wrong-type", "data.items[0].title"),
        ("/data/items/1/quantity", None, "missing-field", "data.items[1].quantity"),
        ("/data/items/1/quantity", Some(json!(0)), "bad-quantity", "data.items[1].quantity"),
        ("/data/items/1/quantity", Some(json!(-3)), "bad-quantity", "data.items[1].quantity"),
        ("/data/items/0/quantity", Some(json!(1.5)), "bad-quantity", "data.items[0].quantity"),
        ("/data/items/0/quantity", Some(json!(10_001)), "bad-quantity", "data.items[0].quantity"),
        ("/data/items/0/quantity", Some(json!(true)), "wrong-type", "data.items[0].quantity"),
        ("/data/items/0/format", None, "missing-field", "data.items[0].format"),
        ("/data/items/1/format", Some(json!("Physical")), "bad-format", "data.items[1].format"),
        ("/data/items/1/format", Some(json!("audio")), "bad-format", "data.items[1].format"),
        ("/data/pickup", None, "missing-field", "data.pickup"),
        ("/data/pickup", Some(Json::Null), "wrong-type", "data.pickup"),
        ("/data/dropoff", None, "missing-field", "data.dropoff"),
        ("/data/dropoff/name", None, "missing-field", "data.dropoff.name"),
        ("/data/dropoff/line1", Some(json!("")), "empty-text", "data.dropoff.line1"),
        ("/data/dropoff/postal_code", Some(json!(10_435)), "wrong-type", "data.dropoff.postal_code"),
        ("/data/dropoff/city", Some(json!("Ber\u{0}lin")), "bad-text", "data.dropoff.city"),
        ("/data/dropoff/country", Some(json!("DEU")), "bad-country", "data.dropoff.country"),
        ("/data/pickup/country", Some(json!("UK")), "bad-country", "data.pickup.country"),
        ("/data/dropoff/line2", Some(json!(2)), "wrong-type", "data.dropoff.line2"),
        ("/data/dropoff/email", Some(json!(["a@example.org"])), "wrong-type", "data.dropoff.email"),
        ("/data/dropoff/phone", long(4_097), "too-long", "data.dropoff.phone"),
    ];

    assert_each_refused(PLAIN, &rows, plain);
}

#[test]
fn each_defect_of_a_refund_is_found_at_its_place() {
    #[rustfmt::skip]
    let rows: [Row; 5] = [
        ("/data", None, "missing-field", "data"),
        ("/data/payment_id", None, "missing-field", "data.payment_id"),
        ("/data/ordering_id", Some(json!("")), "empty-text", "data.ordering_id"),
        ("/data/amount", None, "missing-field", "data.amount"),
        ("/data/amount/minor_units", Some(json!(-4599)), "bad-amount", "data.amount.minor_units"),
    ];

    assert_each_refused(REFUND, &rows, plain);
}

#[test]
fn each_defect_of_a_line_without_delivery_is_found_too() {
    #[rustfmt::skip]
    let rows: [Row; 2] = [
        ("/data/items/0/quantity", Some(json!(0)), "bad-quantity", "data.items[0].quantity"),
        ("/data/items/0/format", Some(json!("physical")), "missing-field", "data.pickup"),
    ];

    assert_each_refused(E_BOOKS, &rows, plain);
}

#[test]
fn defects_of_a_task_are_found_in_its_arguments() {
    let mut payment = json(DATA);
    put(&mut payment, "/items/0/quantity", Some(json!(0)));
    #[rustfmt::skip]
    let rows = [
        (paid_by_task("", &json(DATA)), "empty-text", "kwargs.event_id"),
        (paid_by_task("a\nb", &json(DATA)), "bad-text", "kwargs.event_id"),
        (paid_by_task(&"x".repeat(256), &json(DATA)), "too-long", "kwargs.event_id"),
        (paid_by_task("evt_1", &json!("pay_1")), "wrong-type", "kwargs.payment"),
        (paid_by_task("evt_1", &payment), "bad-quantity", "kwargs.payment.items[0].quantity"),
    ];
    for (read, reason, place) in rows {
        let malformed = read.unwrap_err();

        assert_eq!(
            (malformed.reason, malformed.place.as_str()),
            (reason, place),
            "{malformed}"
        );
    }
}

#[test]
fn a_defect_is_told_with_what_was_expected_and_the_shape_of_what_was_found() {
    #[rustfmt::skip]
    let rows = [
        (
            "/data/amount/minor_units",
            json!(12.5),
            "expected a whole number from 0, found a number with a fraction or an exponent",
        ),
        ("/data/amount/minor_units", json!(-12), "expected a whole number from 0, found a smaller one"),
        ("/data/items/0/quantity", json!(10_001), "expected a whole number from 1 to 10000, found a larger one"),
        ("/data/items/0/quantity", json!(1e19), "expected a whole number from 1 to 10000, found a larger one"),
        ("/data/dropoff/country", json!("Germany"), "expected an ISO 3166-1 alpha-2 country, found text of 7 characters"),
        ("/occurred_at", json!("2026-11-20T11:00:00"), "expected an RFC 3339 instant with a zone, found one without a zone"),
        ("/type", json!("payment.failed"), "expected payment.succeeded or payment.refunded, found payment.failed"),
        ("/type", json!("A. Reader"), "expected payment.succeeded or payment.refunded, found text of 9 characters"),
        ("/data/dropoff", json!(["A. Reader"]), "expected an object, found a list"),
    ];
    for (pointer, value, detail) in rows {
        let mut event = json(PLAIN);
        put(&mut event, pointer, Some(value));

        assert_eq!(refused(&plain(event.to_string())).detail, detail);
    }
}
