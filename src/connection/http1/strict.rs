//! Strict HTTP/1 validation in front of hyper.
//!
//! hyper is kinder to HTTP/1 than a proxy may be: what it forgives, a backend may read in another
//! way. So a head is held back until it is complete and [`HeadScanner`] has found it good; then it
//! goes on with its body, which [`BodyTracker`] follows where it lies, so that nothing else is ever
//! taken for the next head. In place of a head that is refused hyper gets a placeholder, which the
//! service answers in its turn; nothing that follows it is read.

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
/// The answer to HEAD has no body, whatever it says.
const PLACEHOLDER_HEAD_OF_HEAD: &[u8] = b"HEAD /\\ HTTP/1.1\r\n\r\n";

/// How much is kept of what follows a request for another protocol, until that is decided.
const MAX_EARLY_BYTES: usize = 64 * 1024;

/// A client's stream.
pub(super) struct StrictHttp1<S> {
    stream: S,
    state: Arc<ConnectionState>,
    limits: ReadLimits,
    /// A head has the head's time from its first byte to its last; the first one from the beginning.
    /// From the end of a response to the next head's first byte it is the idle time.
    times: Times,
    stage: Stage,
    scanner: HeadScanner,
    /// What was read and not handed on.
    held: BytesMut,
    /// The room of it, in the connection's account.
    held_charge: Charge,
    /// How much of it is judged: it goes on before anything else is done.
    cleared: usize,
    /// When the head that is being read was begun.
    begun: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    linger: Option<Linger>,
}

#[derive(Debug)]
enum Stage {
    /// What comes is a head.
    Head,
    /// What comes is a body, and after it a head, or what waits for the answer.
    Body(BodyTracker, After),
    /// The request before asks for another protocol: what comes is judged when it is answered.
    Undecided,
    /// The body broke the rules.
    Broken(&'static str),
    /// Nothing is read any more.
    Refused,
}

#[derive(Clone, Copy, Debug)]
enum After {
    Head,
    Undecided,
}

impl<S> StrictHttp1<S> {
    /// The stream of a connection from which `read` was read already. The first head's time runs
    /// from here.
    pub(super) fn new(
        stream: S,
        state: Arc<ConnectionState>,
        limits: ReadLimits,
        times: Times,
        read: BytesMut,
    ) -> Self {
        Self {
            stream,
            held_charge: state.account().charge(read.capacity()),
            state,
            limits,
            times,
            stage: Stage::Head,
            scanner: HeadScanner::new(limits.head),
            held: read,
            cleared: 0,
            begun: Some(Instant::now()),
            timer: None,
            linger: None,
        }
    }

    /// Judges `bytes`, which begin with the head that is being read. Says how many of them may
    /// go on now; `None` while the head is not complete.
    fn check_head(&mut self, bytes: &[u8]) -> Option<usize> {
        match self.scanner.scan(bytes) {
            Ok(Some(head)) => Some(self.pass_head(head, bytes)),
            Ok(None) => {
                if self.scanner.has_begun() && self.begun.is_none() {
                    self.begun = Some(Instant::now());
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
        self.state.head_is_read();
        self.begun = None;
        self.scanner = HeadScanner::new(self.limits.head);
        let after = if head.upgrades { After::Undecided } else { After::Head };
        if head.framing == Framing::None {
            self.stage = after.into();
            return head.len;
        }
        self.stage = Stage::Body(BodyTracker::new(head.framing), after);
        head.len + self.follow_body(bytes.get(head.len..).unwrap_or_default())
    }

    /// How many of the bytes belong to the body.
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

    /// Puts the placeholder in the place of the head that is being read.
    fn refuse(&mut self, fault: RequestFault, bytes: &[u8]) {
        let method = self.scanner.method_of(bytes);
        let placeholder = if method == b"HEAD" { PLACEHOLDER_HEAD_OF_HEAD } else { PLACEHOLDER_HEAD };
        self.state.refuse(UnreadHead::new(fault, method, self.scanner.target_of(bytes)));
        self.state.head_is_read();
        self.held = BytesMut::from(placeholder);
        self.cleared = self.held.len();
        self.stage = Stage::Refused;
    }

    /// What was held back and not looked at.
    fn check_held(&mut self) {
        // Taken out, so that it can be read while the rest of this is changed.
        let held = std::mem::take(&mut self.held);
        let cleared = match self.stage {
            Stage::Head => self.check_head(&held).unwrap_or(0),
            Stage::Body(..) => self.follow_body(&held),
            Stage::Undecided | Stage::Broken(_) | Stage::Refused => 0,
        };
        // What follows a refused head is thrown away.
        if !matches!(self.stage, Stage::Refused) {
            self.held = held;
            self.cleared = cleared;
        }
    }

    fn give_cleared(&mut self, buffer: &mut ReadBuf<'_>) {
        let len = self.cleared.min(buffer.remaining()).min(self.held.len());
        buffer.put_slice(self.held.get(..len).unwrap_or_default());
        self.held.advance(len);
        self.cleared -= len;
        if self.held.is_empty() {
            // A connection that waits keeps no buffer.
            self.held = BytesMut::new();
        }
    }

    /// When the client's time is over, as far as it is known now.
    fn deadline(&self) -> Instant {
        let idle_time = self.times.idle(self.state.account());
        match (self.begun, self.state.idle_since()) {
            (Some(begun), _) => begun + self.times.head,
            (None, Some(idle)) => idle + idle_time,
            (None, None) => Instant::now() + idle_time,
        }
    }

    /// Whether the client's time is over. The timer may go off early, never late.
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

/// What came of one read.
enum Step {
    /// The buffer has what goes on, or this is the end.
    Done,
    /// There is more to be judged first.
    Again,
}

impl<S: AsyncRead + Unpin> StrictHttp1<S> {
    /// Reads a head, straight into hyper's buffer: most come in one piece and stay there.
    fn poll_head(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<Step>> {
        let before = buffer.filled().len();
        if Pin::new(&mut self.stream).poll_read(cx, buffer)?.is_pending() {
            ready!(self.poll_deadline(cx));
            if !self.scanner.has_begun() {
                // The connection ends as if the client had closed it.
                return Poll::Ready(Ok(Step::Done));
            }
            let held = std::mem::take(&mut self.held);
            self.refuse(RequestFault::TimedOut, &held);
            return Poll::Ready(Ok(Step::Again));
        }
        let read = buffer.filled().get(before..).unwrap_or_default();
        if read.is_empty() {
            return Poll::Ready(Ok(Step::Done));
        }
        let passed = if self.held.is_empty() { self.check_head(read) } else { None };
        let kept = read.get(passed.unwrap_or(0)..).unwrap_or_default();
        if !matches!(self.stage, Stage::Refused) {
            self.held.extend_from_slice(kept);
        }
        buffer.set_filled(before + passed.unwrap_or(0));
        Poll::Ready(Ok(if passed.is_some() { Step::Done } else { Step::Again }))
    }

    /// Reads a body, straight into hyper's buffer.
    fn poll_body(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<Step>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        let taken = self.follow_body(read);
        if matches!(self.stage, Stage::Broken(_)) {
            buffer.set_filled(before + taken);
            return Poll::Ready(Ok(if taken == 0 { Step::Again } else { Step::Done }));
        }
        self.held.extend_from_slice(read.get(taken..).unwrap_or_default());
        buffer.set_filled(before + taken);
        Poll::Ready(Ok(Step::Done))
    }

    /// Keeps what comes until it is known what it is.
    fn poll_undecided(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<Step>> {
        self.state.wake_later(cx.waker());
        if self.state.idle_since().is_some() {
            self.stage = Stage::Head;
            return Poll::Ready(Ok(Step::Again));
        }
        if self.held.len() >= MAX_EARLY_BYTES {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        if read.is_empty() {
            return Poll::Ready(Ok(Step::Done));
        }
        self.held.extend_from_slice(read);
        buffer.set_filled(before);
        Poll::Ready(Ok(Step::Again))
    }

    fn poll_judged(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.cleared > 0 {
                self.give_cleared(buffer);
                return Poll::Ready(Ok(()));
            }
            let step = match self.stage {
                Stage::Head if self.scanner.seen() < self.held.len() => {
                    self.check_held();
                    Step::Again
                }
                Stage::Body(..) if !self.held.is_empty() => {
                    self.check_held();
                    Step::Again
                }
                Stage::Head => ready!(self.poll_head(cx, buffer))?,
                Stage::Body(..) => ready!(self.poll_body(cx, buffer))?,
                Stage::Undecided => ready!(self.poll_undecided(cx, buffer))?,
                Stage::Broken(why) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
                }
                // The answer to the placeholder is what goes on.
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
            let read = this.poll_judged(cx, buffer);
            this.held_charge.set(this.held.capacity());
            return read;
        }
        if !this.held.is_empty() {
            this.cleared = this.held.len();
            this.give_cleared(buffer);
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

    /// Ends our direction, then lets the client read what it was sent.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        }
        if this.state.is_tunnel() {
            return Poll::Ready(Ok(()));
        }
        // Between two requests the client owes us nothing.
        let patient = !matches!(this.stage, Stage::Head) || !this.held.is_empty();
        let discard = this.limits.discard;
        this.linger.get_or_insert_with(|| Linger::new(discard)).poll(&mut this.stream, patient, cx).map(Ok)
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
