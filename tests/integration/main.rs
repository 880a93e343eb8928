//! The whole service from outside: its command line, HTTP and queues.

mod cli;
mod support;
