//! Waybill: from a paid ordering of books to its confirmed delivery.
//!
//! The domain decides, the engine records, tasks act, webhooks listen, the API answers.

pub mod api;
pub mod app;
pub mod appconfig;
pub mod commands;
pub mod config;
#[cfg(test)]
mod conformance;
mod crash;
pub mod demo;
pub mod diagram;
pub mod engine;
pub mod graph_commands;
pub mod local;
pub mod outgoing;
pub mod partner_sim;
pub mod payments;
mod redact;
pub mod relay;
pub mod store;
pub mod telemetry;
pub mod template;
