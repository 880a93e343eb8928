//! Force: processes that are killed, services that go away, partners that lie. Then the invariants.

mod away;
mod kill;
mod lies;
#[path = "../support/stage.rs"]
mod stage;
