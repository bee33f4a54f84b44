//! The task that keeps one source, for as long as anybody uses it.

use std::sync::Arc;

use tokio::task::{JoinHandle, JoinSet};

use super::source::Source;
use crate::metrics::Metrics;

/// Keeps a source until it is dropped.
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

/// A panic must not cost a source its keys for good.
async fn supervise(source: Arc<Source>, metrics: Arc<Metrics>) {
    // Aborted with us.
    let mut keeping = JoinSet::new();
    loop {
        let kept = source.clone();
        keeping.spawn(async move { kept.keep().await });
        if let Some(Err(error)) = keeping.join_next().await
            && error.is_panic()
        {
            metrics.panics.inc();
            tracing::error!(source = source.name(), "a key source panicked and is started again");
        }
    }
}
