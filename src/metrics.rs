//! Prometheus metrics. Each is defined once, in the list below: name, unit, type with its labels, and help text.
//!
//! Label values come from closed sets or from the configuration, never from a client.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::signals::Signal;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

mod counter_family;
mod definition;
mod expected;
mod exposition;
mod histogram;
mod labels;
mod process;
mod sample;
mod sharded_gauge;

use counter_family::{NumberedFamily, RequestCounters};
use definition::metrics;
use histogram::Histogram;
use labels::{
    AddressLabel, BuildLabels, CauseLabel, CodeLabel, FetchLabels, KindLabel, Labelled, LimitLabel, NoLabels,
    ResultLabel, RevocationSourceLabel, SettingLabel, SignalLabel, SkippedLabels, SourceLabel, WorkerLabel,
};

pub use definition::Definition;
pub use expected::Expected;
pub use exposition::ExpositionFormat;
pub use histogram::Buckets;
pub use labels::{KeySourceLabels, RequestLabels, WouldDenyLabels};
pub use sample::{Faults, RuleCounts, Sample};
pub use sharded_gauge::ShardedGauge;

type Timestamp = Gauge<f64, AtomicU64>;

metrics! {
    requests: RequestCounters, "Requests by how they ended";
    would_deny: Family<WouldDenyLabels, Counter>,
        "Requests that were forwarded only because report mode does not enforce refusals";
    request_duration in Seconds: Histogram = Histogram::new(&REQUEST_BUCKETS),
        "From the head of a request to the end of its response";
    overhead_duration in Seconds: Histogram = Histogram::new(&OVERHEAD_BUCKETS),
        "From the head of a request to its decision, without waiting for keys or for the body: metagate's own part";
    upstream_duration in Seconds: Histogram = Histogram::new(&REQUEST_BUCKETS),
        "From a request that was sent to the backend to the head of its response: the backend's own part";
    upstream_responses: NumberedFamily<CodeLabel, 500>, "Responses of the backend by status code";
    pub upstream_requests_waiting: ShardedGauge,
        "Requests that wait for the head of the backend's response, or for a connection";
    upstream_connections: Family<ResultLabel, Counter>,
        "Attempts to open a connection to the backend, by result";
    pub upstream_up: Gauge,
        "1 while the backend can be reached or has not been used yet, 0 since no connection could be opened";
    upstream_address_up: Family<AddressLabel, Gauge>,
        "1 if an address of the backend accepted the last connection, 0 if it did not";
    // Updated when the metrics are read.
    pub requests_in_flight: Gauge,
        "Requests without a response, or whose response from the backend has not ended";
    jwks_keys: Family<SourceLabel, Gauge>, "Usable keys of a key source";
    jwks_last_success_timestamp in Seconds: Family<SourceLabel, Timestamp>,
        "When a key source was last fetched, seconds since the epoch";
    jwks_next_refresh_timestamp in Seconds: Family<SourceLabel, Timestamp>,
        "When a key source is fetched next, seconds since the epoch";
    jwks_kid_reused: Family<SourceLabel, Counter>, "Kids that came back with other key material";
    jwks_fetches: Family<FetchLabels, Counter>, "Fetches of a key source by result";
    jwks_skipped_keys: Family<SkippedLabels, Gauge>, "Keys of a key source that cannot be used, by reason";
    token_cache: NumberedFamily<ResultLabel, 2>, "Look-ups in the cache of verified tokens by result";
    rate_limited: NumberedFamily<LimitLabel, 2>,
        "Requests over a rate limit, by the limit: failures or principal. Report mode lets them through";
    signals: Family<SignalLabel, Counter>,
        "What was unusual about requests of programs, or about the refusals of a client network";
    revocations: Family<KindLabel, Gauge>, "Entries of the revocation list by kind";
    revocations_in_force: Family<RevocationSourceLabel, Gauge>,
        "1 while the list in force is the one of this source, 0 while that is refused or cannot be reached";
    revocations_last_success_timestamp in Seconds: Family<RevocationSourceLabel, Timestamp>,
        "When this source of revocations last confirmed its list, seconds since the epoch";
    bots: Gauge, "Bots in the allow-list in force";
    bots_in_force: Gauge,
        "1 while the allow-list of bots in force is the one of its file or store, 0 while that is missing or refused";
    bots_last_success_timestamp in Seconds: Family<NoLabels, Timestamp>,
        "When the file or the store last confirmed the allow-list of bots, seconds since the epoch";
    introspections: Family<ResultLabel, Counter>,
        "Questions whether OpenMetadata still accepts a bot's token, by result: active, inactive, failed or postponed";
    pub connections: Gauge, "Open client connections";
    // Updated when the metrics are read.
    pub memory_held in Bytes: Gauge,
        "Memory that is held for client connections, as counted against limits.memory";
    connections_refused: Family<CauseLabel, Counter>,
        "Client connections that were refused, by the limit: total, client or memory";
    connections_closed: Family<CauseLabel, Counter>,
        "Client connections that were closed to make room: idle ones, or those that held most memory";
    config_reloads: Family<ResultLabel, Counter>,
        "Configurations and certificates that were read again, by result";
    config_last_reload_successful: Gauge,
        "1 while the configuration in force is the one that was last read, 0 while that is refused";
    config_last_reload_success_timestamp in Seconds: Timestamp,
        "When the configuration in force was read, seconds since the epoch";
    tls_certificate_not_after_timestamp in Seconds: Family<SettingLabel, Timestamp>,
        "When a certificate file ends, seconds since the epoch: the certificate of metagate, or the last one of authorities";
    // Updated when the metrics are read.
    worker_busy in Seconds: Family<WorkerLabel, Counter<f64, AtomicU64>>,
        "How long a worker was not waiting for events: at one second in each second, it is the bottleneck";
    worker_tasks: Family<WorkerLabel, Gauge>, "Tasks of a worker: its connections, and a few of its own";
    worker_delay in Seconds: Family<WorkerLabel, Gauge<f64, AtomicU64>>,
        "How late a worker ran a timer, at most, in the last minute: everything on it waited for so long. It grows while the worker does not come back";
    pub audit_dropped: Counter, "Audit records that were dropped, because standard output was too slow or failed, or the clock is wrong";
    spans: Family<ResultLabel, Counter>,
        "Spans of requests that were recorded, by result: exported, rejected by the collector, failed, or queue_full";
    // Updated when the metrics are read.
    log_dropped: Counter, "Lines of the log that were dropped, because standard error was too slow or failed";
    pub panics: Counter, "Panics, each of which ended one connection, one stream of a connection or one fetch of keys";
    build_info: Family<BuildLabels, Gauge>, "The version that runs";
}

/// From half a millisecond to a minute: how long users wait.
static REQUEST_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];
/// From five microseconds to five seconds: what metagate adds.
static OVERHEAD_BUCKETS: [f64; 12] =
    [0.000_005, 0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.01, 0.1, 1.0, 5.0];

impl Metrics {
    /// What becomes of recorded spans.
    pub const SPAN_RESULTS: [&'static str; 4] = ["exported", "rejected", "failed", "queue_full"];

    /// Every metric, at zero.
    pub fn new() -> Self {
        let metrics = Self::registered();
        metrics.build_info.get_or_create(&BuildLabels { version: env!("CARGO_PKG_VERSION") }).set(1);
        metrics.create_fixed();
        metrics
    }

    /// Counts one request, with the time from its head to the end of its response.
    pub fn request(&self, labels: &RequestLabels<'_>, duration: Duration) {
        self.requests.inc(labels);
        self.request_duration.observe(duration);
    }

    /// Counts one request that report mode forwarded and enforce mode would have refused.
    pub fn would_deny(&self, labels: &WouldDenyLabels) {
        self.would_deny.get_or_create(labels).inc();
    }

    /// Observes the time from a request's head to its decision.
    pub fn overhead(&self, duration: Duration) {
        self.overhead_duration.observe(duration);
    }

    /// Counts one response of the backend.
    pub fn upstream_response(&self, status: http::StatusCode) {
        let code = status.as_u16();
        // No status is below 100. Those above 599 are not standard.
        self.upstream_responses.inc(usize::from(code.saturating_sub(100)), || CodeLabel { code });
    }

    /// Observes the time from a request that was sent to the head of its response.
    pub fn upstream(&self, duration: Duration) {
        self.upstream_duration.observe(duration);
    }

    /// Sets whether an address of the backend accepted the last connection.
    pub fn upstream_address(&self, address: &str, accepts: bool) {
        let label = AddressLabel { address: address.to_owned() };
        self.upstream_address_up.get_or_create(&label).set(i64::from(accepts));
    }

    /// Removes an address that the backend no longer has.
    pub fn forget_upstream_address(&self, address: &str) {
        self.upstream_address_up.remove(&AddressLabel { address: address.to_owned() });
    }

    /// Counts one connection to the backend: `ok`, `timeout`, `failed`, or `limited` if there was none to be had.
    pub fn upstream_connection(&self, result: &'static str) {
        self.upstream_connections.get_or_create(&ResultLabel { result }).inc();
    }

    /// Counts spans by what became of them: one of [`Self::SPAN_RESULTS`].
    pub fn spans(&self, result: &'static str, count: u64) {
        self.spans.get_or_create(&ResultLabel { result }).inc_by(count);
    }

    /// Counts one refused client connection, by the limit.
    pub fn connection_refused(&self, cause: &'static str) {
        self.connections_refused.get_or_create(&CauseLabel { cause }).inc();
    }

    /// Counts client connections that were closed to make room for others.
    pub fn connections_closed(&self, cause: &'static str, count: usize) {
        self.connections_closed.get_or_create(&CauseLabel { cause }).inc_by(count as u64);
    }

    /// Counts one look-up in the token cache: `hit` or `miss`.
    pub fn token_cache(&self, result: &'static str) {
        self.token_cache.inc(usize::from(result != "hit"), || ResultLabel { result });
    }

    /// Counts one request over a rate limit: `failures` or `principal`.
    pub fn rate_limited(&self, limit: &'static str) {
        self.rate_limited.inc(usize::from(limit != "failures"), || LimitLabel { limit });
    }

    /// Counts one signal.
    pub fn signal(&self, signal: Signal) {
        self.signals.get_or_create(&SignalLabel { signal: signal.as_str() }).inc();
    }

    /// Sets the number of entries of one kind in the revocation list.
    pub fn revocations(&self, kind: &'static str, count: usize) {
        self.revocations.get_or_create(&KindLabel { kind }).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Sets whether the list in force is the current one of a source, and when the source last confirmed it.
    pub fn revocation_source(&self, source: &str, in_force: bool, confirmed: Option<SystemTime>) {
        let label = RevocationSourceLabel { source: source.to_owned() };
        self.revocations_in_force.get_or_create(&label).set(i64::from(in_force));
        if let Some(confirmed) = confirmed {
            let confirmed = since_epoch(confirmed);
            self.revocations_last_success_timestamp.get_or_create(&label).set(confirmed);
        }
    }

    /// Removes the sources of revocations, before those of another configuration are set.
    pub fn forget_revocation_sources(&self) {
        self.revocations_in_force.clear();
        self.revocations_last_success_timestamp.clear();
    }

    /// Sets the number of bots in the allow-list, whether the one in force is that of its source, and when the source last
    /// confirmed it.
    pub fn bots(&self, count: usize, in_force: bool, confirmed: Option<SystemTime>) {
        self.bots.set(i64::try_from(count).unwrap_or(i64::MAX));
        self.bots_in_force.set(i64::from(in_force));
        if let Some(confirmed) = confirmed {
            let confirmed = since_epoch(confirmed);
            self.bots_last_success_timestamp.get_or_create(&NoLabels {}).set(confirmed);
        }
    }

    /// Removes the time of the allow-list of another configuration.
    pub fn forget_bots(&self) {
        self.bots_last_success_timestamp.clear();
    }

    /// Counts one question whether a bot's token is still accepted.
    pub fn introspection(&self, result: &'static str) {
        self.introspections.get_or_create(&ResultLabel { result }).inc();
    }

    /// Sets the time at which the configuration in force was read.
    pub fn config_in_force(&self, at: SystemTime) {
        self.config_last_reload_success_timestamp.set(since_epoch(at));
    }

    /// Sets whether the configuration that was last read is in force.
    pub fn config_is_good(&self, good: bool) {
        self.config_last_reload_successful.set(i64::from(good));
    }

    /// Sets the ends of the certificate files, each with the setting that names the file.
    pub fn certificates<'s>(&self, ends: impl Iterator<Item = (&'s str, SystemTime)>) {
        self.tls_certificate_not_after_timestamp.clear();
        for (setting, end) in ends {
            let label = SettingLabel { setting: setting.to_owned() };
            self.tls_certificate_not_after_timestamp.get_or_create(&label).set(since_epoch(end));
        }
    }

    /// Counts one reload: `applied`, or `refused`, which keeps the current configuration.
    pub fn config_reload(&self, result: &'static str) {
        self.config_reloads.get_or_create(&ResultLabel { result }).inc();
    }

    /// Counts one fetch of a key source.
    pub fn jwks_fetch(&self, source: KeySourceLabels<'_>, result: &'static str) {
        self.jwks_fetches.get_or_create(&FetchLabels::new(source, result)).inc();
    }

    /// Sets the number of usable keys of a source, and the time of their fetch.
    pub fn jwks_state(&self, source: KeySourceLabels<'_>, keys: usize, fetched: Option<SystemTime>) {
        let label = SourceLabel::from(source);
        self.jwks_keys.get_or_create(&label).set(i64::try_from(keys).unwrap_or(i64::MAX));
        if let Some(fetched) = fetched {
            self.jwks_last_success_timestamp.get_or_create(&label).set(since_epoch(fetched));
        }
    }

    /// Sets the time of the next fetch of a source.
    pub fn jwks_next_refresh(&self, source: KeySourceLabels<'_>, at: SystemTime) {
        self.jwks_next_refresh_timestamp.get_or_create(&source.into()).set(since_epoch(at));
    }

    /// Counts a kid that returned with other key material.
    pub fn jwks_kid_reused(&self, source: KeySourceLabels<'_>) {
        self.jwks_kid_reused.get_or_create(&source.into()).inc();
    }

    /// Sets the number of keys of a source that cannot be used for one reason.
    pub fn jwks_skipped(&self, source: KeySourceLabels<'_>, reason: &'static str, count: usize) {
        let labels = SkippedLabels::new(source, reason);
        self.jwks_skipped_keys.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Removes a source that is no longer used from the gauges.
    pub fn forget_source<'r>(
        &self,
        source: KeySourceLabels<'_>,
        reasons: impl IntoIterator<Item = &'r &'static str>,
    ) {
        let label = SourceLabel::from(source);
        self.jwks_keys.remove(&label);
        self.jwks_last_success_timestamp.remove(&label);
        self.jwks_next_refresh_timestamp.remove(&label);
        for reason in reasons {
            self.jwks_skipped_keys.remove(&SkippedLabels::new(source, reason));
        }
    }

    /// Sets what a worker does: how long it was busy so far, its tasks, and its longest delay. Durations are in seconds.
    pub fn worker(&self, number: usize, busy: f64, tasks: usize, delay: f64) {
        let label = WorkerLabel { worker: u32::try_from(number).unwrap_or(u32::MAX) };
        let counter = self.worker_busy.get_or_create(&label);
        counter.inner().store(busy.to_bits(), Ordering::Relaxed);
        self.worker_delay.get_or_create(&label).set(delay);
        self.worker_tasks.get_or_create(&label).set(i64::try_from(tasks).unwrap_or(i64::MAX));
    }

    /// Sets how many lines of the log were dropped.
    pub fn log_dropped(&self, lines: u64) {
        self.log_dropped.inner().store(lines, Ordering::Relaxed);
    }

    /// The exposition.
    pub fn encode(&self, format: ExpositionFormat) -> String {
        let mut text = String::new();
        // Writing to a `String` does not fail.
        let _ = encode(&mut text, &self.registry);
        match format {
            ExpositionFormat::OpenMetrics => text,
            ExpositionFormat::Text => exposition::text_format(&text),
        }
    }
}

fn since_epoch(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
