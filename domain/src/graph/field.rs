//! Fields: what events may bring, and which values are good.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::duration;
use crate::{FieldName, FieldValue, Timestamp};

/// Who fills a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldSource {
    /// Whoever reports the event.
    Event,
    /// The engine; never asked of a caller.
    Engine,
}

/// What a field may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldType {
    /// Text of at most so many characters.
    Text {
        /// How many.
        max_length: usize,
    },
    /// A UUID.
    Uuid,
    /// One of these words.
    Words(Vec<String>),
    /// A whole number between these, both included.
    Integer {
        /// The smallest.
        minimum: i64,
        /// The largest.
        maximum: i64,
    },
    /// `true` or `false`.
    Flag,
    /// An instant, RFC 3339 with a zone.
    Instant,
    /// An ISO 8601 duration of fixed length.
    Duration,
}

/// A field of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: FieldName,
    /// What it may hold.
    pub kind: FieldType,
    /// Who fills it.
    pub source: FieldSource,
}

impl Field {
    /// Whether the field may hold `value`.
    pub fn accepts(&self, value: &FieldValue) -> bool {
        match (&self.kind, value) {
            // PostgreSQL keeps no NUL in text.
            (FieldType::Text { max_length }, FieldValue::Text(text)) => {
                text.chars().count() <= *max_length && !text.contains('\0')
            }
            (FieldType::Uuid, FieldValue::Text(text)) => Uuid::try_parse(text).is_ok(),
            (FieldType::Words(words), FieldValue::Text(text)) => words.contains(text),
            (FieldType::Integer { minimum, maximum }, FieldValue::Integer(number)) => {
                (minimum..=maximum).contains(&number)
            }
            (FieldType::Flag, FieldValue::Flag(_)) => true,
            (FieldType::Instant, value) => instant(value).is_some(),
            (FieldType::Duration, value) => span(value).is_some(),
            _ => false,
        }
    }

    /// What the field may hold, in words that follow "must be".
    pub fn expected(&self) -> String {
        match &self.kind {
            FieldType::Text { max_length } => format!("text of at most {max_length} characters without NUL"),
            FieldType::Uuid => "a UUID".to_owned(),
            FieldType::Words(words) => format!("one of {}", words.join(", ")),
            FieldType::Integer { minimum, maximum } => format!("a whole number from {minimum} to {maximum}"),
            FieldType::Flag => "true or false".to_owned(),
            FieldType::Instant => "an instant such as 2026-11-20T12:00:00Z".to_owned(),
            FieldType::Duration => "a duration such as PT48H".to_owned(),
        }
    }

    /// Whether every value that this field may hold is good for the other one.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (FieldType::Text { max_length: own }, FieldType::Text { max_length: others }) => own <= others,
            (FieldType::Words(own), FieldType::Words(others)) => own.iter().all(|word| others.contains(word)),
            (
                FieldType::Integer { minimum, maximum },
                FieldType::Integer {
                    minimum: lowest,
                    maximum: highest,
                },
            ) => lowest <= minimum && maximum <= highest,
            (own, others) => own == others,
        }
    }

    /// When something is due that counts from this field, known to hold `value` at `now`.
    pub(crate) fn due(&self, value: &FieldValue, now: Timestamp) -> Option<Timestamp> {
        match self.kind {
            FieldType::Instant => instant(value).map(|instant| instant.max(now)),
            FieldType::Duration => now.checked_add_signed(span(value)?),
            _ => None,
        }
    }
}

fn instant(value: &FieldValue) -> Option<Timestamp> {
    let parsed = DateTime::parse_from_rfc3339(value.as_text()?).ok()?;
    Some(parsed.with_timezone(&Utc))
}

fn span(value: &FieldValue) -> Option<TimeDelta> {
    duration::parse(value.as_text()?)
}
