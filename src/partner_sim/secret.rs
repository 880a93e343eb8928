//! What callbacks are signed with. Its form is the simulated partner's.

use std::fmt;
use std::str::FromStr;

/// A shorter one is none.
const SHORTEST: usize = 16;

/// A secret, never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct CallbackSecret(Vec<u8>);

impl CallbackSecret {
    pub(super) fn of_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// As it was given.
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for CallbackSecret {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() < SHORTEST {
            return Err(format!("expected {SHORTEST} bytes at least"));
        }
        Ok(Self(text.as_bytes().to_vec()))
    }
}

impl fmt::Debug for CallbackSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallbackSecret(hidden)")
    }
}
