//! What a running task asks of its worker: to publish, to be replaced, to tell how far it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use serde_json::Value;
use tracing::warn;

use super::Clock;
use crate::celery::canvas::{Canvas, CanvasError, Sig};
use crate::celery::protocol::{Request, Signature};
use crate::celery::registry::{Exception, Outside, TaskError};
use crate::celery::results::rpc::ReplyAddress;
use crate::celery::results::{ResultBackend, State, TaskResult};
use crate::celery::transport::{PublishError, Routing, Transport};

/// Runs them.
pub(super) struct Errands {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) backend: Option<Arc<dyn ResultBackend>>,
    pub(super) canvas: Arc<Canvas>,
    /// How many signatures the task has sent: its place among them is part of the ids of what follows.
    pub(super) applied: AtomicUsize,
    pub(super) clock: Clock,
}

#[async_trait]
impl Outside for Errands {
    async fn send(&self, _request: &Request, signature: Signature) -> Result<(), TaskError> {
        let published = self
            .transport
            .publish(signature.into_message(), Routing::Mandatory)
            .await;
        published.map_err(unpublished)
    }

    async fn apply(&self, request: &Request, signature: &Value) -> Result<(Value, Vec<Value>), TaskError> {
        let sig = Sig::read(signature).map_err(|bad| unsent(&bad.into()))?;
        let place = format!("scope/{}", self.applied.fetch_add(1, Ordering::Relaxed));
        let applied = self.canvas.apply_within(sig, Vec::new(), request, &place).await;
        let (tree, children) = applied.map_err(|error| unsent(&error))?;
        Ok((tree.to_value(), children))
    }

    async fn replace(&self, request: &Request, signature: &Value) -> Result<(), TaskError> {
        let sig = Sig::read(signature).map_err(|bad| unsent(&bad.into()))?;
        let replaced = self.canvas.replace(request, sig).await;
        replaced.map_err(|error| unsent(&error))
    }

    async fn update_state(&self, request: &Request, state: &str, meta: Value) -> Result<(), TaskError> {
        let result = TaskResult::new(&request.id, State::from(state), meta, (self.clock)()).of(request);
        if let Some(backend) = &self.backend {
            match backend.store(&result).await {
                // News, unless it is an end: if it cannot be stored, the work goes on.
                Err(error) if !result.state.is_ready() => {
                    warn!(task.id = %request.id, "it is not stored that task {} is in {state}: {error}", request.id);
                }
                stored => stored.map_err(|error| unsent(&error.into()))?,
            }
        }
        if let Some(address) = ReplyAddress::of(request) {
            // News in any case.
            let _ = self
                .transport
                .publish(address.message(&result), Routing::Optional)
                .await;
        }
        Ok(())
    }
}

/// What is only unknown comes right when the task runs again; what no queue takes, or no broker, never does.
fn unpublished(error: PublishError) -> TaskError {
    match error {
        PublishError::Unconfirmed(cause) => TaskError::Unavailable(cause),
        PublishError::Refused { .. } => TaskError::Unavailable(error.to_string()),
        PublishError::Unroutable { .. } | PublishError::Impossible(_) => {
            Exception::builtin("RuntimeError", error.to_string()).into()
        }
    }
}

fn unsent(error: &CanvasError) -> TaskError {
    match error.is_passing() {
        true => TaskError::Unavailable(error.to_string()),
        false => error.exception().into(),
    }
}
