//! Fields: what events may bring, and which values are good.

use uuid::Uuid;

use crate::{FieldName, FieldValue};

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
        let Some(text) = value.as_text() else { return false };
        match &self.kind {
            // PostgreSQL keeps no NUL in text.
            FieldType::Text { max_length } => text.chars().count() <= *max_length && !text.contains('\0'),
            FieldType::Uuid => Uuid::try_parse(text).is_ok(),
            FieldType::Words(words) => words.iter().any(|word| word == text),
        }
    }

    /// What the field may hold, in words that follow "must be".
    pub fn expected(&self) -> String {
        match &self.kind {
            FieldType::Text { max_length } => format!("text of at most {max_length} characters without NUL"),
            FieldType::Uuid => "a UUID".to_owned(),
            FieldType::Words(words) => format!("one of {}", words.join(", ")),
        }
    }
}
