//! The keys by which partners are believed: several at a time, so that one can be replaced without a gap.

use std::collections::{HashMap, HashSet};

use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair};
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use crate::signature::{Envelope, Rejection, Verified};

/// More keys than a rotation needs would only cost time per request.
pub const MAX_KEYS: usize = 4;

/// How old, or how far ahead of us, a signature may be where the partners file says nothing else.
pub const DEFAULT_TOLERANCE: TimeDelta = TimeDelta::seconds(300);

/// One key of a partner, known by an id that may be logged and stored.
#[derive(Debug)]
pub struct Key {
    id: String,
    material: Material,
}

/// What a key is made of.
#[derive(Debug)]
pub(crate) enum Material {
    /// Shared with the partner; signatures of version `v1`.
    Shared(SecretSlice<u8>),
    /// The partner's ed25519 public key; signatures of version `v1a`.
    Public([u8; 32]),
}

/// Why something is not a key. Never repeats what was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// Neither of the two prefixes.
    #[error("starts neither with whsec_ (shared secret) nor with whpk_ (public key)")]
    Prefix,
    /// What follows the prefix cannot be read.
    #[error("is not base64 after its prefix")]
    Base64,
    /// A shared secret too short to be safe, or longer than the scheme allows.
    #[error("a whsec_ secret has 16 to 64 bytes, this one {0}")]
    SharedLength(usize),
    /// Not an ed25519 public key.
    #[error("a whpk_ key has 32 bytes, this one {0}")]
    PublicLength(usize),
}

impl Key {
    /// Reads a key in the form of Standard Webhooks: `whsec_…` (shared) or `whpk_…` (public).
    pub fn parse(id: impl Into<String>, text: &SecretString) -> Result<Self, BadKey> {
        let text = text.expose_secret().trim();
        let material = if let Some(encoded) = text.strip_prefix("whsec_") {
            let bytes = STANDARD.decode(encoded).map_err(|_| BadKey::Base64)?;
            if !(16..=64).contains(&bytes.len()) {
                return Err(BadKey::SharedLength(bytes.len()));
            }
            Material::Shared(bytes.into())
        } else if let Some(encoded) = text.strip_prefix("whpk_") {
            let bytes = STANDARD.decode(encoded).map_err(|_| BadKey::Base64)?;
            Material::Public(
                bytes
                    .try_into()
                    .map_err(|bytes: Vec<u8>| BadKey::PublicLength(bytes.len()))?,
            )
        } else {
            return Err(BadKey::Prefix);
        };
        Ok(Self {
            id: id.into(),
            material,
        })
    }

    /// The id under which it is stored and logged.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn material(&self) -> &Material {
        &self.material
    }
}

/// What makes a partner believed.
#[derive(Debug)]
pub struct Trust {
    /// Its active keys, at least one.
    pub keys: Vec<Key>,
    /// How far the time of a signature may be from ours.
    pub tolerance: TimeDelta,
}

/// The keys of all partners.
#[derive(Debug)]
pub struct PartnerKeys {
    partners: HashMap<String, Trust>,
    decoys: Decoys,
}

/// Why a partner's keys cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPartner {
    /// Nothing could ever be verified.
    #[error("partner {0} has no webhook secret")]
    NoKeys(String),
    /// More than [`MAX_KEYS`].
    #[error("partner {0} has more than {MAX_KEYS} webhook secrets")]
    TooManyKeys(String),
    /// An id must tell which key it was.
    #[error("partner {partner} has two webhook secrets with the id {id}")]
    SameId {
        /// The partner.
        partner: String,
        /// The id that is used twice.
        id: String,
    },
}

impl PartnerKeys {
    /// Collects the partners by name.
    pub fn new(partners: impl IntoIterator<Item = (String, Trust)>) -> Result<Self, BadPartner> {
        let partners: HashMap<String, Trust> = partners.into_iter().collect();
        for (name, trust) in &partners {
            check(name, &trust.keys)?;
        }
        let decoys = Decoys::new(partners.values());
        Ok(Self { partners, decoys })
    }

    /// What makes the partner of that name believed.
    pub fn trust(&self, partner: &str) -> Option<&Trust> {
        self.partners.get(partner)
    }

    /// Verifies a callback over its raw body. The work is the same for every partner, known or not, so that neither the
    /// answer nor its time tells who is known.
    pub fn verify(
        &self,
        partner: &str,
        headers: &HeaderMap,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Verified, Rejection> {
        let envelope = Envelope::read(headers, body)?;
        let trust = self.partners.get(partner);
        let own = trust.map_or(&[][..], |trust| &trust.keys[..]);

        let mut matching = None;
        for key in own {
            let matches = envelope.is_signed_by(key);
            matching = matching.or(matches.then_some(key));
        }
        for decoy in self.decoys.filling_up(own) {
            std::hint::black_box(envelope.is_signed_by(decoy));
        }

        let trust = trust.ok_or(Rejection::UnknownPartner)?;
        let key = matching.ok_or(Rejection::WrongSignature)?;
        envelope.check_age(now, trust.tolerance)?;
        Ok(envelope.verified_by(key))
    }
}

fn check(partner: &str, keys: &[Key]) -> Result<(), BadPartner> {
    if keys.is_empty() {
        return Err(BadPartner::NoKeys(partner.to_owned()));
    }
    if keys.len() > MAX_KEYS {
        return Err(BadPartner::TooManyKeys(partner.to_owned()));
    }
    let mut ids = HashSet::new();
    match keys.iter().find(|key| !ids.insert(key.id())) {
        Some(key) => Err(BadPartner::SameId {
            partner: partner.to_owned(),
            id: key.id().to_owned(),
        }),
        None => Ok(()),
    }
}

/// Keys that nobody has: they make up the work that a partner with fewer keys, or an unknown one, would save.
#[derive(Debug)]
struct Decoys {
    shared: Vec<Key>,
    public: Vec<Key>,
}

impl Decoys {
    fn new<'a>(partners: impl Iterator<Item = &'a Trust>) -> Self {
        let (mut shared, mut public) = (1, 0);
        for trust in partners {
            let (own_shared, own_public) = count(&trust.keys);
            shared = shared.max(own_shared);
            public = public.max(own_public);
        }
        Self {
            shared: (0..shared).map(|_| shared_decoy()).collect(),
            public: (0..public).map(|_| public_decoy()).collect(),
        }
    }

    fn filling_up(&self, own: &[Key]) -> impl Iterator<Item = &Key> {
        let (shared, public) = count(own);
        self.shared.iter().skip(shared).chain(self.public.iter().skip(public))
    }
}

fn count(keys: &[Key]) -> (usize, usize) {
    let shared = keys
        .iter()
        .filter(|key| matches!(key.material, Material::Shared(_)))
        .count();
    (shared, keys.len() - shared)
}

fn shared_decoy() -> Key {
    let mut bytes = [0; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the system has random bytes");
    Key {
        id: String::new(),
        material: Material::Shared(bytes.to_vec().into()),
    }
}

fn public_decoy() -> Key {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("the system has random bytes");
    let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("it was made a line above");
    let bytes = pair
        .public_key()
        .as_ref()
        .try_into()
        .expect("an ed25519 public key has 32 bytes");
    Key {
        id: String::new(),
        material: Material::Public(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partner_known_or_not_costs_the_same_work() {
        let trust = |keys| Trust {
            keys,
            tolerance: DEFAULT_TOLERANCE,
        };
        let keys = PartnerKeys::new([
            (
                "in rotation".to_owned(),
                trust(vec![shared_decoy().named("a"), shared_decoy().named("b")]),
            ),
            ("plain".to_owned(), trust(vec![shared_decoy()])),
            ("with a public key".to_owned(), trust(vec![public_decoy()])),
        ])
        .unwrap();

        for name in ["in rotation", "plain", "with a public key", "unknown"] {
            let own = keys.partners.get(name).map_or(&[][..], |trust| &trust.keys);
            let work: Vec<&Key> = own.iter().chain(keys.decoys.filling_up(own)).collect();
            let shared = work
                .iter()
                .filter(|key| matches!(key.material, Material::Shared(_)))
                .count();

            assert_eq!((shared, work.len() - shared), (2, 1), "{name}");
        }
    }

    impl Key {
        fn named(self, id: &str) -> Self {
            Self {
                id: id.to_owned(),
                ..self
            }
        }
    }
}
