//! A Celery worker that knows no delivery: messages, transports, tasks, results.
//!
//! Nothing in here imports anything of the delivery domain, so that it could be lifted out as a crate.
//!
//! | module | what |
//! |---|---|
//! | [`message`] | what a broker carries, kept whole |
//! | [`protocol`] | task messages, read strictly and written exactly |
//! | [`registry`] | tasks with types |
//! | [`canvas`] | tasks that follow tasks |
//! | [`results`] | what became of tasks, and where clients find it |
//! | [`beat`] | sends tasks when their time has come |
//! | [`consumers`] | the queues of a worker, which come and go |
//! | [`events`] | what a worker tells whoever watches it |
//! | [`control`] | what whoever watches it may ask and tell it |
//! | [`host`] | the machine that a worker is on |
//! | [`state`] | what a worker knows of itself |
//! | [`tls`] | what the URL of a broker or of results says of TLS |
//! | [`transport`] | the seams: what carries messages, what keeps those that cannot run now |
//! | [`worker`] | runs tasks, answers senders, loses nothing |
//! | [`amqp`] | the transport on RabbitMQ |
//!
//! A task, a worker that runs it, and a sender of it:
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use serde::Deserialize;
//! use serde_json::{Value, json};
//! use tokio_util::sync::CancellationToken;
//! use waybill_tasks::celery::amqp::{AmqpOptions, AmqpTransport};
//! use waybill_tasks::celery::protocol::{Request, Signature};
//! use waybill_tasks::celery::registry::{Registry, Task, TaskError};
//! use waybill_tasks::celery::transport::{Keeper, Queue, Routing, Transport};
//! use waybill_tasks::celery::worker::Worker;
//!
//! struct Library {
//!     name: String,
//! }
//!
//! /// Its fields are the keyword arguments.
//! #[derive(Deserialize)]
//! struct LendBook {
//!     title: String,
//! }
//!
//! impl Task<Library> for LendBook {
//!     const NAME: &'static str = "library.lend_book";
//!
//!     async fn run(self, library: &Library, request: &Request) -> Result<Value, TaskError> {
//!         Ok(json!(format!("{} lends {} for {}", library.name, self.title, request.id)))
//!     }
//! }
//!
//! # async fn run(keeper: Arc<dyn Keeper>, stop: CancellationToken) -> Result<(), Box<dyn std::error::Error>> {
//! let url = "amqp://guest:guest@localhost:5672/%2f".to_owned().into();
//! let transport = AmqpTransport::connect(AmqpOptions::new(url, "library"))?;
//!
//! let library = Arc::new(Library { name: "Berlin".to_owned() });
//! let registry = Registry::new(library).register::<LendBook>();
//! let worker = Worker::new(registry, transport.clone(), keeper);
//!
//! let signature = Signature::new("library.lend_book").kwargs(json!({"title": "Ulysses"})).queue("library");
//! transport.publish(signature.into_message(), Routing::Mandatory).await?;
//!
//! let queue = Queue { name: "library".to_owned(), bindings: vec![], prefetch: 10 };
//! transport.consume(queue, Arc::new(worker), stop.into()).await;
//! # Ok(())
//! # }
//! ```

pub mod amqp;
pub mod beat;
pub mod canvas;
pub mod consumers;
pub mod control;
pub mod events;
pub mod host;
pub mod message;
pub mod protocol;
pub mod registry;
pub mod results;
pub mod state;
pub mod tls;
pub mod transport;
pub mod worker;
