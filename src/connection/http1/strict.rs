//! Strict HTTP/1 validation in front of hyper.
//!
//! hyper tolerates malformed HTTP/1 that a backend may read differently (request smuggling). [`StrictHttp1`] wraps
//! the client's stream and passes on only what it has validated:
//!
//! 1. A head is held back until it is complete and [`HeadScanner`] accepts it.
//! 2. Its body is passed on as it arrives. [`BodyTracker`] follows the framing, so that nothing but the byte after a
//!    body is taken for the beginning of the next head.
//! 3. What follows a request for an upgrade is held back until the response decides which protocol it belongs to.
//! 4. In place of a refused head hyper gets a placeholder request, to which the service responds with the refusal.
//!    Nothing after it is read.
//!
//! It also enforces the header timeout and the idle timeout, and lingers after the last response.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

mod linger;

use linger::Linger;

use super::state::ConnectionState;
use crate::budget::Charge;
use crate::connection::settings::{ReadLimits, Times};
use crate::gateway::UnreadHead;
use crate::request::{BodyTracker, Framing, Head, HeadScanner, RequestFault};

const PLACEHOLDER_HEAD: &[u8] = b"GET /\\ HTTP/1.1\r\n\r\n";
/// A response to HEAD has no body.
const PLACEHOLDER_HEAD_OF_HEAD: &[u8] = b"HEAD /\\ HTTP/1.1\r\n\r\n";

/// How many bytes after an upgrade request are held back until the response.
const MAX_EARLY_BYTES: usize = 64 * 1024;

/// A client's stream. Reading from it yields only validated HTTP/1.
pub(super) struct StrictHttp1<S> {
    stream: S,
    state: Arc<ConnectionState>,
    limits: ReadLimits,
    /// The header timeout runs from the first byte of a head to its last; for the first head, from the beginning of
    /// the connection. The idle timeout runs from the end of a response to the first byte of the next head.
    times: Times,
    stage: Stage,
    scanner: HeadScanner,
    /// Bytes that were read and not passed on yet.
    pending: BytesMut,
    /// The capacity of `pending`, charged to the connection's account.
    pending_charge: Charge,
    /// How many bytes of `pending` are validated. They are passed on first.
    validated: usize,
    /// When the current head began.
    head_began: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    linger: Option<Linger>,
}

#[derive(Debug)]
enum Stage {
    /// The next bytes are a head.
    Head,
    /// The next bytes are a body, followed by the given stage.
    Body(BodyTracker, After),
    /// The last request asked for an upgrade: the next bytes are held back until its response.
    Undecided,
    /// The framing of the body is invalid.
    Broken(&'static str),
    /// A head was refused: nothing more is read.
    Refused,
}

/// The stage after a body.
#[derive(Clone, Copy, Debug)]
enum After {
    Head,
    Undecided,
}

impl<S> StrictHttp1<S> {
    /// Wraps the stream of a connection from which `read` was already read. Starts the timeout of the first head.
    pub(super) fn new(
        stream: S,
        state: Arc<ConnectionState>,
        limits: ReadLimits,
        times: Times,
        read: BytesMut,
    ) -> Self {
        Self {
            stream,
            pending_charge: state.account().charge(read.capacity()),
            state,
            limits,
            times,
            stage: Stage::Head,
            scanner: HeadScanner::new(limits.head),
            pending: read,
            validated: 0,
            head_began: Some(Instant::now()),
            timer: None,
            linger: None,
        }
    }

    /// Validates `bytes`, which begin with the current head. Returns how many of them may be passed on; `None` if
    /// the head is not complete or was refused.
    fn check_head(&mut self, bytes: &[u8]) -> Option<usize> {
        match self.scanner.scan(bytes) {
            Ok(Some(head)) => Some(self.pass_head(head, bytes)),
            Ok(None) => {
                if self.scanner.has_begun() && self.head_began.is_none() {
                    self.head_began = Some(Instant::now());
                }
                None
            }
            Err(fault) => {
                self.refuse(fault, bytes);
                None
            }
        }
    }

    fn pass_head(&mut self, head: Head, bytes: &[u8]) -> usize {
        self.state.request_begins();
        self.head_began = None;
        self.scanner = HeadScanner::new(self.limits.head);
        let after = if head.upgrades { After::Undecided } else { After::Head };
        if head.framing == Framing::None {
            self.stage = after.into();
            return head.len;
        }
        self.stage = Stage::Body(BodyTracker::new(head.framing), after);
        head.len + self.follow_body(bytes.get(head.len..).unwrap_or_default())
    }

    /// Returns how many of the bytes belong to the body.
    fn follow_body(&mut self, bytes: &[u8]) -> usize {
        let Stage::Body(tracker, after) = &mut self.stage else { return 0 };
        match tracker.follow(bytes) {
            Ok(taken) => {
                if tracker.is_done() {
                    self.stage = (*after).into();
                }
                taken
            }
            Err(fault) => {
                self.stage = Stage::Broken(fault.why);
                fault.at
            }
        }
    }

    /// Replaces the current head by the placeholder.
    fn refuse(&mut self, fault: RequestFault, bytes: &[u8]) {
        let method = self.scanner.method_of(bytes);
        let placeholder = if method == b"HEAD" { PLACEHOLDER_HEAD_OF_HEAD } else { PLACEHOLDER_HEAD };
        self.state.refuse(UnreadHead::new(fault, method, self.scanner.target_of(bytes)));
        self.state.request_begins();
        self.pending = BytesMut::from(placeholder);
        self.validated = self.pending.len();
        self.stage = Stage::Refused;
    }

    /// Validates pending bytes.
    fn check_pending(&mut self) {
        // Taken out because validating them borrows the rest of `self`.
        let pending = std::mem::take(&mut self.pending);
        let validated = match self.stage {
            Stage::Head => self.check_head(&pending).unwrap_or(0),
            Stage::Body(..) => self.follow_body(&pending),
            Stage::Undecided | Stage::Broken(_) | Stage::Refused => 0,
        };
        // Bytes after a refused head are discarded.
        if !matches!(self.stage, Stage::Refused) {
            self.pending = pending;
            self.validated = validated;
        }
    }

    fn pass_validated(&mut self, buffer: &mut ReadBuf<'_>) {
        let len = self.validated.min(buffer.remaining()).min(self.pending.len());
        buffer.put_slice(self.pending.get(..len).unwrap_or_default());
        self.pending.advance(len);
        self.validated -= len;
        if self.pending.is_empty() {
            // An idle connection keeps no buffer.
            self.pending = BytesMut::new();
        }
    }

    /// When the current timeout ends, as far as it is known now.
    fn deadline(&self) -> Instant {
        let idle_timeout = self.times.idle(self.state.account());
        match (self.head_began, self.state.idle_since()) {
            (Some(began), _) => began + self.times.head,
            (None, Some(idle)) => idle + idle_timeout,
            (None, None) => Instant::now() + idle_timeout,
        }
    }

    /// Ready when the client's time is over. The timer may go off too early, and is then reset, but never too late.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline();
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

impl From<After> for Stage {
    fn from(after: After) -> Self {
        match after {
            After::Head => Self::Head,
            After::Undecided => Self::Undecided,
        }
    }
}

/// The result of one read.
enum Step {
    /// The buffer has validated bytes, or the stream has ended.
    Done,
    /// More has to be read or validated first.
    Again,
}

impl<S: AsyncRead + Unpin> StrictHttp1<S> {
    /// Reads a head directly into hyper's buffer. Most heads come in one piece and are not copied.
    fn poll_head(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<Step>> {
        let before = buffer.filled().len();
        if Pin::new(&mut self.stream).poll_read(cx, buffer)?.is_pending() {
            ready!(self.poll_deadline(cx));
            if !self.scanner.has_begun() {
                // No head has begun: report the end of the stream, as if the client had closed it.
                return Poll::Ready(Ok(Step::Done));
            }
            let head = std::mem::take(&mut self.pending);
            self.refuse(RequestFault::TimedOut, &head);
            return Poll::Ready(Ok(Step::Again));
        }
        let read = buffer.filled().get(before..).unwrap_or_default();
        if read.is_empty() {
            return Poll::Ready(Ok(Step::Done));
        }
        let passed = if self.pending.is_empty() { self.check_head(read) } else { None };
        let rest = read.get(passed.unwrap_or(0)..).unwrap_or_default();
        if !matches!(self.stage, Stage::Refused) {
            self.pending.extend_from_slice(rest);
        }
        buffer.set_filled(before + passed.unwrap_or(0));
        Poll::Ready(Ok(if passed.is_some() { Step::Done } else { Step::Again }))
    }

    /// Reads a body directly into hyper's buffer.
    fn poll_body(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<Step>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        let taken = self.follow_body(read);
        if matches!(self.stage, Stage::Broken(_)) {
            buffer.set_filled(before + taken);
            return Poll::Ready(Ok(if taken == 0 { Step::Again } else { Step::Done }));
        }
        self.pending.extend_from_slice(read.get(taken..).unwrap_or_default());
        buffer.set_filled(before + taken);
        Poll::Ready(Ok(Step::Done))
    }

    /// Holds back what arrives until the response decides which protocol it belongs to.
    fn poll_undecided(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<Step>> {
        self.state.set_waker(cx.waker());
        if self.state.idle_since().is_some() {
            self.stage = Stage::Head;
            return Poll::Ready(Ok(Step::Again));
        }
        if self.pending.len() >= MAX_EARLY_BYTES {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        if read.is_empty() {
            return Poll::Ready(Ok(Step::Done));
        }
        self.pending.extend_from_slice(read);
        buffer.set_filled(before);
        Poll::Ready(Ok(Step::Again))
    }

    fn poll_validated(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.validated > 0 {
                self.pass_validated(buffer);
                return Poll::Ready(Ok(()));
            }
            let step = match self.stage {
                Stage::Head if self.scanner.seen() < self.pending.len() => {
                    self.check_pending();
                    Step::Again
                }
                Stage::Body(..) if !self.pending.is_empty() => {
                    self.check_pending();
                    Step::Again
                }
                Stage::Head => ready!(self.poll_head(cx, buffer))?,
                Stage::Body(..) => ready!(self.poll_body(cx, buffer))?,
                Stage::Undecided => ready!(self.poll_undecided(cx, buffer))?,
                Stage::Broken(why) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
                }
                // The connection ends with the response to the placeholder.
                Stage::Refused => return Poll::Pending,
            };
            if matches!(step, Step::Done) {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StrictHttp1<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.state.is_tunnel() {
            let read = this.poll_validated(cx, buffer);
            this.pending_charge.set(this.pending.capacity());
            return read;
        }
        if !this.pending.is_empty() {
            this.validated = this.pending.len();
            this.pass_validated(buffer);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for StrictHttp1<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    /// Ends our direction, then lingers so that the client can read the last response.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        }
        if this.state.is_tunnel() {
            return Poll::Ready(Ok(()));
        }
        // Between two requests nothing more is expected from the client, so there is nothing to wait for.
        let patient = !matches!(this.stage, Stage::Head) || !this.pending.is_empty();
        let (discard, account) = (this.limits.discard, this.state.account());
        this.linger
            .get_or_insert_with(|| Linger::new(discard, account))
            .poll(&mut this.stream, patient, cx)
            .map(Ok)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests;
