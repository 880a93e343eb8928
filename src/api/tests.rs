//! The API over its own router, with an engine on a database file of its own.

mod access;
mod callbacks;
mod cases;
mod confirmation;
mod description;
mod edge_cases;
mod events;
mod graphs;
mod handover;
mod heard;
mod instances;
mod lists;
mod postgres;
mod probes;
mod requests;
mod serving;
mod views;
mod webhooks;
mod world;
