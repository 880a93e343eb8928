//! The tasks that every Celery worker has: canvas primitives as messages, and the cleaning up of results.

mod unlock;

use std::sync::{Arc, PoisonError, RwLock};

use serde_json::{Map, Value};

use super::sig::{Shape, Sig, listed};
use super::{Canvas, CanvasError, chunks};
use crate::celery::registry::{Call, Registry, TaskError, TaskOptions};
use crate::celery::results::Exception;

/// The canvas that builtin tasks send with. A worker that is given another one puts it in here.
#[derive(Debug, Clone)]
pub struct Shared(Arc<RwLock<Arc<Canvas>>>);

impl Shared {
    /// With this one to begin with.
    pub fn new(canvas: Arc<Canvas>) -> Self {
        Self(Arc::new(RwLock::new(canvas)))
    }

    /// Another one from now on.
    pub fn replace(&self, canvas: Arc<Canvas>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = canvas;
    }

    fn get(&self) -> Arc<Canvas> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Adds the builtin tasks to a registry: `celery.chord_unlock`, `backend_cleanup`, `accumulate`, `map`, `starmap`, `chunks`,
/// `group`, `chain` and `chord`.
pub fn register<C: Send + Sync + 'static>(registry: Registry<C>, canvas: &Shared) -> Registry<C> {
    let options = TaskOptions::default();
    let unlocking = TaskOptions {
        ignore_result: true,
        max_retries: None,
        ..TaskOptions::default()
    };
    let registry = registry
        .function(
            "celery.accumulate",
            options.clone(),
            |call| async move { accumulate(&call) },
        )
        .function(
            "celery.map",
            options.clone(),
            |call| async move { map(&call, false).await },
        )
        .function("celery.starmap", options.clone(), |call| async move {
            map(&call, true).await
        })
        .function("celery.chain", options.clone(), |_| async move {
            Err(failed("NotImplementedError", "chain is not a real task"))
        });
    let with = |work: Work<C>| {
        let canvas = canvas.clone();
        move |call: Call<C>| {
            let canvas = canvas.get();
            async move { work(canvas, call).await }
        }
    };
    registry
        .function(
            "celery.backend_cleanup",
            options.clone(),
            with(|canvas, _| Box::pin(async move { cleanup(&canvas).await })),
        )
        .function(
            "celery.chunks",
            options.clone(),
            with(|canvas, call| Box::pin(async move { portions(&canvas, &call).await })),
        )
        .function(
            "celery.group",
            options.clone(),
            with(|canvas, call| Box::pin(async move { group(&canvas, &call).await })),
        )
        .function(
            "celery.chord",
            options,
            with(|canvas, call| Box::pin(async move { chord(&canvas, &call).await })),
        )
        .function(
            "celery.chord_unlock",
            unlocking,
            with(|canvas, call| Box::pin(async move { unlock::unlock(&canvas, &call).await })),
        )
}

type Work<C> = fn(Arc<Canvas>, Call<C>) -> futures_util::future::BoxFuture<'static, Result<Value, TaskError>>;

/// What a chord is given whose header was a group: all of it, or what is at one place.
fn accumulate<C>(call: &Call<C>) -> Result<Value, TaskError> {
    let args = &call.request.args;
    match argument(call, usize::MAX, "index").as_i64() {
        None => Ok(Value::Array(args.clone())),
        Some(index) => {
            let place = if index < 0 {
                index + i64::try_from(args.len()).unwrap_or_default()
            } else {
                index
            };
            let found = usize::try_from(place).ok().and_then(|place| args.get(place));
            found
                .cloned()
                .ok_or_else(|| failed("IndexError", "tuple index out of range"))
        }
    }
}

/// Runs another task of this worker for each item; with a star, an item is a list of arguments.
async fn map<C: Send + Sync + 'static>(call: &Call<C>, star: bool) -> Result<Value, TaskError> {
    let task = signature(argument(call, 0, "task"))?;
    let Shape::Task(name) = &task.shape else {
        return Err(failed("TypeError", "a task is mapped, and nothing else"));
    };
    let items = listed(Some(argument(call, 1, "it")));
    let mut results = Vec::with_capacity(items.len());
    for item in items {
        let args = match item {
            Value::Array(args) if star => args,
            item => vec![item],
        };
        results.push(call.run_inline(name, args, Map::new()).await?);
    }
    Ok(results.into())
}

/// Sends the portions, and answers the group that they are.
async fn portions<C>(canvas: &Canvas, call: &Call<C>) -> Result<Value, TaskError> {
    let task = signature(argument(call, 0, "task"))?;
    let items = listed(Some(argument(call, 1, "it")))
        .into_iter()
        .map(|item| match item {
            Value::Array(args) => args,
            item => vec![item],
        });
    let size = argument(call, 2, "n")
        .as_u64()
        .and_then(|size| usize::try_from(size).ok());
    let size = size
        .filter(|size| *size > 0)
        .ok_or_else(|| failed("ValueError", "chunks are of one item or more"))?;
    send(canvas, call, chunks(task, items, size), Vec::new()).await
}

/// What producers before Celery 3 sent.
async fn group<C>(canvas: &Canvas, call: &Call<C>) -> Result<Value, TaskError> {
    let members = signatures(argument(call, 0, "tasks"))?;
    let mut group = super::group(members);
    if let Some(id) = argument(call, 2, "group_id").as_str() {
        group = group.with_id(id);
    }
    send(canvas, call, group, listed(Some(argument(call, 3, "partial_args")))).await
}

/// The same.
async fn chord<C>(canvas: &Canvas, call: &Call<C>) -> Result<Value, TaskError> {
    let header = match argument(call, 0, "header") {
        group @ Value::Object(_) => signature(group)?.members().to_vec(),
        list => signatures(list)?,
    };
    let chord = super::chord(header, signature(argument(call, 1, "body"))?);
    send(canvas, call, chord, listed(Some(argument(call, 2, "partial_args")))).await
}

async fn cleanup(canvas: &Canvas) -> Result<Value, TaskError> {
    if let Some(backend) = &canvas.backend {
        let deleted = backend.forget_expired().await.map_err(|error| unsent(error.into()))?;
        tracing::info!("{deleted} expired results are deleted");
    }
    Ok(Value::Null)
}

async fn send<C>(canvas: &Canvas, call: &Call<C>, sig: Sig, args: Vec<Value>) -> Result<Value, TaskError> {
    let applied = canvas.apply_within(sig, args, &call.request, "builtin").await;
    let (tree, _) = applied.map_err(unsent)?;
    Ok(tree.to_value())
}

/// By its position or by its name.
fn argument<'a, C>(call: &'a Call<C>, position: usize, name: &str) -> &'a Value {
    let by_position = call.request.args.get(position);
    by_position
        .or_else(|| call.request.kwargs.get(name))
        .unwrap_or(&Value::Null)
}

fn signature(value: &Value) -> Result<Sig, TaskError> {
    Sig::read(value).map_err(|bad| unsent(bad.into()))
}

fn signatures(value: &Value) -> Result<Vec<Sig>, TaskError> {
    listed(Some(value)).iter().map(signature).collect()
}

fn failed(exc_type: &str, message: &str) -> TaskError {
    TaskError::Failed(Exception::builtin(exc_type, message))
}

/// What passes is tried again with the same message; what does not is the task's failure.
fn unsent(error: CanvasError) -> TaskError {
    match error.is_passing() {
        true => TaskError::Unavailable(error.to_string()),
        false => TaskError::Failed(error.exception()),
    }
}
