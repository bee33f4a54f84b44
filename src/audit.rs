//! The audit trail: one line of JSON for each request, on standard output or in a file. It never contains a token.
//!
//! Requests never wait for the output. Workers collect their lines in separate buffers (`buffer`), and one thread
//! writes what all of them collected, in the order in which the requests ended. If the reader is too slow, lines
//! are dropped and counted (`metagate_audit_dropped_total`).

use std::io::Write;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::claims::VerifiedToken;
use crate::metrics::Metrics;
use crate::signals::SignalSet;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::thread::{self, JoinHandle, Thread};
use crate::sync::{Mutex, MutexGuard};

mod buffer;
mod file;
mod line;
#[cfg(all(test, shuttle))]
mod models;
mod terminal;

pub use file::{AuditFile, Reopen};
pub use terminal::TerminalLines;

use buffer::{Buffers, Taken};

/// When the process ends, the rest is given up if the output needs longer than this for one piece of about 64 KiB.
const SHUTDOWN_STALL_TIMEOUT: Duration = Duration::from_secs(2);
/// A write that takes longer is shown to operators.
const STALLED: Duration = Duration::from_secs(2);
/// How long lines are collected before a write: at most 50 wake-ups a second, and none if there is nothing to write.
const LINGER: Duration = Duration::from_millis(20);

/// The record of one request, written when it has ended.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "docs/reference.md lists the fields")]
pub struct AuditRecord<'r> {
    pub time: SystemTime,
    pub event: &'static str,
    pub request_id: &'r str,
    pub trace_id: Option<&'r str>,
    /// Only for a request that did not arrive on the proxy's listener.
    pub via: Option<&'static str>,
    pub decision: &'static str,
    pub reason: Option<&'static str>,
    pub detail: Option<&'r str>,
    pub rule: Option<&'r str>,
    /// Absent if the client disconnected before the response.
    pub status: Option<u16>,
    /// Whether the whole response was sent.
    pub complete: bool,
    /// Whether its route needs no token.
    pub public: bool,
    pub method: &'r str,
    pub path: &'r str,
    pub caller: AuditedCaller<'r>,
    /// Only if the token endpoint issued a token.
    pub issued_token_fingerprint: Option<&'r str>,
    pub client: Option<&'r str>,
    pub signals: SignalSet,
    /// Absent if the client has none, on a Unix socket.
    pub source_address: Option<IpAddr>,
    pub duration: Duration,
    /// From the decision to the head of the backend's response, or to its failure.
    pub upstream: Option<Duration>,
    pub request_bytes: u64,
    pub response_bytes: u64,
}

/// The caller in a record.
#[derive(Clone, Copy, Debug)]
pub enum AuditedCaller<'r> {
    /// The caller has a verified token. Its members are the same in every record, so they are written once and copied.
    Token(&'r VerifiedToken),
    /// There is no verified token.
    Unverified(UnverifiedCaller<'r>),
}

/// A caller without a verified token.
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "docs/reference.md lists the fields")]
pub struct UnverifiedCaller<'r> {
    pub principal: Option<&'r str>,
    /// The unverified subject of a refused token. Do not rely on it.
    pub claimed_subject: Option<&'r str>,
    pub issuer: Option<&'r str>,
    pub kid: Option<&'r str>,
    pub token_fingerprint: Option<&'r str>,
}

/// Takes audit records. A clone is another handle to the same trail.
#[derive(Clone, Debug)]
pub struct AuditTrail {
    shared: Arc<Shared>,
    writer: Thread,
}

#[derive(Debug)]
struct Shared {
    buffers: Buffers,
    /// Whether the writing thread was woken for lines that it has not taken yet.
    is_woken: AtomicBool,
    is_closed: AtomicBool,
    /// How many pieces were written, or failed to be.
    writes: AtomicU64,
    /// How many lines the writing thread has taken and not written yet.
    taken: AtomicU64,
    output: Mutex<Output>,
    metrics: Arc<Metrics>,
}

/// How the output takes what is written.
#[derive(Debug, Default)]
struct Output {
    /// Why the last write failed; `None` if it did not.
    failure: Option<String>,
    /// When the write began that is going on.
    writing_since: Option<Instant>,
}

/// Owns the writing thread. Dropping it writes what is left. It gives up once the output stalls
/// (`SHUTDOWN_STALL_TIMEOUT`), so that the process ends even if its standard output is not read.
#[derive(Debug)]
pub struct AuditWriter {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// Disconnected once the thread has ended.
    ended: Receiver<()>,
}

impl AuditTrail {
    /// Starts the thread that writes the trail to `out`.
    pub fn start(
        out: impl Write + Send + 'static,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<(Self, AuditWriter)> {
        let shared = Arc::new(Shared::new(metrics));
        let writing = shared.clone();
        let (ending, ended) = channel();
        let thread = thread::Builder::new().name("audit".into()).spawn(move || {
            let _ending: Sender<()> = ending;
            writing.write_all_to(out);
        })?;
        let trail = Self { shared: shared.clone(), writer: thread.thread().clone() };
        Ok((trail, AuditWriter { shared, thread: Some(thread), ended }))
    }

    /// Adds one record.
    pub fn add(&self, record: &AuditRecord<'_>) {
        let Shared { buffers, is_woken, metrics, .. } = &*self.shared;
        if !buffers.add(record) {
            metrics.audit_dropped.inc();
            return;
        }
        // The writer resets it before it locks the buffers. So if it has missed this line, the line's buffer was locked
        // after that, and the load returns false. Loaded first, because all workers share it.
        if !is_woken.load(Ordering::Acquire) && !is_woken.swap(true, Ordering::AcqRel) {
            self.writer.unpark();
        }
    }

    /// Why records cannot be written now: the last write failed, or one takes long.
    pub fn failure(&self, now: Instant) -> Option<String> {
        let output = self.shared.output();
        let since = output.writing_since.map(|since| now.saturating_duration_since(since));
        match since.filter(|since| *since >= STALLED) {
            Some(since) => Some(format!("the output has taken nothing for {} s", since.as_secs())),
            None => output.failure.clone(),
        }
    }

    /// Flushes the output, also if there is nothing to write: a file that was rotated is then opened again.
    pub fn flush(&self) {
        self.shared.is_woken.store(true, Ordering::Release);
        self.writer.unpark();
    }
}

/// A time in the format of the records: RFC 3339 with milliseconds, in UTC.
pub fn rfc3339(time: SystemTime) -> String {
    // RFC 3339 has no form for later years; earlier ones do not occur.
    const LAST: Duration = Duration::from_millis(253_402_300_799_999);
    let last = UNIX_EPOCH.checked_add(LAST).unwrap_or(UNIX_EPOCH);
    humantime::format_rfc3339_millis(time.clamp(UNIX_EPOCH, last)).to_string()
}

impl Shared {
    fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            buffers: Buffers::default(),
            is_woken: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            writes: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            output: Mutex::default(),
            metrics,
        }
    }

    fn write_all_to(&self, mut out: impl Write) {
        let mut taken = Taken::default();
        loop {
            while !self.is_woken.load(Ordering::Acquire) && !self.is_closed() {
                thread::park();
            }
            if !self.is_closed() {
                thread::sleep(LINGER);
            }
            // Before taking, so that everything that was added before the trail was closed is written.
            let is_closed = self.is_closed();
            self.is_woken.store(false, Ordering::Release);
            self.buffers.take(&mut taken);
            self.taken.store(taken.lines(), Ordering::Relaxed);
            taken.write(|lines, count| self.write(&mut out, lines, count));
            // Each write has reported its own failure.
            let _ = out.flush();
            taken.clear();
            if is_closed {
                return;
            }
        }
    }

    fn write(&self, out: &mut impl Write, lines: &[u8], count: u64) {
        self.output().writing_since = Some(Instant::now());
        let failure = out.write_all(lines).and_then(|()| out.flush()).err().map(|error| error.to_string());
        if failure.is_some() {
            self.metrics.audit_dropped.inc_by(count);
        }
        self.settle(failure);
        self.taken.fetch_sub(count, Ordering::Relaxed);
        self.writes.fetch_add(1, Ordering::Relaxed);
    }

    /// Keeps why the last write failed, and logs each change.
    fn settle(&self, failure: Option<String>) {
        let last =
            std::mem::replace(&mut *self.output(), Output { failure: failure.clone(), writing_since: None });
        match (last.failure, failure) {
            (None, Some(error)) => tracing::error!(error, "audit records cannot be written and are lost"),
            (Some(_), None) => {
                let lost = self.metrics.audit_dropped.get();
                tracing::warn!(lost_since_start = lost, "audit records are written again");
            }
            _ => {}
        }
    }

    fn output(&self) -> MutexGuard<'_, Output> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }
}

impl Drop for AuditWriter {
    fn drop(&mut self) {
        self.close();
        let has_ended = self.wait_while_it_writes(|| self.ends_within(SHUTDOWN_STALL_TIMEOUT));
        let Some(thread) = self.thread.take() else { return };
        if has_ended {
            // The panic hook has reported a panic of the writer.
            let _ = thread.join();
        } else {
            let lost = self.shared.taken.load(Ordering::Relaxed) + self.shared.buffers.lines();
            tracing::error!(
                lost,
                "the last audit records are lost: their output takes nothing, and the process ends"
            );
        }
    }
}

impl AuditWriter {
    /// Lets the thread write what is left, and end.
    fn close(&self) {
        self.shared.is_closed.store(true, Ordering::Release);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// Calls `wait` until it says that the thread has ended, or until nothing was written meanwhile. Returns whether
    /// the thread has ended.
    fn wait_while_it_writes(&self, mut wait: impl FnMut() -> bool) -> bool {
        loop {
            let before = self.shared.writes.load(Ordering::Relaxed);
            if wait() {
                return true;
            }
            if self.shared.writes.load(Ordering::Relaxed) == before {
                return false;
            }
        }
    }

    fn ends_within(&self, time: Duration) -> bool {
        self.ended.recv_timeout(time) != Err(RecvTimeoutError::Timeout)
    }
}

#[cfg(test)]
mod tests;
