//! Limits what clients may hold: connections, requests in flight and memory, in total and per client address.
//!
//! 1. Each client address has a share of every total, so that no client can use up a total. Peers in `trustedProxies`
//!    have no share of their own: a request behind them counts for the address that they name.
//! 2. If connections reach a limit, idle ones are closed for new ones. Those without a verified token go first, the
//!    oldest first. One with a verified token is closed only if it was idle for [`Limits::verified_idle`]. If a client
//!    reaches its share, only its own connections are closed.
//! 3. Memory that grows with what a client does is charged to its connection. Near the limit, the largest connections
//!    without a verified token are closed. At the limit, the largest are closed with or without one, and no new
//!    request is accepted. Clients that hold little are refused only at one and a half times the limit.
//!
//! Everything that is counted is a guard ([`OpenConnection`], [`InFlight`], [`Charge`], [`Backlog`]) that returns its
//! share when it is dropped. Nothing here depends on a protocol or closes a socket: a connection's own task drops it
//! when [`Connection::close_requested`] resolves. [`Turns`] limits how much of the CPU a client gets.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config;
use crate::metrics::Metrics;

mod client;
mod connection;
mod guards;
mod turn;
mod turns;
#[cfg(test)]
mod tests;

pub use client::ClientKey;
use client::{Client, Clients};
pub use connection::Connection;
pub use guards::{Backlog, Charge, InFlight, OpenConnection};
pub use turn::take_turns;
pub use turns::Turns;

/// The memory of the process without any client: code, runtimes, TLS, key sets, audit queue.
const FIXED_BYTES: u64 = 24 << 20;
/// How often, at most, all connections are searched for the largest ones.
const RELIEF_INTERVAL: Duration = Duration::from_millis(20);

/// The limits in force, in total and per client address.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections.
    pub connections: usize,
    /// Open connections of one client address.
    pub connections_per_client: usize,
    /// Requests in flight.
    pub requests: usize,
    /// Requests in flight of one client address.
    pub requests_per_client: usize,
    /// Bytes held for clients. One client address may hold half of it.
    pub memory: usize,
    /// A connection with a verified token may be closed for a new one after this time without a request. Its client may
    /// lose a request that it is just sending.
    pub verified_idle: Duration,
}

impl Limits {
    /// The limits of a configuration. From `limits.memory` it subtracts what the process itself and the token cache
    /// need, and then a quarter of the rest, for fragmentation in the allocator.
    pub fn new(limits: &config::Limits, cache: &config::TokenCache) -> Self {
        let rest = limits.memory.saturating_sub(FIXED_BYTES).saturating_sub(cache.max_bytes);
        let memory = (rest / 4 * 3).max(limits.memory / 8);
        Self {
            connections: limits.connections,
            connections_per_client: limits.connections_per_client,
            requests: limits.requests,
            requests_per_client: limits.requests_per_client,
            memory: usize::try_from(memory).unwrap_or(usize::MAX),
            verified_idle: limits.unverified_timeout,
        }
    }

    /// The same limits with at most this many connections. If that lowers the limit, one client address may have at
    /// most half of them.
    #[must_use]
    pub fn with_connections(mut self, max: usize) -> Self {
        if max < self.connections {
            self.connections = max;
            self.connections_per_client = self.connections_per_client.min(max.div_ceil(2));
        }
        self
    }
}

/// The limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhausted {
    /// The total.
    Total,
    /// The client address's share.
    Share,
    /// Memory.
    Memory,
}

impl Exhausted {
    /// The word in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Share => "client",
            Self::Memory => "memory",
        }
    }
}

/// The account of all connections of the process.
#[derive(Debug)]
pub struct Budget {
    started: Instant,
    limits: Mutex<Limits>,
    /// Copies of [`Limits`] that are read for every request.
    max_requests: AtomicUsize,
    max_requests_per_client: AtomicUsize,
    max_memory: AtomicUsize,
    requests: AtomicUsize,
    memory: AtomicUsize,
    /// When connections were last closed to free memory, in milliseconds since `started`.
    relieved: AtomicU64,
    clients: Clients,
    registry: Mutex<Registry>,
    /// Notified when the last connection has ended.
    empty: Notify,
    metrics: Arc<Metrics>,
}

/// Every open connection.
#[derive(Debug, Default)]
struct Registry {
    next_id: u64,
    open: HashMap<u64, Arc<Connection>, foldhash::fast::RandomState>,
    /// How many of them were asked to close.
    closing: usize,
}

impl Budget {
    /// An account without connections.
    pub fn new(limits: Limits, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            limits: Mutex::new(limits),
            max_requests: AtomicUsize::new(limits.requests),
            max_requests_per_client: AtomicUsize::new(limits.requests_per_client),
            max_memory: AtomicUsize::new(limits.memory),
            requests: AtomicUsize::new(0),
            memory: AtomicUsize::new(0),
            relieved: AtomicU64::new(0),
            clients: Clients::default(),
            registry: Mutex::default(),
            empty: Notify::new(),
            metrics,
        })
    }

    /// Puts other limits into force. Open connections stay open.
    pub fn change(&self, limits: Limits) {
        *lock(&self.limits) = limits;
        self.max_requests.store(limits.requests, Ordering::Relaxed);
        self.max_requests_per_client.store(limits.requests_per_client, Ordering::Relaxed);
        self.max_memory.store(limits.memory, Ordering::Relaxed);
    }

    /// The number of open connections.
    pub fn connections(&self) -> usize {
        lock(&self.registry).open.len()
    }

    /// Resolves when no connection is open.
    pub async fn is_empty(&self) {
        loop {
            let mut notified = std::pin::pin!(self.empty.notified());
            // Enabled before counting, so that no notification is missed.
            notified.as_mut().enable();
            if self.connections() == 0 {
                return;
            }
            notified.await;
        }
    }

    /// The bytes held for clients.
    pub fn memory(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }

    /// Adds a connection of this client address, or with `None` of a peer without a share of its own. If a limit is
    /// reached, asks idle connections to close.
    ///
    /// # Errors
    /// A limit is reached, and no idle connection can be closed.
    pub fn connect(self: &Arc<Self>, address: Option<IpAddr>) -> Result<OpenConnection, Exhausted> {
        let limits = *lock(&self.limits);
        let client = address.map(|address| self.clients.find(ClientKey::of(address)));
        if self.is_over(limits.memory) {
            self.relieve(None);
        }
        if let Some(client) = client.as_ref().filter(|client| self.is_over_its_share(client)) {
            self.relieve(Some(client));
        }
        let mut registry = lock(&self.registry);
        let result = self.make_room(&mut registry, client.as_ref(), &limits);
        if let Err(exhausted) = result {
            self.metrics.connection_refused(exhausted.as_str());
            return Err(exhausted);
        }
        registry.next_id += 1;
        let id = registry.next_id;
        let connection = Arc::new(Connection::new(self.clone(), id, client));
        registry.open.insert(id, connection.clone());
        drop(registry);
        Ok(OpenConnection::new(connection))
    }

    fn make_room(
        &self,
        registry: &mut Registry,
        client: Option<&Arc<Client>>,
        limits: &Limits,
    ) -> Result<(), Exhausted> {
        if let Some(client) = client
            && client.connections() >= limits.connections_per_client
            && !self.evict(registry, Some(client), limits)
        {
            return Err(Exhausted::Share);
        }
        let open = registry.open.len() - registry.closing;
        if open >= limits.connections && !self.evict(registry, None, limits) {
            return Err(Exhausted::Total);
        }
        // Connections that were asked to close are not counted above, but there may be no more than the limit of them.
        if registry.open.len() >= limits.connections.saturating_mul(2) {
            return Err(Exhausted::Total);
        }
        match client {
            Some(client) if self.is_over_its_share(client) => Err(Exhausted::Share),
            _ if self.is_over(self.last_limit()) => Err(Exhausted::Memory),
            _ => Ok(()),
        }
    }

    /// The limit for clients that hold little. It is higher, so that they are not refused while the largest
    /// connections are closing.
    fn last_limit(&self) -> usize {
        (self.max_memory.load(Ordering::Relaxed) / 2).saturating_mul(3)
    }

    /// Asks idle connections to close, of one client or of all. Closes several at once if they have shown no verified
    /// token, so that not every new connection has to search all others. Returns whether any was found.
    fn evict(&self, registry: &mut Registry, client: Option<&Arc<Client>>, limits: &Limits) -> bool {
        let limit = if client.is_some() { limits.connections_per_client } else { limits.connections };
        let long_ago = self.now().checked_sub(millis(limits.verified_idle));
        let mut idle: Vec<(bool, u64, &Arc<Connection>)> = registry
            .open
            .values()
            .filter(|connection| client.is_none_or(|client| connection.belongs_to(client)))
            .filter_map(|connection| {
                let (trusted, since) = (connection.is_trusted(), connection.evictable_since()?);
                (!trusted || long_ago.is_some_and(|end| since <= end)).then_some((trusted, since, connection))
            })
            .collect();
        let Some((trusted, ..)) = idle.iter().min_by_key(|(trusted, since, _)| (*trusted, *since)) else {
            return false;
        };
        let trusted = *trusted;
        idle.retain(|(other, ..)| *other == trusted);
        let count = if trusted { 1 } else { (limit / 64).max(1) }.min(idle.len());
        idle.select_nth_unstable_by_key(count - 1, |(_, since, _)| *since);
        let mut closing = 0;
        for (.., connection) in idle.iter().take(count) {
            connection.ask_to_close();
            closing += 1;
        }
        registry.closing += closing;
        self.metrics.connections_closed("idle", closing);
        true
    }

    fn is_over(&self, limit: usize) -> bool {
        self.memory.load(Ordering::Relaxed) > limit
    }

    /// Above this limit connections are closed, before the memory is used up.
    fn soft_limit(&self) -> usize {
        self.max_memory.load(Ordering::Relaxed) / 8 * 7
    }

    /// How many bytes one client address may hold.
    fn memory_share(&self) -> usize {
        self.max_memory.load(Ordering::Relaxed) / 2
    }

    fn is_over_its_share(&self, client: &Client) -> bool {
        client.memory() > self.memory_share()
    }

    /// Asks the largest connections to close until the rest fits into one client's share, or into the soft limit of
    /// all. Connections with a verified token are closed only above the limit itself.
    fn relieve(&self, client: Option<&Arc<Client>>) {
        let now = self.now();
        let last = self.relieved.load(Ordering::Relaxed);
        let due = last == 0 || now.saturating_sub(last) >= millis(RELIEF_INTERVAL);
        if !due
            || self.relieved.compare_exchange(last, now.max(1), Ordering::Relaxed, Ordering::Relaxed).is_err()
        {
            return;
        }
        let hard_limit = self.max_memory.load(Ordering::Relaxed);
        let (held, limit) = match client {
            Some(client) => (client.memory(), self.memory_share()),
            None => (self.memory(), self.soft_limit()),
        };
        let mut registry = lock(&self.registry);
        let mut leaving = 0;
        let mut holders = Vec::new();
        for connection in registry.open.values() {
            if client.is_some_and(|client| !connection.belongs_to(client)) {
                continue;
            }
            match connection.is_closing() {
                true => leaving += connection.charged(),
                false => holders.push((connection.is_trusted(), connection.charged(), connection)),
            }
        }
        let mut left = held.saturating_sub(leaving);
        if left <= limit {
            return;
        }
        // Frees some more than needed, so that the next search is not due at once.
        let goal = limit / 8 * 7;
        holders.sort_unstable_by_key(|(trusted, charged, _)| (*trusted, std::cmp::Reverse(*charged)));
        let mut closing = 0;
        for (trusted, charged, connection) in &holders {
            let enough = if *trusted { hard_limit } else { goal };
            if left <= enough {
                break;
            }
            connection.ask_to_close();
            closing += 1;
            left = left.saturating_sub(*charged);
        }
        registry.closing += closing;
        self.metrics.connections_closed("memory", closing);
    }

    /// Asks a connection to close because its client holds too much.
    fn close(&self, connection: &Connection) {
        let mut registry = lock(&self.registry);
        if !connection.is_closing() {
            connection.ask_to_close();
            registry.closing += 1;
            self.metrics.connections_closed("memory", 1);
        }
    }

    /// Milliseconds since `started`.
    fn now(&self) -> u64 {
        millis(self.started.elapsed())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The account of a connection without limits.
#[cfg(test)]
pub(crate) fn unlimited_account(address: Option<IpAddr>) -> Arc<Connection> {
    match unlimited().connect(address) {
        Ok(open) => open.account().clone(),
        Err(exhausted) => unreachable!("no limit: {exhausted:?}"),
    }
}

#[cfg(test)]
fn unlimited() -> Arc<Budget> {
    let max = usize::MAX;
    let limits = Limits {
        connections: max,
        connections_per_client: max,
        requests: max,
        requests_per_client: max,
        memory: max,
        verified_idle: Duration::ZERO,
    };
    Budget::new(limits, Arc::new(Metrics::new()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
