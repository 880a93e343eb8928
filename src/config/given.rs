//! What was set, and where: environment first, then `.env`; a secret possibly through a file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::Serialize;

use super::error::{SettingsError, quote, shape};
use super::names::{self, Setting};
use super::{dotenv, names::SETTINGS};

/// A key, a URL, a PEM block: nothing secret is larger.
const MAX_SECRET: u64 = 64 * 1024;

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// It was not set.
    Default,
    /// The environment.
    Environment,
    /// A file: `.env`, or the one named by `<name>_FILE`.
    File,
}

/// A value as it was set.
#[derive(Clone)]
pub(super) struct Given {
    pub(super) text: String,
    pub(super) source: Source,
    /// The name in messages; it says where to look.
    pub(super) label: String,
    secret: bool,
}

impl Given {
    /// The value as far as it may be told.
    pub(super) fn shape(&self) -> String {
        if self.secret {
            shape(&self.text)
        } else {
            quote(&self.text)
        }
    }
}

/// A variable of ours, before the file that it may name is read.
struct Variable {
    name: String,
    setting: &'static Setting,
    from_file: bool,
    value: String,
}

/// Collects what was set, by the setting's name.
pub(super) fn gather(
    folder: &Path,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<BTreeMap<&'static str, Given>, SettingsError> {
    let environment = recognise(environment)?;
    let dotenv = recognise(dotenv::read(folder)?.into_iter())?;
    let mut given = BTreeMap::new();
    for setting in &SETTINGS {
        let found = choose(&environment, setting)?.map(|variable| (variable, ""));
        let found = match found {
            Some(found) => Some(found),
            None => choose(&dotenv, setting)?.map(|variable| (variable, " (in .env)")),
        };
        if let Some((variable, place)) = found {
            given.insert(setting.name, take(folder, variable, place)?);
        }
    }
    Ok(given)
}

fn recognise(variables: impl Iterator<Item = (String, String)>) -> Result<Vec<Variable>, SettingsError> {
    let mut ours: Vec<_> = variables.filter(|(name, _)| names::is_ours(name)).collect();
    ours.sort();
    ours.into_iter()
        .map(|(name, value)| match names::find(&name) {
            Some((setting, from_file)) => Ok(Variable {
                name,
                setting,
                from_file,
                value,
            }),
            None => Err(SettingsError::Unknown {
                near: names::find_near(&name),
                name,
            }),
        })
        .collect()
}

/// The one variable that sets it.
fn choose<'a>(variables: &'a [Variable], setting: &Setting) -> Result<Option<&'a Variable>, SettingsError> {
    let mut setting_it = variables
        .iter()
        .filter(|variable| variable.setting.name == setting.name);
    match (setting_it.next(), setting_it.next()) {
        (_, Some(_)) => {
            let both = format!("both {0} and {0}_FILE", setting.name);
            Err(SettingsError::wrong(setting.name, both, "one of them"))
        }
        (variable, None) => Ok(variable),
    }
}

fn take(folder: &Path, variable: &Variable, place: &str) -> Result<Given, SettingsError> {
    let Variable {
        name,
        setting,
        from_file,
        value,
    } = variable;
    let label = format!("{name}{place}");
    let source = if *from_file || !place.is_empty() {
        Source::File
    } else {
        Source::Environment
    };
    let text = if *from_file {
        let unreadable = |found: String| SettingsError::wrong(&*label, found, "a file that holds the value");
        read_secret(&folder.join(value)).map_err(|error| unreadable(format!("{} ({error})", quote(value))))?
    } else {
        value.clone()
    };
    Ok(Given {
        text,
        source,
        label,
        secret: setting.secret,
    })
}

/// Reads a secret. The line end that an editor leaves behind is no part of it.
pub(super) fn read_secret(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_SECRET + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_SECRET {
        return Err(io::Error::other("larger than 64 KiB"));
    }
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}
