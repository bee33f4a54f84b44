//! One HTTP/1.1 connection to the backend, and the exchange on it.
//!
//! The task that waits for the response also writes the request, in the same poll, without a further task or a channel.
//! [`Http1Connection::poll_head`] and [`Http1Connection::poll_frame`] first write as much of the request as the backend
//! takes, and then read. A backend may therefore respond before it has read the whole request.
//!
//! [`Phase`] holds the order: the connection can serve another request only if this one was written whole, its response
//! was read whole, both ends keep the connection alive and no byte follows the response. In every other case it is
//! dropped, which closes it, so that the backend does not take a request that was cut short for a whole one.

use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http_body::Frame;
use tokio::io::{AsyncRead, ReadBuf};

use super::lease::Lease;
use super::stream::{Stream, SwitchedStream};
use super::{InterimResponses, RequestBody};
use crate::http1::{
    BodyPart, BodyReader, Event, HeadWriter, Phase, ResponseFault, ResponseFraming, ResponseHead,
    ResponseHeadReader,
};
use crate::message::{Fields, Response};
use crate::request::{Framing, HeadLimits};
use crate::timer::Timer;

mod read_buffer;
mod request_writer;

use read_buffer::ReadBuffer;
use request_writer::{BrokenBody, RequestWriter};

/// How large the head of a response may be. `limits.responseFields` replaces the number of its fields.
const HEAD_LIMITS: HeadLimits = HeadLimits { bytes: 64 * 1024, target: 0, fields: 1000 };
/// It exceeds the limits.
pub(super) const HEAD_TOO_LARGE: &str =
    "the head of the response is larger than 64 KiB or has more fields than limits.responseFields";

/// How many bytes of a response are passed on before other tasks run. With a fast backend, reading never has to wait, so
/// the task would not yield otherwise.
const BURST: usize = 256 * 1024;

/// A connection, with what was read from it and not passed on.
pub(super) struct Http1Connection {
    stream: Stream,
    phase: Phase,
    request: RequestWriter,
    read: ReadBuffer,
    /// Whether a byte of a response was read.
    has_responded: bool,
    head: ResponseHeadReader,
    body: BodyReader,
    keep_alive: bool,
    /// How much of the body was passed on since the reader last had to wait.
    burst: usize,
    /// For the waits for responses.
    timer: Timer,
    /// Where it leads, and its place among the connections of the process.
    lease: Lease,
}

/// Why the head of a response could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeadError {
    /// The connection failed before anything was written.
    #[error("the connection was closed before the request")]
    Unsent,
    /// The connection closed before the first byte of a response.
    #[error("the connection closed before a response")]
    Closed,
    /// The client's body ended early or does not have its stated length.
    #[error("the body of the request is broken")]
    BrokenRequest,
    /// The response is malformed or was cut off.
    #[error("{0}")]
    Malformed(&'static str),
    /// Reading failed.
    #[error("{0}")]
    Io(io::Error),
}

impl From<ResponseFault> for HeadError {
    fn from(fault: ResponseFault) -> Self {
        Self::Malformed(match fault {
            ResponseFault::Malformed(why) => why,
            ResponseFault::TooLarge => HEAD_TOO_LARGE,
        })
    }
}

impl Http1Connection {
    /// A connection that was just opened.
    pub(super) fn new(stream: Stream) -> Box<Self> {
        Box::new(Self {
            stream,
            phase: Phase::Idle,
            request: RequestWriter::default(),
            read: ReadBuffer::default(),
            has_responded: false,
            head: ResponseHeadReader::new(HEAD_LIMITS),
            body: BodyReader::new(ResponseFraming::Delimited(Framing::None)),
            keep_alive: false,
            burst: 0,
            timer: Timer::default(),
            lease: Lease::default(),
        })
    }

    /// Where it leads.
    pub(super) fn lease(&mut self) -> &mut Lease {
        &mut self.lease
    }

    /// Sets how many fields the head of a response may have.
    pub(super) fn limit_fields(&mut self, fields: usize) {
        self.head = ResponseHeadReader::new(HeadLimits { fields, ..HEAD_LIMITS });
    }

    /// Sets whether the client whose request follows has shown a verified token.
    pub(super) fn serve(&mut self, is_verified: bool) {
        self.stream.serve(is_verified);
        self.read.serve(is_verified);
    }

    /// Its timer, for the wait for one response.
    pub(super) fn take_timer(&mut self) -> Timer {
        std::mem::take(&mut self.timer)
    }

    /// Keeps the timer for the next request.
    pub(super) fn keep_timer(&mut self, timer: Timer) {
        self.timer = timer;
    }

    /// Whether what was read begins like a TLS record (RFC 8446 section 5.1): an alert about our plain text.
    pub(super) fn has_read_tls(&self) -> bool {
        matches!(*self.read.bytes, [21 | 22, 3, ..])
    }

    /// Ready if an idle connection cannot be used any more: the backend has closed it or sent unsolicited
    /// bytes.
    pub(super) fn poll_unusable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut byte = [0];
        let read = pin!(&mut self.stream).poll_read(cx, &mut ReadBuf::new(&mut byte));
        if self.phase != Phase::Idle || read.is_ready() {
            self.happened(Event::Failed);
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Begins an exchange.
    pub(super) fn begin(&mut self, head: &HeadWriter<'_>, body: RequestBody) {
        self.happened(Event::Begin);
        (self.has_responded, self.burst) = (false, 0);
        self.head.begin(head.method);
        self.request.begin(head, body);
    }

    /// The body of a request of which nothing was written.
    pub(super) fn take_unsent(&mut self) -> RequestBody {
        self.request.take_unsent()
    }

    /// Writes the request, until the head of the final response has been read.
    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        interim: Option<&InterimResponses>,
    ) -> Poll<Result<Response<()>, HeadError>> {
        loop {
            if self.poll_request(cx).is_err() {
                return Poll::Ready(Err(self.failed(HeadError::BrokenRequest)));
            }
            if self.request.is_unsent() {
                return Poll::Ready(Err(self.failed(HeadError::Unsent)));
            }
            match self.read_head(interim) {
                Ok(None) => {}
                Ok(Some(response)) => return Poll::Ready(Ok(response)),
                Err(fault) => return Poll::Ready(Err(self.failed(fault))),
            }
            let error = match ready!(self.read.poll_more(&mut self.stream, cx)) {
                Ok(0) => io::ErrorKind::UnexpectedEof.into(),
                Ok(_) => {
                    self.has_responded = true;
                    continue;
                }
                Err(error) => error,
            };
            let error = match error.kind() {
                _ if self.has_responded => HeadError::Malformed("the response was cut off"),
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe => HeadError::Closed,
                _ => HeadError::Io(error),
            };
            return Poll::Ready(Err(self.failed(error)));
        }
    }

    /// The next frame of the response's body. Writes the rest of the request if the response is early.
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.burst >= BURST {
            self.burst = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            if self.poll_request(cx).is_err() {
                return Poll::Ready(Some(Err(self.failed(io::ErrorKind::InvalidInput.into()))));
            }
            match self.body.read(&self.read.bytes) {
                Err(fault) => {
                    let error = io::Error::new(io::ErrorKind::InvalidData, fault.why);
                    return Poll::Ready(Some(Err(self.failed(error))));
                }
                Ok(BodyPart::Data { skip, len }) => {
                    self.read.bytes.advance(skip);
                    let data = self.read.bytes.split_to(len).freeze();
                    self.burst += len;
                    self.look_ahead();
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Ok(BodyPart::End { skip }) => {
                    self.read.bytes.advance(skip);
                    return Poll::Ready(match self.body.trailers() {
                        Ok(trailers) => {
                            self.ended();
                            trailers.map(|trailers| Ok(Frame::trailers(trailers)))
                        }
                        Err(fault) => {
                            Some(Err(self.failed(io::Error::new(io::ErrorKind::InvalidData, fault))))
                        }
                    });
                }
                Ok(BodyPart::Incomplete) => self.read.bytes.clear(),
            }
            let Poll::Ready(read) = self.read.poll_more(&mut self.stream, cx) else {
                self.burst = 0;
                return Poll::Pending;
            };
            match read {
                Ok(0) if self.body.close().is_ok() => {}
                Ok(0) => {
                    return Poll::Ready(Some(Err(self.failed(io::ErrorKind::UnexpectedEof.into()))));
                }
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(self.failed(error)))),
            }
        }
    }

    /// Whether the response was read whole.
    pub(super) fn is_ended(&self) -> bool {
        self.body.is_ended()
    }

    /// Whether it can serve another request.
    pub(super) fn is_reusable(&self) -> bool {
        self.phase == Phase::Idle
    }

    /// Whether it carries another protocol.
    pub(super) fn is_switched(&self) -> bool {
        self.phase == Phase::Tunnel
    }

    /// How many bytes of the body will follow, if that is certain.
    pub(super) fn left(&self) -> Option<u64> {
        self.body.left()
    }

    /// The stream, after a 101 (Switching Protocols).
    pub(super) fn into_switched(self) -> Option<SwitchedStream<Stream>> {
        self.is_switched().then(|| SwitchedStream::new(self.read.bytes, self.stream).holding(self.lease))
    }

    /// Releases the buffers before the connection waits in the pool.
    pub(super) fn release_buffers(&mut self) {
        std::mem::take(&mut self.read).release();
        self.request.release_buffers();
    }

    fn happened(&mut self, event: Event) {
        self.phase = self.phase.next(event);
    }

    fn failed<E>(&mut self, error: E) -> E {
        self.happened(Event::Failed);
        error
    }

    /// Writes as much of the request as the backend takes. A backend that takes no more may still respond.
    fn poll_request(&mut self, cx: &mut Context<'_>) -> Result<(), BrokenBody> {
        if matches!(self.phase, Phase::Sending | Phase::Early)
            && self.request.poll(&mut self.stream, cx)?.is_ready()
            && self.request.is_written()
        {
            self.happened(Event::RequestWritten);
        }
        Ok(())
    }

    /// Reads heads from the bytes that have arrived, up to the final response.
    fn read_head(&mut self, interim: Option<&InterimResponses>) -> Result<Option<Response<()>>, HeadError> {
        while let Some(head) = self.head.read(&self.read.bytes)? {
            let (headers, reason) = self.head.take_fields(self.read.bytes.split_to(head.len));
            if head.is_interim() {
                if let Some(interim) = interim {
                    interim.add(head.status, headers);
                }
                self.head.begin_next();
                continue;
            }
            return self.final_head(head, headers, reason).map(Some);
        }
        Ok(None)
    }

    fn final_head(
        &mut self,
        head: ResponseHead,
        headers: Fields,
        reason: Option<Bytes>,
    ) -> Result<Response<()>, HeadError> {
        let switches = head.status == http::StatusCode::SWITCHING_PROTOCOLS;
        self.happened(if switches { Event::Switched } else { Event::HeadRead });
        if self.phase == Phase::Closed {
            return Err(HeadError::Malformed("the protocol was switched before the request was written"));
        }
        self.body = BodyReader::new(head.framing);
        self.keep_alive = head.keep_alive;
        if !switches && self.body.is_ended() {
            self.ended();
        }
        let response = Response::new(head.status, headers, ());
        Ok(match reason {
            Some(reason) => response.with_reason(reason),
            None => response,
        })
    }

    /// Ends the exchange with the last data, if the end of the body has arrived with it.
    fn look_ahead(&mut self) {
        if !self.body.is_ended()
            && let Some(skip) = self.body.end_in(&self.read.bytes)
        {
            self.read.bytes.advance(skip);
        }
        if self.body.is_ended() {
            self.ended();
        }
    }

    /// The response was read whole.
    fn ended(&mut self) {
        let reusable = self.keep_alive && self.read.bytes.is_empty();
        self.happened(Event::ResponseEnded { reusable });
    }
}

#[cfg(test)]
mod tests;
