//! What the metrics count of an exchange before it ends, and how long it took in metagate and in the backend.

use std::time::Duration;

use tokio::time::Instant;

use super::Exchange;
use crate::decision::Denial;
use crate::metrics::WouldDenyLabels;

/// A recorder without names, spans or signals.
#[cfg(test)]
impl super::Recorder {
    pub(super) fn plain(
        audit: crate::audit::AuditTrail,
        metrics: std::sync::Arc<crate::metrics::Metrics>,
    ) -> Self {
        Self {
            audit,
            audited: crate::config::AuditedDecisions::ALL,
            metrics,
            refusals: std::sync::Arc::default(),
            tokens: std::sync::Arc::default(),
            tracer: None,
            signals: None,
            rules: Vec::new(),
            entries: Vec::new(),
        }
    }
}

impl Exchange {
    /// Records how long the decision waited for keys or the body.
    pub fn waited(&mut self, waited: Duration) {
        self.waited = waited;
    }

    /// Counts the time until now, which it returns.
    pub(super) fn count_overhead(&self) -> Instant {
        let now = Instant::now();
        self.recorder.metrics.overhead((now - self.started).saturating_sub(self.waited));
        now
    }

    /// When it was permitted.
    pub fn permitted_at(&self) -> Instant {
        self.permitted_at.unwrap_or(self.started)
    }

    /// Records when the head of the backend's response had been read.
    pub fn responded(&mut self, at: Instant) {
        self.upstream = Some(at - self.permitted_at());
    }

    /// Records that the backend has answered or failed, unless it has before.
    pub(super) fn upstream_ended(&mut self) {
        if self.forwarded && self.via.is_none() && self.upstream.is_none() {
            self.upstream = self.permitted_at.map(|permitted| permitted.elapsed());
        }
    }

    /// Counts bytes of the response.
    pub fn sent(&mut self, bytes: usize) {
        self.response_bytes = self.response_bytes.saturating_add(bytes as u64);
    }

    pub(super) fn count_would_deny(&self, denial: &Denial) {
        let token = self.token.as_deref();
        let name = |names: &[Box<str>], at: Option<usize>| {
            at.and_then(|at| names.get(at)).map(|name| name.to_string()).unwrap_or_default()
        };
        self.recorder.metrics.would_deny(&WouldDenyLabels {
            reason: denial.reason.as_str(),
            issuer: token
                .map_or_else(|| name(&self.recorder.entries, denial.entry), |token| token.entry().to_owned()),
            rule: name(&self.recorder.rules, denial.rule),
            class: token.map(|token| token.class().as_str()).unwrap_or_default(),
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;

    use http::{HeaderValue, Method, Uri};

    use super::*;
    use crate::audit::AuditTrail;
    use crate::decision::Reason;
    use crate::exchange::Recorder;
    use crate::message::Fields;
    use crate::metrics::{ExpositionFormat, Metrics};

    #[tokio::test(start_paused = true)]
    async fn waiting_for_keys_is_not_overhead() {
        let metrics = Arc::new(Metrics::new());
        let (audit, _writer) = AuditTrail::start(std::io::sink(), metrics.clone()).unwrap();
        let recorder = Arc::new(Recorder::plain(audit, metrics.clone()));
        let (headers, id) = (Fields::new(), HeaderValue::from_static("1"));
        let mut exchange = Exchange::begin(recorder, Method::GET, Uri::default(), &headers, None, id);
        tokio::time::advance(Duration::from_secs(5)).await;
        exchange.waited(Duration::from_secs(4));
        exchange.denied(Denial::new(Reason::KeysUnavailable));
        drop(exchange);
        let text = metrics.encode(ExpositionFormat::Text);
        let sum = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().parse::<f64>().unwrap().round()
        };
        assert_eq!(sum("metagate_overhead_duration_seconds_sum"), 1.0);
        assert_eq!(sum("metagate_request_duration_seconds_sum"), 5.0);
    }
}
