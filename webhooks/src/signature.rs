//! Standard Webhooks 1.0: what is signed, by which versions, and how old it may be.

use axum::http::{HeaderMap, HeaderName};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use ring::signature::{ED25519, UnparsedPublicKey};
use secrecy::ExposeSecret;
use sha2::Sha256;

use crate::keys::{Key, Material};

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// As many signatures as a sender in rotation has keys, and some room; more only cost time.
const MAX_SIGNATURES: usize = 8;

/// The longest event id that is taken.
const MAX_ID: usize = 256;

/// What a right signature proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The partner's id of the event.
    pub event_id: String,
    /// The id of the key that matched.
    pub key_id: String,
    /// When this attempt was signed.
    pub signed_at: DateTime<Utc>,
}

/// Why a callback was not believed. For logs and metrics only: the partner sees one answer for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// No partner has this name.
    #[error("no partner has this name")]
    UnknownPartner,
    /// A header of the scheme is missing.
    #[error("header {0} is missing")]
    Missing(&'static str),
    /// A header is there twice, or is not what the scheme says.
    #[error("header {0} is malformed")]
    Malformed(&'static str),
    /// No signature matches one of the partner's keys.
    #[error("no signature matches")]
    WrongSignature,
    /// Signed rightly, too long ago.
    #[error("the signature is too old")]
    Stale,
    /// Signed rightly, too far ahead of our clock.
    #[error("the signature is of the future")]
    Future,
}

impl Rejection {
    /// The reason as a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownPartner => "unknown_partner",
            Self::Missing(_) => "missing_header",
            Self::Malformed(_) => "malformed_header",
            Self::WrongSignature => "wrong_signature",
            Self::Stale => "stale",
            Self::Future => "future",
        }
    }
}

/// A callback's signed parts, read but not yet believed.
pub(crate) struct Envelope<'a> {
    id: &'a str,
    timestamp: &'a str,
    signed_at: DateTime<Utc>,
    body: &'a [u8],
    v1: Vec<Vec<u8>>,
    v1a: Vec<Vec<u8>>,
}

impl<'a> Envelope<'a> {
    /// Reads the three headers; each has to be there exactly once.
    pub(crate) fn read(headers: &'a HeaderMap, body: &'a [u8]) -> Result<Self, Rejection> {
        let id = single(headers, &ID, "webhook-id")?;
        // A full stop would let a signed id, time and body be cut at other places.
        if id.is_empty() || id.len() > MAX_ID || !id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'.') {
            return Err(Rejection::Malformed("webhook-id"));
        }
        let timestamp = single(headers, &TIMESTAMP, "webhook-timestamp")?;
        let signed_at = read_seconds(timestamp).ok_or(Rejection::Malformed("webhook-timestamp"))?;
        let mut envelope = Self {
            id,
            timestamp,
            signed_at,
            body,
            v1: Vec::new(),
            v1a: Vec::new(),
        };
        envelope.read_signatures(single(headers, &SIGNATURE, "webhook-signature")?)?;
        Ok(envelope)
    }

    /// Takes the signatures of the versions that are known. Others belong to schemes to come, and are no error.
    fn read_signatures(&mut self, list: &str) -> Result<(), Rejection> {
        for (index, entry) in list.split(' ').filter(|entry| !entry.is_empty()).enumerate() {
            if index == MAX_SIGNATURES {
                return Err(Rejection::Malformed("webhook-signature"));
            }
            let (version, encoded) = entry.split_once(',').ok_or(Rejection::Malformed("webhook-signature"))?;
            let signatures = match version {
                "v1" => &mut self.v1,
                "v1a" => &mut self.v1a,
                _ => continue,
            };
            signatures.push(
                STANDARD
                    .decode(encoded)
                    .map_err(|_| Rejection::Malformed("webhook-signature"))?,
            );
        }
        Ok(())
    }

    /// Whether one of the signatures was made with this key. Compares in constant time.
    pub(crate) fn is_signed_by(&self, key: &Key) -> bool {
        match key.material() {
            Material::Shared(secret) => self.has_v1_of(secret.expose_secret()),
            Material::Public(public) => self.has_v1a_of(public),
        }
    }

    fn has_v1_of(&self, secret: &[u8]) -> bool {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
        for part in [self.id.as_bytes(), b".", self.timestamp.as_bytes(), b".", self.body] {
            mac.update(part);
        }
        self.v1.iter().fold(false, |found, signature| {
            mac.clone().verify_slice(signature).is_ok() | found
        })
    }

    fn has_v1a_of(&self, public: &[u8; 32]) -> bool {
        if self.v1a.is_empty() {
            return false;
        }
        let signed = [self.id.as_bytes(), b".", self.timestamp.as_bytes(), b".", self.body].concat();
        let key = UnparsedPublicKey::new(&ED25519, public);
        self.v1a
            .iter()
            .fold(false, |found, signature| key.verify(&signed, signature).is_ok() | found)
    }

    /// Refuses what was signed too long ago, or too far ahead of our clock.
    pub(crate) fn check_age(&self, now: DateTime<Utc>, tolerance: TimeDelta) -> Result<(), Rejection> {
        let age = now.signed_duration_since(self.signed_at);
        match age {
            age if age > tolerance => Err(Rejection::Stale),
            age if age < -tolerance => Err(Rejection::Future),
            _ => Ok(()),
        }
    }

    /// What is proven, once a key matched.
    pub(crate) fn verified_by(&self, key: &Key) -> Verified {
        Verified {
            event_id: self.id.to_owned(),
            key_id: key.id().to_owned(),
            signed_at: self.signed_at,
        }
    }
}

/// The one value of a header. A second one would leave open which of them was signed.
fn single<'a>(headers: &'a HeaderMap, header: &HeaderName, name: &'static str) -> Result<&'a str, Rejection> {
    let mut values = headers.get_all(header).iter();
    let value = values.next().ok_or(Rejection::Missing(name))?;
    if values.next().is_some() {
        return Err(Rejection::Malformed(name));
    }
    value.to_str().map_err(|_| Rejection::Malformed(name))
}

/// Whole seconds since 1970, digits only.
fn read_seconds(text: &str) -> Option<DateTime<Utc>> {
    let digits = (1..=11).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .then(|| text.parse().ok())
        .flatten()
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
}

#[cfg(test)]
mod tests;
