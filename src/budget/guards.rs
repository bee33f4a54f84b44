//! Guards of what a connection holds: each gives its share back when it is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Connection;
use super::client::Client;

/// What a forwarded request costs: its task's state, the connection to the backend and its buffers.
const REQUEST_BYTES: usize = 32 * 1024;
/// What an answer holds that comes in more than one piece: the buffers of its connection to the backend, and
/// what is on its way from there.
const STREAMING_BYTES: usize = 128 * 1024;

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
