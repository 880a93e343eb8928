//! Handlers and keepers that remember what they were given.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::Semaphore;
use waybill_tasks::celery::transport::{Delivery, Handler, KeepError, Keeper, Rejected, Verdict};

/// Takes every message, one permit each.
pub(crate) struct Recorder {
    pub(crate) taken: Mutex<Vec<Delivery>>,
    pub(crate) permits: Semaphore,
    pub(crate) in_hand: AtomicUsize,
    pub(crate) most_in_hand: AtomicUsize,
    pub(crate) verdict: Mutex<Verdict>,
}

impl Recorder {
    /// Takes all at once.
    pub(crate) fn new() -> Self {
        Self::with_permits(Semaphore::MAX_PERMITS)
    }

    /// Holds messages in hand until there are permits.
    pub(crate) fn with_permits(permits: usize) -> Self {
        Self {
            taken: Mutex::default(),
            permits: Semaphore::new(permits),
            in_hand: AtomicUsize::new(0),
            most_in_hand: AtomicUsize::new(0),
            verdict: Mutex::new(Verdict::Ack),
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.taken.lock().unwrap().len()
    }

    pub(crate) fn bodies(&self) -> Vec<String> {
        let taken = self.taken.lock().unwrap();
        taken
            .iter()
            .map(|delivery| String::from_utf8(delivery.message.body.clone()).unwrap())
            .collect()
    }
}

#[async_trait]
impl Handler for Recorder {
    async fn handle(&self, delivery: &Delivery) -> Verdict {
        let now = self.in_hand.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_in_hand.fetch_max(now, Ordering::SeqCst);
        self.permits.acquire().await.unwrap().forget();
        self.taken.lock().unwrap().push(delivery.clone());
        self.in_hand.fetch_sub(1, Ordering::SeqCst);
        *self.verdict.lock().unwrap()
    }
}

/// Keeps what it is given, unless it is away.
#[derive(Default)]
pub(crate) struct Shelf {
    pub(crate) away: AtomicBool,
    pub(crate) rejected: Mutex<Vec<Rejected>>,
    pub(crate) parked: Mutex<Vec<(Delivery, DateTime<Utc>)>>,
}

impl Shelf {
    fn check(&self) -> Result<(), KeepError> {
        match self.away.load(Ordering::SeqCst) {
            true => Err(KeepError("the shelf is away".to_owned())),
            false => Ok(()),
        }
    }

    pub(crate) fn reasons(&self) -> Vec<&'static str> {
        let mut reasons: Vec<_> = self
            .rejected
            .lock()
            .unwrap()
            .iter()
            .map(|rejected| rejected.reason)
            .collect();
        reasons.sort_unstable();
        reasons
    }
}

#[async_trait]
impl Keeper for Shelf {
    async fn quarantine(&self, rejected: Rejected) -> Result<(), KeepError> {
        self.check()?;
        self.rejected.lock().unwrap().push(rejected);
        Ok(())
    }

    async fn park(&self, delivery: &Delivery, until: DateTime<Utc>) -> Result<(), KeepError> {
        self.check()?;
        self.parked.lock().unwrap().push((delivery.clone(), until));
        Ok(())
    }
}
