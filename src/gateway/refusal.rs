//! Responses to requests that are not forwarded, or whose forwarding failed.

use std::borrow::Cow;

use http::{HeaderValue, Version};

use super::{Gateway, ListenerKind, Peer, Received};
use crate::challenge::Texts;
use crate::decision::{AfterRefusal, Denial, Reason};
use crate::diagnosis::Detail;
use crate::exchange::Exchange;
use crate::message::field_name::{SEC_WEBSOCKET_VERSION, WWW_AUTHENTICATE};
use crate::message::{Fields, Response};
use crate::outbound_head::{HandshakeFault, OutboundHead, WEBSOCKET_VERSION};
use crate::request::{FaultPlace, FieldList, HeadLimits, HeadScanner, Http2Head, RequestFault};
use crate::respond::{self, ObservedBody, ResponseFormat};
use crate::upstream::{ForwardError, stated_length};

/// Why an admitted request cannot be forwarded.
pub(super) enum Unsendable {
    Denied(Denial),
    Handshake(HandshakeFault),
    /// Its body contradicts its head.
    BrokenBody,
}

/// A head that could not be parsed, with the parts that could be read.
#[derive(Debug)]
pub struct UnreadHead {
    denial: Denial,
    method: Box<str>,
    path: Box<str>,
}

impl UnreadHead {
    /// An HTTP/1 head of which `bytes` has arrived.
    pub fn of_http1(fault: RequestFault, scanner: &HeadScanner, bytes: &[u8]) -> Self {
        let place = match fault {
            RequestFault::BadTarget(why) => FaultPlace::in_http1(why, scanner, bytes),
            _ => None,
        };
        let denial = Denial::of_request(fault, place);
        Self::new(denial, scanner.method_of(bytes), scanner.target_of(bytes))
    }

    /// An HTTP/2 head.
    pub fn of_http2(fault: RequestFault, list: &FieldList, limits: HeadLimits) -> Self {
        let head = Http2Head::of_refused(list, limits);
        let place = match fault {
            RequestFault::BadTarget(why) => FaultPlace::in_http2(why, list),
            _ => None,
        };
        Self::new(Denial::of_request(fault, place), head.method(), head.path())
    }

    /// Takes what was read of the method and the target. Keeps only the target's path.
    pub fn new(denial: Denial, method: &[u8], target: &[u8]) -> Self {
        let target = String::from_utf8_lossy(target);
        let path = match target.split_once("://") {
            // An absolute-form target may contain a password before the host.
            Some((scheme, rest)) if !scheme.contains('/') => rest.find('/').map_or("", |at| &rest[at..]),
            _ => &target,
        };
        let path = path.split('?').next().unwrap_or_default();
        Self { denial, method: String::from_utf8_lossy(method).into(), path: path.into() }
    }

    /// Whether the method is HEAD, whose response has no body.
    pub fn is_head(&self) -> bool {
        &*self.method == "HEAD"
    }

    /// The denial for the fault.
    pub fn denial(&self) -> Denial {
        self.denial.clone()
    }
}

impl Gateway {
    /// Refuses a head that could not be parsed. Over HTTP/1 this closes the connection, over HTTP/2 only the stream.
    pub fn refuse_head(&self, peer: &Peer, head: &UnreadHead, http2: bool) -> Response<ObservedBody> {
        let id = self.request_id(&Fields::new());
        let mut exchange =
            Exchange::begin_unread(self.recorder.clone(), &head.method, &head.path, peer.address, id);
        if peer.listener_kind == ListenerKind::ForwardAuth {
            exchange.via_forward_auth();
        }
        if http2 {
            exchange.set_protocol(Version::HTTP_2, peer.tls);
        }
        let format =
            ResponseFormat { close: true, http2, to_head: head.is_head(), ..ResponseFormat::default() };
        respond::refusal(exchange, head.denial(), &self.wording, format)
    }

    /// Refuses a request of which nothing was forwarded. The rest of its body is either read to its end, or the
    /// connection closes, so that it is never parsed as a request.
    pub(super) fn refuse(&self, received: Received, denial: Denial, peer: &Peer) -> Response<ObservedBody> {
        let texts = self.wording.texts(&denial);
        let challenge = self.resource_challenge(&received, &denial, peer);
        let mut response = self.refuse_with(received, denial, texts, peer);
        if let Some(challenge) = challenge {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }

    /// The same, with other texts and without the challenge of a protected resource.
    pub(super) fn refuse_with(
        &self,
        received: Received,
        denial: Denial,
        texts: &Texts,
        peer: &Peer,
    ) -> Response<ObservedBody> {
        let Received { exchange, head, body, format } = received;
        // Over HTTP/2, frames mark the end of a request.
        let framing = denial.reason.row().connection == AfterRefusal::Close;
        let close =
            !format.http2 && framing || self.discard_or_close(body, &head.headers, format.http2, peer);
        respond::refusal_with(exchange, denial, texts, ResponseFormat { close, ..format })
    }

    /// Refuses an admitted request that cannot be sent.
    pub(super) fn refuse_unsendable(
        &self,
        received: Received,
        unsendable: Unsendable,
        peer: &Peer,
    ) -> Response<ObservedBody> {
        match unsendable {
            Unsendable::Denied(denial) => self.refuse(received, denial, peer),
            Unsendable::BrokenBody => {
                let stated = stated_length(&received.head.headers);
                self.refuse_failed(received.exchange, ForwardError::BrokenRequest, received.format, stated)
            }
            Unsendable::Handshake(fault) => {
                let version = received.head.headers.get_owned(SEC_WEBSOCKET_VERSION);
                let version = version.as_ref().filter(|_| fault == HandshakeFault::Version);
                let place =
                    version.map(|value| FaultPlace::Value(b"sec-websocket-version", value.as_bytes()));
                let denial = Denial::of_request(RequestFault::BadTarget(fault.as_str()), place);
                let mut response = self.refuse(received, denial, peer);
                if fault == HandshakeFault::Version {
                    // RFC 6455 section 4.4.
                    let version = HeaderValue::from_static(WEBSOCKET_VERSION);
                    response.headers_mut().insert(SEC_WEBSOCKET_VERSION, version);
                }
                response
            }
        }
    }

    /// Responds instead of the backend. `stated` is the `Content-Length` of the request.
    pub(super) fn refuse_failed(
        &self,
        mut exchange: Box<Exchange>,
        failure: ForwardError,
        format: ResponseFormat,
        stated: Option<u64>,
    ) -> Response<ObservedBody> {
        let denial = match failure {
            ForwardError::Failed(reason) => Denial::new(reason),
            ForwardError::Explained(reason, cause) => {
                exchange.set_cause(cause);
                Denial::new(reason)
            }
            ForwardError::BrokenRequest => broken_body(exchange.request_bytes(), stated),
            ForwardError::Revoked(revoked) => exchange.revoked_while_waiting(&revoked),
        };
        let close = denial.reason.row().connection != AfterRefusal::Keep;
        respond::refusal(exchange, denial, &self.wording, ResponseFormat { close, ..format })
    }
}

/// The identity of a verified token cannot be sent to the backend.
pub(super) fn unsendable_identity(reason: Reason) -> Denial {
    Denial::new(reason).with(OutboundHead::UNSENDABLE)
}

/// The body ended before its end, or its framing is wrong, after `received` bytes of its content.
pub(super) fn broken_body(received: u64, stated: Option<u64>) -> Denial {
    let of = match stated {
        Some(stated) => Detail::of(format_args!(" of {stated}")).finish(),
        None => Cow::Borrowed(""),
    };
    let why = "the request's body was broken off or framed wrongly";
    let detail = Detail::of(format_args!("{why}, after {received}{of} bytes"));
    Denial::new(Reason::BadTarget).with(detail.finish())
}
