//! The partner's client, and the effects, against a partner on a real socket and an application in memory.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "partner_effects/adapters.rs"]
mod adapters;
#[path = "partner_effects/booking.rs"]
mod booking;
#[path = "partner_effects/cancelling.rs"]
mod cancelling;
#[path = "partner_effects/client.rs"]
mod client;
#[path = "partner_effects/measuring.rs"]
mod measuring;
#[path = "partner_effects/routing.rs"]
mod routing;
#[path = "partner_effects/scripted.rs"]
mod scripted;
#[path = "partner_effects/telling.rs"]
mod telling;
#[path = "partner_effects/twice.rs"]
mod twice;
#[path = "partner_effects/world.rs"]
mod world;
