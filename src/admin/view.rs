//! The plain data that the admin listener shows.

use std::collections::BTreeMap;
use std::time::SystemTime;

use http::StatusCode;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::audit::rfc3339;
use crate::jwks::SourceStatus;
use crate::refusals::Refusal;
use crate::revocation_list::RevocationStatus;

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
    /// `null` without a list.
    pub revocations: Option<RevocationView>,
    pub connections: i64,
    /// By decision, and by reason unless the request was simply allowed.
    pub requests: BTreeMap<String, u64>,
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

/// The revocation list in force, at one moment.
#[derive(Clone, Debug)]
pub struct RevocationView(pub RevocationStatus, pub SystemTime);

impl Serialize for RevocationView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(status, now) = self;
        let entries: BTreeMap<_, _> =
            status.entries.iter().map(|(by, count)| (by.as_str(), *count)).collect();
        let value = json!({
            "file": status.file.display().to_string(),
            "entries": entries,
            "loaded_at": rfc3339(status.since),
            "age_seconds": seconds_since(status.since, *now),
            "checked_at": rfc3339(status.checked),
            "failure": status.failure,
            "unknown_issuers": status.unknown_issuers,
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
