//! The fields of an object, each read strictly; what is wrong is told with its place and shape.

use chrono::{DateTime, Datelike as _, NaiveDateTime, Utc};
use serde_json::{Map, Value as Json};

use super::Malformed;
use super::json::MAX_TEXT;

/// The longest identifier, in bytes: keys of tables are made of them.
const MAX_ID: usize = 255;

/// An object with its place.
#[derive(Debug)]
pub(super) struct Object<'a> {
    /// What stands before a field's name to make its place.
    prefix: String,
    fields: &'a Map<String, Json>,
}

/// A whole number with limits, and the word for what is none.
pub(super) struct Whole {
    pub(super) least: i64,
    pub(super) most: i64,
    pub(super) reason: &'static str,
}

impl<'a> Object<'a> {
    /// The object that stands at this place.
    pub(super) fn of(value: &'a Json, place: &str) -> Result<Self, Malformed> {
        match value {
            Json::Object(fields) => Ok(Self::new(
                fields,
                if place.is_empty() {
                    String::new()
                } else {
                    format!("{place}.")
                },
            )),
            other => {
                let place = if place.is_empty() { "body" } else { place };
                Err(Malformed::new("wrong-type", place, "an object", &shape(other)))
            }
        }
    }

    /// Fields whose places begin with this prefix.
    pub(super) fn new(fields: &'a Map<String, Json>, prefix: String) -> Self {
        Self { prefix, fields }
    }

    /// The place of a field.
    pub(super) fn place(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// A field that must be there.
    pub(super) fn value(&self, name: &str, expected: &str) -> Result<&'a Json, Malformed> {
        self.fields
            .get(name)
            .ok_or_else(|| Malformed::new("missing-field", self.place(name), expected, "nothing"))
    }

    /// A field that may be missing; null is missing too.
    pub(super) fn optional(&self, name: &str) -> Option<&'a Json> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    /// An object in a field.
    pub(super) fn object(&self, name: &str) -> Result<Self, Malformed> {
        Object::of(self.value(name, "an object")?, &self.place(name))
    }

    /// A list in a field.
    pub(super) fn list(&self, name: &str) -> Result<&'a [Json], Malformed> {
        match self.value(name, "a list")? {
            Json::Array(elements) => Ok(elements),
            other => Err(self.wrong_type(name, "a list", other)),
        }
    }

    /// Text that says something.
    pub(super) fn text(&self, name: &str) -> Result<&'a str, Malformed> {
        let text = self.text_of(name, self.value(name, "text")?)?;
        if text.trim().is_empty() {
            return Err(Malformed::new("empty-text", self.place(name), "text", "none in it"));
        }
        Ok(text)
    }

    /// Text that may be missing; empty text is missing too.
    pub(super) fn optional_text(&self, name: &str) -> Result<Option<&'a str>, Malformed> {
        let text = self.optional(name).map(|value| self.text_of(name, value)).transpose()?;
        Ok(text.filter(|text| !text.trim().is_empty()))
    }

    /// An identifier.
    pub(super) fn id(&self, name: &str) -> Result<&'a str, Malformed> {
        checked_id(self.text(name)?, MAX_ID, || self.place(name))
    }

    /// The address of whoever speaks: one word, which may be longer than an identifier.
    pub(super) fn uri(&self, name: &str) -> Result<&'a str, Malformed> {
        let text = checked_id(self.text(name)?, 4 * MAX_ID, || self.place(name))?;
        if text.contains(char::is_whitespace) {
            return Err(Malformed::new(
                "bad-text",
                self.place(name),
                "a URI reference",
                "text with spaces",
            ));
        }
        Ok(text)
    }

    /// One word of a list that others keep.
    pub(super) fn coded(&self, name: &str, code: &Code) -> Result<&'a str, Malformed> {
        let text = self.text(name)?;
        if (code.contains)(text) {
            return Ok(text);
        }
        Err(Malformed::new(
            code.reason,
            self.place(name),
            code.expected,
            &characters(text),
        ))
    }

    /// A whole number, written as one.
    pub(super) fn whole(&self, name: &str, limits: &Whole) -> Result<i64, Malformed> {
        let expected = match limits.most {
            i64::MAX => format!("a whole number from {}", limits.least),
            most => format!("a whole number from {} to {most}", limits.least),
        };
        let number = match self.value(name, &expected)? {
            Json::Number(number) => number,
            other => return Err(self.wrong_type(name, &expected, other)),
        };
        let found = match (number.as_i64(), number.as_f64().unwrap_or_default()) {
            (Some(whole), _) if whole < limits.least => "a smaller one",
            (Some(whole), _) if whole <= limits.most => return Ok(whole),
            (Some(_), _) => "a larger one",
            (None, float) if float >= 9.2e18 => "a larger one",
            (None, float) if float <= -9.2e18 => "a smaller one",
            _ => "a number with a fraction or an exponent",
        };
        Err(Malformed::new(limits.reason, self.place(name), &expected, found))
    }

    /// An instant that must be there.
    pub(super) fn instant(&self, name: &str) -> Result<DateTime<Utc>, Malformed> {
        let text = self.text_of(name, self.value(name, INSTANT)?)?;
        read_instant(text).map_err(|found| Malformed::new("bad-time", self.place(name), INSTANT, found))
    }

    fn text_of(&self, name: &str, value: &'a Json) -> Result<&'a str, Malformed> {
        match value {
            Json::String(text) if text.len() > MAX_TEXT => Err(self.too_long(name, text)),
            // PostgreSQL takes every character but this one.
            Json::String(text) if text.contains('\0') => Err(Malformed::new(
                "bad-text",
                self.place(name),
                "text",
                "text with a NUL in it",
            )),
            Json::String(text) => Ok(text),
            other => Err(self.wrong_type(name, "text", other)),
        }
    }

    fn too_long(&self, name: &str, text: &str) -> Malformed {
        Malformed::new(
            "too-long",
            self.place(name),
            "at most 4 KiB of text",
            &format!("{} bytes", text.len()),
        )
    }

    fn wrong_type(&self, name: &str, expected: &str, found: &Json) -> Malformed {
        Malformed::new("wrong-type", self.place(name), expected, &shape(found))
    }
}

/// A list of words that others keep, and the word for what is not in it.
pub(super) struct Code {
    pub(super) contains: fn(&str) -> bool,
    pub(super) reason: &'static str,
    pub(super) expected: &'static str,
}

const INSTANT: &str = "an RFC 3339 instant with a zone";

/// Checks the key of an event that did not come as a field.
pub(super) fn checked_key<'a>(key: &'a str, place: &str) -> Result<&'a str, Malformed> {
    if key.trim().is_empty() {
        return Err(Malformed::new("empty-text", place, "text", "none in it"));
    }
    checked_id(key, MAX_ID, || place.to_owned())
}

/// Identifiers go into keys of tables and into lines of the log.
fn checked_id(text: &str, most: usize, place: impl Fn() -> String) -> Result<&str, Malformed> {
    if text.len() > most {
        let (expected, found) = (format!("at most {most} bytes"), format!("{} bytes", text.len()));
        return Err(Malformed::new("too-long", place(), &expected, &found));
    }
    if text.contains(char::is_control) {
        return Err(Malformed::new(
            "bad-text",
            place(),
            "an identifier",
            "text with control characters",
        ));
    }
    Ok(text)
}

/// Reads an instant, to the microsecond; databases keep no more.
fn read_instant(text: &str) -> Result<DateTime<Utc>, &'static str> {
    let Ok(instant) = DateTime::parse_from_rfc3339(text) else {
        let zoneless = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M"]
            .iter()
            .any(|format| NaiveDateTime::parse_from_str(text, format).is_ok());
        return Err(if zoneless { "one without a zone" } else { "other text" });
    };
    DateTime::from_timestamp_micros(instant.timestamp_micros())
        .filter(|instant| (1970..=9999).contains(&instant.year()))
        .ok_or("one before 1970 or after 9999")
}

/// What a value is, without what it says.
pub(super) fn shape(value: &Json) -> String {
    match value {
        Json::Null => "null".to_owned(),
        Json::Bool(_) => "true or false".to_owned(),
        Json::Number(_) => "a number".to_owned(),
        Json::String(text) => characters(text),
        Json::Array(_) => "a list".to_owned(),
        Json::Object(_) => "an object".to_owned(),
    }
}

fn characters(text: &str) -> String {
    format!("text of {} characters", text.chars().count())
}
