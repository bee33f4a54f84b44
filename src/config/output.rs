//! What the process writes: its log and its audit trail.

use std::path::PathBuf;

/// The audit trail.
#[derive(Clone, Debug)]
pub struct Audit {
    /// The file that it is appended to; standard output if absent.
    pub file: Option<PathBuf>,
    /// The decisions whose requests are recorded.
    pub include: AuditedDecisions,
    /// Whether unusual requests are marked.
    pub signals: bool,
}

/// A set of decisions, as the records name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditedDecisions(u8);

impl AuditedDecisions {
    /// Every decision.
    pub const ALL: Self = Self(u8::MAX);

    pub(super) fn of(decisions: impl IntoIterator<Item = AuditedDecision>) -> Self {
        Self(decisions.into_iter().fold(0, |set, decision| set | decision.bit()))
    }

    /// Whether a decision, as the records name it, is in the set.
    pub fn has(self, decision: &str) -> bool {
        let decision = match decision {
            "allow" => AuditedDecision::Allow,
            "public" => AuditedDecision::Public,
            "preflight" => AuditedDecision::Preflight,
            "deny" => AuditedDecision::Deny,
            "would_deny" => AuditedDecision::WouldDeny,
            _ => AuditedDecision::Error,
        };
        self.0 & decision.bit() != 0
    }
}

/// A decision about a request, in `audit.include`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AuditedDecision {
    Allow,
    Public,
    Preflight,
    Deny,
    WouldDeny,
    Error,
}

impl AuditedDecision {
    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The level and the format of the log.
#[derive(Clone, Debug)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or `target=level` directives.
    pub level: Box<str>,
    /// The format of log lines.
    pub format: LogFormat,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// One JSON object per line.
    #[default]
    Json,
    /// Lines for people.
    Text,
}
