//! Why a command could not be carried out: one line for the operator, and an exit code.

use std::error::Error;
use std::io;

use crate::app::OpenError;
use crate::config::SettingsError;
use crate::engine::{EngineError, GraphError};
use crate::graph_commands::GraphCommandError;
use crate::store::{DbError, MigrateError};
use crate::template::TemplateError;

/// Done, or the verdict is good.
pub const DONE: u8 = 0;
/// The verdict is bad.
pub const BAD: u8 = 1;
/// Usage or settings.
pub const USAGE: u8 = 2;
/// A service is not reachable.
pub const UNREACHABLE: u8 = 69;
/// Ended by force, or by a fault of its own.
pub const FORCED: u8 = 70;

/// A command that could not be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line}")]
pub struct Failure {
    /// What the operator reads: thing, place and way out.
    pub line: String,
    /// What the caller's script reads.
    pub code: u8,
    /// Who read the output has gone: there is nobody to tell.
    pub silent: bool,
}

impl Failure {
    fn new(code: u8, line: impl Into<String>) -> Self {
        let line: String = line.into();
        Self {
            line: line.lines().map(str::trim).collect::<Vec<_>>().join(" "),
            code,
            silent: false,
        }
    }

    /// What was asked is bad: exit code 1.
    pub fn bad(line: impl Into<String>) -> Self {
        Self::new(BAD, line)
    }

    /// Something was asked or set that cannot be: exit code 2.
    pub fn usage(line: impl Into<String>) -> Self {
        Self::new(USAGE, line)
    }

    /// A service is not reachable: exit code 69.
    pub fn unreachable(line: impl Into<String>) -> Self {
        Self::new(UNREACHABLE, line)
    }
}

/// An error with its causes, each said once.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    line
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            unreachable if unreachable.is_unreachable() => Self::unreachable(chain(&unreachable)),
            OpenError::Template(error) => error.into(),
            OpenError::Graph(error) => error.into(),
            OpenError::Migrations(error) => error.into(),
            other => Self::usage(chain(&other)),
        }
    }
}

impl From<MigrateError> for Failure {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Unavailable(_) => Self::unreachable(chain(&error)),
            other => Self::usage(chain(&other)),
        }
    }
}

impl From<TemplateError> for Failure {
    fn from(error: TemplateError) -> Self {
        match &error {
            TemplateError::Unreadable { .. } => Self::usage(chain(&error)),
            TemplateError::Faulty { name, faults } => {
                let first = faults.first().map_or_else(String::new, ToString::to_string);
                let more = match faults.len() {
                    0 | 1 => String::new(),
                    count => format!(" (and {} more: `waybill graph check {name}` lists all)", count - 1),
                };
                Self::usage(format!("{name}:{first}{more}"))
            }
        }
    }
}

impl From<GraphError> for Failure {
    fn from(error: GraphError) -> Self {
        match error {
            GraphError::Unavailable(error) => error.into(),
            other => Self::usage(chain(&other)),
        }
    }
}

impl From<GraphCommandError> for Failure {
    fn from(error: GraphCommandError) -> Self {
        match error {
            GraphCommandError::Output(error) => error.into(),
            GraphCommandError::Template(error) => error.into(),
            GraphCommandError::Store(error) => error.into(),
            GraphCommandError::Engine(error) => error.into(),
            other => Self::usage(chain(&other)),
        }
    }
}

impl From<DbError> for Failure {
    fn from(error: DbError) -> Self {
        Self::unreachable(format!("{} (`waybill doctor` looks closer)", chain(&error)))
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self::unreachable(format!("{} (`waybill doctor` looks closer)", chain(&error)))
    }
}

/// The output is closed, or the disk behind it is full.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let silent = error.kind() == io::ErrorKind::BrokenPipe;
        let code = if silent { DONE } else { USAGE };
        Self {
            silent,
            ..Self::new(code, format!("cannot write the output: {error}"))
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        io::Error::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);

    #[test]
    fn causes_are_told_once() {
        assert_eq!(chain(&Outer(io::Error::other("the cause"))), "outer: the cause");
        assert_eq!(chain(&Outer(io::Error::other("outer"))), "outer");
    }

    #[test]
    fn a_failure_is_one_line() {
        assert_eq!(Failure::bad("first\n  second\n").line, "first second");
    }
}
