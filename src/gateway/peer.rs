//! The client end of a connection.

use std::net::IpAddr;
use std::sync::Arc;

use crate::budget::{Connection, NamedClient};
use crate::upstream::InterimResponses;

/// The client end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address; none on a Unix socket.
    pub address: Option<IpAddr>,
    /// Whether it came over TLS.
    pub tls: bool,
    /// The listener that accepted it.
    pub listener_kind: ListenerKind,
    /// The connection's part of the budget.
    pub account: Arc<Connection>,
    /// The client of the request in progress, if the peer is a trusted proxy that names it.
    pub named: NamedClient,
    /// Where interim responses are written, if the client can receive them.
    pub interim: Option<Arc<InterimResponses>>,
}

impl Peer {
    /// Records that the request in progress has shown a verified token.
    pub(super) fn verified(&self) {
        self.account.verified();
        self.named.clear();
    }
}

/// The kinds of listeners for requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// Requests are authorized and forwarded. It has this number among its kind.
    Proxy(usize),
    /// Another proxy asks only for the decision.
    ForwardAuth,
}
