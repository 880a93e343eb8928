//! Opening what a process needs, with errors that name the thing and the way out.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use chrono::TimeDelta;
use waybill_tasks::celery::amqp::AmqpUrlError;

use crate::api::server::ListenError;
use crate::config::{Database, Settings};
use crate::engine::GraphError;
use crate::store::{Crypt, DataKey, Db, DbError, MigrateError, Store};
use crate::template::{Template, TemplateError};

/// Why a process cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A setting that the role needs is missing; the settings' own check should have said so.
    #[error("{0} is not set")]
    Missing(&'static str),
    /// The database does not answer.
    #[error("the database (WAYBILL_DATABASE_URL) is not reachable: {0}")]
    Database(String),
    /// The database does not fit this binary.
    #[error("{0}")]
    Migrations(#[from] MigrateError),
    /// Another process has the SQLite file.
    #[error("{0} belongs to another waybill process: stop that one, or set WAYBILL_DATABASE_URL to another file")]
    Owned(PathBuf),
    /// The graph cannot be read.
    #[error("{0}")]
    Template(#[from] TemplateError),
    /// The graph does not fit the database.
    #[error("{0}")]
    Graph(#[from] GraphError),
    /// The address is taken or not ours.
    #[error("{0}")]
    Listen(#[from] ListenError),
    /// Nothing can be measured; a fault of ours.
    #[error("the metrics cannot be set up: {0}")]
    Metrics(String),
    /// The broker's URL is none, or names files that cannot be used.
    #[error("WAYBILL_BROKER_URL: {0}")]
    Broker(#[from] AmqpUrlError),
    /// A partner cannot be called as configured.
    #[error("WAYBILL_PARTNERS: {0}")]
    Partners(String),
    /// Subscribers cannot be told: no HTTP client.
    #[error("the client for subscribers cannot be set up: {0}")]
    Client(String),
    /// AppConfig's agent cannot be asked: no HTTP client.
    #[error("WAYBILL_APPCONFIG_URL: {0}")]
    AppConfig(String),
    /// A schedule cannot be sent as it is written.
    #[error("the schedule {0}")]
    Schedule(String),
    /// Results cannot be kept as configured.
    #[error("WAYBILL_RESULT_BACKEND: {0}")]
    Results(String),
    /// API tokens cannot be checked as configured.
    #[error("{0}")]
    Tokens(String),
}

impl From<DbError> for OpenError {
    fn from(error: DbError) -> Self {
        let source = std::error::Error::source(&error).map_or_else(String::new, |source| format!(": {source}"));
        Self::Database(format!("{error}{source}"))
    }
}

impl OpenError {
    /// Whether a service did not answer, as opposed to a setting that is wrong.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Database(_) | Self::Migrations(MigrateError::Unavailable(_)))
    }
}

/// Opens the database. `own` takes a SQLite file for this process alone; commands that only look do not.
pub async fn open_store(settings: &Settings, own: bool) -> Result<Store, OpenError> {
    let db = open_database(settings, own).await?;
    db.check_migrations().await?;
    let keys = settings
        .data_keys
        .as_ref()
        .ok_or(OpenError::Missing("WAYBILL_DATA_KEY"))?;
    let keys = keys.0.iter().map(DataKey::duplicate).collect();
    Ok(Store::open(db, Arc::new(Crypt::new(keys)), TimeDelta::zero()).await?)
}

/// Opens the database without a look at its migrations. A SQLite file migrates itself.
pub async fn open_database(settings: &Settings, own: bool) -> Result<Db, OpenError> {
    match &settings.database {
        Database::Postgres(url) => {
            let replica = settings.read_database.as_ref().map(|replica| &replica.0);
            Ok(Db::postgres(url, replica).await?)
        }
        Database::Sqlite(path) => {
            if own {
                own_file(path)?;
            }
            let db = Db::sqlite(path).await?;
            db.migrate().await?;
            Ok(db)
        }
    }
}

/// Locks kept until the process ends.
static OWNED: Mutex<Vec<std::fs::File>> = Mutex::new(Vec::new());

fn own_file(path: &std::path::Path) -> Result<(), OpenError> {
    let lock = PathBuf::from(format!("{}.lock", path.display()));
    let unusable = |error: std::io::Error| OpenError::Database(format!("{}: {error}", lock.display()));
    let file = std::fs::File::create(&lock).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => {
            OWNED.lock().expect("nothing panics while it holds this").push(file);
            Ok(())
        }
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::Owned(path.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(unusable(error)),
    }
}

/// The graphs: of the file that was set, or those compiled in.
pub fn read_template(settings: &Settings) -> Result<Arc<Template>, TemplateError> {
    match &settings.graph {
        Some(path) => Ok(Arc::new(Template::read(path)?)),
        None => Ok(Arc::new(Template::shipped().clone())),
    }
}
