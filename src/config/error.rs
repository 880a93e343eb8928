//! The one line that stops a start.

use std::fmt;

/// A setting that cannot be used. Displays as one line, without any secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// No setting has this name.
    #[error("{}: unknown setting, {}", Name(name), suggest(*near))]
    Unknown {
        /// What was set.
        name: String,
        /// The setting that was probably meant.
        near: Option<&'static str>,
    },
    /// The value is not what the setting takes, is missing, or contradicts another one.
    #[error("{}: {given} given, expected {expected}", Name(name))]
    Wrong {
        /// Which setting, and where it was set if not in the environment.
        name: String,
        /// The shape of what was given.
        given: String,
        /// What would have been right.
        expected: String,
    },
    /// The `.env` file cannot be read.
    #[error(".env{}: {found}, expected lines of NAME=VALUE", line.map(|line| format!(" line {line}")).unwrap_or_default())]
    DotEnv {
        /// Which line, counted from 1.
        line: Option<usize>,
        /// What is there.
        found: String,
    },
}

impl SettingsError {
    pub(super) fn wrong(name: impl Into<String>, given: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Wrong {
            name: name.into(),
            given: given.into(),
            expected: expected.into(),
        }
    }
}

fn suggest(near: Option<&str>) -> String {
    near.map_or_else(
        || "`waybill config show` lists all".to_owned(),
        |near| format!("did you mean {near}?"),
    )
}

/// A name as somebody wrote it: whatever it is, it stays on one line.
struct Name<'a>(&'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", shorten(self.0, 100).escape_debug())
    }
}

/// A value in a message, in quotes and on one line.
pub(super) fn quote(text: &str) -> String {
    if text.is_empty() {
        "an empty value".to_owned()
    } else {
        format!("{:?}", shorten(text, 80))
    }
}

/// What a secret looks like from far away: the scheme of a URL, or how long it is.
pub(super) fn shape(text: &str) -> String {
    match text.split_once("://") {
        _ if text == "local:" => text.to_owned(),
        Some((scheme, _)) if is_scheme(scheme) => format!("{scheme}://…"),
        _ if text.is_empty() => "an empty value".to_owned(),
        _ => match text.chars().count() {
            1 => "1 character".to_owned(),
            count => format!("{count} characters"),
        },
    }
}

fn is_scheme(text: &str) -> bool {
    (1..=20).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

fn shorten(text: &str, most: usize) -> String {
    let mut characters = text.chars();
    let mut short: String = characters.by_ref().take(most).collect();
    if characters.next().is_some() {
        short.push('…');
    }
    short
}
