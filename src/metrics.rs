//! What is counted. Label values are closed sets or names from the configuration, never what a
//! client sent.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

mod labels;

use labels::{
    BuildLabels, CauseLabel, CodeLabel, FetchLabels, KindLabel, NoLabels, ResultLabel, SkippedLabels,
    SourceLabel,
};
pub use labels::{RequestLabels, WouldDenyLabels};

/// Every instrument of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    would_deny: Family<WouldDenyLabels, Counter>,
    request_duration: Histogram,
    overhead_duration: Histogram,
    upstream_responses: Family<CodeLabel, Counter>,
    upstream_connections: Family<ResultLabel, Counter>,
    /// Open connections of clients.
    pub connections: Gauge,
    connections_refused: Family<CauseLabel, Counter>,
    connections_closed: Family<CauseLabel, Counter>,
    /// Bytes held for clients; brought up to date when the metrics are read.
    pub memory_held: Gauge,
    /// Requests whose answers have not ended; [`crate::exchange::Exchange`] counts them.
    pub requests_in_flight: Gauge,
    jwks_keys: Family<SourceLabel, Gauge>,
    jwks_last_success: Family<SourceLabel, Gauge<f64, AtomicU64>>,
    jwks_next_refresh: Family<SourceLabel, Gauge<f64, AtomicU64>>,
    jwks_fetches: Family<FetchLabels, Counter>,
    jwks_kid_reused: Family<SourceLabel, Counter>,
    jwks_skipped: Family<SkippedLabels, Gauge>,
    token_cache: Family<ResultLabel, Counter>,
    revocations: Family<KindLabel, Gauge>,
    revocations_in_force: Gauge,
    config_reloads: Family<ResultLabel, Counter>,
    config_last_reload_successful: Gauge,
    config_last_success: Gauge<f64, AtomicU64>,
    certificate_end: Family<NoLabels, Gauge<f64, AtomicU64>>,
    /// Audit records that were lost because standard output did not take them in time.
    pub audit_dropped: Counter,
    /// Panics that ended one request or connection.
    pub panics: Counter,
}

/// From half a millisecond to a minute: what users wait.
const REQUEST_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];
/// From five microseconds to five seconds: what metagate adds, up to a wait for keys.
const OVERHEAD_BUCKETS: [f64; 12] =
    [0.000_005, 0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.01, 0.1, 1.0, 5.0];

impl Metrics {
    /// Every instrument, at zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("metagate"),
            requests: Family::default(),
            would_deny: Family::default(),
            request_duration: Histogram::new(REQUEST_BUCKETS),
            overhead_duration: Histogram::new(OVERHEAD_BUCKETS),
            upstream_responses: Family::default(),
            upstream_connections: Family::default(),
            connections: Gauge::default(),
            connections_refused: Family::default(),
            connections_closed: Family::default(),
            memory_held: Gauge::default(),
            requests_in_flight: Gauge::default(),
            jwks_keys: Family::default(),
            jwks_last_success: Family::default(),
            jwks_next_refresh: Family::default(),
            jwks_fetches: Family::default(),
            jwks_kid_reused: Family::default(),
            jwks_skipped: Family::default(),
            token_cache: Family::default(),
            revocations: Family::default(),
            revocations_in_force: Gauge::default(),
            config_reloads: Family::default(),
            config_last_reload_successful: Gauge::default(),
            config_last_success: Gauge::default(),
            certificate_end: Family::default(),
            audit_dropped: Counter::default(),
            panics: Counter::default(),
        };
        metrics.register_requests();
        metrics.register_keys();
        metrics.register_process();
        metrics
    }

    fn register_requests(&mut self) {
        let registry = &mut self.registry;
        registry.register("requests", "Requests by how they ended", self.requests.clone());
        registry.register(
            "would_deny",
            "Requests that went on only because refusals are reported and not carried out",
            self.would_deny.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "From the head of a request to the end of its answer",
            Unit::Seconds,
            self.request_duration.clone(),
        );
        registry.register_with_unit(
            "overhead_duration",
            "From the head of a request to its decision: metagate's own part",
            Unit::Seconds,
            self.overhead_duration.clone(),
        );
        registry.register(
            "upstream_responses",
            "Answers of the backend by status code",
            self.upstream_responses.clone(),
        );
        registry.register(
            "upstream_connections",
            "Connections to the backend that were opened, or were to be",
            self.upstream_connections.clone(),
        );
        registry.register(
            "requests_in_flight",
            "Requests without an answer, or whose answer from the backend has not ended",
            self.requests_in_flight.clone(),
        );
    }

    fn register_keys(&mut self) {
        let registry = &mut self.registry;
        registry.register("jwks_keys", "Usable keys of a key source", self.jwks_keys.clone());
        registry.register_with_unit(
            "jwks_last_success_timestamp",
            "When a key source was last fetched, seconds since the epoch",
            Unit::Seconds,
            self.jwks_last_success.clone(),
        );
        registry.register_with_unit(
            "jwks_next_refresh_timestamp",
            "When a key source is fetched next, seconds since the epoch",
            Unit::Seconds,
            self.jwks_next_refresh.clone(),
        );
        registry.register(
            "jwks_kid_reused",
            "Kids that came back with other key material",
            self.jwks_kid_reused.clone(),
        );
        registry.register("jwks_fetches", "Fetches of a key source by result", self.jwks_fetches.clone());
        registry.register(
            "jwks_skipped_keys",
            "Keys of a key source that cannot be used, by reason",
            self.jwks_skipped.clone(),
        );
        registry.register(
            "token_cache",
            "Look-ups in the cache of verified tokens by result",
            self.token_cache.clone(),
        );
        registry.register("revocations", "Entries of the revocation list by kind", self.revocations.clone());
        registry.register(
            "revocations_in_force",
            "1 while the revocation list in force is the one in the file, 0 while that is refused",
            self.revocations_in_force.clone(),
        );
    }

    fn register_process(&mut self) {
        let registry = &mut self.registry;
        registry.register("connections", "Open client connections", self.connections.clone());
        registry.register_with_unit(
            "memory_held",
            "Memory that is held for client connections, as counted against limits.memory",
            Unit::Bytes,
            self.memory_held.clone(),
        );
        registry.register(
            "connections_refused",
            "Client connections that were not taken in, by the limit: total, client or memory",
            self.connections_refused.clone(),
        );
        registry.register(
            "connections_closed",
            "Client connections that were closed to make room: idle ones, or those that held most memory",
            self.connections_closed.clone(),
        );
        registry.register(
            "config_reloads",
            "Configurations and certificates that were read again, by result",
            self.config_reloads.clone(),
        );
        registry.register(
            "config_last_reload_successful",
            "1 while the configuration in force is the one that was last read, 0 while that is refused",
            self.config_last_reload_successful.clone(),
        );
        registry.register_with_unit(
            "config_last_reload_success_timestamp",
            "When the configuration in force was read, seconds since the epoch",
            Unit::Seconds,
            self.config_last_success.clone(),
        );
        registry.register_with_unit(
            "tls_certificate_not_after_timestamp",
            "When the certificate of the listener ends, seconds since the epoch",
            Unit::Seconds,
            self.certificate_end.clone(),
        );
        registry.register(
            "audit_dropped",
            "Audit records that standard output did not take in time",
            self.audit_dropped.clone(),
        );
        registry.register("panics", "Panics that ended one connection", self.panics.clone());
        let build = Family::<BuildLabels, Gauge>::default();
        build.get_or_create(&BuildLabels { version: env!("CARGO_PKG_VERSION") }).set(1);
        registry.register("build_info", "The version that runs", build);
    }

    /// Counts one request, with the time from its head to the end of its answer.
    pub fn request(&self, labels: &RequestLabels, duration: Duration) {
        match self.requests.get(labels) {
            Some(counter) => counter.inc(),
            None => self.requests.get_or_create(labels).inc(),
        };
        self.request_duration.observe(duration.as_secs_f64());
    }

    /// Counts one request that went on and would have been refused.
    pub fn would_deny(&self, labels: &WouldDenyLabels) {
        self.would_deny.get_or_create(labels).inc();
    }

    /// Observes the time from a request's head to its decision.
    pub fn overhead(&self, duration: Duration) {
        self.overhead_duration.observe(duration.as_secs_f64());
    }

    /// Counts one answer of the backend.
    pub fn upstream_response(&self, status: http::StatusCode) {
        self.upstream_responses.get_or_create(&CodeLabel { code: status.as_u16() }).inc();
    }

    /// Counts one connection to the backend: `ok`, `timeout` or `failed`.
    pub fn upstream_connection(&self, result: &'static str) {
        self.upstream_connections.get_or_create(&ResultLabel { result }).inc();
    }

    /// Counts one client connection that found no room.
    pub fn connection_refused(&self, cause: &'static str) {
        self.connections_refused.get_or_create(&CauseLabel { cause }).inc();
    }

    /// Counts client connections that make room for others.
    pub fn connections_closed(&self, cause: &'static str, count: usize) {
        self.connections_closed.get_or_create(&CauseLabel { cause }).inc_by(count as u64);
    }

    /// Counts one look-up in the token cache: `hit` or `miss`.
    pub fn token_cache(&self, result: &'static str) {
        self.token_cache.get_or_create(&ResultLabel { result }).inc();
    }

    /// Notes how many entries of one kind the revocation list has.
    pub fn revocations(&self, kind: &'static str, count: usize) {
        self.revocations.get_or_create(&KindLabel { kind }).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Notes whether the revocation list in force is the one in the file.
    pub fn revocations_in_force(&self, in_force: bool) {
        self.revocations_in_force.set(i64::from(in_force));
    }

    /// Notes that a configuration is in force from now on.
    pub fn config_in_force(&self, at: SystemTime) {
        self.config_last_success.set(since_epoch(at));
    }

    /// Notes whether what was last read is in force.
    pub fn config_is_good(&self, good: bool) {
        self.config_last_reload_successful.set(i64::from(good));
    }

    /// Notes when the certificate of the listener ends, if it has one.
    pub fn certificate_ends(&self, at: Option<SystemTime>) {
        match at {
            Some(at) => drop(self.certificate_end.get_or_create(&NoLabels {}).set(since_epoch(at))),
            None => drop(self.certificate_end.remove(&NoLabels {})),
        }
    }

    /// Counts one reload: `applied`, or `refused` with the old configuration going on.
    pub fn config_reload(&self, result: &'static str) {
        self.config_reloads.get_or_create(&ResultLabel { result }).inc();
    }

    /// Counts one fetch of a key source.
    pub fn jwks_fetch(&self, source: &str, result: &'static str) {
        self.jwks_fetches.get_or_create(&FetchLabels { source: source.to_owned(), result }).inc();
    }

    /// Notes what a key source holds now, and when it was fetched.
    pub fn jwks_state(&self, source: &str, keys: usize, fetched: Option<SystemTime>) {
        let label = SourceLabel { source: source.to_owned() };
        self.jwks_keys.get_or_create(&label).set(i64::try_from(keys).unwrap_or(i64::MAX));
        if let Some(fetched) = fetched {
            self.jwks_last_success.get_or_create(&label).set(since_epoch(fetched));
        }
    }

    /// Notes when a key source is fetched next.
    pub fn jwks_next_refresh(&self, source: &str, at: SystemTime) {
        self.jwks_next_refresh.get_or_create(&SourceLabel { source: source.to_owned() }).set(since_epoch(at));
    }

    /// Counts a kid that came back with other key material.
    pub fn jwks_kid_reused(&self, source: &str) {
        self.jwks_kid_reused.get_or_create(&SourceLabel { source: source.to_owned() }).inc();
    }

    /// Notes how many keys of a source cannot be used, for one reason.
    pub fn jwks_skipped(&self, source: &str, reason: &'static str, count: usize) {
        let labels = SkippedLabels { source: source.to_owned(), reason };
        self.jwks_skipped.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Takes a key source that is used no more out of the gauges.
    pub fn forget_source<'r>(&self, source: &str, reasons: impl IntoIterator<Item = &'r &'static str>) {
        let label = SourceLabel { source: source.to_owned() };
        self.jwks_keys.remove(&label);
        self.jwks_last_success.remove(&label);
        self.jwks_next_refresh.remove(&label);
        for reason in reasons {
            self.jwks_skipped.remove(&SkippedLabels { source: source.to_owned(), reason });
        }
    }

    /// The number of requests by decision, and by reason where there is one.
    pub fn request_counts(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        // Families cannot be listed; their text can be read. Names from the configuration come after
        // these two labels.
        for line in self.encode().lines() {
            let Some((labels, count)) =
                line.strip_prefix("metagate_requests_total{").and_then(|line| line.rsplit_once("} "))
            else {
                continue;
            };
            let value = |name: &str| labels.split_once(&format!("{name}=\""))?.1.split('"').next();
            let (decision, reason) = (value("decision").unwrap_or(""), value("reason").unwrap_or(""));
            let how = if reason.is_empty() { decision.to_owned() } else { format!("{decision}: {reason}") };
            *counts.entry(how).or_default() += count.parse::<u64>().unwrap_or(0);
        }
        counts
    }

    /// Everything in the OpenMetrics text format.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a `String` does not fail.
        let _ = encode(&mut text, &self.registry);
        text
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
