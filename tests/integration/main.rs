//! The whole service from outside: its command line, HTTP and queues.

mod carrier;
mod cli;
mod embedded;
mod real;
#[path = "../support/stage.rs"]
mod stage;
mod support;
mod transport;
