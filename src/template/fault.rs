//! Faults: what is wrong with a template, and at which line and column.

use std::fmt;

/// A place in a file, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

impl Position {
    /// Where a file begins.
    pub const START: Self = Self { line: 1, column: 1 };

    /// Where a file goes on after `text`.
    pub(super) fn after(text: &str) -> Self {
        let last = text.rsplit('\n').next().unwrap_or_default();
        Self {
            line: text.matches('\n').count() + 1,
            column: last.chars().count() + 1,
        }
    }
}

impl From<saphyr_parser::Marker> for Position {
    fn from(marker: saphyr_parser::Marker) -> Self {
        Self {
            line: marker.line().max(1),
            column: marker.col() + 1,
        }
    }
}

/// One thing that is wrong, with what was found and what was expected.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Where.
    pub position: Position,
    /// What.
    pub message: String,
}

impl Fault {
    pub(super) fn new(position: Position, message: impl Into<String>) -> Self {
        Self {
            position,
            message: message.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.position.line, self.position.column, self.message)
    }
}

/// Why a template cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The file cannot be read.
    #[error("cannot read {name}")]
    Unreadable {
        /// Which file.
        name: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is no good template; one line per fault, each `file:line:column: what`.
    #[error("{}", lines(name, faults))]
    Faulty {
        /// Which file.
        name: String,
        /// Everything that is wrong with it, by position; never empty.
        faults: Vec<Fault>,
    },
}

impl TemplateError {
    pub(super) fn faulty(name: &str, mut faults: Vec<Fault>) -> Self {
        faults.sort();
        faults.dedup();
        Self::Faulty {
            name: name.to_owned(),
            faults,
        }
    }
}

fn lines(name: &str, faults: &[Fault]) -> String {
    let lines: Vec<String> = faults.iter().map(|fault| format!("{name}:{fault}")).collect();
    lines.join("\n")
}
