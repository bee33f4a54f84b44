//! The bound on connections to the backend (`upstream.maxConnections`), which the workers of the process share.
//!
//! A connection holds a [`Place`] until it closes, also while it is idle in the pool of its worker. A request that gets
//! none, and finds no idle connection in any pool to close, waits for at most [`MAX_WAIT`]. A connection that becomes
//! free goes to a request of the same worker, because it cannot be moved to another. If requests of other workers wait,
//! every [`TURN`]th is closed instead, and its place goes to the request that has waited longest in the process. Over HTTP/2
//! a connection becomes free with the end of its last stream.

use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// How long a request waits for a connection.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(1);
/// Of how many connections that become free one is closed for other workers, if their requests wait.
const TURN: usize = 4;

/// The right to one connection.
pub(super) type Place = OwnedSemaphorePermit;

/// The places of the process.
pub(super) struct ConnectionLimit {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    freed: AtomicUsize,
    pools: Mutex<Vec<Weak<dyn MakesRoom>>>,
}

/// A worker's connections, some of which may be idle.
pub(super) trait MakesRoom: Send + Sync {
    /// Closes the connection that was idle for longest. Returns whether there was one.
    fn close_oldest(&self) -> bool;
}

/// The requests of one worker that wait.
#[derive(Default)]
pub(super) struct Waiters {
    count: AtomicUsize,
    /// Notified when a connection has become free in this worker.
    pub(super) freed: Notify,
}

/// One request that waits, until it is dropped.
pub(super) struct Waiting<'l>(&'l ConnectionLimit, &'l Waiters);

impl ConnectionLimit {
    /// This many places; `None` if there is no bound.
    pub(super) fn new(connections: usize) -> Option<Arc<Self>> {
        (connections > 0).then(|| {
            Arc::new(Self {
                places: Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS))),
                waiting: AtomicUsize::new(0),
                freed: AtomicUsize::new(0),
                pools: Mutex::default(),
            })
        })
    }

    /// Adds the pool of a worker, whose idle connections make room for others.
    pub(super) fn add(&self, pool: Weak<dyn MakesRoom>) {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(pool);
    }

    /// Takes a place at once, by closing an idle connection if there is no other.
    pub(super) fn try_take(&self) -> Option<Place> {
        let take = || self.places.clone().try_acquire_owned().ok();
        take().or_else(|| {
            let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
            let closed = pools.iter().filter_map(Weak::upgrade).any(|pool| pool.close_oldest());
            drop(pools);
            if closed { take() } else { None }
        })
    }

    /// Waits for a place, in the order of the calls. `None` if there will be none.
    pub(super) async fn take(&self) -> Option<Place> {
        self.places.clone().acquire_owned().await.ok()
    }

    /// Counts a request that waits.
    pub(super) fn wait<'l>(&'l self, waiters: &'l Waiters) -> Waiting<'l> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        waiters.count.fetch_add(1, Ordering::SeqCst);
        Waiting(self, waiters)
    }

    /// Whether a connection that has become free is kept for requests of its worker. If not, it must be closed.
    pub(super) fn keeps(&self, waiters: &Waiters) -> bool {
        let (all, own) = (self.waiting.load(Ordering::SeqCst), waiters.count.load(Ordering::SeqCst));
        if all == own {
            return true;
        }
        own > 0 && !self.freed.fetch_add(1, Ordering::Relaxed).is_multiple_of(TURN)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Self(limit, waiters) = self;
        limit.waiting.fetch_sub(1, Ordering::SeqCst);
        waiters.count.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn places_are_bounded_and_go_to_the_longest_waiting_request() {
        assert!(ConnectionLimit::new(0).is_none());
        let limit = ConnectionLimit::new(2).expect("a bound");
        let (one, other) = (limit.try_take().expect("a place"), limit.try_take().expect("a place"));
        assert!(limit.try_take().is_none());
        let mut first = std::pin::pin!(limit.take());
        let mut second = std::pin::pin!(limit.take());
        assert!(poll(first.as_mut()).is_none());
        assert!(poll(second.as_mut()).is_none());
        drop(one);
        assert!(limit.try_take().is_none(), "a request that waits comes first");
        assert!(poll(second.as_mut()).is_none());
        assert!(poll(first.as_mut()).is_some());
        drop(other);
        assert!(poll(second.as_mut()).is_some());
    }

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }

    #[test]
    fn a_free_connection_is_shared_with_other_workers_that_wait() {
        let limit = ConnectionLimit::new(2).expect("a bound");
        let (own, other) = (Waiters::default(), Waiters::default());
        let kept = |waiters| (0..2 * TURN).filter(|_| limit.keeps(waiters)).count();
        assert_eq!(kept(&own), 2 * TURN, "nobody waits");
        let first = limit.wait(&own);
        assert_eq!(kept(&own), 2 * TURN, "only requests of this worker wait");
        assert_eq!(kept(&other), 0, "only requests of another worker wait");
        let second = limit.wait(&other);
        assert_eq!(kept(&own), 2 * (TURN - 1), "both wait");
        drop((first, second));
        assert_eq!(kept(&other), 2 * TURN);
    }
}
