//! A Celery worker that knows no delivery: messages, transports, tasks, results.
//!
//! Nothing in here imports anything of the delivery domain, so that it could be lifted out as a crate.

pub mod amqp;
pub mod message;
pub mod protocol;
pub mod registry;
pub mod transport;
pub mod worker;
