//! What clients may hold: connections, requests in flight and memory, in total and for each client
//! address.
//!
//! 1. No client address can use up a total: it has a share of each. Peers in `trustedProxies` have
//!    none of their own; behind them a request counts for the address that they name.
//! 2. When connections reach a limit, idle ones give way to new ones: the oldest that has shown no
//!    verified token first, one that has only when it was not used for [`Limits::verified_idle`]. Within
//!    a client's share, only its own.
//! 3. Memory that grows by what a client does is charged to its connection. Near the limit the largest
//!    connections without a verified token are closed. At the limit the largest are closed whatever they
//!    have shown, and no new request is taken; from clients that hold little, only half as much beyond it.
//!
//! Everything that is counted is a guard ([`OpenConnection`], [`InFlight`], [`Charge`]) that gives its
//! share back when it is dropped. Nothing here depends on a protocol.

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
pub use turn::{Turn, take_turns};
pub use turns::Turns;

/// What the process takes without any client: code, runtimes, TLS, key sets, audit queue.
const FIXED_BYTES: u64 = 24 << 20;
/// Connections are looked through for memory at most this often.
const RELIEF_INTERVAL: Duration = Duration::from_millis(20);

/// Limits in force; each also bounds one client by a share.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections.
    pub connections: usize,
    /// Those of one client address.
    pub connections_per_client: usize,
    /// Requests in flight.
    pub requests: usize,
    /// Those of one client address.
    pub requests_per_client: usize,
    /// Bytes held for clients; half of it for one client address.
    pub memory: usize,
    /// After so long without a request a connection with a verified token may give way to a new one: its
    /// client may lose a request that it is just sending.
    pub verified_idle: Duration,
}

impl Limits {
    /// The limits of a configuration. Of `limits.memory`, what the process needs for itself and the
    /// token cache are taken off, and a quarter of the rest for what an allocator cannot use.
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

    /// The same, with this many connections at most. If that is fewer, one client address has at most half of them.
    #[must_use]
    pub fn with_connections(mut self, most: usize) -> Self {
        if most < self.connections {
            self.connections = most;
            self.connections_per_client = self.connections_per_client.min(most.div_ceil(2));
        }
        self
    }
}

/// Which limit leaves no room.
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

/// The shared account of all connections of the process.
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
    /// Milliseconds from `started` to when memory was last looked for.
    relieved: AtomicU64,
    clients: Clients,
    registry: Mutex<Registry>,
    /// Told when the last connection has ended.
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

    /// Puts other limits in force. What is open stays open.
    pub fn change(&self, limits: Limits) {
        *lock(&self.limits) = limits;
        self.max_requests.store(limits.requests, Ordering::Relaxed);
        self.max_requests_per_client.store(limits.requests_per_client, Ordering::Relaxed);
        self.max_memory.store(limits.memory, Ordering::Relaxed);
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        lock(&self.registry).open.len()
    }

    /// Resolves when there is no connection.
    pub async fn is_empty(&self) {
        loop {
            let mut told = std::pin::pin!(self.empty.notified());
            // Before they are counted: what comes in between is not missed.
            told.as_mut().enable();
            if self.connections() == 0 {
                return;
            }
            told.await;
        }
    }

    /// Bytes held for clients.
    pub fn memory(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }

    /// Takes in a new connection, of this address or of a peer without a share of its own. Idle
    /// connections give way where a limit is reached.
    ///
    /// # Errors
    /// There is no room, and no idle connection.
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
        // Twice the limit, when connections that were asked to close do not get to it.
        if registry.open.len() >= limits.connections.saturating_mul(2) {
            return Err(Exhausted::Total);
        }
        match client {
            Some(client) if self.is_over_its_share(client) => Err(Exhausted::Share),
            _ if self.is_over(self.last_limit()) => Err(Exhausted::Memory),
            _ => Ok(()),
        }
    }

    /// What may be held while those that hold most are closing, so that clients that hold little are not
    /// refused in that moment.
    fn last_limit(&self) -> usize {
        (self.max_memory.load(Ordering::Relaxed) / 2).saturating_mul(3)
    }

    /// Asks idle connections to close: of one client, or of all. Several at once where they have shown
    /// no verified token, so that not every new connection looks through all others.
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
        idle.retain(|(own, ..)| *own == trusted);
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

    /// From here on memory is looked for, before there is none.
    fn soft_limit(&self) -> usize {
        self.max_memory.load(Ordering::Relaxed) / 8 * 7
    }

    /// What one client address may hold.
    fn memory_share(&self) -> usize {
        self.max_memory.load(Ordering::Relaxed) / 2
    }

    fn is_over_its_share(&self, client: &Client) -> bool {
        client.memory() > self.memory_share()
    }

    /// Asks the largest connections to close until what is left fits: of one client into its share, or
    /// of all into the limit. Those with a verified token only at the limit itself.
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
        // Some more than needed: then the next look is further away.
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

    /// Asks one connection to close, whose client already holds too much.
    fn close(&self, connection: &Connection) {
        let mut registry = lock(&self.registry);
        if !connection.is_closing() {
            connection.ask_to_close();
            registry.closing += 1;
            self.metrics.connections_closed("memory", 1);
        }
    }

    /// Milliseconds since the start.
    fn now(&self) -> u64 {
        millis(self.started.elapsed())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The account of one connection that nothing limits.
#[cfg(test)]
pub(crate) fn unlimited_account(address: Option<IpAddr>) -> Arc<Connection> {
    match unlimited().connect(address) {
        Ok(open) => open.account().clone(),
        Err(exhausted) => unreachable!("no limit: {exhausted:?}"),
    }
}

#[cfg(test)]
fn unlimited() -> Arc<Budget> {
    let most = usize::MAX;
    let limits = Limits {
        connections: most,
        connections_per_client: most,
        requests: most,
        requests_per_client: most,
        memory: most,
        verified_idle: Duration::ZERO,
    };
    Budget::new(limits, Arc::new(Metrics::new()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
