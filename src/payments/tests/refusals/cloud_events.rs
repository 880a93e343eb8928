//! Defects of CloudEvents.

use serde_json::json;
use waybill_tasks::celery::message::HeaderValue;

use super::super::{DATA, STRUCTURED, binary, json, put, structured};
use super::{Row, assert_each_refused, long, refused};

#[test]
fn each_defect_of_a_structured_cloud_event_is_found_at_its_place() {
    #[rustfmt::skip]
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
        ("/datacontenttype", Some(json!("text/xml")), "unsupported-content-type", "datacontenttype"),
        ("/data", None, "missing-field", "data"),
        ("/data_base64", Some(json!("e30=")), "duplicate-key", "data_base64"),
        ("/data", Some(json!("{}")), "wrong-type", "data"),
        ("/data/items/1/quantity", Some(json!(0)), "bad-quantity", "data.items[1].quantity"),
    ];

    assert_each_refused(STRUCTURED, &rows, structured);
}

#[test]
fn packed_data_that_cannot_be_unpacked_is_refused() {
    #[rustfmt::skip]
    let rows = [
        (json!("%"), "wrong-type", "data_base64"),
        (json!({}), "wrong-type", "data_base64"),
        (json!("W10="), "wrong-type", "data_base64"),
        (json!("ew=="), "not-json", "line 1 column 1"),
        (json!("/w=="), "not-utf8", "line 1 column 1"),
        (json!("eyJvY2N1cnJlZF9hdCI6MX0="), "missing-field", "data_base64.payment_id"),
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
    #[rustfmt::skip]
    let rows: [(&str, Option<HeaderValue>, &str, &str); 11] = [
        ("specversion", None, "missing-field", "headers.cloudEvents_specversion"),
        ("specversion", Some("1.1".into()), "unknown-version", "headers.cloudEvents_specversion"),
        ("specversion", Some(HeaderValue::Float(1.0)), "wrong-type", "headers.cloudEvents_specversion"),
        ("id", None, "missing-field", "headers.cloudEvents_id"),
        ("id", Some(HeaderValue::Int(1)), "wrong-type", "headers.cloudEvents_id"),
        ("id", Some(HeaderValue::Bytes(vec![0xff])), "wrong-type", "headers.cloudEvents_id"),
        ("source", Some("".into()), "empty-text", "headers.cloudEvents_source"),
        ("type", Some("order.placed".into()), "unknown-type", "headers.cloudEvents_type"),
        ("time", Some("2026-11-20T11:00:00".into()), "bad-time", "headers.cloudEvents_time"),
        ("time", Some(HeaderValue::Timestamp(u64::MAX)), "wrong-type", "headers.cloudEvents_time"),
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
