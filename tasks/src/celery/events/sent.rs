//! A transport that tells of the tasks that are sent over it, as Python does with `task_send_sent_event`.

use std::sync::Arc;

use async_trait::async_trait;

use super::{EventSender, TaskEvent};
use crate::celery::message::{HeaderValue, Headers, Message};
use crate::celery::transport::{Handler, Health, PublishError, Queue, Routing, Stop, Transport};

impl EventSender {
    /// The same transport, telling of each task once the broker has it.
    pub fn over(&self, transport: Arc<dyn Transport>) -> Arc<dyn Transport> {
        Arc::new(Telling {
            transport,
            events: self.clone(),
        })
    }
}

struct Telling {
    transport: Arc<dyn Transport>,
    events: EventSender,
}

#[async_trait]
impl Transport for Telling {
    async fn publish(&self, message: Message, routing: Routing) -> Result<(), PublishError> {
        let sent = self.events.state.events_enabled().then(|| Sent::of(&message));
        self.transport.publish(message, routing).await?;
        if let Some(event) = sent.as_ref().and_then(Sent::event) {
            self.events.send(&event);
        }
        Ok(())
    }

    async fn consume(&self, queue: Queue, handler: Arc<dyn Handler>, stop: Stop) {
        self.transport.consume(queue, handler, stop).await;
    }

    async fn ensure_exchange(&self, name: &str) {
        self.transport.ensure_exchange(name).await;
    }

    async fn ensure_queue(&self, name: &str) {
        self.transport.ensure_queue(name).await;
    }

    fn health(&self) -> Health {
        self.transport.health()
    }
}

/// What is told of a message: all but its body.
struct Sent {
    exchange: String,
    routing_key: String,
    headers: Headers,
}

impl Sent {
    fn of(message: &Message) -> Self {
        Self {
            exchange: message.exchange.clone(),
            routing_key: message.routing_key.clone(),
            headers: message.headers.clone(),
        }
    }

    /// Nothing of what is no task: results, and messages of protocol 1, which nobody sends here.
    fn event(&self) -> Option<TaskEvent<'_>> {
        let text = |name: &str| self.headers.get(name).and_then(HeaderValue::as_text);
        let retries = match self.headers.get("retries") {
            Some(HeaderValue::Int(count)) => u32::try_from(*count).unwrap_or_default(),
            _ => 0,
        };
        Some(TaskEvent::Sent {
            uuid: text("id")?,
            name: text("task")?,
            args: text("argsrepr").unwrap_or_default(),
            kwargs: text("kwargsrepr").unwrap_or_default(),
            root_id: text("root_id"),
            parent_id: text("parent_id"),
            retries,
            eta: text("eta"),
            expires: text("expires"),
            // Over the default exchange a message goes to the queue of that name.
            queue: &self.routing_key,
            exchange: &self.exchange,
            routing_key: &self.routing_key,
        })
    }
}
