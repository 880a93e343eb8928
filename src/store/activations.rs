//! Activations: which versions new orders are born with. Insert only; the newest counts, on every node at the same moment.
//!
//! A transaction that brings orders into being reads the activation behind a fence that it shares with others like it; an
//! activation takes the fence for itself. So it waits for births that have read the one before, and whoever is born after
//! `activate` has answered is born on the new one. SQLite has one writer, and needs no fence.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use waybill_domain::{GraphVersion, OrderId};

use super::db::{DbError, Row, Tx, Value};
use super::pinned::COUNT_PINNED;
use super::rows::undecodable;
use super::{Store, sql};
use crate::template::{Share, choose};

/// The key of the advisory lock: "graphs" in ASCII.
const FENCE: i64 = 0x0000_6772_6170_6873;

/// Which versions new orders of a machine are born with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activation {
    /// Counted from 1.
    pub revision: u32,
    /// One or two versions; the weights sum up to 100.
    pub shares: Vec<Share>,
}

impl Activation {
    /// The version that an order is born with: by its id, so that a repeated creation chooses alike.
    pub fn choose(&self, order_id: OrderId) -> Option<GraphVersion> {
        choose(&self.shares, order_id)
    }
}

/// What became of an activation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Activated {
    /// New orders follow it, as this revision.
    Revision(u32),
    /// This version was never published here.
    Unpublished(GraphVersion),
    /// This version was retired.
    Retired(GraphVersion),
}

/// What became of a retirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retirement {
    /// Nobody will ever be on it again.
    Done,
    /// So many orders still live on it.
    Live(i64),
    /// New orders are born with it.
    Active,
    /// It was never published here.
    Unpublished,
}

/// Reads the newest activation; until the transaction ends, no other one comes into force.
pub(super) async fn read_shared(tx: &mut Tx, machine: &str) -> Result<Option<Activation>, DbError> {
    share_fence(tx).await?;
    newest(tx, machine).await
}

/// Whether a version is retired; until the transaction ends, that does not change.
pub(super) async fn is_retired_shared(tx: &mut Tx, machine: &str, version: GraphVersion) -> Result<bool, DbError> {
    share_fence(tx).await?;
    Ok(versions(tx, "graph_retirements", machine).await?.contains(&version))
}

async fn share_fence(tx: &mut Tx) -> Result<(), DbError> {
    if tx.has_arrays() {
        tx.rows(
            "SELECT 1 AS one FROM (SELECT pg_advisory_xact_lock_shared($1)) AS fence",
            vec![FENCE.into()],
        )
        .await?;
    }
    Ok(())
}

/// Waits for every birth that is under way, and keeps further ones waiting until the transaction ends.
async fn close_fence(tx: &mut Tx) -> Result<(), DbError> {
    if tx.has_arrays() {
        tx.rows(
            "SELECT 1 AS one FROM (SELECT pg_advisory_xact_lock($1)) AS fence",
            vec![FENCE.into()],
        )
        .await?;
    }
    Ok(())
}

const NEWEST: &str = "SELECT revision, shares FROM graph_activations WHERE machine = $1 ORDER BY revision DESC LIMIT 1";

async fn newest(tx: &mut Tx, machine: &str) -> Result<Option<Activation>, DbError> {
    let rows = tx.rows(NEWEST, vec![machine.into()]).await?;
    rows.first().map(activation).transpose()
}

fn activation(row: &Row) -> Result<Activation, DbError> {
    let shares = row.json("shares")?;
    let revision = row.int("revision")?;
    Ok(Activation {
        revision: u32::try_from(revision).map_err(|_| undecodable("revision", &revision.to_string()))?,
        shares: serde_json::from_value(shares.clone()).map_err(|_| undecodable("shares", &shares.to_string()))?,
    })
}

async fn insert(tx: &mut Tx, machine: &str, activation: &Activation, row: (&str, Value)) -> Result<(), DbError> {
    let (by, now) = row;
    let values: Vec<Value> = vec![
        machine.into(),
        i64::from(activation.revision).into(),
        json!(activation.shares).into(),
        by.into(),
        now,
    ];
    let columns = ["machine", "revision", "shares", "activated_by", "activated_at"];
    sql::insert(tx, "graph_activations", &columns, vec![values], "").await?;
    Ok(())
}

async fn versions(tx: &mut Tx, table: &str, machine: &str) -> Result<BTreeSet<GraphVersion>, DbError> {
    let rows = tx
        .rows(
            &format!("SELECT version FROM {table} WHERE machine = $1"),
            vec![machine.into()],
        )
        .await?;
    let version = |row: &Row| {
        let version = row.int("version")?;
        u32::try_from(version)
            .map(GraphVersion)
            .map_err(|_| undecodable("version", &version.to_string()))
    };
    rows.iter().map(version).collect()
}

impl Store {
    /// The newest activation of a machine, if there is one.
    pub async fn activation(&self, machine: &str) -> Result<Option<Activation>, DbError> {
        let row = self.db.row(NEWEST, vec![machine.into()]).await?;
        row.as_ref().map(activation).transpose()
    }

    /// Lets new orders be born with these versions from the moment on that this answers.
    pub async fn activate(&self, machine: &str, shares: &[Share], by: &str) -> Result<Activated, DbError> {
        let now = self.now().await?;
        let mut tx = self.db.tx().await?;
        close_fence(&mut tx).await?;
        let published = versions(&mut tx, "graph_versions", machine).await?;
        let retired = versions(&mut tx, "graph_retirements", machine).await?;
        let refused = shares.iter().find_map(|Share { version, .. }| match version {
            version if !published.contains(version) => Some(Activated::Unpublished(*version)),
            version if retired.contains(version) => Some(Activated::Retired(*version)),
            _ => None,
        });
        if let Some(refused) = refused {
            tx.rollback().await?;
            return Ok(refused);
        }
        let revision = newest(&mut tx, machine).await?.map_or(1, |before| before.revision + 1);
        let next = Activation {
            revision,
            shares: shares.to_vec(),
        };
        insert(&mut tx, machine, &next, (by, now.into())).await?;
        tx.commit().await?;
        Ok(Activated::Revision(revision))
    }

    /// Takes over the routing of a template, if it is newer than what this database follows. Answers what counts then.
    pub async fn follow(&self, machine: &str, routing: Activation) -> Result<Activation, DbError> {
        let now = self.now().await?;
        let mut tx = self.db.tx().await?;
        close_fence(&mut tx).await?;
        match newest(&mut tx, machine).await? {
            Some(before) if before.revision >= routing.revision => {
                tx.rollback().await?;
                Ok(before)
            }
            _ => {
                insert(&mut tx, machine, &routing, ("template", now.into())).await?;
                tx.commit().await?;
                Ok(routing)
            }
        }
    }

    /// Retires a version for ever, unless orders live on it or are born with it.
    pub async fn retire(&self, machine: &str, version: GraphVersion, by: &str) -> Result<Retirement, DbError> {
        let now = self.now().await?;
        let mut tx = self.db.tx().await?;
        close_fence(&mut tx).await?;
        let refusal = self.why_not_retired(&mut tx, machine, version).await?;
        if let Some(refusal) = refusal {
            tx.rollback().await?;
            return Ok(refusal);
        }
        let row = vec![machine.into(), i64::from(version.0).into(), by.into(), now.into()];
        let columns = ["machine", "version", "retired_by", "retired_at"];
        let suffix = " ON CONFLICT (machine, version) DO NOTHING";
        sql::insert(&mut tx, "graph_retirements", &columns, vec![row], suffix).await?;
        tx.commit().await?;
        Ok(Retirement::Done)
    }

    async fn why_not_retired(
        &self,
        tx: &mut Tx,
        machine: &str,
        version: GraphVersion,
    ) -> Result<Option<Retirement>, DbError> {
        if !versions(tx, "graph_versions", machine).await?.contains(&version) {
            return Ok(Some(Retirement::Unpublished));
        }
        let active = newest(tx, machine).await?;
        if active.is_some_and(|active| active.shares.iter().any(|share| share.version == version)) {
            return Ok(Some(Retirement::Active));
        }
        let rows = tx
            .rows(COUNT_PINNED, vec![machine.into(), i64::from(version.0).into()])
            .await?;
        let live = rows.first().map_or(Ok(0), |row| row.int("count"))?;
        Ok((live > 0).then_some(Retirement::Live(live)))
    }

    /// Every version of a machine: (version, sha256, document, whether it is retired).
    pub async fn published_versions(&self, machine: &str) -> Result<Vec<(GraphVersion, String, Json, bool)>, DbError> {
        let rows = self
            .db
            .rows(
                "SELECT g.version, g.sha256, g.document, r.version IS NOT NULL AS retired FROM graph_versions g
                 LEFT JOIN graph_retirements r ON r.machine = g.machine AND r.version = g.version
                 WHERE g.machine = $1 ORDER BY g.version",
                vec![machine.into()],
            )
            .await?;
        let read = |row: &Row| {
            let version = row.int("version")?;
            let number = u32::try_from(version).map_err(|_| undecodable("version", &version.to_string()))?;
            Ok((
                GraphVersion(number),
                row.text("sha256")?,
                row.json("document")?,
                row.bool("retired")?,
            ))
        };
        rows.iter().map(read).collect()
    }
}
