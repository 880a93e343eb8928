//! Why a call to a partner brought nothing, by what the caller does about it.
//!
//! What a partner writes in free text is data, never part of a message: it may quote the customer's address.

use std::time::Duration;

/// Why a call to a partner brought nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartnerError {
    /// The partner's no to this very request; asking again will not help.
    #[error("the partner refuses: {code}")]
    Rejected {
        /// Its word for the reason.
        code: String,
        /// What it says.
        text: String,
    },
    /// Too many requests, by the partner's measure or by our own: nothing was done, ask again later.
    #[error("too many requests, ask again in {after:?}")]
    Throttled {
        /// When.
        after: Duration,
    },
    /// The partner works, and has nobody free: nothing was done, ask again later.
    #[error("the partner has nobody free, ask again in {after:?}")]
    Busy {
        /// When.
        after: Duration,
    },
    /// The breaker is open: nothing was sent.
    #[error("the breaker is open, ask again in {after:?}")]
    Open {
        /// When.
        after: Duration,
    },
    /// Too many calls are under way: nothing was sent.
    #[error("too many calls are under way, ask again in {after:?}")]
    BulkheadFull {
        /// When.
        after: Duration,
    },
    /// No connection came about: surely nothing was sent.
    #[error("the partner cannot be reached: {0}")]
    Unreachable(String),
    /// The partner may have done it or not: look it up by reference before anything is sent again.
    #[error("it is unknown what the partner did: {0}")]
    Ambiguous(String),
    /// The partner no longer serves us: an operator has to talk to it.
    #[error("the partner does not serve us: {status}")]
    Suspended {
        /// 401, 402 or 403.
        status: u16,
    },
    /// The partner has no such thing: an operator has to look there.
    #[error("the partner has no way of {0}")]
    Unsupported(&'static str),
}

impl PartnerError {
    pub(super) fn as_label(&self) -> &'static str {
        match self {
            Self::Rejected { .. } => "rejected",
            Self::Throttled { .. } => "throttled",
            Self::Busy { .. } => "busy",
            Self::Open { .. } => "open",
            Self::BulkheadFull { .. } => "bulkhead_full",
            Self::Unreachable(_) => "unreachable",
            Self::Ambiguous(_) => "ambiguous",
            Self::Suspended { .. } => "suspended",
            Self::Unsupported(_) => "unsupported",
        }
    }
}
