//! The task that sends spans: in batches, again after a failure, and never faster than the collector takes them.
//!
//! While the collector cannot be reached, the queue keeps what fits into it. A batch is given up after
//! [`MAX_ATTEMPTS`] attempts, so that the spans of an hour ago do not keep those of now from being sent.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::conventions::{SCHEMA_URL, attribute, spans};
use super::otlp::{ExportTraceServiceRequest, Resource, ResourceSpans, Scope, ScopeSpans, Value};
use super::sending::{Collector, Destination, SendError, StartError, shown};
use super::{RequestRecord, SpanQueue};
use crate::config::{EnvironmentProxies, SpanExport};
use crate::metrics::Metrics;
use crate::random;
use crate::sync::task::{JoinHandle, spawn};

#[cfg(all(test, shuttle))]
mod models;

/// How often a batch is sent at most.
const MAX_ATTEMPTS: u32 = 6;
/// The pause after the first failure. It doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long the end of the process waits for the last spans.
const LAST_CHANCE: Duration = Duration::from_secs(5);

/// The running exporter, if there is one.
#[derive(Debug, Default)]
pub struct SpanExporter(Option<Running>);

#[derive(Debug)]
struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl SpanExporter {
    /// Sends what waits, for a few seconds at most, and ends. Call it when no request can end any more.
    pub async fn finish(self) {
        let Some(Running { stop, mut task }) = self.0 else { return };
        stop.send_replace(true);
        if timeout(LAST_CHANCE, &mut task).await.is_err() {
            task.abort();
            tracing::warn!("the last spans were not sent: the collector is too slow");
        }
    }
}

/// Starts to export spans, on the current runtime.
///
/// # Errors
/// A file of a certificate cannot be used.
pub fn start(
    export: &SpanExport,
    proxies: &EnvironmentProxies,
    metrics: &Arc<Metrics>,
) -> Result<(SpanQueue, SpanExporter), StartError> {
    let collector = Collector::new(export, proxies)?;
    // A request has two spans at most.
    let sizes = Sizes { queue: (export.max_queue / 2).max(1), batch: (export.max_batch / 2).max(1) };
    Ok(export_to(collector, sizes, export.delay, resource(export), metrics))
}

/// How many requests the queue, and a batch, have at most.
#[derive(Clone, Copy)]
struct Sizes {
    queue: usize,
    batch: usize,
}

/// Starts to send batches there, each `delay` after the one before or once there is enough for a full one.
fn export_to<D: Destination>(
    destination: D,
    sizes: Sizes,
    delay: Duration,
    resource: Resource,
    metrics: &Arc<Metrics>,
) -> (SpanQueue, SpanExporter) {
    let (sender, receiver) = mpsc::channel(sizes.queue);
    let enough = Arc::new(Notify::new());
    let (stop, stopping) = watch::channel(false);
    let task = Task {
        records: receiver,
        enough: enough.clone(),
        stopping,
        destination,
        resource,
        batch: sizes.batch,
        delay,
        metrics: metrics.clone(),
        failures: 0,
        not_before: None,
    };
    let task = spawn(task.run());
    let queue = SpanQueue { records: sender, enough, batch: sizes.batch, metrics: metrics.clone() };
    (queue, SpanExporter(Some(Running { stop, task })))
}

fn resource(export: &SpanExport) -> Resource {
    let instance = "service.instance.id";
    let mut attributes: Vec<_> =
        export.resource.iter().map(|(key, value)| attribute(key, Value::Text(value.clone()))).collect();
    if !export.resource.iter().any(|(key, _)| key == instance) {
        let id = format!("{:016x}{:016x}", random::bits(), random::bits());
        attributes.push(attribute(instance, Value::Text(id)));
    }
    Resource { attributes }
}

struct Task<D> {
    records: mpsc::Receiver<RequestRecord>,
    enough: Arc<Notify>,
    stopping: watch::Receiver<bool>,
    destination: D,
    resource: Resource,
    /// How many requests a batch has at most.
    batch: usize,
    delay: Duration,
    metrics: Arc<Metrics>,
    /// How many requests to the destination have failed in a row.
    failures: u32,
    /// When it may be asked again.
    not_before: Option<Instant>,
}

impl<D: Destination> Task<D> {
    async fn run(mut self) {
        while !self.is_stopping() {
            tokio::select! {
                _ = self.stopping.wait_for(|stopping| *stopping) => {}
                () = self.enough.notified() => {
                    // The notification may be older than the last batch.
                    if self.records.len() < self.batch {
                        continue;
                    }
                }
                () = sleep(self.delay) => {}
            }
            self.send_waiting().await;
        }
        // What was added while the rest was sent.
        self.records.close();
        self.send_waiting().await;
    }

    fn is_stopping(&self) -> bool {
        // Closed if the process ends without waiting.
        *self.stopping.borrow() || self.stopping.has_changed().is_err()
    }

    /// Sends one batch, and then others while there is enough for a full one. At the end of the process, sends everything.
    async fn send_waiting(&mut self) {
        loop {
            let mut batch = Vec::new();
            while batch.len() < self.batch
                && let Ok(record) = self.records.try_recv()
            {
                batch.push(record);
            }
            if batch.is_empty() {
                return;
            }
            let count = batch.iter().map(RequestRecord::spans).sum();
            let body = self.destination.body(&self.message(&batch));
            // Sending may take minutes, and needs only the body.
            drop(batch);
            match body {
                Ok(body) => self.deliver(body, count).await,
                // Writing to memory does not fail.
                Err(_) => self.metrics.spans("failed", count),
            }
            if self.records.len() < self.batch && !self.is_stopping() {
                return;
            }
        }
    }

    fn message(&self, batch: &[RequestRecord]) -> ExportTraceServiceRequest {
        let mut all = Vec::with_capacity(2 * batch.len());
        batch.iter().for_each(|record| spans(record, &mut all));
        let scope = Scope { name: "metagate".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
        let scope_spans = ScopeSpans { scope: Some(scope), spans: all, schema_url: SCHEMA_URL.to_owned() };
        let resource_spans =
            ResourceSpans { resource: Some(self.resource.clone()), scope_spans: vec![scope_spans] };
        ExportTraceServiceRequest { resource_spans: vec![resource_spans] }
    }

    /// Sends a batch until it is accepted, or given up.
    async fn deliver(&mut self, body: Bytes, count: u64) {
        for _ in 0..MAX_ATTEMPTS {
            self.pause().await;
            match self.destination.send(body.clone()).await {
                Ok(left) => {
                    let rejected = u64::try_from(left.rejected_spans).unwrap_or_default().min(count);
                    self.metrics.spans("exported", count - rejected);
                    if rejected > 0 {
                        self.metrics.spans("rejected", rejected);
                        let cause = shown(&left.error_message);
                        tracing::warn!(rejected, cause, "the collector did not accept all spans");
                    }
                    self.recovered();
                    return;
                }
                Err(SendError::Rejected(cause)) => {
                    self.failed(&cause, None);
                    self.metrics.spans("rejected", count);
                    return;
                }
                Err(SendError::Unavailable(cause, after)) => self.failed(&cause, after),
            }
            if self.is_stopping() {
                break;
            }
        }
        self.metrics.spans("failed", count);
    }

    /// Waits until the collector may be asked again, or until the process ends.
    async fn pause(&mut self) {
        let Some(until) = self.not_before.take() else { return };
        tokio::select! {
            _ = self.stopping.wait_for(|stopping| *stopping) => {}
            () = sleep_until(until) => {}
        }
    }

    fn failed(&mut self, cause: &str, after: Option<Duration>) {
        if self.failures == 0 {
            tracing::warn!(cause, "spans cannot be sent; requests are not affected");
        }
        let pause = after.unwrap_or_else(|| pause_after(self.failures, random::fraction()));
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(Instant::now() + pause);
    }

    fn recovered(&mut self) {
        if self.failures > 0 {
            tracing::warn!(failures = self.failures, "spans are sent again");
        }
        self.failures = 0;
    }
}

/// The pause after a failure that followed so many others. `fraction` is random. Jitter, so that replicas do not retry at
/// the same time.
fn pause_after(failures: u32, fraction: f64) -> Duration {
    let full = FIRST_PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE);
    full.mul_f64((1.0 + fraction) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let whole = |failures| pause_after(failures, 1.0).as_secs();
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 100].map(whole), [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(pause_after(1, 0.0), Duration::from_secs(1), "half of it at least");
    }
}
