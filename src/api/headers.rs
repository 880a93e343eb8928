//! Request headers and path parts that carry a meaning of ours.

use axum::extract::{FromRequestParts, Path};
use axum::http::HeaderMap;
use axum::http::header::IF_MATCH;
use axum::http::request::Parts;
use uuid::Uuid;

use super::problem::{Code, Problem};

/// The caller's own key: telling the same twice is telling it once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IdempotencyKey(pub String);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let refuse = |detail: &str| Problem::new(Code::IdempotencyKeyRequired, detail);
        let key = one(&parts.headers, "idempotency-key").map_err(|()| refuse("Idempotency-Key is given twice"))?;
        let key = key.ok_or_else(|| refuse("name this report by a header Idempotency-Key of your own making"))?;
        let fitting = (1..=255).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic);
        if !fitting {
            return Err(refuse("Idempotency-Key must have 1 to 255 visible ASCII characters"));
        }
        Ok(Self(String::from_utf8_lossy(key).into_owned()))
    }
}

/// The revision that the caller knows, if they insist on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IfMatch(pub Option<i64>);

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let refuse = || {
            Problem::new(
                Code::BadIfMatch,
                "If-Match must be * or one ETag of this order, such as \"3\"",
            )
        };
        let Some(value) = one(&parts.headers, IF_MATCH.as_str()).map_err(|()| refuse())? else {
            return Ok(Self(None));
        };
        if value == b"*" {
            return Ok(Self(None));
        }
        let digits = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
        let digits = digits.filter(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit));
        let revision = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        revision.map(|revision| Self(Some(revision))).ok_or_else(refuse)
    }
}

/// The id in a path. What is no id names nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id(pub Uuid);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = Path::<String>::from_request_parts(parts, state).await.ok();
        id.and_then(|Path(id)| Uuid::try_parse(&id).ok())
            .map(Self)
            .ok_or_else(Problem::not_found)
    }
}

/// The one value of a header; none where it is not given, an error where it is given more than once.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a [u8]>, ()> {
    let mut values = headers.get_all(name).iter();
    let first = values.next().map(|value| value.as_bytes());
    if values.next().is_some() { Err(()) } else { Ok(first) }
}
