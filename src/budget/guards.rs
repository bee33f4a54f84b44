//! Guards of what a connection holds: each gives its share back when it is dropped.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::client::{Client, ClientKey};
use super::connection::Connection;
use super::{Exhausted, lock};

/// What an open connection costs before anything is read from it: its task, its state and the buffers
/// of the HTTP layer (measured).
const CONNECTION_BYTES: usize = 24 * 1024;
/// What a forwarded request costs: its task's state, the connection to the backend and its buffers.
const REQUEST_BYTES: usize = 32 * 1024;
/// What an answer holds that comes in more than one piece: the buffers of its connection to the backend, and
/// what is on its way from there.
const STREAMING_BYTES: usize = 128 * 1024;

impl Connection {
    /// Asks for a place among the requests in flight, for this client or, behind a trusted proxy, the one
    /// that it names.
    ///
    /// # Errors
    /// There is no place, or no memory.
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
        budget.metrics.requests_in_flight.inc();
        let own = client.as_ref().map_or(0, |client| client.requests.fetch_add(1, Ordering::Relaxed) + 1);
        // Dropping it undoes both.
        let in_flight = InFlight::new(self.clone(), client);
        match () {
            () if total > budget.max_requests.load(Ordering::Relaxed) => Err(Exhausted::Total),
            () if own > budget.max_requests_per_client.load(Ordering::Relaxed) => Err(Exhausted::Share),
            () => Ok(in_flight),
        }
    }

    /// Charges bytes until the guard is dropped.
    pub fn charge(self: &Arc<Self>, bytes: usize) -> Charge {
        Charge::new(self.clone(), bytes)
    }
}

/// An open connection. Dropping it takes it out of every count.
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

    /// Says whose it is, where that became known only after it was accepted (PROXY protocol).
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
        match connection.is_closing() {
            true => registry.closing = registry.closing.saturating_sub(1),
            false => {
                if let Some(client) = connection.client.get() {
                    client.connection_ends();
                }
            }
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

    /// Charges another number of bytes in place of those before.
    pub fn set(&mut self, bytes: usize) {
        match bytes.checked_sub(self.bytes) {
            Some(0) => return,
            Some(more) => self.connection.hold(more),
            None => self.connection.release(self.bytes - bytes),
        }
        self.bytes = bytes;
    }

    /// What is charged.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.connection.release(self.bytes);
    }
}

/// Bytes on their way to the client that were not written yet.
#[derive(Debug)]
pub struct Backlog {
    connection: Arc<Connection>,
    bytes: AtomicUsize,
}

impl Backlog {
    /// Nothing is on its way.
    pub fn new(connection: Arc<Connection>) -> Self {
        Self { connection, bytes: AtomicUsize::new(0) }
    }

    /// So many bytes are to be written.
    pub fn grows(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.connection.hold(bytes);
    }

    /// So many were written. More than there are is not counted: heads and framing are not in here.
    pub fn shrinks(&self, bytes: usize) {
        // One task does both.
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

/// One place among the requests in flight.
#[derive(Debug)]
pub struct InFlight {
    connection: Arc<Connection>,
    client: Option<Arc<Client>>,
    cost: Option<Charge>,
}

impl InFlight {
    /// Both counts include it already.
    pub(super) fn new(connection: Arc<Connection>, client: Option<Arc<Client>>) -> Self {
        Self { connection, client, cost: None }
    }

    /// Charges what forwarding costs, and a request body's window where there is a body.
    pub fn forwards(&mut self, body_bytes: usize) {
        self.cost = Some(self.connection.charge(REQUEST_BYTES + body_bytes));
    }

    /// Charges what an answer costs that does not come in one piece, in place of the request's body.
    pub fn streams(&mut self) {
        if let Some(cost) = &mut self.cost {
            cost.set(cost.bytes().max(REQUEST_BYTES + STREAMING_BYTES));
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let budget = &self.connection.budget;
        budget.requests.fetch_sub(1, Ordering::Relaxed);
        budget.metrics.requests_in_flight.dec();
        if let Some(client) = &self.client {
            client.requests.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
