use serde_json::{Value as Json, json};
use waybill_tasks::celery::message::{HeaderValue, Message};

use super::{DATA, E_BOOKS, PLAIN, REFUND, STRUCTURED, binary, json, message, plain, put, structured};
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
        (
            "/type",
            Some(json!("com.example.payment.succeeded")),
            "unknown-type",
            "type",
        ),
        ("/type", Some(json!(["payment.succeeded"])), "wrong-type", "type"),
        ("/occurred_at", None, "missing-field", "occurred_at"),
        (
            "/occurred_at",
            Some(json!("2026-11-20T11:00:00")),
            "bad-time",
            "occurred_at",
        ),
        ("/occurred_at", Some(json!("2026-11-20")), "bad-time", "occurred_at"),
        (
            "/occurred_at",
            Some(json!("2026-02-30T11:00:00Z")),
            "bad-time",
            "occurred_at",
        ),
        (
            "/occurred_at",
            Some(json!("0001-01-01T00:00:00Z")),
            "bad-time",
            "occurred_at",
        ),
        (
            "/occurred_at",
            Some(json!("9999-12-31T23:59:59-01:00")),
            "bad-time",
            "occurred_at",
        ),
        ("/occurred_at", Some(json!(1_763_636_400)), "wrong-type", "occurred_at"),
        ("/data", None, "missing-field", "data"),
        ("/data", Some(json!([])), "wrong-type", "data"),
        ("/data", Some(json!("{}")), "wrong-type", "data"),
        ("/data/payment_id", None, "missing-field", "data.payment_id"),
        (
            "/data/payment_id",
            Some(json!("pay\u{7}")),
            "bad-text",
            "data.payment_id",
        ),
        ("/data/ordering_id", Some(json!(17)), "wrong-type", "data.ordering_id"),
        ("/data/ordering_id", long(4_097), "too-long", "data.ordering_id"),
        ("/data/customer_id", Some(json!("")), "empty-text", "data.customer_id"),
        ("/data/locale", Some(json!(49)), "wrong-type", "data.locale"),
        ("/data/locale", Some(json!("de/../..")), "bad-locale", "data.locale"),
        ("/data/amount", None, "missing-field", "data.amount"),
        ("/data/amount", Some(json!(4599)), "wrong-type", "data.amount"),
        (
            "/data/amount/minor_units",
            None,
            "missing-field",
            "data.amount.minor_units",
        ),
        (
            "/data/amount/minor_units",
            Some(json!("4599")),
            "wrong-type",
            "data.amount.minor_units",
        ),
        (
            "/data/amount/minor_units",
            Some(json!(-1)),
            "bad-amount",
            "data.amount.minor_units",
        ),
        (
            "/data/amount/minor_units",
            Some(json!(45.99)),
            "bad-amount",
            "data.amount.minor_units",
        ),
        (
            "/data/amount/minor_units",
            Some(json!(1.0)),
            "bad-amount",
            "data.amount.minor_units",
        ),
        (
            "/data/amount/minor_units",
            Some(json!(u64::MAX)),
            "bad-amount",
            "data.amount.minor_units",
        ),
        (
            "/data/amount/minor_units",
            Some(json!(-1e300)),
            "bad-amount",
            "data.amount.minor_units",
        ),
        ("/data/amount/currency", None, "missing-field", "data.amount.currency"),
        (
            "/data/amount/currency",
            Some(json!("eur")),
            "bad-currency",
            "data.amount.currency",
        ),
        (
            "/data/amount/currency",
            Some(json!("ABC")),
            "bad-currency",
            "data.amount.currency",
        ),
        (
            "/data/amount/currency",
            Some(json!("\u{20ac}")),
            "bad-currency",
            "data.amount.currency",
        ),
        ("/data/items", None, "missing-field", "data.items"),
        ("/data/items", Some(json!({})), "wrong-type", "data.items"),
        ("/data/items", Some(json!([])), "no-items", "data.items"),
        (
            "/data/items",
            Some(vec![line; 1_001].into()),
            "too-many-items",
            "data.items",
        ),
        ("/data/items/1", Some(json!("b-1")), "wrong-type", "data.items[1]"),
        ("/data/items/1/sku", None, "missing-field", "data.items[1].sku"),
        (
            "/data/items/0/title",
            Some(json!(1984)),
            "wrong-type",
            "data.items[0].title",
        ),
        (
            "/data/items/1/quantity",
            None,
            "missing-field",
            "data.items[1].quantity",
        ),
        (
            "/data/items/1/quantity",
            Some(json!(0)),
            "bad-quantity",
            "data.items[1].quantity",
        ),
        (
            "/data/items/1/quantity",
            Some(json!(-3)),
            "bad-quantity",
            "data.items[1].quantity",
        ),
        (
            "/data/items/0/quantity",
            Some(json!(1.5)),
            "bad-quantity",
            "data.items[0].quantity",
        ),
        (
            "/data/items/0/quantity",
            Some(json!(10_001)),
            "bad-quantity",
            "data.items[0].quantity",
        ),
        (
            "/data/items/0/quantity",
            Some(json!(true)),
            "wrong-type",
            "data.items[0].quantity",
        ),
        ("/data/items/0/format", None, "missing-field", "data.items[0].format"),
        (
            "/data/items/1/format",
            Some(json!("Physical")),
            "bad-format",
            "data.items[1].format",
        ),
        (
            "/data/items/1/format",
            Some(json!("audio")),
            "bad-format",
            "data.items[1].format",
        ),
        ("/data/pickup", None, "missing-field", "data.pickup"),
        ("/data/pickup", Some(Json::Null), "wrong-type", "data.pickup"),
        ("/data/dropoff", None, "missing-field", "data.dropoff"),
        ("/data/dropoff/name", None, "missing-field", "data.dropoff.name"),
        (
            "/data/dropoff/line1",
            Some(json!("")),
            "empty-text",
            "data.dropoff.line1",
        ),
        (
            "/data/dropoff/postal_code",
            Some(json!(10_435)),
            "wrong-type",
            "data.dropoff.postal_code",
        ),
        (
            "/data/dropoff/city",
            Some(json!("Ber\u{0}lin")),
            "bad-text",
            "data.dropoff.city",
        ),
        (
            "/data/dropoff/country",
            Some(json!("DEU")),
            "bad-country",
            "data.dropoff.country",
        ),
        (
            "/data/pickup/country",
            Some(json!("UK")),
            "bad-country",
            "data.pickup.country",
        ),
        (
            "/data/dropoff/line2",
            Some(json!(2)),
            "wrong-type",
            "data.dropoff.line2",
        ),
        (
            "/data/dropoff/email",
            Some(json!(["a@example.org"])),
            "wrong-type",
            "data.dropoff.email",
        ),
        ("/data/dropoff/phone", long(4_097), "too-long", "data.dropoff.phone"),
    ];

    assert_each_refused(PLAIN, &rows, plain);
}

#[test]
fn each_defect_of_a_refund_is_found_at_its_place() {
    let rows: [Row; 5] = [
        ("/data", None, "missing-field", "data"),
        ("/data/payment_id", None, "missing-field", "data.payment_id"),
        ("/data/ordering_id", Some(json!("")), "empty-text", "data.ordering_id"),
        ("/data/amount", None, "missing-field", "data.amount"),
        (
            "/data/amount/minor_units",
            Some(json!(-4599)),
            "bad-amount",
            "data.amount.minor_units",
        ),
    ];

    assert_each_refused(REFUND, &rows, plain);
}

#[test]
fn each_defect_of_a_line_without_delivery_is_found_too() {
    let rows: [Row; 2] = [
        (
            "/data/items/0/quantity",
            Some(json!(0)),
            "bad-quantity",
            "data.items[0].quantity",
        ),
        (
            "/data/items/0/format",
            Some(json!("physical")),
            "missing-field",
            "data.pickup",
        ),
    ];

    assert_each_refused(E_BOOKS, &rows, plain);
}

#[test]
fn each_defect_of_a_structured_cloud_event_is_found_at_its_place() {
    let rows: [Row; 18] = [
        ("/specversion", None, "missing-field", "specversion"),
        ("/specversion", Some(json!("0.3")), "unknown-version", "specversion"),
        ("/specversion", Some(json!(1.0)), "wrong-type", "specversion"),
        ("/id", None, "missing-field", "id"),
        ("/id", Some(json!("")), "empty-text", "id"),
        ("/source", None, "missing-field", "source"),
        ("/source", Some(json!("/pay ments")), "bad-text", "source"),
        ("/source", long(1_021), "too-long", "source"),
        ("/type", Some(json!("payment.succeeded.v2")), "unknown-type", "type"),
        ("/type", Some(json!("repayment.succeeded")), "unknown-type", "type"),
        ("/type", Some(json!("succeeded")), "unknown-type", "type"),
        ("/time", Some(json!("yesterday")), "bad-time", "time"),
        ("/time", None, "missing-field", "time"),
        (
            "/datacontenttype",
            Some(json!("text/xml")),
            "unsupported-content-type",
            "datacontenttype",
        ),
        ("/data", None, "missing-field", "data"),
        ("/data_base64", Some(json!("e30=")), "duplicate-key", "data_base64"),
        ("/data", Some(json!("{}")), "wrong-type", "data"),
        (
            "/data/items/1/quantity",
            Some(json!(0)),
            "bad-quantity",
            "data.items[1].quantity",
        ),
    ];

    assert_each_refused(STRUCTURED, &rows, structured);
}

#[test]
fn packed_data_that_cannot_be_unpacked_is_refused() {
    let rows = [
        (json!("%"), "wrong-type", "data_base64"),
        (json!({}), "wrong-type", "data_base64"),
        (json!("W10="), "wrong-type", "data_base64"),
        (json!("ew=="), "not-json", "line 1 column 1"),
        (json!("/w=="), "not-utf8", "line 1 column 1"),
        (
            json!("eyJvY2N1cnJlZF9hdCI6MX0="),
            "missing-field",
            "data_base64.payment_id",
        ),
    ];
    for (packed, reason, place) in rows {
        let mut event = json(STRUCTURED);
        put(&mut event, "/data", None);
        put(&mut event, "/data_base64", Some(packed));

        let malformed = refused(&structured(event.to_string()));

        assert_eq!(
            (malformed.reason, malformed.place.as_str()),
            (reason, place),
            "{malformed}"
        );
    }
}

#[test]
fn each_defect_of_a_binary_cloud_event_is_found_at_its_header() {
    let rows: [(&str, Option<HeaderValue>, &str, &str); 11] = [
        ("specversion", None, "missing-field", "headers.cloudEvents_specversion"),
        (
            "specversion",
            Some("1.1".into()),
            "unknown-version",
            "headers.cloudEvents_specversion",
        ),
        (
            "specversion",
            Some(HeaderValue::Float(1.0)),
            "wrong-type",
            "headers.cloudEvents_specversion",
        ),
        ("id", None, "missing-field", "headers.cloudEvents_id"),
        ("id", Some(HeaderValue::Int(1)), "wrong-type", "headers.cloudEvents_id"),
        (
            "id",
            Some(HeaderValue::Bytes(vec![0xff])),
            "wrong-type",
            "headers.cloudEvents_id",
        ),
        ("source", Some("".into()), "empty-text", "headers.cloudEvents_source"),
        (
            "type",
            Some("order.placed".into()),
            "unknown-type",
            "headers.cloudEvents_type",
        ),
        (
            "time",
            Some("2026-11-20T11:00:00".into()),
            "bad-time",
            "headers.cloudEvents_time",
        ),
        (
            "time",
            Some(HeaderValue::Timestamp(u64::MAX)),
            "wrong-type",
            "headers.cloudEvents_time",
        ),
        ("time", None, "missing-field", "headers.cloudEvents_time"),
    ];
    for (attribute, value, reason, place) in rows {
        let mut event = binary("cloudEvents_", DATA);
        let header = format!("cloudEvents_{attribute}");
        match value {
            Some(value) => drop(event.headers.insert(header, value)),
            None => drop(event.headers.remove(&header)),
        }

        let malformed = refused(&event);

        assert_eq!(
            (malformed.reason, malformed.place.as_str()),
            (reason, place),
            "{malformed}"
        );
    }
}

#[test]
fn an_attribute_with_two_values_is_refused() {
    let mut event = binary("cloudEvents_", DATA);
    event.headers.insert("ce-id".to_owned(), "evt_2".into());

    let malformed = refused(&event);

    assert_eq!(
        (malformed.reason, malformed.place.as_str()),
        ("duplicate-key", "headers.cloudEvents_id")
    );
}

#[test]
fn a_time_of_the_message_that_is_no_time_is_refused() {
    let mut event = binary("cloudEvents_", DATA);
    event.headers.remove("cloudEvents_time");
    event.properties.timestamp = Some(u64::MAX);

    let malformed = refused(&event);

    assert_eq!(
        (malformed.reason, malformed.place.as_str()),
        ("bad-time", "properties.timestamp")
    );
}

#[test]
fn what_is_no_json_is_refused_at_its_line_and_column() {
    let deep = format!("{{\"a\":\n{}{}}}", "[".repeat(64), "]".repeat(64));
    let bodies: [(&[u8], &str, &str); 21] = [
        (b"", "not-json", "line 1 column 0"),
        (b"payment", "not-json", "line 1 column 1"),
        (b"{\n  \"event_id\" \"evt_1\"}", "not-json", "line 2 column 14"),
        (b"{\"event_id\": \"evt_1\",}", "not-json", "line 1 column 22"),
        (b"{\"event_id\": 'evt_1'}", "not-json", "line 1 column 14"),
        (b"{\"a\": NaN}", "not-json", "line 1 column 7"),
        (b"{\"a\": 01}", "not-json", "line 1 column 8"),
        (b"{\"a\": \"\\ud800\"}", "not-json", "line 1 column 14"),
        (b"{} {}", "not-json", "line 1 column 4"),
        (b"\xef\xbb\xbf{}", "not-json", "line 1 column 1"),
        (b"{\"a\":\n \"\xff\"}", "not-utf8", "line 2 column 3"),
        (b"{\"a\": \"\xc3", "not-utf8", "line 1 column 8"),
        (b"[]", "wrong-type", "body"),
        (b"null", "wrong-type", "body"),
        (deep.as_bytes(), "too-deep", "line 2 column 64"),
        (
            b"{\"event_id\": \"a\", \"event_id\": \"a\"}",
            "duplicate-key",
            "event_id",
        ),
        (
            b"{\"event_id\": \"a\", \"event\\u005fid\": \"b\"}",
            "duplicate-key",
            "event_id",
        ),
        (
            b"{\"data\": {\"items\": [{}, {\"sku\": 1, \"sku\": 1}]}}",
            "duplicate-key",
            "data.items[1].sku",
        ),
        (
            b"{\"data\": {\"A. Reader\": {\"a@b\": 1, \"a@b\": 1}}}",
            "duplicate-key",
            "data.?.?",
        ),
        (b"[{\"id\": 1, \"id\": 2}]", "duplicate-key", "body[0].id"),
        (b"{\"a\": 1e999}", "not-json", "line 1 column 11"),
    ];
    for (body, reason, place) in bodies {
        let malformed = refused(&plain(body));

        let told = String::from_utf8_lossy(body);
        assert_eq!(
            (malformed.reason, malformed.place.as_str()),
            (reason, place),
            "{told}: {malformed}"
        );
    }
}

#[test]
fn what_is_too_large_is_refused_before_it_is_parsed() {
    let body = " ".repeat(1_048_577);
    let mut long = json(PLAIN);
    put(&mut long, "/data/note", Some("x".repeat(4_097).into()));
    let long_name = format!("{{\"{}\": 1}}", "x".repeat(4_097));
    // Deep enough to overflow a stack, if anybody recursed.
    let brackets = "[".repeat(1_000_000);
    let rows = [
        (body, "too-large", "body"),
        (brackets, "too-deep", "line 1 column 65"),
        (long.to_string(), "too-long", "data.?"),
        (long_name, "too-long", "?"),
    ];
    for (body, reason, place) in rows {
        let malformed = refused(&plain(body));

        assert_eq!(
            (malformed.reason, malformed.place.as_str()),
            (reason, place),
            "{malformed}"
        );
    }
}

#[test]
fn other_content_types_and_encodings_are_refused() {
    let other = [
        "text/plain",
        "application/xml",
        "application/x-python-serialize",
        "application/data",
        "application/json; charset=latin-1",
        "application/cloudevents+json; charset=utf-16",
        "application/cloudevents-batch+json",
        "json",
    ];
    for content_type in other {
        let malformed = refused(&message(content_type, PLAIN));

        let found = (malformed.reason, malformed.place.as_str());
        assert_eq!(
            found,
            ("unsupported-content-type", "properties.content_type"),
            "{content_type}"
        );
    }
    for encoding in ["gzip", "binary", "utf-16", "base64"] {
        let mut event = plain(PLAIN);
        event.properties.content_encoding = Some(encoding.to_owned());

        let malformed = refused(&event);

        let found = (malformed.reason, malformed.place.as_str());
        assert_eq!(
            found,
            ("unsupported-content-encoding", "properties.content_encoding"),
            "{encoding}"
        );
        assert_eq!(malformed.detail, format!("expected utf-8 or none, found {encoding}"));
    }
}

#[test]
fn defects_of_a_task_are_found_in_its_arguments() {
    let mut payment = json(DATA);
    put(&mut payment, "/items/0/quantity", Some(json!(0)));
    let rows = [
        (paid_by_task("", &json(DATA)), "empty-text", "kwargs.event_id"),
        (paid_by_task("a\nb", &json(DATA)), "bad-text", "kwargs.event_id"),
        (
            paid_by_task(&"x".repeat(256), &json(DATA)),
            "too-long",
            "kwargs.event_id",
        ),
        (paid_by_task("evt_1", &json!("pay_1")), "wrong-type", "kwargs.payment"),
        (
            paid_by_task("evt_1", &payment),
            "bad-quantity",
            "kwargs.payment.items[0].quantity",
        ),
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
    let rows = [
        (
            "/data/amount/minor_units",
            json!(12.5),
            "expected a whole number from 0, found a number with a fraction or an exponent",
        ),
        (
            "/data/amount/minor_units",
            json!(-12),
            "expected a whole number from 0, found a smaller one",
        ),
        (
            "/data/items/0/quantity",
            json!(10_001),
            "expected a whole number from 1 to 10000, found a larger one",
        ),
        (
            "/data/items/0/quantity",
            json!(1e19),
            "expected a whole number from 1 to 10000, found a larger one",
        ),
        (
            "/data/dropoff/country",
            json!("Germany"),
            "expected an ISO 3166-1 alpha-2 country, found text of 7 characters",
        ),
        (
            "/occurred_at",
            json!("2026-11-20T11:00:00"),
            "expected an RFC 3339 instant with a zone, found one without a zone",
        ),
        (
            "/type",
            json!("payment.failed"),
            "expected payment.succeeded or payment.refunded, found payment.failed",
        ),
        (
            "/type",
            json!("A. Reader"),
            "expected payment.succeeded or payment.refunded, found text of 9 characters",
        ),
        (
            "/data/dropoff",
            json!(["A. Reader"]),
            "expected an object, found a list",
        ),
    ];
    for (pointer, value, detail) in rows {
        let mut event = json(PLAIN);
        put(&mut event, pointer, Some(value));

        assert_eq!(refused(&plain(event.to_string())).detail, detail);
    }
}
