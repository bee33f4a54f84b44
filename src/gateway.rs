//! Serves one request, from its head to the response. Each configuration has one [`Gateway`], which all workers share.
//!
//! 1. `receive`: begin the [`Exchange`], which records the request.
//! 2. `admit`: take a place among the requests in flight, then run the steps of [`crate::admission`]. They end in a
//!    permit or a denial.
//! 3. `prepare`: turn the client's head into the one for the backend.
//! 4. `forward`: send the request and relay the response, or start a tunnel after a 101.
//!
//! A denial in any step becomes a response in `refuse`. Step 4 takes the permit by value, so the compiler proves that
//! no request is forwarded without a decision. The exchange is moved into the body of the response, so that every
//! request writes one audit record, however it ends.
//!
//! Requests on the forward-auth listener (`forward_auth`) go through the same admission, but are never forwarded. Neither
//! are those to the token endpoint (`token_endpoint`) and the revocation endpoint (`revocation_endpoint`), of which admission
//! sees only the token that is to be exchanged or revoked.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode, Version};

use crate::admission::{Admission, Admitted, RequestHead, Via};
use crate::backend_credentials::BackendCredentials;
use crate::bot_list::BotList;
use crate::challenge::Wording;
use crate::client_body::ClientBody;
use crate::config::Discard;
use crate::cors::Cors;
use crate::decision::{Denial, Reason};
use crate::exchange::{Exchange, Recorder};
use crate::introspection::Introspector;
use crate::jwks::Keys;
use crate::message::field_name::{CONTENT_LENGTH, CONTENT_TYPE, TRAILER, X_REQUEST_ID};
use crate::message::{Fields, Head, Request, Response};
use crate::numeric_date::NumericDate;
use crate::outbound_head::{from_http2, remove_connection_fields, set_upgrade, understands_trailers};
use crate::panics;
use crate::request::{ForwardAuthDialect, PrefixedRedirect, TokenFields};
use crate::resource_metadata::ResourceMetadata;
use crate::respond::{self, ObservedBody, ResponseFormat};
use crate::revocation_list::RevocationList;
use crate::token_cache::TokenCache;
use crate::upstream::{ForwardError, ReadAhead, ResponseBody, Upstream, UpstreamRequest, stated_length};

mod assembly;
mod body;
mod credential;
mod environment;
mod explaining;
mod form_endpoint;
mod forward_auth;
mod graphql;
mod peer;
mod place;
mod preflight;
mod protected_resources;
mod rate_limits;
mod refusal;
mod request_ids;
mod revocation_endpoint;
mod switching;
mod token_endpoint;

pub use assembly::{admission, system_clock};
pub use peer::{ListenerKind, Peer};
pub use refusal::UnreadHead;

use body::{first_bytes, is_empty};
use credential::remove_credential;
use environment::{ExchangeObserver, LiveEnvironment, Waited};
use place::take_place;
use rate_limits::{FailureSource, RateLimits};
use refusal::{Unsendable, unsendable_identity};
use request_ids::RequestIds;
use revocation_endpoint::RevocationEndpoint;
use switching::{Bounds, Upgrade, is_broken};
use token_endpoint::TokenEndpoint;

/// Returns the current time.
pub type Clock = fn() -> NumericDate;

/// Authorizes and forwards requests according to one configuration; shared by all workers.
pub struct Gateway {
    admission: Admission,
    /// For each listener that has its own, by its number.
    token_fields: Box<[Option<TokenFields>]>,
    wording: Wording,
    forward_auth: Option<ForwardAuthDialect>,
    token_endpoint: Option<Box<TokenEndpoint>>,
    revocation_endpoint: Option<Box<RevocationEndpoint>>,
    cors: Option<Box<Cors>>,
    resource_metadata: Option<Box<ResourceMetadata>>,
    keys: Arc<Keys>,
    cache: TokenCache,
    credentials: Arc<BackendCredentials>,
    revocations: Arc<RevocationList>,
    bots: Arc<BotList>,
    introspector: Option<Arc<Introspector>>,
    rate_limits: RateLimits,
    recorder: Arc<Recorder>,
    discard: Discard,
    unverified_timeout: Duration,
    graphql_limit: usize,
    upgrades: Vec<Box<str>>,
    close_on_token_expiry: bool,
    request_ids: RequestIds,
    clock: Clock,
}

/// A request without a response yet.
struct Received {
    exchange: Box<Exchange>,
    head: Box<Head>,
    body: ClientBody,
    format: ResponseFormat,
}

/// The result of admission.
struct Accepted {
    admitted: Admitted,
    ahead: ReadAhead,
    /// The version of the revocation list in force before its token was checked.
    revocations: u64,
}

impl Gateway {
    /// Serves one request.
    pub async fn serve(
        &self,
        upstream: &Arc<Upstream>,
        peer: &Peer,
        request: Request<ClientBody>,
    ) -> Result<Response<ObservedBody>, Infallible> {
        if peer.listener_kind == ListenerKind::ForwardAuth {
            return Ok(self.serve_forward_auth(peer, request).await);
        }
        if let Some(endpoint) = self.token_endpoint.as_deref().filter(|one| one.is_at(&request.head.uri)) {
            // Boxed, because it is rare and its future is large.
            return Ok(Box::pin(self.serve_token_request(endpoint, peer, request)).await);
        }
        if let Some(endpoint) = self.revocation_endpoint.as_deref().filter(|one| one.is_at(&request.head.uri))
        {
            return Ok(Box::pin(self.serve_revocation(endpoint, peer, request)).await);
        }
        let mut received = self.receive(peer, request);
        if let Some(document) = self.metadata_document(&received, peer) {
            return Ok(self.answer_metadata(received, document, peer));
        }
        let cross_origin = self.cors.as_ref().map(|cors| cors.of(&received.head.headers));
        if let Some(cross_origin) = &cross_origin
            && let Some(fields) = self.preflight(cross_origin, &received, peer)
        {
            return Ok(self.answer_preflight(received, fields, peer));
        }
        let prefix = self.admission.head.prefix();
        let redirect =
            prefix.map(|prefix| PrefixedRedirect::of(prefix, &received.head.uri, &received.head.headers));
        let admitted = self.admit(&mut received, upstream.idle_timeout(), peer).await;
        // What remains takes most of the time. A request with a verified token waits for no turn.
        peer.named.first_turn(&peer.account).await;
        let mut response = match admitted {
            Ok(accepted) => self.forward(upstream, received, accepted, peer).await,
            Err(denial) => {
                let denial = preflight::explained(denial, &received.head);
                self.refuse(received, denial, peer)
            }
        };
        if let Some(redirect) = redirect {
            redirect.set(response.headers_mut());
        }
        if let Some(cross_origin) = cross_origin {
            cross_origin.set(response.headers_mut());
        }
        Ok(response)
    }

    fn receive(&self, peer: &Peer, request: Request<ClientBody>) -> Received {
        let Request { head, body } = request;
        let format = ResponseFormat {
            grpc: is_grpc(&head.headers),
            close: false,
            http2: head.version == Version::HTTP_2,
            to_head: head.method == Method::HEAD,
        };
        let mut exchange = Exchange::begin(
            self.recorder.clone(),
            head.method.clone(),
            head.uri.clone(),
            &head.headers,
            peer.address,
            self.request_id(&head.headers),
        );
        exchange.set_protocol(head.version, peer.tls);
        panics::is_about(exchange.request_id());
        Received { exchange, head, body, format }
    }

    /// Takes a place among the requests in flight, runs [`crate::admission`], and waits for the first bytes of the body
    /// of an unverified client.
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
            token_fields: self.token_fields(peer),
        };
        let waited = Waited::default();
        let failures = FailureSource::of(peer, source);
        let mut environment = LiveEnvironment::new(self, peer, source, failures, body, patience, &waited);
        let mut observer = ExchangeObserver::new(exchange, Some(peer), &waited);
        let admitted = self.admission.admit(&head, &mut environment, &mut observer).await;
        let admitted = admitted.inspect_err(|_| exchange.waited(waited.total()))?;
        let mut ahead = environment.ahead;
        if !peer.account.is_trusted() && !format.grpc && ahead.bytes.is_empty() {
            ahead = first_bytes(body, self.unverified_timeout, head.content_length).await?;
        }
        Ok(Accepted { admitted, ahead, revocations })
    }

    /// Sends an admitted request upstream, and relays the response.
    async fn forward(
        &self,
        upstream: &Arc<Upstream>,
        mut received: Received,
        accepted: Accepted,
        peer: &Peer,
    ) -> Response<ObservedBody> {
        let Prepared { upgrade, trailers, credential } =
            match self.prepare(upstream, &mut received, &accepted.admitted, peer).await {
                Ok(prepared) => prepared,
                Err(unsendable) => return self.refuse_unsendable(received, unsendable, peer),
            };
        let Received { mut exchange, head, body, format } = received;
        let Accepted { admitted: Admitted { facts, permit }, ahead, revocations } = accepted;
        let mut bounds = self.bounds(&permit, &facts, revocations);
        // Often the target is not a part of the bytes of the fields.
        let head_bytes = head.headers.bytes() + facts.path.path_and_query().as_str().len();
        let mut upstream_request = UpstreamRequest {
            method: head.method,
            path: facts.path.path_and_query().clone(),
            body: self.request_body(&mut exchange, ahead, body, format, peer, head_bytes),
            headers: head.headers,
            account: peer.account.clone(),
            trailers,
            upgrade: upgrade.is_some(),
            // HTTP/1.0 has no interim responses (RFC 9110 section 15.2). They are not searched for the credential.
            interim: peer
                .interim
                .clone()
                .filter(|_| head.version != Version::HTTP_10 && credential.is_none()),
            permitted_at: exchange.permitted_at(),
            responded_at: None,
        };
        let response = upstream.forward(permit, &mut upstream_request, bounds.token.as_mut()).await;
        if let Some(at) = upstream_request.responded_at {
            exchange.responded(at);
        }
        let response = response.map(|mut response| {
            remove_credential(response.headers_mut(), credential.as_ref());
            response
        });
        match response {
            Ok(response) if is_broken(&response, upgrade.as_ref()) => {
                let cause = "the backend switched to a protocol that the client did not ask for".into();
                let failure = ForwardError::Explained(Reason::UpstreamProtocol, cause);
                self.refuse_failed(exchange, failure, format, None)
            }
            Ok(response) => match (upgrade, response.status()) {
                (Some(upgrade), StatusCode::SWITCHING_PROTOCOLS) => {
                    upgrade.switch(upstream, exchange, response, bounds)
                }
                // Only announced trailers are sent to HTTP/1 clients.
                _ => relay(exchange, response, bounds, trailers && !format.http2),
            },
            Err(failure) => {
                let stated = stated_length(&upstream_request.headers);
                self.refuse_failed(exchange, failure, format, stated)
            }
        }
    }

    /// Rewrites the client's head into the one for the backend.
    async fn prepare(
        &self,
        upstream: &Upstream,
        received: &mut Received,
        admitted: &Admitted,
        peer: &Peer,
    ) -> Result<Prepared, Unsendable> {
        let Received { exchange, head, body, format } = received;
        // RFC 9113 section 8.1.1: a body that contradicts `Content-Length: 0` must not be forwarded.
        if format.http2
            && stated_length(&head.headers) == Some(0)
            && !is_empty(body, upstream.idle_timeout()).await
        {
            return Err(Unsendable::BrokenBody);
        }
        let upgrade = self.upgrade(upstream, head, body).map_err(Unsendable::Handshake)?;
        let trailers = understands_trailers(&head.headers);
        let headers = &mut head.headers;
        if format.http2 {
            from_http2(headers, &head.uri);
        }
        let Admitted { facts, permit } = admitted;
        let rewritten = self.admission.head.rewrite(headers, facts, permit, peer.address, peer.tls);
        rewritten.map_err(|reason| Unsendable::Denied(unsendable_identity(reason)))?;
        let credential = match permit.withholds_token() {
            true => self.set_credential(headers, permit).await.map_err(Unsendable::Denied)?,
            false => None,
        };
        headers.insert(X_REQUEST_ID, exchange.request_id());
        exchange.propagate(headers, facts.path.path_and_query().path());
        if let Some(upgrade) = &upgrade {
            set_upgrade(headers, &upgrade.protocol);
        }
        Ok(Prepared { upgrade, trailers, credential })
    }
}

/// What [`Gateway::prepare`] found out about a request.
struct Prepared {
    upgrade: Option<Upgrade>,
    /// Whether the client understands trailers.
    trailers: bool,
    /// What is sent to the backend in place of the client's token.
    credential: Option<HeaderValue>,
}

/// Relays the backend's response.
fn relay(
    exchange: Box<Exchange>,
    mut response: Response<Box<ResponseBody>>,
    bounds: Bounds,
    keeps_trailer: bool,
) -> Response<ObservedBody> {
    if let Some(until) = bounds.until {
        response.body_mut().ends_by(until);
    }
    if let Some(token) = bounds.token {
        response.body_mut().ends_with(token);
    }
    let announced = if keeps_trailer { response.headers().get_owned(TRAILER) } else { None };
    remove_connection_fields(response.headers_mut());
    if response.status() == StatusCode::NO_CONTENT {
        // RFC 9110 section 8.6. Over HTTP/2 it would be sent.
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    if let Some(announced) = announced {
        response.headers_mut().insert(TRAILER, announced);
    }
    respond::relay(exchange, response)
}

fn is_grpc(headers: &Fields) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}
