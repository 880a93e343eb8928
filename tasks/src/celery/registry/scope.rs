//! What a running task can do beside answering: hear that it shall stop, send other tasks, tell how far it is.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Entries;
use super::error::TaskError;
use crate::celery::protocol::{Request, Signature};

/// One run of a task.
pub struct Call<C> {
    /// What the application lends it.
    pub context: Arc<C>,
    /// The message that asks for it.
    pub request: Arc<Request>,
    /// What it can do beside answering.
    pub scope: Scope,
    pub(super) entries: Arc<Entries<C>>,
}

/// What a running task can do beside answering. Clones are the same scope.
#[derive(Clone)]
pub struct Scope {
    inner: Arc<Inner>,
}

struct Inner {
    request: Arc<Request>,
    soft: CancellationToken,
    listens: AtomicBool,
    children: Mutex<Vec<Value>>,
    outside: Arc<dyn Outside>,
}

/// What the worker does for a scope.
#[async_trait]
pub(in crate::celery) trait Outside: Send + Sync + 'static {
    /// Publishes a task; it counts when the broker has it.
    async fn send(&self, request: &Request, signature: Signature) -> Result<(), TaskError>;

    /// Publishes any signature: a task, a chain, a group, a chord. Answers its results' shape, and the children that it makes.
    async fn apply(&self, request: &Request, signature: &Value) -> Result<(Value, Vec<Value>), TaskError>;

    /// Publishes a signature that takes over the task's id and everything that was to follow it.
    async fn replace(&self, request: &Request, signature: &Value) -> Result<(), TaskError>;

    /// Stores a state of the task's own.
    async fn update_state(&self, request: &Request, state: &str, meta: Value) -> Result<(), TaskError>;
}

impl Scope {
    pub(in crate::celery) fn new(request: Arc<Request>, soft: CancellationToken, outside: Arc<dyn Outside>) -> Self {
        Self {
            inner: Arc::new(Inner {
                request,
                soft,
                listens: AtomicBool::new(false),
                children: Mutex::default(),
                outside,
            }),
        }
    }

    /// Cancelled when the soft time limit is over. Who has asked for it is left alone then, and ends by itself before the
    /// hard limit, best with [`SoftTimeLimitExceeded`](super::Exception::soft_time_limit_exceeded); who has not is stopped
    /// and fails with just that.
    pub fn soft_limit(&self) -> CancellationToken {
        self.inner.listens.store(true, Ordering::Relaxed);
        self.inner.soft.clone()
    }

    /// Whether somebody has asked for it.
    pub fn listens(&self) -> bool {
        self.inner.listens.load(Ordering::Relaxed)
    }

    /// Publishes a task as a child of this one, and returns its id when the broker has it.
    ///
    /// A task can run twice; give the signature an id of its own ([`Signature::id`]) where the child must not.
    pub async fn send(&self, signature: Signature) -> Result<String, TaskError> {
        let request = &self.inner.request;
        let id = signature.task_id().to_owned();
        let root = request.root_id.as_deref().unwrap_or(&request.id);
        let mut child = signature.child_of(&request.id, root);
        for (name, value) in request.trace_headers() {
            child = child.header(name, value);
        }
        self.inner.outside.send(request, child).await?;
        self.add_child(json!([[id, null], null]));
        Ok(id)
    }

    /// Publishes any signature as JSON carries it, as a child of this task: a task, a chain, a group, a chord. Answers the shape
    /// of its results, as Python's `as_tuple` writes it.
    pub async fn apply(&self, signature: &Value) -> Result<Value, TaskError> {
        let (tree, children) = self.inner.outside.apply(&self.inner.request, signature).await?;
        children.into_iter().for_each(|child| self.add_child(child));
        Ok(tree)
    }

    /// Another signature takes this task's place: its id, its group and chord, and everything that was to follow it. Return
    /// the answer as the task's end.
    pub async fn replace(&self, signature: &Value) -> TaskError {
        match self.inner.outside.replace(&self.inner.request, signature).await {
            Ok(()) => TaskError::Replaced,
            Err(error) => error,
        }
    }

    /// Stores a state of the task's own, such as `PROGRESS`, with anything that says more.
    pub async fn update_state(&self, state: &str, meta: Value) -> Result<(), TaskError> {
        self.inner.outside.update_state(&self.inner.request, state, meta).await
    }

    /// What was sent so far, as a result lists it.
    pub fn children(&self) -> Vec<Value> {
        self.inner
            .children
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn add_child(&self, child: Value) {
        self.inner
            .children
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(child);
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Scope")
            .field("task_id", &self.inner.request.id)
            .finish_non_exhaustive()
    }
}
