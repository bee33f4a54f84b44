//! Answering a request without forwarding it.

use std::time::Duration;

use http::Response;
use http::header::{EXPECT, HeaderMap};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::{Door, Gateway, Peer};
use crate::decision::{Denial, Reason};
use crate::exchange::Exchange;
use crate::request::RequestFault;
use crate::respond::{self, Manner, ObservedBody};
use crate::upstream::stated_length;

/// What is read of a refused request's body so that its connection can go on.
const DISCARD_BYTES: u64 = 64 * 1024;
const DISCARD_TIME: Duration = Duration::from_secs(1);

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
    pub fn refuse_head(&self, peer: Peer, head: &UnreadHead, http2: bool) -> Response<ObservedBody> {
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
    pub(super) async fn refuse(
        &self,
        exchange: Exchange,
        denial: Denial,
        body: Incoming,
        fields: &HeaderMap,
        manner: Manner,
    ) -> Response<ObservedBody> {
        // Of a request that was not judged to its end nobody knows where it ends, and after CONNECT
        // a client may send what is not HTTP.
        let framing = matches!(denial.reason, Reason::BadTarget | Reason::MethodNotAllowed);
        // Over HTTP/2 the rest of a body is told from other requests by its frames.
        let close = framing || (!manner.http2 && !discarded(body, fields).await);
        respond::refusal(exchange, denial, &self.wording, Manner { close, ..manner })
    }
}

/// Reads a small body to its end, within a second. A client that waits for `100 Continue` is
/// not told to send one.
pub(super) async fn discarded(mut body: Incoming, fields: &HeaderMap) -> bool {
    if body.is_end_stream() {
        return true;
    }
    if fields.contains_key(EXPECT) || stated_length(fields).is_some_and(|length| length > DISCARD_BYTES) {
        return false;
    }
    let reading = async {
        let mut read = 0;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            read += frame.data_ref().map_or(0, |data| data.len() as u64);
            if read > DISCARD_BYTES {
                return false;
            }
        }
        true
    };
    timeout(DISCARD_TIME, reading).await.unwrap_or(false)
}
