//! What a worker is, as far as it does not change while it runs.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};

use crate::celery::amqp::NotAnAmqpUrl;
use crate::celery::events::Software;
use crate::celery::registry::TaskOptions;
use crate::celery::state::TaskLimits;

/// What a worker is.
#[derive(Debug, Clone)]
pub struct Facts {
    /// What it calls itself.
    pub software: Software,
    /// Which tasks it runs.
    pub tasks: Vec<TaskFacts>,
    /// What it is connected to.
    pub broker: BrokerFacts,
    /// Its settings by Celery's names; values under a name that sounds like a secret are never shown.
    pub settings: Map<String, Value>,
}

/// A task that a worker runs.
#[derive(Debug, Clone, Default)]
pub struct TaskFacts {
    /// Its name.
    pub name: String,
    /// Its own limits.
    pub limits: TaskLimits,
    /// What else `inspect registered` can be asked for, by Celery's names and in Python's words.
    pub attributes: BTreeMap<&'static str, String>,
}

/// The tasks that every Celery worker has.
const BUILTINS: [&str; 9] = [
    "celery.accumulate",
    "celery.backend_cleanup",
    "celery.chain",
    "celery.chord",
    "celery.chord_unlock",
    "celery.chunks",
    "celery.group",
    "celery.map",
    "celery.starmap",
];

impl Facts {
    /// The builtin tasks beside those that were told.
    pub(super) fn with_builtins(mut self) -> Self {
        let missing = BUILTINS
            .into_iter()
            .filter(|name| self.tasks.iter().all(|task| task.name != *name));
        let missing: Vec<_> = missing.map(TaskFacts::named).collect();
        self.tasks.extend(missing);
        self
    }
}

impl TaskFacts {
    /// A task without limits.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// A task of a registry.
    pub fn of(name: &str, options: &TaskOptions) -> Self {
        let python = |flag: bool| if flag { "True" } else { "False" }.to_owned();
        let mut attributes = BTreeMap::from([
            ("acks_late", python(options.acks_late)),
            ("acks_on_failure", python(options.acks_on_failure)),
            ("acks_on_timeout", python(options.acks_on_timeout)),
            ("ignore_result", python(options.ignore_result)),
            ("track_started", python(options.track_started)),
        ]);
        attributes.extend(options.max_retries.map(|retries| ("max_retries", retries.to_string())));
        attributes.extend(options.priority.map(|priority| ("priority", priority.to_string())));
        Self {
            name: name.to_owned(),
            limits: TaskLimits {
                rate: options.rate_limit,
                soft: options.soft_time_limit,
                hard: options.time_limit,
            },
            attributes,
        }
    }

    /// An attribute of it now, in Python's words; `None` where Python has none.
    pub(super) fn attribute(&self, name: &str, now: TaskLimits) -> Option<String> {
        let seconds = |limit: Option<std::time::Duration>| Some(limit?.as_secs_f64().to_string());
        match name {
            "name" => Some(self.name.clone()),
            "rate_limit" => Some(now.rate?.to_string()),
            "time_limit" => seconds(now.hard),
            "soft_time_limit" => seconds(now.soft),
            other => self.attributes.get(other).cloned(),
        }
    }
}

/// The broker, without the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerFacts {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// As whom.
    pub user: String,
    /// Where in it.
    pub virtual_host: String,
    /// Over TLS.
    pub tls: bool,
    /// Seconds between heartbeats.
    pub heartbeat: u64,
}

impl BrokerFacts {
    /// Reads them from the URL.
    pub fn of(url: &SecretString, heartbeat: u64) -> Result<Self, NotAnAmqpUrl> {
        let uri: lapin::uri::AMQPUri = url.expose_secret().parse().map_err(|_| NotAnAmqpUrl)?;
        Ok(Self {
            host: uri.authority.host,
            port: uri.authority.port,
            user: uri.authority.userinfo.username,
            virtual_host: uri.vhost,
            tls: uri.scheme == lapin::uri::AMQPScheme::AMQPS,
            heartbeat,
        })
    }

    /// As `inspect stats` shows it: the parameters of kombu's connection.
    pub(super) fn shown(&self) -> Value {
        json!({
            "hostname": self.host,
            "userid": self.user,
            "virtual_host": self.virtual_host,
            "port": self.port,
            "insist": false,
            "ssl": self.tls,
            "transport": "amqp",
            "connect_timeout": 4,
            "transport_options": {},
            "login_method": "PLAIN",
            "uri_prefix": null,
            "heartbeat": self.heartbeat as f64,
            "failover_strategy": "round-robin",
            "alternates": [],
            "credential_provider": null,
        })
    }
}
