//! Migrations: forward only, and a database that does not fit this binary is named as such.

use sqlx::migrate::Migrator;

use super::{Db, DbError};

static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");
static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");

/// Why this binary does not work on this database.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// Migrations are missing.
    #[error("the database has migration {applied} and this binary needs {needed}: run `waybill migrate`")]
    Behind {
        /// The newest applied one, 0 for none.
        applied: i64,
        /// The newest of this binary.
        needed: i64,
    },
    /// A newer binary has been here.
    #[error("the database has migration {applied}, this binary knows only {known}: start a newer binary")]
    Ahead {
        /// The newest applied one.
        applied: i64,
        /// The newest of this binary.
        known: i64,
    },
    /// The database does not answer, or a migration fails.
    #[error("the database cannot be migrated: {0}")]
    Failed(#[from] sqlx::migrate::MigrateError),
    /// The database does not answer.
    #[error("the database does not answer: {0}")]
    Unavailable(#[from] DbError),
}

impl Db {
    /// Applies what is missing. Safe when several processes do it at once.
    pub async fn migrate(&self) -> Result<(), MigrateError> {
        if let Err(ahead @ MigrateError::Ahead { .. }) = self.check_migrations().await {
            return Err(ahead);
        }
        match self {
            Self::Postgres { writer, .. } => POSTGRES.run(writer).await?,
            Self::Sqlite { writer, .. } => SQLITE.run(writer).await?,
        }
        Ok(())
    }

    /// Whether the database is what this binary needs.
    pub async fn check_migrations(&self) -> Result<(), MigrateError> {
        let applied = self.newest_migration().await?;
        let needed = POSTGRES.iter().map(|migration| migration.version).max().unwrap_or(0);
        match applied {
            applied if applied < needed => Err(MigrateError::Behind { applied, needed }),
            applied if applied > needed => Err(MigrateError::Ahead { applied, known: needed }),
            _ => Ok(()),
        }
    }

    async fn newest_migration(&self) -> Result<i64, MigrateError> {
        let there = match self {
            Self::Postgres { .. } => "SELECT to_regclass('_sqlx_migrations') IS NOT NULL AS there",
            Self::Sqlite { .. } => "SELECT COUNT(*) > 0 AS there FROM sqlite_master WHERE name = '_sqlx_migrations'",
        };
        let newest = "SELECT COALESCE(MAX(version), 0) AS newest FROM _sqlx_migrations WHERE success";
        let one = async |sql: &str| {
            self.row(sql, vec![])
                .await?
                .ok_or(DbError::Failed(sqlx::Error::RowNotFound))
        };
        if !one(there).await?.bool("there")? {
            return Ok(0);
        }
        Ok(one(newest).await?.int("newest")?)
    }
}
