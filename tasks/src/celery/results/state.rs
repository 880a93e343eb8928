//! The states of a task.

use std::fmt;

/// Where a task stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Nothing is known of it.
    Pending,
    /// A worker runs it.
    Started,
    /// It returned.
    Success,
    /// It raised.
    Failure,
    /// It raised and will be tried again.
    Retry,
    /// It was revoked, or expired.
    Revoked,
    /// A worker refused it.
    Rejected,
    /// Any other, such as `PROGRESS`.
    Custom(String),
}

impl State {
    /// Python's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Pending => "PENDING",
            Self::Started => "STARTED",
            Self::Success => "SUCCESS",
            Self::Failure => "FAILURE",
            Self::Retry => "RETRY",
            Self::Revoked => "REVOKED",
            Self::Rejected => "REJECTED",
            Self::Custom(word) => word,
        }
    }

    /// Nothing more will come.
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Success | Self::Failure | Self::Revoked)
    }

    /// Who waits for the task gets an exception.
    pub fn propagates(&self) -> bool {
        matches!(self, Self::Failure | Self::Revoked)
    }

    /// The result is an exception.
    pub fn is_exception(&self) -> bool {
        self.propagates() || *self == Self::Retry
    }
}

impl From<&str> for State {
    fn from(word: &str) -> Self {
        match word {
            "PENDING" => Self::Pending,
            "STARTED" => Self::Started,
            "SUCCESS" => Self::Success,
            "FAILURE" => Self::Failure,
            "RETRY" => Self::Retry,
            "REVOKED" => Self::Revoked,
            "REJECTED" => Self::Rejected,
            other => Self::Custom(other.to_owned()),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
