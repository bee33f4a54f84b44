//! The audit record of an exchange, and what it shares with the metrics and the status page.

use std::borrow::Cow;
use std::time::Duration;

use super::{Exchange, Summary, client};
use crate::audit::{AuditRecord, AuditedCaller, UnverifiedCaller};
use crate::claims::VerifiedToken;
use crate::signals::SignalSet;
use crate::trace_context::TraceIdText;

/// The longest path in an audit record, in bytes.
const MAX_PATH_BYTES: usize = 2048;

impl Exchange {
    pub(super) fn summary(&self) -> Summary<'_> {
        let denial = self.denial.as_ref();
        // In report mode this is the rule that would refuse, not the one that allowed.
        let rule = denial
            .map_or(self.rule, |denial| denial.rule)
            .and_then(|rule| self.recorder.rules.get(rule))
            .map(AsRef::as_ref);
        let token = self.token.as_deref();
        let denying_entry = denial
            .and_then(|denial| denial.entry)
            .and_then(|entry| self.recorder.entries.get(entry))
            .map(AsRef::as_ref);
        let (method, path) = match self.unread.as_deref() {
            Some((method, path)) => (&**method, &**path),
            None => (self.method.as_str(), self.target.path()),
        };
        Summary {
            decision: self.decision(),
            reason: denial.map(|denial| denial.reason.as_str()),
            detail: denial.and_then(|denial| denial.detail.as_deref()).or(self.ended.as_deref()),
            rule,
            issuer: token.map(VerifiedToken::entry).or(denying_entry),
            principal: token.map(VerifiedToken::principal).or(self.system.then_some("datahub-system")),
            method,
            path: shortened(path),
        }
    }

    pub(super) fn record(&self, summary: &Summary<'_>, signals: SignalSet, duration: Duration) {
        if !self.recorder.audited.has(summary.decision) {
            return;
        }
        let client = self.user_agent.as_ref().and_then(|value| client::products(value));
        let trace_id = self.trace_id.as_ref().map(TraceIdText::of);
        self.recorder.audit.add(&AuditRecord {
            time: self.time,
            event: "request",
            request_id: self.request_id_text(),
            trace_id: trace_id.as_ref().map(TraceIdText::as_str),
            via: self.via,
            decision: summary.decision,
            reason: summary.reason,
            detail: summary.detail,
            rule: summary.rule,
            status: self.status.map(|status| status.as_u16()),
            complete: self.complete,
            public: self.public,
            method: summary.method,
            path: &summary.path,
            caller: self.audited_caller(summary),
            issued_token_fingerprint: self.issued.as_deref(),
            client: client.as_deref(),
            signals,
            source_address: self.source,
            duration,
            upstream: self.upstream,
            request_bytes: self.request_bytes(),
            response_bytes: self.response_bytes,
        });
    }

    fn audited_caller<'r>(&'r self, summary: &Summary<'r>) -> AuditedCaller<'r> {
        match (&self.token, &self.refused_token) {
            (Some(token), _) => AuditedCaller::Token(token),
            (None, refused) => {
                let refused = refused.as_ref();
                AuditedCaller::Unverified(UnverifiedCaller {
                    principal: summary.principal,
                    claimed_subject: refused.and_then(|refused| refused.subject.as_deref()),
                    issuer: summary.issuer,
                    kid: refused.and_then(|refused| refused.kid.as_deref()),
                    token_fingerprint: refused.and_then(|refused| refused.fingerprint.as_deref()),
                })
            }
        }
    }
}

fn shortened(path: &str) -> Cow<'_, str> {
    if path.len() <= MAX_PATH_BYTES {
        return path.into();
    }
    match path.char_indices().find(|(at, _)| *at >= MAX_PATH_BYTES) {
        Some((at, _)) => format!("{}...", &path[..at]).into(),
        None => path.into(),
    }
}
