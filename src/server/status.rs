//! The state of the process, for the status page.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use super::Process;
use crate::admin::{ConfigView, Overview, RevocationView, SourceView};

impl Process {
    /// The current state.
    pub(super) fn overview(&self) -> Overview {
        let current = self.current();
        let (loaded, now) = (&current.loaded, SystemTime::now());
        let config = &loaded.config;
        Overview {
            version: env!("CARGO_PKG_VERSION"),
            started_at: self.started,
            uptime_seconds: now.duration_since(self.started).unwrap_or_default().as_secs(),
            ready: self.is_ready(),
            draining: self.draining.load(Ordering::Relaxed),
            config: ConfigView {
                file: loaded.used.file_names(),
                hash: loaded.hash(),
                loaded_at: current.since,
                backend: config.backend.as_str(),
                upstream: config.upstream.to_string(),
                issuers: config.trust.iter().map(|entry| entry.name.to_string()).collect(),
                rules: config.policy.rules.iter().map(|rule| rule.name.to_string()).collect(),
            },
            last_reload: self.last_reload.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            sources: current.keys.status().into_iter().map(|status| SourceView { status, at: now }).collect(),
            revocations: current.revocations.status().map(|status| RevocationView(status, now)),
            connections: self.metrics.connections.get(),
            requests: self.metrics.request_counts(),
        }
    }
}
