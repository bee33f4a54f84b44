//! Sends one request to the backend and waits for the head of its response.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::time::{Instant, sleep_until};

use super::body::{RequestBody, RequestProgress};
use super::http2::{self, Http2Stream, StreamErrorKind};
use super::response_body::{Lease, ResponseBody};
use super::{Connection, Http1Connection, IDLE_LIFETIME, InterimResponses, Upstream};
use crate::budget::Connection as Account;
use crate::decision::{Permit, Reason};
use crate::revocation::RevokedBy;
use crate::revocation_list::TokenWatch;

/// Why forwarding a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardError {
    /// The client gets the response for this reason.
    Failed(Reason),
    /// The client's body ended early or was framed wrongly.
    BrokenRequest,
    /// The token was revoked while the request waited.
    Revoked(RevokedBy),
}

/// A request as it is sent: the rewritten head, and the body.
pub struct UpstreamRequest {
    /// The method.
    pub method: Method,
    /// The target, byte for byte.
    pub path: PathAndQuery,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: RequestBody,
    /// The account of the client's connection.
    pub account: Arc<Account>,
    /// Whether the client understands trailers.
    pub trailers: bool,
    /// Whether the request asks for another protocol. Only HTTP/1.1 can switch.
    pub upgrade: bool,
    /// Where interim responses go, if the client can receive them.
    pub interim: Option<Arc<InterimResponses>>,
}

/// How often a waiting request checks whether its token was revoked. This shares the timer of the deadline, so that
/// requests that wait for less need no second timer.
const REVOCATION_INTERVAL: Duration = Duration::from_secs(1);

/// How many times one request is sent at most.
const MAX_ATTEMPTS: u8 = 3;

impl Upstream {
    /// Forwards one request. The permit authorizes that until `token` is revoked.
    pub async fn forward(
        self: &Arc<Self>,
        _permit: Permit,
        upstream_request: UpstreamRequest,
        mut token: Option<&mut TokenWatch>,
    ) -> Result<Response<ResponseBody>, ForwardError> {
        let progress = match &upstream_request.body {
            RequestBody::Empty => None,
            RequestBody::Stream { progress, .. } => Some(progress.clone()),
        };
        let (trailers, upgrade) = (upstream_request.trailers, upstream_request.upgrade);
        let (account, interim) = (upstream_request.account.clone(), upstream_request.interim.clone());
        let mut request = self.request(upstream_request)?;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let pooled = if attempt == 1 && !upgrade { self.check_out(&account).await } else { None };
            let is_pooled = pooled.is_some();
            let connection = match pooled {
                Some(connection) => connection,
                None => self.open_for(upgrade, &account).await?,
            };
            let spare = match &connection {
                // A new connection cannot have been closed while idle.
                Connection::Http1(_) if !is_pooled => None,
                // A kept-alive connection may turn out to be closed. An idempotent request without a body is then
                // sent again, once.
                Connection::Http1(_) if !request.method().is_idempotent() => None,
                _ => progress.is_none().then(|| copy(&request)),
            };
            let again = attempt < MAX_ATTEMPTS;
            if let Some(interim) = &interim {
                interim.listen(&mut request);
            }
            request =
                match self.send(connection, request, trailers, progress.as_ref(), token.as_deref_mut()).await
                {
                    Ok(response) => return Ok(response),
                    Err(SendError::Unsent(unsent, http2)) if again && (is_pooled || http2) => *unsent,
                    Err(SendError::Unprocessed) if again && spare.is_some() => spare.ok_or(UNREACHABLE)?,
                    Err(SendError::Unsent(..) | SendError::Unprocessed) => return Err(UNREACHABLE),
                    Err(SendError::Closed) => match spare {
                        Some(spare) if is_pooled && spare.method().is_idempotent() => spare,
                        _ => return Err(ForwardError::Failed(Reason::UpstreamProtocol)),
                    },
                    Err(SendError::Final(failure)) => return Err(failure),
                };
        }
    }

    /// Opens a connection: an exclusive one if it may become a tunnel.
    async fn open_for(&self, upgrade: bool, account: &Arc<Account>) -> Result<Connection, ForwardError> {
        // These futures are rare and large. Boxed, they do not enlarge the future of every request.
        let opened = if upgrade {
            Box::pin(self.open_http1(account)).await
        } else {
            Box::pin(self.open(account)).await
        };
        opened.map_err(|error| {
            tracing::debug!(%error, upstream = %self.target, "the backend cannot be reached");
            UNREACHABLE
        })
    }

    fn request(&self, upstream_request: UpstreamRequest) -> Result<Request<RequestBody>, ForwardError> {
        let UpstreamRequest { method, path, headers, body, .. } = upstream_request;
        let target = self.target.origin_form(&path).map_err(|_| ForwardError::Failed(Reason::BadTarget))?;
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = target;
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = headers;
        Ok(request)
    }

    async fn send(
        self: &Arc<Self>,
        connection: Connection,
        mut request: Request<RequestBody>,
        trailers: bool,
        progress: Option<&Arc<RequestProgress>>,
        token: Option<&mut TokenWatch>,
    ) -> Result<Response<ResponseBody>, SendError> {
        match connection {
            Connection::Http1(mut connection) => {
                frame_body(&mut request);
                let pending = connection.sender.try_send_request(request);
                let response = self.await_response(pending, progress, token, false).await?;
                Ok(self.lease_http1(response, connection, progress.cloned()))
            }
            Connection::Http2(Http2Stream { mut sender, slot }) => {
                http2::to_http2(&mut request, self.target.scheme(), trailers)
                    .ok_or(SendError::Final(ForwardError::Failed(Reason::BadTarget)))?;
                let pending = sender.try_send_request(request);
                let response = self.await_response(pending, progress, token, true).await?;
                let lease = Some(Lease::Http2(slot));
                let idle_timeout = self.target.idle_timeout;
                let mut response =
                    response.map(|incoming| ResponseBody::new(incoming, lease, true, idle_timeout));
                // For an HTTP/1 client.
                *response.version_mut() = Version::HTTP_11;
                Ok(response)
            }
        }
    }

    /// Waits for the head of the response, until the deadline or until the token is revoked.
    async fn await_response(
        &self,
        pending: impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>>,
        progress: Option<&Arc<RequestProgress>>,
        mut token: Option<&mut TokenWatch>,
        over_http2: bool,
    ) -> Result<Response<Incoming>, SendError> {
        let started = Instant::now();
        tokio::pin!(pending);
        loop {
            let (deadline, failure) = self.deadline(started, progress);
            if deadline <= Instant::now() {
                return Err(SendError::Final(failure));
            }
            let look = next_look(deadline, progress, token.is_some());
            tokio::select! {
                biased;
                response = &mut pending => {
                    // If the token was revoked meanwhile, the response must not reach the client.
                    return match token.and_then(TokenWatch::revoked_by) {
                        Some(by) => Err(SendError::Final(ForwardError::Revoked(by))),
                        None => response.map_err(|error| SendError::read(error, progress, over_http2)),
                    };
                }
                () = sleep_until(look) => {}
            }
            if let Some(by) = token.as_deref_mut().and_then(TokenWatch::revoked_by) {
                return Err(SendError::Final(ForwardError::Revoked(by)));
            }
        }
    }

    /// The deadline, and the error when it passes. While the body streams, the time counts from its last progress,
    /// and the error names the peer that the body waits for.
    fn deadline(&self, started: Instant, progress: Option<&Arc<RequestProgress>>) -> (Instant, ForwardError) {
        let timeout = ForwardError::Failed(Reason::UpstreamTimeout);
        match progress {
            None => (started + self.target.response_timeout, timeout),
            Some(progress) if progress.is_sent() => (progress.last() + self.target.response_timeout, timeout),
            Some(progress) if progress.is_waiting() => {
                (progress.patience(self.target.idle_timeout), ForwardError::Failed(Reason::RequestTimeout))
            }
            Some(progress) => (progress.last() + self.target.idle_timeout, timeout),
        }
    }

    fn lease_http1(
        self: &Arc<Self>,
        response: Response<Incoming>,
        connection: Http1Connection,
        request: Option<Arc<RequestProgress>>,
    ) -> Response<ResponseBody> {
        let lifetime = announced_lifetime(response.headers()).unwrap_or(IDLE_LIFETIME);
        let lease = if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            connection.driver.detach();
            None
        } else if response.version() == Version::HTTP_11 && !lifetime.is_zero() {
            Some(Lease::Http1 { connection, pool: self.clone(), request, lifetime })
        } else {
            Some(Lease::LastOfHttp1(connection))
        };
        let mut response =
            response.map(|incoming| ResponseBody::new(incoming, lease, false, self.target.idle_timeout));
        // A proxy forwards with its own version (RFC 9110 section 6.2). 1.0 would close the client's connection after
        // the response.
        *response.version_mut() = Version::HTTP_11;
        response
    }
}

/// When to look again: a body may start to wait for its client, which shortens the deadline, and a token may be
/// revoked, both at any time.
fn next_look(deadline: Instant, progress: Option<&Arc<RequestProgress>>, has_token: bool) -> Instant {
    let silence = progress.and_then(|progress| progress.silence());
    let revocation = has_token.then_some(REVOCATION_INTERVAL);
    let soonest = silence.into_iter().chain(revocation).min();
    soonest.map_or(deadline, |time| deadline.min(Instant::now() + time))
}

const UNREACHABLE: ForwardError = ForwardError::Failed(Reason::UpstreamUnreachable);

/// How one attempt ended.
enum SendError {
    /// Nothing was written. Contains the request, and whether the connection was HTTP/2.
    Unsent(Box<Request<RequestBody>>, bool),
    /// The backend says that it has not processed the request.
    Unprocessed,
    /// The connection closed before the first byte of a response.
    Closed,
    /// Not to be retried.
    Final(ForwardError),
}

impl SendError {
    fn read(
        error: TrySendError<Request<RequestBody>>,
        progress: Option<&Arc<RequestProgress>>,
        over_http2: bool,
    ) -> Self {
        let mut error = error;
        if let Some(mut request) = error.take_message() {
            if over_http2 {
                http2::from_http2(&mut request);
            }
            return Self::Unsent(Box::new(request), over_http2);
        }
        let error = error.into_error();
        tracing::debug!(%error, "the backend did not respond");
        match progress {
            Some(progress) if progress.is_too_large() => {
                return Self::Final(ForwardError::Failed(Reason::PayloadTooLarge));
            }
            Some(progress) if progress.is_broken() => return Self::Final(ForwardError::BrokenRequest),
            _ => {}
        }
        match if over_http2 { http2::error_kind(&error) } else { None } {
            Some(StreamErrorKind::Unprocessed) => Self::Unprocessed,
            Some(StreamErrorKind::Unknown) => Self::Closed,
            Some(StreamErrorKind::Failed) => Self::Final(ForwardError::Failed(Reason::UpstreamProtocol)),
            None if error.is_incomplete_message() || error.is_closed() || is_reset(&error) => Self::Closed,
            None => Self::Final(ForwardError::Failed(Reason::UpstreamProtocol)),
        }
    }
}

/// Without `Content-Length`, hyper sends the body of a GET or HEAD only if `Transfer-Encoding` is set.
fn frame_body(request: &mut Request<RequestBody>) {
    let streams = matches!(request.body(), RequestBody::Stream { .. });
    if streams && !request.headers().contains_key(CONTENT_LENGTH) {
        request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

fn is_reset(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    source.is_some_and(|error| {
        matches!(error.kind(), std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe)
    })
}

/// A copy of a request without a body.
fn copy(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut spare = Request::new(RequestBody::Empty);
    *spare.method_mut() = request.method().clone();
    *spare.uri_mut() = request.uri().clone();
    *spare.version_mut() = request.version();
    *spare.headers_mut() = request.headers().clone();
    spare
}

/// Reads `Keep-Alive: timeout=5`: the connection is used until a second before the backend closes it.
fn announced_lifetime(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("keep-alive")?.to_str().ok()?;
    let secs: u64 =
        text.split(',').find_map(|item| item.trim().strip_prefix("timeout="))?.trim().parse().ok()?;
    Some(Duration::from_secs(secs.saturating_sub(1)).min(IDLE_LIFETIME))
}

/// The length that a head states, if it states one.
pub(crate) fn stated_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
