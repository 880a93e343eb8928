//! How many tasks run at once: a number that can be changed while they run.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::locked;

/// How long a pool must have been larger than it needs before autoscaling makes it smaller.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// The places in which tasks run.
#[derive(Debug)]
pub struct Pool {
    places: Arc<Semaphore>,
    size: AtomicUsize,
    changed: watch::Sender<usize>,
    autoscale: Mutex<Option<Autoscale>>,
}

/// Between how many places autoscaling moves.
#[derive(Debug, Clone, Copy)]
struct Autoscale {
    most: usize,
    least: usize,
    needed: Instant,
}

/// A place, given back when it is dropped.
#[derive(Debug)]
pub struct PoolPermit(#[expect(dead_code, reason = "held for its end")] OwnedSemaphorePermit);

/// Too few places are free to take away as many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Can't shrink pool. All processes busy!")]
pub struct AllBusy;

impl Pool {
    /// With so many places, at least one.
    pub(super) fn new(size: usize) -> Self {
        let size = size.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(size)),
            size: AtomicUsize::new(size),
            changed: watch::Sender::new(size),
            autoscale: Mutex::default(),
        }
    }

    /// How many places there are.
    pub fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    /// Tells every new size, and new bounds of it.
    pub fn watch(&self) -> watch::Receiver<usize> {
        self.changed.subscribe()
    }

    /// Waits for a free place, first come first served.
    pub async fn acquire(&self) -> PoolPermit {
        let place = Arc::clone(&self.places).acquire_owned().await;
        PoolPermit(place.expect("the pool is never closed"))
    }

    /// A free place, if there is one.
    pub fn try_acquire(&self) -> Option<PoolPermit> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        place.ok().map(PoolPermit)
    }

    /// More places.
    pub fn grow(&self, more: usize) {
        let room = Semaphore::MAX_PERMITS.saturating_sub(self.size());
        let more = more.min(room);
        self.places.add_permits(more);
        self.resized(self.size.fetch_add(more, Ordering::Relaxed) + more);
    }

    /// Fewer places: as many of them as are free. Like Python's, it answers an error if those are fewer than asked for; one
    /// place always stays.
    pub fn shrink(&self, fewer: usize) -> Result<(), AllBusy> {
        let allowed = fewer.min(self.size().saturating_sub(1));
        let taken = self.places.forget_permits(allowed);
        self.resized(self.size.fetch_sub(taken, Ordering::Relaxed) - taken);
        if taken == fewer { Ok(()) } else { Err(AllBusy) }
    }

    fn resized(&self, size: usize) {
        self.changed
            .send_if_modified(|before| std::mem::replace(before, size) != size);
    }

    /// Lets the pool follow the work, between `least` and `most` places.
    pub fn autoscale_between(&self, least: usize, most: usize) {
        let most = most.max(least).max(1);
        let needed = Instant::now();
        *locked(&self.autoscale) = Some(Autoscale { most, least, needed });
    }

    /// Most and least, if the pool follows the work.
    pub fn autoscale(&self) -> Option<(usize, usize)> {
        locked(&self.autoscale).map(|scale| (scale.most, scale.least))
    }

    /// Other bounds for autoscaling, kept at once; answers what holds then, or `None` if the pool does not follow the work.
    pub fn rescale(&self, most: Option<usize>, least: Option<usize>) -> Option<(usize, usize)> {
        let mut scale = locked(&self.autoscale);
        let scale = scale.as_mut()?;
        scale.most = most.unwrap_or(scale.most).max(1);
        scale.least = least.unwrap_or(scale.least);
        let (most, least) = (scale.most, scale.least);
        if self.size() > most {
            // The places that are busy now go when the work is less.
            let _ = self.shrink(self.size() - most);
        }
        if self.size() < least {
            self.grow(least - self.size());
        }
        // The size may be what it was, and what is in hand is not.
        self.changed.send_modify(|_| ());
        Some((most, least))
    }

    /// Follows the work: more places at once, fewer when they were not needed for half a minute.
    pub fn follow(&self, in_hand: usize, now: Instant) {
        let mut scale = locked(&self.autoscale);
        let Some(scale) = scale.as_mut() else { return };
        let size = self.size();
        let wanted = in_hand.clamp(scale.least.max(1).min(scale.most), scale.most);
        if wanted >= size {
            scale.needed = now;
        }
        if wanted > size {
            self.grow(wanted - size);
        } else if wanted < size && now.saturating_duration_since(scale.needed) > KEEPALIVE {
            let _ = self.shrink(size - wanted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pool_shrinks_by_the_places_that_are_free_and_keeps_one() {
        let pool = Pool::new(2);
        let busy = pool.acquire().await;

        assert_eq!(pool.shrink(2), Err(AllBusy));
        assert_eq!(pool.size(), 1, "the free one is gone");
        assert_eq!(pool.shrink(1), Err(AllBusy));
        drop(busy);
        assert_eq!(pool.shrink(1), Err(AllBusy), "one always stays");

        pool.grow(3);
        assert_eq!(pool.size(), 4);
        assert_eq!(pool.shrink(3), Ok(()));
        let _only = pool.acquire().await;
    }

    #[test]
    fn autoscaling_grows_at_once_and_shrinks_after_a_while() {
        let pool = Pool::new(1);
        assert_eq!(pool.rescale(Some(3), None), None, "not enabled");
        pool.autoscale_between(1, 4);
        let start = Instant::now();

        pool.follow(10, start);
        assert_eq!(pool.size(), 4);
        pool.follow(0, start + Duration::from_secs(20));
        assert_eq!(pool.size(), 4);
        pool.follow(0, start + Duration::from_secs(40));
        assert_eq!(pool.size(), 1);

        assert_eq!(pool.rescale(Some(6), Some(3)), Some((6, 3)));
        assert_eq!(pool.size(), 3);
        assert_eq!(pool.rescale(Some(2), None), Some((2, 3)));
        assert_eq!(pool.autoscale(), Some((2, 3)));
    }
}
