//! Sends one request to the backend and waits for the head of its response.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request};
use hyper::body::Body as _;
use tokio::time::Instant;

use super::body::{RequestBody, RequestProgress};
use super::http1::{HEAD_TOO_LARGE, HeadError, Http1Connection};
use super::http2::{self, Http2Stream};
use super::response_body::{Http1Response, ResponseBody, Source};
use super::send_error::{
    BAD_TARGET, ForwardError, NO_RESPONSE, NOT_PROCESSED, NOT_READ, SendError, UNSENDABLE_QUERY, broken_body,
    upstream_protocol,
};
use super::{Connection, InterimResponses, Upstream};
use crate::budget::Connection as Account;
use crate::decision::{Permit, Reason};
use crate::http1::{HeadWriter, RequestFraming};
use crate::message::field_name::{CONTENT_LENGTH, HOST, KEEP_ALIVE};
use crate::message::{Fields, Response};
use crate::request::{FramingFields, has_stand_ins, percent_encoded};
use crate::revocation_list::TokenWatch;
use crate::timer::Timer;

/// A request as it is sent: the rewritten head, and the body.
pub struct UpstreamRequest {
    /// The method.
    pub method: Method,
    /// The target, byte for byte.
    pub path: PathAndQuery,
    /// The headers.
    pub headers: Fields,
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
    /// When it was permitted.
    pub permitted_at: Instant,
    /// When the head of its response had been read.
    pub responded_at: Option<Instant>,
}

/// How often a waiting request checks whether its token was revoked. This shares the timer of the deadline, so that
/// requests that wait for less need no second timer.
const REVOCATION_INTERVAL: Duration = Duration::from_secs(1);

/// How often a request whose body is not sent whole wakes its task.
const PRESENCE_INTERVAL: Duration = Duration::from_secs(1);

/// How many times one request is sent at most.
const MAX_ATTEMPTS: u8 = 3;

impl Upstream {
    /// Forwards one request. The permit authorizes that until `token` is revoked.
    pub async fn forward(
        self: &Arc<Self>,
        _permit: Permit,
        request: &mut UpstreamRequest,
        mut token: Option<&mut TokenWatch>,
    ) -> Result<Response<Box<ResponseBody>>, ForwardError> {
        let _waiting = self.metrics.upstream_requests_waiting.count();
        let progress = match &request.body {
            RequestBody::Empty => None,
            RequestBody::Stream { progress, .. } => Some(progress.clone()),
        };
        let has_body = progress.is_some();
        let only_http1 = self.needs_http1(request)?;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let pooled = (attempt == 1 && !only_http1)
                .then(|| self.check_out(&request.account, request.permitted_at))
                .flatten();
            let (connection, is_pooled, started) = match pooled {
                Some(connection) => (connection, true, request.permitted_at),
                None => {
                    let mut connection = self.open_for(only_http1, &request.account).await?;
                    // It may have become free while the request waited for a place.
                    let is_pooled = connection.is_reused();
                    (connection, is_pooled, Instant::now())
                }
            };
            let is_http2 = matches!(connection, Connection::Http2(_));
            let waiting = Waiting::new(started, progress.as_ref(), token.as_deref_mut());
            let sent = match connection {
                Connection::Http1(connection) => self.send_http1(connection, request, waiting).await,
                // The future of a request over HTTP/2 is large. Boxed, it does not enlarge that of every request.
                Connection::Http2(stream) => Box::pin(self.send_http2(stream, request, waiting)).await,
            };
            let again = attempt < MAX_ATTEMPTS;
            match sent {
                Ok(response) => {
                    let now = Instant::now();
                    request.responded_at = Some(now);
                    self.metrics.upstream(now - began_waiting(started, progress.as_ref()));
                    self.reachability.responded();
                    return Ok(response);
                }
                Err(SendError::Unsent) if again && (is_pooled || is_http2) => {}
                Err(SendError::Unprocessed) if again && !has_body => {}
                Err(SendError::Unsent | SendError::Unprocessed) => return Err(NOT_PROCESSED),
                // A kept-alive connection may turn out to be closed. An idempotent request without a body is then
                // sent again, once.
                Err(SendError::Closed) if is_pooled && !has_body && request.method.is_idempotent() => {}
                Err(SendError::Closed) => return Err(self.closed(is_pooled)),
                Err(SendError::Final(failure)) => return Err(failure),
            }
        }
    }

    /// Opens a connection: one that speaks HTTP/1.1 if the request needs that, for example to become a tunnel.
    async fn open_for(&self, only_http1: bool, account: &Arc<Account>) -> Result<Connection, ForwardError> {
        // These futures are rare and large. Boxed, they do not enlarge the future of every request.
        let opened = if only_http1 {
            Box::pin(self.open_http1(account)).await
        } else {
            Box::pin(self.open(account)).await
        };
        opened.map_err(|error| match error.is_limited {
            true => ForwardError::Explained(Reason::Overloaded, error.to_string().into()),
            false => self.unreachable(error.to_string()),
        })
    }

    /// Sends the request on an HTTP/1.1 connection. If nothing of it was written, `request` is whole again.
    pub(super) async fn send_http1(
        &self,
        mut connection: Box<Http1Connection>,
        request: &mut UpstreamRequest,
        waiting: Waiting<'_>,
    ) -> Result<Response<Box<ResponseBody>>, SendError> {
        let progress = waiting.progress;
        let endpoint = connection.lease().endpoint();
        self.set_host(request, endpoint);
        let head = HeadWriter {
            method: &request.method,
            prefix: &self.target.prefix,
            target: &request.path,
            headers: &request.headers,
            framing: framing(&request.body, &request.headers)?,
        };
        connection.begin(&head, std::mem::replace(&mut request.body, RequestBody::Empty));
        let interim = request.interim.as_deref();
        let mut timer = connection.take_timer();
        let response = poll_fn(|cx| connection.poll_head(cx, interim));
        let response = self.await_response(response, waiting, &mut timer).await?;
        connection.keep_timer(timer);
        let response = match response {
            Ok(response) => response,
            Err(error) => {
                if matches!(error, HeadError::Unsent) {
                    request.body = connection.take_unsent();
                }
                tracing::debug!(%error, "the backend did not respond");
                let speaks_tls = self.target.tls.is_none() && connection.has_read_tls();
                let error = broken_body(progress).unwrap_or_else(|| {
                    if matches!(error, HeadError::Unsent | HeadError::Closed) {
                        connection.lease().closed_in_use();
                    }
                    self.head_error(&error, endpoint, speaks_tls)
                });
                return Err(error);
            }
        };
        let keep_alive = self.target.keep_alive;
        let lifetime = announced_lifetime(response.headers()).map_or(keep_alive, |time| time.min(keep_alive));
        let body = Http1Response::new(connection, self.http1.clone(), lifetime);
        Ok(response.map(|()| Box::new(ResponseBody::new(Source::Http1(body), self.target.idle_timeout))))
    }

    /// Sends the request as a stream of an HTTP/2 connection. If nothing of it was written, `request` is whole again.
    pub(super) async fn send_http2(
        &self,
        Http2Stream { mut sender, slot, endpoint }: Http2Stream,
        request: &mut UpstreamRequest,
        waiting: Waiting<'_>,
    ) -> Result<Response<Box<ResponseBody>>, SendError> {
        let progress = waiting.progress;
        self.set_host(request, endpoint);
        let message = self.http2_message(request).ok_or(SendError::Final(BAD_TARGET))?;
        let pending = sender.try_send_request(message);
        let response = match self.await_response(pending, waiting, &mut Timer::default()).await? {
            Ok(response) => response,
            Err(mut error) => {
                if let Some(unsent) = error.take_message() {
                    request.body = unsent.into_body();
                    return Err(SendError::Unsent);
                }
                let error = error.into_error();
                tracing::debug!(%error, "the backend did not respond");
                return Err(broken_body(progress).unwrap_or_else(|| SendError::of_stream(&error)));
            }
        };
        let mut response = Response::from(response);
        if response.headers().len() > self.target.response_fields {
            return Err(upstream_protocol(HEAD_TOO_LARGE.into()));
        }
        if !unite_lengths(response.headers_mut()) {
            return Err(upstream_protocol("the response states several lengths".into()));
        }
        Ok(response.map(|incoming| {
            let slot = (!incoming.is_end_stream()).then_some(slot);
            Box::new(ResponseBody::new(Source::Http2 { incoming, slot }, self.target.idle_timeout))
        }))
    }

    /// Whether only HTTP/1.1 can carry a request. A query that it alone can carry as it is gets another form if the backend
    /// speaks only HTTP/2.
    fn needs_http1(&self, request: &mut UpstreamRequest) -> Result<bool, ForwardError> {
        if !self.target.http2 || !has_stand_ins(&request.path) {
            return Ok(request.upgrade);
        }
        if !self.target.http1 {
            request.path = percent_encoded(&request.path).ok_or(UNSENDABLE_QUERY)?;
        }
        Ok(request.upgrade || self.target.http1)
    }

    /// Sets `Host`, unless it is the client's.
    fn set_host(&self, request: &mut UpstreamRequest, endpoint: usize) {
        if let Some(host) = self.target.host_header(endpoint) {
            request.headers.insert(HOST, host.clone());
        }
    }

    /// The request as hyper takes it. The head stays, because it may be sent again.
    fn http2_message(&self, request: &mut UpstreamRequest) -> Option<Request<RequestBody>> {
        let mut message = Request::new(std::mem::replace(&mut request.body, RequestBody::Empty));
        *message.method_mut() = request.method.clone();
        *message.uri_mut() = self.target.origin_form(&request.path).ok()?;
        *message.headers_mut() = request.headers.to_header_map();
        http2::to_http2(&mut message, self.target.scheme(), request.trailers)?;
        Some(message)
    }

    /// Waits for the head of the response, until the deadline or until the token is revoked.
    async fn await_response<T>(
        &self,
        pending: impl Future<Output = T>,
        Waiting { started, progress, mut token }: Waiting<'_>,
        timer: &mut Timer,
    ) -> Result<T, SendError> {
        let mut pending = pin!(pending);
        let mut now = started;
        loop {
            let (deadline, failure) = self.deadline(started, progress);
            if deadline <= now {
                return Err(SendError::Final(failure));
            }
            let look = next_look(now, deadline, progress, token.is_some());
            let response = poll_fn(|cx| match pending.as_mut().poll(cx) {
                Poll::Ready(response) => Poll::Ready(Some(response)),
                Poll::Pending => timer.poll(look, cx).map(|()| None),
            });
            if let Some(response) = response.await {
                // If the token was revoked meanwhile, the response must not reach the client.
                return match token.and_then(TokenWatch::revoked_by) {
                    Some(by) => Err(SendError::Final(ForwardError::Revoked(by))),
                    None => Ok(response),
                };
            }
            now = Instant::now();
            if let Some(by) = token.as_deref_mut().and_then(TokenWatch::revoked_by) {
                return Err(SendError::Final(ForwardError::Revoked(by)));
            }
        }
    }

    /// The deadline, and the error when it passes. While the body streams, the time counts from its last progress,
    /// and the error names the peer that the body waits for.
    fn deadline(&self, started: Instant, progress: Option<&Arc<RequestProgress>>) -> (Instant, ForwardError) {
        match progress {
            None => (started + self.target.response_timeout, NO_RESPONSE),
            Some(progress) if progress.is_sent() => {
                (progress.last() + self.target.response_timeout, NO_RESPONSE)
            }
            Some(progress) if progress.is_waiting() => {
                (progress.patience(self.target.idle_timeout), ForwardError::Failed(Reason::RequestTimeout))
            }
            Some(progress) => (progress.last() + self.target.idle_timeout, NOT_READ),
        }
    }
}

/// What limits the wait for a response.
pub(super) struct Waiting<'w> {
    /// When the request began to be sent.
    started: Instant,
    progress: Option<&'w Arc<RequestProgress>>,
    token: Option<&'w mut TokenWatch>,
}

impl<'w> Waiting<'w> {
    pub(super) fn new(
        started: Instant,
        progress: Option<&'w Arc<RequestProgress>>,
        token: Option<&'w mut TokenWatch>,
    ) -> Self {
        Self { started, progress, token }
    }
}

/// Since when only the backend was waited for. While the body streams, its client is waited for too.
fn began_waiting(started: Instant, progress: Option<&Arc<RequestProgress>>) -> Instant {
    let sent = progress.filter(|progress| progress.is_sent()).map(|progress| progress.last());
    sent.map_or(started, |sent| sent.max(started))
}

/// When to look again: a body may start to wait for its client, which shortens the deadline, and a token may be
/// revoked, both at any time.
fn next_look(
    now: Instant,
    deadline: Instant,
    progress: Option<&Arc<RequestProgress>>,
    has_token: bool,
) -> Instant {
    let silence = progress.and_then(|progress| progress.silence());
    let revocation = has_token.then_some(REVOCATION_INTERVAL);
    // The task then also looks whether the client of a body that is not read has gone.
    let presence = progress.filter(|progress| !progress.is_sent()).map(|_| PRESENCE_INTERVAL);
    let soonest = silence.into_iter().chain(revocation).chain(presence).min();
    soonest.map_or(deadline, |time| deadline.min(now + time))
}

/// How the backend finds the end of the body: by the length that the client has stated, or by chunks.
fn framing(body: &RequestBody, headers: &Fields) -> Result<RequestFraming, SendError> {
    match (body, stated_length(headers)) {
        (RequestBody::Empty, None) => Ok(RequestFraming::Unstated),
        (RequestBody::Empty, Some(1..)) => Err(SendError::Final(ForwardError::BrokenRequest)),
        (_, Some(length)) => Ok(RequestFraming::Length(length)),
        (RequestBody::Stream { .. }, None) => Ok(RequestFraming::Chunked),
    }
}

/// Replaces a repeated length by one, as [`crate::http1`] does over HTTP/1.1. Returns false if lengths differ.
fn unite_lengths(headers: &mut Fields) -> bool {
    let mut framing = FramingFields::new();
    let mut is_repeated = false;
    for value in headers.get_all(CONTENT_LENGTH) {
        match framing.add_response_length(value.as_bytes()) {
            Ok(repeated) => is_repeated |= repeated,
            Err(_) => return false,
        }
    }
    if let Some(length) = framing.length().filter(|_| is_repeated) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    true
}

/// Reads `Keep-Alive: timeout=5`: the connection is used until a second before the backend closes it.
fn announced_lifetime(headers: &Fields) -> Option<Duration> {
    let text = headers.get(KEEP_ALIVE)?.to_str().ok()?;
    let secs: u64 =
        text.split(',').find_map(|item| item.trim().strip_prefix("timeout="))?.trim().parse().ok()?;
    Some(Duration::from_secs(secs.saturating_sub(1)))
}

/// The length that a head states, if it states one.
pub(crate) fn stated_length(headers: &Fields) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
