//! Keys that are made beside the database file, so that one machine needs no settings at all.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rand::RngExt;

use super::SettingsError;
use super::given::read_secret;
use super::reader::Reader;

/// `waybill.db` -> `waybill.db.data-key`.
pub(super) fn beside(database: &Path, name: &str) -> PathBuf {
    let mut path = OsString::from(database);
    path.push(".");
    path.push(name);
    path.into()
}

/// The key in that file; made, from 32 random bytes, if there is none.
pub(super) fn make_or_read(
    reader: &mut Reader,
    name: &str,
    file: &Path,
    encode: fn([u8; 32]) -> String,
) -> Result<String, SettingsError> {
    let failed = |error: io::Error| {
        SettingsError::wrong(
            name,
            "nothing",
            format!("a key, or a folder to make {} in ({error})", file.display()),
        )
    };
    match read_secret(file) {
        Ok(text) => return Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (),
        Err(error) => return Err(failed(error)),
    }
    let mut bytes = [0; 32];
    rand::rng().fill(&mut bytes);
    if publish(file, &encode(bytes)).map_err(failed)? {
        reader.remember_made(file.to_owned());
    }
    // Another process may have been first: its key is the one.
    read_secret(file).map_err(failed)
}

/// Writes a file that is there whole or not at all, readable by its owner only. `false` if one is there already.
fn publish(file: &Path, text: &str) -> io::Result<bool> {
    // A name of its own: process ids repeat, in containers all the time.
    let draft = beside(file, &format!("{:016x}.draft", rand::rng().random::<u64>()));
    let written = write_private(&draft, text).and_then(|()| match fs::hard_link(&draft, file) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    });
    let removed = fs::remove_file(&draft);
    let made = written?;
    removed?;
    // A key that a crash takes back would leave what it encrypted unreadable.
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::File::open(folder)?.sync_all()?;
    Ok(made)
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}
