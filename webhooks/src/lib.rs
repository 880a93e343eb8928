//! Webhooks listen: the callback of a delivery partner is verified over its raw bytes, handed over to be stored, and
//! only later translated. Nothing is parsed before its signature was found right, and nothing is answered with success
//! before it is stored. [`signing`] signs what we tell subscribers by the same scheme.

mod claim;
pub mod doors;
mod incoming;
pub mod keys;
pub mod partners;
mod problem;
pub mod receiver;
pub mod signature;
pub mod signing;

use std::net::IpAddr;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};

pub use doors::Doors;
pub use incoming::Incoming;
pub use keys::{BadKey, BadPartner, Key, PartnerKeys, Trust};
pub use partners::{Adapter, PartnerReport, ReportKind, Seen, Unmapped};
pub use problem::PROBLEMS;
pub use receiver::{Clock, MAX_BODY, router};
pub use signature::{Rejection, Verified};

/// Where verified callbacks are stored. The application implements it.
#[async_trait]
pub trait Inbox: Send + Sync + 'static {
    /// Stores a callback durably, by partner and event id, together with what must follow from it.
    ///
    /// The future may be dropped while it waits (the partner hung up, or five seconds were over): what was begun must
    /// then be stored whole or not at all. Safe to call twice with the same callback: the second time is a duplicate.
    async fn store(&self, callback: Callback) -> Result<Stored, Unavailable>;

    /// Takes note of a request that was not believed. Never waits, and may forget: its answer must not depend on it.
    fn reject(&self, unbelieved: Unbelieved);
}

/// A request that was not believed, without what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unbelieved {
    /// The partner that it claims to be of, if there is such a partner.
    pub partner: Option<String>,
    /// Why, as metrics name it.
    pub reason: &'static str,
    /// The `webhook-id` that it claims, where it has the form of one.
    pub event_id: Option<String>,
    /// Whom it came from, as far as that is known.
    pub address: Option<IpAddr>,
    /// Bytes of the body, where it was read or announced.
    pub size: Option<u64>,
    /// SHA-256 of the raw body, where it was read.
    pub sha256: Option<[u8; 32]>,
}

/// A callback whose signature was right, as it came.
#[derive(Clone, PartialEq, Eq)]
pub struct Callback {
    /// The partner's name in the partners file.
    pub partner: String,
    /// The partner's id of the event, equal over its retries.
    pub event_id: String,
    /// The id of the key that verified it.
    pub key_id: String,
    /// When this attempt was signed, where the scheme says so.
    pub signed_at: Option<DateTime<Utc>>,
    /// The headers worth keeping: `webhook-*`, signatures, `content-type` and `user-agent`.
    pub headers: Vec<(String, String)>,
    /// The raw body.
    pub body: Bytes,
    /// SHA-256 of the raw body: the same id with another content is told apart by it.
    pub sha256: [u8; 32],
}

impl std::fmt::Debug for Callback {
    /// Without the body, which may name people.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Callback")
            .field("partner", &self.partner)
            .field("event_id", &self.event_id)
            .field("key_id", &self.key_id)
            .field("signed_at", &self.signed_at)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// How a callback was stored. All three are a success to the partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// Seen for the first time.
    New,
    /// The same id with the same content was stored before.
    Duplicate,
    /// The same id was stored before with another content; the later one was set aside for the operator.
    Conflict,
}

/// The callback is not stored; the partner has to send it again.
#[derive(Debug, thiserror::Error)]
#[error("the callback cannot be stored: {0}")]
pub struct Unavailable(pub String);
