//! Signs what we tell others, by Standard Webhooks 1.0: `v1` with a shared secret, `v1a` with an ed25519 key pair.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use sha2::Sha256;

use crate::keys::BadKey;

/// Bytes of a shared secret that we make, and of an ed25519 seed.
const LENGTH: usize = 32;

/// A key that signs.
pub enum SigningKey {
    /// Shared with the receiver; makes signatures of version `v1`.
    Shared(SecretSlice<u8>),
    /// A pair whose public half the receiver has; makes signatures of version `v1a`.
    Pair {
        /// What the pair is made from, to be kept.
        seed: SecretSlice<u8>,
        /// The pair.
        pair: Ed25519KeyPair,
    },
}

impl SigningKey {
    /// A new shared secret.
    pub fn shared() -> Self {
        Self::Shared(random().into())
    }

    /// A new key pair.
    pub fn pair() -> Self {
        Self::of_seed(random()).expect("a seed of the right length makes a pair")
    }

    /// Reads a key in the form of Standard Webhooks: `whsec_…` (shared) or `whsk_…` (secret half of a pair).
    pub fn parse(text: &SecretString) -> Result<Self, BadKey> {
        let text = text.expose_secret().trim();
        if let Some(encoded) = text.strip_prefix("whsec_") {
            let bytes = STANDARD.decode(encoded).map_err(|_| BadKey::Base64)?;
            if !(16..=64).contains(&bytes.len()) {
                return Err(BadKey::SharedLength(bytes.len()));
            }
            return Ok(Self::Shared(bytes.into()));
        }
        let encoded = text.strip_prefix("whsk_").ok_or(BadKey::Prefix)?;
        let mut bytes = STANDARD.decode(encoded).map_err(|_| BadKey::Base64)?;
        let length = bytes.len();
        bytes.truncate(LENGTH);
        // The second half, where it is given, is the public key: it follows from the first.
        let fitting = matches!(length, 32 | 64);
        let key = fitting.then(|| Self::of_seed(bytes)).flatten();
        key.ok_or(BadKey::PublicLength(length))
    }

    /// As it is kept, and as it is shown to its owner once.
    pub fn reveal(&self) -> SecretString {
        match self {
            Self::Shared(secret) => format!("whsec_{}", STANDARD.encode(secret.expose_secret())),
            Self::Pair { seed, pair } => {
                let both = [seed.expose_secret(), pair.public_key().as_ref()].concat();
                format!("whsk_{}", STANDARD.encode(both))
            }
        }
        .into()
    }

    /// What a receiver needs to verify `v1a`: not secret.
    pub fn public(&self) -> Option<String> {
        match self {
            Self::Shared(_) => None,
            Self::Pair { pair, .. } => Some(format!("whpk_{}", STANDARD.encode(pair.public_key().as_ref()))),
        }
    }

    /// The version of its signatures.
    pub fn scheme(&self) -> &'static str {
        match self {
            Self::Shared(_) => "v1",
            Self::Pair { .. } => "v1a",
        }
    }

    /// One entry of `webhook-signature`.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let head = format!("{id}.{timestamp}.");
        let signature = match self {
            Self::Shared(secret) => {
                let mut mac =
                    Hmac::<Sha256>::new_from_slice(secret.expose_secret()).expect("HMAC takes keys of any length");
                mac.update(head.as_bytes());
                mac.update(body);
                STANDARD.encode(mac.finalize().into_bytes())
            }
            Self::Pair { pair, .. } => STANDARD.encode(pair.sign(&[head.as_bytes(), body].concat())),
        };
        format!("{},{signature}", self.scheme())
    }

    fn of_seed(seed: Vec<u8>) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).ok()?;
        Some(Self::Pair {
            seed: seed.into(),
            pair,
        })
    }
}

/// The value of `webhook-signature`: one entry a key, so that a receiver may have the old one or the new one.
pub fn sign_all(keys: &[SigningKey], id: &str, timestamp: i64, body: &[u8]) -> String {
    let entries: Vec<_> = keys.iter().map(|key| key.sign(id, timestamp, body)).collect();
    entries.join(" ")
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({}, hidden)", self.scheme())
    }
}

fn random() -> Vec<u8> {
    let mut bytes = vec![0; LENGTH];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the system has random bytes");
    bytes
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, Method};
    use chrono::DateTime;

    use super::*;
    use crate::incoming::Incoming;
    use crate::keys::{Key, PartnerKeys, Trust};

    const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;
    const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
    const AT: i64 = 1_649_367_553;

    #[test]
    fn the_vector_of_the_specification_is_signed_as_it_says() {
        let key = SigningKey::parse(&"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".into()).unwrap();

        assert_eq!(
            key.sign(ID, AT, BODY),
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="
        );
    }

    #[test]
    fn a_receiver_with_any_one_of_the_keys_believes_it() {
        let keys = [
            SigningKey::shared(),
            SigningKey::pair(),
            SigningKey::shared(),
            SigningKey::pair(),
        ];
        let mut headers = HeaderMap::new();
        let signature = sign_all(&keys, ID, AT, BODY);
        for (name, value) in [
            ("webhook-id", ID),
            ("webhook-timestamp", "1649367553"),
            ("webhook-signature", &signature),
        ] {
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        }

        for key in &keys {
            let known = key.public().map_or_else(|| key.reveal(), SecretString::from);
            let trust = Trust::standard(vec![Key::parse("k", &known).unwrap()]);
            let receiver = PartnerKeys::new([("waybill".to_owned(), trust)]).unwrap();
            let now = DateTime::from_timestamp(AT, 0).unwrap();
            let believes = |body| {
                let request = Incoming {
                    method: &Method::POST,
                    path: "/hooks",
                    query: None,
                    headers: &headers,
                    body,
                    address: None,
                };
                receiver.verify("waybill", &request, now).is_ok()
            };

            assert!(believes(BODY), "{key:?}");
            assert!(!believes(b"{}"), "another body, {key:?}");
        }
    }

    #[test]
    fn a_key_comes_back_as_it_was_kept_and_is_not_shown() {
        for key in [SigningKey::shared(), SigningKey::pair()] {
            let kept = key.reveal();
            let again = SigningKey::parse(&kept).unwrap();

            assert_eq!(again.sign(ID, AT, BODY), key.sign(ID, AT, BODY));
            assert_eq!(again.public(), key.public());
            assert!(!format!("{key:?}").contains(&kept.expose_secret()[7..]));
        }
        for wrong in ["", "whsec_", "whsk_AAAA", "whpk_AAAA", "whsec_%%", "secret"] {
            assert!(SigningKey::parse(&wrong.into()).is_err(), "{wrong}");
        }
    }
}
