//! Requests that were not believed: kept for whoever asks why a partner is not heard, and never in the way of an answer.
//!
//! What strangers send must not fill the disk, nor cost a write for each request. So: no bodies, a pace for each partner,
//! the newest thousand of each, and under load they are only counted.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use governor::clock::DefaultClock;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use tokio::sync::mpsc;
use tracing::warn;
use uuid::Uuid;
use waybill_webhooks::Unbelieved;

use crate::store::{Rejected, Store};

/// Rows of each partner, and of those that are none.
const MOST: i64 = 1000;
/// Rows of one write, and how many wait for theirs.
const BATCH: usize = 256;
/// Of each partner, and of those that are none: so many at once, and then so many a second.
const AT_ONCE: NonZeroU32 = NonZeroU32::new(200).expect("it is not zero");
const A_SECOND: NonZeroU32 = NonZeroU32::new(5).expect("it is not zero");

/// Stands for partners that are none of ours.
const NOBODY: &str = "-";

/// The way to the table.
#[derive(Clone)]
pub(super) struct Rejections {
    queue: mpsc::Sender<Rejected>,
    pace: Arc<RateLimiter<String, HashMapStateStore<String>, DefaultClock>>,
}

impl Rejections {
    /// Writes until every handle is gone.
    pub(super) fn start(store: Store) -> Self {
        let (queue, waiting) = mpsc::channel(BATCH);
        tokio::spawn(write(store, waiting));
        let quota = Quota::per_second(A_SECOND).allow_burst(AT_ONCE);
        Self {
            queue,
            pace: Arc::new(RateLimiter::hashmap(quota)),
        }
    }

    /// Takes one, if there is a place for it. Never waits.
    pub(super) fn take(&self, it: Unbelieved) {
        // Only names of ours become keys: a stranger cannot make more of them.
        let partner = it.partner.unwrap_or_else(|| NOBODY.to_owned());
        let kept = self.pace.check_key(&partner).is_ok()
            && self
                .queue
                .try_send(Rejected {
                    rejection_id: Uuid::now_v7(),
                    partner,
                    reason: it.reason.to_owned(),
                    event_id: it.event_id,
                    address: it.address.as_ref().map(IpAddr::to_string),
                    size: it.size.map(|size| i64::try_from(size).unwrap_or(i64::MAX)),
                    sha256: it.sha256.map(|digest| digest.to_vec()),
                })
                .is_ok();
        if !kept {
            metrics::counter!("webhook_rejected_unkept_total").increment(1);
        }
    }
}

async fn write(store: Store, mut waiting: mpsc::Receiver<Rejected>) {
    let mut batch = Vec::with_capacity(BATCH);
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        if let Err(error) = store.keep_rejected(std::mem::take(&mut batch), MOST).await {
            warn!("callbacks that were not believed are not kept: {error}");
        }
    }
}
