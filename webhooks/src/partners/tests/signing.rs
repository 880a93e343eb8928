//! Signatures: official vectors where a partner publishes one, and the same bytes changed.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};

use super::super::*;
use crate::keys::{DEFAULT_TOLERANCE, Key, PartnerKeys, Trust};
use crate::{BadKey, Rejection, Verified};

/// EasyPost's own fixture for its signature, of which the body's shape is kept in `updated.json`.
const EASYPOST_SECRET: &str = "sécret";
const BODY: &[u8] = br#"{"k":1}"#;
const TOKEN: &str = "whtok_AAAAAAAAAAAAAAAAAAAAAAAA";

struct Case {
    adapter: Adapter,
    key: Key,
    path: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    now: DateTime<Utc>,
}

impl Case {
    fn new(adapter: Adapter, key: Key, headers: &[(&'static str, &str)], body: &[u8]) -> Self {
        let headers = headers
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        Self {
            adapter,
            key,
            path: "/hooks/lalamove",
            headers,
            body: body.to_vec(),
            now: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
        }
    }

    fn verify(self, query: Option<&str>) -> Result<Verified, Rejection> {
        let trust = Trust {
            adapter: self.adapter,
            keys: vec![self.key],
            tolerance: DEFAULT_TOLERANCE,
            addresses: vec![],
        };
        let headers: HeaderMap = self
            .headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect();
        let keys = PartnerKeys::new([("p".to_owned(), trust)]).unwrap();
        let request = Incoming {
            method: &Method::POST,
            path: self.path,
            query,
            headers: &headers,
            body: &self.body,
            address: None,
        };
        keys.verify("p", &request, self.now)
    }
}

fn short(secret: &str) -> Key {
    Key::of("k", Material::Sha256(secret.as_bytes().to_vec().into()))
}

fn read(adapter: Adapter, text: &str) -> Result<Key, BadKey> {
    Key::read(adapter, "k", &text.to_owned().into())
}

/// Vectors with secrets shorter than a partner hands out: so they are published, and so they are tried.
fn vectors() -> Vec<Case> {
    let sendcloud = "1eed4b3d41f4653ac64fd56f1bf1cbfd349e4482cbc11dff7134bd93e5da4b0a";
    let uber = "8267e683f51f4b751b0e330e0f46d722cb6e481538bbb339fc1734b9a96ed8dd";
    let onfleet = "1ea5d98d7361c5fa4513e235c0d2403a6649e21a3ad01ebde80a92bedc994c01\
                   f8d4be535d8022389497c7a20fcf57c03004beeaea5679a70e430115ab7e25fc";
    let onfleet_key = Key::of("k", Material::Sha512(hex::decode("00ff10").unwrap().into()));
    let aftership = "q5t3fTTUlc3pI0hs0ahFkg6zhRUXpa4WgGKf4z0ul8A=";
    vec![
        Case::new(
            Adapter::Sendcloud,
            short("secretkey"),
            &[("sendcloud-signature", sendcloud)],
            br#"{"key": "value"}"#,
        ),
        Case::new(Adapter::Uber, short("signing_key"), &[("x-uber-signature", uber)], BODY),
        Case::new(Adapter::Onfleet, onfleet_key, &[("x-onfleet-signature", onfleet)], BODY),
        Case::new(
            Adapter::AfterShip,
            short("s"),
            &[("aftership-hmac-sha256", aftership)],
            BODY,
        ),
        lalamove(1_700_000_000_000, "/hooks/lalamove"),
    ]
}

fn lalamove(timestamp: i64, path: &'static str) -> Case {
    let signature = "f9f3c3a5140d350f045afa6dc6345154bbafa27eea103e033b00a6f3b0d3ba03";
    let body = format!(
        r#"{{"apiKey":"pk","timestamp":{timestamp},"signature":"{signature}","eventId":"e1","eventType":"ORDER_STATUS_CHANGED","data":{{"k":1}}}}"#
    );
    Case {
        path,
        ..Case::new(Adapter::Lalamove, short("sk"), &[], body.as_bytes())
    }
}

#[test]
fn each_partner_is_verified_by_its_vector() {
    for case in vectors() {
        let adapter = case.adapter;

        let verified = case.verify(None);

        assert_eq!(verified.unwrap().key_id, "k", "{adapter:?}");
    }
}

#[test]
fn each_partner_is_refused_with_another_body_another_key_or_no_signature() {
    for index in 0..vectors().len() {
        let changes: [fn(&mut Case); 4] = [
            |case| {
                let last = case.body.len() - 2;
                case.body[last] ^= 1;
            },
            |case| case.key = short("another secret"),
            |case| {
                case.headers.clear();
                case.body.truncate(1);
            },
            |case| case.headers.extend(case.headers.first().cloned()),
        ];
        for change in changes {
            let mut case = vectors().remove(index);
            let (adapter, headers) = (case.adapter, case.headers.len());
            change(&mut case);
            if headers == 0 && case.body == vectors().remove(index).body {
                // No header to send twice.
                continue;
            }
            let refused = match case.headers.len() {
                2 => verify_twice(case),
                _ => case.verify(None),
            };
            assert!(refused.is_err(), "{adapter:?}");
        }
    }
}

/// With its header twice, which a map of headers keeps apart.
fn verify_twice(case: Case) -> Result<Verified, Rejection> {
    let mut headers = HeaderMap::new();
    for (name, value) in &case.headers {
        headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    let request = Incoming {
        method: &Method::POST,
        path: case.path,
        query: None,
        headers: &headers,
        body: &case.body,
        address: None,
    };
    case.adapter
        .claim(&request)
        .map(|_| unreachable!("two signatures are none"))
}

#[test]
fn easyposts_secret_is_read_in_its_normal_form() {
    // The precomposed and the decomposed spelling are one secret.
    let signature = {
        use hmac::{Hmac, KeyInit as _, Mac as _};
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice("se\u{301}cret".as_bytes()).unwrap();
        mac.update(BODY);
        format!("hmac-sha256-hex={}", hex::encode(mac.finalize().into_bytes()))
    };

    let case = Case::new(
        Adapter::EasyPost,
        Key::of("k", super::super::easypost::normalised(EASYPOST_SECRET)),
        &[("x-hmac-signature", &signature)],
        BODY,
    );

    assert!(case.verify(None).is_ok());
}

#[test]
fn a_signature_inside_the_body_binds_time_and_path() {
    assert_eq!(
        lalamove(1_700_000_000_001, "/hooks/lalamove").verify(None),
        Err(Rejection::WrongSignature)
    );
    assert_eq!(
        lalamove(1_700_000_000_000, "/hooks/other").verify(None),
        Err(Rejection::WrongSignature)
    );
    let late = |seconds| Case {
        now: DateTime::from_timestamp(1_700_000_000, 0).unwrap() + TimeDelta::seconds(seconds),
        ..lalamove(1_700_000_000_000, "/hooks/lalamove")
    };
    assert!(late(300).verify(None).is_ok());
    assert_eq!(late(301).verify(None), Err(Rejection::Stale));
}

#[test]
fn a_partner_that_signs_nothing_shows_its_token() {
    for adapter in [Adapter::Shippo, Adapter::Stuart, Adapter::Lalamove] {
        let verify = |query: Option<&str>| {
            let key = read(adapter, TOKEN).unwrap();
            Case::new(adapter, key, &[], BODY).verify(query)
        };

        assert!(verify(Some("token=AAAAAAAAAAAAAAAAAAAAAAAA")).is_ok(), "{adapter:?}");
        assert!(
            verify(Some("x=1&token=AAAAAAAAAAAAAAAAAAAAAAAA")).is_ok(),
            "{adapter:?}"
        );
        for query in [
            None,
            Some(""),
            Some("token="),
            Some("token=AAAAAAAAAAAAAAAAAAAAAAAB"),
            Some("token=AAAAAAAAAAAAAAAAAAAAAAAA&token=AAAAAAAAAAAAAAAAAAAAAAAA"),
            Some("TOKEN=AAAAAAAAAAAAAAAAAAAAAAAA"),
            Some("token=whtok_AAAAAAAAAAAAAAAAAAAAAAAA"),
        ] {
            assert!(verify(query).is_err(), "{adapter:?} {query:?}");
        }
    }
}

#[test]
fn doordash_shows_its_credentials() {
    let verify = |value: &str| {
        let key = read(Adapter::DoorDash, "waybill:a-long-password").unwrap();
        Case::new(Adapter::DoorDash, key, &[("authorization", value)], BODY).verify(None)
    };
    let right = STANDARD.encode("waybill:a-long-password");

    assert!(verify(&format!("Basic {right}")).is_ok());
    assert!(verify(&format!("basic {right}")).is_ok());
    for wrong in [
        format!("Bearer {right}"),
        right.clone(),
        "Basic".to_owned(),
        "Basic ****".to_owned(),
        format!("Basic {}", STANDARD.encode("waybill:another-password")),
        format!("Basic {}", STANDARD.encode("waybill:")),
    ] {
        assert!(verify(&wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_secret_that_proves_nothing_is_not_taken() {
    let long = "x".repeat(513);
    for (adapter, text, why) in [
        (Adapter::Uber, "", BadKey::TextLength(0)),
        (Adapter::Uber, "short", BadKey::TextLength(5)),
        (Adapter::Sendcloud, &*long, BadKey::TextLength(513)),
        (Adapter::AfterShip, "fifteen letters", BadKey::TextLength(15)),
        (Adapter::EasyPost, "", BadKey::TextLength(0)),
        (Adapter::Onfleet, "not hexadecimal at all", BadKey::Hex),
        (Adapter::Onfleet, "00ff10", BadKey::TextLength(6)),
        (Adapter::Shippo, "a-secret-without-prefix", BadKey::TokenPrefix),
        (Adapter::Stuart, "whtok_short", BadKey::TextLength(5)),
        (Adapter::Stuart, "whtok_AAAAAAAAAAAAAAAA&x=1", BadKey::TokenLetters),
        (Adapter::DoorDash, "no colon anywhere in it", BadKey::Credentials),
        (Adapter::DoorDash, ":a-password-without-user", BadKey::Credentials),
        (Adapter::Standard, "a-secret-without-prefix", BadKey::Prefix),
    ] {
        assert_eq!(read(adapter, text).unwrap_err(), why, "{adapter:?} {text}");
    }
}
