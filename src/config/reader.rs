//! Reads one setting after the other, and remembers what was found for `config show`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::error::SettingsError;
use super::given::{Given, Source};
use super::names::SETTINGS;

/// A setting as `config show` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Described {
    /// Its name.
    pub name: &'static str,
    /// Its value, secrets hidden.
    pub value: String,
    /// Where it comes from.
    pub source: Source,
}

/// A value that can be read from text and shown without its secrets.
pub(super) trait Value: Sized {
    /// What is expected, for the line that refuses something else.
    const EXPECTED: &'static str;

    /// Reads it; `None` for anything else.
    fn parse(text: &str) -> Option<Self>;

    /// How it is shown.
    fn show(&self) -> String;
}

/// The settings on their way from text to values.
pub(super) struct Reader<'a> {
    folder: &'a Path,
    given: BTreeMap<&'static str, Given>,
    described: Vec<Described>,
    made: Vec<PathBuf>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(folder: &'a Path, given: BTreeMap<&'static str, Given>) -> Self {
        Self {
            folder,
            given,
            described: Vec::new(),
            made: Vec::new(),
        }
    }

    /// The value, if it was set.
    pub(super) fn read<T: Value>(&mut self, name: &'static str) -> Result<Option<T>, SettingsError> {
        self.read_described(name, "not set")
    }

    /// The value, or the default.
    pub(super) fn read_or<T: Value>(&mut self, name: &'static str, default: &str) -> Result<T, SettingsError> {
        let default = T::parse(default).expect("a test reads every default");
        let shown = default.show();
        Ok(self.read_described(name, &shown)?.unwrap_or(default))
    }

    /// The value, if it was set; otherwise `config show` tells `otherwise`.
    pub(super) fn read_described<T: Value>(
        &mut self,
        name: &'static str,
        otherwise: &str,
    ) -> Result<Option<T>, SettingsError> {
        let Some(given) = self.given.get(name) else {
            self.describe(name, otherwise.to_owned(), Source::Default);
            return Ok(None);
        };
        let source = given.source;
        let value = T::parse(&given.text).ok_or_else(|| self.wrong(name, T::EXPECTED))?;
        self.describe(name, value.show(), source);
        Ok(Some(value))
    }

    /// The path of a file; a relative one starts at the working folder.
    pub(super) fn read_path(&mut self, name: &'static str, otherwise: &str) -> Result<Option<PathBuf>, SettingsError> {
        let path: Option<PathBuf> = self.read_described(name, otherwise)?;
        Ok(path.map(|path| self.folder.join(path)))
    }

    /// The working folder.
    pub(super) fn folder(&self) -> &Path {
        self.folder
    }

    /// Whether it was set.
    pub(super) fn has(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// The refusal of what was given (or not given) for that setting.
    pub(super) fn wrong(&self, name: &str, expected: impl Into<String>) -> SettingsError {
        match self.given.get(name) {
            Some(given) => SettingsError::wrong(&*given.label, given.shape(), expected),
            None => SettingsError::wrong(name, "nothing", expected),
        }
    }

    /// Remembers a key file that was made.
    pub(super) fn remember_made(&mut self, path: PathBuf) {
        self.made.push(path);
    }

    /// Says where a key comes from that was not set.
    pub(super) fn describe_instead(&mut self, name: &str, value: String) {
        if let Some(described) = self.described.iter_mut().find(|described| described.name == name) {
            described.value = value;
        }
    }

    fn describe(&mut self, name: &'static str, value: String, source: Source) {
        self.described.push(Described { name, value, source });
    }

    /// What was made, and what was found, in the order of the list of settings.
    pub(super) fn finish(mut self) -> (Vec<PathBuf>, Vec<Described>) {
        let place = |name| SETTINGS.iter().position(|setting| setting.name == name);
        self.described.sort_by_key(|described| place(described.name));
        (self.made, self.described)
    }
}

impl Value for PathBuf {
    const EXPECTED: &'static str = "the path of a file";

    fn parse(text: &str) -> Option<Self> {
        (!text.is_empty() && !text.contains('\0')).then(|| text.into())
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}
