//! The engine: an event in, one transaction, an answer after the commit.
//!
//! What is told to it has a key, and the key is in the transaction: told twice is told once.

pub mod apply;
pub mod booking;
pub mod callback;
pub mod case;
pub mod confirmation;
mod core;
mod deadline;
mod delivery;
mod effect;
pub mod handover;
pub mod instances;
mod keep;
mod message;
pub mod migration;
pub mod orders;
pub mod outgoing;
pub mod payment;
mod rejection;
pub mod replay;
mod silence;

use std::sync::Arc;

use serde_json::Value as Json;
use tokio::task::{JoinHandle, JoinSet};
use tracing::error;
use waybill_domain::{GraphVersion, MachineName, OrderId};

use crate::store::committer::{AfterCommit, CommitError, Committer};
use crate::store::intake::Intake;
use crate::store::{Activation, Adoption, DbError, Store};
use crate::template::Template;

pub use apply::{Answer, Report};
pub use core::{MACHINE, Outside};
pub use message::{DeadMessage, EVENTS_EXCHANGE, unpack};

use core::Core;
use rejection::Rejections;

/// The engine of this process.
#[derive(Clone)]
pub struct Engine {
    core: Arc<Core>,
    committer: Committer,
    /// Where callbacks have a short way into the store.
    intake: Option<Intake>,
    rejections: Rejections,
}

/// Why the engine did not answer.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The store does not answer: nothing is known to have happened, and telling it again with the same key is safe.
    #[error("the store does not answer")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store refuses what follows; a fault of ours that the log names.
    #[error("the store refuses it: {0}")]
    Refused(String),
}

impl From<CommitError> for EngineError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Refused(why) => Self::Refused(why),
            unavailable @ CommitError::Unavailable(_) => Self::Unavailable(unavailable.into()),
        }
    }
}

impl From<DbError> for EngineError {
    fn from(error: DbError) -> Self {
        Self::Unavailable(error.into())
    }
}

/// Why a graph cannot be used with this database.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// A version was published before with other content.
    #[error(
        "{machine} version {version} was published with sha256 {kept}, the template has {found}: publish a new version instead"
    )]
    Changed {
        /// The machine.
        machine: String,
        /// The version.
        version: GraphVersion,
        /// What the database keeps.
        kept: String,
        /// What the template says.
        found: String,
    },
    /// The template routes no version of the machine that this program is about.
    #[error("the template routes new orders of {0} to no version")]
    NotRouted(&'static str),
    /// The store does not answer.
    #[error("the store does not answer")]
    Unavailable(#[from] DbError),
}

impl Engine {
    /// Starts the engine on a store: keeps the template's versions, refuses changed ones, starts what writes. The task that is
    /// answered fails if any of that dies.
    pub async fn start(
        store: Store,
        template: Arc<Template>,
        outside: Outside,
        after: AfterCommit,
    ) -> Result<(Self, JoinHandle<()>), GraphError> {
        if template.routing(MACHINE).is_none() {
            return Err(GraphError::NotRouted(MACHINE));
        }
        for published in template.published() {
            let graph = published.graph();
            store.know(graph.clone());
            let (machine, version) = (graph.machine().to_string(), graph.version());
            let document = serde_json::from_str(published.canonical_json()).unwrap_or(Json::Null);
            let kept = store
                .keep_version(&machine, version.0, published.sha256(), document)
                .await?;
            if kept != published.sha256() {
                let found = published.sha256().to_owned();
                return Err(GraphError::Changed {
                    machine,
                    version,
                    kept,
                    found,
                });
            }
        }
        follow(&store, &template).await?;
        store.learn_all().await?;
        let mut writing = JoinSet::new();
        // SQLite has one writer, and a message of the in-process transport is one more row: there the committer does all.
        let intake = (store.db().is_shared() && !outside.local).then(|| Intake::start(&store, &after, &mut writing));
        let (committer, task) = Committer::start(store.clone(), after);
        writing.spawn(async { task.await.expect("the committer lives") });
        let rejections = Rejections::start(store.clone());
        Ok((
            Self {
                intake,
                rejections,
                core: Arc::new(Core {
                    store,
                    template,
                    outside,
                }),
                committer,
            },
            tokio::spawn(async {
                writing.join_all().await;
            }),
        ))
    }

    /// Takes over the template's routing, where that was refused before because of a process that has gone meanwhile.
    pub async fn follow_template(&self) -> Result<(), DbError> {
        follow(&self.core.store, &self.core.template).await
    }

    /// The store, to read from.
    pub fn store(&self) -> &Store {
        &self.core.store
    }

    /// The graphs.
    pub fn template(&self) -> &Arc<Template> {
        &self.core.template
    }

    /// Names and addresses outside.
    pub fn outside(&self) -> &Outside {
        &self.core.outside
    }

    /// The message that carries an effect.
    pub fn message_of(&self, effect: &crate::store::record::Effect) -> waybill_tasks::celery::message::Message {
        message::of_effect(effect, &self.core.outside.queue)
    }

    /// How many writes wait.
    pub fn depth(&self) -> usize {
        self.committer.depth()
    }

    /// The graph that an instance is pinned to; none if this program cannot read it.
    pub async fn graph_of(
        &self,
        machine: &MachineName,
        version: GraphVersion,
    ) -> Result<Option<Arc<waybill_domain::Graph>>, DbError> {
        self.core.store.learnt_graph(machine.as_str(), version).await
    }
}

/// Lets new orders be born as a template says, if its routing is newer than what the database follows and every process can.
async fn follow(store: &Store, template: &Template) -> Result<(), DbError> {
    for routing in template.routings() {
        let activation = Activation {
            revision: routing.revision,
            shares: routing.active.clone(),
        };
        if let Adoption::Refused(refused) = store.follow(&routing.machine, activation, "template").await? {
            let (machine, revision) = (&routing.machine, routing.revision);
            error!("{machine}: routing {revision} of the template is not followed: {refused}");
        }
    }
    Ok(())
}

/// A new order's id: they rise with time, which keeps indexes small.
fn new_order_id() -> OrderId {
    OrderId(uuid::Uuid::now_v7())
}
