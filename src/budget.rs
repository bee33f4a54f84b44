//! Limits what clients may hold: connections, requests in flight and memory, in total and per client address.
//!
//! 1. Each client address has a share of every total, so that no client can use up a total. Peers in `trustedProxies`
//!    have no share of their own: a request behind them, with its memory, counts for the address that they name.
//! 2. If connections reach a limit, idle ones are closed for new ones, the oldest of the lowest rank first. One with
//!    a verified token is closed only if it was idle for [`Limits::verified_idle`]. If a client reaches its share, only
//!    its own connections are closed.
//! 3. Memory that grows with what a client does is charged to its connection. Near the limit, the largest connections
//!    without a verified token are closed. At the limit, the largest are closed with or without one, and no new
//!    request is accepted. Clients that hold little are refused only at one and a half times the limit.
//! 4. Behind a trusted proxy, a client that exceeds its share of the memory loses the response that grows, not the
//!    connection, which may serve others.
//!
//! Everything that is counted is a guard ([`OpenConnection`], [`InFlight`], [`Charge`]) that returns its
//! share when it is dropped. Nothing here depends on a protocol or closes a socket: a connection's own task drops it
//! when [`Connection::close_requested`] resolves. [`Turns`] limits how much of the CPU a client gets.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config;
use crate::metrics::Metrics;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Mutex, MutexGuard};

mod client;
mod connection;
mod guards;
mod named_client;
mod room;
mod turn;
mod turns;
#[cfg(all(test, shuttle))]
mod models;
#[cfg(test)]
mod tests;

pub use client::ClientKey;
use client::{Client, Clients};
pub use connection::Connection;
pub use guards::{Charge, Discarding, InFlight, OpenConnection};
pub use named_client::NamedClient;
use room::Among;
pub use turn::{take_named_turns, take_turns};
pub use turns::Turns;

/// The memory of the process without any client: code, runtimes, TLS, key sets, audit queue.
const FIXED_BYTES: u64 = 24 << 20;
/// How often, at most, all connections are searched for the largest ones.
const RELIEF_INTERVAL: Duration = Duration::from_millis(20);
/// The part of the limit on connections that may wait for their PROXY protocol header beyond that limit.
const UNNAMED_PART: usize = 16;

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
    /// How many of the others wait for their PROXY protocol header.
    unnamed: usize,
}

impl Registry {
    fn add(
        &mut self,
        budget: &Arc<Budget>,
        client: Option<Arc<Client>>,
        is_unnamed: bool,
    ) -> Arc<Connection> {
        self.next_id += 1;
        let connection = Arc::new(Connection::new(budget.clone(), self.next_id, client, is_unnamed));
        self.open.insert(self.next_id, connection.clone());
        self.unnamed += usize::from(is_unnamed);
        connection
    }
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
        self.relieve_for(client.as_ref(), &limits);
        let mut registry = lock(&self.registry);
        self.counted(Self::limit_closing(&registry, &limits))?;
        self.counted(self.make_room(&mut registry, client.as_ref(), Among::All, &limits))?;
        let connection = registry.add(self, client, false);
        // Charging it may have to close others.
        drop(registry);
        Ok(OpenConnection::new(connection))
    }

    /// Adds a connection whose client is named later, by [`OpenConnection::set_client`]. Only then does it need room
    /// among the others, so that a client that has used up its share cannot close theirs. Until then it is the first
    /// to be closed.
    ///
    /// # Errors
    /// A limit is reached.
    pub fn connect_unnamed(self: &Arc<Self>) -> Result<OpenConnection, Exhausted> {
        let mut limits = *lock(&self.limits);
        limits.connections = limits.connections.saturating_add((limits.connections / UNNAMED_PART).max(1));
        self.relieve_for(None, &limits);
        let mut registry = lock(&self.registry);
        self.counted(Self::limit_closing(&registry, &limits))?;
        self.counted(self.make_room(&mut registry, None, Among::Unnamed, &limits))?;
        let connection = registry.add(self, None, true);
        // Charging it may have to close others.
        drop(registry);
        Ok(OpenConnection::new(connection))
    }

    fn counted<T>(&self, room: Result<T, Exhausted>) -> Result<T, Exhausted> {
        room.inspect_err(|exhausted| self.metrics.connection_refused(exhausted.as_str()))
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
