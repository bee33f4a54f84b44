//! Answering a request without forwarding it.

use http::Response;
use http::header::HeaderMap;
use hyper::body::Incoming;

use super::{Door, Gateway, Peer};
use crate::decision::{Denial, Reason};
use crate::exchange::Exchange;
use crate::request::RequestFault;
use crate::respond::{self, Manner, ObservedBody};

/// A head that was refused for its bytes, as far as it could be read.
#[derive(Debug)]
pub struct UnreadHead {
    fault: RequestFault,
    method: Box<str>,
    path: Box<str>,
}

impl UnreadHead {
    /// What was read of the method and of the target. Only the target's path is kept.
    pub fn new(fault: RequestFault, method: &[u8], target: &[u8]) -> Self {
        let target = String::from_utf8_lossy(target);
        let path = match target.split_once("://") {
            // In absolute-form there may be a password before the host.
            Some((scheme, rest)) if !scheme.contains('/') => rest.find('/').map_or("", |at| &rest[at..]),
            _ => &target,
        };
        let path = path.split('?').next().unwrap_or_default();
        Self { fault, method: String::from_utf8_lossy(method).into(), path: path.into() }
    }

    /// Why.
    pub fn denial(&self) -> Denial {
        self.fault.into()
    }
}

impl Gateway {
    /// Refuses a head of which only this much was read: over HTTP/1 with its connection, over HTTP/2
    /// with its stream alone.
    pub fn refuse_head(&self, peer: &Peer, head: &UnreadHead, http2: bool) -> Response<ObservedBody> {
        let id = self.request_id(&HeaderMap::new());
        let mut exchange =
            Exchange::begin_unread(self.ledger.clone(), &head.method, &head.path, peer.address, id);
        if peer.door == Door::ForwardAuth {
            exchange.asked_by_proxy();
        }
        let manner = Manner { close: true, http2, to_head: &*head.method == "HEAD", ..Manner::default() };
        respond::refusal(exchange, head.denial(), &self.wording, manner)
    }

    /// Refuses without anything of the request having gone upstream. What is left of its body
    /// is either read to its end or never taken for a request, because the connection closes.
    pub(super) fn refuse(
        &self,
        exchange: Exchange,
        denial: Denial,
        body: Incoming,
        fields: &HeaderMap,
        manner: Manner,
        peer: &Peer,
    ) -> Response<ObservedBody> {
        // Of a request that was not judged to its end nobody knows where it ends, after CONNECT a client
        // may send what is not HTTP, and one that has stopped sending is not waited for again. Over HTTP/2
        // frames say where a request ends.
        let framing =
            matches!(denial.reason, Reason::BadTarget | Reason::MethodNotAllowed | Reason::RequestTimeout);
        let close = !manner.http2 && framing || self.leave(body, fields, manner.http2, peer);
        respond::refusal(exchange, denial, &self.wording, Manner { close, ..manner })
    }
}
