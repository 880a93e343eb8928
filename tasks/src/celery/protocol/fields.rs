//! The header fields of a task, each read strictly; `null` and absent are the same everywhere.

use std::fmt;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::Value;

use super::TimeLimit;
use super::malformed::Malformed;
use crate::celery::message::{HeaderValue, Headers};

/// Where a field is. It is written out only when something is wrong with it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    Header(&'static str),
    Body(&'static str),
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(formatter, "headers.{name}"),
            Self::Body(name) => write!(formatter, "body.{name}"),
        }
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        place.to_string()
    }
}

/// A field's value with its place, whether it came in a header or in a protocol 1 body.
pub(super) struct Field {
    place: Place,
    value: HeaderValue,
}

impl Field {
    /// The header of that name.
    pub(super) fn of(headers: &Headers, name: &'static str) -> Self {
        Self {
            place: Place::Header(name),
            value: headers.get(name).cloned().unwrap_or(HeaderValue::Null),
        }
    }

    /// A value out of a body. Objects have no meaning in any field and stay wrong.
    pub(super) fn from_json(name: &'static str, value: Option<Value>) -> Self {
        Self {
            place: Place::Body(name),
            value: header_of(value.unwrap_or(Value::Null)),
        }
    }

    /// This one, or the other if this one is null.
    pub(super) fn or(self, other: impl FnOnce() -> Self) -> Self {
        if self.value == HeaderValue::Null { other() } else { self }
    }

    /// Text that is not empty.
    pub(super) fn text(self, reason: &'static str) -> Result<Option<String>, Malformed> {
        match self.value {
            HeaderValue::Null => Ok(None),
            HeaderValue::Text(text) => Ok(Some(text)),
            other => Err(Malformed::wrong(reason, self.place, "text", kind(&other))),
        }
    }

    /// An instant in ISO 8601; without a zone it is UTC, as Celery takes it.
    pub(super) fn instant(self, reason: &'static str) -> Result<Option<DateTime<Utc>>, Malformed> {
        let text = match self.value {
            HeaderValue::Null => return Ok(None),
            HeaderValue::Text(text) => text,
            other => {
                return Err(Malformed::wrong(
                    reason,
                    self.place,
                    "an ISO 8601 instant",
                    kind(&other),
                ));
            }
        };
        if let Ok(instant) = DateTime::parse_from_rfc3339(&text) {
            return Ok(Some(instant.to_utc()));
        }
        ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"]
            .iter()
            .find_map(|format| NaiveDateTime::parse_from_str(&text, format).ok())
            .map(|naive| Some(naive.and_utc()))
            .ok_or_else(|| Malformed::wrong(reason, self.place, "an ISO 8601 instant", "other text"))
    }

    /// A count from 0.
    pub(super) fn count(self, reason: &'static str) -> Result<u32, Malformed> {
        match self.value {
            HeaderValue::Null => Ok(0),
            HeaderValue::Int(count) => u32::try_from(count)
                .map_err(|_| Malformed::wrong(reason, self.place, "a count from 0", "an integer out of range")),
            other => Err(Malformed::wrong(reason, self.place, "a count", kind(&other))),
        }
    }

    /// An integer or null.
    pub(super) fn integer(self, reason: &'static str) -> Result<Option<i64>, Malformed> {
        match self.value {
            HeaderValue::Null => Ok(None),
            HeaderValue::Int(integer) => Ok(Some(integer)),
            other => Err(Malformed::wrong(reason, self.place, "an integer or null", kind(&other))),
        }
    }

    /// A list of texts; null is none.
    pub(super) fn texts(self, reason: &'static str) -> Result<Vec<String>, Malformed> {
        let items = match self.value {
            HeaderValue::Null => Vec::new(),
            HeaderValue::List(items) => items,
            other => return Err(Malformed::wrong(reason, self.place, "a list of texts", kind(&other))),
        };
        let text = |item: HeaderValue| match item {
            HeaderValue::Text(text) => Ok(text),
            other => Err(Malformed::wrong(reason, self.place, "a list of texts", kind(&other))),
        };
        items.into_iter().map(text).collect()
    }

    /// A table; null is an empty one.
    pub(super) fn table(self, reason: &'static str) -> Result<Headers, Malformed> {
        match self.value {
            HeaderValue::Null => Ok(Headers::new()),
            HeaderValue::Table(table) => Ok(table),
            other => Err(Malformed::wrong(reason, self.place, "a table", kind(&other))),
        }
    }

    /// Text for people: what is none does no harm.
    pub(super) fn shown(self) -> Option<String> {
        match self.value {
            HeaderValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// True, false or null.
    pub(super) fn flag(self, reason: &'static str) -> Result<Option<bool>, Malformed> {
        match self.value {
            HeaderValue::Null => Ok(None),
            HeaderValue::Bool(flag) => Ok(Some(flag)),
            other => Err(Malformed::wrong(
                reason,
                self.place,
                "true, false or null",
                kind(&other),
            )),
        }
    }

    /// `[hard, soft]`, each seconds or null.
    pub(super) fn timelimit(self) -> Result<TimeLimit, Malformed> {
        match self.value {
            HeaderValue::Null => Ok(TimeLimit::default()),
            HeaderValue::List(limits) if limits.len() == 2 => Ok(TimeLimit {
                hard: seconds(&limits[0], self.place, 0)?,
                soft: seconds(&limits[1], self.place, 1)?,
            }),
            HeaderValue::List(limits) => {
                let found = format!("{} elements", limits.len());
                Err(Malformed::wrong("bad-timelimit", self.place, "[hard, soft]", &found))
            }
            other => Err(Malformed::wrong(
                "bad-timelimit",
                self.place,
                "[hard, soft]",
                kind(&other),
            )),
        }
    }
}

fn seconds(value: &HeaderValue, place: Place, index: usize) -> Result<Option<f64>, Malformed> {
    let seconds = match value {
        HeaderValue::Null => return Ok(None),
        HeaderValue::Int(seconds) => *seconds as f64,
        HeaderValue::Float(seconds) => *seconds,
        other => {
            return Err(Malformed::wrong(
                "bad-timelimit",
                format!("{place}[{index}]"),
                "seconds or null",
                kind(other),
            ));
        }
    };
    if seconds.is_finite() && seconds >= 0.0 {
        return Ok(Some(seconds));
    }
    Err(Malformed::wrong(
        "bad-timelimit",
        format!("{place}[{index}]"),
        "seconds from 0",
        "a number out of range",
    ))
}

/// What a value is, for people; never what it holds.
pub(super) fn kind(value: &HeaderValue) -> &'static str {
    match value {
        HeaderValue::Null => "null",
        HeaderValue::Bool(_) => "true or false",
        HeaderValue::Int(_) => "an integer",
        HeaderValue::Float(_) => "a float",
        HeaderValue::Text(_) => "text",
        HeaderValue::Bytes(_) => "bytes that are not UTF-8",
        HeaderValue::Timestamp(_) => "a timestamp",
        HeaderValue::Decimal(..) => "a decimal",
        HeaderValue::List(_) => "a list",
        HeaderValue::Table(_) => "a table",
    }
}

/// The same for JSON.
pub(super) fn json_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn header_of(value: Value) -> HeaderValue {
    match value {
        Value::Null => HeaderValue::Null,
        Value::Bool(flag) => HeaderValue::Bool(flag),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => HeaderValue::Int(integer),
            (None, Some(float)) => HeaderValue::Float(float),
            (None, None) => HeaderValue::Null,
        },
        Value::String(text) => HeaderValue::Text(text),
        Value::Array(items) => HeaderValue::List(items.into_iter().map(header_of).collect()),
        Value::Object(_) => HeaderValue::Table(Headers::new()),
    }
}
