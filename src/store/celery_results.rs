//! `db+postgresql://`: results of tasks in Celery's own tables, as Python's database backend keeps them.
//!
//! The tables belong to Celery, not to Waybill: they may be in another database, Python may have made them, and they have no
//! migration of ours. What is missing is made as SQLAlchemy makes it.

use std::str::FromStr as _;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPoolOptions};
use sqlx::query::Query;
use sqlx::{PgPool, Postgres};
use tokio::sync::OnceCell;
use url::Url;
use waybill_tasks::celery::results::{ResultBackend, ResultError, ResultTree, State, TaskResult, pickle, read_json};

/// `result_expires` of Celery: a day.
const EXPIRES: TimeDelta = TimeDelta::days(1);
/// Results are small statements; a few connections serve a worker.
const CONNECTIONS: u32 = 4;
const WITHIN: Duration = Duration::from_secs(5);

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    /// For Celery from 5.7 on.
    Json,
    /// For those before, who read nothing else; 5.7 reads it too.
    Pickle,
}

/// Results in Celery's tables.
#[derive(Debug)]
pub struct CeleryResults {
    pool: PgPool,
    encoding: Encoding,
    expires: TimeDelta,
    uri: String,
    prepared: OnceCell<()>,
}

/// The URL is none. It is not repeated, because it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected postgresql://USER:PASSWORD@HOST/DATABASE, with ?result_encoding=json or pickle if anything")]
pub struct NotAResultUrl;

impl CeleryResults {
    /// Connects when it is first asked. The URL is without `db+`; `?result_encoding=pickle` in it serves clients before Celery 5.7.
    pub fn open(url: &SecretString) -> Result<Self, NotAResultUrl> {
        let mut url = Url::parse(url.expose_secret()).map_err(|_| NotAResultUrl)?;
        let encoding = take_encoding(&mut url)?;
        let options = PgConnectOptions::from_str(url.as_str()).map_err(|_| NotAResultUrl)?;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(WITHIN);
        if url.password().is_some() {
            url.set_password(Some("**")).map_err(|()| NotAResultUrl)?;
        }
        Ok(Self {
            pool: pool.connect_lazy_with(options),
            encoding,
            expires: EXPIRES,
            uri: format!("db+{url}"),
            prepared: OnceCell::new(),
        })
    }

    /// How long results are kept, as `result_expires`.
    #[must_use]
    pub fn expiring_after(mut self, expires: TimeDelta) -> Self {
        self.expires = expires;
        self
    }

    /// The pool, when the tables are there.
    async fn tables(&self) -> Result<&PgPool, ResultError> {
        self.prepared.get_or_try_init(|| make_tables(&self.pool)).await?;
        Ok(&self.pool)
    }

    fn encoded(&self, value: &Value) -> Vec<u8> {
        match self.encoding {
            Encoding::Json => value.to_string().into_bytes(),
            Encoding::Pickle => pickle::to_bytes(value),
        }
    }
}

/// The option that is ours, and not the driver's.
fn take_encoding(url: &mut Url) -> Result<Encoding, NotAResultUrl> {
    let mut encoding = Encoding::Json;
    let mut rest = Vec::new();
    for (name, value) in url.query_pairs() {
        match (&*name, &*value) {
            ("result_encoding", "json") => encoding = Encoding::Json,
            ("result_encoding", "pickle") => encoding = Encoding::Pickle,
            ("result_encoding", _) => return Err(NotAResultUrl),
            _ => rest.push((name.into_owned(), value.into_owned())),
        }
    }
    url.set_query(None);
    if !rest.is_empty() {
        url.query_pairs_mut().extend_pairs(rest);
    }
    Ok(encoding)
}

/// Each as SQLAlchemy writes it, with the columns of Celery 5.7.
const TABLES: [&str; 8] = [
    "CREATE SEQUENCE IF NOT EXISTS task_id_sequence",
    "CREATE TABLE IF NOT EXISTS celery_taskmeta (id INTEGER NOT NULL, task_id VARCHAR(155), status VARCHAR(50), result BYTEA,
     date_done TIMESTAMP WITHOUT TIME ZONE, traceback TEXT, children BYTEA, name VARCHAR(155), args BYTEA, kwargs BYTEA,
     worker VARCHAR(155), retries INTEGER, queue VARCHAR(155), stamps BYTEA, PRIMARY KEY (id), UNIQUE (task_id))",
    "CREATE INDEX IF NOT EXISTS ix_celery_taskmeta_date_done ON celery_taskmeta (date_done)",
    "ALTER TABLE celery_taskmeta ADD COLUMN IF NOT EXISTS children BYTEA",
    "ALTER TABLE celery_taskmeta ADD COLUMN IF NOT EXISTS stamps BYTEA",
    "CREATE SEQUENCE IF NOT EXISTS taskset_id_sequence",
    "CREATE TABLE IF NOT EXISTS celery_tasksetmeta (id INTEGER NOT NULL, taskset_id VARCHAR(155), result BYTEA,
     date_done TIMESTAMP WITHOUT TIME ZONE, PRIMARY KEY (id), UNIQUE (taskset_id))",
    "CREATE INDEX IF NOT EXISTS ix_celery_tasksetmeta_date_done ON celery_tasksetmeta (date_done)",
];

/// Looks first: a worker needs no right to make tables that are there.
async fn make_tables(pool: &PgPool) -> Result<(), ResultError> {
    let complete =
        "SELECT count(*) = 3 FROM information_schema.columns WHERE table_schema = ANY(current_schemas(false))
        AND (table_name, column_name) IN
            (('celery_taskmeta', 'children'), ('celery_taskmeta', 'stamps'), ('celery_tasksetmeta', 'result'))";
    let complete: bool = sqlx::query_scalar(complete)
        .fetch_one(pool)
        .await
        .map_err(|error| why(&error))?;
    if complete {
        return Ok(());
    }
    for statement in TABLES {
        if let Err(error) = sqlx::query(statement).execute(pool).await {
            // Another worker made the same at the same moment.
            let code = error.as_database_error().and_then(|error| error.code());
            if !matches!(code.as_deref(), Some("23505" | "42P07" | "42710" | "42701")) {
                return Err(why(&error));
            }
        }
    }
    Ok(())
}

#[async_trait]
impl ResultBackend for CeleryResults {
    async fn store(&self, result: &TaskResult) -> Result<(), ResultError> {
        let statement = "INSERT INTO celery_taskmeta (id, task_id, status, result, date_done, traceback, children)
            VALUES (nextval('task_id_sequence'), $1, $2, $3, $4, $5, $6)
            ON CONFLICT (task_id) DO UPDATE SET status = EXCLUDED.status, result = EXCLUDED.result,
                date_done = EXCLUDED.date_done, traceback = EXCLUDED.traceback, children = EXCLUDED.children
            WHERE celery_taskmeta.status IS DISTINCT FROM 'SUCCESS'";
        let children = Some(&result.children).filter(|children| !children.is_empty());
        let children = children.map(|children| Value::Array(children.clone()).to_string().into_bytes());
        // Text in PostgreSQL has no NUL.
        let traceback = result.traceback.as_ref().map(|text| text.replace('\0', ""));
        let statement = sqlx::query(statement)
            .bind(&result.task_id)
            .bind(result.state.as_str())
            .bind(self.encoded(&result.result))
            .bind(result.date_done.map(|at| at.naive_utc()))
            .bind(traceback)
            .bind(children);
        self.run(statement).await.map(drop)
    }

    async fn load(&self, task_ids: &[String]) -> Result<Vec<Option<TaskResult>>, ResultError> {
        let statement = "SELECT task_id, status, result, date_done, traceback, children FROM celery_taskmeta
            WHERE task_id = ANY($1)";
        let rows = sqlx::query_as::<_, Row>(statement)
            .bind(task_ids)
            .fetch_all(self.tables().await?);
        let rows = rows.await.map_err(|error| why(&error))?;
        let mut found = std::collections::BTreeMap::new();
        for row in rows {
            found.insert(row.task_id.clone(), read(row)?);
        }
        Ok(task_ids.iter().map(|id| found.get(id).cloned()).collect())
    }

    async fn save_group(&self, group: &ResultTree) -> Result<(), ResultError> {
        let statement = "INSERT INTO celery_tasksetmeta (id, taskset_id, result, date_done)
            VALUES (nextval('taskset_id_sequence'), $1, $2, $3)
            ON CONFLICT (taskset_id) DO UPDATE SET result = EXCLUDED.result, date_done = EXCLUDED.date_done";
        let statement = sqlx::query(statement)
            .bind(&group.id)
            .bind(self.encoded(&group.to_value()))
            .bind(Utc::now().naive_utc());
        self.run(statement).await.map(drop)
    }

    async fn load_group(&self, group_id: &str) -> Result<Option<ResultTree>, ResultError> {
        let statement = "SELECT result FROM celery_tasksetmeta WHERE taskset_id = $1";
        let found = sqlx::query_scalar(statement)
            .bind(group_id)
            .fetch_optional(self.tables().await?);
        let found: Option<Option<Vec<u8>>> = found.await.map_err(|error| why(&error))?;
        match found.flatten() {
            Some(bytes) => Ok(ResultTree::from_value(&decoded(&bytes)?)),
            None => Ok(None),
        }
    }

    fn as_uri(&self) -> String {
        self.uri.clone()
    }

    async fn forget_expired(&self) -> Result<u64, ResultError> {
        let before = (Utc::now() - self.expires).naive_utc();
        let mut deleted = 0;
        for statement in [
            "DELETE FROM celery_taskmeta WHERE date_done < $1",
            "DELETE FROM celery_tasksetmeta WHERE date_done < $1",
        ] {
            deleted += self.run(sqlx::query(statement).bind(before)).await?;
        }
        Ok(deleted)
    }
}

impl CeleryResults {
    async fn run(&self, statement: Query<'_, Postgres, PgArguments>) -> Result<u64, ResultError> {
        let done = statement.execute(self.tables().await?).await;
        done.map(|done| done.rows_affected()).map_err(|error| why(&error))
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    task_id: String,
    status: Option<String>,
    result: Option<Vec<u8>>,
    date_done: Option<NaiveDateTime>,
    traceback: Option<String>,
    children: Option<Vec<u8>>,
}

fn read(row: Row) -> Result<TaskResult, ResultError> {
    let state = State::from(row.status.as_deref().unwrap_or("PENDING"));
    let result = match row.result.map_or(Ok(Value::Null), |bytes| decoded(&bytes)) {
        // What a task says on its way is news: whoever waits for its end goes on waiting.
        Err(_) if !state.is_ready() => Value::Null,
        result => result?,
    };
    let children = row.children.and_then(|bytes| decoded(&bytes).ok());
    let now: DateTime<Utc> = row.date_done.unwrap_or_default().and_utc();
    let mut read = TaskResult::new(row.task_id, state, result, now);
    read.date_done = row.date_done.map(|at| at.and_utc());
    read.traceback = row.traceback;
    read.children = children.and_then(|value| value.as_array().cloned()).unwrap_or_default();
    Ok(read)
}

/// JSON, or the pickle that Celery before 5.7 wrote.
fn decoded(bytes: &[u8]) -> Result<Value, ResultError> {
    match bytes.first() {
        Some(0x80) => pickle::from_bytes(bytes)
            .map_err(|error| ResultError::Refused(format!("a value that cannot be read: {error}"))),
        _ => read_json("a value", bytes),
    }
}

/// A value that does not fit will not fit the next time; everything else may come right.
fn why(error: &sqlx::Error) -> ResultError {
    let code = error.as_database_error().and_then(|error| error.code());
    match code.as_deref() {
        Some(code) if code.starts_with("22") || code.starts_with("54") => ResultError::Refused(error.to_string()),
        _ => ResultError::Away(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
