//! What a running task asks of its worker: to publish, to be replaced, to tell how far it is.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::celery::protocol::{Request, Signature};
use crate::celery::registry::{Exception, Outside, TaskError};
use crate::celery::transport::{PublishError, Routing, Transport};

/// Runs them over the transport.
pub(super) struct Errands {
    pub(super) transport: Arc<dyn Transport>,
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

    async fn apply(&self, _request: &Request, _signature: &Value) -> Result<Value, TaskError> {
        Err(without("a canvas"))
    }

    async fn replace(&self, _request: &Request, _signature: &Value) -> Result<(), TaskError> {
        Err(without("a canvas"))
    }

    async fn update_state(&self, _request: &Request, _state: &str, _meta: Value) -> Result<(), TaskError> {
        Err(without("a result backend"))
    }
}

/// What is only unknown comes right when the task runs again; what no queue takes never does.
fn unpublished(error: PublishError) -> TaskError {
    match error {
        PublishError::Unconfirmed(cause) => TaskError::Unavailable(cause),
        PublishError::Unroutable { .. } => Exception::builtin("RuntimeError", error.to_string()).into(),
    }
}

fn without(what: &str) -> TaskError {
    Exception::celery("ImproperlyConfigured", format!("this worker has not {what}")).into()
}
