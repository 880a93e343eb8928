//! Activations: which versions new orders are born with. Insert only; the newest counts, on every node at the same moment.
//!
//! A transaction that brings orders into being reads the activation behind a fence that it shares with others like it; an
//! activation takes the fence for itself. So it waits for births that have read the one before, and whoever is born after
//! `activate` has answered is born on the new one. SQLite has one writer, and needs no fence.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use waybill_domain::{Graph, GraphVersion, OrderId, Vocabulary};

use super::db::{DbError, Row, Tx, Value};
use super::graphs::read_graph;
use super::pinned::COUNT_PINNED;
use super::processes::GONE;
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
    /// New orders are born as before.
    Refused(NotActivated),
}

/// Why new orders cannot be born with a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotActivated {
    /// It was never published here.
    #[error("version {0} is not published: `waybill graph publish`")]
    Unpublished(GraphVersion),
    /// It was retired.
    #[error("version {0} is retired")]
    Retired(GraphVersion),
    /// This program cannot read it; why.
    #[error("{0}")]
    Unreadable(String),
    /// A process that runs cannot.
    #[error(transparent)]
    Unable(#[from] Unable),
}

/// A process that runs and does not know what a version needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{process} ({role}) cannot run version {version}: it does not know {}", missing.join(", "))]
pub struct Unable {
    /// Its name: host and process id.
    pub process: String,
    /// Its role.
    pub role: String,
    /// Of which version.
    pub version: GraphVersion,
    /// What it does not know, such as `effect notify_customer` or `condition been_in`.
    pub missing: Vec<String>,
}

/// What became of a routing that was found in a template or in AppConfig.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adoption {
    /// New orders follow it.
    Taken,
    /// This database follows it already, or a newer one.
    Known,
    /// It cannot be activated; the one before stays.
    Refused(NotActivated),
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

/// Waits for an activation that is under way, and keeps further ones waiting until the transaction ends.
pub(super) async fn share_fence(tx: &mut Tx) -> Result<(), DbError> {
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

const RUNNING: &str = "SELECT process, role, report FROM processes WHERE seen_at >= $1 ORDER BY role, process";

fn first_unable(processes: &[Row], graph: &Graph) -> Result<Option<Unable>, DbError> {
    let mut unable = processes.iter().map(|process| unable(process, graph));
    unable.find_map(Result::transpose).transpose()
}

/// What a process lacks to run a version. One of a release that does not say what it knows lacks everything.
fn unable(process: &Row, graph: &Graph) -> Result<Option<Unable>, DbError> {
    let report = process.json("report")?;
    let knows: Vocabulary = serde_json::from_value(report["knows"].clone()).unwrap_or_default();
    let missing: Vec<String> = graph.words().difference(&knows).cloned().collect();
    if missing.is_empty() {
        return Ok(None);
    }
    Ok(Some(Unable {
        process: process.text("process")?,
        role: process.text("role")?,
        version: graph.version(),
        missing,
    }))
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
        let refused = match self.why_not_known(&mut tx, machine, shares).await? {
            None => self.why_not_run(&mut tx, machine, shares).await?,
            refused => refused,
        };
        if let Some(refused) = refused {
            tx.rollback().await?;
            return Ok(Activated::Refused(refused));
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

    /// Takes over a routing, of a template or AppConfig, if it is newer than what this database follows. Refuses what could not be
    /// activated either.
    pub async fn follow(&self, machine: &str, routing: Activation, by: &str) -> Result<Adoption, DbError> {
        let now = self.now().await?;
        let mut tx = self.db.tx().await?;
        close_fence(&mut tx).await?;
        let before = newest(&mut tx, machine).await?;
        if before.is_some_and(|before| before.revision >= routing.revision) {
            tx.rollback().await?;
            return Ok(Adoption::Known);
        }
        let refused = match self.why_not_known(&mut tx, machine, &routing.shares).await? {
            None => self.why_not_run(&mut tx, machine, &routing.shares).await?,
            refused => refused,
        };
        if let Some(refused) = refused {
            tx.rollback().await?;
            return Ok(Adoption::Refused(refused));
        }
        insert(&mut tx, machine, &routing, (by, now.into())).await?;
        tx.commit().await?;
        Ok(Adoption::Taken)
    }

    /// Whether one of these versions was never published, or is retired.
    async fn why_not_known(
        &self,
        tx: &mut Tx,
        machine: &str,
        shares: &[Share],
    ) -> Result<Option<NotActivated>, DbError> {
        let published = versions(tx, "graph_versions", machine).await?;
        let retired = versions(tx, "graph_retirements", machine).await?;
        Ok(shares.iter().find_map(|Share { version, .. }| match version {
            version if !published.contains(version) => Some(NotActivated::Unpublished(*version)),
            version if retired.contains(version) => Some(NotActivated::Retired(*version)),
            _ => None,
        }))
    }

    /// Whether this program, or a process that runs, does not know what one of these versions needs.
    async fn why_not_run(&self, tx: &mut Tx, machine: &str, shares: &[Share]) -> Result<Option<NotActivated>, DbError> {
        let since = self.now().await? - GONE;
        let processes = tx.rows(RUNNING, vec![since.into()]).await?;
        for Share { version, .. } in shares {
            let sql = "SELECT document FROM graph_versions WHERE machine = $1 AND version = $2";
            let rows = tx.rows(sql, vec![machine.into(), i64::from(version.0).into()]).await?;
            let document = rows.first().map_or(Ok(Json::Null), |row| row.json("document"))?;
            let graph = match read_graph(machine, *version, document) {
                Ok(graph) => graph,
                Err(unreadable) => return Ok(Some(NotActivated::Unreadable(unreadable.to_string()))),
            };
            if let Some(unable) = first_unable(&processes, &graph)? {
                return Ok(Some(NotActivated::Unable(unable)));
            }
        }
        Ok(None)
    }

    /// A process that runs and does not know what this version needs, if there is one.
    pub async fn unable_to_run(&self, graph: &Graph) -> Result<Option<Unable>, DbError> {
        let since = self.now().await? - GONE;
        let processes = self.db.rows(RUNNING, vec![since.into()]).await?;
        first_unable(&processes, graph)
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
