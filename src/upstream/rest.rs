//! The unread rest of a client's body.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::client_body::ClientBody;
use crate::discard::Discarder;

/// The unread rest of a body. Over HTTP/2 it is read to its end even if it is dropped early. Otherwise its stream
/// would be reset, and the client could lose the response.
#[derive(Debug)]
pub struct Rest {
    incoming: Option<ClientBody>,
    discarder: Option<Discarder>,
}

impl Rest {
    /// A body, with the `discarder` that reads the rest of it if it arrives over HTTP/2.
    pub fn new(incoming: ClientBody, discarder: Option<Discarder>) -> Self {
        Self { incoming: Some(incoming), discarder }
    }

    /// Nothing, for a body that was read ahead.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self { incoming: None, discarder: None }
    }

    pub(super) fn is_http2(&self) -> bool {
        self.discarder.is_some()
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.incoming.as_mut().map_or(Poll::Ready(None), |incoming| Pin::new(incoming).poll_frame(cx))
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        if let (Some(incoming), Some(discarder)) = (self.incoming.take(), self.discarder.take()) {
            discarder.discard(incoming);
        }
    }
}
