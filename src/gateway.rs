//! One request's way through the proxy, in straight-line code: the order of the steps is the
//! security property.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::header::{
    CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TRAILER, TRANSFER_ENCODING,
};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;

use crate::admission::{Admission, Admitted, RequestHead, Via};
use crate::budget::{Connection, Exhausted};
use crate::challenge::Wording;
use crate::config::{Config, Discard};
use crate::decision::{Denial, Reason};
use crate::exchange::{Exchange, Recorder};
use crate::jwks::Keys;
use crate::numeric_date::NumericDate;
use crate::outbound_head::{ask_for, from_http2, is_granted, remove_connection_fields, understands_trailers};
use crate::request::ForwardAuthDialect;
use crate::respond::{self, ObservedBody, ResponseFormat};
use crate::revocation_list::RevocationList;
use crate::token_cache::TokenCache;
use crate::upstream::{
    AnswerBody, ForwardError, InterimResponses, ReadAhead, Upstream, UpstreamRequest, stated_length,
};

mod assembly;
mod body;
mod environment;
mod forward_auth;
mod graphql;
mod refusal;
mod switching;

pub use assembly::admission;
pub use refusal::UnreadHead;

use body::{first_bytes, is_empty};
use environment::{ExchangeObserver, LiveEnvironment};
use refusal::Unsendable;
use switching::{Bounds, Upgrade};

/// Where the time comes from.
pub type Clock = fn() -> NumericDate;

/// Everything that one request is judged and forwarded with; the same for all workers.
pub struct Gateway {
    admission: Admission,
    wording: Wording,
    forward_auth: Option<ForwardAuthDialect>,
    keys: Arc<Keys>,
    cache: TokenCache,
    revocations: Arc<RevocationList>,
    recorder: Arc<Recorder>,
    discard: Discard,
    unverified_timeout: Duration,
    graphql_limit: usize,
    upgrades: Vec<Box<str>>,
    close_on_token_expiry: bool,
    id_prefix: u64,
    next_id: AtomicU64,
    clock: Clock,
}

/// The other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address; none on a Unix socket.
    pub address: Option<IpAddr>,
    /// Whether it came over TLS.
    pub tls: bool,
    /// Where it came in.
    pub listener_kind: ListenerKind,
    /// The connection's part of the budget.
    pub account: Arc<Connection>,
    /// Where interim responses are written, if it can be sent any.
    pub interim: Option<Arc<InterimResponses>>,
}

/// The listeners that requests come in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// Requests are judged and forwarded.
    Proxy,
    /// Another proxy asks for the decision alone.
    ForwardAuth,
}

/// A request that has arrived and is not answered yet.
struct Received {
    exchange: Exchange,
    head: Parts,
    body: Incoming,
    format: ResponseFormat,
}

/// An admitted request, with what was read and seen on the way.
struct Accepted {
    admitted: Admitted,
    ahead: ReadAhead,
    /// The version of the revocation list in force before its token was judged.
    revocations: u64,
}

impl Gateway {
    /// Serves one request.
    pub async fn serve(
        &self,
        upstream: &Arc<Upstream>,
        peer: &Peer,
        request: Request<Incoming>,
    ) -> Result<Response<ObservedBody>, Infallible> {
        if peer.listener_kind == ListenerKind::ForwardAuth {
            return Ok(self.answer_proxy(peer, request).await);
        }
        let mut received = self.receive(peer, request);
        Ok(match self.admit(&mut received, upstream.idle_timeout(), peer).await {
            Ok(accepted) => self.forward(upstream, received, accepted, peer).await,
            Err(denial) => self.refuse(received, denial, peer),
        })
    }

    fn receive(&self, peer: &Peer, request: Request<Incoming>) -> Received {
        let (head, body) = request.into_parts();
        let format = ResponseFormat {
            grpc: is_grpc(&head.headers),
            close: false,
            http2: head.version == Version::HTTP_2,
            to_head: head.method == Method::HEAD,
        };
        let exchange = Exchange::begin(
            self.recorder.clone(),
            head.method.clone(),
            head.uri.clone(),
            &head.headers,
            peer.address,
            self.request_id(&head.headers),
        );
        Received { exchange, head, body, format }
    }

    /// A place among the requests in flight, the steps of [`crate::admission`], and the beginning of the body.
    async fn admit(
        &self,
        received: &mut Received,
        patience: Duration,
        peer: &Peer,
    ) -> Result<Accepted, Denial> {
        let Received { exchange, head, body, format } = received;
        let source = self.admission.head.source_ip(&head.headers, peer.address);
        exchange.set_source(source);
        take_place(exchange, peer, source)?;
        let revocations = self.revocations.version();
        let head = RequestHead {
            method: &head.method,
            target: &head.uri,
            version: head.version,
            headers: &head.headers,
            source,
            content_length: stated_length(&head.headers),
            via: Via::Proxy,
        };
        let mut environment = LiveEnvironment::new(self, source, body, patience);
        let mut observer = ExchangeObserver::new(exchange, Some(&peer.account), self);
        let admitted = self.admission.admit(&head, &mut environment, &mut observer).await?;
        let mut ahead = environment.ahead;
        if !peer.account.is_trusted() && !format.grpc && ahead.bytes.is_empty() {
            ahead = first_bytes(body, self.unverified_timeout).await?;
        }
        Ok(Accepted { admitted, ahead, revocations })
    }

    /// Sends an admitted request upstream, and relays the answer.
    async fn forward(
        &self,
        upstream: &Arc<Upstream>,
        mut received: Received,
        accepted: Accepted,
        peer: &Peer,
    ) -> Response<ObservedBody> {
        let Prepared { upgrade, trailers } =
            match self.prepare(upstream, &mut received, &accepted.admitted, peer).await {
                Ok(prepared) => prepared,
                Err(unsendable) => return self.refuse_unsendable(received, unsendable, peer),
            };
        let Received { mut exchange, head, body, format } = received;
        let Accepted { admitted: Admitted { facts, permit }, ahead, revocations } = accepted;
        let mut bounds = self.bounds(&permit, &facts, revocations);
        let head_bytes = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        let upstream_request = UpstreamRequest {
            method: head.method,
            path: facts.path.path_and_query().clone(),
            body: self.request_body(&mut exchange, ahead, body, format, peer, head_bytes),
            fields: head.headers,
            account: peer.account.clone(),
            trailers,
            upgrade: upgrade.is_some(),
            // A 1.0 client knows none (RFC 9110 section 15.2).
            interim: peer.interim.clone().filter(|_| head.version == Version::HTTP_11),
        };
        let answer = {
            // In place: a future that takes another by value holds it twice.
            let forwarding = pin!(upstream.forward(permit, upstream_request, bounds.token.as_mut()));
            answered(forwarding, peer).await
        };
        match answer {
            Ok(answer) if is_broken(&answer, upgrade.as_ref()) => {
                self.refuse_failed(exchange, ForwardError::Answer(Reason::UpstreamProtocol), format)
            }
            Ok(answer) => match (upgrade, answer.status()) {
                (Some(upgrade), StatusCode::SWITCHING_PROTOCOLS) => {
                    upgrade.switch(upstream, exchange, answer, bounds)
                }
                // To an HTTP/1 client, trailers that were not announced are not sent.
                _ => relay(exchange, answer, bounds, trailers && !format.http2),
            },
            Err(failure) => self.refuse_failed(exchange, failure, format),
        }
    }

    /// Makes the head that goes upstream of the one that came.
    async fn prepare(
        &self,
        upstream: &Upstream,
        received: &mut Received,
        admitted: &Admitted,
        peer: &Peer,
    ) -> Result<Prepared, Unsendable> {
        let Received { exchange, head, body, format } = received;
        // RFC 9113 section 8.1.1: what says that it is empty and is not must not be forwarded.
        if format.http2
            && stated_length(&head.headers) == Some(0)
            && !is_empty(body, upstream.idle_timeout()).await
        {
            return Err(Unsendable::BrokenBody);
        }
        let upgrade = self.upgrade(upstream, head, body).map_err(Unsendable::Handshake)?;
        let trailers = understands_trailers(&head.headers);
        let fields = &mut head.headers;
        if format.http2 {
            from_http2(fields, &head.uri);
        }
        let Admitted { facts, permit } = admitted;
        let rewritten = self.admission.head.rewrite(fields, facts, permit, peer.address, peer.tls);
        rewritten.map_err(|reason| Unsendable::Denied(Denial::new(reason)))?;
        set_request_id(fields, exchange.request_id());
        if let Some(upgrade) = &upgrade {
            ask_for(fields, &upgrade.protocol);
        }
        Ok(Prepared { upgrade, trailers })
    }

    /// The client's own id where it is one, else a new one.
    fn request_id(&self, fields: &HeaderMap) -> Box<str> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let own = fields
            .get("x-request-id")
            .and_then(|id| id.to_str().ok())
            .filter(|id| (1..=128).contains(&id.len()) && id.bytes().all(plain));
        match own {
            Some(id) => id.into(),
            None => {
                format!("{:016x}{:08x}", self.id_prefix, self.next_id.fetch_add(1, Ordering::Relaxed)).into()
            }
        }
    }
}

/// A request whose head can be sent.
struct Prepared {
    upgrade: Option<Upgrade>,
    /// Whether the client understands trailers.
    trailers: bool,
}

/// Streams the backend's answer.
fn relay(
    exchange: Exchange,
    mut answer: Response<AnswerBody>,
    bounds: Bounds,
    keeps_trailer: bool,
) -> Response<ObservedBody> {
    if let Some(until) = bounds.until {
        answer.body_mut().ends_by(until);
    }
    if let Some(token) = bounds.token {
        answer.body_mut().ends_with(token);
    }
    let announced = if keeps_trailer { answer.headers().get(TRAILER).cloned() } else { None };
    remove_connection_fields(answer.headers_mut());
    if answer.status() == StatusCode::NO_CONTENT {
        // RFC 9110 section 8.6; hyper leaves it out over HTTP/1 alone.
        answer.headers_mut().remove(CONTENT_LENGTH);
    }
    if let Some(announced) = announced {
        answer.headers_mut().insert(TRAILER, announced);
    }
    respond::relay(exchange, answer)
}

/// Waits for an answer, and wakes the connection when there is an interim response to be written.
async fn answered<T>(answer: impl Future<Output = T>, peer: &Peer) -> T {
    let Some(interim) = &peer.interim else { return answer.await };
    tokio::pin!(answer);
    loop {
        tokio::select! {
            biased;
            answer = &mut answer => return answer,
            () = interim.arrive() => {}
        }
    }
}

/// A place among the requests in flight: of this client or, behind a trusted proxy, of the one that it
/// names.
fn take_place(exchange: &mut Exchange, peer: &Peer, source: Option<IpAddr>) -> Result<(), Denial> {
    let client = source.filter(|_| source != peer.address);
    match peer.account.request(client) {
        Ok(place) => {
            exchange.set_place(place);
            Ok(())
        }
        Err(exhausted) => {
            let detail = Some(match exhausted {
                Exhausted::Total => "more requests in flight than limits.requests",
                Exhausted::Share => "more of this client address than its share (limits.requestsPerClient)",
                Exhausted::Memory => "limits.memory is used up",
            });
            Err(Denial { detail, ..Denial::new(Reason::Overloaded) })
        }
    }
}

/// An answer that must not go on. Only what was asked for may be switched to; and where a body has
/// two ends, the client may see the other one (RFC 9112 section 6.3).
fn is_broken<B>(answer: &Response<B>, upgrade: Option<&Upgrade>) -> bool {
    let fields = answer.headers();
    let granted = || upgrade.is_some_and(|upgrade| is_granted(fields, &upgrade.protocol));
    // Only `chunked` is undone on the way: any other coding would go on without its name.
    let coded = || {
        fields.get_all(TRANSFER_ENCODING).iter().any(|own| !own.as_bytes().eq_ignore_ascii_case(b"chunked"))
    };
    let mut lengths = fields.get_all(CONTENT_LENGTH).iter();
    let lists = lengths.next().is_some_and(|one| one.as_bytes().contains(&b',')) || lengths.next().is_some();
    (answer.status() == StatusCode::SWITCHING_PROTOCOLS && !granted())
        || lists
        || (fields.contains_key(TRANSFER_ENCODING) && (fields.contains_key(CONTENT_LENGTH) || coded()))
}

fn is_grpc(fields: &HeaderMap) -> bool {
    fields.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

fn set_request_id(fields: &mut HeaderMap, id: &str) {
    const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
    // The bytes of an id fit into a field.
    if let Ok(value) = HeaderValue::from_str(id) {
        fields.insert(X_REQUEST_ID, value);
    }
}

/// The time of this machine.
pub fn system_clock() -> NumericDate {
    use std::time::{SystemTime, UNIX_EPOCH};
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    NumericDate::from_secs(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

impl Gateway {
    /// Puts together what a configuration asks for.
    pub fn new(
        config: &Config,
        keys: Arc<Keys>,
        revocations: Arc<RevocationList>,
        recorder: Arc<Recorder>,
        clock: Clock,
    ) -> Self {
        assembly::gateway(config, keys, revocations, recorder, clock)
    }
}
