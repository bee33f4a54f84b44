//! What is shown: plain data.

use std::collections::BTreeMap;
use std::time::SystemTime;

use http::StatusCode;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::jwks::SourceStatus;
use crate::refusals::Refusal;

/// How the process is.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "docs/operations.md lists the members")]
pub struct Overview {
    pub version: &'static str,
    #[serde(serialize_with = "rfc3339")]
    pub started_at: SystemTime,
    pub uptime_seconds: u64,
    pub ready: bool,
    pub draining: bool,
    pub config: ConfigView,
    pub last_reload: Option<LastReload>,
    /// As `metagate keys --json` has them.
    pub sources: Vec<SourceView>,
    pub connections: i64,
    /// By decision, and by reason for whatever was not simply allowed.
    pub requests: BTreeMap<String, u64>,
}

/// A key source at one moment.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the types say it")]
pub struct SourceView {
    pub status: SourceStatus,
    pub at: SystemTime,
}

impl Serialize for SourceView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.status.to_json(self.at).serialize(serializer)
    }
}

/// The configuration in force.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "docs/operations.md lists the members")]
pub struct ConfigView {
    pub file: Option<String>,
    pub hash: String,
    #[serde(serialize_with = "rfc3339")]
    pub loaded_at: SystemTime,
    pub backend: &'static str,
    pub upstream: String,
    pub issuers: Vec<String>,
    pub rules: Vec<String>,
}

/// The last time that a configuration was read again.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "docs/operations.md lists the members")]
pub struct LastReload {
    #[serde(serialize_with = "rfc3339")]
    pub at: SystemTime,
    pub trigger: &'static str,
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came of a reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "result")]
pub enum Outcome {
    /// The new configuration is in force.
    #[serde(rename_all = "camelCase")]
    Applied {
        /// The keys that have another value now.
        changed: Vec<String>,
        /// The files whose content is another one.
        changed_files: Vec<String>,
        /// Keys whose new value waits for a restart.
        needs_restart: Vec<String>,
        /// What is probably not meant.
        warnings: Vec<String>,
    },
    /// The old configuration goes on.
    #[serde(rename_all = "camelCase")]
    Refused {
        /// Whether the configuration itself is broken, or only cannot be in force now.
        broken: bool,
        /// Everything that is wrong.
        errors: Vec<String>,
    },
}

impl Outcome {
    /// Nothing is read again while the process ends.
    pub(super) fn ending() -> Self {
        Self::Refused { broken: false, errors: vec!["the process is ending".to_owned()] }
    }

    /// 200; 400 for a broken configuration; 409 where it is not at fault.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Applied { .. } => StatusCode::OK,
            Self::Refused { broken: true, .. } => StatusCode::BAD_REQUEST,
            Self::Refused { broken: false, .. } => StatusCode::CONFLICT,
        }
    }
}

pub(super) fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

fn rfc3339<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time(*at))
}

/// A refusal as JSON, under the names that the audit trail has.
pub(super) fn refusal(refusal: &Refusal) -> Value {
    json!({
        "time": time(refusal.time),
        "request_id": refusal.request_id,
        "method": refusal.method,
        "path": refusal.path,
        "status": refusal.status,
        "decision": refusal.decision,
        "reason": refusal.reason,
        "detail": refusal.detail,
        "rule": refusal.rule,
        "principal": refusal.principal,
        "issuer": refusal.issuer,
        "source_address": refusal.source_address,
    })
}
