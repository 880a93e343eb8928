//! Tasks that follow tasks: links, chains, groups and chords, as a worker goes on with them and as a client starts them.
//!
//! A worker calls [`Canvas::succeeded`] or [`Canvas::failed`] before it stores a result, and [`Canvas::stored`] after it; the
//! message is acknowledged when all that has come through. Whatever is sent gets ids that are derived from the task that it
//! follows, so that a message that is dealt with twice sends the same tasks twice, and not other ones.
//!
//! ```
//! use serde_json::json;
//! use waybill_tasks::celery::canvas::{chain, chord, group, task};
//!
//! let both = group([task("math.add").args([2, 2]), task("math.add").args([4, 4])]);
//! let sum = chain([both, task("math.sum"), task("math.double")]);
//!
//! assert_eq!(sum.write()["subtask_type"], "chain");
//! # let _ = chord([task("a"), task("b")], task("c"));
//! ```

mod build;
pub mod builtins;
mod chords;
mod failure;
mod freeze;
mod ids;
mod message;
mod plan;
mod replace;
mod sig;
mod steps;

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;

use super::message::Message;
use super::protocol::Request;
use super::results::{ChordRun, Exception, ResultBackend, ResultError, ResultTree};
use super::transport::{PublishError, Routing, Transport};
use ids::Ids;
use message::Lineage;
use plan::{Act, Joining, Planner, With};
use sig::{Shape, listed};

pub use build::{chain, chord, chunks, group, map, starmap, task};
pub use sig::{BadSignature, Sig};

type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// How many messages are on their way to the broker at once.
const IN_FLIGHT: usize = 64;

/// Why what follows could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum CanvasError {
    /// A signature cannot be read.
    #[error(transparent)]
    Signature(#[from] BadSignature),
    /// A chord, and nobody who could bring its results together.
    #[error("Starting chords requires a result backend to be configured.")]
    NoBackend,
    /// The task cannot be replaced by that.
    #[error("{0}")]
    Unreplaceable(&'static str),
    /// A message is not known to be with the broker.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The result backend.
    #[error(transparent)]
    Results(#[from] ResultError),
    /// Another worker has been about to publish a chord's body for too long.
    #[error("the body of chord {0} is being published by another worker")]
    Claimed(String),
}

impl CanvasError {
    /// It can come right: deal with the message again.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Publish(error) => match error {
                PublishError::Unconfirmed(_) | PublishError::Refused { .. } => true,
                PublishError::Unroutable { .. } | PublishError::Impossible(_) => false,
            },
            Self::Results(error) => matches!(error, ResultError::Away(_)),
            Self::Claimed(_) => true,
            Self::Signature(_) | Self::NoBackend | Self::Unreplaceable(_) => false,
        }
    }

    /// What Python would have raised.
    pub fn exception(&self) -> Exception {
        let (exc_type, exc_module) = match self {
            Self::NoBackend => ("NotImplementedError", "builtins"),
            Self::Unreplaceable(_) => ("ImproperlyConfigured", "celery.exceptions"),
            Self::Publish(_) => ("OperationalError", "kombu.exceptions"),
            Self::Results(_) => ("BackendStoreError", "celery.exceptions"),
            Self::Signature(_) | Self::Claimed(_) => ("ValueError", "builtins"),
        };
        Exception::new(exc_type, exc_module, self.to_string())
    }
}

/// Sends signatures, and what follows tasks.
#[derive(Clone)]
pub struct Canvas {
    transport: Arc<dyn Transport>,
    backend: Option<Arc<dyn ResultBackend>>,
    default_queue: Arc<str>,
    clock: Clock,
}

impl Canvas {
    /// What names no queue goes to the default one. Without a backend chords cannot start, and a chain that breaks tells only
    /// those who wait over `rpc://`.
    pub fn new(transport: Arc<dyn Transport>, default_queue: impl Into<Arc<str>>) -> Self {
        Self {
            transport,
            backend: None,
            default_queue: default_queue.into(),
            clock: Arc::new(Utc::now),
        }
    }

    /// Where results are.
    #[must_use]
    pub fn with_results(mut self, backend: Arc<dyn ResultBackend>) -> Self {
        self.backend = Some(backend);
        self
    }

    /// Another clock than the machine's.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// A task has returned: publishes its callbacks and the next step of its chain, and answers its children for the result, which
    /// is stored after this. An error that is not passing is the task's failure.
    pub async fn succeeded(&self, request: &Request, value: &Value) -> Result<Vec<Value>, CanvasError> {
        let (callbacks, chain) = (
            listed(Some(&request.embed.callbacks)),
            listed(Some(&request.embed.chain)),
        );
        if callbacks.is_empty() && chain.is_empty() {
            return Ok(Vec::new());
        }
        let mut planner = self.planner(Lineage::of(request), Ids::following(request, "link"), ChordRun::Once);
        let with = With::args(vec![value.clone()]);
        for callback in grouped(&callbacks)? {
            planner.apply(callback, with.clone())?;
        }
        planner.ids = Ids::following(request, "chain");
        if let Some(next) = next_step(chain)? {
            planner.apply(next, with)?;
        }
        let children = std::mem::take(&mut planner.trail);
        self.carry_out(planner.acts).await?;
        Ok(children)
    }

    /// Applies a signature that a running task sends: `place` says which of all that it sends. Answers the shape of its results,
    /// and the task's children that it makes.
    pub async fn apply_within(
        &self,
        sig: Sig,
        args: Vec<Value>,
        parent: &Request,
        place: &str,
    ) -> Result<(ResultTree, Vec<Value>), CanvasError> {
        let mut planner = self.planner(Lineage::of(parent), Ids::following(parent, place), ChordRun::Once);
        let tree = planner.apply(sig, With::args(args))?;
        let children = std::mem::take(&mut planner.trail);
        self.carry_out(planner.acts).await?;
        Ok((tree, children))
    }

    /// Applies a signature for a client, with new ids where it has none.
    pub async fn apply(&self, sig: Sig) -> Result<ResultTree, CanvasError> {
        let mut planner = self.planner(Lineage::default(), Ids::random(), ChordRun::New);
        let tree = planner.apply(sig, With::default())?;
        self.carry_out(planner.acts).await?;
        Ok(tree)
    }

    fn planner(&self, lineage: Lineage, ids: Ids, run: ChordRun) -> Planner<'_> {
        let joining = match &self.backend {
            None => Joining::Impossible,
            Some(backend) if backend.chords().is_some() => Joining::Counting,
            Some(_) => Joining::Polling,
        };
        Planner {
            lineage,
            default_queue: &self.default_queue,
            joining,
            run,
            now: (self.clock)(),
            ids,
            acts: Vec::new(),
            trail: Vec::new(),
            within: 0,
        }
    }

    /// Everything is with the broker when this returns. Every chord is begun before anything is sent: while the backend is away the
    /// task comes again, and nothing has been sent for it by then.
    async fn carry_out(&self, acts: Vec<Act>) -> Result<(), CanvasError> {
        let mut messages = Vec::new();
        self.begin(acts, &mut messages).await?;
        self.publish_all(messages).await
    }

    fn begin<'a>(&'a self, acts: Vec<Act>, messages: &'a mut Vec<Message>) -> BoxFuture<'a, Result<(), CanvasError>> {
        Box::pin(async move {
            for act in acts {
                match act {
                    Act::Send(message) => messages.push(message),
                    Act::Chord(start, parts) => {
                        let counter = self.backend.as_deref().and_then(ResultBackend::chords);
                        if counter.ok_or(CanvasError::NoBackend)?.begin(&start).await? {
                            self.begin(parts, messages).await?;
                        }
                    }
                }
            }
            Ok(())
        })
    }

    async fn publish_all(&self, messages: Vec<Message>) -> Result<(), CanvasError> {
        let publishing = messages.into_iter().map(|message| self.publish(message));
        stream::iter(publishing)
            .buffered(IN_FLIGHT)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(())
    }

    /// A queue that nobody has made is made, as Python's producers do.
    async fn publish(&self, message: Message) -> Result<(), CanvasError> {
        let again = message.clone();
        match self.transport.publish(message, Routing::Mandatory).await {
            Err(PublishError::Unroutable { exchange, routing_key }) if exchange.is_empty() => {
                self.transport.ensure_queue(&routing_key).await;
                Ok(self.transport.publish(again, Routing::Mandatory).await?)
            }
            other => Ok(other?),
        }
    }
}

/// One callback is applied by itself; of several, those that are no groups are sent as one.
fn grouped(callbacks: &[Value]) -> Result<Vec<Sig>, CanvasError> {
    let mut sigs = callbacks.iter().map(Sig::read).collect::<Result<Vec<_>, _>>()?;
    if sigs.len() < 2 {
        return Ok(sigs);
    }
    let single = |sig: &mut Sig| !matches!(sig.shape, Shape::Group(_));
    let together: Vec<Sig> = sigs.extract_if(.., single).collect();
    if !together.is_empty() {
        sigs.push(Sig::of(Shape::Group(together)));
    }
    Ok(sigs)
}

/// The step at the end of a reversed chain, with the others as its option.
fn next_step(mut chain: Vec<Value>) -> Result<Option<Sig>, CanvasError> {
    let Some(next) = chain.pop() else {
        return Ok(None);
    };
    let mut next = Sig::read(&next)?;
    if matches!(next.shape, Shape::Group(_)) && !chain.is_empty() {
        // No producer of today leaves a group in the middle; it would run the rest once for each member.
        let rest = chain.iter().rev().map(Sig::read).collect::<Result<Vec<_>, _>>()?;
        return Ok(Some(Sig::of(Shape::Chain([vec![next], rest].concat()))));
    }
    if !chain.is_empty() {
        next.set("chain", chain);
    }
    Ok(Some(next))
}

impl fmt::Debug for Canvas {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Canvas")
            .field("default_queue", &self.default_queue)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
