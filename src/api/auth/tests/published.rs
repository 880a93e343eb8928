//! Keys that an issuer publishes: found by name, kept, fetched again, and never taken from anywhere else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use tokio::sync::Mutex;

use super::*;

/// An issuer whose answer a test can change.
#[derive(Clone)]
struct Issuer {
    url: String,
    asked: Arc<AtomicUsize>,
    answer: Arc<Mutex<(StatusCode, String)>>,
}

impl Issuer {
    async fn start(keys: Json) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/jwks", listener.local_addr().expect("an address"));
        let answer = Arc::new(Mutex::new((StatusCode::OK, json!({ "keys": keys }).to_string())));
        let issuer = Self {
            url,
            asked: Arc::default(),
            answer,
        };
        let state = issuer.clone();
        let answering = move || {
            let state = state.clone();
            async move {
                state.asked.fetch_add(1, Ordering::SeqCst);
                let (status, body) = state.answer.lock().await.clone();
                (status, [(header::LOCATION, "/elsewhere")], body)
            }
        };
        let keys = json!({ "keys": [ed25519().jwk] }).to_string();
        let router = Router::new()
            .route("/jwks", get(answering))
            .route("/elsewhere", get(|| async { keys }));
        tokio::spawn(async move { axum::serve(listener, router).await });
        issuer
    }

    async fn answers(&self, status: StatusCode, keys: Json) {
        *self.answer.lock().await = (status, json!({ "keys": keys }).to_string());
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn auth(&self) -> Auth {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Auth::from_settings(&settings(TokenKey::Jwks(self.url.clone()))).expect("a client can be made")
    }
}

impl Pair {
    fn named(mut self, kid: &str) -> Self {
        self.jwk["kid"] = kid.into();
        self
    }

    fn token(&self, kid: Option<&str>) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = kid.map(str::to_owned);
        jsonwebtoken::encode(&header, &claims(json!({})), &self.private).expect("it is signed")
    }
}

fn rsa() -> Pair {
    // The modulus of the key of these tests, taken from its public half.
    use base64::Engine as _;
    let body: String = RSA_PUBLIC.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = base64::engine::general_purpose::STANDARD.decode(body).expect("base64");
    let modulus = &der[der.len() - 256 - 5..der.len() - 5];
    Pair {
        algorithm: Algorithm::RS256,
        private: EncodingKey::from_rsa_pem(RSA_PRIVATE).expect("a private key"),
        jwk: json!({ "kty": "RSA", "alg": "RS256", "use": "sig", "n": encode(modulus), "e": "AQAB" }),
    }
}

/// Lets the clock of the cache run ahead.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn keys_of_each_kind_are_found_by_their_name() {
    let pairs = [rsa().named("r"), p256().named("p"), ed25519().named("e")];
    let issuer = Issuer::start(json!([pairs[0].jwk, pairs[1].jwk, pairs[2].jwk])).await;
    let auth = issuer.auth();

    for (pair, kid) in pairs.iter().zip(["r", "p", "e"]) {
        let caller = auth.check(&pair.token(Some(kid))).await;
        assert_eq!(caller.map(|caller| caller.subject), Ok("ada".to_owned()), "{kid}");
    }

    assert!(
        auth.check(&pairs[0].token(Some("p"))).await.is_err(),
        "a key checks its own algorithm only"
    );
    assert!(
        auth.check(&pairs[0].token(None)).await.is_err(),
        "of several keys one must be named"
    );
    assert_eq!(issuer.asked(), 1, "keys are kept");
}

#[tokio::test]
async fn the_only_key_needs_no_name() {
    let pair = ed25519();
    let issuer = Issuer::start(json!([pair.jwk])).await;

    assert!(issuer.auth().check(&pair.token(None)).await.is_ok());
}

#[tokio::test]
async fn keys_that_sign_nothing_of_ours_are_passed_over() {
    let pair = ed25519().named("good");
    let mut encrypting = p256().named("enc").jwk;
    encrypting["use"] = "enc".into();
    let mut other = p256().named("other").jwk;
    other["alg"] = "ES384".into();
    let secret = json!({ "kty": "oct", "kid": "oct", "k": encode(SECRET.as_bytes()) });
    let small = json!({ "kty": "RSA", "kid": "small", "n": encode(&[0xff; 128]), "e": "AQAB" });
    let keys = json!([1, {}, { "kty": "NEW", "kid": "new" }, secret, encrypting, other, small, pair.jwk]);
    let issuer = Issuer::start(keys).await;
    let auth = issuer.auth();

    assert!(auth.check(&pair.token(Some("good"))).await.is_ok());
    let forged = sign(&head(json!({ "kid": "oct" })), &claims(json!({})));
    assert_eq!(
        auth.check(&forged).await,
        Err(AuthError::Invalid("its key is not known"))
    );
}

#[tokio::test]
async fn a_name_that_nobody_knows_asks_the_issuer_once_in_a_while() {
    let (old, new) = (ed25519().named("old"), ed25519().named("new"));
    let issuer = Issuer::start(json!([old.jwk])).await;
    let auth = issuer.auth();
    assert!(auth.check(&old.token(Some("old"))).await.is_ok());
    issuer.answers(StatusCode::OK, json!([old.jwk, new.jwk])).await;

    for _ in 0..20 {
        assert!(auth.check(&new.token(Some("new"))).await.is_err(), "asked a moment ago");
    }
    assert_eq!(issuer.asked(), 1);
    pass(Duration::from_secs(31)).await;

    assert!(auth.check(&new.token(Some("new"))).await.is_ok());
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test]
async fn while_the_issuer_is_away_kept_keys_hold_for_a_day() {
    let pair = ed25519().named("k");
    let issuer = Issuer::start(json!([pair.jwk])).await;
    let auth = issuer.auth();
    let token = || pair.token(Some("k"));
    assert!(auth.check(&token()).await.is_ok());
    issuer.answers(StatusCode::BAD_GATEWAY, json!([])).await;

    for hours in [1, 22] {
        pass(Duration::from_secs(hours * 3600)).await;
        assert!(auth.check(&token()).await.is_ok(), "after {hours} more hours");
    }
    pass(Duration::from_secs(2 * 3600)).await;

    assert_eq!(auth.check(&token()).await, Err(AuthError::KeysUnavailable));
}

#[tokio::test]
async fn an_issuer_that_cannot_be_asked_is_no_fault_of_the_token() {
    let pair = ed25519().named("k");
    let answers = [
        (StatusCode::BAD_GATEWAY, json!([pair.jwk])),
        (StatusCode::FOUND, json!([pair.jwk])),
        (StatusCode::OK, json!([])),
        (StatusCode::OK, json!("none")),
        (StatusCode::OK, json!(["x".repeat(300 * 1024)])),
    ];
    for (status, keys) in answers {
        let issuer = Issuer::start(json!([])).await;
        issuer.answers(status, keys).await;

        assert_eq!(
            issuer.auth().check(&pair.token(Some("k"))).await,
            Err(AuthError::KeysUnavailable),
            "{status}"
        );
        assert_eq!(issuer.asked(), 1);
    }
}

#[tokio::test]
async fn many_who_come_at_once_ask_the_issuer_once() {
    let pair = ed25519().named("k");
    let issuer = Issuer::start(json!([pair.jwk])).await;
    let auth = Arc::new(issuer.auth());

    let checks = (0..50).map(|_| {
        let (auth, token) = (auth.clone(), pair.token(Some("k")));
        tokio::spawn(async move { auth.check(&token).await.is_ok() })
    });
    let held = futures_util::future::join_all(checks.collect::<Vec<_>>()).await;

    assert!(held.into_iter().all(|held| held.expect("no panic")));
    assert_eq!(issuer.asked(), 1);
}
