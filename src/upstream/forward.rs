//! One request to the backend, and its answer's head.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::time::{Instant, sleep_until};

use super::answer::{AnswerBody, Lease};
use super::body::{RequestBody, RequestProgress};
use super::http2::{self, Http2Stream, StreamErrorKind};
use super::{Connection, Http1Connection, IDLE_LIFETIME, InterimResponses, Upstream};
use crate::budget::Connection as Account;
use crate::decision::{Permit, Reason};
use crate::revocation::RevokedBy;
use crate::revocation_list::TokenWatch;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardError {
    /// This is to be told to the client.
    Answer(Reason),
    /// The client's own body ended early or was framed wrongly.
    BrokenRequest,
    /// The token was revoked while the request waited.
    Revoked(RevokedBy),
}

/// What is sent: the head, after everything was stripped and set, and the body.
pub struct UpstreamRequest {
    /// The method.
    pub method: Method,
    /// The target, byte for byte.
    pub path: PathAndQuery,
    /// The fields.
    pub fields: HeaderMap,
    /// The body.
    pub body: RequestBody,
    /// Whose request it is.
    pub account: Arc<Account>,
    /// Whether the client understands trailers.
    pub trailers: bool,
    /// Whether the fields ask for another protocol, which only HTTP/1.1 can switch to.
    pub upgrade: bool,
    /// Where interim responses go, if the client can be sent any.
    pub interim: Option<Arc<InterimResponses>>,
}

/// While a request waits, this often it is looked whether its token was revoked: with the same timer as the
/// deadline, so that the many that wait for less need no other.
const REVOCATION_LOOK: Duration = Duration::from_secs(1);

/// How often one request is sent at most.
const MAX_ATTEMPTS: u8 = 3;

impl Upstream {
    /// Forwards one request. The permit is the leave to do so, until `token` is revoked.
    pub async fn forward(
        self: &Arc<Self>,
        _permit: Permit,
        upstream_request: UpstreamRequest,
        mut token: Option<&mut TokenWatch>,
    ) -> Result<Response<AnswerBody>, ForwardError> {
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
            let kept = if attempt == 1 && !upgrade { self.check_out(&account).await } else { None };
            let is_kept = kept.is_some();
            let connection = match kept {
                Some(connection) => connection,
                None => self.open_for(upgrade, &account).await?,
            };
            let spare = match &connection {
                // Nobody can have closed a new one.
                Connection::Http1(_) if !is_kept => None,
                // A kept-alive connection may turn out closed. A request without a body that
                // changes nothing when it is done twice is then sent again, once.
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
                    Ok(answer) => return Ok(answer),
                    Err(SendError::Unsent(unsent, http2)) if again && (is_kept || http2) => *unsent,
                    Err(SendError::Unprocessed) if again && spare.is_some() => spare.ok_or(UNREACHABLE)?,
                    Err(SendError::Unsent(..) | SendError::Unprocessed) => return Err(UNREACHABLE),
                    Err(SendError::Closed) => match spare {
                        Some(spare) if is_kept && spare.method().is_idempotent() => spare,
                        _ => return Err(ForwardError::Answer(Reason::UpstreamProtocol)),
                    },
                    Err(SendError::Failed(failure)) => return Err(failure),
                };
        }
    }

    /// Opens a connection, for this request alone where it may become a tunnel.
    async fn open_for(&self, upgrade: bool, account: &Arc<Account>) -> Result<Connection, ForwardError> {
        // Rare, and large: in a box, they do not make every request's future larger.
        let opened = match upgrade {
            true => Box::pin(self.open_http1(account)).await,
            false => Box::pin(self.open(account)).await,
        };
        opened.map_err(|error| {
            tracing::debug!(%error, upstream = %self.target, "the backend cannot be reached");
            UNREACHABLE
        })
    }

    fn request(&self, upstream_request: UpstreamRequest) -> Result<Request<RequestBody>, ForwardError> {
        let UpstreamRequest { method, path, fields, body, .. } = upstream_request;
        let target = self.target.origin_form(&path).map_err(|_| ForwardError::Answer(Reason::BadTarget))?;
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = target;
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = fields;
        Ok(request)
    }

    async fn send(
        self: &Arc<Self>,
        connection: Connection,
        mut request: Request<RequestBody>,
        trailers: bool,
        progress: Option<&Arc<RequestProgress>>,
        token: Option<&mut TokenWatch>,
    ) -> Result<Response<AnswerBody>, SendError> {
        match connection {
            Connection::Http1(mut connection) => {
                frame_body(&mut request);
                let answered = connection.sender.try_send_request(request);
                let response = self.answered(answered, progress, token, false).await?;
                Ok(self.answer(response, connection, progress.cloned()))
            }
            Connection::Http2(Http2Stream { mut sender, slot }) => {
                http2::to_http2(&mut request, self.target.scheme(), trailers)
                    .ok_or(SendError::Failed(ForwardError::Answer(Reason::BadTarget)))?;
                let answered = sender.try_send_request(request);
                let response = self.answered(answered, progress, token, true).await?;
                let lease = Some(Lease::Http2(slot));
                let idle_timeout = self.target.idle_timeout;
                let mut answer =
                    response.map(|incoming| AnswerBody::new(incoming, lease, true, idle_timeout));
                // To an HTTP/1 client it goes on as this.
                *answer.version_mut() = Version::HTTP_11;
                Ok(answer)
            }
        }
    }

    /// Waits for the head of the answer, for as long as there is reason to.
    async fn answered(
        &self,
        answered: impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>>,
        progress: Option<&Arc<RequestProgress>>,
        mut token: Option<&mut TokenWatch>,
        over_http2: bool,
    ) -> Result<Response<Incoming>, SendError> {
        let started = Instant::now();
        tokio::pin!(answered);
        loop {
            let (deadline, failure) = self.deadline(started, progress);
            if deadline <= Instant::now() {
                return Err(SendError::Failed(failure));
            }
            let look = next_look(deadline, progress, token.is_some());
            tokio::select! {
                biased;
                answer = &mut answered => {
                    // What the backend says to a token that was revoked meanwhile reaches nobody.
                    return match token.and_then(TokenWatch::revoked_by) {
                        Some(by) => Err(SendError::Failed(ForwardError::Revoked(by))),
                        None => answer.map_err(|error| SendError::read(error, progress, over_http2)),
                    };
                }
                () = sleep_until(look) => {}
            }
            if let Some(by) = token.as_deref_mut().and_then(TokenWatch::revoked_by) {
                return Err(SendError::Failed(ForwardError::Revoked(by)));
            }
        }
    }

    /// Until when to wait, and what it means if nothing comes. While the body streams, the clock
    /// runs from its last movement, and whoever it waits for is at fault.
    fn deadline(&self, started: Instant, progress: Option<&Arc<RequestProgress>>) -> (Instant, ForwardError) {
        let timeout = ForwardError::Answer(Reason::UpstreamTimeout);
        match progress {
            None => (started + self.target.response_timeout, timeout),
            Some(progress) if progress.is_sent() => (progress.last() + self.target.response_timeout, timeout),
            Some(progress) if progress.is_waiting() => {
                (progress.patience(self.target.idle_timeout), ForwardError::Answer(Reason::RequestTimeout))
            }
            Some(progress) => (progress.last() + self.target.idle_timeout, timeout),
        }
    }

    fn answer(
        self: &Arc<Self>,
        response: Response<Incoming>,
        connection: Http1Connection,
        request: Option<Arc<RequestProgress>>,
    ) -> Response<AnswerBody> {
        let lifetime = announced_lifetime(response.headers()).unwrap_or(IDLE_LIFETIME);
        let lease = if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            connection.driver.detach();
            None
        } else if response.version() == Version::HTTP_11 && !lifetime.is_zero() {
            Some(Lease::Http1 { connection, pool: self.clone(), request, lifetime })
        } else {
            Some(Lease::LastOfHttp1(connection))
        };
        let mut answer =
            response.map(|incoming| AnswerBody::new(incoming, lease, false, self.target.idle_timeout));
        // What is forwarded has our own version (RFC 9110 section 6.2): 1.0 would end the client's
        // connection with the answer.
        *answer.version_mut() = Version::HTTP_11;
        answer
    }
}

/// A body may begin to wait for its client at any time, which then has less than the deadline. A token may be
/// revoked at any time.
fn next_look(deadline: Instant, progress: Option<&Arc<RequestProgress>>, has_token: bool) -> Instant {
    let silence = progress.and_then(|progress| progress.silence());
    let revocation = has_token.then_some(REVOCATION_LOOK);
    let soonest = silence.into_iter().chain(revocation).min();
    soonest.map_or(deadline, |time| deadline.min(Instant::now() + time))
}

const UNREACHABLE: ForwardError = ForwardError::Answer(Reason::UpstreamUnreachable);

/// How one attempt ended.
enum SendError {
    /// Nothing of it was written; whether it was to go over HTTP/2.
    Unsent(Box<Request<RequestBody>>, bool),
    /// The backend says that it has not looked at it.
    Unprocessed,
    /// The connection closed before any byte of an answer.
    Closed,
    Failed(ForwardError),
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
        tracing::debug!(%error, "the backend did not answer");
        match progress {
            Some(progress) if progress.is_too_large() => {
                return Self::Failed(ForwardError::Answer(Reason::PayloadTooLarge));
            }
            Some(progress) if progress.is_broken() => return Self::Failed(ForwardError::BrokenRequest),
            _ => {}
        }
        match if over_http2 { http2::fate(&error) } else { None } {
            Some(StreamErrorKind::Unprocessed) => Self::Unprocessed,
            Some(StreamErrorKind::Unknown) => Self::Closed,
            Some(StreamErrorKind::Failed) => Self::Failed(ForwardError::Answer(Reason::UpstreamProtocol)),
            None if error.is_incomplete_message() || error.is_closed() || is_reset(&error) => Self::Closed,
            None => Self::Failed(ForwardError::Answer(Reason::UpstreamProtocol)),
        }
    }
}

/// hyper sends no body with GET or HEAD that has no `Content-Length`, unless it is told to.
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

/// The same head again, for a request without a body.
fn copy(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut spare = Request::new(RequestBody::Empty);
    *spare.method_mut() = request.method().clone();
    *spare.uri_mut() = request.uri().clone();
    *spare.version_mut() = request.version();
    *spare.headers_mut() = request.headers().clone();
    spare
}

/// `Keep-Alive: timeout=5`: the connection is left a second before the backend closes it.
fn announced_lifetime(fields: &HeaderMap) -> Option<Duration> {
    let text = fields.get("keep-alive")?.to_str().ok()?;
    let secs: u64 =
        text.split(',').find_map(|item| item.trim().strip_prefix("timeout="))?.trim().parse().ok()?;
    Some(Duration::from_secs(secs.saturating_sub(1)).min(IDLE_LIFETIME))
}

/// The length that a head states, if it states one.
pub(crate) fn stated_length(fields: &HeaderMap) -> Option<u64> {
    fields.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
