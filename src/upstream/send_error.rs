//! How one attempt to forward a request ends, and how its failure is explained.

use std::borrow::Cow;
use std::sync::Arc;

use super::Upstream;
use super::body::RequestProgress;
use super::http1::HeadError;
use super::http2::{self, StreamErrorKind};
use crate::decision::Reason;
use crate::revocation::Revoked;

/// Why forwarding a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardError {
    /// The client gets the response for this reason.
    Failed(Reason),
    /// The same, with the cause for the log.
    Explained(Reason, Cow<'static, str>),
    /// The client's body ended early or was framed wrongly.
    BrokenRequest,
    /// The token was revoked while the request waited.
    Revoked(Box<Revoked>),
}

/// Every attempt ended before the backend took the request.
pub(super) const NOT_PROCESSED: ForwardError = ForwardError::Explained(
    Reason::UpstreamUnreachable,
    Cow::Borrowed("the backend closed the connection before it took the request"),
);
pub(super) const NO_RESPONSE: ForwardError = ForwardError::Explained(
    Reason::UpstreamTimeout,
    Cow::Borrowed("the backend did not respond within upstream.responseTimeout"),
);
pub(super) const NOT_READ: ForwardError = ForwardError::Explained(
    Reason::UpstreamTimeout,
    Cow::Borrowed("the backend did not read the request's body within upstream.idleTimeout"),
);
/// hyper writes `:path` from a URI, which does not accept these octets, so they are percent-encoded.
pub(super) const UNSENDABLE_QUERY: ForwardError = ForwardError::Explained(
    Reason::BadTarget,
    Cow::Borrowed(
        "the query has so many unescaped \", < or > that it is too long for upstream.protocol http2, where they are percent-encoded",
    ),
);
pub(super) const BAD_TARGET: ForwardError = ForwardError::Failed(Reason::BadTarget);

/// How one attempt ended.
pub(super) enum SendError {
    /// Nothing was written.
    Unsent,
    /// The backend says that it has not processed the request.
    Unprocessed,
    /// The connection closed before the first byte of a response.
    Closed,
    /// Not to be retried.
    Final(ForwardError),
}

impl SendError {
    /// What became of a stream of an HTTP/2 connection.
    pub(super) fn of_stream(error: &hyper::Error) -> Self {
        match http2::error_kind(error) {
            Some(StreamErrorKind::Unprocessed) => Self::Unprocessed,
            Some(StreamErrorKind::Unknown) => Self::Closed,
            None if error.is_closed() || is_reset(error) => Self::Closed,
            Some(StreamErrorKind::Failed) | None => upstream_protocol(http2::cause(error).into()),
        }
    }
}

pub(super) fn upstream_protocol(cause: Cow<'static, str>) -> SendError {
    SendError::Final(ForwardError::Explained(Reason::UpstreamProtocol, cause))
}

fn is_reset(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    source.is_some_and(|error| {
        matches!(error.kind(), std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe)
    })
}

impl Upstream {
    #[cold]
    pub(super) fn unreachable(&self, cause: String) -> ForwardError {
        tracing::debug!(cause, upstream = %self.target, "the backend cannot be reached");
        self.reachability.failed(&cause);
        ForwardError::Explained(Reason::UpstreamUnreachable, cause.into())
    }

    /// The backend closed the connection instead of responding.
    #[cold]
    pub(super) fn closed(&self, is_pooled: bool) -> ForwardError {
        let cause = if is_pooled || self.target.tls.is_some() || self.target.is_socket() {
            "the backend closed the connection without a response"
        } else {
            "the backend closed the connection without a response; if it speaks TLS on this port, write https:// in \
             upstream.url"
        };
        ForwardError::Explained(Reason::UpstreamProtocol, cause.into())
    }

    /// Why there is no response on an HTTP/1.1 connection.
    #[cold]
    pub(super) fn head_error(&self, error: &HeadError, endpoint: usize, speaks_tls: bool) -> SendError {
        let peer = self.target.peer(endpoint);
        let cause = match error {
            HeadError::Unsent => return SendError::Unsent,
            HeadError::Closed => return SendError::Closed,
            HeadError::BrokenRequest => return SendError::Final(ForwardError::BrokenRequest),
            HeadError::Malformed(_) if speaks_tls => {
                let cause = format!("{peer} speaks TLS; write https:// in upstream.url");
                return SendError::Final(self.unreachable(cause));
            }
            HeadError::Malformed(why) => (*why).into(),
            HeadError::Io(error) => match peer.late_tls_cause(error) {
                Some(cause) => return SendError::Final(self.unreachable(cause)),
                None => format!("the response cannot be read: {error}").into(),
            },
        };
        upstream_protocol(cause)
    }
}

/// The error if the attempt ended because of the request's body.
pub(super) fn broken_body(progress: Option<&Arc<RequestProgress>>) -> Option<SendError> {
    match progress {
        Some(progress) if progress.is_too_large() => {
            Some(SendError::Final(ForwardError::Failed(Reason::PayloadTooLarge)))
        }
        Some(progress) if progress.is_broken() => Some(SendError::Final(ForwardError::BrokenRequest)),
        _ => None,
    }
}
