//! The scheme from both sides: the vector of the standard, what it must refuse, and what must never happen.

use proptest::prelude::*;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};

use axum::http::{HeaderMap, HeaderName, Method};
use chrono::TimeDelta;

use super::*;
use crate::keys::{BadKey, BadPartner, Key, PartnerKeys, Trust};

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const OTHER_SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
const VECTOR_ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
const VECTOR_TIME: &str = "1649367553";
const VECTOR_BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;
const VECTOR_SIGNATURE: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";

fn key(id: &str, text: &str) -> Key {
    Key::parse(id, &text.to_owned().into()).unwrap()
}

fn trust(keys: Vec<Key>) -> PartnerKeys {
    PartnerKeys::new([("acme".to_owned(), Trust::standard(keys))]).unwrap()
}

fn incoming<'a>(headers: &'a HeaderMap, body: &'a [u8]) -> Incoming<'a> {
    Incoming {
        method: &Method::POST,
        path: "/webhooks/acme",
        query: None,
        headers,
        body,
        address: None,
    }
}

fn headers(id: &str, timestamp: &str, signature: &str) -> HeaderMap {
    [(ID, id), (TIMESTAMP, timestamp), (SIGNATURE, signature)]
        .into_iter()
        .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
        .collect()
}

fn vector() -> HeaderMap {
    headers(VECTOR_ID, VECTOR_TIME, VECTOR_SIGNATURE)
}

fn seconds(text: &str) -> DateTime<Utc> {
    read_seconds(text).unwrap()
}

fn verify(keys: &PartnerKeys, headers: &HeaderMap, body: &[u8]) -> Result<Verified, Rejection> {
    keys.verify("acme", &incoming(headers, body), seconds(VECTOR_TIME))
}

fn sign_v1a(pair: &Ed25519KeyPair, id: &str, timestamp: &str, body: &[u8]) -> String {
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    format!("v1a,{}", STANDARD.encode(pair.sign(&signed)))
}

fn pair_of_seed(seed: u8) -> (Ed25519KeyPair, String) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    let public = format!("whpk_{}", STANDARD.encode(pair.public_key()));
    (pair, public)
}

#[test]
fn the_vector_of_the_standard_is_verified() {
    let verified = verify(&trust(vec![key("2026-11", SECRET)]), &vector(), VECTOR_BODY).unwrap();

    assert_eq!(verified.event_id, VECTOR_ID);
    assert_eq!(verified.key_id, "2026-11");
    assert_eq!(verified.signed_at, Some(seconds(VECTOR_TIME)));
}

#[test]
fn an_ed25519_signature_is_verified() {
    let (pair, public) = pair_of_seed(7);
    let signature = sign_v1a(&pair, VECTOR_ID, VECTOR_TIME, VECTOR_BODY);
    // Fixed by RFC 8032: the same seed and bytes give the same signature everywhere.
    assert_eq!(public, "whpk_6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=");

    let keys = trust(vec![key("ed", &public)]);

    let verified = verify(&keys, &headers(VECTOR_ID, VECTOR_TIME, &signature), VECTOR_BODY).unwrap();
    assert_eq!(verified.key_id, "ed");
    let altered = verify(&keys, &headers(VECTOR_ID, VECTOR_TIME, &signature), b"{}").unwrap_err();
    assert_eq!(altered, Rejection::WrongSignature);
}

#[test]
fn the_version_of_a_signature_belongs_to_the_kind_of_the_key() {
    let (pair, public) = pair_of_seed(7);
    let as_v1 = sign_v1a(&pair, VECTOR_ID, VECTOR_TIME, VECTOR_BODY).replace("v1a,", "v1,");
    let as_v1a = VECTOR_SIGNATURE.replace("v1,", "v1a,");

    for (keys, signature) in [(key("ed", &public), as_v1), (key("shared", SECRET), as_v1a)] {
        let rejection = verify(
            &trust(vec![keys]),
            &headers(VECTOR_ID, VECTOR_TIME, &signature),
            VECTOR_BODY,
        );
        assert_eq!(rejection, Err(Rejection::WrongSignature));
    }
}

#[test]
fn while_keys_are_rotated_both_are_believed_and_told_apart() {
    let keys = trust(vec![key("new", OTHER_SECRET), key("old", SECRET)]);

    assert_eq!(verify(&keys, &vector(), VECTOR_BODY).unwrap().key_id, "old");

    let after = trust(vec![key("new", OTHER_SECRET)]);
    assert_eq!(verify(&after, &vector(), VECTOR_BODY), Err(Rejection::WrongSignature));
}

#[test]
fn one_right_signature_among_several_is_enough() {
    let wrong = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let list = format!("v9,whatever {wrong}  v1a,AAAA {VECTOR_SIGNATURE}");

    assert!(
        verify(
            &trust(vec![key("k", SECRET)]),
            &headers(VECTOR_ID, VECTOR_TIME, &list),
            VECTOR_BODY
        )
        .is_ok()
    );
}

#[test]
fn a_signature_is_believed_for_its_tolerance_in_both_directions() {
    let keys = trust(vec![key("k", SECRET)]);
    let at = |offset: i64| {
        let now = seconds(VECTOR_TIME) + TimeDelta::seconds(offset);
        keys.verify("acme", &incoming(&vector(), VECTOR_BODY), now)
    };

    assert!(at(300).is_ok());
    assert!(at(-300).is_ok());
    assert_eq!(at(301), Err(Rejection::Stale));
    assert_eq!(at(-301), Err(Rejection::Future));
}

#[test]
fn another_id_time_or_body_is_not_what_was_signed() {
    let keys = trust(vec![key("k", SECRET)]);

    for (id, timestamp, body) in [
        ("msg_other", VECTOR_TIME, VECTOR_BODY),
        (VECTOR_ID, "1649367554", VECTOR_BODY),
        (VECTOR_ID, VECTOR_TIME, &b"{}"[..]),
        (VECTOR_ID, VECTOR_TIME, &b""[..]),
    ] {
        let rejection = verify(&keys, &headers(id, timestamp, VECTOR_SIGNATURE), body);
        assert_eq!(rejection, Err(Rejection::WrongSignature));
    }
}

#[test]
fn headers_of_a_wrong_shape_are_malformed() {
    let keys = trust(vec![key("k", SECRET)]);
    let nine = [VECTOR_SIGNATURE; 9].join(" ");
    let long = "x".repeat(257);

    for (id, timestamp, signature, header) in [
        ("", VECTOR_TIME, VECTOR_SIGNATURE, "webhook-id"),
        ("msg.1", VECTOR_TIME, VECTOR_SIGNATURE, "webhook-id"),
        ("msg 1", VECTOR_TIME, VECTOR_SIGNATURE, "webhook-id"),
        (&*long, VECTOR_TIME, VECTOR_SIGNATURE, "webhook-id"),
        (VECTOR_ID, "", VECTOR_SIGNATURE, "webhook-timestamp"),
        (VECTOR_ID, "+1649367553", VECTOR_SIGNATURE, "webhook-timestamp"),
        (VECTOR_ID, "-1", VECTOR_SIGNATURE, "webhook-timestamp"),
        (VECTOR_ID, "1649367553.0", VECTOR_SIGNATURE, "webhook-timestamp"),
        (VECTOR_ID, "2022-04-07T21:39:13Z", VECTOR_SIGNATURE, "webhook-timestamp"),
        (VECTOR_ID, "99999999999999999999", VECTOR_SIGNATURE, "webhook-timestamp"),
        (VECTOR_ID, VECTOR_TIME, "v1", "webhook-signature"),
        (VECTOR_ID, VECTOR_TIME, "v1,***", "webhook-signature"),
        (
            VECTOR_ID,
            VECTOR_TIME,
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw",
            "webhook-signature",
        ),
        (VECTOR_ID, VECTOR_TIME, &*nine, "webhook-signature"),
    ] {
        let rejection = verify(&keys, &headers(id, timestamp, signature), VECTOR_BODY);
        assert_eq!(
            rejection,
            Err(Rejection::Malformed(header)),
            "{id} {timestamp} {signature}"
        );
    }
}

#[test]
fn a_header_that_is_missing_or_there_twice_is_refused() {
    let keys = trust(vec![key("k", SECRET)]);
    for (header, name) in [
        (ID, "webhook-id"),
        (TIMESTAMP, "webhook-timestamp"),
        (SIGNATURE, "webhook-signature"),
    ] {
        let mut without = vector();
        let value = without.remove(header).unwrap();
        assert_eq!(verify(&keys, &without, VECTOR_BODY), Err(Rejection::Missing(name)));

        let mut twice = vector();
        twice.append(header, value);
        assert_eq!(verify(&keys, &twice, VECTOR_BODY), Err(Rejection::Malformed(name)));
    }
}

#[test]
fn an_empty_list_of_signatures_proves_nothing() {
    for list in ["", " ", "v2,abc"] {
        let rejection = verify(
            &trust(vec![key("k", SECRET)]),
            &headers(VECTOR_ID, VECTOR_TIME, list),
            VECTOR_BODY,
        );
        assert_eq!(rejection, Err(Rejection::WrongSignature), "{list:?}");
    }
}

#[test]
fn a_shortened_signature_is_not_a_signature() {
    for bytes in [0, 1, 16, 31] {
        let full = STANDARD.decode(&VECTOR_SIGNATURE[3..]).unwrap();
        let list = format!("v1,{}", STANDARD.encode(&full[..bytes]));
        let rejection = verify(
            &trust(vec![key("k", SECRET)]),
            &headers(VECTOR_ID, VECTOR_TIME, &list),
            VECTOR_BODY,
        );
        assert_eq!(rejection, Err(Rejection::WrongSignature));
    }
}

#[test]
fn another_partner_is_not_believed_with_this_partners_key() {
    let partner = |secret| Trust::standard(vec![key("k", secret)]);
    let keys = PartnerKeys::new([
        ("acme".to_owned(), partner(SECRET)),
        ("other".to_owned(), partner(OTHER_SECRET)),
    ])
    .unwrap();
    let now = seconds(VECTOR_TIME);

    assert_eq!(
        keys.verify("other", &incoming(&vector(), VECTOR_BODY), now),
        Err(Rejection::WrongSignature)
    );
    assert_eq!(
        keys.verify("nobody", &incoming(&vector(), VECTOR_BODY), now),
        Err(Rejection::UnknownPartner)
    );
    assert_eq!(
        keys.verify("", &incoming(&vector(), VECTOR_BODY), now),
        Err(Rejection::UnknownPartner)
    );
}

#[test]
fn what_is_no_key_is_said_without_repeating_it() {
    for (text, why) in [
        ("", BadKey::Prefix),
        ("whsec", BadKey::Prefix),
        ("whsk_AAECAwQFBgcICQoLDA0ODw==", BadKey::Prefix),
        ("whsec_", BadKey::SharedLength(0)),
        ("whsec_!", BadKey::Base64),
        ("whsec_AAECAwQFBgcICQoLDA0O", BadKey::SharedLength(15)),
        ("whpk_AAECAwQFBgcICQoLDA0ODw==", BadKey::PublicLength(16)),
        ("whpk_?", BadKey::Base64),
    ] {
        assert_eq!(Key::parse("k", &text.to_owned().into()).unwrap_err(), why, "{text}");
    }
    let too_long = format!("whsec_{}", STANDARD.encode([7; 65]));
    assert_eq!(Key::parse("k", &too_long.into()).unwrap_err(), BadKey::SharedLength(65));
}

#[test]
fn a_partner_has_one_to_four_keys_each_with_an_id_of_its_own() {
    let of = |ids: &[&str]| {
        let keys = ids.iter().map(|id| key(id, SECRET)).collect();
        PartnerKeys::new([("acme".to_owned(), Trust::standard(keys))]).map(drop)
    };

    assert_eq!(of(&[]), Err(BadPartner::NoKeys("acme".into())));
    assert_eq!(
        of(&["a", "b", "a"]),
        Err(BadPartner::SameId {
            partner: "acme".into(),
            id: "a".into()
        })
    );
    assert_eq!(
        of(&["a", "b", "c", "d", "e"]),
        Err(BadPartner::TooManyKeys("acme".into()))
    );
    assert_eq!(of(&["a", "b", "c", "d"]), Ok(()));
}

#[test]
fn a_key_does_not_show_its_secret() {
    let shown = format!("{:?}", key("k", SECRET));

    assert!(shown.contains("REDACTED"), "{shown}");
    assert!(!shown.contains("[11, 97"), "{shown}");
}

#[test]
fn a_fresh_ed25519_key_works_as_a_fixed_one() {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
    let public = format!("whpk_{}", STANDARD.encode(pair.public_key()));
    let list = format!(
        "{VECTOR_SIGNATURE} {}",
        sign_v1a(&pair, VECTOR_ID, VECTOR_TIME, VECTOR_BODY)
    );

    let keys = trust(vec![key("shared", OTHER_SECRET), key("ed", &public)]);

    assert_eq!(
        verify(&keys, &headers(VECTOR_ID, VECTOR_TIME, &list), VECTOR_BODY)
            .unwrap()
            .key_id,
        "ed"
    );
}

fn any_header() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..80),
        "[a-z0-9_.]{0,40}".prop_map(String::into_bytes),
        "[0-9]{1,12}".prop_map(String::into_bytes),
        "(v1a?,[A-Za-z0-9+/]{0,44}={0,2} ?){0,9}".prop_map(String::into_bytes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_comes_never_panics_and_never_verifies(
        values in proptest::collection::vec(any_header(), 3),
        body in proptest::collection::vec(any::<u8>(), 0..200),
        now in 0i64..4_000_000_000,
    ) {
        let keys = trust(vec![key("k", SECRET), key("ed", &pair_of_seed(9).1)]);
        let mut headers = HeaderMap::new();
        for (name, value) in [ID, TIMESTAMP, SIGNATURE].into_iter().zip(values) {
            if let Ok(value) = value.try_into() {
                headers.insert(name, value);
            }
        }

        let now = DateTime::from_timestamp(now, 0).unwrap();

        prop_assert!(keys.verify("acme", &incoming(&headers, &body), now).is_err());
    }

    #[test]
    fn one_changed_bit_anywhere_is_refused(bit in 0usize..(VECTOR_BODY.len() * 8)) {
        let mut body = VECTOR_BODY.to_vec();
        body[bit / 8] ^= 1 << (bit % 8);

        let rejection = verify(&trust(vec![key("k", SECRET)]), &vector(), &body);

        prop_assert_eq!(rejection, Err(Rejection::WrongSignature));
    }

    #[test]
    fn whatever_comes_is_translated_or_unmapped(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = crate::Adapter::Standard.translate(&body);
    }
}
