//! What a connection to the backend belongs to.

use std::sync::Arc;
use std::time::Duration;

use super::addresses::Address;
use super::limit::Place;

/// Where a connection leads, and its place among those of the process, which it gives up when it closes.
#[derive(Default)]
pub(super) struct Lease {
    /// None only in tests.
    address: Option<Arc<Address>>,
    /// None if the number of connections is not bounded.
    _place: Option<Place>,
    /// For how long it was idle before its current request; none if it was just opened.
    idle: Option<Duration>,
}

impl Lease {
    /// A connection to this address.
    pub(super) fn new(address: Arc<Address>, place: Option<Place>) -> Self {
        Self { address: Some(address), _place: place, idle: None }
    }

    /// The index of its URL.
    pub(super) fn endpoint(&self) -> usize {
        self.address.as_ref().map_or(0, |address| address.endpoint)
    }

    /// It may be used if it was idle for less than this.
    pub(super) fn keep_alive(&self) -> Duration {
        self.address.as_ref().map_or(Duration::MAX, |address| address.keep_alive())
    }

    /// It is used after it was idle for this time.
    pub(super) fn used_after(&mut self, idle: Duration) {
        self.idle = Some(idle);
    }

    /// Whether it has served a request before.
    pub(super) fn is_reused(&self) -> bool {
        self.idle.is_some()
    }

    /// The backend closed it before it responded to the current request.
    pub(super) fn closed_in_use(&self) {
        if let Some(idle) = self.idle {
            self.closed(idle);
        }
    }

    /// The backend closed it when it was idle for this time.
    pub(super) fn closed(&self, idle: Duration) {
        if let Some(address) = &self.address {
            address.closed(idle);
        }
    }

    /// It was still open when it was idle for this time.
    pub(super) fn survived(&self, idle: Duration) {
        if let Some(address) = &self.address {
            address.survived(idle);
        }
    }
}
