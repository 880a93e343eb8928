//! The transport and the worker on a real RabbitMQ.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "support/broker.rs"]
mod broker;
#[path = "support/handlers.rs"]
mod handlers;
#[path = "support/proxy.rs"]
#[expect(dead_code, reason = "what is smuggled in is for the broker's tests")]
mod proxy;

#[path = "celery_amqp/consume.rs"]
mod consume;
#[path = "celery_amqp/delayed.rs"]
mod delayed;
#[path = "celery_amqp/faults.rs"]
mod faults;
#[path = "celery_amqp/matrix.rs"]
mod matrix;
#[path = "celery_amqp/publish.rs"]
mod publish;
#[path = "celery_amqp/topology.rs"]
mod topology;
#[path = "celery_amqp/work.rs"]
mod work;
