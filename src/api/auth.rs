//! API tokens: signed JWTs, checked against the one key or the one set of keys that the settings name.
//!
//! What a token says of its own key (`jku`, `x5u`, `jwk`) is never looked at; an algorithm is that of the key, never that
//! of the token (RFC 8725).

mod jwks;
mod token;

use std::collections::BTreeSet;

use chrono::{TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use waybill_domain::Role;

use super::caller::Caller;
use crate::config::{TokenKey, Tokens};
use jwks::Jwks;
use token::{Claims, Head};

/// Roles that a token can give.
const ROLES: [Role; 3] = [Role::Operator, Role::Service, Role::Customer];

/// Why a token gives nobody a role. The token itself is never in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// There is none, or more than one.
    #[error("send one header Authorization: Bearer and a token")]
    Missing,
    /// It does not hold.
    #[error("the token is not valid: {0}")]
    Invalid(&'static str),
    /// It holds, and names no role of this API.
    #[error("the token has none of the roles operator, service and customer")]
    NoRole,
    /// Nobody can tell: the issuer's keys cannot be had.
    #[error("the issuer's keys cannot be fetched")]
    KeysUnavailable,
}

impl AuthError {
    /// One word, for metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Invalid(_) => "invalid",
            Self::NoRole => "no-role",
            Self::KeysUnavailable => "keys-unavailable",
        }
    }
}

/// Why tokens cannot be checked or issued with these settings.
#[derive(Debug, thiserror::Error)]
pub enum AuthSetupError {
    /// The public key cannot be read.
    #[error("WAYBILL_JWT_KEY is no RSA, P-256 or Ed25519 public key in PEM")]
    Key,
    /// The client that fetches keys cannot be made.
    #[error("the client for WAYBILL_JWT_JWKS_URL cannot be made")]
    Client(#[source] reqwest::Error),
    /// Only who shares a secret can sign with it.
    #[error("tokens are issued only with a shared secret in WAYBILL_JWT_KEY")]
    NotOurs,
    /// The token could not be signed.
    #[error("the token cannot be signed")]
    Signing(#[source] jsonwebtoken::errors::Error),
}

/// A key with the one algorithm that it is used with.
#[derive(Clone)]
struct Key {
    decoding: DecodingKey,
    algorithm: Algorithm,
}

enum Keys {
    One(Key),
    Published(Jwks),
}

/// Checks tokens, and issues them where the key is shared.
pub struct Auth {
    issuer: String,
    audience: String,
    keys: Keys,
    shared: Option<SecretString>,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth")
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

impl Auth {
    /// By the settings. Published keys are fetched when the first token comes; that needs a process-wide TLS provider.
    pub fn from_settings(tokens: &Tokens) -> Result<Self, AuthSetupError> {
        let (keys, shared) = match &tokens.key {
            TokenKey::Shared(secret) => {
                let decoding = DecodingKey::from_secret(secret.expose_secret().as_bytes());
                (
                    Keys::One(Key {
                        decoding,
                        algorithm: Algorithm::HS256,
                    }),
                    Some(secret.clone()),
                )
            }
            TokenKey::PublicPem(pem) => (Keys::One(read_pem(pem)?), None),
            TokenKey::Jwks(url) => (Keys::Published(Jwks::new(url).map_err(AuthSetupError::Client)?), None),
        };
        Ok(Self {
            issuer: tokens.issuer.clone(),
            audience: tokens.audience.clone(),
            keys,
            shared,
        })
    }

    /// Who the bearer of this token is.
    pub async fn check(&self, token: &str) -> Result<Caller, AuthError> {
        let head = Head::read(token)?;
        let key = match &self.keys {
            Keys::One(key) => key.clone(),
            Keys::Published(jwks) => jwks.find(head.kid.as_deref()).await?,
        };
        let claims = Claims::check(token, &key, &self.issuer, &self.audience)?;
        let known = |role: &String| ROLES.into_iter().find(|known| known.as_str() == role);
        let roles: BTreeSet<Role> = claims.roles.iter().filter_map(known).collect();
        if roles.is_empty() {
            return Err(AuthError::NoRole);
        }
        Ok(Caller {
            subject: claims.sub,
            roles,
        })
    }

    /// A token for development and operators' scripts, only with a shared key.
    pub fn issue(&self, role: Role, subject: &str, ttl: TimeDelta) -> Result<String, AuthSetupError> {
        let secret = self.shared.as_ref().ok_or(AuthSetupError::NotOurs)?;
        let now = Utc::now();
        let claims = json!({
            "iss": self.issuer,
            "aud": self.audience,
            "sub": subject,
            "roles": [role],
            "iat": now.timestamp(),
            "exp": (now + ttl).timestamp(),
        });
        let key = EncodingKey::from_secret(secret.expose_secret().as_bytes());
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).map_err(AuthSetupError::Signing)
    }
}

fn read_pem(pem: &SecretString) -> Result<Key, AuthSetupError> {
    let bytes = pem.expose_secret().as_bytes();
    let key = |decoding, algorithm| Key { decoding, algorithm };
    DecodingKey::from_rsa_pem(bytes)
        .map(|decoding| key(decoding, Algorithm::RS256))
        .or_else(|_| DecodingKey::from_ec_pem(bytes).map(|decoding| key(decoding, Algorithm::ES256)))
        .or_else(|_| DecodingKey::from_ed_pem(bytes).map(|decoding| key(decoding, Algorithm::EdDSA)))
        .map_err(|_| AuthSetupError::Key)
}

#[cfg(test)]
pub(crate) mod tests;
