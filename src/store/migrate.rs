//! Migrations: forward only, and a database that does not fit this binary is named as such.

use sqlx::migrate::{Migrate as _, Migrator};

use super::Db;

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
    Unavailable(#[from] sqlx::Error),
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
        const TABLE: &str = "_sqlx_migrations";
        let applied = match self {
            Self::Postgres { writer, .. } => {
                let mut connection = writer.acquire().await?;
                connection.ensure_migrations_table(TABLE).await?;
                connection.list_applied_migrations(TABLE).await?
            }
            Self::Sqlite { writer, .. } => {
                let mut connection = writer.acquire().await?;
                connection.ensure_migrations_table(TABLE).await?;
                connection.list_applied_migrations(TABLE).await?
            }
        };
        Ok(applied.iter().map(|migration| migration.version).max().unwrap_or(0))
    }
}
