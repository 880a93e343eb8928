//! What a request claims: the bytes that were signed and the proofs that came with them, in the terms of its partner's
//! scheme. Nothing in it is believed before a key has matched.

use std::borrow::Cow;

use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use ring::signature::{ED25519, UnparsedPublicKey};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

use crate::keys::{Key, Material};
use crate::signature::Rejection;

/// What nobody has signed, in the form of a signature by ed25519: as much work over the body as one that is wrong.
const NOBODYS: &[u8; 64] = b"Nobody has signed anything with this one: it is here for its 64\x0b";

/// A callback's signed parts, read but not yet believed.
#[derive(Default)]
pub(crate) struct Claim<'a> {
    /// What was signed, in its order.
    pub(crate) signed: Vec<Cow<'a, [u8]>>,
    /// Signatures by HMAC-SHA256.
    pub(crate) sha256: Vec<Vec<u8>>,
    /// Signatures by HMAC-SHA512.
    pub(crate) sha512: Vec<Vec<u8>>,
    /// Signatures by ed25519.
    pub(crate) ed25519: Vec<Vec<u8>>,
    /// The digest of a secret that was shown instead of a signature.
    pub(crate) token: Option<[u8; 32]>,
    /// When this attempt was signed, where the time is among the signed bytes.
    pub(crate) signed_at: Option<DateTime<Utc>>,
    /// The partner's id of the event, where the scheme itself carries one.
    pub(crate) event_id: Option<String>,
}

impl<'a> Claim<'a> {
    /// Over the raw body alone, and nothing shown yet.
    pub(crate) fn of_body(body: &'a [u8]) -> Self {
        Self {
            signed: vec![Cow::Borrowed(body)],
            ..Self::default()
        }
    }

    /// The raw body, signed by HMAC-SHA256.
    pub(crate) fn sha256_of_body(body: &'a [u8], signature: Vec<u8>) -> Self {
        Self {
            sha256: vec![signature],
            ..Self::of_body(body)
        }
    }

    /// A secret that is shown with every request.
    pub(crate) fn shown(body: &'a [u8], secret: &[u8]) -> Self {
        Self {
            token: Some(Sha256::digest(secret).into()),
            ..Self::of_body(body)
        }
    }

    /// Whether one of the proofs was made with this key. Compares in constant time, and works over all that was signed
    /// whether there is a proof of that kind or not.
    pub(crate) fn is_proven_by(&self, key: &Key) -> bool {
        match key.material() {
            Material::Sha256(secret) => {
                let mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret());
                self.matches(mac.expect("HMAC takes keys of any length"), &self.sha256)
            }
            Material::Sha512(secret) => {
                let mac = Hmac::<Sha512>::new_from_slice(secret.expose_secret());
                self.matches(mac.expect("HMAC takes keys of any length"), &self.sha512)
            }
            Material::Ed25519(public) => self.is_signed_for(public),
            Material::Token(digest) => self.token.is_some_and(|shown| shown.ct_eq(digest).into()),
        }
    }

    /// The work is over all that was signed and once, however many signatures were shown, and whatever they look like.
    fn matches<M: Mac>(&self, mut mac: M, signatures: &[Vec<u8>]) -> bool {
        for part in &self.signed {
            mac.update(part);
        }
        let right = mac.finalize().into_bytes();
        signatures.iter().fold(false, |found, signature| {
            bool::from(right.as_slice().ct_eq(signature)) | found
        })
    }

    fn is_signed_for(&self, public: &[u8; 32]) -> bool {
        let signed = self.signed.concat();
        let key = UnparsedPublicKey::new(&ED25519, public);
        // The longest work of all.
        if self.ed25519.is_empty() {
            std::hint::black_box(key.verify(&signed, NOBODYS).is_ok());
        }
        self.ed25519
            .iter()
            .fold(false, |found, signature| key.verify(&signed, signature).is_ok() | found)
    }

    /// Refuses what was signed too long ago, or too far ahead of our clock. What signs no time has no age.
    pub(crate) fn check_age(&self, now: DateTime<Utc>, tolerance: TimeDelta) -> Result<(), Rejection> {
        let Some(signed_at) = self.signed_at else {
            return Ok(());
        };
        match now.signed_duration_since(signed_at) {
            age if age > tolerance => Err(Rejection::Stale),
            age if age < -tolerance => Err(Rejection::Future),
            _ => Ok(()),
        }
    }
}
