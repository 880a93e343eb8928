//! `WAYBILL_DATA_KEY`: what encrypts addresses, phone and e-mail.

use std::collections::HashSet;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use secrecy::SecretBox;
use sha2::{Digest, Sha256};

use super::reader::{Reader, Value};
use super::{Database, Role, SettingsError, development};
use crate::store::DataKey;

const NAME: &str = "WAYBILL_DATA_KEY";

/// The first encrypts, all of them decrypt: a new key is put before the old one, which stays until nothing needs it.
#[derive(Debug)]
pub struct DataKeys(pub Vec<DataKey>);

pub(super) fn read(reader: &mut Reader, role: Role, database: &Database) -> Result<Option<DataKeys>, SettingsError> {
    let keys = reader.read(NAME)?;
    match database {
        _ if keys.is_some() => Ok(keys),
        Database::Postgres(_) if role.reads_data() => Err(reader.wrong(
            NAME,
            "32 random bytes in base64 or hex: with PostgreSQL no key is made by itself",
        )),
        // Migrating makes the file, and no file is made without its key.
        Database::Sqlite(path) if role.reads_data() || role == Role::Migrate => make_or_read(reader, path).map(Some),
        Database::Sqlite(path) => {
            let file = development::beside(path, "data-key");
            reader.describe_instead(NAME, format!("in {}, made at the first start", file.display()));
            Ok(None)
        }
        Database::Postgres(_) => Ok(None),
    }
}

/// The key beside the database file. A file that was written with a key which is not there now would be read by nobody.
fn make_or_read(reader: &mut Reader, database: &Path) -> Result<DataKeys, SettingsError> {
    let file = development::beside(database, "data-key");
    let has_content = |path: &Path| std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > 0);
    let written = has_content(database) || has_content(Path::new(&format!("{}-wal", database.display())));
    if written && !file.exists() {
        let expected = format!(
            "the key that {} was written with, as {} is missing",
            database.display(),
            file.display()
        );
        return Err(reader.wrong(NAME, expected));
    }
    let text = development::make_or_read(reader, NAME, &file, hex::encode)?;
    DataKeys::parse(&text).ok_or_else(|| {
        SettingsError::wrong(
            format!("{NAME} ({})", file.display()),
            super::error::shape(&text),
            DataKeys::EXPECTED,
        )
    })
}

impl Value for DataKeys {
    const EXPECTED: &'static str = "32 random bytes in base64 or hex, with an id before (k1:…) if wanted; several with \
                                    commas between, the first encrypts";

    fn parse(text: &str) -> Option<Self> {
        let keys: Vec<DataKey> = text
            .split(',')
            .map(|key| parse_key(key.trim()))
            .collect::<Option<_>>()?;
        let ids: HashSet<&str> = keys.iter().map(|key| &*key.id).collect();
        (ids.len() == keys.len() && keys.len() <= 8).then_some(Self(keys))
    }

    fn show(&self) -> String {
        let ids: Vec<&str> = self.0.iter().map(|key| &*key.id).collect();
        format!("*** ({})", ids.join(", "))
    }
}

fn parse_key(text: &str) -> Option<DataKey> {
    let (id, encoded) = match text.split_once(':') {
        Some((id, encoded)) => (Some(id).filter(|id| is_id(id)).map(Some)?, encoded),
        None => (None, text),
    };
    let bytes: Vec<u8> = if encoded.len() == 64 {
        hex::decode(encoded).ok()?
    } else {
        decode_base64(encoded)?
    };
    let bytes: [u8; 32] = bytes.try_into().ok()?;
    Some(DataKey {
        id: id.map_or_else(|| derive_id(&bytes), str::to_owned),
        key: SecretBox::new(Box::new(bytes)),
    })
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.strip_suffix('=').unwrap_or(text);
    STANDARD_NO_PAD
        .decode(text)
        .or_else(|_| URL_SAFE_NO_PAD.decode(text))
        .ok()
}

fn is_id(text: &str) -> bool {
    (1..=16).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// An id that stays with the key wherever it stands in the list, and tells nothing of it.
fn derive_id(key: &[u8; 32]) -> String {
    let digest = Sha256::new()
        .chain_update(b"waybill data key id")
        .chain_update(key)
        .finalize();
    format!("k-{}", hex::encode(&digest[..4]))
}
