//! The signals by which Python ends a task's process; here they are names for ending a task.

use std::fmt;

/// A signal by its number, as Linux counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal(u8);

const NAMES: [(&str, u8); 14] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("ALRM", 14),
    ("TERM", 15),
];

/// A name that is no signal's; the message is Python's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownSignal {
    /// Python takes upper case only.
    #[error("TypeError('signal name must be uppercase string.')")]
    NotUpperCase,
    /// There is none of that name.
    #[error("AttributeError(\"module 'signal' has no attribute '{0}'\")")]
    Unknown(String),
}

impl Signal {
    /// What tasks are ended by if nobody says otherwise.
    pub const TERM: Self = Self(15);

    /// By its name: `TERM` or `SIGTERM`.
    pub fn named(name: &str) -> Result<Self, UnknownSignal> {
        if name.is_empty() || name.to_uppercase() != name {
            return Err(UnknownSignal::NotUpperCase);
        }
        let short = name.strip_prefix("SIG").unwrap_or(name);
        let found = NAMES.iter().find(|(known, _)| *known == short);
        found
            .map(|(_, number)| Self(*number))
            .ok_or_else(|| UnknownSignal::Unknown(format!("SIG{short}")))
    }

    /// By its number.
    pub fn numbered(number: u8) -> Self {
        Self(number)
    }

    /// Its number.
    pub fn number(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => write!(formatter, "SIG{name}"),
            None => write!(formatter, "signal {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_the_names_and_refusals_of_python() {
        assert_eq!(Signal::named("KILL").map(Signal::number), Ok(9));
        assert_eq!(Signal::named("SIGTERM"), Ok(Signal::TERM));
        assert_eq!(Signal::numbered(10).to_string(), "SIGUSR1");
        assert_eq!(
            Signal::named("term").unwrap_err().to_string(),
            "TypeError('signal name must be uppercase string.')"
        );
        assert_eq!(
            Signal::named("NO").unwrap_err().to_string(),
            "AttributeError(\"module 'signal' has no attribute 'SIGNO'\")"
        );
    }
}
