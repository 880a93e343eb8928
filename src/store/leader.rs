//! Which process looks after what is due, where several share a database.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Connection as _, Postgres};
use tokio::time::timeout;

use super::Store;
use super::db::{Db, DbError};

/// The key of the advisory lock: "waybill" in ASCII.
const LOCK: i64 = 0x0077_6179_6269_6c6c;

/// A server that has not said by then that it lives is taken for gone, and the lock with it.
const ANSWER: Duration = Duration::from_secs(5);

/// This process leads as long as this is held and [`Leadership::lasts`].
#[derive(Debug)]
pub struct Leadership(Option<PoolConnection<Postgres>>);

impl Store {
    /// Takes the lead if nobody has it. With SQLite the one process that owns the file leads.
    pub async fn lead(&self) -> Result<Option<Leadership>, DbError> {
        let Db::Postgres { writer, .. } = self.db() else {
            return Ok(Some(Leadership(None)));
        };
        let mut connection = writer.acquire().await?;
        let taken: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
            .bind(LOCK)
            .fetch_one(&mut *connection)
            .await?;
        if !taken {
            return Ok(None);
        }
        // The lock belongs to the connection: it must never go back to the pool.
        connection.close_on_drop();
        Ok(Some(Leadership(Some(connection))))
    }
}

impl Leadership {
    /// Whether the lead is still ours: it ends with the connection that holds the lock.
    pub async fn lasts(&mut self) -> bool {
        match &mut self.0 {
            None => true,
            Some(connection) => matches!(timeout(ANSWER, connection.ping()).await, Ok(Ok(()))),
        }
    }
}
