//! What a connection has of the worker that serves it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::settings::ConnectionSettings;
use crate::gateway::Gateway;
use crate::metrics::Metrics;
use crate::upstream::Upstream;

/// What a worker serves with while one configuration is in force.
pub(crate) struct WorkerState {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) upstream: Arc<Upstream>,
    /// For connections that are accepted from now on.
    pub(crate) settings: ConnectionSettings,
    pub(crate) tls: Option<TlsAcceptor>,
}

/// What every connection of a worker shares.
#[derive(Clone)]
pub(crate) struct WorkerContext {
    /// The worker's own, so that no count of it moves between cores; looked at for each request.
    pub(crate) worker_state: Arc<ArcSwap<WorkerState>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) drain: watch::Receiver<bool>,
    pub(crate) admission: watch::Receiver<u64>,
}

impl WorkerContext {
    /// Resolves when a connection that was admitted by the policy of this number is to end.
    pub(crate) async fn is_ending(&self, admission: u64) {
        let mut current = self.admission.clone();
        tokio::select! {
            () = self.is_draining() => {}
            // As for draining.
            _ = current.wait_for(|current| *current != admission) => {}
        }
    }

    /// Whether it is to end with its next answer.
    pub(crate) fn is_outdated(&self, admission: u64) -> bool {
        self.worker_state.load().settings.admission != admission
    }

    /// Resolves when connections are to end.
    pub(crate) async fn is_draining(&self) {
        let mut drain = self.drain.clone();
        // The sender outlives the workers; if it is gone, so is the reason to go on.
        let _ = drain.wait_for(|drain| *drain).await.is_ok();
    }
}
