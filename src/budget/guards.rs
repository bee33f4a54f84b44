//! Guards for what a connection holds. Each returns its share when it is dropped.

use std::net::IpAddr;
use std::sync::Arc;

use super::client::{Client, ClientKey};
use super::connection::Connection;
use super::named_client::NamedClient;
use super::{Among, Budget, Exhausted, lock};
use crate::sync::atomic::Ordering;

/// The memory of an idle connection: its task and its state. Measured: 8 KiB over HTTP/1 in the clear; the rest is for
/// TLS and for the buffers of HTTP/2.
const CONNECTION_BYTES: usize = 24 * 1024;
/// The memory of a forwarded request: its task's state, the connection to the backend and its buffers.
const REQUEST_BYTES: usize = 32 * 1024;
/// The memory of a response that comes in more than one piece: the buffers of its connection to the backend, and what
/// is in transit from there.
const STREAMING_BYTES: usize = 128 * 1024;
/// The memory of a trusted proxy's connection or stream. It counts for the client whose request occupies it.
const PROXIED_BYTES: usize = 32 * 1024;

impl Connection {
    /// Adds a request in flight. It counts for the connection's client or, behind a trusted proxy, for `source`, which
    /// also becomes the `named` client.
    ///
    /// # Errors
    /// A limit on requests or memory is reached.
    pub fn request(
        self: &Arc<Self>,
        source: Option<IpAddr>,
        named: &NamedClient,
    ) -> Result<InFlight, Exhausted> {
        let budget = &self.budget;
        let client = match (self.client.get(), source) {
            (Some(client), _) => Some(client.clone()),
            (None, Some(source)) => {
                let client = budget.clients.find(ClientKey::of(source));
                named.set(&client);
                Some(client)
            }
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
        Charge::new(self.clone(), None, bytes)
    }

    /// Records until the guard is dropped that the body of a refused request is discarded.
    pub fn discards(self: &Arc<Self>) -> Discarding {
        self.discard_begins();
        Discarding(self.clone())
    }
}

/// A body of a refused request that is being discarded.
#[derive(Debug)]
pub struct Discarding(Arc<Connection>);

impl Drop for Discarding {
    fn drop(&mut self) {
        self.0.discard_ends();
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

    /// Sets the client once it is known, after [`Budget::connect_unnamed`]; `None` if it is a peer without a share.
    /// If a limit is reached, asks idle connections to close.
    ///
    /// # Errors
    /// A limit is reached, and no idle connection can be closed.
    pub fn set_client(&self, address: Option<IpAddr>) -> Result<(), Exhausted> {
        let connection = &self.connection;
        let budget = &connection.budget;
        let client = address.map(|address| budget.clients.find(ClientKey::of(address)));
        let limits = *lock(&budget.limits);
        budget.relieve_for(client.as_ref(), &limits);
        let mut registry = lock(&budget.registry);
        if connection.is_closing() {
            return Err(Exhausted::Total);
        }
        if !connection.is_unnamed() {
            return Ok(());
        }
        let room = budget.make_room(&mut registry, client.as_ref(), Among::Named, &limits);
        budget.counted(room)?;
        connection.set_named();
        registry.unnamed = registry.unnamed.saturating_sub(1);
        if let Some(client) = client {
            client.connection_opens();
            client.change_memory(0, connection.charged());
            let _first = connection.client.set(client);
        }
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
        } else if connection.is_unnamed() {
            registry.unnamed = registry.unnamed.saturating_sub(1);
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
    /// The client that a trusted proxy named. The bytes count for its share, too.
    named_client: Option<Arc<Client>>,
    bytes: usize,
}

impl Charge {
    fn new(connection: Arc<Connection>, named_client: Option<Arc<Client>>, bytes: usize) -> Self {
        let mut charge = Self { connection, named_client, bytes: 0 };
        charge.set(bytes);
        charge
    }

    /// Replaces the number of charged bytes.
    pub fn set(&mut self, bytes: usize) {
        match bytes.checked_sub(self.bytes) {
            Some(0) => return,
            Some(more) => self.connection.hold(more),
            None => self.connection.release(self.bytes - bytes),
        }
        if let Some(client) = &self.named_client {
            client.change_memory(with_proxied_bytes(self.bytes), with_proxied_bytes(bytes));
        }
        self.bytes = bytes;
    }

    /// The number of charged bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The connection's account.
    pub fn account(&self) -> &Connection {
        &self.connection
    }
}

fn with_proxied_bytes(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { bytes.saturating_add(PROXIED_BYTES) }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
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
        // A connection with a share counts everything that it holds for its client already.
        let named = self.client.clone().filter(|_| !self.connection.has_share());
        self.cost = Some(Charge::new(self.connection.clone(), named, REQUEST_BYTES + body_bytes));
    }

    /// Charges the memory of a response that does not come in one piece, in place of the request's body.
    ///
    /// # Errors
    /// The client that a trusted proxy named holds more than its share. The response has to end.
    pub fn streams(&mut self) -> Result<(), Exhausted> {
        let Some(cost) = &mut self.cost else { return Ok(()) };
        let bytes = REQUEST_BYTES + STREAMING_BYTES;
        if cost.bytes() >= bytes {
            return Ok(());
        }
        cost.set(bytes);
        let budget = &self.connection.budget;
        match &cost.named_client {
            Some(client) if budget.is_far_over_its_share(client) => Err(Exhausted::Share),
            Some(_) | None => Ok(()),
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
