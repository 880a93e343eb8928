//! One way to speak to two databases: values, rows, and the only transaction wrapper there is.
//!
//! The SQL of Waybill is written once, in the part that PostgreSQL and SQLite share; what differs is the binding of
//! values, and that is here (docs/adr/0002).

pub(super) mod arrays;

use std::str::FromStr as _;
use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value as Json;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::query::Query;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, Connection as _, PgPool, Postgres, Row as _, Sqlite, SqlitePool};
use uuid::Uuid;

use super::graphs::Unreadable;

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// It does not answer, or the connection broke: try again.
    #[error("the database does not answer")]
    Unavailable(#[source] sqlx::Error),
    /// Two transactions were in each other's way: do it again.
    #[error("the transaction lost against another one")]
    Serialization(#[source] sqlx::Error),
    /// A constraint refused it.
    #[error("constraint {constraint} refuses it")]
    Constraint {
        /// The constraint's name, or the columns (SQLite).
        constraint: String,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
    /// It needs a graph version that only a newer program can read: another process may be able to.
    #[error("it is left to another process")]
    Unreadable(#[from] Unreadable),
    /// Anything else is a fault of ours or of the schema.
    #[error("the database refuses the statement")]
    Failed(#[source] sqlx::Error),
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        let sqlx::Error::Database(database) = &error else {
            return match error {
                sqlx::Error::ColumnDecode { .. }
                | sqlx::Error::ColumnNotFound(_)
                | sqlx::Error::Decode(_)
                | sqlx::Error::Encode(_)
                | sqlx::Error::TypeNotFound { .. } => Self::Failed(error),
                other => Self::Unavailable(other),
            };
        };
        let code = database.code().unwrap_or_default().into_owned();
        let constraint = database
            .constraint()
            .map_or_else(|| database.message().to_owned(), str::to_owned);
        if database.is_unique_violation() || database.is_foreign_key_violation() || database.is_check_violation() {
            return Self::Constraint {
                constraint,
                source: error,
            };
        }
        match code.as_str() {
            "40001" | "40P01" | "5" | "517" => Self::Serialization(error),
            // 57P0x: shutting down; 53xxx: out of resources; 08xxx: connection; 10/13: SQLite I/O error, disk full.
            "57P01" | "57P02" | "57P03" | "57014" | "10" | "13" | "55P03" => Self::Unavailable(error),
            code if code.starts_with("08") || code.starts_with("53") => Self::Unavailable(error),
            _ => Self::Failed(error),
        }
    }
}

/// A value to bind; the variant tells its SQL type even where it is null.
#[derive(Debug, Clone)]
pub enum Value {
    Text(Option<String>),
    Int(Option<i64>),
    Bool(bool),
    Time(Option<DateTime<Utc>>),
    Uuid(Option<Uuid>),
    Bytes(Option<Vec<u8>>),
    Json(Option<Json>),
}

macro_rules! value_from {
    ($($from:ty => |$it:ident| $value:expr),+ $(,)?) => {
        $(impl From<$from> for Value {
            fn from($it: $from) -> Self {
                $value
            }
        })+
    };
}
value_from! {
    &str => |it| Self::Text(Some(it.to_owned())),
    String => |it| Self::Text(Some(it)),
    Option<String> => |it| Self::Text(it),
    i64 => |it| Self::Int(Some(it)),
    Option<i64> => |it| Self::Int(it),
    bool => |it| Self::Bool(it),
    DateTime<Utc> => |it| Self::Time(Some(it)),
    Option<DateTime<Utc>> => |it| Self::Time(it),
    Uuid => |it| Self::Uuid(Some(it)),
    Option<Uuid> => |it| Self::Uuid(it),
    Vec<u8> => |it| Self::Bytes(Some(it)),
    Option<Vec<u8>> => |it| Self::Bytes(it),
    Json => |it| Self::Json(Some(it)),
    Option<Json> => |it| Self::Json(it),
}

/// An instant as SQLite keeps it: text of one width, so that text order is time order.
fn sqlite_time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

fn bind_postgres(sql: &str, values: Vec<Value>) -> Query<'static, Postgres, PgArguments> {
    values
        .into_iter()
        .fold(sqlx::query(AssertSqlSafe(sql.to_owned())), |query, value| match value {
            Value::Text(it) => query.bind(it),
            Value::Int(it) => query.bind(it),
            Value::Bool(it) => query.bind(it),
            Value::Time(it) => query.bind(it),
            Value::Uuid(it) => query.bind(it),
            Value::Bytes(it) => query.bind(it),
            Value::Json(it) => query.bind(it),
        })
}

fn bind_sqlite(sql: &str, values: Vec<Value>) -> Query<'static, Sqlite, SqliteArguments> {
    values
        .into_iter()
        .fold(sqlx::query(AssertSqlSafe(sql.to_owned())), |query, value| match value {
            Value::Text(it) => query.bind(it),
            Value::Int(it) => query.bind(it),
            Value::Bool(it) => query.bind(it),
            Value::Time(it) => query.bind(it.map(sqlite_time)),
            Value::Uuid(it) => query.bind(it.map(|id| id.to_string())),
            Value::Bytes(it) => query.bind(it),
            Value::Json(it) => query.bind(it.map(|it| it.to_string())),
        })
}

/// A row of either database. A column of the wrong name or type is a fault of ours and an error.
#[derive(Debug)]
pub enum Row {
    /// From PostgreSQL.
    Postgres(PgRow),
    /// From SQLite.
    Sqlite(SqliteRow),
}

macro_rules! getter {
    ($(#[$doc:meta] $name:ident, $optional:ident: $type:ty, $lite:ty, |$it:ident| $convert:expr;)+) => {
        $(
            #[$doc]
            pub fn $name(&self, column: &str) -> Result<$type, DbError> {
                self.$optional(column)?.ok_or_else(|| {
                    DbError::Failed(sqlx::Error::Decode(format!("column {column} is null").into()))
                })
            }

            #[$doc]
            pub fn $optional(&self, column: &str) -> Result<Option<$type>, DbError> {
                match self {
                    Self::Postgres(row) => Ok(row.try_get::<Option<$type>, _>(column)?),
                    Self::Sqlite(row) => match row.try_get::<Option<$lite>, _>(column)? {
                        None => Ok(None),
                        Some($it) => Ok(Some($convert)),
                    },
                }
            }
        )+
    };
}

fn undecodable(error: impl std::error::Error + Send + Sync + 'static) -> DbError {
    DbError::Failed(sqlx::Error::Decode(Box::new(error)))
}

impl Row {
    getter! {
        /// Text.
        text, opt_text: String, String, |it| it;
        /// A whole number.
        int, opt_int: i64, i64, |it| it;
        /// True or false.
        bool, opt_bool: bool, bool, |it| it;
        /// An instant.
        time, opt_time: DateTime<Utc>, String, |it| DateTime::parse_from_rfc3339(&it).map_err(undecodable)?.to_utc();
        /// A UUID.
        uuid, opt_uuid: Uuid, String, |it| it.parse().map_err(undecodable)?;
        /// Bytes.
        bytes, opt_bytes: Vec<u8>, Vec<u8>, |it| it;
        /// JSON.
        json, opt_json: Json, String, |it| serde_json::from_str(&it).map_err(undecodable)?;
    }
}

/// What a transaction looks for it names by keys. PostgreSQL keeps the plan of a prepared statement, and one that was made
/// while a table was short reads the whole table at every commit when it is long, until statistics are taken again.
const BY_INDEX: [(&str, &str); 4] = [
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    // What is switched off counts as endlessly dear, and what is dear would be compiled first.
    ("jit", "off"),
];

/// When the server takes a process for gone that vanished with its host: within twenty seconds, not two hours. Only then are its
/// locks free, the relay's lead among them. On a Unix socket nobody vanishes so, and PostgreSQL leaves it aside.
const VANISHED: [(&str, &str); 4] = [
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "15000"),
];

/// A writer's connection that has been idle for longer is asked whether it still lives before it is used.
const FRESH: Duration = Duration::from_secs(1);

/// The database behind a URL: a pool for the writer and one for readers.
#[derive(Debug, Clone)]
pub enum Db {
    /// PostgreSQL.
    Postgres {
        /// For transactions.
        writer: PgPool,
        /// For queries whose answer may lead to a write.
        reader: PgPool,
        /// A replica, for lists that may be a moment old.
        replica: Option<PgPool>,
    },
    /// SQLite: one writer, several readers, write-ahead log.
    Sqlite {
        /// For transactions.
        writer: SqlitePool,
        /// For queries.
        reader: SqlitePool,
    },
}

impl Db {
    /// Opens PostgreSQL. `read_url` may name a replica; no decision that leads to a write reads from it.
    pub async fn postgres(url: &SecretString, read_url: Option<&SecretString>) -> Result<Self, DbError> {
        let options = |url: &SecretString| -> Result<PgConnectOptions, DbError> {
            Ok(PgConnectOptions::from_str(url.expose_secret())?
                .application_name("waybill")
                .statement_cache_capacity(400)
                .options([
                    ("statement_timeout", "10s"),
                    ("lock_timeout", "5s"),
                    ("idle_in_transaction_session_timeout", "10s"),
                ])
                .options(VANISHED))
        };
        let pool = |max| {
            PgPoolOptions::new()
                .max_connections(max)
                .acquire_timeout(Duration::from_secs(5))
        };
        // One that wrote a moment ago is as good as one that has just answered.
        let writer = pool(4).test_before_acquire(false).before_acquire(|connection, it| {
            Box::pin(async move {
                if it.idle_for > FRESH {
                    connection.ping().await?;
                }
                Ok(true)
            })
        });
        let writer = writer.connect_with(options(url)?.options(BY_INDEX)).await?;
        let reader = pool(8).connect_lazy_with(options(url)?);
        let replica = read_url
            .map(|url| options(url).map(|options| pool(8).connect_lazy_with(options)))
            .transpose()?;
        Ok(Self::Postgres {
            writer,
            reader,
            replica,
        })
    }

    /// Opens (and creates) a SQLite file. Every commit is on disk when it returns.
    pub async fn sqlite(path: &std::path::Path) -> Result<Self, DbError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(5))
            .statement_cache_capacity(400);
        // A file does not go away as a server does: nobody has to ask it before each transaction.
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .test_before_acquire(false)
            .connect_with(options.clone())
            .await?;
        let reader = SqlitePoolOptions::new().max_connections(4).connect_lazy_with(options);
        Ok(Self::Sqlite { writer, reader })
    }

    /// Whether several processes may share it.
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres { .. })
    }

    /// Begins a transaction. Nothing else in Waybill may: sqlx 0.9 gives a connection whose `BEGIN` was cancelled back to the
    /// pool with the transaction open, and later writes on it vanish. Here such a connection is closed instead.
    pub async fn tx(&self) -> Result<Tx, DbError> {
        let mut tx = match self {
            Self::Postgres { writer, .. } => Tx {
                connection: Connection::Postgres(writer.acquire().await?),
                finished: false,
            },
            Self::Sqlite { writer, .. } => Tx {
                connection: Connection::Sqlite(writer.acquire().await?),
                finished: false,
            },
        };
        let begin = match tx.connection {
            Connection::Postgres(_) => "BEGIN",
            Connection::Sqlite(_) => "BEGIN IMMEDIATE",
        };
        tx.execute(begin, vec![]).await?;
        Ok(tx)
    }

    /// Begins a transaction that a crash of the database may forget although it was committed: for what is found out again.
    pub async fn forgettable_tx(&self) -> Result<Tx, DbError> {
        let mut tx = self.tx().await?;
        if let Connection::Postgres(_) = tx.connection {
            tx.execute("SET LOCAL synchronous_commit TO off", vec![]).await?;
        }
        Ok(tx)
    }

    /// Reads rows that may be a moment old: from the replica, if there is one.
    pub async fn stale_rows(&self, sql: &str, values: Vec<Value>) -> Result<Vec<Row>, DbError> {
        match self {
            Self::Postgres {
                replica: Some(replica), ..
            } => {
                let rows = bind_postgres(sql, values).fetch_all(replica).await?;
                Ok(rows.into_iter().map(Row::Postgres).collect())
            }
            _ => self.rows(sql, values).await,
        }
    }

    /// Reads rows outside any transaction.
    pub async fn rows(&self, sql: &str, values: Vec<Value>) -> Result<Vec<Row>, DbError> {
        match self {
            Self::Postgres { reader, .. } => Ok(bind_postgres(sql, values)
                .fetch_all(reader)
                .await?
                .into_iter()
                .map(Row::Postgres)
                .collect()),
            Self::Sqlite { reader, .. } => Ok(bind_sqlite(sql, values)
                .fetch_all(reader)
                .await?
                .into_iter()
                .map(Row::Sqlite)
                .collect()),
        }
    }

    /// Reads at most one row outside any transaction.
    pub async fn row(&self, sql: &str, values: Vec<Value>) -> Result<Option<Row>, DbError> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    /// Runs one statement that writes, as a transaction of its own, with the columns of these rows as arrays; answers rows.
    /// PostgreSQL alone has arrays.
    pub(in crate::store) async fn write_by_columns(
        &self,
        sql: &str,
        rows: Vec<Vec<Value>>,
    ) -> Result<Vec<Row>, DbError> {
        let Self::Postgres { writer, .. } = self else {
            return Err(no_arrays());
        };
        let rows = arrays::bind(sql, rows)?.fetch_all(writer).await?;
        Ok(rows.into_iter().map(Row::Postgres).collect())
    }

    /// The database's clock.
    pub async fn clock(&self) -> Result<DateTime<Utc>, DbError> {
        match self {
            Self::Postgres { writer, .. } => {
                let row = sqlx::query("SELECT clock_timestamp() AS now").fetch_one(writer).await?;
                Ok(row.try_get("now")?)
            }
            Self::Sqlite { .. } => Ok(Utc::now().trunc_subsecs(6)),
        }
    }

    /// The product and its version, for `doctor`.
    pub async fn server(&self) -> Result<String, DbError> {
        let (sql, product) = match self {
            Self::Postgres { .. } => ("SELECT current_setting('server_version') AS version", "PostgreSQL"),
            Self::Sqlite { .. } => ("SELECT sqlite_version() AS version", "SQLite"),
        };
        let version = self
            .row(sql, vec![])
            .await?
            .map_or_else(|| Ok(String::new()), |row| row.text("version"))?;
        Ok(format!("{product} {version}"))
    }

    /// Closes the pools, after what is in flight.
    pub async fn close(&self) {
        match self {
            Self::Postgres {
                writer,
                reader,
                replica,
            } => {
                if let Some(replica) = replica {
                    replica.close().await;
                }
                reader.close().await;
                writer.close().await;
            }
            Self::Sqlite { writer, reader } => {
                reader.close().await;
                writer.close().await;
            }
        }
    }
}

fn no_arrays() -> DbError {
    DbError::Failed(sqlx::Error::Encode("SQLite has no arrays".into()))
}

#[derive(Debug)]
enum Connection {
    Postgres(PoolConnection<Postgres>),
    Sqlite(PoolConnection<Sqlite>),
}

/// A transaction. Dropped unfinished, it closes its connection, and the database rolls back.
#[derive(Debug)]
pub struct Tx {
    connection: Connection,
    finished: bool,
}

impl Tx {
    /// Runs a statement; answers how many rows it changed.
    pub async fn execute(&mut self, sql: &str, values: Vec<Value>) -> Result<u64, DbError> {
        match &mut self.connection {
            Connection::Postgres(connection) => Ok(bind_postgres(sql, values)
                .execute(&mut **connection)
                .await?
                .rows_affected()),
            Connection::Sqlite(connection) => Ok(bind_sqlite(sql, values)
                .execute(&mut **connection)
                .await?
                .rows_affected()),
        }
    }

    /// Runs a statement that answers rows.
    pub async fn rows(&mut self, sql: &str, values: Vec<Value>) -> Result<Vec<Row>, DbError> {
        match &mut self.connection {
            Connection::Postgres(connection) => {
                let rows = bind_postgres(sql, values).fetch_all(&mut **connection).await?;
                Ok(rows.into_iter().map(Row::Postgres).collect())
            }
            Connection::Sqlite(connection) => {
                let rows = bind_sqlite(sql, values).fetch_all(&mut **connection).await?;
                Ok(rows.into_iter().map(Row::Sqlite).collect())
            }
        }
    }

    /// Runs a statement whose parameters are the columns of these rows, each as one array. PostgreSQL alone has arrays.
    pub async fn rows_by_columns(&mut self, sql: &str, rows: Vec<Vec<Value>>) -> Result<Vec<Row>, DbError> {
        match &mut self.connection {
            Connection::Postgres(connection) => {
                let rows = arrays::bind(sql, rows)?.fetch_all(&mut **connection).await?;
                Ok(rows.into_iter().map(Row::Postgres).collect())
            }
            Connection::Sqlite(_) => Err(no_arrays()),
        }
    }

    /// Whether a column of values can be one parameter.
    pub fn has_arrays(&self) -> bool {
        matches!(self.connection, Connection::Postgres(_))
    }

    /// `FOR UPDATE` where the database has row locks; SQLite has one writer.
    pub fn for_update(&self) -> &'static str {
        match self.connection {
            Connection::Postgres(_) => " FOR UPDATE",
            Connection::Sqlite(_) => "",
        }
    }

    /// Makes it durable.
    pub async fn commit(mut self) -> Result<(), DbError> {
        self.execute("COMMIT", vec![]).await?;
        self.finished = true;
        Ok(())
    }

    /// Undoes it.
    pub async fn rollback(mut self) -> Result<(), DbError> {
        self.execute("ROLLBACK", vec![]).await?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if !self.finished {
            match &mut self.connection {
                Connection::Postgres(connection) => connection.close_on_drop(),
                Connection::Sqlite(connection) => connection.close_on_drop(),
            }
        }
    }
}
