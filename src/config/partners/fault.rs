//! What is wrong in the partners file, said without what is in it: values there are secrets.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::SettingsError;
use crate::config::error::quote;

/// One thing that is wrong, by its place in the file.
#[derive(Debug)]
pub(super) struct Fault {
    place: String,
    given: String,
    expected: String,
}

impl Fault {
    pub(super) fn new(place: impl Into<String>, given: impl Into<String>, expected: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            given: given.into(),
            expected: expected.into(),
        }
    }

    pub(super) fn of_file(self, name: &str, path: &Path) -> SettingsError {
        let file = quote(&path.display().to_string());
        let given = match &*self.place {
            "" => format!("{file} with {}", self.given),
            place => format!("{file} with {} at {place}", self.given),
        };
        SettingsError::wrong(name, given, self.expected)
    }
}

/// Reads a part of the file that is at `place`.
pub(super) fn deserialize<T: DeserializeOwned>(value: Value, place: &str) -> Result<T, Fault> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let inner = error.path().to_string();
        let place = match (place, &*inner) {
            ("", inner) => inner.trim_matches('.').to_owned(),
            (place, ".") => place.to_owned(),
            (place, inner) if inner.starts_with('[') => format!("{place}{inner}"),
            (place, inner) => format!("{place}.{inner}"),
        };
        explain(&error.into_inner().to_string(), place)
    })
}

/// Takes from serde's words what names fields and kinds, and leaves out what repeats values.
fn explain(message: &str, place: String) -> Fault {
    let (found, expected) = message
        .split_once(", expected ")
        .unwrap_or((message, "what the documentation says"));
    let given = match found.split_once(": ").unwrap_or((found, "")) {
        ("invalid type" | "invalid value" | "invalid length", kind) => kind.split(' ').next().unwrap_or_default(),
        (named, _) if named.starts_with("missing field") || named.starts_with("unknown field") => named,
        _ => "something else",
    };
    Fault::new(place, given.replace('`', ""), expected.replace('`', ""))
}
