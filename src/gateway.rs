//! One request's way through the proxy, in straight-line code: the order of the steps is the
//! security property.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::header::{
    CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use http::{Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::challenge::Wording;
use crate::claims::VerifiedToken;
use crate::config::Config;
use crate::decision::{Caller, Denial, Gate, NextStep, Permit, Reason};
use crate::exchange::{Exchange, Ledger, RefusedToken};
use crate::jose::UnverifiedToken;
use crate::keys::Keys;
use crate::numeric_date::NumericDate;
use crate::outbound_head::{OutboundHead, remove_connection_fields};
use crate::request::{BearerToken, RequestFacts};
use crate::respond::{self, Manner, ObservedBody};
use crate::revocation_list::RevocationList;
use crate::token_cache::TokenCache;
use crate::trust::{self, TokenFault};
use crate::upstream::{Failure, Outgoing, RequestBody, RequestProgress, Upstream, stated_length};

mod assembly;

pub use assembly::gate;

/// What is read of a refused request's body so that its connection can go on.
const DISCARD_BYTES: u64 = 64 * 1024;
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// How often one request is judged again because of its kid: a fetch that was under way already may
/// have begun too early, and each of several sources answers in its own time.
const MAX_REFRESHES: u8 = 4;

/// Where the time comes from.
pub type Clock = fn() -> NumericDate;

/// Everything that one request is judged and forwarded with; the same for all workers.
pub struct Gateway {
    gate: Gate,
    wording: Wording,
    head: OutboundHead,
    keys: Arc<Keys>,
    cache: TokenCache,
    revocations: Arc<RevocationList>,
    ledger: Arc<Ledger>,
    body_limit: u64,
    id_prefix: u64,
    next_id: AtomicU64,
    clock: Clock,
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// Whether it came over TLS.
    pub tls: bool,
}

impl Gateway {
    /// Serves one request.
    pub async fn serve(
        &self,
        upstream: &Arc<Upstream>,
        peer: Peer,
        request: Request<Incoming>,
    ) -> Result<Response<ObservedBody>, Infallible> {
        let (head, body) = request.into_parts();
        let id = self.request_id(&head.headers);
        let mut exchange = Exchange::begin(
            self.ledger.clone(),
            head.method.clone(),
            head.uri.clone(),
            &head.headers,
            peer.address,
            id,
        );
        let manner = Manner { grpc: is_grpc(&head.headers), close: false };

        // Request facts.
        let source = self.head.source_ip(&head.headers, peer.address);
        exchange.comes_from(source);
        let cookies = self.gate.backend.session_cookies();
        let facts =
            match RequestFacts::read(&head.method, &head.uri, head.version, &head.headers, cookies, source) {
                Ok(facts) => facts,
                Err(fault) => {
                    return Ok(self.refuse(exchange, fault.into(), body, &head.headers, manner).await);
                }
            };

        // Route, credentials, token, decision.
        let permit = match self.judge(&mut exchange, &facts).await {
            Ok(permit) => permit,
            Err(denial) => return Ok(self.refuse(exchange, denial, body, &head.headers, manner).await),
        };
        exchange.permitted(&permit);
        if stated_length(&head.headers).is_some_and(|length| length > self.body_limit) {
            return Ok(self
                .refuse(exchange, Denial::new(Reason::PayloadTooLarge), body, &head.headers, manner)
                .await);
        }

        // Upstream.
        let mut fields = head.headers;
        if let Err(reason) = self.head.rewrite(&mut fields, &facts, &permit, peer.address, peer.tls) {
            return Ok(self.refuse(exchange, Denial::new(reason), body, &fields, manner).await);
        }
        set_request_id(&mut fields, exchange.request_id());
        let outgoing = Outgoing {
            method: head.method,
            path: facts.path.path_and_query().clone(),
            fields,
            body: self.request_body(&mut exchange, body),
        };
        let answer = match upstream.forward(permit, outgoing).await {
            Ok(answer) if is_broken(&answer) => Err(Failure::Answer(Reason::UpstreamProtocol)),
            answer => answer,
        };

        // Answer.
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(failure) => {
                let (denial, close) = match failure {
                    Failure::Answer(reason) => (Denial::new(reason), reason == Reason::PayloadTooLarge),
                    Failure::BrokenRequest => (
                        Denial {
                            detail: Some("the request's body was broken off or framed wrongly"),
                            ..Denial::new(Reason::BadTarget)
                        },
                        true,
                    ),
                };
                return Ok(respond::refusal(exchange, denial, &self.wording, Manner { close, ..manner }));
            }
        };
        remove_connection_fields(answer.headers_mut());
        Ok(respond::relay(exchange, answer))
    }

    async fn judge(&self, exchange: &mut Exchange, facts: &RequestFacts) -> Result<Permit, Denial> {
        let route = self.gate.route(facts);
        let caller = match self.gate.next_step(facts, route) {
            NextStep::Decide(caller) => caller,
            NextStep::Verify(token) => match self.verify(exchange, token).await {
                Ok(verified) => self.judge_revocation(exchange, token, verified).map(Caller::Token),
                Err(denial) => Err(denial),
            },
        };
        if let Ok(Caller::Token(token)) = &caller {
            exchange.asked_by(token.clone());
        }
        self.gate.decide(facts, route, caller)
    }

    /// On every request, out of the cache or not: a revocation counts from the moment it is listed.
    fn judge_revocation(
        &self,
        exchange: &mut Exchange,
        token: &BearerToken,
        verified: Arc<VerifiedToken>,
    ) -> Result<Arc<VerifiedToken>, Denial> {
        let Some(by) = self.revocations.current().find(&verified, token.as_str()) else {
            return Ok(verified);
        };
        let entry = self.gate.trust.iter().position(|entry| *entry.name == *verified.entry());
        exchange.asked_by(verified);
        Err(Denial::of_token(TokenFault::Revoked(by), entry))
    }

    /// From a bearer token to a verified one: out of the cache, or by the keys that there are,
    /// and once more after waiting for keys that were missing.
    async fn verify(
        &self,
        exchange: &mut Exchange,
        token: &BearerToken,
    ) -> Result<Arc<VerifiedToken>, Denial> {
        let text = token.as_str();
        if text.len() > self.gate.token_bytes {
            return Err(Denial::of_token(TokenFault::Malformed("token is longer than tokenBytes"), None));
        }
        let digest = TokenCache::digest(text);
        let (mut waited, mut refreshes) = (false, 0);
        loop {
            let ring = self.keys.ring().clone();
            let now = (self.clock)();
            if let Some(token) = self.cache.get(&digest, ring.generation, now) {
                self.ledger.metrics.token_cache("hit");
                return Ok(token);
            }
            let (entry, fault) = match self.verify_with(text, &ring, now) {
                Ok(token) => {
                    self.ledger.metrics.token_cache("miss");
                    let token = Arc::new(token);
                    self.cache.insert(digest, token.clone(), ring.generation);
                    return Ok(token);
                }
                Err(failed) => failed,
            };
            // The keys are of this moment; they may be better in the next.
            let again = match (fault, entry) {
                (TokenFault::KeysUnavailable, Some(entry)) if !waited => {
                    waited = true;
                    self.keys.wait_for(entry).await
                }
                (TokenFault::UnknownKey, Some(entry)) if refreshes < MAX_REFRESHES => {
                    refreshes += 1;
                    self.keys.refresh_unknown(entry, ring.generation).await
                }
                _ => false,
            };
            if !again {
                exchange.refused_token(describe(text, self.gate.token_bytes));
                return Err(Denial::of_token(fault, entry));
            }
        }
    }

    fn verify_with(
        &self,
        text: &str,
        ring: &trust::KeyRing,
        now: NumericDate,
    ) -> Result<VerifiedToken, (Option<usize>, TokenFault)> {
        let token =
            UnverifiedToken::parse(text, self.gate.token_bytes).map_err(|fault| (None, fault.into()))?;
        let index = trust::entry_for(&token, &self.gate.trust).map_err(|fault| (None, fault))?;
        let Some(entry) = self.gate.trust.get(index) else { return Err((None, TokenFault::UntrustedIssuer)) };
        let keys = ring.sets.get(index).and_then(Option::as_deref);
        trust::verify(token, entry, keys, now).map_err(|fault| (Some(index), fault))
    }

    fn request_body(&self, exchange: &mut Exchange, incoming: Incoming) -> RequestBody {
        if incoming.is_end_stream() {
            return RequestBody::Empty;
        }
        let progress = RequestProgress::new();
        exchange.streams(progress.clone());
        RequestBody::Stream { incoming, progress, limit: self.body_limit }
    }

    /// Refuses without anything of the request having gone upstream. What is left of its body
    /// is either read to its end or never taken for a request, because the connection closes.
    async fn refuse(
        &self,
        exchange: Exchange,
        denial: Denial,
        body: Incoming,
        fields: &HeaderMap,
        manner: Manner,
    ) -> Response<ObservedBody> {
        let framing = denial.reason == Reason::BadTarget;
        let close = framing || !discarded(body, fields).await;
        respond::refusal(exchange, denial, &self.wording, Manner { close, ..manner })
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

/// Reads a small body to its end, within a second. A client that waits for `100 Continue` is
/// not told to send one.
async fn discarded(mut body: Incoming, fields: &HeaderMap) -> bool {
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

/// What may be said in the audit trail about a token that was not believed.
fn describe(text: &str, max_bytes: usize) -> RefusedToken {
    match UnverifiedToken::parse(text, max_bytes) {
        Ok(token) => RefusedToken {
            kid: token.header().kid.clone(),
            fingerprint: Some(token.fingerprint().short().into()),
        },
        Err(_) => RefusedToken::default(),
    }
}

/// An answer that must not go on. Nothing was asked for that switches protocols, so nothing may be
/// switched; and where a body has two ends, the client may see the other one (RFC 9112 section 6.3).
fn is_broken<B>(answer: &Response<B>) -> bool {
    let fields = answer.headers();
    answer.status() == StatusCode::SWITCHING_PROTOCOLS
        || (fields.contains_key(TRANSFER_ENCODING) && fields.contains_key(CONTENT_LENGTH))
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
