//! The whole service from outside: its command line, HTTP and queues.

mod cli;
mod real;
#[path = "../support/stage.rs"]
mod stage;
mod support;
