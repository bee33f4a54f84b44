//! The idle HTTP/1.1 connections of one worker: last in, first out.
//!
//! One task for the whole pool waits until a backend closes an idle connection, or sends something on it, and then
//! drops that connection. A connection is registered with the task when it comes in, without waking it.
//!
//! A connection that was idle for longer than its backend is known to allow ([`crate::http1::KeepAlive`]) is not used, but
//! stays open until its time is over, to find out whether the backend still closes it.

use std::future::poll_fn;
use std::sync::{Arc, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::http1::Http1Connection;
use super::limit::{ConnectionLimit, MakesRoom, Waiters};
use crate::sync::{Mutex, MutexGuard};

/// The most idle connections of one worker.
const MAX_IDLE: usize = 256;
/// How many connections that were idle for too long are passed over in search of one that can be used.
const MAX_PASSED: usize = 8;

/// Idle connections.
#[derive(Default)]
pub(super) struct Http1Pool {
    state: Mutex<State>,
    limit: Option<Arc<ConnectionLimit>>,
    waiters: Arc<Waiters>,
}

#[derive(Default)]
struct State {
    /// The most recently used one is the last.
    idle: Vec<Idle>,
    watch: Option<Watch>,
}

struct Idle {
    connection: Box<Http1Connection>,
    since: Instant,
    until: Instant,
}

/// The task that drops idle connections. It ends with the pool.
struct Watch {
    task: AbortHandle,
    /// Wakes the task; none until it runs for the first time.
    waker: Option<Waker>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Http1Pool {
    /// Empty. Its connections count against `limit`.
    pub(super) fn new(limit: Option<Arc<ConnectionLimit>>, waiters: Arc<Waiters>) -> Arc<Self> {
        let pool = Arc::new(Self { limit, waiters, ..Self::default() });
        if let Some(limit) = &pool.limit {
            let pool: Weak<Self> = Arc::downgrade(&pool);
            limit.add(pool);
        }
        pool
    }

    /// The most recently used connection that is open, as far as the runtime has noticed.
    pub(super) fn check_out(&self, now: Instant) -> Option<Box<Http1Connection>> {
        let mut state = self.state();
        let (mut at, mut passed) = (state.idle.len(), 0);
        while at > 0 && passed < MAX_PASSED {
            at -= 1;
            let Some(idle) = state.idle.get_mut(at) else { break };
            let age = now.saturating_duration_since(idle.since);
            if idle.until > now && age >= idle.connection.lease().keep_alive() {
                passed += 1;
                continue;
            }
            let mut idle = state.idle.remove(at);
            if !idle.has_ended(now, &mut Context::from_waker(Waker::noop())) {
                idle.connection.lease().used_after(age);
                return Some(idle.connection);
            }
        }
        None
    }

    /// Keeps a connection for the next request, at most for `lifetime`.
    pub(super) fn check_in(self: &Arc<Self>, mut connection: Box<Http1Connection>, lifetime: Duration) {
        connection.release_buffers();
        let now = Instant::now();
        let mut state = self.state();
        if state.idle.len() >= MAX_IDLE || !self.register(&mut state, &mut connection) {
            return;
        }
        state.idle.push(Idle { connection, since: now, until: now + lifetime });
        drop(state);
        if let Some(limit) = &self.limit {
            self.waiters.freed.notify_one();
            // Asked only now, so that a request that begins to wait sees the connection, or is seen here.
            if !limit.keeps(&self.waiters) {
                self.close_oldest();
            }
        }
    }

    /// Closes the connections whose time is over.
    pub(super) fn close_expired(&self, now: Instant) {
        let mut cx = Context::from_waker(Waker::noop());
        self.state().idle.retain_mut(|idle| idle.until > now || !idle.has_ended(now, &mut cx));
    }

    /// Has the task watch a connection. Returns false if it must be closed.
    fn register(self: &Arc<Self>, state: &mut State, connection: &mut Http1Connection) -> bool {
        match &state.watch {
            Some(Watch { waker: Some(waker), .. }) => {
                connection.poll_unusable(&mut Context::from_waker(waker)).is_pending()
            }
            // The task has yet to run, and will register every connection then.
            Some(Watch { waker: None, .. }) => true,
            // Without a runtime the process is ending.
            None => Handle::try_current().is_ok_and(|runtime| {
                let task = runtime.spawn(watch(Arc::downgrade(self))).abort_handle();
                state.watch = Some(Watch { task, waker: None });
                true
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MakesRoom for Http1Pool {
    fn close_oldest(&self) -> bool {
        let mut state = self.state();
        if state.idle.is_empty() {
            return false;
        }
        drop(state.idle.remove(0));
        true
    }
}

impl Idle {
    /// Whether the backend has closed it, or has sent something on it, or its time is over. Learns from it.
    fn has_ended(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let age = now.saturating_duration_since(self.since);
        if self.connection.poll_unusable(cx).is_ready() {
            self.connection.lease().closed(age);
            return true;
        }
        let is_over = self.until <= now;
        if is_over {
            self.connection.lease().survived(age);
        }
        is_over
    }
}

/// Drops idle connections that the backend closes or sends bytes on, until the pool is dropped.
async fn watch(pool: Weak<Http1Pool>) {
    poll_fn(|cx| {
        let Some(pool) = pool.upgrade() else { return Poll::Ready(()) };
        let mut state = pool.state();
        if let Some(watch) = &mut state.watch {
            watch.waker = Some(cx.waker().clone());
        }
        let now = Instant::now();
        state.idle.retain_mut(|idle| !idle.has_ended(now, cx));
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::super::addresses::{Address, Addresses};
    use super::super::lease::Lease;
    use super::super::stream::Stream;
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixStream;

    const LIFETIME: Duration = Duration::from_secs(20);

    fn connection() -> (Box<Http1Connection>, UnixStream) {
        let (ours, backend) = UnixStream::pair().expect("a pair");
        (Http1Connection::new(Stream::Unix(ours)), backend)
    }

    fn idle(pool: &Http1Pool) -> usize {
        pool.state().idle.len()
    }

    #[tokio::test]
    async fn idle_connection_that_the_backend_closes_is_dropped() {
        let pool = Arc::<Http1Pool>::default();
        let (one, first) = connection();
        let (other, second) = connection();
        pool.check_in(one, LIFETIME);
        // The first is registered by the task, the second when it comes in.
        tokio::task::yield_now().await;
        pool.check_in(other, LIFETIME);
        for (mut backend, left) in [(second, 1), (first, 0)] {
            backend.shutdown().await.expect("a half-closed connection");
            assert_eq!(backend.read(&mut [0]).await.expect("the end"), 0, "the pool closes its end too");
            assert_eq!(idle(&pool), left);
        }
    }

    #[tokio::test]
    async fn a_byte_on_an_idle_connection_closes_it() {
        let pool = Arc::<Http1Pool>::default();
        let (one, mut backend) = connection();
        pool.check_in(one, LIFETIME);
        backend.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("a write");
        let end = backend.read(&mut [0]).await;
        assert!(matches!(&end, Ok(0)) || end.is_err(), "{end:?}");
        assert!(pool.check_out(Instant::now()).is_none());
    }

    #[tokio::test]
    async fn the_last_connection_in_is_the_first_out_unless_it_was_closed() {
        let pool = Arc::<Http1Pool>::default();
        let (one, _first) = connection();
        let (other, _second) = connection();
        let (first_in, last_in) = (&raw const *one, &raw const *other);
        pool.check_in(one, LIFETIME);
        pool.check_in(other, LIFETIME);
        assert!(pool.check_out(Instant::now()).is_some_and(|connection| &raw const *connection == last_in));
        let (third, third_backend) = connection();
        pool.check_in(third, LIFETIME);
        drop(third_backend);
        // The runtime has to see the end first.
        tokio::time::timeout(Duration::from_secs(5), async {
            while idle(&pool) > 1 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("the closed connection is dropped");
        assert!(pool.check_out(Instant::now()).is_some_and(|connection| &raw const *connection == first_in));
        assert!(pool.check_out(Instant::now()).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn expired_connections_are_not_used_and_their_number_is_bounded() {
        let pool = Arc::<Http1Pool>::default();
        let (one, _first) = connection();
        pool.check_in(one, LIFETIME);
        tokio::time::advance(LIFETIME).await;
        assert!(pool.check_out(Instant::now()).is_none());
        let mut backends = Vec::new();
        for _ in 0..MAX_IDLE + 5 {
            let (one, backend) = connection();
            pool.check_in(one, LIFETIME);
            backends.push(backend);
        }
        assert_eq!(idle(&pool), MAX_IDLE);
        tokio::time::advance(LIFETIME / 2).await;
        drop(pool.check_out(Instant::now()).expect("one of them"));
        let (one, _last) = connection();
        pool.check_in(one, LIFETIME);
        pool.close_expired(Instant::now());
        assert_eq!(idle(&pool), MAX_IDLE);
        tokio::time::advance(LIFETIME / 2).await;
        pool.close_expired(Instant::now());
        assert_eq!(idle(&pool), 1, "the expired ones are closed");
    }

    fn leading_to(address: &Arc<Address>) -> (Box<Http1Connection>, UnixStream) {
        let (mut connection, backend) = connection();
        *connection.lease() = Lease::new(address.clone(), None);
        (connection, backend)
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_not_used_once_its_backend_is_known_to_close_it() {
        let pool = Arc::<Http1Pool>::default();
        let addresses = Addresses::new([], LIFETIME);
        let (slow, quick) = (addresses.get(0, "slow"), addresses.get(0, "quick"));
        let (one, backend) = leading_to(&quick);
        pool.check_in(one, LIFETIME);
        tokio::time::advance(Duration::from_secs(5)).await;
        drop(backend);
        while idle(&pool) > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(quick.keep_alive(), Duration::from_secs(4));
        let (one, _first) = leading_to(&quick);
        let (other, _second) = leading_to(&slow);
        let other_address = &raw const *other;
        pool.check_in(other, LIFETIME);
        pool.check_in(one, LIFETIME);
        tokio::time::advance(Duration::from_millis(3_999)).await;
        let one = pool.check_out(Instant::now()).expect("it may be used for four seconds");
        pool.check_in(one, LIFETIME);
        tokio::time::advance(Duration::from_secs(4)).await;
        let found = pool.check_out(Instant::now()).expect("the other backend keeps connections");
        assert_eq!(&raw const *found, other_address);
        assert_eq!(idle(&pool), 1, "the first stays open, to find out whether it is closed");
        assert!(pool.check_out(Instant::now()).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_stay_open_raise_the_limit_again() {
        let pool = Arc::<Http1Pool>::default();
        let address = Addresses::new([], LIFETIME).get(0, "a");
        address.closed(Duration::from_secs(2));
        let mut backends = Vec::new();
        for _ in 0..3 {
            assert_eq!(address.keep_alive(), Duration::from_secs(1));
            let (one, backend) = leading_to(&address);
            backends.push(backend);
            pool.check_in(one, LIFETIME);
            tokio::time::advance(LIFETIME).await;
            pool.close_expired(Instant::now());
        }
        assert_eq!(address.keep_alive(), LIFETIME);
    }

    #[tokio::test]
    async fn idle_connections_make_room_for_those_of_other_workers() {
        let limit = ConnectionLimit::new(1).expect("a bound");
        let (own, other) = (Arc::<Waiters>::default(), Arc::<Waiters>::default());
        let pool = Http1Pool::new(Some(limit.clone()), own);
        let address = Addresses::new([], LIFETIME).get(0, "a");
        let lease = || Lease::new(address.clone(), limit.try_take());
        let (mut one, _backend) = connection();
        *one.lease() = lease();
        pool.check_in(one, LIFETIME);
        assert_eq!(idle(&pool), 1);
        let (mut second, _second_backend) = connection();
        *second.lease() = lease();
        assert_eq!(idle(&pool), 0, "it was closed for the second");
        assert!(limit.try_take().is_none());
        let waiting = limit.wait(&other);
        pool.check_in(second, LIFETIME);
        assert_eq!(idle(&pool), 0, "a request of another worker waits");
        assert!(limit.try_take().is_some());
        drop(waiting);
    }

    #[tokio::test]
    async fn the_task_ends_with_the_pool() {
        let pool = Arc::<Http1Pool>::default();
        let (one, mut backend) = connection();
        pool.check_in(one, LIFETIME);
        tokio::task::yield_now().await;
        let task = pool.state().watch.as_ref().expect("the task").task.clone();
        drop(pool);
        assert_eq!(backend.read(&mut [0]).await.expect("the end"), 0);
        while !task.is_finished() {
            tokio::task::yield_now().await;
        }
    }
}
