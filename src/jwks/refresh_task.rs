//! The background task that refreshes one source.

use std::sync::Arc;

use tokio::task::{JoinHandle, JoinSet};

use super::source::Source;
use crate::metrics::Metrics;

/// Refreshes a source until it is dropped.
#[derive(Debug)]
pub(super) struct RefreshTask {
    source: Arc<Source>,
    task: JoinHandle<()>,
}

impl RefreshTask {
    pub(super) fn start(source: Arc<Source>, metrics: Arc<Metrics>) -> Arc<Self> {
        let task = tokio::spawn(supervise(source.clone(), metrics));
        Arc::new(Self { source, task })
    }

    pub(super) fn source(&self) -> &Arc<Source> {
        &self.source
    }
}

impl Drop for RefreshTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Restarts the task after a panic, which would otherwise stop the refresh of this source for good.
async fn supervise(source: Arc<Source>, metrics: Arc<Metrics>) {
    // Dropping the set aborts the task.
    let mut tasks = JoinSet::new();
    loop {
        let running = source.clone();
        tasks.spawn(async move { running.run().await });
        if let Some(Err(error)) = tasks.join_next().await
            && error.is_panic()
        {
            metrics.panics.inc();
            tracing::error!(
                source = source.name(),
                "the refresh task of a key source panicked; restarting it"
            );
        }
    }
}
