//! One request to the backend, and its answer's head.

use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_LENGTH;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Response, Version};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use tokio::time::{Instant, sleep_until};

use super::body::{AnswerBody, Lease, RequestBody, RequestProgress};
use super::{IDLE_LIFETIME, Upstream};
use crate::decision::{Permit, Reason};

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// This is to be told to the client.
    Answer(Reason),
    /// The client's own body ended early or was framed wrongly.
    BrokenRequest,
}

/// What is sent: the head, after everything was stripped and set, and the body.
pub struct Outgoing {
    /// The method.
    pub method: Method,
    /// The target, byte for byte.
    pub path: PathAndQuery,
    /// The fields.
    pub fields: HeaderMap,
    /// The body.
    pub body: RequestBody,
}

impl Upstream {
    /// Forwards one request. The permit is the leave to do so.
    pub async fn forward(
        self: &Arc<Self>,
        _permit: Permit,
        outgoing: Outgoing,
    ) -> Result<Response<AnswerBody>, Failure> {
        let progress = match &outgoing.body {
            RequestBody::Empty => None,
            RequestBody::Stream { progress, .. } => Some(progress.clone()),
        };
        let mut request = self.request(outgoing)?;
        if let Some(mut sender) = self.check_out().await {
            // A kept-alive connection may turn out closed. A request without a body that changes
            // nothing when it is done twice is then sent again, once.
            let spare = (progress.is_none() && request.method().is_idempotent()).then(|| copy(&request));
            match self.send(&mut sender, request, progress.as_ref()).await {
                Ok(response) => return Ok(self.answer(response, sender, progress)),
                Err(SendError::Unsent(unsent)) => request = *unsent,
                Err(SendError::Closed) => match spare {
                    Some(spare) => request = spare,
                    None => return Err(Failure::Answer(Reason::UpstreamProtocol)),
                },
                Err(SendError::Failed(failure)) => return Err(failure),
            }
        }
        let mut sender = self.target.connect().await.map_err(|error| {
            tracing::debug!(%error, upstream = %self.target, "the backend cannot be reached");
            Failure::Answer(Reason::UpstreamUnreachable)
        })?;
        match self.send(&mut sender, request, progress.as_ref()).await {
            Ok(response) => Ok(self.answer(response, sender, progress)),
            Err(SendError::Unsent(_)) => Err(Failure::Answer(Reason::UpstreamUnreachable)),
            Err(SendError::Closed) => Err(Failure::Answer(Reason::UpstreamProtocol)),
            Err(SendError::Failed(failure)) => Err(failure),
        }
    }

    fn request(&self, outgoing: Outgoing) -> Result<Request<RequestBody>, Failure> {
        let Outgoing { method, path, fields, body } = outgoing;
        let target = self.target.origin_form(&path).map_err(|_| Failure::Answer(Reason::BadTarget))?;
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = target;
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = fields;
        Ok(request)
    }

    async fn send(
        &self,
        sender: &mut SendRequest<RequestBody>,
        request: Request<RequestBody>,
        progress: Option<&Arc<RequestProgress>>,
    ) -> Result<Response<Incoming>, SendError> {
        let started = Instant::now();
        let answered = sender.try_send_request(request);
        tokio::pin!(answered);
        loop {
            let (deadline, failure) = self.deadline(started, progress);
            if deadline <= Instant::now() {
                return Err(SendError::Failed(failure));
            }
            tokio::select! {
                biased;
                answer = &mut answered => return answer.map_err(|error| SendError::read(error, progress)),
                () = sleep_until(deadline) => {}
            }
        }
    }

    /// Until when to wait, and what it means if nothing comes. While the body streams, the clock
    /// runs from its last movement, and whoever it waits for is at fault.
    fn deadline(&self, started: Instant, progress: Option<&Arc<RequestProgress>>) -> (Instant, Failure) {
        let timeout = Failure::Answer(Reason::UpstreamTimeout);
        match progress {
            None => (started + self.target.response_timeout, timeout),
            Some(progress) if progress.is_sent() => (progress.last() + self.target.response_timeout, timeout),
            Some(progress) if progress.is_waiting() => {
                (progress.last() + self.target.idle_timeout, Failure::Answer(Reason::RequestTimeout))
            }
            Some(progress) => (progress.last() + self.target.idle_timeout, timeout),
        }
    }

    fn answer(
        self: &Arc<Self>,
        response: Response<Incoming>,
        sender: SendRequest<RequestBody>,
        request: Option<Arc<RequestProgress>>,
    ) -> Response<AnswerBody> {
        let lifetime = announced_lifetime(response.headers()).unwrap_or(IDLE_LIFETIME);
        let reusable = response.version() == Version::HTTP_11 && !lifetime.is_zero();
        let lease = reusable.then(|| Lease { sender, pool: self.clone(), request, lifetime });
        response.map(|incoming| AnswerBody::new(incoming, lease, self.target.idle_timeout))
    }
}

/// How one attempt ended.
enum SendError {
    /// Nothing of it was written.
    Unsent(Box<Request<RequestBody>>),
    /// The connection closed before any byte of an answer.
    Closed,
    Failed(Failure),
}

impl SendError {
    fn read(
        error: hyper::client::conn::TrySendError<Request<RequestBody>>,
        progress: Option<&Arc<RequestProgress>>,
    ) -> Self {
        let mut error = error;
        if let Some(request) = error.take_message() {
            return Self::Unsent(Box::new(request));
        }
        let error = error.into_error();
        tracing::debug!(%error, "the backend did not answer");
        match progress {
            Some(progress) if progress.is_too_large() => {
                Self::Failed(Failure::Answer(Reason::PayloadTooLarge))
            }
            Some(progress) if progress.is_broken() => Self::Failed(Failure::BrokenRequest),
            _ if error.is_incomplete_message() || error.is_closed() || is_reset(&error) => Self::Closed,
            _ => Self::Failed(Failure::Answer(Reason::UpstreamProtocol)),
        }
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
