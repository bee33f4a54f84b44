//! Writes one request: its head and the first run of its body at once, then run after run.

use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Body as _;
use tokio::io::AsyncWrite as _;

use super::super::RequestBody;
use super::super::stream::Stream;
use crate::http1::{BodyWriter, HeadWriter, RequestFraming, RunFraming};

/// A buffer larger than this is not kept for the next head.
const KEPT_HEAD: usize = 4 * 1024;

/// The client's body ended early or does not have its stated length.
#[derive(Debug)]
pub(super) struct BrokenBody;

/// The part of a request that was not written yet. One run of the body at most waits to be written.
pub(super) struct RequestWriter {
    state: State,
    head: Vec<u8>,
    run: Option<Run>,
    /// How many bytes of the head and the run were written.
    written: usize,
    has_written: bool,
    body: RequestBody,
    writer: BodyWriter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// More of the body follows.
    Body,
    /// What was taken of the body is all of it.
    LastRun,
    /// Everything was written.
    Written,
    /// The backend takes no more.
    Refused,
}

struct Run {
    framing: RunFraming,
    data: Bytes,
}

impl Default for RequestWriter {
    fn default() -> Self {
        Self {
            state: State::Written,
            head: Vec::new(),
            run: None,
            written: 0,
            has_written: false,
            body: RequestBody::Empty,
            writer: BodyWriter::new(RequestFraming::Unstated),
        }
    }
}

impl RequestWriter {
    pub(super) fn begin(&mut self, head: &HeadWriter<'_>, body: RequestBody) {
        self.head.clear();
        head.write_to(&mut self.head);
        self.state = if matches!(body, RequestBody::Empty) { State::LastRun } else { State::Body };
        (self.run, self.written, self.has_written) = (None, 0, false);
        self.writer = BodyWriter::new(head.framing);
        self.body = body;
    }

    /// Whether everything was written.
    pub(super) fn is_written(&self) -> bool {
        self.state == State::Written
    }

    /// Whether the stream failed before it took anything.
    pub(super) fn is_unsent(&self) -> bool {
        self.state == State::Refused && !self.has_written
    }

    /// The body, as it was before anything was taken of it.
    pub(super) fn take_unsent(&mut self) -> RequestBody {
        let mut body = std::mem::replace(&mut self.body, RequestBody::Empty);
        if let Some(run) = self.run.take() {
            body.unread(run.data);
        }
        body
    }

    pub(super) fn release_buffers(&mut self) {
        self.body = RequestBody::Empty;
        self.head.clear();
        self.head.shrink_to(KEPT_HEAD);
    }

    /// Writes as much as the stream takes and as the client has sent. Ready when nothing more can be written.
    pub(super) fn poll(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Result<Poll<()>, BrokenBody> {
        loop {
            let waits = self.state == State::Body && self.run.is_none() && self.poll_run(cx)?.is_pending();
            let written = match self.state {
                State::Written | State::Refused => return Ok(Poll::Ready(())),
                State::Body | State::LastRun => self.poll_write(stream, cx),
            };
            match written {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Err(error)) => {
                    tracing::debug!(%error, "the backend stopped reading a request");
                    self.state = State::Refused;
                    self.has_written |= !stream.fails_whole();
                }
                Poll::Ready(Ok(())) if self.state == State::LastRun => self.state = State::Written,
                Poll::Ready(Ok(())) if waits => return Ok(Poll::Pending),
                Poll::Ready(Ok(())) => {}
            }
        }
    }

    /// Takes the next run of the body.
    fn poll_run(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, BrokenBody> {
        let (data, is_last) = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(Some(Ok(frame))) => {
                (frame.into_data().unwrap_or_default(), self.body.is_end_stream())
            }
            Poll::Ready(Some(Err(_))) => return Err(BrokenBody),
            Poll::Ready(None) => (Bytes::new(), true),
        };
        let framing = self.writer.run(data.len(), is_last).map_err(|_| BrokenBody)?;
        self.run = Some(Run { framing, data });
        if is_last {
            self.state = State::LastRun;
        }
        Ok(Poll::Ready(()))
    }

    /// Writes the head and the run, until the stream has passed them on.
    fn poll_write(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let mut stream = Pin::new(stream);
        loop {
            let (before, data, after) = match &self.run {
                Some(run) => (run.framing.before(), &*run.data, run.framing.after),
                None => Default::default(),
            };
            let mut slices = [IoSlice::new(&[]); 4];
            let (mut skip, mut count) = (self.written, 0);
            for part in [&*self.head, before, data, after] {
                let rest = part.get(skip..).unwrap_or_default();
                skip = skip.saturating_sub(part.len());
                if let Some(slice) = slices.get_mut(count).filter(|_| !rest.is_empty()) {
                    *slice = IoSlice::new(rest);
                    count += 1;
                }
            }
            let slices = slices.get(..count).unwrap_or_default();
            let written = match slices {
                [] => break,
                [only] => ready!(stream.as_mut().poll_write(cx, only))?,
                _ => ready!(stream.as_mut().poll_write_vectored(cx, slices))?,
            };
            if written == 0 {
                return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            self.has_written = true;
            self.written += written;
        }
        self.head.clear();
        (self.run, self.written) = (None, 0);
        // TLS keeps records that the socket did not take.
        stream.poll_flush(cx)
    }
}
