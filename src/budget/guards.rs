//! Guards for what a connection holds. Each returns its share when it is dropped.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::client::{Client, ClientKey};
use super::connection::Connection;
use super::{Budget, Exhausted, lock};

/// The memory of an idle connection: its task, its state and the buffers of the HTTP layer. Measured: 14 KiB, and 23 KiB
/// with TLS.
const CONNECTION_BYTES: usize = 24 * 1024;
/// The memory of a forwarded request: its task's state, the connection to the backend and its buffers.
const REQUEST_BYTES: usize = 32 * 1024;
/// The memory of a response that comes in more than one piece: the buffers of its connection to the backend, and what
/// is in transit from there.
const STREAMING_BYTES: usize = 128 * 1024;

impl Connection {
    /// Adds a request in flight. It counts for the connection's client or, behind a trusted proxy, for `source`.
    ///
    /// # Errors
    /// A limit on requests or memory is reached.
    pub fn request(self: &Arc<Self>, source: Option<IpAddr>) -> Result<InFlight, Exhausted> {
        let budget = &self.budget;
        let client = match (self.client.get(), source) {
            (Some(client), _) => Some(client.clone()),
            (None, Some(source)) => Some(budget.clients.find(ClientKey::of(source))),
            (None, None) => None,
        };
        let limit = budget.max_memory.load(Ordering::Relaxed);
        if budget.is_over(limit) {
            budget.relieve(None);
            let holds_little = client.as_ref().is_none_or(|client| client.memory() <= limit / 8);
            if !holds_little || budget.is_over(budget.last_limit()) {
                return Err(Exhausted::Memory);
            }
        }
        if client.as_ref().is_some_and(|client| budget.is_over_its_share(client)) {
            return Err(Exhausted::Share);
        }
        let total = budget.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let of_client =
            client.as_ref().map_or(0, |client| client.requests.fetch_add(1, Ordering::Relaxed) + 1);
        // Dropping it on an error subtracts both counts again.
        let in_flight = InFlight::new(self.clone(), client);
        if total > budget.max_requests.load(Ordering::Relaxed) {
            return Err(Exhausted::Total);
        }
        if of_client > budget.max_requests_per_client.load(Ordering::Relaxed) {
            return Err(Exhausted::Share);
        }
        Ok(in_flight)
    }

    /// Charges bytes until the guard is dropped.
    pub fn charge(self: &Arc<Self>, bytes: usize) -> Charge {
        Charge::new(self.clone(), bytes)
    }
}

/// An open connection. Dropping it removes it from every count.
#[derive(Debug)]
pub struct OpenConnection {
    connection: Arc<Connection>,
    _cost: Charge,
}

impl OpenConnection {
    pub(super) fn new(connection: Arc<Connection>) -> Self {
        Self { _cost: connection.charge(CONNECTION_BYTES), connection }
    }

    /// Its account.
    pub fn account(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Sets the client, if it became known only after the connection was accepted (PROXY protocol).
    ///
    /// # Errors
    /// That client's share is used up.
    pub fn set_client(&self, address: IpAddr) -> Result<(), Exhausted> {
        let budget = &self.connection.budget;
        let client = budget.clients.find(ClientKey::of(address));
        let limits = *lock(&budget.limits);
        let mut registry = lock(&budget.registry);
        if self.connection.is_closing() {
            return Err(Exhausted::Total);
        }
        if client.connections() >= limits.connections_per_client
            && !budget.evict(&mut registry, Some(&client), &limits)
        {
            budget.metrics.connection_refused(Exhausted::Share.as_str());
            return Err(Exhausted::Share);
        }
        client.connection_opens();
        client.memory.fetch_add(self.connection.charged(), Ordering::Relaxed);
        let _first = self.connection.client.set(client);
        Ok(())
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let connection = &self.connection;
        let mut registry = lock(&connection.budget.registry);
        registry.open.remove(&connection.id());
        if connection.is_closing() {
            registry.closing = registry.closing.saturating_sub(1);
        } else if let Some(client) = connection.client.get() {
            client.connection_ends();
        }
        if registry.open.is_empty() {
            connection.budget.empty.notify_waiters();
        }
    }
}

/// Bytes that are charged to a connection until it is dropped.
#[derive(Debug)]
pub struct Charge {
    connection: Arc<Connection>,
    bytes: usize,
}

impl Charge {
    pub(super) fn new(connection: Arc<Connection>, bytes: usize) -> Self {
        connection.hold(bytes);
        Self { connection, bytes }
    }

    /// Replaces the number of charged bytes.
    pub fn set(&mut self, bytes: usize) {
        match bytes.checked_sub(self.bytes) {
            Some(0) => return,
            Some(more) => self.connection.hold(more),
            None => self.connection.release(self.bytes - bytes),
        }
        self.bytes = bytes;
    }

    /// The number of charged bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.connection.release(self.bytes);
    }
}

/// Response bytes that are not written to the client yet.
#[derive(Debug)]
pub struct Backlog {
    connection: Arc<Connection>,
    bytes: AtomicUsize,
}

impl Backlog {
    /// An empty backlog.
    pub fn new(connection: Arc<Connection>) -> Self {
        Self { connection, bytes: AtomicUsize::new(0) }
    }

    /// Adds bytes that have to be written.
    pub fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.connection.hold(bytes);
    }

    /// Subtracts bytes that were written, at most all of them: heads and framing are written but were not added.
    pub fn subtract(&self, bytes: usize) {
        // Only one task calls `add` and this, so nothing changes in between.
        let bytes = bytes.min(self.bytes.load(Ordering::Relaxed));
        if bytes > 0 {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.connection.release(bytes);
        }
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        self.connection.release(*self.bytes.get_mut());
    }
}

/// One request in flight.
#[derive(Debug)]
pub struct InFlight {
    connection: Arc<Connection>,
    client: Option<Arc<Client>>,
    cost: Option<Charge>,
}

impl InFlight {
    /// The caller has already counted it.
    pub(super) fn new(connection: Arc<Connection>, client: Option<Arc<Client>>) -> Self {
        Self { connection, client, cost: None }
    }

    /// Charges the memory of a forwarded request, and of the window of its body if it has one.
    pub fn forwards(&mut self, body_bytes: usize) {
        self.cost = Some(self.connection.charge(REQUEST_BYTES + body_bytes));
    }

    /// Charges the memory of a response that does not come in one piece, in place of the request's body.
    pub fn streams(&mut self) {
        if let Some(cost) = &mut self.cost {
            cost.set(cost.bytes().max(REQUEST_BYTES + STREAMING_BYTES));
        }
    }
}

impl Budget {
    /// The number of requests in flight.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let budget = &self.connection.budget;
        budget.requests.fetch_sub(1, Ordering::Relaxed);
        if let Some(client) = &self.client {
            client.requests.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
