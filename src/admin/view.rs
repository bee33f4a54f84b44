//! The plain data that the admin listener shows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use http::StatusCode;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::audit::rfc3339;
use crate::bot_list::BotListStatus;
use crate::claims::TokenClass;
use crate::history::{LastHour, Recent};
use crate::introspection::IntrospectionStatus;
use crate::jwks::SourceStatus;
use crate::metrics::{Buckets, Faults, RuleCounts};
use crate::refusals::Refusal;
use crate::revocation_list::ListStatus;
use crate::signals::{Signal, SignalEvent};
use crate::tokens_in_use::UsedToken;

/// The state of the process.
#[derive(Clone, Debug, Serialize)]
pub struct Overview {
    pub version: &'static str,
    #[serde(serialize_with = "serialized")]
    pub started_at: SystemTime,
    pub uptime_seconds: u64,
    pub ready: bool,
    pub draining: bool,
    pub config: ConfigView,
    pub last_reload: Option<LastReload>,
    /// In the format of `metagate keys --json`.
    pub sources: Vec<SourceView>,
    /// One for each source of revocations.
    pub revocations: Vec<RevocationView>,
    /// `null` without an allow-list.
    pub bots: Option<BotsView>,
    /// Whether OpenMetadata still accepts the tokens of its bots; `null` if it is not asked.
    pub introspection: Option<IntrospectionStatus>,
    /// Open client connections.
    pub connections: i64,
    pub budgets: Budgets,
    /// Requests that wait for the head of the backend's response.
    pub upstream_waiting: i64,
    /// Whether the backend can be reached, as far as is known.
    pub upstream_up: bool,
    /// How the last attempt to connect to it failed, while it cannot be reached.
    pub upstream_failure: Option<String>,
    /// What went wrong in the process itself, since the start.
    pub faults: Faults,
    /// Why audit records cannot be written, if the last ones could not.
    pub audit_failure: Option<String>,
    /// The files of certificates in use.
    pub certificates: Vec<CertificateView>,
    /// By decision, and by reason unless the request was simply allowed.
    pub requests: BTreeMap<String, u64>,
    /// The same, by decision and reason.
    #[serde(skip)]
    pub totals: BTreeMap<(&'static str, &'static str), u64>,
    #[serde(serialize_with = "last_hour")]
    pub last_hour: LastHour,
    /// The last few seconds.
    #[serde(serialize_with = "recent")]
    pub recent: Recent,
    /// The workers, in the order of their numbers.
    pub workers: Vec<WorkerView>,
    /// The tokens in use, without names.
    #[serde(serialize_with = "tokens_by_class")]
    pub tokens: Vec<UsedToken>,
    /// The signals of the last hour, the newest first, without names.
    #[serde(serialize_with = "signals_by_word")]
    pub signals: Vec<SignalEvent>,
    /// The time of all of this.
    #[serde(skip)]
    pub now: SystemTime,
}

/// What a worker has done since the start, and what it does.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct WorkerView {
    /// How long it was not waiting for events, since the start.
    pub busy_seconds: f64,
    /// The busy part of the last few seconds, from 0 to 1.
    pub busy: f64,
    /// Its tasks: its connections, and a few of its own.
    pub tasks: usize,
    /// How late it last ran a timer, or how long one is overdue if that is longer.
    pub delay_seconds: f64,
    /// For how long it has not come back to run a timer that is due.
    pub overdue_seconds: f64,
    /// The longest such delay of the last minute.
    pub longest_delay_seconds: f64,
}

/// A file of certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CertificateView {
    /// The key of the configuration that names it, or the variable.
    pub setting: String,
    pub file: String,
    /// Whether it has authorities that metagate trusts, and not a certificate of its own.
    #[serde(rename = "authorities")]
    pub is_authorities: bool,
    /// When the certificate ends; of authorities, the last one.
    #[serde(serialize_with = "serialized")]
    pub ends_at: SystemTime,
}

/// What is used of the limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Budgets {
    /// Open client connections.
    pub connections: Usage,
    /// Requests in flight.
    pub requests: Usage,
    /// Bytes that are held for clients.
    pub memory_bytes: Usage,
    /// Bytes of the cache of verified tokens.
    pub token_cache_bytes: Usage,
}

/// A number and its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    pub used: usize,
    pub limit: usize,
}

/// A key source at one moment.
#[derive(Clone, Debug)]
pub struct SourceView {
    pub status: SourceStatus,
    pub at: SystemTime,
}

impl Serialize for SourceView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.status.to_json(self.at).serialize(serializer)
    }
}

/// A source of revocations at one moment.
#[derive(Clone, Debug)]
pub struct RevocationView(pub ListStatus, pub SystemTime);

impl Serialize for RevocationView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(status, now) = self;
        let entries: BTreeMap<_, _> =
            status.entries.iter().map(|(by, count)| (by.as_str(), *count)).collect();
        let value = json!({
            "source": status.source,
            "name": status.name,
            "entries": entries,
            "loaded_at": status.since.map(rfc3339),
            "confirmed_at": status.confirmed.map(rfc3339),
            "age_seconds": status.confirmed.map(|time| seconds_since(time, *now)),
            "checked_at": rfc3339(status.checked),
            "restored": status.restored,
            "stale": status.stale,
            "failure": status.failure,
            "unknown_issuers": status.unknown_issuers,
        });
        value.serialize(serializer)
    }
}

/// The allow-list of bots in force, at one moment.
#[derive(Clone, Debug)]
pub struct BotsView(pub BotListStatus, pub SystemTime);

impl Serialize for BotsView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(status, now) = self;
        let value = json!({
            "source": status.source,
            "name": status.name,
            "file": (status.source == "file").then_some(&status.name),
            "bots": status.bots,
            "tokens": status.tokens,
            "loaded_at": rfc3339(status.since),
            "age_seconds": seconds_since(status.since, *now),
            "confirmed_at": status.confirmed.map(rfc3339),
            "restored": status.restored,
            "failure": status.failure,
        });
        value.serialize(serializer)
    }
}

/// Whole seconds; zero if the clock was set back.
pub(super) fn seconds_since(time: SystemTime, now: SystemTime) -> u64 {
    now.duration_since(time).unwrap_or_default().as_secs()
}

/// The configuration in force.
#[derive(Clone, Debug, Serialize)]
pub struct ConfigView {
    pub file: Option<String>,
    pub hash: String,
    #[serde(serialize_with = "serialized")]
    pub loaded_at: SystemTime,
    pub backend: &'static str,
    pub upstream: String,
    pub issuers: Vec<String>,
    pub rules: Vec<String>,
    /// Settings that are probably mistakes.
    pub warnings: Vec<String>,
    /// What is not a default, as YAML with the place of each value. Without secrets, but with names of people.
    #[serde(skip)]
    pub settings: Arc<str>,
}

/// The most recent reload.
#[derive(Clone, Debug, Serialize)]
pub struct LastReload {
    #[serde(serialize_with = "serialized")]
    pub at: SystemTime,
    pub trigger: &'static str,
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// The outcome of a reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "result")]
pub enum Outcome {
    /// The new configuration is in force.
    Applied {
        /// The keys whose value changed.
        changed: Vec<String>,
        /// The files whose content changed.
        changed_files: Vec<String>,
        /// Changed keys that take effect after a restart.
        needs_restart: Vec<String>,
        /// Settings that are probably mistakes.
        warnings: Vec<String>,
    },
    /// The current configuration stays in force.
    Refused {
        /// Whether the configuration itself is invalid, or only cannot take effect now.
        broken: bool,
        /// Everything that is wrong.
        errors: Vec<String>,
    },
}

impl Outcome {
    /// The outcome during shutdown, when no reload is possible.
    pub(super) fn ending() -> Self {
        Self::Refused { broken: false, errors: vec!["the process is ending".to_owned()] }
    }

    /// 200; 400 for an invalid configuration; 409 if a valid one cannot take effect now.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Applied { .. } => StatusCode::OK,
            Self::Refused { broken: true, .. } => StatusCode::BAD_REQUEST,
            Self::Refused { broken: false, .. } => StatusCode::CONFLICT,
        }
    }
}

/// A time for people.
pub(super) fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

fn serialized<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*at))
}

fn quantiles(buckets: &Buckets) -> Value {
    json!({"p50": buckets.quantile(0.5), "p99": buckets.quantile(0.99)})
}

fn recent<S: Serializer>(recent: &Recent, serializer: S) -> Result<S::Ok, S::Error> {
    let value = json!({
        "seconds": recent.seconds,
        "requests": by_how(&recent.requests),
        "overhead_seconds": quantiles(&recent.overhead),
        "upstream_seconds": quantiles(&recent.upstream),
        "token_cache_hit_rate": recent.hit_rate,
    });
    value.serialize(serializer)
}

fn last_hour<S: Serializer>(hour: &LastHour, serializer: S) -> Result<S::Ok, S::Error> {
    let rules = hour.rules.iter().map(|(rule, counts)| {
        let RuleCounts { decided, refused, would_refuse } = counts;
        let counts = json!({"decided": decided, "refused": refused, "would_refuse": would_refuse});
        (rule.to_string(), counts)
    });
    let all = |entry: &str| -> u64 {
        hour.keys.iter().filter(|(key, _)| key.entry() == entry).map(|(_, requests)| requests).sum()
    };
    let keys = hour.keys.iter().map(|(key, requests)| {
        let share = *requests as f64 / all(key.entry()) as f64;
        json!({"issuer": key.entry(), "kid": key.kid(), "requests": requests, "share": share})
    });
    let value = json!({
        "since": hour.since.map(rfc3339),
        "requests_per_second": hour.rate,
        "requests": by_how(&hour.requests),
        "overhead_seconds": quantiles(&hour.overhead),
        "upstream_seconds": quantiles(&hour.upstream),
        "token_cache_hit_rate": hour.hit_rate,
        "faults": hour.faults,
        "keys": keys.collect::<Vec<_>>(),
        "rules": rules.collect::<serde_json::Map<_, _>>(),
    });
    value.serialize(serializer)
}

/// Requests by decision, and by reason if there is one.
pub fn by_how(counts: &BTreeMap<(&'static str, &'static str), u64>) -> BTreeMap<String, u64> {
    let word = |(decision, reason): &(&str, &str)| match *reason {
        "" => (*decision).to_owned(),
        reason => format!("{decision}: {reason}"),
    };
    counts.iter().map(|(how, count)| (word(how), *count)).collect()
}

/// For each class: how many tokens are in use, how many of them never end, and when the first of the others ends.
fn tokens_by_class<S: Serializer>(tokens: &[UsedToken], serializer: S) -> Result<S::Ok, S::Error> {
    let classes = TokenClass::ALL.into_iter().filter_map(|class| {
        let of_class: Vec<_> = tokens.iter().filter(|token| token.class == class).collect();
        let endless = of_class.iter().filter(|token| token.expires.is_none()).count();
        let first = of_class.iter().filter_map(|token| token.expires).min().map(|end| rfc3339(end.into()));
        let value = json!({"in_use": of_class.len(), "never_end": endless, "first_ends_at": first});
        (!of_class.is_empty()).then(|| (class.as_str().to_owned(), value))
    });
    classes.collect::<serde_json::Map<_, _>>().serialize(serializer)
}

/// How many of each signal there were in the last hour.
fn signals_by_word<S: Serializer>(events: &[SignalEvent], serializer: S) -> Result<S::Ok, S::Error> {
    let count = |signal| events.iter().filter(|event| event.signal == signal).count();
    let counts = Signal::ALL.map(|signal| (signal.as_str(), count(signal)));
    counts.into_iter().collect::<BTreeMap<_, _>>().serialize(serializer)
}

/// A refusal as JSON, with the field names of the audit trail.
pub(super) fn refusal(refusal: &Refusal) -> Value {
    json!({
        "time": rfc3339(refusal.time),
        "request_id": refusal.request_id,
        "trace_id": refusal.trace_id,
        "via": refusal.via,
        "decision": refusal.decision,
        "reason": refusal.reason,
        "detail": refusal.detail,
        "rule": refusal.rule,
        "status": refusal.status,
        "method": refusal.method,
        "path": refusal.path,
        "principal": refusal.principal,
        "claimed_subject": refusal.claimed_subject,
        "token_class": refusal.token_class,
        "issuer": refusal.issuer,
        "kid": refusal.kid,
        "token_fingerprint": refusal.token_fingerprint,
        "client": refusal.client,
        "source_address": refusal.source_address,
    })
}
