//! Group commit: one task owns every write transaction of the process; many commands share one commit, each has its own answer.
//!
//! Nothing waits when the database is idle: a batch is what came in while the batch before was written. A command answers
//! after the commit that holds it, and only then.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tracing::{error, warn};

use super::db::DbError;
use super::record::Effect;
use super::{Needs, Store, Unit};
use crate::crash::{self, Point};

/// Commands that share a commit, at most.
const BATCH: usize = 256;
/// Commands that wait, at most; more wait outside.
const QUEUE: usize = 1024;
/// How often a command that lost against another transaction is done again.
const TRIES: u32 = 6;

/// Something to be written. It runs on memory alone, possibly more than once: only the run that is committed counts.
pub trait Command: Send + 'static {
    /// What the caller learns.
    type Answer: Send + 'static;

    /// What it has to see.
    fn needs(&self) -> Needs;

    /// Decides, and puts what follows into the unit.
    fn run(&self, unit: &mut Unit) -> Self::Answer;

    /// Whether a crash of the database may forget it, because what it says is found out again.
    fn is_forgettable(&self) -> bool {
        false
    }
}

/// Why a command was not committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The store does not answer; whether it was committed is not known. The same command again is safe, by its key.
    #[error("the store does not answer")]
    Unavailable(#[source] Option<Arc<DbError>>),
    /// The database refuses what the command would write.
    #[error("the store refuses it: {0}")]
    Refused(String),
}

/// The way to the committer.
#[derive(Debug, Clone)]
pub struct Committer {
    jobs: mpsc::Sender<Box<dyn Job>>,
}

/// What follows a commit: effects that may be published at once, in order per delivery order.
pub type AfterCommit = Arc<dyn Fn(Vec<Effect>, Committed) + Send + Sync>;

/// What else a commit did.
#[derive(Debug, Clone, Copy, Default)]
pub struct Committed {
    /// Messages were put into the in-process transport.
    pub messages: bool,
    /// Deadlines or effects may be due earlier than was known.
    pub due: bool,
    /// Something happened of which subscribers may want to hear.
    pub told: bool,
}

impl Committer {
    /// Starts the committer of this process. It ends when every handle is gone and what was submitted is written.
    pub fn start(store: Store, after: AfterCommit) -> (Self, tokio::task::JoinHandle<()>) {
        let (jobs, queue) = mpsc::channel(QUEUE);
        (Self { jobs }, tokio::spawn(run(store, queue, after)))
    }

    /// Writes a command and answers after the commit. Dropping the future does not stop the command.
    pub async fn submit<C: Command>(&self, command: C) -> Result<C::Answer, CommitError> {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Pending {
            command,
            answer: None,
            reply: Some(reply),
        });
        self.jobs.send(job).await.map_err(|_| CommitError::Unavailable(None))?;
        answer.await.map_err(|_| CommitError::Unavailable(None))?
    }

    /// How many commands wait.
    pub fn depth(&self) -> usize {
        QUEUE - self.jobs.capacity()
    }
}

trait Job: Send {
    fn needs(&self) -> Needs;
    fn run(&mut self, unit: &mut Unit);
    fn is_forgettable(&self) -> bool;
    fn reply(&mut self, outcome: Result<(), CommitError>);
}

struct Pending<C: Command> {
    command: C,
    answer: Option<C::Answer>,
    reply: Option<oneshot::Sender<Result<C::Answer, CommitError>>>,
}

impl<C: Command> Job for Pending<C> {
    fn needs(&self) -> Needs {
        self.command.needs()
    }

    fn run(&mut self, unit: &mut Unit) {
        self.answer = Some(self.command.run(unit));
    }

    fn is_forgettable(&self) -> bool {
        self.command.is_forgettable()
    }

    fn reply(&mut self, outcome: Result<(), CommitError>) {
        let Some(reply) = self.reply.take() else { return };
        let answer = outcome.map(|()| self.answer.take().expect("a committed command has run"));
        // The caller may have gone; what it asked for is written all the same.
        let _ = reply.send(answer);
    }
}

async fn run(store: Store, mut queue: mpsc::Receiver<Box<dyn Job>>, after: AfterCommit) {
    let mut waiting: VecDeque<Box<dyn Job>> = VecDeque::new();
    loop {
        if waiting.is_empty() {
            match queue.recv().await {
                Some(job) => waiting.push_back(job),
                None => return,
            }
        }
        while waiting.len() < BATCH {
            match queue.try_recv() {
                Ok(job) => waiting.push_back(job),
                Err(_) => break,
            }
        }
        let batch = take_batch(&mut waiting);
        metrics::histogram!("commit_batch_size").record(f64::from(u32::try_from(batch.len()).unwrap_or(u32::MAX)));
        write(&store, batch, &after).await;
    }
}

/// Takes the commands that can share a transaction: no two that touch the same thing, and none before an older one that it touches.
fn take_batch(waiting: &mut VecDeque<Box<dyn Job>>) -> Vec<(Needs, Box<dyn Job>)> {
    let mut touched = HashSet::new();
    let mut batch = Vec::new();
    let mut later = VecDeque::new();
    for job in waiting.drain(..) {
        let needs = job.needs();
        let touches = needs.touches();
        let free = batch.len() < BATCH && touches.iter().all(|touch| !touched.contains(touch));
        touched.extend(touches);
        if free {
            batch.push((needs, job));
        } else {
            later.push_back(job);
        }
    }
    *waiting = later;
    batch
}

async fn write(store: &Store, mut batch: Vec<(Needs, Box<dyn Job>)>, after: &AfterCommit) {
    let error = match attempt(store, &mut batch, after).await {
        Ok(()) => return batch.iter_mut().for_each(|(_, job)| job.reply(Ok(()))),
        Err(error) => error,
    };
    if let DbError::Unavailable(_) = error {
        warn!(
            "{} commands are not known to be written: {error}: {}",
            batch.len(),
            source(&error)
        );
        let error = Arc::new(error);
        batch
            .iter_mut()
            .for_each(|(_, job)| job.reply(Err(CommitError::Unavailable(Some(error.clone())))));
        return;
    }
    // One of them is refused, left to another process, or lost against it: each for itself, so that it takes no other down.
    metrics::counter!("commit_batches_redone_total").increment(1);
    for single in batch {
        write_single(store, single, after).await;
    }
}

async fn write_single(store: &Store, single: (Needs, Box<dyn Job>), after: &AfterCommit) {
    let mut single = [single];
    for attempt_number in 1..=TRIES {
        let error = match attempt(store, &mut single, after).await {
            Ok(()) => return single[0].1.reply(Ok(())),
            Err(error) => error,
        };
        let last = attempt_number == TRIES;
        match error {
            // A unique key that another process has just taken reads as a duplicate when the command is run again.
            DbError::Serialization(_) | DbError::Constraint { .. } if !last => {
                tokio::time::sleep(Duration::from_millis(5 * u64::from(attempt_number))).await;
            }
            DbError::Constraint { ref constraint, .. } => {
                error!("a command is refused by {constraint}: {}", source(&error));
                return single[0].1.reply(Err(CommitError::Refused(constraint.clone())));
            }
            DbError::Failed(_) => {
                error!("a command cannot be written: {error}: {}", source(&error));
                return single[0].1.reply(Err(CommitError::Refused(source(&error))));
            }
            error => {
                if let DbError::Unreadable(unreadable) = &error {
                    error!("a command is left to another process: {unreadable}");
                }
                return single[0].1.reply(Err(CommitError::Unavailable(Some(Arc::new(error)))));
            }
        }
    }
}

async fn attempt(store: &Store, batch: &mut [(Needs, Box<dyn Job>)], after: &AfterCommit) -> Result<(), DbError> {
    let now = store.now().await?;
    let forgettable = batch.iter().all(|(_, job)| job.is_forgettable());
    let mut tx = match forgettable {
        true => store.db().forgettable_tx().await?,
        false => store.db().tx().await?,
    };
    let needs: Vec<Needs> = batch.iter().map(|(needs, _)| needs.clone()).collect();
    let mut unit = Unit::load(&mut tx, needs, now).await?;
    store.learn(&mut tx, &unit).await?;
    for (_, job) in batch.iter_mut() {
        job.run(&mut unit);
    }
    let committed = Committed {
        messages: !unit.writes.messages.is_empty() || !unit.writes.returned_messages.is_empty(),
        due: !unit.writes.unparked.is_empty()
            || !unit.writes.changed_effects.is_empty()
            || !unit.writes.parked.is_empty(),
        told: !unit.writes.told.is_empty(),
    };
    let publish = unit.publishable();
    let takes_callbacks = !unit.writes.callbacks.is_empty();
    unit.flush(&mut tx).await?;
    if takes_callbacks {
        crash::pass(Point::BeforeCommit);
    }
    tx.commit().await?;
    if takes_callbacks {
        crash::pass(Point::AfterStore);
    }
    after(publish, committed);
    Ok(())
}

fn source(error: &DbError) -> String {
    std::error::Error::source(error).map_or_else(String::new, ToString::to_string)
}
