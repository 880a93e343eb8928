//! One line of the doctor.

use serde::Serialize;

/// What was found of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    pub(super) name: String,
    pub(super) verdict: Verdict,
    /// What was found, and where it is bad the way out.
    pub(super) detail: String,
}

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// As it must be.
    Ok,
    /// It works, and somebody should look at it.
    Warn,
    /// It does not work.
    Fail,
    /// It does not answer.
    Unreachable,
}

impl Check {
    pub(super) fn ok(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(name, Verdict::Ok, detail)
    }

    pub(super) fn warn(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(name, Verdict::Warn, detail)
    }

    pub(super) fn fail(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(name, Verdict::Fail, detail)
    }

    pub(super) fn unreachable(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(name, Verdict::Unreachable, detail)
    }

    fn new(name: impl Into<String>, verdict: Verdict, detail: impl Into<String>) -> Self {
        let detail: String = detail.into();
        let detail = detail.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        Self {
            name: name.into(),
            verdict,
            detail,
        }
    }

    /// `ok    database: …`.
    pub(super) fn line(&self, colours: bool) -> String {
        let (word, colour) = match self.verdict {
            Verdict::Ok => ("ok", 32),
            Verdict::Warn => ("warn", 33),
            Verdict::Fail | Verdict::Unreachable => ("fail", 31),
        };
        let word = if colours {
            format!("\x1b[{colour}m{word:<4}\x1b[0m")
        } else {
            format!("{word:<4}")
        };
        format!("{word}  {:<22} {}", self.name, self.detail)
    }
}
