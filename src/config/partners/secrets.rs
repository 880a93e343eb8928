//! The secrets by which a partner's callbacks are believed: `[{id, value}]`, or `[{id, file}]`.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;
use waybill_webhooks::{Adapter, Key};

use super::fault::{self, Fault};
use crate::config::error::quote;
use crate::config::given::read_secret;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    value: Option<SecretString>,
    file: Option<PathBuf>,
}

/// Reads the keys of one partner. A relative file is looked up beside the partners file.
pub(super) fn read(
    given: Option<&Value>,
    adapter: Adapter,
    place: &str,
    partners_file: &Path,
) -> Result<Vec<Key>, Fault> {
    let Some(given) = given else {
        return Err(Fault::new(
            place,
            "nothing",
            "the webhook secrets: [{id, value}] or [{id, file}]",
        ));
    };
    let entries: Vec<Entry> = fault::deserialize(given.clone(), place)?;
    let folder = partners_file.parent().unwrap_or(Path::new(""));
    let keys = entries.into_iter().enumerate();
    keys.map(|(index, entry)| read_key(entry, adapter, &format!("{place}[{index}]"), folder))
        .collect()
}

fn read_key(entry: Entry, adapter: Adapter, place: &str, folder: &Path) -> Result<Key, Fault> {
    if !is_id(&entry.id) {
        let expected = "1 to 64 letters, digits, dots, - and _";
        return Err(Fault::new(format!("{place}.id"), quote(&entry.id), expected));
    }
    let text = match (entry.value, entry.file) {
        (Some(value), None) => value,
        (None, Some(file)) => read_secret(&folder.join(&file))
            .map(SecretString::from)
            .map_err(|error| {
                let given = format!("{} ({error})", quote(&file.display().to_string()));
                Fault::new(format!("{place}.file"), given, "a file that holds the secret")
            })?,
        (Some(_), Some(_)) => return Err(Fault::new(place, "both value and file", "one of them")),
        (None, None) => return Err(Fault::new(place, "neither value nor file", "one of them")),
    };
    Key::read(adapter, entry.id, &text)
        .map_err(|bad| Fault::new(place, format!("a secret that {bad}"), "a webhook secret"))
}

fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}
