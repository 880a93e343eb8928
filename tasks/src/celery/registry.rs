//! Tasks: with types, where arguments become a struct before any of the task's code runs, or by name, with arguments as they came.

mod arguments;
mod error;
mod options;
mod scope;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::protocol::Request;

pub use error::{Again, Exception, Retry, TaskError, Tries};
pub use options::{Backoff, NotARate, Rate, TaskOptions};
pub use scope::{Call, Scope};

pub(super) use scope::Outside;

/// A task: its fields are its arguments, `C` is what the application lends it.
///
/// It can run twice for one message (a crash between the work and the acknowledgement), so that running twice must work once.
///
/// ```
/// use serde::Deserialize;
/// use serde_json::{Value, json};
/// use waybill_tasks::celery::protocol::Request;
/// use waybill_tasks::celery::registry::{Task, TaskError, TaskOptions};
///
/// #[derive(Deserialize)]
/// struct Add {
///     x: i64,
///     y: i64,
/// }
///
/// impl Task<()> for Add {
///     const NAME: &'static str = "math.add";
///
///     fn options() -> TaskOptions {
///         TaskOptions { positional: &["x", "y"], ..TaskOptions::default() }
///     }
///
///     async fn run(self, (): &(), _request: &Request) -> Result<Value, TaskError> {
///         Ok(json!(self.x + self.y))
///     }
/// }
/// ```
pub trait Task<C>: DeserializeOwned + Send + 'static {
    /// Its name on the wire.
    const NAME: &'static str;

    /// How it wants to be run.
    fn options() -> TaskOptions {
        TaskOptions::default()
    }

    /// Does the work. What is answered becomes the result.
    fn run(self, context: &C, request: &Request) -> impl Future<Output = Result<Value, TaskError>> + Send;

    /// The same for a task that listens for its soft time limit, sends other tasks or tells how far it is.
    fn run_in(self, call: &Call<C>) -> impl Future<Output = Result<Value, TaskError>> + Send
    where
        C: Send + Sync,
    {
        async move { self.run(&call.context, &call.request).await }
    }
}

type Running = Pin<Box<dyn Future<Output = Result<Value, TaskError>> + Send>>;
type Run<C> = Box<dyn Fn(Call<C>) -> Running + Send + Sync>;
type Entries<C> = BTreeMap<Arc<str>, Arc<Entry<C>>>;

/// A task that a worker knows.
pub(super) struct Entry<C> {
    pub(super) name: Arc<str>,
    pub(super) options: TaskOptions,
    run: Run<C>,
}

/// The tasks that a worker knows, and the context that they run in.
pub struct Registry<C> {
    context: Arc<C>,
    entries: Arc<Entries<C>>,
}

impl<C: Send + Sync + 'static> Registry<C> {
    /// No tasks yet.
    pub fn new(context: Arc<C>) -> Self {
        Self {
            context,
            entries: Arc::default(),
        }
    }

    /// Adds a task.
    ///
    /// # Panics
    /// If its name is taken: two tasks of one name are a mistake in the program.
    pub fn register<T: Task<C>>(self) -> Self {
        let options = T::options();
        let positional = options.positional;
        self.function(T::NAME, options, move |call: Call<C>| async move {
            let task = arguments::read::<T>(&call.request, positional)?;
            task.run_in(&call).await
        })
    }

    /// Adds a task that takes its arguments as they came.
    ///
    /// # Panics
    /// As [`Registry::register`].
    pub fn function<F, R>(mut self, name: impl Into<String>, options: TaskOptions, run: F) -> Self
    where
        F: Fn(Call<C>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Value, TaskError>> + Send + 'static,
    {
        let name: Arc<str> = name.into().into();
        let entry = Entry {
            name: Arc::clone(&name),
            options,
            run: Box::new(move |call| Box::pin(run(call))),
        };
        let before = Arc::make_mut(&mut self.entries).insert(Arc::clone(&name), Arc::new(entry));
        assert!(before.is_none(), "two tasks are named {name}");
        self
    }

    /// The names of all tasks, so that a test can demand something of each.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(AsRef::as_ref)
    }

    /// How a task wants to be run.
    pub fn options(&self, name: &str) -> Option<&TaskOptions> {
        self.entries.get(name).map(|entry| &entry.options)
    }

    /// All tasks with their options, by name: what is told of a worker without its types.
    pub fn catalogue(&self) -> BTreeMap<String, TaskOptions> {
        let entry = |(name, entry): (&Arc<str>, &Arc<Entry<C>>)| (name.to_string(), entry.options.clone());
        self.entries.iter().map(entry).collect()
    }

    pub(super) fn find(&self, name: &str) -> Option<Arc<Entry<C>>> {
        self.entries.get(name).cloned()
    }

    pub(super) fn start(&self, entry: &Entry<C>, request: Arc<Request>, scope: Scope) -> Running {
        (entry.run)(Call {
            context: Arc::clone(&self.context),
            request,
            scope,
            entries: Arc::clone(&self.entries),
        })
    }
}

impl<C: Send + Sync + 'static> Call<C> {
    /// Runs another task of this worker in place, as `celery.map` does, and answers its result.
    pub async fn run_inline(
        &self,
        task: &str,
        args: Vec<Value>,
        kwargs: Map<String, Value>,
    ) -> Result<Value, TaskError> {
        let Some(entry) = self.entries.get(task) else {
            return Err(Exception::celery("NotRegistered", task).into());
        };
        let request = Request {
            task: task.to_owned(),
            args,
            kwargs,
            ..Request::clone(&self.request)
        };
        (entry.run)(Self {
            context: Arc::clone(&self.context),
            request: Arc::new(request),
            scope: self.scope.clone(),
            entries: Arc::clone(&self.entries),
        })
        .await
    }
}

impl<C> fmt::Debug for Registry<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.entries.keys()).finish()
    }
}

#[cfg(test)]
mod tests;
