//! One run of a task, within its limits: it answers, panics, runs out of time or is ended from outside.

use std::any::Any;
use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::Value;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::celery::registry::{Exception, Scope, TaskError};

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ended {
    /// The task said how.
    Answered(Result<Value, TaskError>),
    /// With its words.
    Panicked(String),
    /// After the hard limit, in seconds as the sender wrote it.
    OutOfTime(f64),
    /// From outside.
    Terminated,
}

/// How long a run may take.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limits {
    pub(super) soft: Option<f64>,
    pub(super) hard: Option<f64>,
}

/// What ends a run before its time.
pub(super) struct Ends<'a> {
    pub(super) limits: Limits,
    /// Cancelled at the soft limit, for a task that listens.
    pub(super) soft: &'a CancellationToken,
    pub(super) terminated: &'a CancellationToken,
}

/// Runs a task. Where the future is dropped, its code ends at its next `await`; code that blocks the thread goes on.
pub(super) async fn run(task: impl Future<Output = Result<Value, TaskError>>, scope: &Scope, ends: Ends<'_>) -> Ended {
    let mut task = std::pin::pin!(AssertUnwindSafe(task).catch_unwind());
    let began = Instant::now();
    let (mut soft, hard) = (ends.limits.soft, ends.limits.hard);
    loop {
        tokio::select! {
            biased;
            answer = &mut task => return match answer {
                Ok(answer) => Ended::Answered(answer),
                Err(panic) => Ended::Panicked(words(&*panic)),
            },
            () = ends.terminated.cancelled() => return Ended::Terminated,
            () = after(began, hard) => return Ended::OutOfTime(hard.unwrap_or_default()),
            () = after(began, soft) => {
                if !scope.listens() {
                    let exception = Exception::soft_time_limit_exceeded();
                    return Ended::Answered(Err(TaskError::Failed(exception)));
                }
                ends.soft.cancel();
                soft = None;
            }
        }
    }
}

async fn after(began: Instant, seconds: Option<f64>) {
    let limit = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    match limit.and_then(|limit| began.checked_add(limit)) {
        Some(end) => sleep_until(end).await,
        None => pending().await,
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default()
}
