//! What follows a task: callbacks, the rest of its chain, its group's chord.

use serde_json::Value;

use super::job::Job;
use super::{Unstored, Worker};
use crate::celery::canvas::CanvasError;
use crate::celery::protocol::Request;
use crate::celery::registry::Exception;
use crate::celery::results::{State, TaskResult};

impl<C: Send + Sync + 'static> Worker<C> {
    /// Publishes what follows a success, and answers the children that the result lists. What can never be sent is, as in
    /// Python, the task's failure.
    pub(super) async fn follow_success(
        &self,
        job: &Job<'_, C>,
        value: &Value,
    ) -> Result<Result<Vec<Value>, Exception>, Unstored> {
        match self.canvas.succeeded(&job.request, value).await {
            Ok(children) => Ok(Ok(children)),
            Err(error) if error.is_passing() => Err(error.into()),
            Err(error) => Ok(Err(error.exception())),
        }
    }

    /// After the result is stored: the task's part of a chord.
    pub(super) async fn follow_stored(&self, job: &Job<'_, C>, result: &TaskResult) -> Result<(), Unstored> {
        Ok(self.canvas.stored(&job.request, result).await?)
    }

    /// Errbacks, and the failure of everything that was to follow.
    pub(super) async fn follow_failure(
        &self,
        job: &Job<'_, C>,
        exception: &Exception,
        state: State,
    ) -> Result<(), Unstored> {
        Ok(self.canvas.failed(&job.request, exception, state).await?)
    }

    /// The same for a task that never came to run.
    pub(super) async fn follow_refusal(
        &self,
        request: &Request,
        exception: &Exception,
        result: &TaskResult,
    ) -> Result<(), Unstored> {
        self.canvas.stored(request, result).await?;
        Ok(self.canvas.failed(request, exception, State::Failure).await?)
    }
}

impl From<CanvasError> for Unstored {
    fn from(error: CanvasError) -> Self {
        Self(error.to_string())
    }
}
