//! `WAYBILL_RESULT_BACKEND`.

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::database::mask;
use super::reader::Value;

/// Where results of tasks are kept for Celery's clients.
#[derive(Debug, Clone)]
pub enum ResultBackend {
    /// `rpc://`: only as messages to whom asks by `reply_to`.
    Rpc,
    /// `db+postgresql://…`: a table, as Celery's database backend keeps it. The URL is without `db+`.
    Database(SecretString),
    /// `redis://…` or `rediss://…`.
    Redis(SecretString),
}

impl Value for ResultBackend {
    const EXPECTED: &'static str =
        "rpc://, db+postgresql://USER:PASSWORD@HOST/DATABASE or redis://HOST/0 or rediss://…";

    fn parse(text: &str) -> Option<Self> {
        if text == "rpc://" {
            return Some(Self::Rpc);
        }
        let url = text.strip_prefix("db+").unwrap_or(text);
        let parsed = Url::parse(url)
            .ok()
            .filter(|url| url.host_str().is_some_and(|host| !host.is_empty()))?;
        match (text.starts_with("db+"), parsed.scheme()) {
            (true, "postgresql" | "postgres") => Some(Self::Database(url.into())),
            (false, "redis" | "rediss") => Some(Self::Redis(url.into())),
            _ => None,
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Rpc => "rpc://".to_owned(),
            Self::Database(url) => format!("db+{}", mask(url.expose_secret())),
            Self::Redis(url) => mask(url.expose_secret()),
        }
    }
}
