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

use crate::budget::{Connection, Exhausted};
use crate::challenge::Wording;
use crate::config::{Config, Discard};
use crate::decision::{Caller, Denial, Gate, Permit, Reason};
use crate::exchange::{Exchange, Ledger};
use crate::keys::Keys;
use crate::numeric_date::NumericDate;
use crate::outbound_head::{
    OutboundHead, ask_for, from_http2, is_granted, remove_connection_fields, understands_trailers,
};
use crate::request::{RequestFacts, RequestFault, TargetForm};
use crate::respond::{self, Manner, ObservedBody};
use crate::revocation_list::RevocationList;
use crate::token_cache::TokenCache;
use crate::trust::TokenFault;
use crate::upstream::{Failure, InterimResponses, Outgoing, ReadAhead, Upstream, stated_length};

mod assembly;
mod body;
mod forward_auth;
mod graphql;
mod refusal;
mod switching;
mod verification;

pub use assembly::gate;
pub use refusal::UnreadHead;

use body::{first_bytes, is_empty};
use switching::Upgrade;

/// Where the time comes from.
pub type Clock = fn() -> NumericDate;

/// Everything that one request is judged and forwarded with; the same for all workers.
pub struct Gateway {
    gate: Gate,
    wording: Wording,
    head: OutboundHead,
    forward_auth: Option<TargetForm>,
    keys: Arc<Keys>,
    cache: TokenCache,
    revocations: Arc<RevocationList>,
    ledger: Arc<Ledger>,
    body_limit: u64,
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
    pub door: Door,
    /// The connection's part of the budget.
    pub account: Arc<Connection>,
    /// Where interim responses are written, if it can be sent any.
    pub interim: Option<Arc<InterimResponses>>,
}

/// The listeners that requests come in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Requests are judged and forwarded.
    Proxy,
    /// Another proxy asks for the decision alone.
    ForwardAuth,
}

/// A request that may go on, with all that is known of it.
struct Judged {
    exchange: Exchange,
    facts: RequestFacts,
    permit: Permit,
    head: Parts,
    body: Incoming,
    ahead: ReadAhead,
    manner: Manner,
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
        if peer.door == Door::ForwardAuth {
            return Ok(self.answer_proxy(peer, request).await);
        }
        let (head, mut body) = request.into_parts();
        let http2 = head.version == Version::HTTP_2;
        let id = self.request_id(&head.headers);
        let mut exchange = Exchange::begin(
            self.ledger.clone(),
            head.method.clone(),
            head.uri.clone(),
            &head.headers,
            peer.address,
            id,
        );
        let to_head = head.method == Method::HEAD;
        let manner = Manner { grpc: is_grpc(&head.headers), close: false, http2, to_head };

        let source = self.head.source_ip(&head.headers, peer.address);
        exchange.comes_from(source);
        if let Err(denial) = take_place(&mut exchange, peer, source) {
            return Ok(self.refuse(exchange, denial, body, &head.headers, manner, peer));
        }

        // Request facts.
        let mut facts = match self.facts(&head, source) {
            Ok(facts) => facts,
            Err(fault) => {
                return Ok(self.refuse(exchange, fault.into(), body, &head.headers, manner, peer));
            }
        };

        // Route, credentials, token.
        let revocations = self.revocations.version();
        let (route, caller) = self.identify(&mut exchange, &facts).await;
        if matches!(caller, Ok(Caller::Token(_) | Caller::DatahubSystem)) {
            peer.account.verified();
        }

        // What rules ask about the body, where somebody is known to have sent it.
        let mut ahead = ReadAhead::default();
        if self.gate.asks_graphql(&facts, &caller) {
            match self.read_graphql(&mut facts, &head.headers, &mut body, upstream.idle_timeout()).await {
                Ok(read) => ahead = read,
                Err(denial) => return Ok(self.refuse(exchange, denial, body, &head.headers, manner, peer)),
            }
        }

        // Decision.
        let permit = match self.gate.decide(&facts, route, caller) {
            Ok(permit) => permit,
            Err(denial) => return Ok(self.refuse(exchange, denial, body, &head.headers, manner, peer)),
        };
        exchange.permitted(&permit);
        if stated_length(&head.headers).is_some_and(|length| length > self.body_limit) {
            let denial = Denial::new(Reason::PayloadTooLarge);
            return Ok(self.refuse(exchange, denial, body, &head.headers, manner, peer));
        }
        if !peer.account.is_trusted() && !manner.grpc && ahead.bytes.is_empty() {
            match first_bytes(&mut body, self.unverified_timeout).await {
                Ok(read) => ahead = read,
                Err(denial) => return Ok(self.refuse(exchange, denial, body, &head.headers, manner, peer)),
            }
        }
        let judged = Judged { exchange, facts, permit, head, body, ahead, manner, revocations };
        Ok(self.forward(upstream, judged, peer).await)
    }

    /// The second half of the way: upstream, and the answer.
    async fn forward(&self, upstream: &Arc<Upstream>, judged: Judged, peer: &Peer) -> Response<ObservedBody> {
        let Judged { mut exchange, facts, permit, mut head, mut body, ahead, manner, revocations } = judged;
        let http2 = manner.http2;

        // RFC 9113 section 8.1.1: what says that it is empty and is not must not be forwarded.
        if http2
            && stated_length(&head.headers) == Some(0)
            && !is_empty(&mut body, upstream.idle_timeout()).await
        {
            return respond::refusal(
                exchange,
                broken_body(),
                &self.wording,
                Manner { close: true, ..manner },
            );
        }

        // Upstream.
        let until = self.end_of(&permit);
        let mut token = self.token_watch(&permit, &facts, revocations);
        let upgrade = match self.upgrade(upstream, &mut head, &body) {
            Ok(upgrade) => upgrade,
            Err(fault) => return self.refuse_handshake(exchange, fault, body, &head.headers, manner, peer),
        };
        let trailers = understands_trailers(&head.headers);
        let mut fields = head.headers;
        if http2 {
            from_http2(&mut fields, &head.uri);
        }
        if let Err(reason) = self.head.rewrite(&mut fields, &facts, &permit, peer.address, peer.tls) {
            return self.refuse(exchange, Denial::new(reason), body, &fields, manner, peer);
        }
        set_request_id(&mut fields, exchange.request_id());
        if let Some(upgrade) = &upgrade {
            ask_for(&mut fields, &upgrade.protocol);
        }
        // It is kept until there is an answer: the request may have to be sent again.
        let head_bytes = fields.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        let outgoing = Outgoing {
            method: head.method,
            path: facts.path.path_and_query().clone(),
            fields,
            body: self.request_body(&mut exchange, ahead, body, manner, peer, head_bytes),
            account: peer.account.clone(),
            trailers,
            upgrade: upgrade.is_some(),
            // A 1.0 client knows none (RFC 9110 section 15.2).
            interim: peer.interim.clone().filter(|_| head.version == Version::HTTP_11),
        };
        let answer = {
            // In place: a future that takes another by value holds it twice.
            let forwarding = pin!(upstream.forward(permit, outgoing, token.as_mut()));
            answered(forwarding, peer).await
        };
        let answer = match answer {
            Ok(answer) if is_broken(&answer, upgrade.as_ref()) => {
                Err(Failure::Answer(Reason::UpstreamProtocol))
            }
            answer => answer,
        };

        // Answer.
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(failure) => {
                let (denial, close) = match failure {
                    Failure::Answer(reason) => (Denial::new(reason), leaves_a_body(reason)),
                    Failure::BrokenRequest => (broken_body(), true),
                    Failure::Revoked(by) => (Denial::of_token(TokenFault::Revoked(by), None), true),
                };
                return respond::refusal(exchange, denial, &self.wording, Manner { close, ..manner });
            }
        };
        if let Some(until) = until {
            answer.body_mut().ends_by(until);
        }
        let switches = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
        if let (Some(upgrade), true) = (upgrade, switches) {
            return upgrade.switch(upstream, exchange, answer, until, token);
        }
        if let Some(token) = token {
            answer.body_mut().ends_with(token);
        }
        // To an HTTP/1 client, trailers that were not announced are not sent.
        let announced = if trailers && !http2 { answer.headers().get(TRAILER).cloned() } else { None };
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

    fn facts(&self, head: &Parts, source: Option<IpAddr>) -> Result<RequestFacts, RequestFault> {
        let habits = self.gate.backend.habits();
        let facts = RequestFacts::read(&head.method, &head.uri, head.version, &head.headers, habits, source)?;
        self.head.judge_connection(&head.headers)?;
        Ok(facts)
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
            exchange.takes(place);
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

fn broken_body() -> Denial {
    Denial {
        detail: Some("the request's body was broken off or framed wrongly"),
        ..Denial::new(Reason::BadTarget)
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

/// Whether what is left of the request's body keeps its connection from going on.
fn leaves_a_body(reason: Reason) -> bool {
    matches!(reason, Reason::PayloadTooLarge | Reason::RequestTimeout)
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
        ledger: Arc<Ledger>,
        clock: Clock,
    ) -> Self {
        assembly::gateway(config, keys, revocations, ledger, clock)
    }
}
