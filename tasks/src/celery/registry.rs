//! Tasks with types: keyword arguments become a struct before any of the task's code runs.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::protocol::Request;

/// A task: its fields are its keyword arguments, `C` is what the application lends it.
///
/// It can run twice for one message (a crash between the work and the acknowledgement), so that running twice must work once.
pub trait Task<C>: DeserializeOwned + Send + 'static {
    /// Its name on the wire.
    const NAME: &'static str;

    /// Does the work. What is answered becomes the result.
    fn run(self, context: &C, request: &Request) -> impl Future<Output = Result<Value, TaskError>> + Send;
}

/// How a task can end other than well. Each asks something else of the worker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// Again later: parked, with one more on the count of retries.
    #[error("again in {after:?}: {cause}")]
    Retry {
        /// From now.
        after: Duration,
        /// Why, for people.
        cause: String,
    },
    /// Failed for good: the sender gets an exception.
    #[error("{exc_type}: {message}")]
    Failed {
        /// The exception's class.
        exc_type: String,
        /// The Python module that it is in.
        exc_module: String,
        /// Its message.
        message: String,
    },
    /// The arguments are wrong: the message is set aside, and the sender gets a `TypeError`.
    #[error("{code} at {place}: {detail}")]
    Wrong {
        /// A stable word for the reason.
        code: &'static str,
        /// Where in the message.
        place: String,
        /// What was expected and what was found.
        detail: String,
    },
    /// Something the task needs does not answer: the message goes back into the queue, and the worker slows down.
    #[error("unavailable: {0}")]
    Unavailable(String),
}

impl TaskError {
    /// Failed, as a Python `RuntimeError`.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self::Failed {
            exc_type: "RuntimeError".to_owned(),
            exc_module: "builtins".to_owned(),
            message: message.to_string(),
        }
    }

    /// Again after a while.
    pub fn retry(after: Duration, cause: impl fmt::Display) -> Self {
        Self::Retry {
            after,
            cause: cause.to_string(),
        }
    }
}

type Run<C> = fn(Arc<C>, Arc<Request>) -> Pin<Box<dyn Future<Output = Result<Value, TaskError>> + Send>>;

/// The tasks that a worker knows, and the context that they run in.
pub struct Registry<C> {
    context: Arc<C>,
    tasks: BTreeMap<&'static str, Run<C>>,
}

impl<C: Send + Sync + 'static> Registry<C> {
    /// No tasks yet.
    pub fn new(context: Arc<C>) -> Self {
        Self {
            context,
            tasks: BTreeMap::new(),
        }
    }

    /// Adds a task.
    ///
    /// # Panics
    /// If its name is taken: two tasks of one name are a mistake in the program.
    pub fn register<T: Task<C>>(mut self) -> Self {
        let before = self.tasks.insert(T::NAME, run::<C, T>);
        assert!(before.is_none(), "two tasks are named {}", T::NAME);
        self
    }

    /// The names of all tasks, so that a test can demand something of each.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.tasks.keys().copied()
    }

    /// Starts a task; `None` if there is none of that name.
    pub(super) fn start(
        &self,
        request: Arc<Request>,
    ) -> Option<impl Future<Output = Result<Value, TaskError>> + Send + 'static + use<C>> {
        let run = self.tasks.get(request.task.as_str())?;
        Some(run(Arc::clone(&self.context), request))
    }
}

impl<C> fmt::Debug for Registry<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.tasks.keys()).finish()
    }
}

fn run<C: Send + Sync + 'static, T: Task<C>>(
    context: Arc<C>,
    request: Arc<Request>,
) -> Pin<Box<dyn Future<Output = Result<Value, TaskError>> + Send>> {
    Box::pin(async move {
        let task = arguments::<T>(&request)?;
        task.run(&context, &request).await
    })
}

/// Reads the arguments; what serde finds wrong gets its place, and loses the value that it quotes.
fn arguments<T: DeserializeOwned>(request: &Request) -> Result<T, TaskError> {
    if !request.args.is_empty() {
        return Err(TaskError::Wrong {
            code: WRONG_ARGUMENTS,
            place: "body[0]".to_owned(),
            detail: format!(
                "expected keyword arguments only, found {} positional",
                request.args.len()
            ),
        });
    }
    let kwargs = Value::Object(request.kwargs.clone());
    serde_path_to_error::deserialize(kwargs).map_err(|error| {
        let path = error.path().to_string();
        TaskError::Wrong {
            code: WRONG_ARGUMENTS,
            place: if path == "." {
                "body[1]".to_owned()
            } else {
                format!("body[1].{path}")
            },
            detail: without_values(&error.inner().to_string()),
        }
    })
}

const WRONG_ARGUMENTS: &str = "wrong-arguments";

/// Serde puts values into double quotes, and they may be addresses.
fn without_values(message: &str) -> String {
    match (message.find(" \""), message.rfind("\",")) {
        (Some(from), Some(to)) if from < to => format!("{}{}", &message[..from], &message[to + 1..]),
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Add {
        x: u32,
        terms: Vec<u32>,
    }

    impl Task<u32> for Add {
        const NAME: &'static str = "math.add";

        async fn run(self, context: &u32, _request: &Request) -> Result<Value, TaskError> {
            Ok(json!(context + self.x + self.terms.iter().sum::<u32>()))
        }
    }

    fn request(args: Value, kwargs: Value) -> Arc<Request> {
        let mut message = crate::celery::protocol::Signature::new("math.add").into_message();
        message.body = json!([args, kwargs, null]).to_string().into_bytes();
        Arc::new(Request::decode(&message).unwrap())
    }

    fn wrong(place: &str, detail: &str) -> Result<Value, TaskError> {
        Err(TaskError::Wrong {
            code: "wrong-arguments",
            place: place.to_owned(),
            detail: detail.to_owned(),
        })
    }

    #[tokio::test]
    async fn a_task_runs_with_its_arguments_and_the_context() {
        let registry = Registry::new(Arc::new(10)).register::<Add>();

        let answer = registry
            .start(request(json!([]), json!({"x": 1, "terms": [2, 3]})))
            .unwrap()
            .await;

        assert_eq!(answer, Ok(json!(16)));
        assert_eq!(registry.names().collect::<Vec<_>>(), ["math.add"]);
    }

    #[tokio::test]
    async fn wrong_arguments_are_told_with_their_place_and_without_their_value() {
        let registry = Registry::new(Arc::new(10)).register::<Add>();

        for (args, kwargs, expected) in [
            (json!([]), json!({"terms": []}), wrong("body[1]", "missing field `x`")),
            (
                json!([]),
                json!({"x": 1, "terms": [], "y": 2}),
                wrong("body[1].y", "unknown field `y`, expected `x` or `terms`"),
            ),
            (
                json!([]),
                json!({"x": 1, "terms": [1, "Torstr. \"1\", Berlin"]}),
                wrong("body[1].terms[1]", "invalid type: string, expected u32"),
            ),
            (
                json!([1]),
                json!({"x": 1, "terms": []}),
                wrong("body[0]", "expected keyword arguments only, found 1 positional"),
            ),
        ] {
            assert_eq!(registry.start(request(args, kwargs)).unwrap().await, expected);
        }
    }

    #[test]
    #[should_panic(expected = "two tasks are named math.add")]
    fn a_name_is_given_once() {
        let _ = Registry::new(Arc::new(10)).register::<Add>().register::<Add>();
    }
}
