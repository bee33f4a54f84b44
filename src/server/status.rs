//! The state of the process, for the status page.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use super::Process;
use crate::admin::{
    BotsView, Budgets, ConfigView, Overview, RevocationView, SourceView, Usage, WorkerView, by_how,
};
use crate::config::Finding;
use crate::gateway::Gateway;
use crate::numeric_date::NumericDate;

impl Process {
    /// The current state.
    pub(super) fn overview(&self) -> Overview {
        let current = self.current();
        let (loaded, now) = (&current.loaded, SystemTime::now());
        let (config, sample) = (&loaded.config, self.counters());
        let last_hour = self.history.last_hour(now, &sample);
        let up = self.metrics.upstream_up.get() != 0;
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
                settings: current.settings.clone(),
                warnings: loaded.warnings.iter().map(Finding::in_brief).collect(),
            },
            last_reload: self.last_reload.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            sources: current.keys.status().into_iter().map(|status| SourceView { status, at: now }).collect(),
            revocations: current
                .revocations
                .status()
                .into_iter()
                .map(|status| RevocationView(status, now))
                .collect(),
            bots: current.bots.status().map(|status| BotsView(status, now)),
            introspection: current.introspector.as_ref().map(|introspector| introspector.status()),
            connections: self.metrics.connections.get(),
            budgets: self.budgets(),
            upstream_waiting: sample.waiting,
            upstream_up: up,
            upstream_failure: current
                .worker_states()
                .first()
                .and_then(|state| state.upstream.reachability().cause()),
            faults: sample.faults,
            audit_failure: self.audit.failure(Instant::now()),
            certificates: current.certificates().to_vec(),
            requests: by_how(&sample.requests),
            recent: last_hour.recent.clone(),
            last_hour,
            workers: self.worker_views(),
            totals: sample.requests,
            tokens: self.tokens.current(NumericDate::from(now)),
            signals: self.signals.recent(now),
            now,
        }
    }

    /// What each worker does now.
    pub(super) fn worker_views(&self) -> Vec<WorkerView> {
        let now = Instant::now();
        self.workers.iter().map(|worker| worker.read(now)).collect()
    }

    fn budgets(&self) -> Budgets {
        let current = self.current();
        let limits = current.budget_limits();
        let cache = current.gateway().map_or(0, Gateway::token_cache_bytes);
        let usage = |used, limit| Usage { used, limit };
        Budgets {
            connections: usage(self.budget.connections(), limits.connections),
            requests: usage(self.budget.requests(), limits.requests),
            memory_bytes: usage(self.budget.memory(), limits.memory),
            token_cache_bytes: usage(
                cache,
                usize::try_from(current.loaded.config.token_cache.max_bytes).unwrap_or(usize::MAX),
            ),
        }
    }
}
