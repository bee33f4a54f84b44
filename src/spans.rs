//! Spans of requests, sent to a collector by OTLP over HTTP.
//!
//! 1. [`Tracer::begin`] takes part in the trace of a request: it continues that of a valid `traceparent`, or begins one,
//!    and decides whether it is recorded.
//! 2. If the request is forwarded, [`RequestTrace::call_backend`] begins a second span, whose ID the backend gets.
//! 3. The end of the request adds one [`RequestRecord`] to the queue ([`SpanQueue`]). That never waits: a record for which
//!    there is no place is dropped and counted.
//! 4. A task (`export`) collects records, makes spans of them by the semantic conventions (`conventions`), and sends them.
//!
//! The context of a trace is data that any client can make up. It decides only which trace the spans belong to and, as far
//! as the sampler is told to, whether they are recorded.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderValue, Uri, Version};
use tokio::sync::Notify;
use tokio::sync::mpsc::{self, error::TrySendError};
use url::Url;

use crate::config::{Sampler, SpanExport};
use crate::message::Fields;
use crate::message::field_name::{HOST, TRACEPARENT, TRACESTATE};
use crate::metrics::Metrics;
use crate::random;
use crate::sync::step;
use crate::trace_context::{SpanId, TraceContext, TraceId};

mod conventions;
mod export;
mod otlp;
mod sampling;
mod sending;

pub use export::{SpanExporter, start};
pub use sending::StartError;

use sampling::is_sampled;

/// The longest `tracestate` that a span keeps (W3C Trace Context section 3.3.1.5).
const MAX_STATE_BYTES: usize = 512;
/// The longest authority, and the longest user agent, that a span keeps.
const MAX_TEXT_BYTES: usize = 256;
/// The longest path of the request to the backend.
const MAX_PATH_BYTES: usize = 2048;
/// The longest method that is not a standard one.
const MAX_METHOD_BYTES: usize = 32;
/// The memory of one record at most: two paths of 2 KiB, and the rest.
const MAX_RECORD_BYTES: u64 = 6 * 1024;
/// The memory of one request in a batch while that is encoded, at most: its record, two spans with about 30 attributes (two
/// records), their encoded form and its compressed one (a record each).
const MAX_ENCODING_BYTES: u64 = 5 * MAX_RECORD_BYTES;

/// Begins the traces of requests under one configuration.
#[derive(Debug)]
pub struct Tracer {
    sampler: Sampler,
    queue: SpanQueue,
    backend: Arc<BackendUrl>,
}

/// What the spans of requests to the backend say about it.
#[derive(Debug)]
struct BackendUrl {
    /// The URL, without a slash at its end.
    url: Box<str>,
    host: Box<str>,
    port: Option<u16>,
}

impl Tracer {
    /// Requests are forwarded to this URL.
    pub fn new(sampler: Sampler, queue: SpanQueue, backend: &Url) -> Self {
        let host = backend.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let backend = BackendUrl {
            url: backend.as_str().trim_end_matches('/').into(),
            host: host.into(),
            port: backend.port_or_known_default(),
        };
        Self { sampler, queue, backend: Arc::new(backend) }
    }

    /// Takes part in the trace of a request with this context and these fields.
    pub fn begin(&self, incoming: Option<TraceContext>, target: &Uri, headers: &Fields) -> RequestTrace {
        let trace_id = incoming.map_or_else(new_trace_id, |context| context.trace_id);
        let sampled = is_sampled(self.sampler, incoming, &trace_id);
        let others = incoming.map_or(0, |context| context.flags & !TraceContext::SAMPLED);
        let flags = others | if sampled { TraceContext::SAMPLED } else { 0 };
        RequestTrace {
            context: TraceContext { trace_id, parent_id: new_span_id(), flags },
            parent: incoming.map(|context| context.parent_id),
            call: None,
            recording: sampled.then(|| Recording::of(incoming.is_some(), target, headers)),
        }
    }

    /// Adds the spans of a request that has ended.
    pub fn add(&self, record: RequestRecord) {
        self.queue.add(record);
    }
}

/// The part of one request in a trace.
#[derive(Debug)]
pub struct RequestTrace {
    /// With the ID of our own span for the request.
    context: TraceContext,
    /// The span that sent it.
    parent: Option<SpanId>,
    call: Option<BackendCall>,
    /// What the spans will say; `None` if they are not recorded.
    recording: Option<Recording>,
}

/// What is known of a request when it arrives, used only for spans. It owns its texts: a stream may last for hours, and a
/// slice would keep the whole head in memory.
#[derive(Debug)]
struct Recording {
    state: Option<Box<str>>,
    authority: Option<Box<str>>,
    version: Option<Version>,
    tls: bool,
}

#[derive(Debug)]
struct BackendCall {
    id: SpanId,
    /// Where it goes, without a query; empty if spans are not recorded.
    path: Box<str>,
}

impl Recording {
    fn of(continues: bool, target: &Uri, headers: &Fields) -> Self {
        let authority = match target.authority() {
            Some(authority) => bounded_text(authority.as_str().as_bytes(), MAX_TEXT_BYTES),
            None => headers.get(HOST).and_then(|host| bounded_text(host.as_bytes(), MAX_TEXT_BYTES)),
        };
        Self { state: if continues { state(headers) } else { None }, authority, version: None, tls: false }
    }
}

impl RequestTrace {
    /// The trace.
    pub fn trace_id(&self) -> TraceId {
        self.context.trace_id
    }

    /// Sets how the request arrived.
    pub fn set_protocol(&mut self, version: Version, tls: bool) {
        if let Some(recording) = &mut self.recording {
            (recording.version, recording.tls) = (Some(version), tls);
        }
    }

    /// Begins the span of the request to the backend, and sets its context in the fields.
    pub fn call_backend(&mut self, headers: &mut Fields, path: &str) {
        let id = new_span_id();
        let traceparent: HeaderValue = TraceContext { parent_id: id, ..self.context }.to_header();
        headers.insert(TRACEPARENT, traceparent);
        if self.parent.is_none() {
            // It belongs to a context that was not valid (section 3.3.1.1).
            headers.remove(TRACESTATE);
        }
        let path = if self.recording.is_some() { shortened(path) } else { "" };
        self.call = Some(BackendCall { id, path: path.into() });
    }

    /// The spans of the request, which has ended; `None` if they are not recorded.
    pub fn finish(self, tracer: &Tracer, ended: EndedRequest<'_>) -> Option<RequestRecord> {
        let recording = self.recording?;
        let method = conventions::known_method(ended.method);
        let other_method = ended.method.get(..ended.method.floor_char_boundary(MAX_METHOD_BYTES));
        Some(RequestRecord {
            trace_id: self.context.trace_id,
            id: self.context.parent_id,
            parent: self.parent,
            flags: self.context.flags,
            state: recording.state,
            began: ended.began,
            duration: ended.duration,
            method,
            other_method: other_method.filter(|_| method.is_none()).map(Into::into),
            path: ended.path.into(),
            authority: recording.authority,
            tls: recording.tls,
            version: recording.version,
            client: ended.client,
            user_agent: ended.user_agent.and_then(|text| bounded_text(&text, MAX_TEXT_BYTES)),
            request_id: ended.request_id.into(),
            status: ended.status,
            decision: ended.decision,
            reason: ended.reason,
            issuer: ended.issuer.map(Into::into),
            rule: ended.rule.map(Into::into),
            via: ended.via,
            complete: ended.complete,
            call: self.call.zip(ended.call).map(|(BackendCall { id, path }, times)| CallRecord {
                id,
                path,
                times,
                backend: tracer.backend.clone(),
            }),
        })
    }
}

/// What is known of a request when it has ended.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields of the audit record")]
pub struct EndedRequest<'r> {
    pub began: SystemTime,
    pub duration: Duration,
    pub method: &'r str,
    /// Without a query, and of bounded length.
    pub path: &'r str,
    pub client: Option<IpAddr>,
    pub user_agent: Option<Bytes>,
    pub request_id: &'r str,
    pub status: Option<u16>,
    pub decision: &'static str,
    pub reason: Option<&'static str>,
    pub issuer: Option<&'r str>,
    pub rule: Option<&'r str>,
    pub via: Option<&'static str>,
    pub complete: bool,
    /// Of the request to the backend.
    pub call: Option<CallTimes>,
}

/// When the backend was asked and how it answered.
#[derive(Clone, Copy, Debug)]
pub struct CallTimes {
    /// From the head of the client's request.
    pub after: Duration,
    /// To the head of the response, or to the failure.
    pub duration: Duration,
    /// The status of the backend's response.
    pub status: Option<u16>,
    /// The reason why there is no such response.
    pub failure: Option<&'static str>,
}

/// One request, for its spans. Its memory is bounded: nothing in it is a part of a larger buffer.
#[derive(Debug)]
pub struct RequestRecord {
    trace_id: TraceId,
    id: SpanId,
    parent: Option<SpanId>,
    flags: u8,
    state: Option<Box<str>>,
    began: SystemTime,
    duration: Duration,
    method: Option<&'static str>,
    other_method: Option<Box<str>>,
    path: Box<str>,
    authority: Option<Box<str>>,
    tls: bool,
    version: Option<Version>,
    client: Option<IpAddr>,
    user_agent: Option<Box<str>>,
    request_id: Box<str>,
    status: Option<u16>,
    decision: &'static str,
    reason: Option<&'static str>,
    issuer: Option<Box<str>>,
    rule: Option<Box<str>>,
    via: Option<&'static str>,
    complete: bool,
    call: Option<CallRecord>,
}

#[derive(Debug)]
struct CallRecord {
    id: SpanId,
    path: Box<str>,
    times: CallTimes,
    backend: Arc<BackendUrl>,
}

impl RequestRecord {
    /// How many spans it has.
    fn spans(&self) -> u64 {
        if self.call.is_some() { 2 } else { 1 }
    }
}

/// Takes records for the exporter. A clone is another handle to the same queue.
#[derive(Clone, Debug)]
pub struct SpanQueue {
    records: mpsc::Sender<RequestRecord>,
    /// Wakes the exporter when there is enough for a batch.
    enough: Arc<Notify>,
    batch: usize,
    metrics: Arc<Metrics>,
}

impl SpanQueue {
    fn add(&self, record: RequestRecord) {
        step();
        match self.records.try_send(record) {
            Ok(()) => {
                step();
                if self.records.max_capacity() - self.records.capacity() >= self.batch {
                    self.enough.notify_one();
                }
            }
            Err(TrySendError::Full(record)) => self.metrics.spans("queue_full", record.spans()),
            Err(TrySendError::Closed(record)) => self.metrics.spans("failed", record.spans()),
        }
    }
}

fn shortened(path: &str) -> &str {
    path.get(..path.floor_char_boundary(MAX_PATH_BYTES)).unwrap_or_default()
}

/// The memory that records take at most: a full queue, and one batch that is being encoded.
pub fn max_bytes(export: &SpanExport) -> u64 {
    let queue = (export.max_queue as u64 / 2).saturating_mul(MAX_RECORD_BYTES);
    queue.saturating_add((export.max_batch as u64 / 2).saturating_mul(MAX_ENCODING_BYTES))
}

/// A copy of a text; `None` if it is longer than `most`, or not printable ASCII.
fn bounded_text(bytes: &[u8], most: usize) -> Option<Box<str>> {
    let is_kept = bytes.len() <= most && bytes.iter().all(|byte| (b' '..=b'~').contains(byte));
    str::from_utf8(bytes).ok().filter(|_| is_kept).map(Into::into)
}

/// The `tracestate`, whose fields are one list (section 3.3.1.1); `None` if there is none, or it is too long.
fn state(headers: &Fields) -> Option<Box<str>> {
    let values = || headers.get_all(TRACESTATE).map(|value| value.as_bytes());
    let mut all = values();
    if let (Some(only), None) = (all.next(), all.next()) {
        return bounded_text(only, MAX_STATE_BYTES).filter(|state| !state.is_empty());
    }
    // Each value, and the comma after it. The sum comes first, so that no long list is put together.
    let bytes: usize = values().map(|value| value.len() + 1).sum();
    if bytes == 0 || bytes - 1 > MAX_STATE_BYTES {
        return None;
    }
    bounded_text(&values().collect::<Vec<_>>().join(&b","[..]), MAX_STATE_BYTES)
}

fn new_trace_id() -> TraceId {
    let bits = u128::from(random::bits()) << 64 | u128::from(random::bits());
    bits.max(1).to_be_bytes()
}

fn new_span_id() -> SpanId {
    random::bits().max(1).to_be_bytes()
}

#[cfg(test)]
mod tests;
