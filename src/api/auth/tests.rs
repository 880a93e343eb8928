//! Tokens that hold, and many that do not.

mod published;

use chrono::{TimeDelta, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use secrecy::SecretString;
use serde_json::{Value as Json, json};
use waybill_domain::Role;

use super::*;

pub(crate) const SECRET: &str = "a secret of tests that is long enough for HS256";
const RSA_PRIVATE: &[u8] = include_bytes!("tests/rsa-private.pem");
const RSA_PUBLIC: &str = include_str!("tests/rsa-public.pem");

fn settings(key: TokenKey) -> Tokens {
    Tokens {
        issuer: "waybill".to_owned(),
        audience: "waybill".to_owned(),
        key,
    }
}

fn shared() -> Auth {
    Auth::from_settings(&settings(TokenKey::Shared(SecretString::from(SECRET)))).expect("a shared secret can be used")
}

/// Claims that hold, with some of them changed; `null` takes one away.
fn claims(changes: Json) -> Json {
    let now = Utc::now().timestamp();
    let mut claims = json!({
        "iss": "waybill", "aud": "waybill", "sub": "ada", "roles": ["operator"], "iat": now, "exp": now + 600,
    });
    for (name, value) in changes.as_object().expect("changes are an object") {
        let all = claims.as_object_mut().expect("claims are an object");
        if value.is_null() {
            all.remove(name)
        } else {
            all.insert(name.clone(), value.clone())
        };
    }
    claims
}

fn head(changes: Json) -> Json {
    let mut head = json!({ "alg": "HS256", "typ": "JWT" });
    for (name, value) in changes.as_object().expect("changes are an object") {
        head[name] = value.clone();
    }
    head
}

/// A token with any head and claims, signed with the shared secret.
fn sign(head: &Json, claims: &Json) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(head.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let signature = jsonwebtoken::crypto::sign(
        message.as_bytes(),
        &EncodingKey::from_secret(SECRET.as_bytes()),
        Algorithm::HS256,
    );
    format!("{message}.{}", signature.expect("HMAC signs everything"))
}

/// For the tests of the API.
pub(crate) fn token_with_roles(roles: &[&str]) -> String {
    sign(&head(json!({})), &claims(json!({ "roles": roles })))
}

#[tokio::test]
async fn tokens_that_hold_name_their_bearer() {
    let now = Utc::now().timestamp();
    let cases = [
        ("plain", json!({}), json!({})),
        ("an access token", json!({ "typ": "at+jwt" }), json!({})),
        (
            "an access token, in full",
            json!({ "typ": "application/at+jwt" }),
            json!({}),
        ),
        ("with a kid", json!({ "kid": "key_1.a-b" }), json!({})),
        ("for several", json!({}), json!({ "aud": ["shop", "waybill"] })),
        ("without iat", json!({}), json!({ "iat": null })),
        ("holding for a moment", json!({}), json!({ "nbf": now - 1 })),
        (
            "expired within the leeway",
            json!({}),
            json!({ "iat": now - 100, "exp": now - 20 }),
        ),
        (
            "early within the leeway",
            json!({}),
            json!({ "nbf": now + 20, "iat": now + 20 }),
        ),
        ("a day long", json!({}), json!({ "exp": now + 24 * 3600 })),
        (
            "with roles of others",
            json!({}),
            json!({ "roles": ["admin", "operator", "OPERATOR"] }),
        ),
        (
            "pointing to other keys",
            json!({ "jku": "https://evil.example/keys", "x5u": "https://evil.example/cert" }),
            json!({}),
        ),
    ];
    for (name, head_changes, claim_changes) in cases {
        let token = sign(&head(head_changes), &claims(claim_changes));

        let caller = shared()
            .check(&token)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));

        assert_eq!(caller.subject, "ada");
        assert_eq!(caller.roles, BTreeSet::from([Role::Operator]), "{name}");
    }
}

#[tokio::test]
async fn tokens_that_do_not_hold_name_nobody() {
    let now = Utc::now().timestamp();
    let good = || sign(&head(json!({})), &claims(json!({})));
    let of_head = |changes: Json| sign(&head(changes), &claims(json!({})));
    let of_claims = |changes: Json| sign(&head(json!({})), &claims(changes));
    let unsigned = good()
        .rsplit_once('.')
        .map(|(message, _)| format!("{message}."))
        .expect("a signature");
    let with_claims_of_another = {
        let parts: Vec<String> = good().split('.').map(str::to_owned).collect();
        let other: Vec<String> = of_claims(json!({ "sub": "eve" }))
            .split('.')
            .map(str::to_owned)
            .collect();
        format!("{}.{}.{}", parts[0], other[1], parts[2])
    };
    let of_another_secret = jsonwebtoken::encode(
        &Header::new(Algorithm::HS256),
        &claims(json!({})),
        &EncodingKey::from_secret(b"another secret that is long enough too"),
    );
    let of_another_length = jsonwebtoken::encode(
        &Header::new(Algorithm::HS512),
        &claims(json!({})),
        &EncodingKey::from_secret(SECRET.as_bytes()),
    );
    let cases = [
        ("empty", String::new()),
        ("one part", "abc".to_owned()),
        ("two parts", "abc.def".to_owned()),
        ("no JSON", "YWJj.YWJj.YWJj".to_owned()),
        ("four parts", format!("{}.x", good())),
        ("too long", of_claims(json!({ "note": "x".repeat(9000) }))),
        ("unsigned", unsigned),
        ("claims of another", with_claims_of_another),
        ("another secret", of_another_secret.expect("it is signed")),
        ("another algorithm", of_another_length.expect("it is signed")),
        ("alg none", of_head(json!({ "alg": "none" }))),
        ("alg NONE", of_head(json!({ "alg": "NONE" }))),
        ("alg of another family", of_head(json!({ "alg": "RS256" }))),
        ("no alg", of_head(json!({ "alg": null }))),
        ("kid with a path", of_head(json!({ "kid": "../../etc/passwd" }))),
        ("kid too long", of_head(json!({ "kid": "k".repeat(65) }))),
        ("kid empty", of_head(json!({ "kid": "" }))),
        ("kid no text", of_head(json!({ "kid": 1 }))),
        ("critical extension", of_head(json!({ "crit": ["exp"] }))),
        ("another kind of token", of_head(json!({ "typ": "logout+jwt" }))),
        ("expired", of_claims(json!({ "iat": now - 100, "exp": now - 31 }))),
        ("no exp", of_claims(json!({ "exp": null }))),
        ("exp as text", of_claims(json!({ "exp": (now + 600).to_string() }))),
        ("exp out of range", of_claims(json!({ "exp": 1e300 }))),
        ("not yet", of_claims(json!({ "nbf": now + 60 }))),
        ("nbf as text", of_claims(json!({ "nbf": "0" }))),
        ("issued in the future", of_claims(json!({ "iat": now + 60 }))),
        ("too long a life", of_claims(json!({ "exp": now + 24 * 3600 + 1 }))),
        ("another issuer", of_claims(json!({ "iss": "somebody" }))),
        ("no issuer", of_claims(json!({ "iss": null }))),
        (
            "issuer as list",
            of_claims(json!({ "iss": ["waybill", "somebody"], "x": 1 })),
        ),
        ("another audience", of_claims(json!({ "aud": "shop" }))),
        ("no audience", of_claims(json!({ "aud": null }))),
        ("no audience in the list", of_claims(json!({ "aud": [] }))),
        ("no sub", of_claims(json!({ "sub": null }))),
        ("empty sub", of_claims(json!({ "sub": "" }))),
        ("sub no text", of_claims(json!({ "sub": 7 }))),
        ("sub with a control character", of_claims(json!({ "sub": "a\0b" }))),
        ("sub too long", of_claims(json!({ "sub": "x".repeat(256) }))),
        ("roles as text", of_claims(json!({ "roles": "operator" }))),
        ("roles of numbers", of_claims(json!({ "roles": [1] }))),
    ];
    for (name, token) in cases {
        let refused = shared().check(&token).await;

        assert!(matches!(refused, Err(AuthError::Invalid(_))), "{name}: {refused:?}");
    }
}

#[tokio::test]
async fn a_token_without_a_role_of_ours_gives_none() {
    for roles in [
        json!([]),
        json!(["admin"]),
        json!(["system", "delivery_partner", "payment_service"]),
        Json::Null,
    ] {
        let token = sign(&head(json!({})), &claims(json!({ "roles": roles })));

        assert_eq!(shared().check(&token).await, Err(AuthError::NoRole), "{roles}");
    }
}

#[tokio::test]
async fn what_is_issued_is_taken() {
    let auth = shared();
    for role in ROLES {
        let token = auth.issue(role, "ada", TimeDelta::hours(24)).expect("it is signed");

        let caller = auth.check(&token).await.expect("it holds");

        assert_eq!((caller.subject.as_str(), caller.roles), ("ada", BTreeSet::from([role])));
    }
}

#[tokio::test]
async fn a_public_key_checks_and_never_issues() {
    let auth = Auth::from_settings(&settings(TokenKey::PublicPem(RSA_PUBLIC.into()))).expect("an RSA key");
    let key = EncodingKey::from_rsa_pem(RSA_PRIVATE).expect("a private key");
    let token = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims(json!({})), &key).expect("it is signed");

    assert_eq!(auth.check(&token).await.expect("it holds").subject, "ada");
    let issued = auth.issue(Role::Operator, "ada", TimeDelta::hours(1));
    assert!(matches!(issued, Err(AuthSetupError::NotOurs)));
}

#[tokio::test]
async fn a_public_key_is_no_shared_secret() {
    let auth = Auth::from_settings(&settings(TokenKey::PublicPem(RSA_PUBLIC.into()))).expect("an RSA key");
    let key = EncodingKey::from_secret(RSA_PUBLIC.as_bytes());
    let forged = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims(json!({})), &key).expect("it is signed");

    assert!(matches!(auth.check(&forged).await, Err(AuthError::Invalid(_))));
}

#[test]
fn a_pem_that_is_no_key_is_refused_at_the_start() {
    let pem = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";

    let refused = Auth::from_settings(&settings(TokenKey::PublicPem(pem.into())));

    assert!(matches!(refused, Err(AuthSetupError::Key)));
}

#[test]
fn what_is_shown_of_the_keys_is_nothing() {
    assert!(!format!("{:?}", shared()).contains(SECRET));
}

/// A key pair with its JWK.
struct Pair {
    algorithm: Algorithm,
    private: EncodingKey,
    jwk: Json,
}

fn ed25519() -> Pair {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
    let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("a key");
    Pair {
        algorithm: Algorithm::EdDSA,
        private: EncodingKey::from_ed_der(document.as_ref()),
        jwk: json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref()) }),
    }
}

fn p256() -> Pair {
    let rng = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).expect("a key");
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &rng).expect("a key");
    let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
    Pair {
        algorithm: Algorithm::ES256,
        private: EncodingKey::from_ec_der(document.as_ref()),
        jwk: json!({ "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y) }),
    }
}

fn encode(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
