//! Settings: read once at start, checked whole, and the only place that looks at the environment.
//!
//! A service that started has valid settings. What is wrong stops the start with one line that names the setting, the
//! shape of what was given (never a secret) and what was expected.

mod appconfig;
mod broker;
mod data_key;
mod database;
mod development;
mod dotenv;
mod error;
mod given;
mod handover;
mod http;
mod log;
mod names;
mod partners;
mod queues;
mod reader;
mod results;
mod role;
mod subscribers;
mod tokens;
mod yaml;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use chrono::TimeDelta;

pub use appconfig::{AppConfigUrl, Environment};
pub use broker::Broker;
pub use data_key::DataKeys;
pub use database::{Database, ReadDatabase};
pub use error::SettingsError;
pub use given::Source;
pub use http::Http;
pub use log::{Log, LogFormat};
pub use partners::{Partners, PartnersFile, Receiving, read_keys};
pub use queues::{Destination, Queues};
pub use reader::Described;
pub use results::ResultBackend;
pub use role::Role;
pub use subscribers::Subscribers;
pub use tokens::{TokenKey, Tokens};

pub(crate) use yaml::read as read_yaml;

use reader::Reader;

/// How long the customer's link answers: until the automatic confirmation, and thirty days for a late "no".
pub const CONFIRMATION_VALIDITY: TimeDelta = TimeDelta::days(14 + 30);

/// Everything a process is told from outside.
#[derive(Debug)]
pub struct Settings {
    /// Where orders live.
    pub database: Database,
    /// A replica that queries may go to.
    pub read_database: Option<ReadDatabase>,
    /// What carries tasks and events.
    pub broker: Broker,
    /// Where we listen, and under which name others reach us.
    pub http: Http,
    /// A template file with the graphs, instead of the one compiled in.
    pub graph: Option<PathBuf>,
    /// An AppConfig agent that serves graph versions and routing, if one is asked.
    pub appconfig: Option<AppConfigUrl>,
    /// Who delivers. `None` for roles that call nobody and are called by nobody.
    pub partners: Option<Partners>,
    /// Our queue, and the tasks of others that we call.
    pub queues: Queues,
    /// Where results of tasks are kept; where none is set, they go only where `reply_to` asks.
    pub results: Option<ResultBackend>,
    /// Whether customers get a code that they say to the courier.
    pub handover_codes: bool,
    /// How subscribers of outgoing webhooks are reached.
    pub subscribers: Subscribers,
    /// How API tokens are checked. `None` for roles that check none.
    pub tokens: Option<Tokens>,
    /// What encrypts addresses, phone and e-mail. `None` for roles that read none.
    pub data_keys: Option<DataKeys>,
    /// What is logged, and how.
    pub log: Log,
    /// Key files that this start has made, for a message to the operator.
    pub made: Vec<PathBuf>,
    described: Vec<Described>,
}

/// Whether the environment has a variable, whatever its value: for what is no setting of ours.
pub fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some()
}

/// Where a test wants this process to end, as the start found it.
#[cfg(debug_assertions)]
pub(crate) fn crash_point() -> Option<&'static str> {
    static POINT: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    POINT
        .get_or_init(|| std::env::var("WAYBILL_TEST_CRASH").ok())
        .as_deref()
}

impl Settings {
    /// Reads the settings of this process: its environment, and `.env` in the working folder.
    pub fn from_environment(role: Role) -> Result<Self, SettingsError> {
        Self::load(environment(std::env::vars_os()), role)
    }

    /// Reads settings from `environment`, and from `.env` in the working folder for what it does not say.
    pub fn load(environment: impl Iterator<Item = (String, String)>, role: Role) -> Result<Self, SettingsError> {
        Self::load_in(Path::new(""), environment, role)
    }

    /// The same with another working folder: `.env` and relative paths are looked up there.
    pub fn load_in(
        folder: &Path,
        environment: impl Iterator<Item = (String, String)>,
        role: Role,
    ) -> Result<Self, SettingsError> {
        let mut reader = Reader::new(folder, given::gather(folder, environment)?);
        let (database, read_database) = database::read(&mut reader)?;
        let broker = broker::read(&mut reader, role)?;
        let embedded = matches!((&database, &broker), (Database::Sqlite(_), Broker::Local));
        let http = http::read(&mut reader)?;
        let graph = read_graph(&mut reader)?;
        let appconfig = reader.read("WAYBILL_APPCONFIG_URL")?;
        let partners = partners::read(&mut reader, role, embedded)?;
        let queues = queues::read(&mut reader)?;
        let results = reader.read("WAYBILL_RESULT_BACKEND")?;
        let handover_codes = handover::read(&mut reader)?;
        let subscribers = subscribers::read(&mut reader)?;
        let tokens = tokens::read(&mut reader, role, &database, &broker)?;
        let data_keys = data_key::read(&mut reader, role, &database)?;
        let log = log::read(&mut reader)?;
        let (made, described) = reader.finish();
        Ok(Self {
            database,
            read_database,
            broker,
            http,
            graph,
            appconfig,
            partners,
            queues,
            results,
            handover_codes,
            subscribers,
            tokens,
            data_keys,
            log,
            made,
            described,
        })
    }

    /// Every setting with its value, secrets hidden, and where it comes from.
    pub fn describe(&self) -> &[Described] {
        &self.described
    }
}

/// Environment variables as text. What is not UTF-8 is kept as far as it can be read: a setting's check then names it.
fn environment(variables: impl Iterator<Item = (OsString, OsString)>) -> impl Iterator<Item = (String, String)> {
    variables.map(|(name, value)| {
        (
            name.to_string_lossy().into_owned(),
            value.to_string_lossy().into_owned(),
        )
    })
}

fn read_graph(reader: &mut Reader) -> Result<Option<PathBuf>, SettingsError> {
    let name = "WAYBILL_GRAPH";
    let path = reader.read_path(name, "compiled in")?;
    match path {
        Some(path) if !path.is_file() => Err(reader.wrong(name, "a template file that can be read")),
        path => Ok(path),
    }
}

#[cfg(test)]
mod tests;
