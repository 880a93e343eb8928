//! One token: its head, read before anything is believed, and its claims, read after the signature was found right.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use jsonwebtoken::Validation;
use jsonwebtoken::errors::ErrorKind;
use serde::Deserialize;
use serde_json::Value as Json;

use super::{AuthError, Key};

/// Tokens are shorter than that.
const MAX_TOKEN: usize = 8 * 1024;
/// How far two clocks may be apart.
const LEEWAY: i64 = 30;
/// No token lives longer than that.
const MAX_LIFETIME: i64 = 24 * 60 * 60;

/// What the head of a token may decide: which key of a set is meant, and nothing else.
#[derive(Debug, Deserialize)]
pub(super) struct Head {
    pub(super) kid: Option<String>,
    typ: Option<String>,
    crit: Option<Json>,
}

impl Head {
    pub(super) fn read(token: &str) -> Result<Self, AuthError> {
        if token.len() > MAX_TOKEN {
            return Err(AuthError::Invalid("it is too long"));
        }
        let malformed = AuthError::Invalid("it is malformed");
        let encoded = token.split('.').next().unwrap_or_default();
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| malformed.clone())?;
        let head: Self = serde_json::from_slice(&bytes).map_err(|_| malformed)?;
        // An extension that must be understood is one that we do not understand.
        if head.crit.is_some() {
            return Err(AuthError::Invalid("it has critical extensions"));
        }
        let kind = head.typ.as_deref().unwrap_or("jwt").to_ascii_lowercase();
        if !matches!(kind.as_str(), "jwt" | "at+jwt" | "application/at+jwt") {
            return Err(AuthError::Invalid("it is not an access token"));
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        match &head.kid {
            Some(kid) if kid.is_empty() || kid.len() > 64 || !kid.bytes().all(plain) => {
                Err(AuthError::Invalid("its kid is malformed"))
            }
            _ => Ok(head),
        }
    }
}

/// What a token says. A claim of a wrong type makes it invalid: skipping it would skip its check.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    pub(super) sub: String,
    iss: String,
    exp: i64,
    nbf: Option<i64>,
    iat: Option<i64>,
    #[serde(default)]
    pub(super) roles: Vec<String>,
}

impl Claims {
    /// Checks the signature, then everything that the claims say of where and when they hold.
    pub(super) fn check(token: &str, key: &Key, issuer: &str, audience: &str) -> Result<Self, AuthError> {
        let mut validation = Validation::new(key.algorithm);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[audience]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY.unsigned_abs();
        let read = jsonwebtoken::decode::<Self>(token, &key.decoding, &validation);
        let claims = read.map_err(|error| AuthError::Invalid(name(error.kind())))?.claims;
        if claims.iss != issuer {
            return Err(AuthError::Invalid("its iss is another"));
        }
        claims.check_times()?;
        let fitting = (1..=255).contains(&claims.sub.len()) && !claims.sub.chars().any(char::is_control);
        if fitting {
            Ok(claims)
        } else {
            Err(AuthError::Invalid("its sub is malformed"))
        }
    }

    fn check_times(&self) -> Result<(), AuthError> {
        let now = Utc::now().timestamp();
        if self.exp <= now - LEEWAY {
            return Err(AuthError::Invalid("it has expired"));
        }
        if self.nbf.is_some_and(|nbf| nbf > now + LEEWAY) || self.iat.is_some_and(|iat| iat > now + LEEWAY) {
            return Err(AuthError::Invalid("it does not hold yet"));
        }
        match self.iat {
            Some(iat) if self.exp.saturating_sub(iat) > MAX_LIFETIME => Err(AuthError::Invalid("it lives too long")),
            _ => Ok(()),
        }
    }
}

/// What is wrong, in words that help its owner and nobody else.
fn name(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidSignature => "its signature is wrong",
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => "its algorithm is not that of the key",
        ErrorKind::ExpiredSignature => "it has expired",
        ErrorKind::ImmatureSignature => "it does not hold yet",
        ErrorKind::InvalidIssuer => "its iss is another",
        ErrorKind::InvalidAudience => "its aud is another",
        ErrorKind::MissingRequiredClaim(_) => "it lacks one of exp, iss, aud and sub",
        _ => "it is malformed",
    }
}
