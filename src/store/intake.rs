//! The short way into the store for callbacks that nobody told before: one statement, and one round trip, for many of them.
//!
//! A new callback touches nothing that exists, so nothing is read, locked or decided before it is written. The lanes are
//! transactions side by side. What a lane finds to be told before, or cannot write, is for the committer to decide.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;
use tracing::warn;
use uuid::Uuid;

use super::Store;
use super::callbacks::{NEW_CALLBACK, new_callback};
use super::committer::{AfterCommit, CommitError, Committed};
use super::db::{DbError, Value, arrays};
use super::record::{APPLY_CALLBACK, Callback, Effect};
use crate::crash::{self, Point};

/// Callbacks that share a commit, at most.
const BATCH: usize = 256;
/// Callbacks that wait, at most; more wait outside.
const QUEUE: usize = 1024;
/// Commits at the same time: while the database works for one, the next gathers and is sent.
const LANES: usize = 2;

/// What became of a callback that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// It is new, and committed.
    Taken,
    /// It was told before, or could not be written among others: the committer has to look at it.
    Undecided,
}

/// The way to the lanes.
#[derive(Debug, Clone)]
pub struct Intake {
    offers: mpsc::Sender<Offer>,
}

#[derive(Debug)]
struct Offer {
    callback: Callback,
    reply: oneshot::Sender<Result<Offered, CommitError>>,
}

impl Intake {
    /// Starts the lanes as these tasks. They end when every handle is gone and what was offered is written.
    pub fn start(store: &Store, after: &AfterCommit, tasks: &mut JoinSet<()>) -> Self {
        let (offers, queue) = mpsc::channel(QUEUE);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..LANES {
            tasks.spawn(run(store.clone(), queue.clone(), after.clone()));
        }
        Self { offers }
    }

    /// Writes a callback, if it is new, and answers after the commit. Dropping the future does not stop it.
    pub async fn offer(&self, callback: Callback) -> Result<Offered, CommitError> {
        let (reply, answer) = oneshot::channel();
        let offer = Offer { callback, reply };
        self.offers
            .send(offer)
            .await
            .map_err(|_| CommitError::Unavailable(None))?;
        answer.await.map_err(|_| CommitError::Unavailable(None))?
    }
}

async fn run(store: Store, queue: Arc<Mutex<mpsc::Receiver<Offer>>>, after: AfterCommit) {
    let mut batch = Vec::with_capacity(BATCH);
    // One lane gathers at a time; those that write leave the queue to it.
    while queue.lock().await.recv_many(&mut batch, BATCH).await > 0 {
        metrics::histogram!("intake_batch_size").record(f64::from(u32::try_from(batch.len()).unwrap_or(u32::MAX)));
        write(&store, batch.drain(..), &after).await;
    }
}

async fn write(store: &Store, batch: impl Iterator<Item = Offer>, after: &AfterCommit) {
    let (callbacks, waiting): (Vec<_>, Vec<_>) = batch
        .map(|offer| {
            let id = offer.callback.callback_id;
            (offer.callback, (id, offer.reply))
        })
        .unzip();
    crash::pass(Point::BeforeCommit);
    let written = store.keep_new(callbacks).await;
    if written.is_ok() {
        crash::pass(Point::AfterStore);
    }
    if let Ok((kept, at)) = &written {
        let effects = kept.iter().map(|id| Effect::of_callback(*id, *at)).collect();
        after(effects, Committed::default());
    }
    let outcome = |id: &Uuid| match &written {
        Ok((kept, _)) if kept.contains(id) => Ok(Offered::Taken),
        Err(Failure::Unavailable(error)) => Err(CommitError::Unavailable(Some(error.clone()))),
        // What one of them met takes no other down: the committer does them one by one, if it must.
        Ok(_) | Err(Failure::Refused) => Ok(Offered::Undecided),
    };
    for (id, reply) in waiting {
        // The caller may have gone; what it asked for is written all the same.
        let _ = reply.send(outcome(&id));
    }
}

/// Why a batch was not written.
enum Failure {
    /// Whether it was is not known.
    Unavailable(Arc<DbError>),
    /// Nothing of it was.
    Refused,
}

/// A new callback with its key and its effect; what is known already is left as it is, and not answered.
fn statement(first: &[Value]) -> String {
    format!(
        "WITH kept AS (
            INSERT INTO callbacks ({})
            {} ON CONFLICT (partner, event_id) DO NOTHING RETURNING callback_id, partner, event_id, sha256, received_at
        ), told AS (
            INSERT INTO inbox (source, key, outcome, payload_hash, received_at)
            SELECT 'callback', partner || ' ' || event_id, 'stored', sha256, received_at FROM kept
        ), asked AS (
            INSERT INTO effects (effect_id, sequence, ordinal, name, subject, state, attempts, due_at, created_at)
            SELECT callback_id, 0, 0, '{APPLY_CALLBACK}', callback_id, 'requested', 0, received_at, received_at FROM kept
        ) SELECT callback_id FROM kept",
        NEW_CALLBACK.join(", "),
        arrays::unnest(first)
    )
}

impl Store {
    /// Keeps those of these callbacks that are new, all in one commit of PostgreSQL; answers their ids, and when it was.
    async fn keep_new(&self, mut callbacks: Vec<Callback>) -> Result<(HashSet<Uuid>, DateTime<Utc>), Failure> {
        // Always in the order of the keys: two that insert the same ones wait for each other, and never in a circle.
        callbacks.sort_by(|a, b| (&a.partner, &a.event_id).cmp(&(&b.partner, &b.event_id)));
        let write = async {
            let now = self.now().await?;
            let rows: Vec<Vec<Value>> = callbacks
                .into_iter()
                .map(|callback| new_callback(callback, now))
                .collect();
            let sql = statement(&rows[0]);
            let kept = self.db.write_by_columns(&sql, rows).await?;
            let kept: Result<_, DbError> = kept.iter().map(|row| row.uuid("callback_id")).collect();
            Ok((kept?, now))
        };
        write.await.map_err(|error| match error {
            DbError::Unavailable(_) => Failure::Unavailable(Arc::new(error)),
            error => {
                warn!("callbacks go one by one: {error}");
                Failure::Refused
            }
        })
    }
}
