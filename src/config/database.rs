//! `WAYBILL_DATABASE_URL`, `WAYBILL_READ_DATABASE_URL`.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::SettingsError;
use super::reader::{Reader, Value};

/// Where orders live.
#[derive(Debug, Clone)]
pub enum Database {
    /// `sqlite://PATH`: one file, which one process owns and which migrates itself.
    Sqlite(PathBuf),
    /// `postgres://USER:PASSWORD@HOST/DATABASE`.
    Postgres(SecretString),
}

/// A replica of the PostgreSQL database, for queries.
#[derive(Debug, Clone)]
pub struct ReadDatabase(pub SecretString);

pub(super) fn read(reader: &mut Reader) -> Result<(Database, Option<ReadDatabase>), SettingsError> {
    let mut database: Database = reader.read_or("WAYBILL_DATABASE_URL", "sqlite://waybill.db")?;
    if let Database::Sqlite(path) = &mut database {
        *path = reader.folder().join(&path);
    }
    let replica: Option<ReadDatabase> = reader.read("WAYBILL_READ_DATABASE_URL")?;
    match (&database, &replica) {
        (Database::Sqlite(_), Some(_)) => Err(reader.wrong(
            "WAYBILL_READ_DATABASE_URL",
            "none: a SQLite file (WAYBILL_DATABASE_URL) has no replica",
        )),
        _ => Ok((database, replica)),
    }
}

impl Value for Database {
    const EXPECTED: &'static str = "sqlite://PATH or postgres://USER:PASSWORD@HOST/DATABASE";

    fn parse(text: &str) -> Option<Self> {
        let file = text.strip_prefix("sqlite://").or_else(|| text.strip_prefix("sqlite:"));
        match file {
            Some(path) => is_file_path(path).then(|| Self::Sqlite(path.into())),
            None => is_postgres(text).then(|| Self::Postgres(text.into())),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite://{}", path.display()),
            Self::Postgres(url) => mask(url.expose_secret()),
        }
    }
}

impl Value for ReadDatabase {
    const EXPECTED: &'static str = "postgres://USER:PASSWORD@HOST/DATABASE";

    fn parse(text: &str) -> Option<Self> {
        is_postgres(text).then(|| Self(text.into()))
    }

    fn show(&self) -> String {
        mask(self.0.expose_secret())
    }
}

/// A path, not `:memory:` and no options: what is kept must survive, and how it is opened is not for others to say.
fn is_file_path(path: &str) -> bool {
    !path.is_empty() && !path.ends_with('/') && !path.contains([':', '?', '\0'])
}

fn is_postgres(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        let host = url.host_str().is_some_and(|host| !host.is_empty())
            || url.query_pairs().any(|(key, value)| key == "host" && !value.is_empty());
        matches!(url.scheme(), "postgres" | "postgresql") && host
    })
}

/// A URL that may be shown: without password, and without the value of any option that could be one.
pub(super) fn mask(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else {
        return super::error::shape(url);
    };
    if url.password().is_some() && url.set_password(Some("***")).is_err() {
        return super::error::shape(url.as_str());
    }
    let options: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    if !options.is_empty() {
        let shown = |(key, value): (String, String)| (is_open_option(&key).then_some(value), key);
        let options = options
            .into_iter()
            .map(shown)
            .map(|(value, key)| (key, value.unwrap_or_else(|| "***".to_owned())));
        url.query_pairs_mut().clear().extend_pairs(options);
    }
    url.set_fragment(None);
    url.into()
}

fn is_open_option(key: &str) -> bool {
    const OPEN: [&str; 8] = [
        "sslmode",
        "host",
        "port",
        "dbname",
        "application_name",
        "heartbeat",
        "connection_timeout",
        "channel_max",
    ];
    OPEN.contains(&key)
}
