//! Answering a request without forwarding it.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::header::{EXPECT, HeaderMap};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::{Door, Gateway, Peer, broken_body};
use crate::decision::{Denial, Reason};
use crate::discard::Discarder;
use crate::exchange::Exchange;
use crate::request::RequestFault;
use crate::respond::{self, Manner, ObservedBody};
use crate::upstream::{ReadAhead, stated_length};

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
        // Of a request that was not judged to its end nobody knows where it ends, and after CONNECT
        // a client may send what is not HTTP. Over HTTP/2 its frames say so.
        let framing = matches!(denial.reason, Reason::BadTarget | Reason::MethodNotAllowed);
        let close = !manner.http2 && framing || self.leave(body, fields, manner.http2, peer);
        respond::refusal(exchange, denial, &self.wording, Manner { close, ..manner })
    }

    /// Lets a client send a body that nobody needs, up to the bound. Says whether the connection has to
    /// close: at the end of a longer body, and with a client that waits for `100 Continue`, which is
    /// not told to send.
    pub(super) fn leave(&self, body: Incoming, fields: &HeaderMap, http2: bool, peer: &Peer) -> bool {
        if body.is_end_stream() {
            return false;
        }
        let discarder = self.discarder(peer);
        let too_long = stated_length(fields).is_some_and(|length| length > discarder.bytes());
        if !http2 && (fields.contains_key(EXPECT) || too_long) {
            return true;
        }
        discarder.discard(body);
        false
    }

    pub(super) fn discarder(&self, peer: &Peer) -> Discarder {
        Discarder::new(self.discard, peer.account.clone())
    }
}

/// The beginning of a body, or its end. The backend is not asked to wait for a client that nobody knows:
/// such a client has so long to begin.
pub(super) async fn first_bytes(body: &mut Incoming, patience: Duration) -> Result<ReadAhead, Denial> {
    let reading = async {
        while !body.is_end_stream() {
            match body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data()
                        && !bytes.is_empty()
                    {
                        return Ok(ReadAhead { bytes, ended: body.is_end_stream() });
                    }
                }
                Some(Err(_)) => return Err(broken_body()),
                None => break,
            }
        }
        Ok(ReadAhead { bytes: Bytes::new(), ended: true })
    };
    timeout(patience, reading).await.unwrap_or(Err(Denial::new(Reason::RequestTimeout)))
}

/// Whether a body ends without a byte, within that time. Over HTTP/2 its end may come in a frame of its own.
pub(super) async fn is_empty(body: &mut Incoming, patience: Duration) -> bool {
    let reading = async {
        while !body.is_end_stream() {
            match body.frame().await {
                Some(Ok(frame)) if frame.data_ref().is_none_or(|data| data.is_empty()) => {}
                // hyper takes RST_STREAM with NO_ERROR for an end.
                Some(_) => return false,
                None => return body.is_end_stream(),
            }
        }
        true
    };
    timeout(patience, reading).await.unwrap_or(false)
}
