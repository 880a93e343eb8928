//! `WAYBILL_BROKER_URL`.

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::database::mask;
use super::reader::{Reader, Value};
use super::{Role, SettingsError};

/// What carries tasks and events between processes.
#[derive(Debug, Clone)]
pub enum Broker {
    /// `local:`, a table of the database; only where one process does everything.
    Local,
    /// `amqp://…` or `amqps://…`: RabbitMQ.
    Amqp(SecretString),
}

pub(super) fn read(reader: &mut Reader, role: Role) -> Result<Broker, SettingsError> {
    let name = "WAYBILL_BROKER_URL";
    match reader.read_or(name, "local:")? {
        Broker::Local if !role.takes_local_broker() => Err(reader.wrong(
            name,
            "amqp://… or amqps://…: local: works only inside `waybill all` and `waybill demo`",
        )),
        broker => Ok(broker),
    }
}

impl Value for Broker {
    const EXPECTED: &'static str = "local:, amqp://USER:PASSWORD@HOST/VHOST or amqps://…";

    fn parse(text: &str) -> Option<Self> {
        if text == "local:" {
            return Some(Self::Local);
        }
        let url = Url::parse(text).ok()?;
        let vhost = url.path().strip_prefix('/').unwrap_or_default();
        let complete = matches!(url.scheme(), "amqp" | "amqps")
            && url.host_str().is_some_and(|host| !host.is_empty())
            && !vhost.contains('/');
        complete.then(|| Self::Amqp(text.into()))
    }

    fn show(&self) -> String {
        match self {
            Self::Local => "local:".to_owned(),
            Self::Amqp(url) => mask(url.expose_secret()),
        }
    }
}
