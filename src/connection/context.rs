//! What a connection shares with the worker that serves it.

use std::future::pending;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::settings::ConnectionSettings;
use crate::gateway::Gateway;
use crate::metrics::Metrics;
use crate::sync::ArcSwap;
use crate::upstream::Upstream;

/// The state with which a worker serves requests while one configuration is in force.
pub(crate) struct WorkerState {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) upstream: Arc<Upstream>,
    /// Applies to connections that are accepted from now on.
    pub(crate) settings: ConnectionSettings,
    pub(crate) tls: Option<TlsAcceptor>,
}

/// How far a shutdown has come. Each phase includes what the ones before it ask of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ShutdownPhase {
    /// There is none.
    Serving,
    /// Clients are told to go elsewhere: over HTTP/1 by `Connection: close` in each response, over HTTP/2 by GOAWAY.
    /// Connections are still accepted.
    Announced,
    /// No connections are accepted. Tunnels end. Idle connections stay open for a request that is on its way.
    Draining,
    /// Idle connections are closed.
    ClosingIdle,
}

/// Shared by all connections of a worker.
#[derive(Clone)]
pub(crate) struct WorkerContext {
    /// Loaded for each request. Each worker has its own, so that its reference count stays on one core.
    pub(crate) worker_state: Arc<ArcSwap<WorkerState>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) shutdown: watch::Receiver<ShutdownPhase>,
    /// The number of the connection policy in force.
    pub(crate) policy_number: watch::Receiver<u64>,
}

impl WorkerContext {
    /// Resolves when a connection that was accepted under the policy of this number has to end.
    pub(crate) async fn is_ending(&self, policy_number: u64) {
        tokio::select! {
            () = self.reaches(ShutdownPhase::Draining) => {}
            () = self.becomes_outdated(policy_number) => {}
        }
    }

    /// Resolves when an HTTP/2 connection that was accepted under the policy of this number must get GOAWAY.
    /// `first_request` resolves when it has carried a request. Without one, a connection that is opened during
    /// `shutdown.delay` could not be used at all, and its client would open the next one.
    pub(crate) async fn needs_goaway(&self, policy_number: u64, first_request: impl Future<Output = ()>) {
        let announced = async {
            tokio::join!(self.reaches(ShutdownPhase::Announced), first_request);
        };
        tokio::select! {
            () = announced => {}
            () = self.reaches(ShutdownPhase::ClosingIdle) => {}
            () = self.becomes_outdated(policy_number) => {}
        }
    }

    /// Whether clients are told to use another connection.
    pub(crate) fn is_shutting_down(&self) -> bool {
        *self.shutdown.borrow() >= ShutdownPhase::Announced
    }

    /// Whether such a connection has to end with its next response.
    pub(crate) fn is_outdated(&self, policy_number: u64) -> bool {
        self.worker_state.load().settings.policy_number != policy_number
    }

    /// Resolves when idle connections have to end.
    pub(crate) async fn closes_idle(&self) {
        self.reaches(ShutdownPhase::ClosingIdle).await;
    }

    async fn reaches(&self, phase: ShutdownPhase) {
        let mut shutdown = self.shutdown.clone();
        // The sender outlives the workers. If it is gone, the process ends.
        let _ = shutdown.wait_for(|current| *current >= phase).await.is_ok();
    }

    async fn becomes_outdated(&self, policy_number: u64) {
        replaced(self.policy_number.clone(), policy_number).await;
    }
}

/// Resolves when a later connection policy than this one is in force. A connection that is accepted while a policy enters
/// into force may already have its number when `in_force` does not.
pub(super) async fn replaced(mut in_force: watch::Receiver<u64>, policy_number: u64) {
    // The sender is gone once the process shuts down: nothing is reloaded any more.
    if in_force.wait_for(|in_force| *in_force > policy_number).await.is_err() {
        pending().await
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn a_connection_accepted_before_its_policy_is_announced_is_not_outdated() {
        let announced = watch::Sender::new(0);
        let mut replaced = pin!(replaced(announced.subscribe(), 1));
        let mut poll = || replaced.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(poll(), Poll::Pending);
        announced.send_replace(1);
        assert_eq!(poll(), Poll::Pending);
        announced.send_replace(2);
        assert_eq!(poll(), Poll::Ready(()));
    }
}
