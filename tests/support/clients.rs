//! HTTP and AMQP as a story speaks them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;
use tokio::runtime::Runtime;
use waybill_tasks::celery::amqp::{AmqpOptions, AmqpTransport};
use waybill_tasks::celery::protocol::Signature;
use waybill_tasks::celery::transport::{PublishError, Routing, Transport as _};

/// One answer.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) body: Json,
}

/// Clients that wait for their answer.
pub(crate) struct Clients {
    http: reqwest::Client,
    amqp: Option<Arc<AmqpTransport>>,
    runtime: Runtime,
}

impl Clients {
    /// With a connection to that broker.
    pub(crate) fn new(broker: Option<&str>) -> Self {
        // The second story of a process finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        let runtime = runtime.expect("a runtime");
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(20))
            .build();
        let amqp = broker.map(|url| {
            let _on = runtime.enter();
            AmqpTransport::connect(AmqpOptions::new(url.to_owned().into(), "story")).expect("an AMQP URL")
        });
        Self {
            http: http.expect("a client"),
            amqp,
            runtime,
        }
    }

    /// GETs JSON, or text as a JSON string.
    pub(crate) fn get(&self, url: &str, token: Option<&str>) -> Told {
        let mut request = self.http.get(url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        self.send(request).unwrap_or_else(|error| panic!("GET {url}: {error}"))
    }

    /// POSTs JSON with an idempotency key.
    pub(crate) fn post(&self, url: &str, token: &str, key: &str, body: &Json) -> Told {
        let request = self.http.post(url).bearer_auth(token).header("Idempotency-Key", key);
        self.send(request.json(body))
            .unwrap_or_else(|error| panic!("POST {url}: {error}"))
    }

    /// POSTs any text with any headers; `None` where nobody answers.
    pub(crate) fn post_text(&self, url: &str, headers: &[(&str, &str)], body: String) -> Option<Told> {
        let request = headers.iter().fold(self.http.post(url), |request, (name, value)| {
            request.header(*name, *value)
        });
        self.send(request.body(body)).ok()
    }

    /// Messages and consumers of a queue; `None` if there is no such queue.
    pub(crate) fn queue(&self, name: &str) -> Option<(u32, u32)> {
        let amqp = self.amqp.as_ref().expect("a story on RabbitMQ");
        let status = self
            .runtime
            .block_on(amqp.queue_exists(name))
            .expect("RabbitMQ answers");
        status.map(|status| (status.messages, status.consumers))
    }

    /// Sends a Celery task to a queue; it is there when this answers. A disk that stands still for a while confirms nothing: then it
    /// is sent again, under its id.
    pub(crate) fn send_task(&self, task: &str, kwargs: Json, queue: &str) {
        let amqp = self.amqp.as_ref().expect("a story on RabbitMQ");
        let message = Signature::new(task).kwargs(kwargs).queue(queue).into_message();
        for tries_left in (0..5).rev() {
            match self.runtime.block_on(amqp.publish(message.clone(), Routing::Mandatory)) {
                Err(PublishError::Unconfirmed(_)) if tries_left > 0 => (),
                sent => return sent.unwrap_or_else(|error| panic!("{task}: {error}")),
            }
        }
    }

    fn send(&self, request: reqwest::RequestBuilder) -> reqwest::Result<Told> {
        self.runtime.block_on(async {
            let answer = request.send().await?;
            let status = answer.status().as_u16();
            let text = answer.text().await?;
            let body = serde_json::from_str(&text).unwrap_or(Json::String(text));
            Ok(Told { status, body })
        })
    }
}
