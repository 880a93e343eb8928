//! The whole service from outside: its command line, HTTP and queues.

mod carrier;
mod cli;
mod edge_cases;
mod embedded;
mod partners;
mod presence;
mod real;
#[path = "../support/stage.rs"]
#[expect(dead_code, reason = "for all stories, and each folder tells only some")]
mod stage;
mod support;
mod transport;
mod troubles;
