//! The transport of an HTTP/1 client connection: its stream, what was read from it, and what has to be written to it.
//!
//! The connection and the body of its current request share it. Both are polled by the task of the connection, so they
//! never use it at the same time. One message is read at a time; the bytes after it stay in the buffer or in the kernel.

use std::fmt;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;

use crate::budget::{Charge, Connection};
use crate::request::{BodyTracker, Framing, Run};
use crate::spare_buffers;

use super::outgoing::Outgoing;
use super::presence::Presence;
use super::{Duplex, LONG_BODY_READ};

/// How much is read at once, except from a body that arrives fast.
const READ_BYTES: usize = 8 * 1024;

/// How much of a response the kernel buffers beyond what the network takes. It keeps a download that is not read from
/// holding megabytes of kernel memory.
pub const UNSENT_BYTES: u32 = 256 * 1024;
/// The same for a trusted client that has taken [`LONG_RESPONSE`] bytes of it. Half of it costs a tenth more processor time.
const LONG_RESPONSE_UNSENT_BYTES: u32 = 512 * 1024;
const LONG_RESPONSE: u64 = 1 << 20;

/// A body is read no further than this before other tasks have a turn.
const BURST: usize = 64 * 1024;
/// What a piece of it costs besides, in bytes. Its chunks may have a byte each.
const PIECE_COST: usize = 64;

/// How often the kernel is asked about a client whose body is not read.
const PRESENCE_INTERVAL: Duration = Duration::from_millis(500);

/// How much of a chunked body is searched for its end at most. The kernel usually holds far less of a connection.
const MAX_SEARCHED: u64 = 1 << 20;

/// RFC 9110 section 15.2.1.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A transport that a connection and the body of its current request share.
#[derive(Clone)]
pub struct SharedTransport(Arc<Mutex<Transport>>);

impl SharedTransport {
    /// A transport from which `read` was already read.
    pub fn new(stream: Box<dyn Duplex>, read: BytesMut, account: &Arc<Connection>) -> Self {
        Self(Arc::new(Mutex::new(Transport {
            stream,
            charge: account.charge(read.capacity()),
            buffer: read,
            body: BodyTracker::new(Framing::None),
            is_chunked: false,
            number: 0,
            fault: None,
            expects_continue: false,
            read_bytes: READ_BYTES,
            burst: 0,
            presence_checked: None,
            has_arrived: false,
            outgoing: Outgoing::default(),
            is_long_response: false,
        })))
    }

    /// The next bytes are the body of a request. `expects_continue` means that the client waits for 100 (Continue).
    pub fn begin_body(&self, framing: Framing, expects_continue: bool) -> Http1Body {
        let mut transport = self.lock();
        transport.body = BodyTracker::new(framing);
        transport.is_chunked = framing == Framing::Chunked;
        transport.expects_continue = expects_continue && framing != Framing::None;
        transport.presence_checked = None;
        transport.has_arrived = false;
        transport.number += 1;
        transport.outgoing.begin();
        transport.bound_unsent();
        Http1Body { number: transport.number, transport: self.clone() }
    }

    /// Exclusive access. It is never held while a task waits.
    pub fn lock(&self) -> MutexGuard<'_, Transport> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stream, and the bytes that were read from it but not used, for a tunnel. `None` while a body shares it.
    pub fn into_parts(self) -> Option<(Box<dyn Duplex>, BytesMut)> {
        let transport = Arc::into_inner(self.0)?.into_inner().unwrap_or_else(PoisonError::into_inner);
        Some((transport.stream, transport.buffer))
    }
}

/// Shows no bytes of the client.
impl fmt::Debug for SharedTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedTransport")
    }
}

/// The body of one request on a connection.
#[derive(Debug)]
pub struct Http1Body {
    transport: SharedTransport,
    number: u64,
}

impl Http1Body {
    /// The transport, as long as this is the body of the current request.
    fn transport(&self) -> Option<MutexGuard<'_, Transport>> {
        Some(self.transport.lock()).filter(|transport| transport.number == self.number)
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        match self.transport() {
            Some(mut transport) => transport.poll_body(cx),
            None => Poll::Ready(Some(Err(io::ErrorKind::BrokenPipe.into()))),
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.transport().is_some_and(|transport| transport.body.is_done())
    }

    pub(super) fn length_left(&self) -> Option<u64> {
        let transport = self.transport()?;
        (!transport.is_chunked || transport.body.is_done()).then(|| transport.body.left())
    }
}

/// The stream of a client connection, with its buffers.
pub struct Transport {
    stream: Box<dyn Duplex>,
    /// Read and not used.
    buffer: BytesMut,
    /// What `buffer` and `outgoing` hold, charged to the connection's account.
    charge: Charge,
    body: BodyTracker,
    is_chunked: bool,
    /// The number of the request whose body it is.
    number: u64,
    /// Why the body cannot be read further.
    fault: Option<io::ErrorKind>,
    /// The client waits for 100 (Continue) before it sends the body.
    expects_continue: bool,
    read_bytes: usize,
    /// How much of a body was read since its reader last had to wait.
    burst: usize,
    /// When the kernel was last asked whether the client is still there, or when that was first needed.
    presence_checked: Option<Instant>,
    /// Whether the client ended its sending side, and all of the body has arrived.
    has_arrived: bool,
    outgoing: Outgoing,
    /// Whether the kernel buffers as much as of a long response.
    is_long_response: bool,
}

impl Transport {
    /// What was read and not used.
    pub fn unread(&self) -> &[u8] {
        &self.buffer
    }

    /// Takes the next bytes.
    pub fn take(&mut self, len: usize) -> BytesMut {
        self.buffer.split_to(len.min(self.buffer.len()))
    }

    /// Reads more into the buffer. Ready with the number of bytes, which is zero at the end of the stream. A connection
    /// that has to wait and has read nothing keeps no buffer.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let was_empty = self.buffer.is_empty();
        if was_empty && self.body.is_done() {
            // The next message.
            self.read_bytes = READ_BYTES;
        }
        let wanted = self.read_bytes;
        let room = self.buffer.capacity() - self.buffer.len();
        // What was read before is usually passed on by now, so its memory is used again.
        if was_empty && room < wanted && !self.buffer.try_reclaim(wanted) && room < wanted / 2 {
            self.buffer = spare_buffers::take(wanted);
        } else if !was_empty && room < wanted / 2 {
            self.buffer.reserve(wanted);
        }
        let room = self.buffer.capacity() - self.buffer.len();
        let read = pin!(self.stream.read_buf(&mut self.buffer)).poll(cx);
        match read {
            // More is probably waiting.
            Poll::Ready(Ok(count)) if count == room => self.read_bytes = LONG_BODY_READ,
            // Even a client that sends as fast as it can does not fill the buffer every time.
            Poll::Ready(Ok(count)) if count < wanted / 4 => {
                self.read_bytes = (wanted / 2).max(READ_BYTES);
            }
            Poll::Ready(_) | Poll::Pending => {}
        }
        if self.buffer.is_empty() {
            spare_buffers::keep(std::mem::take(&mut self.buffer));
            self.outgoing.keep_buffer();
        }
        self.charge();
        read
    }

    /// Charges what is held now to the connection's account.
    fn charge(&mut self) {
        self.charge.set(self.buffer.capacity() + self.outgoing.len());
    }

    /// Invalidates the current [`Http1Body`]. Returns whether it was read to its end; otherwise the rest can be read here,
    /// to discard it.
    pub fn reclaim_body(&mut self) -> bool {
        self.number += 1;
        self.body.is_done()
    }

    /// Whether the body was read to its end.
    pub fn body_is_done(&self) -> bool {
        self.body.is_done()
    }

    /// Whether the client waits for 100 (Continue) before it sends the body.
    pub fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// Reads the next data of the body, without its trailers. Sends 100 (Continue) if the client waits for that.
    ///
    /// # Errors
    /// The framing is invalid, the client ended the body early, or the stream failed.
    pub fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            if let Some(fault) = self.fault {
                return Poll::Ready(Some(Err(fault.into())));
            }
            if self.burst >= BURST && !self.body.is_done() {
                self.burst = 0;
                // Wakes this task after all that are ready, and those for which something has arrived.
                let _yielded = pin!(tokio::task::yield_now()).poll(cx);
                return Poll::Pending;
            }
            if let Some(data) = self.next_data() {
                self.burst += PIECE_COST;
                return Poll::Ready(Some(Ok(data)));
            }
            if self.fault.is_some() {
                continue;
            }
            if self.body.is_done() {
                return Poll::Ready(None);
            }
            if std::mem::take(&mut self.expects_continue) {
                self.outgoing.interim(CONTINUE);
            }
            // The stream wakes the task for both directions.
            if let Poll::Ready(Err(error)) = self.outgoing.poll_write(&mut self.stream, cx) {
                self.fault = Some(error.kind());
                continue;
            }
            match self.poll_fill(cx) {
                Poll::Ready(Ok(0)) => self.fault = Some(io::ErrorKind::UnexpectedEof),
                Poll::Ready(Ok(count)) => self.burst += count,
                Poll::Ready(Err(error)) => self.fault = Some(error.kind()),
                Poll::Pending => {
                    self.burst = 0;
                    return Poll::Pending;
                }
            }
        }
    }

    /// The data of the body in the buffer up to the next framing. Reads the framing before it.
    fn next_data(&mut self) -> Option<Bytes> {
        loop {
            match self.body.run(&self.buffer) {
                Ok(Run::Framing(0) | Run::Trailers(0) | Run::Content(0)) => return None,
                Ok(Run::Framing(length) | Run::Trailers(length)) => self.buffer.advance(length),
                Ok(Run::Content(length)) => {
                    // The client did not wait.
                    self.expects_continue = false;
                    let data = self.take(length).freeze();
                    self.end_body();
                    return Some(data);
                }
                Err(_) => {
                    self.fault = Some(io::ErrorKind::InvalidData);
                    return None;
                }
            }
        }
    }

    /// Reads the framing after the last data, if all of it has arrived, so that the end of the body is known with that.
    fn end_body(&mut self) {
        let (mut body, mut length) = (self.body.clone(), 0);
        while !body.is_done() {
            match body.run(self.buffer.get(length..).unwrap_or_default()) {
                Ok(Run::Framing(more) | Run::Trailers(more)) if more > 0 => length += more,
                Ok(_) | Err(_) => return,
            }
        }
        self.body = body;
        self.buffer.advance(length);
    }

    /// Ready when the client has closed the connection. Reads ahead to find out, while the response is awaited. While the
    /// body is not read, because the backend does not take it, the kernel is asked instead, when the task is polled: at
    /// least once a second.
    pub fn poll_disconnect(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.body.is_done() && self.has_left() {
            return Poll::Ready(());
        }
        // Bytes that arrive are the next request. Nothing more is read then.
        while self.body.is_done() && self.buffer.is_empty() {
            match ready!(self.poll_fill(cx)) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    /// Whether a client whose body is not read to its end has gone. A client that has sent the whole body, and then closed
    /// its sending side, has not.
    fn has_left(&mut self) -> bool {
        let now = Instant::now();
        let checked = *self.presence_checked.get_or_insert(now);
        if now - checked < PRESENCE_INTERVAL {
            return false;
        }
        self.presence_checked = Some(now);
        match self.stream.presence() {
            Presence::Open => false,
            Presence::Ending(arrived) => {
                let unread = arrived.saturating_add(self.buffer.len() as u64);
                self.body.left() > unread
                    || (self.is_chunked && !self.has_arrived && self.ends_early(arrived))
            }
            Presence::Gone => true,
        }
    }

    /// Whether a chunked body has no end in what was read of it and what has `arrived`, after which nothing follows. Its
    /// length is known only at its end.
    fn ends_early(&mut self, arrived: u64) -> bool {
        let arrived = usize::try_from(arrived).ok().filter(|arrived| *arrived as u64 <= MAX_SEARCHED);
        let Some(arrived) = arrived.and_then(|arrived| self.stream.peek(arrived)) else { return false };
        let mut body = self.body.clone();
        self.has_arrived =
            body.follow(&self.buffer).is_ok() && body.follow(&arrived).is_ok() && body.is_done();
        !self.has_arrived
    }

    /// What has to be written.
    pub fn outgoing(&mut self) -> &mut Outgoing {
        &mut self.outgoing
    }

    /// Writes what has to be written.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let written = self.outgoing.poll_write(&mut self.stream, cx);
        self.charge();
        self.bound_unsent();
        written
    }

    /// Lets the kernel buffer more of a long response that a trusted client reads.
    fn bound_unsent(&mut self) {
        let is_long = self.outgoing.written() >= LONG_RESPONSE && self.charge.account().is_trusted();
        if is_long == self.is_long_response {
            return;
        }
        self.is_long_response = is_long;
        let bytes = if is_long { LONG_RESPONSE_UNSENT_BYTES } else { UNSENT_BYTES };
        if let Err(error) = self.stream.bound_unsent(bytes) {
            tracing::debug!(%error, "cannot bound what the kernel buffers");
        }
    }

    /// The stream, to shut it down.
    pub fn stream(&mut self) -> &mut Box<dyn Duplex> {
        &mut self.stream
    }
}

#[cfg(test)]
mod tests;
