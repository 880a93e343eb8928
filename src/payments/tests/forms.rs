use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value as Json, json};
use waybill_tasks::celery::message::{HeaderValue, Message};

use super::{DATA, E_BOOKS, PLAIN, REFUND, STRUCTURED, binary, json, message, plain, put, structured};
use crate::engine::payment::{Addresses, Amount, Paid, Refunded};
use crate::payments::{Told, paid_by_task, read};

fn paid(message: &Message) -> Paid {
    match read(message) {
        Ok(Told::Paid(paid)) => paid,
        other => panic!("expected a payment, found {other:?}"),
    }
}

fn refunded(message: &Message) -> Refunded {
    match read(message) {
        Ok(Told::Refunded(refunded)) => refunded,
        other => panic!("expected a refund, found {other:?}"),
    }
}

fn instant(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[test]
fn a_plain_event_is_read_whole() {
    let event = json(PLAIN);

    let paid = paid(&plain(PLAIN));

    let expected = Paid {
        key: "evt_1".to_owned(),
        occurred_at: instant("2026-11-20T11:00:00Z"),
        payment_id: "pay_1".to_owned(),
        ordering_id: "ord_1".to_owned(),
        customer_id: "cus_1".to_owned(),
        locale: "de".to_owned(),
        amount: Amount {
            minor_units: 4599,
            currency: "EUR".to_owned(),
        },
        addresses: Some(Addresses {
            pickup: event["data"]["pickup"].clone(),
            dropoff: event["data"]["dropoff"].clone(),
        }),
        physical_items: vec![json!({"sku": "b-1", "title": "A printed book", "quantity": 1, "format": "physical"})],
        data: event["data"].clone(),
    };
    assert_eq!(paid, expected);
}

#[test]
fn one_event_in_three_forms_is_the_same_but_for_its_key_and_time() {
    let told = paid(&plain(PLAIN));
    let others = [
        paid(&structured(STRUCTURED)),
        paid(&binary("cloudEvents_", DATA)),
        paid_by_task("evt_1", &json(DATA)).unwrap(),
    ];

    for other in others {
        assert_eq!(
            Paid {
                key: told.key.clone(),
                occurred_at: told.occurred_at,
                ..other
            },
            told
        );
    }
}

#[test]
fn both_modes_of_a_cloud_event_are_equal() {
    let told = paid(&structured(STRUCTURED));

    assert_eq!(told.key, "/payments evt_1");
    assert_eq!(told.occurred_at, instant("2026-11-20T11:00:00.123456Z"));
    for prefix in [
        "cloudEvents_",
        "cloudEvents:",
        "CLOUDEVENTS_",
        "cloudevents:",
        "ce-",
        "CE-",
        "Ce-",
    ] {
        assert_eq!(paid(&binary(prefix, DATA)), told, "{prefix}");
    }
}

#[test]
fn an_attribute_with_two_prefixes_and_one_value_is_one() {
    let mut twice = binary("cloudEvents_", DATA);
    twice.headers.extend(binary("ce-", DATA).headers);

    assert_eq!(paid(&twice), paid(&structured(STRUCTURED)));
}

#[test]
fn a_header_that_only_looks_like_a_cloud_event_leaves_an_event_plain() {
    let mut traced = plain(PLAIN);
    traced.headers.insert("ce-traceparent".to_owned(), "00-4bf92f".into());

    assert_eq!(paid(&traced), paid(&plain(PLAIN)));
}

#[test]
fn a_task_happens_now_with_its_event_id_as_key() {
    let before = Utc::now();

    let paid = paid_by_task("evt_9", &json(DATA)).unwrap();

    assert_eq!(paid.key, "evt_9");
    assert!(
        (paid.occurred_at - before).abs() < TimeDelta::seconds(10),
        "{}",
        paid.occurred_at
    );
    assert_eq!(paid.occurred_at.timestamp_subsec_nanos() % 1_000, 0);
}

#[test]
fn the_types_of_a_cloud_event_may_have_a_namespace() {
    for kind in ["payment.refunded", "com.example.payment.refunded", "x.payment.refunded"] {
        let mut event = json(STRUCTURED);
        put(&mut event, "/type", Some(kind.into()));

        assert_eq!(refunded(&structured(event.to_string())).payment_id, "pay_1", "{kind}");
    }
}

#[test]
fn a_cloud_event_without_time_takes_that_of_its_data_and_then_that_of_its_message() {
    let mut timeless = json(STRUCTURED);
    put(&mut timeless, "/time", None);
    let mut told = structured(timeless.to_string());
    told.properties.timestamp = Some(1_763_636_400);

    assert_eq!(paid(&told).occurred_at, instant("2025-11-20T11:00:00Z"));

    put(&mut timeless, "/data/occurred_at", Some("2026-01-02T03:04:05Z".into()));
    told.body = timeless.to_string().into();
    assert_eq!(paid(&told).occurred_at, instant("2026-01-02T03:04:05Z"));
}

#[test]
fn the_time_of_a_binary_event_may_be_a_timestamp_of_the_broker() {
    let mut event = binary("cloudEvents_", DATA);
    event
        .headers
        .insert("cloudEvents_time".to_owned(), HeaderValue::Timestamp(1_763_636_400));

    assert_eq!(paid(&event).occurred_at, instant("2025-11-20T11:00:00Z"));
}

#[test]
fn packed_data_is_unpacked_though_it_is_longer_than_a_text() {
    let mut data = json(DATA);
    put(
        &mut data,
        "/provider",
        Some(Json::Array(vec!["x".repeat(4_000).into(); 4])),
    );
    let mut event = json(STRUCTURED);
    put(&mut event, "/data", None);
    put(
        &mut event,
        "/data_base64",
        Some(STANDARD.encode(data.to_string()).into()),
    );

    assert_eq!(paid(&structured(event.to_string())), paid(&structured(STRUCTURED)));
}

#[test]
fn json_goes_by_several_content_types() {
    let told = paid(&plain(PLAIN));
    let spelled = [
        "application/json; charset=utf-8",
        "Application/JSON;charset=\"UTF-8\"",
        "application/vnd.shop+json",
        "",
        " ",
    ];

    for content_type in spelled {
        assert_eq!(paid(&message(content_type, PLAIN)), told, "{content_type:?}");
    }
    for encoding in [None, Some("UTF-8"), Some(""), Some("us-ascii")] {
        let mut event = plain(PLAIN);
        event.properties.content_type = None;
        event.properties.content_encoding = encoding.map(str::to_owned);
        assert_eq!(paid(&event), told, "{encoding:?}");
    }
}

#[test]
fn only_physical_lines_of_a_mixed_basket_are_delivered_in_their_order() {
    let mut event = json(PLAIN);
    let line = |sku: &str, format: &str| json!({"sku": sku, "quantity": 10_000, "format": format});
    let items = [line("b-2", "physical"), line("e-1", "ebook"), line("b-1", "physical")];
    put(&mut event, "/data/items", Some(Json::from(items.to_vec())));

    let paid = paid(&plain(event.to_string()));

    assert_eq!(paid.physical_items, [items[0].clone(), items[2].clone()]);
    assert_eq!(paid.data["items"], Json::from(items.to_vec()));
}

#[test]
fn e_books_alone_need_no_addresses_and_no_money() {
    let paid = paid(&plain(E_BOOKS));

    assert_eq!((paid.addresses, paid.physical_items), (None, vec![]));
    assert_eq!(
        paid.amount,
        Amount {
            minor_units: 0,
            currency: "JPY".to_owned()
        }
    );
    assert_eq!(paid.locale, "en");
}

#[test]
fn addresses_that_nobody_needs_are_not_kept() {
    let mut event = json(E_BOOKS);
    put(&mut event, "/data/dropoff", Some(json!({"name": "A. Reader"})));

    assert_eq!(paid(&plain(event.to_string())), paid(&plain(E_BOOKS)));
}

#[test]
fn all_of_an_address_is_kept() {
    let full = json!({
        "name": "Ünal & Söhne", "line1": "1 Rue de la Paix", "line2": "3ème étage", "postal_code": "75002",
        "city": "Paris", "region": "Île-de-France", "country": "FR", "phone": "+33 1 00 00 00 00", "email": "a@example.org"
    });
    let mut event = json(PLAIN);
    put(&mut event, "/data/dropoff", Some(full.clone()));

    assert_eq!(paid(&plain(event.to_string())).addresses.unwrap().dropoff, full);
}

#[test]
fn what_is_as_large_as_allowed_is_read() {
    let mut event = json(PLAIN);
    let item = json!({"sku": "b", "title": "t".repeat(900), "quantity": 1, "format": "physical"});
    put(&mut event, "/data/items", Some(Json::Array(vec![item; 1_000])));
    put(&mut event, "/data/payment_id", Some("p".repeat(255).into()));
    put(&mut event, "/data/amount/minor_units", Some(i64::MAX.into()));
    put(&mut event, "/data/dropoff/name", Some("n".repeat(4_096).into()));
    put(
        &mut event,
        "/extra",
        Some(json(&format!("{}{}", "[".repeat(63), "]".repeat(63)))),
    );
    let mut body = event.to_string();
    body.push_str(&" ".repeat(1_048_576 - body.len()));

    let paid = paid(&plain(body));

    assert_eq!((paid.physical_items.len(), paid.amount.minor_units), (1_000, i64::MAX));
}

#[test]
fn a_refund_is_read_whole() {
    let expected = Refunded {
        key: "evt_3".to_owned(),
        occurred_at: instant("2026-11-21T13:30:00Z"),
        payment_id: "pay_1".to_owned(),
        ordering_id: "ord_1".to_owned(),
        amount: Amount {
            minor_units: 4599,
            currency: "EUR".to_owned(),
        },
        data: json!({
            "payment_id": "pay_1", "ordering_id": "ord_1", "amount": {"minor_units": 4599, "currency": "EUR"}
        }),
    };

    assert_eq!(refunded(&plain(REFUND)), expected);
}

#[test]
fn a_refund_is_the_same_in_every_form() {
    let told = refunded(&plain(REFUND));
    let mut event = json(STRUCTURED);
    put(&mut event, "/type", Some("payment.refunded".into()));
    put(&mut event, "/data", Some(json(REFUND)["data"].take()));
    let mut headed = binary("ce-", json(REFUND)["data"].to_string());
    headed
        .headers
        .insert("ce-type".to_owned(), "com.example.payment.refunded".into());

    for other in [refunded(&structured(event.to_string())), refunded(&headed)] {
        assert_eq!(other.key, "/payments evt_1");
        assert_eq!(
            Refunded {
                key: told.key.clone(),
                occurred_at: told.occurred_at,
                ..other
            },
            told
        );
    }
}
