//! `waybill migrate`: brings the database to what this binary needs.

use std::io::Write;

use super::Failure;
use super::failure::DONE;
use crate::app::{OpenError, open_store};
use crate::config::{Database, Role, Settings};
use crate::store::Db;

pub(super) async fn run(out: &mut dyn Write) -> Result<u8, Failure> {
    let settings = Settings::from_environment(Role::Migrate)?;
    let db = match &settings.database {
        Database::Postgres(url) => Db::postgres(url, None).await.map_err(OpenError::from)?,
        // Opening it is migrating it, and nobody else may have it open meanwhile.
        Database::Sqlite(_) => open_store(&settings, true).await?.db().clone(),
    };
    db.migrate().await?;
    let server = db.server().await?;
    db.close().await;
    for key in &settings.made {
        writeln!(
            out,
            "made the key file {}: without it nothing in the database can be read",
            key.display()
        )?;
    }
    writeln!(out, "the database is up to date ({server})")?;
    Ok(DONE)
}
