//! The house style as tests: who may know whom, how things are called, and what must not be committed. Needs no services.

mod code;
mod dependencies;
mod documents;
mod layers;
mod leftovers;
mod migrations;
mod names;
mod repository;
mod suppressions;
