//! The keys by which partners are believed: several at a time, so that one can be replaced without a gap, and all of
//! them replaceable while the receiver runs.

mod decoys;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use sha2::{Digest, Sha256};

use crate::claim::Claim;
use crate::incoming::Incoming;
use crate::partners::{Adapter, EventId};
use crate::signature::{Rejection, Verified, is_event_id};
use decoys::Decoys;

/// More keys than a rotation needs would only cost time per request.
pub const MAX_KEYS: usize = 4;

/// How old, or how far ahead of us, a signature may be where the partners file says nothing else.
pub const DEFAULT_TOLERANCE: TimeDelta = TimeDelta::seconds(300);

/// What a partner hands out as a secret is longer, and what we make up ourselves has to be.
const SHORTEST_TEXT: usize = 16;
const LONGEST_TEXT: usize = 512;

/// One key of a partner, known by an id that may be logged and stored.
#[derive(Debug)]
pub struct Key {
    id: String,
    material: Material,
}

/// What a key is made of, and by which proof it is known.
#[derive(Debug)]
pub(crate) enum Material {
    /// Shared with the partner; HMAC-SHA256.
    Sha256(SecretSlice<u8>),
    /// Shared with the partner; HMAC-SHA512.
    Sha512(SecretSlice<u8>),
    /// The partner's ed25519 public key.
    Ed25519([u8; 32]),
    /// The digest of a secret that the partner shows with every request.
    Token([u8; 32]),
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
    /// A partner's own secret, too short to be one or longer than any.
    #[error("has {0} bytes, and this partner's have 16 to 512")]
    TextLength(usize),
    /// A partner's secret that should be hexadecimal.
    #[error("is not hexadecimal, as this partner's are")]
    Hex,
    /// A partner that signs nothing has a token in the address that we gave it.
    #[error("does not start with whtok_ (this partner signs nothing: it shows a token of ours in the query)")]
    TokenPrefix,
    /// A token that would have to be escaped in an address.
    #[error("has other than letters, digits, - and _ after whtok_")]
    TokenLetters,
    /// The credentials that a partner sends with every request.
    #[error("is not user:password, which this partner sends with every request")]
    Credentials,
}

impl Key {
    /// Reads a key in the form of Standard Webhooks: `whsec_…` (shared) or `whpk_…` (public).
    pub fn parse(id: impl Into<String>, text: &SecretString) -> Result<Self, BadKey> {
        Self::read(Adapter::Standard, id, text)
    }

    /// Reads a key in the form that partners of this language hand out.
    pub fn read(adapter: Adapter, id: impl Into<String>, text: &SecretString) -> Result<Self, BadKey> {
        let material = adapter.read_key(text.expose_secret().trim())?;
        Ok(Self::of(id, material))
    }

    pub(crate) fn of(id: impl Into<String>, material: Material) -> Self {
        Self {
            id: id.into(),
            material,
        }
    }

    /// The id under which it is stored and logged.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn material(&self) -> &Material {
        &self.material
    }
}

impl Material {
    /// Reads `whsec_…` or `whpk_…`.
    pub(crate) fn read_standard(text: &str) -> Result<Self, BadKey> {
        if let Some(encoded) = text.strip_prefix("whsec_") {
            let bytes = STANDARD.decode(encoded).map_err(|_| BadKey::Base64)?;
            return match bytes.len() {
                16..=64 => Ok(Self::Sha256(bytes.into())),
                length => Err(BadKey::SharedLength(length)),
            };
        }
        let encoded = text.strip_prefix("whpk_").ok_or(BadKey::Prefix)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| BadKey::Base64)?;
        let bytes = <[u8; 32]>::try_from(bytes).map_err(|bytes| BadKey::PublicLength(bytes.len()))?;
        Ok(Self::Ed25519(bytes))
    }

    /// Takes a partner's secret as it stands.
    pub(crate) fn read_text(text: &str) -> Result<Self, BadKey> {
        check_length(text)?;
        Ok(Self::Sha256(text.as_bytes().to_vec().into()))
    }

    /// Reads a token of ours: `whtok_…`, shown in the query of every request.
    pub(crate) fn read_token(text: &str) -> Result<Self, BadKey> {
        let token = text.strip_prefix("whtok_").ok_or(BadKey::TokenPrefix)?;
        check_length(token)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if !token.bytes().all(plain) {
            return Err(BadKey::TokenLetters);
        }
        Ok(Self::Token(Sha256::digest(token).into()))
    }
}

pub(crate) fn check_length(text: &str) -> Result<(), BadKey> {
    match text.len() {
        SHORTEST_TEXT..=LONGEST_TEXT => Ok(()),
        length => Err(BadKey::TextLength(length)),
    }
}

/// What makes a partner believed.
#[derive(Debug)]
pub struct Trust {
    /// How it signs and what it says.
    pub adapter: Adapter,
    /// Its active keys, at least one.
    pub keys: Vec<Key>,
    /// How far the time of a signature may be from ours.
    pub tolerance: TimeDelta,
    /// The addresses that it calls from; empty for any. A defence beside the signature, never instead of it.
    pub addresses: Vec<IpNet>,
}

impl Trust {
    /// A partner of our own contract, with the usual tolerance.
    pub fn standard(keys: Vec<Key>) -> Self {
        Self {
            adapter: Adapter::Standard,
            keys,
            tolerance: DEFAULT_TOLERANCE,
            addresses: Vec::new(),
        }
    }
}

impl Trust {
    fn check_address(&self, address: Option<IpAddr>) -> Result<(), Rejection> {
        let known = |address| self.addresses.iter().any(|network| network.contains(&address));
        if self.addresses.is_empty() || address.is_some_and(known) {
            Ok(())
        } else {
            Err(Rejection::ForeignAddress)
        }
    }
}

/// The keys of all partners. They can be replaced as a whole at any time; what is being verified keeps those that it
/// began with.
#[derive(Debug)]
pub struct PartnerKeys {
    table: RwLock<Arc<Table>>,
}

#[derive(Debug)]
struct Table {
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
        let table = Table {
            decoys: Decoys::new(partners.values()),
            partners,
        };
        Ok(Self {
            table: RwLock::new(Arc::new(table)),
        })
    }

    /// From now on these are the keys.
    pub fn replace(&self, others: Self) {
        let table = others.table.into_inner().unwrap_or_else(PoisonError::into_inner);
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = table;
    }

    /// The ids of a partner's keys, and its tolerance; none where there is no such partner.
    pub fn describe(&self, partner: &str) -> Option<(Vec<String>, TimeDelta)> {
        let table = self.table();
        let trust = table.partners.get(partner)?;
        let ids = trust.keys.iter().map(|key| key.id().to_owned()).collect();
        Some((ids, trust.tolerance))
    }

    /// The ids of every partner's keys.
    pub fn ids(&self) -> BTreeMap<String, Vec<String>> {
        let table = self.table();
        let ids = |trust: &Trust| trust.keys.iter().map(|key| key.id().to_owned()).collect();
        table
            .partners
            .iter()
            .map(|(name, trust)| (name.clone(), ids(trust)))
            .collect()
    }

    /// The language of that partner.
    pub fn adapter(&self, partner: &str) -> Option<Adapter> {
        self.table().partners.get(partner).map(|trust| trust.adapter)
    }

    fn table(&self) -> Arc<Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Verifies a callback over its raw body. A refusal reads the body with as many keys of each kind for every partner,
    /// known or not, and for every cause: milliseconds where the body is large. What is left to tell them apart, the
    /// reading of what each language signs, takes less than the receiver's tick, which hides it.
    pub fn verify(&self, partner: &str, request: &Incoming<'_>, now: DateTime<Utc>) -> Result<Verified, Rejection> {
        let table = self.table();
        let trust = table.partners.get(partner);
        let adapter = trust.map_or(Adapter::Standard, |trust| trust.adapter);
        let (claim, rejection) = match adapter.claim(request) {
            Ok(claim) => (claim, None),
            Err(rejection) => (Claim::of_body(request.body), Some(rejection)),
        };
        let own = trust.map_or(&[][..], |trust| &trust.keys[..]);
        let key = find_key(&claim, own);

        let believe = || {
            let trust = trust.ok_or(Rejection::UnknownPartner)?;
            rejection.map_or(Ok(()), Err)?;
            let key = key.ok_or(Rejection::WrongSignature)?;
            claim.check_age(now, trust.tolerance)?;
            trust.check_address(request.address)?;
            Ok(key)
        };
        let key = believe().inspect_err(|_| table.decoys.make_up(&claim, own))?;
        Ok(Verified {
            key_id: key.id().to_owned(),
            signed_at: claim.signed_at,
            event_id: claim.event_id.unwrap_or_else(|| derive_id(adapter, request.body)),
        })
    }
}

/// The key that proves it. All of them are tried, whichever it is.
fn find_key<'a>(claim: &Claim<'_>, keys: &'a [Key]) -> Option<&'a Key> {
    let mut matching = None;
    for key in keys {
        let matches = claim.is_proven_by(key);
        matching = matching.or(matches.then_some(key));
    }
    matching
}

/// What stands for the id of an event where the partner gives none: what it says of the event, for people, and the
/// digest of the raw body, so that two different bodies are never taken for one.
fn derive_id(adapter: Adapter, body: &[u8]) -> String {
    let digest = || hex::encode(Sha256::digest(body));
    let id = match adapter.identify(body) {
        Some(EventId::Given(id)) => id,
        Some(EventId::Described(words)) => format!("{words}/{}", &digest()[..24]),
        None => String::new(),
    };
    if is_event_id(&id) {
        id
    } else {
        format!("sha256:{}", digest())
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
