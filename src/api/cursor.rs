//! Where a page of a list ended, as an opaque word that fits into a query.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// The last row of a page, by the instant that orders the list and its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The instant.
    pub at: DateTime<Utc>,
    /// The id, where several share it.
    pub id: Uuid,
}

impl Cursor {
    /// As the caller gets it.
    pub(super) fn encode(self) -> String {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.at.timestamp_micros().to_be_bytes());
        bytes[8..].copy_from_slice(self.id.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// As the caller gave it back; nothing where it is not one of ours.
    pub(super) fn decode(text: &str) -> Option<Self> {
        let bytes: [u8; 24] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let (micros, id) = bytes.split_at(8);
        let at = DateTime::from_timestamp_micros(i64::from_be_bytes(micros.try_into().ok()?))?;
        // Years that no database keeps would be a fault of the store, and are a fault of the caller.
        let year = chrono::Datelike::year(&at);
        (1970..=9999).contains(&year).then_some(Self {
            at,
            id: Uuid::from_slice(id).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_comes_back_as_it_was(micros in 0_i64..253_402_300_799_000_000, id: u128) {
            let cursor = Cursor { at: DateTime::from_timestamp_micros(micros).unwrap(), id: Uuid::from_u128(id) };

            prop_assert_eq!(Cursor::decode(&cursor.encode()), Some(cursor));
        }

        #[test]
        fn no_text_makes_the_decoder_fail(text in ".{0,64}") {
            let read = Cursor::decode(&text);

            prop_assert!(read.is_none_or(|cursor| cursor.encode() == text));
        }
    }

    #[test]
    fn what_is_not_a_cursor_is_none() {
        let far = URL_SAFE_NO_PAD.encode([0x7f; 24]);
        for text in ["", "x", "AAAA", "====", far.as_str(), &"A".repeat(33), &"A".repeat(31)] {
            assert_eq!(Cursor::decode(text), None, "{text}");
        }
    }
}
