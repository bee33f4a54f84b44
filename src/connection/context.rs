//! What a connection shares with the worker that serves it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::settings::ConnectionSettings;
use crate::gateway::Gateway;
use crate::metrics::Metrics;
use crate::upstream::Upstream;

/// The state with which a worker serves requests while one configuration is in force.
pub(crate) struct WorkerState {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) upstream: Arc<Upstream>,
    /// Applies to connections that are accepted from now on.
    pub(crate) settings: ConnectionSettings,
    pub(crate) tls: Option<TlsAcceptor>,
}

/// Shared by all connections of a worker.
#[derive(Clone)]
pub(crate) struct WorkerContext {
    /// Loaded for each request. Each worker has its own, so that its reference count stays on one core.
    pub(crate) worker_state: Arc<ArcSwap<WorkerState>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) drain: watch::Receiver<bool>,
    /// The number of the connection policy in force.
    pub(crate) policy_number: watch::Receiver<u64>,
}

impl WorkerContext {
    /// Resolves when a connection that was accepted under the policy of this number has to end.
    pub(crate) async fn is_ending(&self, policy_number: u64) {
        let mut current = self.policy_number.clone();
        tokio::select! {
            () = self.is_draining() => {}
            // An error means that the sender is gone, as in `is_draining`.
            _ = current.wait_for(|current| *current != policy_number) => {}
        }
    }

    /// Whether all connections have to end.
    pub(crate) fn is_draining_now(&self) -> bool {
        *self.drain.borrow()
    }

    /// Whether such a connection has to end with its next response.
    pub(crate) fn is_outdated(&self, policy_number: u64) -> bool {
        self.worker_state.load().settings.policy_number != policy_number
    }

    /// Resolves when all connections have to end.
    pub(crate) async fn is_draining(&self) {
        let mut drain = self.drain.clone();
        // The sender outlives the workers. If it is gone, the process ends.
        let _ = drain.wait_for(|drain| *drain).await.is_ok();
    }
}
