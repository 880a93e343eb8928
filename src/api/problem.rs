//! What a caller is told when a request is not answered with success: `application/problem+json` (RFC 9457).
//!
//! Each code is a heading in docs/problems.md. A 5xx body tells nothing but the id under which the log tells everything.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value as Json, json};
use tracing::error;
use uuid::Uuid;
use waybill_webhooks::PROBLEMS;

use crate::engine::EngineError;
use crate::store::DbError;

/// The media type of all of them.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// How long somebody waits who is told to come again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");

macro_rules! codes {
    ($($variant:ident = $status:ident $name:literal $title:literal;)+) => {
        /// The kind of a problem: what a program tells apart.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each code is described in docs/problems.md")]
        pub enum Code {
            $($variant,)+
        }

        impl Code {
            /// All codes.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            fn parts(self) -> (StatusCode, &'static str, &'static str) {
                match self {
                    $(Self::$variant => (StatusCode::$status, $name, $title),)+
                }
            }
        }
    };
}

codes! {
    BadRequest = BAD_REQUEST "bad-request" "The request is malformed";
    BadParameter = BAD_REQUEST "bad-parameter" "A query parameter is wrong";
    IdempotencyKeyRequired = BAD_REQUEST "idempotency-key-required" "An Idempotency-Key is required";
    BadIfMatch = BAD_REQUEST "bad-if-match" "If-Match is malformed";
    MalformedBody = BAD_REQUEST "malformed-body" "The body cannot be read";
    Unauthorized = UNAUTHORIZED "unauthorized" "A valid token is required";
    Forbidden = FORBIDDEN "forbidden" "The token's roles do not allow this";
    WrongActor = FORBIDDEN "wrong-actor" "The graph does not let this role report the event";
    NotFound = NOT_FOUND "not-found" "There is nothing here";
    MethodNotAllowed = METHOD_NOT_ALLOWED "method-not-allowed" "The method is not allowed here";
    NotAcceptable = NOT_ACCEPTABLE "not-acceptable" "No such representation";
    BodyTooSlow = REQUEST_TIMEOUT "body-too-slow" "The body did not arrive in time";
    DuplicateEvent = CONFLICT "duplicate-event" "The order is where this event leads to";
    StaleEvent = CONFLICT "stale-event" "The order has been where this event leads to";
    EarlyEvent = CONFLICT "early-event" "Something before this event is missing";
    ContradictingEvent = CONFLICT "contradicting-event" "The event contradicts what is known";
    GuardNotMet = CONFLICT "guard-not-met" "What the event asks of the order does not hold";
    ForOperator = CONFLICT "for-operator" "An operator decides what this event means here";
    CallbackWaits = CONFLICT "callback-waits" "The callback is under way";
    CallbacksChanged = CONFLICT "callbacks-changed" "Other callbacks fit than were counted";
    EndpointDisabled = CONFLICT "endpoint-disabled" "The endpoint is disabled";
    CaseTaken = CONFLICT "case-taken" "Somebody else has this case";
    BookingNotLost = CONFLICT "booking-not-lost" "No booking of this case is lost";
    BookingTaken = CONFLICT "booking-taken" "The partner's delivery is that of another order";
    RevisionMismatch = PRECONDITION_FAILED "revision-mismatch" "The order is at another revision";
    BodyTooLarge = PAYLOAD_TOO_LARGE "body-too-large" "The body is too large";
    UriTooLong = URI_TOO_LONG "uri-too-long" "The address is too long";
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE "unsupported-media-type" "The body's type is not supported";
    BadBody = UNPROCESSABLE_ENTITY "bad-body" "The body has another shape than expected";
    UnknownEvent = UNPROCESSABLE_ENTITY "unknown-event" "No event of this graph has that name";
    MissingField = UNPROCESSABLE_ENTITY "missing-field" "The event requires a field";
    UnknownField = UNPROCESSABLE_ENTITY "unknown-field" "No field has that name";
    BadField = UNPROCESSABLE_ENTITY "bad-field" "A field has a wrong value";
    IdempotencyKeyReuse = UNPROCESSABLE_ENTITY "idempotency-key-reuse" "The Idempotency-Key was used for something else";
    Internal = INTERNAL_SERVER_ERROR "internal" "Something went wrong on our side";
    Unavailable = SERVICE_UNAVAILABLE "unavailable" "The service cannot answer now";
    Overloaded = SERVICE_UNAVAILABLE "overloaded" "Too many requests are under way";
    TookTooLong = SERVICE_UNAVAILABLE "took-too-long" "The answer was not ready in time";
}

impl Code {
    /// Its name, as `code` and at the end of `type`.
    pub fn as_str(self) -> &'static str {
        self.parts().1
    }

    /// The status that it is answered with.
    pub fn status(self) -> StatusCode {
        self.parts().0
    }

    /// What an answer that says nothing but its status means.
    fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::Unauthorized,
            StatusCode::FORBIDDEN => Self::Forbidden,
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::REQUEST_TIMEOUT => Self::BodyTooSlow,
            StatusCode::PAYLOAD_TOO_LARGE => Self::BodyTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            StatusCode::SERVICE_UNAVAILABLE => Self::TookTooLong,
            status if status.is_client_error() => Self::BadRequest,
            _ => Self::Internal,
        }
    }
}

/// A problem, ready to be answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    code: Code,
    detail: String,
    instance: Option<String>,
    extra: Map<String, Json>,
}

impl Problem {
    /// A problem of that kind; `detail` tells the caller what to do about it, and is left out where it is empty.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            instance: None,
            extra: Map::new(),
        }
    }

    /// What is not there, or is not yours: nobody can tell which.
    pub fn not_found() -> Self {
        Self::new(Code::NotFound, "")
    }

    /// A fault of ours: the caller gets an id, the log gets the cause.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        Self::ours(Code::Internal, cause)
    }

    /// We cannot answer now: the caller gets an id, the log gets the cause.
    pub fn unavailable(cause: &dyn std::fmt::Display) -> Self {
        Self::ours(Code::Unavailable, cause)
    }

    fn ours(code: Code, cause: &dyn std::fmt::Display) -> Self {
        let instance = format!("urn:uuid:{}", Uuid::now_v7());
        error!(instance, "a request ended as {}: {cause}", code.as_str());
        Self {
            instance: Some(instance),
            ..Self::new(code, "")
        }
    }

    /// The same with one more member.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Json>) -> Self {
        self.extra.insert(name.to_owned(), value.into());
        self
    }

    /// Its kind.
    pub fn code(&self) -> Code {
        self.code
    }

    fn body(self) -> Json {
        let (status, name, title) = self.code.parts();
        let mut body = json!({
            "type": format!("{PROBLEMS}{name}"),
            "title": title,
            "status": status.as_u16(),
            "code": name,
        });
        if !self.detail.is_empty() {
            body["detail"] = self.detail.into();
        }
        if let Some(instance) = self.instance {
            body["instance"] = instance.into();
        }
        for (name, value) in self.extra {
            body[name] = value;
        }
        body
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let code = self.code;
        let mut response = (code.status(), self.body().to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        match code {
            Code::Unauthorized => headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            Code::Unavailable | Code::Overloaded | Code::TookTooLong => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER)
            }
            // What is left of the body on this connection is not worth reading.
            Code::BodyTooLarge | Code::BodyTooSlow => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"))
            }
            _ => None,
        };
        response
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Unavailable(_) => Self::unavailable(&chain(&error)),
            EngineError::Refused(_) => Self::internal(&chain(&error)),
        }
    }
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Unavailable(_) | DbError::Serialization(_) | DbError::Unreadable(_) => {
                Self::unavailable(&chain(&error))
            }
            DbError::Constraint { .. } | DbError::Failed(_) => Self::internal(&chain(&error)),
        }
    }
}

/// An error with all that is behind it, for the log.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// Gives an answer that says nothing but its status the form of all others.
pub async fn dress(response: Response) -> Response {
    let status = response.status();
    let bare = status.is_client_error() || status.is_server_error();
    let told = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.as_bytes();
        kind.starts_with(MEDIA_TYPE.as_bytes())
            || kind.starts_with(b"text/html")
            || kind.starts_with(b"application/json")
    });
    if !bare || told {
        return response;
    }
    let mut dressed = Problem::new(Code::of_status(status), "").into_response();
    *dressed.status_mut() = status;
    if let Some(allow) = response.headers().get(header::ALLOW) {
        dressed.headers_mut().insert(header::ALLOW, allow.clone());
    }
    dressed
}
