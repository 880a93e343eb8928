//! Encryption of what says who and where: addresses, phone, e-mail, and whole messages set aside.
//!
//! XChaCha20-Poly1305. A blob is `1 | length of key id | key id | 24-byte nonce | ciphertext and tag`, and is bound to the table,
//! column and row it was made for: moved elsewhere, it does not open.

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use rand::RngExt as _;
use secrecy::{ExposeSecret as _, SecretBox};
use sha2::Sha256;

/// The keys: the first encrypts, all of them decrypt.
pub struct Crypt {
    keys: Vec<DataKey>,
}

/// A key and the id by which blobs name it.
#[derive(Debug)]
pub struct DataKey {
    /// At most 255 bytes; kept in every blob.
    pub id: String,
    /// 32 bytes.
    pub key: SecretBox<[u8; 32]>,
}

impl DataKey {
    /// The same key again, for another holder.
    pub fn duplicate(&self) -> Self {
        Self {
            id: self.id.clone(),
            key: SecretBox::new(Box::new(*self.key.expose_secret())),
        }
    }
}

/// Where a blob belongs.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The table.
    pub table: &'a str,
    /// The column.
    pub column: &'a str,
    /// The row's key.
    pub row: &'a str,
}

/// Why a blob does not open.
#[derive(Debug, thiserror::Error)]
pub enum CryptError {
    /// It was encrypted with a key that is not configured.
    #[error("key {0:?} is not among WAYBILL_DATA_KEY")]
    UnknownKey(String),
    /// It was altered, moved from another row, or encrypted with another key of the same id.
    #[error("{0} does not open: altered, moved, or another key of the same id")]
    Unopenable(String),
}

impl Crypt {
    /// With these keys; the first encrypts.
    ///
    /// # Panics
    /// Without any key.
    pub fn new(keys: Vec<DataKey>) -> Self {
        assert!(!keys.is_empty(), "settings demand at least one data key");
        Self { keys }
    }

    /// Encrypts for one place.
    pub fn seal(&self, place: Place<'_>, plain: &[u8]) -> Vec<u8> {
        let DataKey { id, key } = &self.keys[0];
        let mut nonce = [0_u8; 24];
        rand::rng().fill(&mut nonce);
        let cipher = XChaCha20Poly1305::new(key.expose_secret().into());
        let sealed = cipher
            .encrypt(
                &XNonce::from(nonce),
                Payload {
                    msg: plain,
                    aad: aad(place, id).as_bytes(),
                },
            )
            .expect("encryption into memory does not fail below 256 GiB");
        let mut blob = vec![1, u8::try_from(id.len()).expect("settings limit key ids to 64 bytes")];
        blob.extend_from_slice(id.as_bytes());
        blob.extend_from_slice(&nonce);
        blob.extend_from_slice(&sealed);
        blob
    }

    /// Decrypts what was encrypted for this place.
    pub fn open(&self, place: Place<'_>, blob: &[u8]) -> Result<Vec<u8>, CryptError> {
        let unopenable = || CryptError::Unopenable(format!("{}.{} of {}", place.table, place.column, place.row));
        let [1, length, rest @ ..] = blob else {
            return Err(unopenable());
        };
        let (id, rest) = rest.split_at_checked(usize::from(*length)).ok_or_else(unopenable)?;
        let (nonce, sealed) = rest.split_first_chunk::<24>().ok_or_else(unopenable)?;
        let id = std::str::from_utf8(id).map_err(|_| unopenable())?;
        let Some(key) = self.keys.iter().find(|key| key.id == id) else {
            return Err(CryptError::UnknownKey(id.to_owned()));
        };
        XChaCha20Poly1305::new(key.key.expose_secret().into())
            .decrypt(
                &XNonce::from(*nonce),
                Payload {
                    msg: sealed,
                    aad: aad(place, id).as_bytes(),
                },
            )
            .map_err(|_| unopenable())
    }

    /// The code that a customer says to the courier: the same each time it is asked for.
    pub fn code(&self, order_id: &str, sequence: i64) -> HandoverDigits {
        self.keys[0].handover_digits(order_id, sequence)
    }

    /// The codes that our keys make, the newest key's first: after a rotation one of them is the one that was told.
    pub fn codes(&self, order_id: &str, sequence: i64) -> Vec<HandoverDigits> {
        let keys = self.keys.iter();
        keys.map(|key| key.handover_digits(order_id, sequence)).collect()
    }

    /// What a code that somebody entered would be kept as, under each of our keys.
    pub fn code_digests(&self, order_id: &str, code: &str) -> Vec<Vec<u8>> {
        let keys = self.keys.iter();
        keys.map(|key| key.code_digest(order_id, code).to_vec()).collect()
    }

    /// The customer's confirmation token of an order's transition: the same each time it is asked for, and not to be guessed.
    pub fn token(&self, purpose: &str, order_id: &str, sequence: i64) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.keys[0].key.expose_secret()).expect("any length is a key");
        mac.update(format!("waybill token|{purpose}|{order_id}|{sequence}").as_bytes());
        mac.finalize().into_bytes().into()
    }
}

/// Six digits, and what they are kept as.
pub struct HandoverDigits {
    /// The digits.
    pub code: String,
    /// Keyed, because six digits are found from any other hash.
    pub digest: [u8; 32],
}

impl DataKey {
    fn handover_digits(&self, order_id: &str, sequence: i64) -> HandoverDigits {
        let bytes = self.mac(&format!("waybill code|{order_id}|{sequence}"));
        let number = bytes[..8]
            .iter()
            .fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
        let code = format!("{:06}", number % 1_000_000);
        HandoverDigits {
            digest: self.code_digest(order_id, &code),
            code,
        }
    }

    fn code_digest(&self, order_id: &str, code: &str) -> [u8; 32] {
        self.mac(&format!("waybill code digest|{order_id}|{code}"))
    }

    fn mac(&self, text: &str) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.expose_secret()).expect("any length is a key");
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl std::fmt::Debug for Crypt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

fn aad(place: Place<'_>, key_id: &str) -> String {
    format!("{}|{}|{}|{key_id}", place.table, place.column, place.row)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crypt(ids: &[(&str, u8)]) -> Crypt {
        Crypt::new(
            ids.iter()
                .map(|(id, byte)| DataKey {
                    id: (*id).to_owned(),
                    key: SecretBox::new(Box::new([*byte; 32])),
                })
                .collect(),
        )
    }

    const HERE: Place<'_> = Place {
        table: "delivery_orders",
        column: "dropoff",
        row: "a",
    };

    #[test]
    fn a_blob_opens_where_it_was_made_and_nowhere_else() {
        let crypt = crypt(&[("k1", 7)]);
        let blob = crypt.seal(HERE, b"Kastanienallee 7");

        assert_eq!(crypt.open(HERE, &blob).unwrap(), b"Kastanienallee 7");
        for elsewhere in [
            Place { row: "b", ..HERE },
            Place {
                column: "pickup",
                ..HERE
            },
            Place { table: "x", ..HERE },
        ] {
            assert!(
                matches!(crypt.open(elsewhere, &blob), Err(CryptError::Unopenable(_))),
                "{elsewhere:?}"
            );
        }
    }

    #[test]
    fn an_altered_or_cut_blob_does_not_open() {
        let crypt = crypt(&[("k1", 7)]);
        let blob = crypt.seal(HERE, b"Kastanienallee 7");

        for at in 0..blob.len() {
            let mut altered = blob.clone();
            altered[at] ^= 1;
            assert!(crypt.open(HERE, &altered).is_err(), "byte {at}");
            assert!(crypt.open(HERE, &blob[..at]).is_err(), "length {at}");
        }
    }

    #[test]
    fn after_a_rotation_old_blobs_open_and_new_ones_name_the_new_key() {
        let old = crypt(&[("k1", 7)]).seal(HERE, b"x");
        let rotated = crypt(&[("k2", 8), ("k1", 7)]);

        assert_eq!(rotated.open(HERE, &old).unwrap(), b"x");
        assert_eq!(rotated.seal(HERE, b"x")[2..4], *b"k2");
        assert!(matches!(crypt(&[("k2", 8)]).open(HERE, &old), Err(CryptError::UnknownKey(id)) if id == "k1"));
    }
}
