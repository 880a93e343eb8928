//! The issuer's published keys: fetched from the configured address and from no other, kept for a while, and kept longer
//! when the issuer cannot be reached.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use metrics::{counter, gauge};
use reqwest::redirect::Policy;
use serde::Deserialize;
use serde_json::Value as Json;
use tokio::sync::{Mutex, RwLock};
use tokio::time::Instant;
use tracing::{info, warn};

use super::{AuthError, Key};

/// Keys younger than that are believed as they are.
const FRESH: Duration = Duration::from_secs(10 * 60);
/// Keys older than that are not believed, whoever cannot be reached.
const USABLE: Duration = Duration::from_secs(24 * 60 * 60);
/// Strangers' tokens must not make us call the issuer all the time.
const PAUSE: Duration = Duration::from_secs(30);
/// Without any key nobody can work: try sooner.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(3);
const MAX_BYTES: usize = 256 * 1024;
const MAX_KEYS: usize = 100;
/// 2048 bits.
const MIN_RSA_BYTES: usize = 256;

/// A set of keys behind an address.
pub(super) struct Jwks {
    source: Arc<Source>,
}

struct Source {
    url: String,
    client: reqwest::Client,
    known: RwLock<Option<Known>>,
    /// When somebody last asked the issuer. Held while asking: one asks, others wait for the answer.
    asked_at: Mutex<Option<Instant>>,
}

#[derive(Clone)]
struct Known {
    keys: Arc<BTreeMap<String, Key>>,
    at: Instant,
}

impl Jwks {
    pub(super) fn new(url: &str) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(Policy::none())
            .no_proxy()
            .build()?;
        let source = Source {
            url: url.to_owned(),
            client,
            known: RwLock::new(None),
            asked_at: Mutex::new(None),
        };
        Ok(Self {
            source: Arc::new(source),
        })
    }

    /// The key of that name; a token without a name means the only key there is.
    pub(super) async fn find(&self, kid: Option<&str>) -> Result<Key, AuthError> {
        let known = self.source.usable().await;
        if let Some((known, key)) = known.as_ref().and_then(|known| Some((known, known.find(kid)?))) {
            if known.at.elapsed() > FRESH {
                let source = self.source.clone();
                tokio::spawn(async move { source.refresh().await });
            }
            return Ok(key);
        }
        self.source.refresh().await;
        match self.source.usable().await {
            None => Err(AuthError::KeysUnavailable),
            Some(known) => known.find(kid).ok_or(AuthError::Invalid("its key is not known")),
        }
    }
}

impl Known {
    fn find(&self, kid: Option<&str>) -> Option<Key> {
        match kid {
            Some(kid) => self.keys.get(kid).cloned(),
            None if self.keys.len() == 1 => self.keys.values().next().cloned(),
            None => None,
        }
    }
}

impl Source {
    async fn usable(&self) -> Option<Known> {
        let known = self.known.read().await.clone()?;
        let age = known.at.elapsed();
        gauge!("jwks_age_seconds").set(age.as_secs_f64());
        (age < USABLE).then_some(known)
    }

    /// Asks the issuer, unless somebody has just done so.
    async fn refresh(&self) {
        let mut asked_at = self.asked_at.lock().await;
        let pause = if self.known.read().await.is_some() {
            PAUSE
        } else {
            FIRST_PAUSE
        };
        if asked_at.is_some_and(|at| at.elapsed() < pause) {
            return;
        }
        *asked_at = Some(Instant::now());
        match self.fetch().await {
            Ok(keys) => {
                info!("{} keys fetched from {}", keys.len(), self.url);
                *self.known.write().await = Some(Known {
                    keys: Arc::new(keys),
                    at: Instant::now(),
                });
            }
            Err(why) => {
                counter!("jwks_failed_total").increment(1);
                warn!("no keys from {}: {why}", self.url);
            }
        }
    }

    async fn fetch(&self) -> Result<BTreeMap<String, Key>, String> {
        let answer = self.client.get(&self.url).send().await;
        let mut answer = answer.map_err(|error| error.without_url().to_string())?;
        if !answer.status().is_success() {
            return Err(format!("status {}", answer.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| error.without_url().to_string())? {
            if body.len() + chunk.len() > MAX_BYTES {
                return Err(format!("more than {MAX_BYTES} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        let set: Set = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        let keys: BTreeMap<_, _> = set.keys.into_iter().take(MAX_KEYS).filter_map(read).collect();
        if keys.is_empty() {
            Err("no usable key".to_owned())
        } else {
            Ok(keys)
        }
    }
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Json>,
}

/// A key that signs tokens of ours; others in the set are somebody else's business.
fn read(value: Json) -> Option<(String, Key)> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let signs = jwk
        .common
        .public_key_use
        .as_ref()
        .is_none_or(|kind| *kind == PublicKeyUse::Signature);
    let (algorithm, name) = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) if modulus_bytes(&rsa.n) >= MIN_RSA_BYTES => {
            (Algorithm::RS256, KeyAlgorithm::RS256)
        }
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    let fitting = jwk.common.key_algorithm.is_none_or(|told| told == name);
    let decoding = DecodingKey::from_jwk(&jwk).ok().filter(|_| signs && fitting)?;
    Some((jwk.common.key_id.unwrap_or_default(), Key { decoding, algorithm }))
}

fn modulus_bytes(encoded: &str) -> usize {
    encoded.len() * 3 / 4
}
