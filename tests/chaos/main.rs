//! Force: processes that are killed, services that go away, partners that lie. Then the invariants.

mod away;
mod crash;
mod kill;
mod lies;
mod migration;
mod outbox;
#[path = "../support/stage.rs"]
#[expect(dead_code, reason = "for all stories, and each folder tells only some")]
mod stage;
mod subscriber;
