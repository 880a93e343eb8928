//! What a partner is told when a callback is not taken, as `application/problem+json`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Where the `type` of each problem document starts; the rest is a heading in the documentation.
pub const PROBLEMS: &str = "/problems/";

/// Why a request was not answered with success. One body for each, whatever the cause: nobody learns from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Problem {
    Unauthorized,
    TooMany { after: u64 },
    TooFast { after: u64 },
    MethodNotAllowed,
    NotJson,
    TooLarge,
    TooSlow,
    Incomplete,
    Unavailable,
}

impl Problem {
    /// As what a request that was not read is noted.
    pub(crate) fn reason(self) -> &'static str {
        let (_, name, _) = self.parts();
        name.split_once('-').map_or(name, |(_, reason)| reason)
    }

    /// Whether it is said to somebody who was not believed, and whose request may have named a partner: its time must not
    /// tell which.
    pub(crate) fn is_told_to_anyone(self) -> bool {
        !matches!(self, Self::TooFast { .. } | Self::Unavailable)
    }

    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Unauthorized => (
                StatusCode::UNAUTHORIZED,
                "webhook-unauthorized",
                "the callback could not be verified",
            ),
            Self::TooMany { .. } => (
                StatusCode::TOO_MANY_REQUESTS,
                "webhook-too-many",
                "too many callbacks from this address could not be verified",
            ),
            Self::TooFast { .. } => (
                StatusCode::TOO_MANY_REQUESTS,
                "webhook-too-fast",
                "more callbacks than this partner may send; send it again later",
            ),
            Self::NotJson => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "webhook-not-json",
                "callbacks are JSON",
            ),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "webhook-method-not-allowed",
                "callbacks are sent with POST",
            ),
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "webhook-too-large",
                "a callback has at most 262144 bytes",
            ),
            Self::TooSlow => (
                StatusCode::REQUEST_TIMEOUT,
                "webhook-too-slow",
                "the body did not arrive in time",
            ),
            Self::Incomplete => (
                StatusCode::BAD_REQUEST,
                "webhook-incomplete",
                "the body did not arrive whole",
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "webhook-unavailable",
                "the callback could not be stored; send it again later",
            ),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, name, title) = self.parts();
        let body = json!({"type": format!("{PROBLEMS}{name}"), "title": title, "status": status.as_u16()}).to_string();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self {
            Self::MethodNotAllowed => headers.insert(header::ALLOW, HeaderValue::from_static("POST")),
            Self::TooMany { after } | Self::TooFast { after } => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(after))
            }
            Self::Unavailable => headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5")),
            // What is left of the body on this connection is not worth reading.
            Self::TooLarge | Self::TooSlow | Self::Incomplete => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"))
            }
            Self::Unauthorized | Self::NotJson => None,
        };
        response
    }
}
