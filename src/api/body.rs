//! JSON bodies, read strictly: what is not known is refused, with its place.

use std::error::Error;
use std::fmt;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};
use tower_http::timeout::TimeoutError;

use super::problem::{Code, Problem};

/// The largest body that the API takes.
pub(super) const MAX_BODY: usize = 64 * 1024;

/// A JSON body.
#[derive(Debug)]
pub(super) struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match Json::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(rejection.into()),
        }
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        let code = match &rejection {
            JsonRejection::JsonDataError(_) => Code::BadBody,
            JsonRejection::MissingJsonContentType(_) => Code::UnsupportedMediaType,
            JsonRejection::BytesRejection(bytes) => return unread(bytes.status(), &rejection),
            _ => Code::MalformedBody,
        };
        let detail = match code {
            Code::UnsupportedMediaType => "send application/json".to_owned(),
            _ => rejection
                .source()
                .map_or_else(|| rejection.body_text(), ToString::to_string),
        };
        Self::new(code, detail)
    }
}

/// Why the bytes of a body did not arrive.
pub(super) fn unread(status: StatusCode, error: &(dyn Error + 'static)) -> Problem {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<TimeoutError>() {
            return Problem::new(Code::BodyTooSlow, "");
        }
        cause = error.source();
    }
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(Code::BodyTooLarge, format!("at most {MAX_BODY} bytes")),
        _ => Problem::new(Code::MalformedBody, "the body did not arrive whole"),
    }
}

/// An object whose names are given once each, or nothing.
pub(super) fn unique_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    struct Names;

    impl<'de> Visitor<'de> for Names {
        type Value = Value;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of fields")
        }

        fn visit_unit<E>(self) -> Result<Value, E> {
            Ok(Value::Null)
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
            let mut fields = Map::new();
            while let Some((name, value)) = access.next_entry::<String, Value>()? {
                if fields.insert(name.clone(), value).is_some() {
                    return Err(serde::de::Error::custom(format!("{name} is given twice")));
                }
            }
            Ok(Value::Object(fields))
        }
    }

    deserializer.deserialize_any(Names)
}
