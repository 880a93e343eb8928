//! Kombu's typed values: JSON objects with exactly the keys `__type__` and `__value__`, read when somebody asks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime};
use serde_json::{Value, json};
use uuid::Uuid;

/// A value that JSON has no type for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed {
    /// A `datetime` with a zone.
    DateTime(DateTime<FixedOffset>),
    /// A `datetime` without one.
    NaiveDateTime(NaiveDateTime),
    /// A `date`.
    Date(NaiveDate),
    /// A `time`.
    Time(NaiveTime),
    /// A `Decimal`, in its digits.
    Decimal(String),
    /// A `UUID`.
    Uuid(Uuid),
    /// `bytes`.
    Bytes(Vec<u8>),
}

/// The value has a type that is not known, or not the value of its type. Python says `ValueError("Unsupported type")`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a typed value of kombu's that cannot be read")]
pub struct Unsupported;

impl Typed {
    /// Reads a value; `None` if it is not a typed one.
    pub fn read(value: &Value) -> Result<Option<Self>, Unsupported> {
        match parts(value) {
            Some((kind, value)) => Self::of(kind, value).map(Some).ok_or(Unsupported),
            None => Ok(None),
        }
    }

    fn of(kind: &str, value: &Value) -> Option<Self> {
        if kind == "uuid" {
            return Some(Self::Uuid(value.get("hex")?.as_str()?.parse().ok()?));
        }
        let text = value.as_str()?;
        match kind {
            "datetime" => Self::instant(text),
            "date" => Some(Self::Date(text.get(..10)?.parse().ok()?)),
            "time" => Some(Self::Time(text.parse().ok()?)),
            "decimal" => Some(Self::Decimal(text.to_owned())),
            "bytes" => Some(Self::Bytes(text.as_bytes().to_vec())),
            "base64" => Some(Self::Bytes(STANDARD.decode(text).ok()?)),
            _ => None,
        }
    }

    fn instant(text: &str) -> Option<Self> {
        if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
            return Some(Self::DateTime(instant));
        }
        let naive = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f");
        naive.ok().map(Self::NaiveDateTime)
    }

    /// As kombu writes it.
    pub fn to_json(&self) -> Value {
        let (kind, value) = match self {
            Self::DateTime(instant) => ("datetime", json!(instant.to_rfc3339())),
            Self::NaiveDateTime(naive) => ("datetime", json!(naive.format("%Y-%m-%dT%H:%M:%S%.f").to_string())),
            Self::Date(date) => ("date", json!(date.to_string())),
            Self::Time(time) => ("time", json!(time.format("%H:%M:%S%.f").to_string())),
            Self::Decimal(digits) => ("decimal", json!(digits)),
            Self::Uuid(uuid) => ("uuid", json!({"hex": uuid.simple().to_string()})),
            Self::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => ("bytes", json!(text)),
                Err(_) => ("base64", json!(STANDARD.encode(bytes))),
            },
        };
        json!({"__type__": kind, "__value__": value})
    }
}

fn parts(value: &Value) -> Option<(&str, &Value)> {
    let object = value.as_object().filter(|object| object.len() == 2)?;
    Some((object.get("__type__")?.as_str()?, object.get("__value__")?))
}

/// Puts the plain text of typed values in their place, at any depth: what serde reads dates, decimals and uuids from. Values of
/// unknown types stay as they are.
pub fn plain(value: &mut Value) {
    if let Some((kind, inner)) = parts(value) {
        let text = match Typed::of(kind, inner) {
            Some(Typed::Uuid(uuid)) => Some(json!(uuid.to_string())),
            Some(_) => Some(inner.clone()),
            None => None,
        };
        if let Some(text) = text {
            *value = text;
        }
        return;
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(plain),
        Value::Object(entries) => entries.values_mut().for_each(plain),
        _ => (),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(kind: &str, value: Value) -> Value {
        json!({"__type__": kind, "__value__": value})
    }

    #[test]
    fn every_type_of_kombus_is_read_and_written_back() {
        for (kind, value) in [
            ("datetime", json!("2026-11-20T11:37:08.284473+00:00")),
            ("datetime", json!("2026-11-20T11:37:08")),
            ("date", json!("2026-11-20")),
            ("time", json!("11:37:08.250")),
            ("decimal", json!("3.140")),
            ("uuid", json!({"hex": "9e107d9d372b4b6c8a2f0f5c1d3e4a5b"})),
            ("bytes", json!("text")),
            ("base64", json!("/w==")),
        ] {
            let value = typed(kind, value);

            let read = Typed::read(&value).unwrap().unwrap();

            assert_eq!(read.to_json(), value);
        }
        assert_eq!(Typed::read(&json!({"__type__": "date"})), Ok(None));
        assert_eq!(
            Typed::read(&json!({"__type__": "date", "__value__": "2026-11-20", "x": 1})),
            Ok(None)
        );
    }

    #[test]
    fn what_is_not_of_its_type_is_refused_and_left_alone() {
        for (kind, value) in [
            ("complex", json!("1j")),
            ("uuid", json!("text")),
            ("date", json!(5)),
            ("date", json!("soon")),
            ("base64", json!("?")),
        ] {
            let mut value = typed(kind, value);
            assert_eq!(Typed::read(&value), Err(Unsupported));

            let before = value.clone();
            plain(&mut value);
            assert_eq!(value, before);
        }
    }

    #[test]
    fn plain_values_are_what_serde_reads() {
        let mut value = json!({"due": [typed("datetime", json!("2026-11-20T11:37:08+00:00"))],
            "id": typed("uuid", json!({"hex": "9e107d9d372b4b6c8a2f0f5c1d3e4a5b"}))});

        plain(&mut value);

        assert_eq!(
            value,
            json!({"due": ["2026-11-20T11:37:08+00:00"], "id": "9e107d9d-372b-4b6c-8a2f-0f5c1d3e4a5b"})
        );
    }
}
