//! The audit trail: one line of JSON on standard output for each request. It never contains a token.
//!
//! Requests never wait for standard output. Lines are collected in a bounded buffer, which one thread writes. If the
//! reader is too slow, lines are dropped and counted (`metagate_audit_dropped_total`).

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::metrics::Metrics;

/// How much may be buffered.
const MAX_BUFFERED_BYTES: usize = 8 * 1024 * 1024;
/// How long lines are collected before a write: at most 50 wake-ups a second, and none if there is nothing to write.
const LINGER: Duration = Duration::from_millis(20);

/// The record of one request, written when it has ended.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "docs/operations.md lists the fields")]
pub struct AuditRecord<'r> {
    #[serde(serialize_with = "rfc3339")]
    pub time: SystemTime,
    pub event: &'static str,
    pub request_id: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<&'r str>,
    /// Only for a request that did not arrive on the proxy's listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<&'static str>,
    pub decision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<&'r str>,
    /// Absent if the client disconnected before the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Whether the whole response was sent.
    pub complete: bool,
    pub method: &'r str,
    pub path: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<&'r str>,
    /// The unverified subject of a refused token. Do not rely on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed_subject: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_class: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kid: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_fingerprint: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<&'r str>,
    /// Absent if the client has none, on a Unix socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_address: Option<std::net::IpAddr>,
    pub duration_ms: f64,
    pub request_bytes: u64,
    pub response_bytes: u64,
}

/// Takes audit records. A clone is another handle to the same trail.
#[derive(Clone, Debug)]
pub struct AuditTrail(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    buffer: Mutex<Buffer>,
    wake: Condvar,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Buffer {
    lines: Vec<u8>,
    closed: bool,
}

/// Owns the writing thread. Dropping it writes what is left and joins the thread.
#[derive(Debug)]
pub struct AuditWriter {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

impl AuditTrail {
    /// Starts the thread that writes the trail to `out`.
    pub fn start(
        out: impl std::io::Write + Send + 'static,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<(Self, AuditWriter)> {
        let shared = Arc::new(Shared { buffer: Mutex::default(), wake: Condvar::new(), metrics });
        let writing = shared.clone();
        let thread = thread::Builder::new().name("audit".into()).spawn(move || writing.write_all_to(out))?;
        let writer = AuditWriter { shared: shared.clone(), thread: Some(thread) };
        Ok((Self(shared), writer))
    }

    /// Adds one record.
    pub fn add(&self, record: &AuditRecord<'_>) {
        let mut buffer = self.0.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        let before = buffer.lines.len();
        if before > MAX_BUFFERED_BYTES || serde_json::to_writer(&mut buffer.lines, record).is_err() {
            buffer.lines.truncate(before);
            self.0.metrics.audit_dropped.inc();
            return;
        }
        buffer.lines.push(b'\n');
        if before == 0 {
            self.0.wake.notify_one();
        }
    }
}

impl Shared {
    fn write_all_to(&self, mut out: impl std::io::Write) {
        let mut writing = Vec::new();
        loop {
            let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
            while buffer.lines.is_empty() && !buffer.closed {
                buffer = self.wake.wait(buffer).unwrap_or_else(PoisonError::into_inner);
            }
            if !buffer.closed {
                drop(buffer);
                thread::sleep(LINGER);
                buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::swap(&mut buffer.lines, &mut writing);
            let closed = buffer.closed;
            drop(buffer);
            if out.write_all(&writing).and_then(|()| out.flush()).is_err() {
                self.metrics
                    .audit_dropped
                    .inc_by(writing.iter().filter(|byte| **byte == b'\n').count() as u64);
            }
            writing.clear();
            // Release the memory of a burst.
            writing.shrink_to(256 * 1024);
            if closed {
                return;
            }
        }
    }
}

impl Drop for AuditWriter {
    fn drop(&mut self) {
        self.shared.buffer.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // The panic hook has reported a panic of the writer.
            let _ = thread.join();
        }
    }
}

fn rfc3339<S: serde::Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_millis(*time))
}

#[cfg(test)]
mod tests;
