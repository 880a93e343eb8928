use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value as Json, json};
use waybill_tasks::celery::message::{HeaderValue, Message};

use super::{DATA, PLAIN, REFUND, STRUCTURED, binary, json, plain, structured};
use crate::payments::{Told, paid_by_task, read};

/// What no message of ours may repeat.
const SECRET: &str = "jane.roe@example.org";

fn messages() -> impl Strategy<Value = Message> {
    select(vec![
        plain(PLAIN),
        plain(REFUND),
        structured(STRUCTURED),
        binary("cloudEvents_", DATA),
        binary("ce-", DATA),
    ])
}

fn values() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        select(vec![
            "",
            " ",
            SECRET,
            "EUR",
            "DE",
            "\0",
            "2026-11-20T11:00:00",
            "payment.refunded"
        ])
        .prop_map(Json::from),
        ".{0,20}".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        let name = select(vec!["amount", "name", "items", SECRET]);
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Json::from),
            vec((name, inner), 0..4).prop_map(|fields| fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()),
        ]
    })
}

/// Every place in a document.
fn pointers(document: &Json, prefix: &str, found: &mut Vec<String>) {
    found.push(prefix.to_owned());
    match document {
        Json::Object(fields) => fields
            .iter()
            .for_each(|(name, value)| pointers(value, &format!("{prefix}/{name}"), found)),
        Json::Array(elements) => {
            elements
                .iter()
                .enumerate()
                .for_each(|(index, value)| pointers(value, &format!("{prefix}/{index}"), found));
        }
        _ => {}
    }
}

fn replace(message: &mut Message, at: Index, value: Json) {
    let mut document: Json = serde_json::from_slice(&message.body).unwrap();
    let mut places = Vec::new();
    pointers(&document, "", &mut places);
    let place: &String = at.get(&places);
    *document.pointer_mut(place).unwrap() = value;
    message.body = document.to_string().into();
}

/// Reads, and checks what must be true of every answer.
fn check(message: &Message) {
    match read(message) {
        Ok(Told::Paid(paid)) => {
            assert!(!paid.key.is_empty() && paid.amount.minor_units >= 0);
            assert_eq!(paid.addresses.is_some(), !paid.physical_items.is_empty());
            let again = paid_by_task("again", &paid.data).expect("what was understood can be understood again");
            assert_eq!(again.data, paid.data);
        }
        Ok(Told::Refunded(refunded)) => assert!(!refunded.key.is_empty() && refunded.amount.minor_units >= 0),
        Err(malformed) => {
            assert!(
                !malformed.place.is_empty() && malformed.detail.starts_with("expected "),
                "{malformed}"
            );
            let told = malformed.to_string();
            for private in [SECRET, "Kastanienallee", "Reader", "reader@", "4930000000", "4599"] {
                assert!(!told.contains(private), "{told}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn replaced_values_never_panic_and_are_never_repeated(
        mut message in messages(),
        replacements in vec((any::<Index>(), values()), 1..4),
    ) {
        for (at, value) in replacements {
            replace(&mut message, at, value);
        }

        check(&message);
    }

    #[test]
    fn broken_bytes_never_panic(
        mut message in messages(),
        changes in vec((any::<Index>(), prop_oneof![any::<u8>(), select(b"{}[]\",:\\0-e.".to_vec())]), 1..6),
        length in any::<Index>(),
        cut in any::<bool>(),
    ) {
        for (at, byte) in changes {
            let at = at.index(message.body.len());
            message.body[at] = byte;
        }
        if cut {
            message.body.truncate(length.index(message.body.len()));
        }

        check(&message);
    }

    #[test]
    fn any_header_and_property_is_taken_or_refused(
        mut message in messages(),
        prefix in select(vec!["cloudEvents_", "cloudevents:", "ce-", "CE-", ""]),
        name in select(vec!["specversion", "id", "source", "type", "time", "datacontenttype", SECRET, ""]),
        value in prop_oneof![
            Just(HeaderValue::Null),
            any::<bool>().prop_map(HeaderValue::Bool),
            any::<i64>().prop_map(HeaderValue::Int),
            any::<f64>().prop_map(HeaderValue::Float),
            any::<u64>().prop_map(HeaderValue::Timestamp),
            vec(any::<u8>(), 0..8).prop_map(HeaderValue::Bytes),
            select(vec![SECRET, "", "1.0", "payment.succeeded", "2026-11-20"]).prop_map(HeaderValue::from),
        ],
        content_type in select(vec!["", SECRET, "application/json", "application/cloudevents+json", "text/plain; charset"]),
        timestamp in any::<Option<u64>>(),
    ) {
        message.headers.insert(format!("{prefix}{name}"), value);
        message.properties.content_type = Some(content_type.to_owned());
        message.properties.timestamp = timestamp;

        check(&message);
    }
}

#[test]
fn the_payment_of_a_task_may_be_anything() {
    for payment in [Json::Null, json!([]), json!("x"), json!(1.5), json!({}), json(PLAIN)] {
        let malformed = paid_by_task("evt_1", &payment).unwrap_err();

        assert!(malformed.place.starts_with("kwargs.payment"), "{malformed}");
    }
}
