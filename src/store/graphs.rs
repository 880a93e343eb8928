//! The graph versions that this process can read: of its template, and those that others have published in the database.
//!
//! A version that an order is pinned to, or is to be born with, is learnt in the transaction that needs it. One that this program
//! cannot read (a newer one knows more effects or conditions) is left to others, and said so: no order is born of it here, none moves.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use serde_json::Value as Json;
use tracing::error;
use waybill_domain::{Graph, GraphDocument, GraphVersion, MachineName};

use super::db::{DbError, Tx};
use super::rows::undecodable;
use super::{Store, Unit};

const DOCUMENT: &str = "SELECT document FROM graph_versions WHERE machine = $1 AND version = $2";

const MACHINES: &str = "SELECT DISTINCT machine FROM graph_versions ORDER BY machine";

const VERSIONS: &str = "SELECT version FROM graph_versions WHERE machine = $1 ORDER BY version";

type Graphs = BTreeMap<(MachineName, GraphVersion), Arc<Graph>>;

/// Versions that were read and checked.
#[derive(Debug, Clone, Default)]
pub(super) struct Known(Arc<RwLock<Graphs>>);

/// Why a published version cannot be used by this program.
#[derive(Debug, thiserror::Error)]
#[error("this program cannot read {machine} version {version}: {why}")]
pub struct Unreadable {
    machine: String,
    version: GraphVersion,
    why: String,
}

/// The graph of a document that some program has published.
pub fn read_graph(machine: &str, version: GraphVersion, document: Json) -> Result<Graph, Unreadable> {
    let unreadable = |why| Unreadable {
        machine: machine.to_owned(),
        version,
        why,
    };
    let document: GraphDocument = serde_json::from_value(document).map_err(|error| unreadable(error.to_string()))?;
    Graph::check(document).map_err(|defects| {
        let defects: Vec<String> = defects.iter().map(ToString::to_string).collect();
        unreadable(defects.join("; "))
    })
}

impl Store {
    /// Keeps a version for everybody in this process.
    pub fn know(&self, graph: Arc<Graph>) {
        let key = (graph.machine().clone(), graph.version());
        let mut known = self.graphs.0.write().expect("nothing panics while it holds this");
        known.insert(key, graph);
    }

    /// A version that this process knows.
    pub fn graph(&self, machine: &str, version: GraphVersion) -> Option<Arc<Graph>> {
        let known = self.graphs.0.read().expect("nothing panics while it holds this");
        known.get(&(MachineName::from(machine), version)).cloned()
    }

    /// The same, learnt from the database if another process has published it since; none if this program cannot read it.
    pub async fn learnt_graph(&self, machine: &str, version: GraphVersion) -> Result<Option<Arc<Graph>>, DbError> {
        if self.graph(machine, version).is_none() {
            let row = self
                .db
                .row(DOCUMENT, vec![machine.into(), i64::from(version.0).into()])
                .await?;
            match row.map(|row| row.json("document")).transpose()? {
                None => return Ok(None),
                Some(document) => match read_graph(machine, version, document) {
                    Ok(graph) => self.know(Arc::new(graph)),
                    Err(unreadable) => error!("{unreadable}"),
                },
            }
        }
        Ok(self.graph(machine, version))
    }

    /// Every version of a machine that this process knows.
    pub fn graphs(&self, machine: &str) -> Vec<Arc<Graph>> {
        let known = self.graphs.0.read().expect("nothing panics while it holds this");
        let of_machine = known.values().filter(|graph| graph.machine() == machine);
        of_machine.cloned().collect()
    }

    /// Every version of every machine that this process knows.
    pub fn every_graph(&self) -> Vec<Arc<Graph>> {
        let known = self.graphs.0.read().expect("nothing panics while it holds this");
        known.values().cloned().collect()
    }

    /// Learns every version of every machine that was published; those that cannot be read are told.
    pub async fn learn_all(&self) -> Result<(), DbError> {
        for row in &self.db.rows(MACHINES, vec![]).await? {
            self.learnt_graphs(&row.text("machine")?).await?;
        }
        Ok(())
    }

    /// Every published version of a machine that this program can read; those that it cannot are told.
    pub async fn learnt_graphs(&self, machine: &str) -> Result<Vec<Arc<Graph>>, DbError> {
        for row in &self.db.rows(VERSIONS, vec![machine.into()]).await? {
            let version = row.int("version")?;
            let version = u32::try_from(version).map_err(|_| undecodable("version", &version.to_string()))?;
            self.learnt_graph(machine, GraphVersion(version)).await?;
        }
        Ok(self.graphs(machine))
    }

    /// Learns the versions that a unit's orders are pinned to, and those that orders may be born with in it. Where one
    /// cannot be read nothing of it may be decided here: not knowing an event is no reason to refuse it.
    pub(super) async fn learn(&self, tx: &mut Tx, unit: &Unit) -> Result<(), DbError> {
        let pinned = unit
            .orders
            .values()
            .map(|it| (it.machine.clone(), it.order.graph_version));
        for (machine, version) in pinned.chain(unit.may_be_born()) {
            self.learn_one(tx, machine.as_str(), version).await?;
        }
        Ok(())
    }

    async fn learn_one(&self, tx: &mut Tx, machine: &str, version: GraphVersion) -> Result<(), DbError> {
        if self.graph(machine, version).is_some() {
            return Ok(());
        }
        let rows = tx
            .rows(DOCUMENT, vec![machine.into(), i64::from(version.0).into()])
            .await?;
        let document = rows.first().map_or(Ok(Json::Null), |row| row.json("document"))?;
        self.know(Arc::new(read_graph(machine, version, document)?));
        Ok(())
    }
}
