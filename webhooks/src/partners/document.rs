//! A partner's JSON, asked by path: what is there must be what it should be, and what is wrong has a place.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::json;
use super::report::Unmapped;

/// A number or an id is not longer.
const MAX_TEXT: usize = 255;

/// The body of a callback.
pub(super) struct Document(Value);

impl Document {
    pub(super) fn read(body: &[u8]) -> Result<Self, Unmapped> {
        match json::read(body)? {
            object @ Value::Object(_) => Ok(Self(object)),
            _ => Err(wrong("body", "the body is not an object")),
        }
    }

    fn find(&self, path: &str) -> Option<&Value> {
        path.split('.').try_fold(&self.0, |value, key| value.get(key))
    }

    /// A text that is there and not empty. Control characters have no place in a number or a reference.
    pub(super) fn text(&self, path: &str) -> Result<Option<&str>, Unmapped> {
        match self.find(path) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.chars().any(char::is_control) => {
                Err(wrong(path, "has control characters"))
            }
            Some(Value::String(text)) if text.len() > MAX_TEXT => Err(wrong(path, "longer than 255 bytes")),
            Some(Value::String(text)) => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
            Some(_) => Err(wrong(path, "not a text")),
        }
    }

    /// A text without which the callback says nothing.
    pub(super) fn word(&self, path: &str) -> Result<&str, Unmapped> {
        self.text(path)?.ok_or_else(|| Unmapped {
            code: "missing-field",
            place: path.to_owned(),
            detail: "nothing is there".to_owned(),
        })
    }

    /// An id, which may be a text or a whole number.
    pub(super) fn id(&self, path: &str) -> Result<Option<String>, Unmapped> {
        match self.find(path) {
            Some(Value::Number(number)) if number.is_u64() => Ok(Some(number.to_string())),
            Some(Value::Number(_)) => Err(wrong(path, "not a whole number")),
            _ => Ok(self.text(path)?.map(str::to_owned)),
        }
    }

    /// A whole number.
    pub(super) fn number(&self, path: &str) -> Option<u64> {
        self.find(path).and_then(Value::as_u64)
    }

    /// Whether something is said to be true or false.
    pub(super) fn flag(&self, path: &str) -> Option<bool> {
        self.find(path).and_then(Value::as_bool)
    }

    /// The partner's time, if it is one with a zone. It is told, never relied on, so a wrong one loses nothing.
    pub(super) fn instant(&self, path: &str) -> Option<DateTime<Utc>> {
        let text = self.find(path)?.as_str()?;
        let instant = DateTime::parse_from_rfc3339(text).ok()?;
        Some(instant.with_timezone(&Utc))
    }

    /// The partner's time in seconds or milliseconds since 1970: what would be beyond the year 5000 is milliseconds.
    pub(super) fn unix(&self, path: &str) -> Option<DateTime<Utc>> {
        let number = self.find(path).and_then(Value::as_i64)?;
        read_unix(number)
    }
}

/// Seconds or milliseconds since 1970.
pub(super) fn read_unix(number: i64) -> Option<DateTime<Utc>> {
    if number > 100_000_000_000 {
        DateTime::from_timestamp_millis(number)
    } else {
        DateTime::from_timestamp(number, 0)
    }
}

fn wrong(place: &str, detail: &str) -> Unmapped {
    Unmapped {
        code: "wrong-type",
        place: place.to_owned(),
        detail: detail.to_owned(),
    }
}
