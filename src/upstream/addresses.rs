//! The addresses of the backend: which of them rest after a failure, and for how long each keeps an idle connection open.
//!
//! A new connection goes to the first address that accepts it, in this order: the URLs as configured, the addresses of a
//! name as resolved. This is failover, not load balancing. An address to which no connection could be opened rests for
//! [`REST`]: until then it is tried only after the others. All of them are tried before a request fails.
//!
//! The workers of the process share this. It is locked only when a connection is opened or lost.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::http1::KeepAlive;
use crate::metrics::Metrics;

/// How long an address that failed is tried only after the others.
pub(super) const REST: Duration = Duration::from_secs(10);
/// How many addresses are remembered at most.
const MAX_KNOWN: usize = 256;

/// The addresses that were used so far.
pub(super) struct Addresses {
    keep_alive: Duration,
    /// The URLs of the backend, by host and port.
    endpoints: Box<[Address]>,
    known: Mutex<Vec<Arc<Address>>>,
}

/// One address: an IP address and port, or the path of a socket.
pub(super) struct Address {
    /// The index of the URL that it belongs to.
    pub(super) endpoint: usize,
    name: Box<str>,
    /// Whether it is remembered, and in the metrics.
    is_known: bool,
    learned: Mutex<KeepAlive>,
    /// Its limit in milliseconds.
    limit: AtomicU64,
    /// Since when it fails, if it does; and until when it rests.
    failing: Mutex<Option<Instant>>,
}

impl Addresses {
    /// The addresses of URLs with these hosts and ports. None was used. Connections are kept for at most `keep_alive`.
    pub(super) fn new(endpoints: impl IntoIterator<Item = String>, keep_alive: Duration) -> Self {
        let endpoints = endpoints.into_iter().enumerate();
        let endpoints = endpoints.map(|(number, name)| Address::new(number, &name, keep_alive)).collect();
        Self { keep_alive, endpoints, known: Mutex::default() }
    }

    /// A URL as a whole, for backends that have several.
    pub(super) fn endpoint(&self, number: usize) -> Option<&Address> {
        self.endpoints.get(number)
    }

    /// What is known about an address of this URL.
    pub(super) fn get(&self, endpoint: usize, name: impl fmt::Display) -> Arc<Address> {
        let name = name.to_string();
        let mut known = lock(&self.known);
        let is_same = |address: &&Arc<Address>| address.endpoint == endpoint && *address.name == *name;
        if let Some(address) = known.iter().find(is_same) {
            return address.clone();
        }
        let mut address = Address::new(endpoint, &name, self.keep_alive);
        address.is_known = known.len() < MAX_KNOWN;
        let address = Arc::new(address);
        if address.is_known {
            known.push(address.clone());
        }
        address
    }

    /// Removes all of them from the metrics.
    pub(super) fn forget(&self, metrics: &Metrics) {
        self.endpoints.iter().for_each(|address| metrics.forget_upstream_address(&address.name));
        lock(&self.known).iter().for_each(|address| metrics.forget_upstream_address(&address.name));
    }

    /// Keeps these addresses of a URL, and those that a connection has: names get new addresses.
    pub(super) fn retain(&self, endpoint: usize, current: &[Arc<Address>], metrics: &Metrics) {
        lock(&self.known).retain(|address| {
            let is_current = current.iter().any(|other| Arc::ptr_eq(other, address));
            let keeps = address.endpoint != endpoint || is_current || Arc::strong_count(address) > 1;
            if !keeps {
                metrics.forget_upstream_address(&address.name);
            }
            keeps
        });
    }
}

impl Address {
    fn new(endpoint: usize, name: &str, keep_alive: Duration) -> Self {
        let learned = KeepAlive::new(keep_alive);
        Self {
            endpoint,
            name: name.into(),
            is_known: true,
            limit: AtomicU64::new(millis(learned.limit())),
            learned: Mutex::new(learned),
            failing: Mutex::default(),
        }
    }

    /// Whether it rests.
    pub(super) fn is_resting(&self, now: Instant) -> bool {
        lock(&self.failing).is_some_and(|failed| now.saturating_duration_since(failed) < REST)
    }

    /// No connection to it could be opened. `has_others` says whether the backend has other addresses.
    pub(super) fn failed(&self, cause: &dyn fmt::Display, has_others: bool, metrics: &Metrics) {
        self.measure(false, metrics);
        let was_failing = lock(&self.failing).replace(Instant::now()).is_some();
        if has_others && !was_failing {
            let (address, cause) = (&*self.name, cause.to_string());
            tracing::warn!(address, cause, "an address of the backend fails; others are tried first");
        }
    }

    /// It accepted a connection.
    pub(super) fn accepted(&self, has_others: bool, metrics: &Metrics) {
        self.measure(true, metrics);
        let was_failing = lock(&self.failing).take().is_some();
        if has_others && was_failing {
            tracing::warn!(address = &*self.name, "an address of the backend accepts connections again");
        }
    }

    fn measure(&self, accepts: bool, metrics: &Metrics) {
        if self.is_known {
            metrics.upstream_address(&self.name, accepts);
        }
    }

    /// An idle connection to it may be used if it was idle for less than this.
    pub(super) fn keep_alive(&self) -> Duration {
        Duration::from_millis(self.limit.load(Ordering::Relaxed))
    }

    /// It closed a connection that was idle for this time.
    pub(super) fn closed(&self, idle: Duration) {
        self.learn(|learned| learned.closed(idle));
    }

    /// A connection to it was still open after it was idle for this time.
    pub(super) fn survived(&self, idle: Duration) {
        self.learn(|learned| learned.survived(idle));
    }

    fn learn(&self, learn: impl FnOnce(&mut KeepAlive)) {
        let mut learned = lock(&self.learned);
        let before = learned.limit();
        learn(&mut learned);
        let limit = learned.limit();
        self.limit.store(millis(limit), Ordering::Relaxed);
        if limit != before {
            let (address, limit) = (&*self.name, humantime::format_duration(limit));
            tracing::debug!(address, %limit, "learned how long the backend keeps idle connections");
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::ExpositionFormat;

    const KEEP_ALIVE: Duration = Duration::from_secs(20);

    #[tokio::test(start_paused = true)]
    async fn an_address_that_failed_rests_until_it_accepts() {
        let (addresses, metrics) = (Addresses::new([], KEEP_ALIVE), Metrics::new());
        let address = addresses.get(0, "192.0.2.1:80");
        assert!(!address.is_resting(Instant::now()));
        address.failed(&"refused", true, &metrics);
        assert!(addresses.get(0, "192.0.2.1:80").is_resting(Instant::now()));
        assert!(!addresses.get(0, "192.0.2.2:80").is_resting(Instant::now()));
        tokio::time::advance(REST).await;
        assert!(!address.is_resting(Instant::now()), "it is tried again");
        address.failed(&"refused", true, &metrics);
        address.accepted(true, &metrics);
        assert!(!address.is_resting(Instant::now()));
    }

    #[test]
    fn addresses_that_a_name_no_longer_has_are_forgotten() {
        let (addresses, metrics) = (Addresses::new([], KEEP_ALIVE), Metrics::new());
        let kept = addresses.get(0, "192.0.2.1:80");
        for (endpoint, name) in [(0, "192.0.2.2:80"), (0, "192.0.2.3:80"), (1, "192.0.2.2:80")] {
            addresses.get(endpoint, name).closed(Duration::from_secs(5));
        }
        addresses.retain(0, &[addresses.get(0, "192.0.2.3:80")], &metrics);
        assert!(Arc::ptr_eq(&kept, &addresses.get(0, "192.0.2.1:80")), "a connection has it");
        let learned = Duration::from_secs(4);
        for (endpoint, name, limit) in
            [(0, "192.0.2.2:80", KEEP_ALIVE), (0, "192.0.2.3:80", learned), (1, "192.0.2.2:80", learned)]
        {
            assert_eq!(addresses.get(endpoint, name).keep_alive(), limit, "{endpoint} {name}");
        }
        for number in 0..2 * MAX_KNOWN {
            addresses.get(0, number);
        }
        assert_eq!(lock(&addresses.known).len(), MAX_KNOWN);
        let samples = || metrics.encode(ExpositionFormat::Text).matches("upstream_address_up{").count();
        for number in 0..2 * MAX_KNOWN {
            addresses.get(0, number).accepted(true, &metrics);
        }
        assert!((1..=MAX_KNOWN).contains(&samples()), "{}", samples());
        addresses.forget(&metrics);
        assert_eq!(samples(), 0);
    }
}
