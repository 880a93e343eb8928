//! A worker of ours with the same tasks as `python/canvas.py`, on a queue of its own.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;
use waybill_tasks::celery::amqp::{AmqpOptions, AmqpTransport};
use waybill_tasks::celery::canvas::Canvas;
use waybill_tasks::celery::protocol::Request;
use waybill_tasks::celery::registry::{Exception, Registry, TaskError, TaskOptions};
use waybill_tasks::celery::results::ResultBackend;
use waybill_tasks::celery::transport::{Delivery, KeepError, Keeper, Queue, Rejected, Routing, Transport};
use waybill_tasks::celery::worker::Worker;

/// A worker that runs until it is dropped.
pub(crate) struct Half {
    stop: CancellationToken,
}

impl Half {
    /// Consumes a queue, and keeps results there.
    pub(crate) async fn start(broker: &str, queue: &str, results: Arc<dyn ResultBackend>) -> Self {
        let transport = AmqpTransport::connect(AmqpOptions::new(broker.to_owned().into(), "half")).expect("a URL");
        let worker = Worker::new(registry(), transport.clone(), Arc::new(Later(transport.clone())));
        let canvas = Canvas::new(transport.clone(), queue).with_results(results.clone());
        let worker = Arc::new(worker.with_results(results).with_canvas(Arc::new(canvas)));
        // As Python makes it: a producer that declares it again must find no other.
        transport.ensure_queue(queue).await;
        let stop = CancellationToken::new();
        let (queue, stopped) = (queue.to_owned(), stop.clone());
        tokio::spawn(async move {
            let queue = Queue {
                name: queue,
                bindings: Vec::new(),
                prefetch: 16,
            };
            transport.consume(queue, worker, stopped.into()).await;
        });
        Self { stop }
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn registry() -> Registry<()> {
    let options = TaskOptions::default();
    let sum = |numbers: &[Json]| Ok(json!(numbers.iter().filter_map(Json::as_i64).sum::<i64>()));
    Registry::new(Arc::new(()))
        .function("math.add", options.clone(), move |call| async move {
            sum(&call.request.args)
        })
        .function("math.sum", options.clone(), move |call| async move {
            sum(list(&call.request)?)
        })
        .function("math.echo", options.clone(), |call| async move {
            Ok(json!(call.request.args))
        })
        .function("math.fail", options, |_| async {
            Err(TaskError::Failed(Exception::builtin("ValueError", "boom")))
        })
}

fn list(request: &Request) -> Result<&[Json], TaskError> {
    let first = request.args.first().and_then(Json::as_array);
    first
        .map(Vec::as_slice)
        .ok_or_else(|| TaskError::Failed(Exception::builtin("TypeError", "a list is summed")))
}

/// Publishes what is for later when its time has come. What is set aside is a fault of the test's.
struct Later(Arc<AmqpTransport>);

#[async_trait]
impl Keeper for Later {
    async fn quarantine(&self, rejected: Rejected) -> Result<(), KeepError> {
        eprintln!(
            "set aside: {} at {}: {}",
            rejected.reason, rejected.place, rejected.detail
        );
        Ok(())
    }

    async fn park(&self, delivery: &Delivery, until: DateTime<Utc>) -> Result<(), KeepError> {
        let (transport, mut message) = (self.0.clone(), delivery.message.clone());
        message.exchange = String::new();
        message.routing_key.clone_from(&delivery.queue);
        tokio::spawn(async move {
            tokio::time::sleep((until - Utc::now()).to_std().unwrap_or_default()).await;
            if let Err(error) = transport.publish(message, Routing::Mandatory).await {
                eprintln!("what was due is not published: {error}");
            }
        });
        Ok(())
    }
}
