//! A worker on a real RabbitMQ, watched and managed from outside, and beats.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "support/broker.rs"]
#[expect(dead_code, reason = "not every test binary needs all of it")]
mod broker;
#[path = "support/handlers.rs"]
#[expect(dead_code, reason = "not every test binary needs all of it")]
mod handlers;

#[path = "celery_manage/beat.rs"]
mod beat;
#[path = "celery_manage/client.rs"]
mod client;
#[path = "celery_manage/consumers.rs"]
mod consumers;
#[path = "celery_manage/control.rs"]
mod control;
#[path = "celery_manage/events.rs"]
mod events;
#[path = "celery_manage/node.rs"]
mod node;
