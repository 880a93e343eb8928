//! Each language by itself: against the vectors of its signature and the bodies that are kept of it.

use axum::http::HeaderMap;
use chrono::DateTime;
use serde_json::{Value, json};

use super::*;

const BODY: &str = r#"{"k":1}"#;

fn speaking(speaks: Speaks, secret: &[u8]) -> Box<dyn Dialect> {
    speaks.with(&CallbackSecret::of_bytes(secret.to_vec())).unwrap()
}

fn all() -> [(Speaks, Box<dyn Dialect>); 4] {
    [
        (Speaks::Standard, &b"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"[..]),
        (Speaks::Easypost, "sécret".as_bytes()),
        (Speaks::Onfleet, b"00ff10"),
        (Speaks::Uber, b"signing_key"),
    ]
    .map(|(speaks, secret)| (speaks, speaking(speaks, secret)))
}

fn delivery() -> Delivery {
    Delivery {
        reference: "0191c3f0-0000-7000-8000-000000000001".to_owned(),
        id: "11z1BFspwhBYDvIH_FrJfWMm".to_owned(),
        number: "EZ1".to_owned(),
        state: "booked",
        reason: None,
    }
}

#[test]
fn each_signs_by_the_vector_of_its_scheme() {
    let standard = r#"{"email":"test@example.com","username":"test_user"}"#;
    let at = DateTime::from_timestamp(1_649_367_553, 0).unwrap();
    // The key of "sécret" is its decomposed form: e, U+0301.
    let easypost = "hmac-sha256-hex=0523943ebaecbedbce7e5685181c84163ac9e2ae7b71c09887c427825d139a8b";
    let vectors = [
        (
            Speaks::Standard,
            standard,
            "webhook-signature",
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        ),
        (Speaks::Easypost, BODY, "x-hmac-signature", easypost),
        (
            Speaks::Uber,
            BODY,
            "x-uber-signature",
            "8267e683f51f4b751b0e330e0f46d722cb6e481538bbb339fc1734b9a96ed8dd",
        ),
        (
            Speaks::Onfleet,
            BODY,
            "x-onfleet-signature",
            "1ea5d98d7361c5fa4513e235c0d2403a6649e21a3ad01ebde80a92bedc994c01\
             f8d4be535d8022389497c7a20fcf57c03004beeaea5679a70e430115ab7e25fc",
        ),
    ];

    for (speaks, body, header, expected) in vectors {
        let (_, dialect) = all().into_iter().find(|(known, _)| *known == speaks).unwrap();
        let proof = dialect.sign("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", at, body);
        let signature = proof
            .into_iter()
            .find(|(name, _)| *name == header)
            .map(|(_, value)| value);
        assert_eq!(signature.as_deref(), Some(expected), "{speaks:?}");
    }
}

#[test]
fn a_secret_has_its_partners_form_and_is_not_shown() {
    let refused = [
        (Speaks::Standard, "whsec_c2l4dGVlbiBieXRlcyBvbg=="),
        (Speaks::Standard, "C2FVsBQIhrscChlQIMV+b5sSYspob7oD"),
        (Speaks::Standard, "whsec_%%%%%%%%%%%%%%%%"),
        (Speaks::Onfleet, "no hexadecimal number"),
    ];

    for (speaks, text) in refused {
        let secret: CallbackSecret = text.parse().unwrap();
        assert!(speaks.with(&secret).is_none(), "{speaks:?} {text}");
        assert!(!format!("{secret:?}").contains(text));
    }
    assert!("whsec_".parse::<CallbackSecret>().is_err(), "too short for anybody");
}

/// Every place of a kept body, with the kind of value that stands there. What a partner may leave out is left out.
fn places(value: &Value, at: &str, found: &mut Vec<(String, &'static str)>) {
    let kind = match value {
        Value::Null => return,
        Value::Object(fields) => {
            for (name, inner) in fields {
                places(inner, &format!("{at}/{name}"), found);
            }
            return;
        }
        Value::Array(_) => "list",
        Value::String(_) => "text",
        Value::Number(_) => "number",
        Value::Bool(_) => "flag",
    };
    found.push((at.to_owned(), kind));
}

#[test]
fn what_each_tells_stands_where_it_stands_in_the_bodies_that_are_kept() {
    let kept = [
        (
            Speaks::Easypost,
            include_str!("../../../webhooks/tests/fixtures/partners/easypost/updated.json"),
        ),
        (
            Speaks::Onfleet,
            include_str!("../../../webhooks/tests/fixtures/partners/onfleet/trigger.json"),
        ),
        (
            Speaks::Uber,
            include_str!("../../../webhooks/tests/fixtures/partners/uber/status.json"),
        ),
    ];
    for (speaks, text) in kept {
        let kept: Value = serde_json::from_str(text).unwrap();
        let (_, dialect) = all().into_iter().find(|(known, _)| *known == speaks).unwrap();
        let failed = dialect.reasons_at_delivery()[0];
        for leg in [
            Leg::Booked,
            Leg::PickedUp,
            Leg::Delivered,
            Leg::Failed(failed),
            Leg::Cancelled,
        ] {
            for news in dialect.news(leg, &delivery()) {
                let mut told = Vec::new();
                places(&news.body, "", &mut told);
                for (place, kind) in told {
                    let mut there = Vec::new();
                    if let Some(value) = kept.pointer(&place) {
                        places(value, "", &mut there);
                        assert_eq!(there.first().map(|(_, kind)| *kind), Some(kind), "{speaks:?} {place}");
                    }
                }
                let needed: &[&str] = match speaks {
                    Speaks::Easypost => &[
                        "/description",
                        "/result/status",
                        "/result/shipment_id",
                        "/result/tracking_code",
                    ],
                    Speaks::Onfleet => &["/time", "/triggerId", "/taskId", "/data/task/id"],
                    _ => &["/kind", "/status", "/delivery_id", "/created", "/data/external_id"],
                };
                for place in needed {
                    assert!(
                        kept.pointer(place).is_some() && news.body.pointer(place).is_some(),
                        "{speaks:?} {place}"
                    );
                }
            }
        }
    }
}

#[test]
fn nobody_is_served_without_what_proves_who_asks() {
    for (speaks, path) in [
        (Speaks::Easypost, "v2/shipments"),
        (Speaks::Onfleet, "api/v2/tasks"),
        (Speaks::Uber, "v1/customers/c/deliveries"),
    ] {
        let (_, dialect) = all().into_iter().find(|(known, _)| *known == speaks).unwrap();
        let request = Request {
            method: &Method::POST,
            path: path.split('/').collect(),
            query: &[],
            headers: &HeaderMap::new(),
            body: &json!({}),
        };

        let (status, _) = dialect.read(&request).unwrap_err();

        assert_eq!(status, 401, "{speaks:?}");
    }
}
