//! What the admin listener shows of the process, and does with it.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::Process;
use crate::admin::{Console, LogLevel, ReloadRequest};
use crate::refusals::Refusals;

/// The console of a process. `reload` takes requests to reload.
pub(super) fn console(
    process: &Arc<Process>,
    reload: mpsc::Sender<ReloadRequest>,
    refusals: Arc<Refusals>,
    log_level: Option<LogLevel>,
) -> Console {
    let for_quit = process.clone();
    let (for_overview, for_keys) = (process.clone(), process.clone());
    let (for_hosts, for_explain) = (process.clone(), process.clone());
    Console {
        overview: Box::new(move || for_overview.overview()),
        reload,
        refresh_keys: Box::new(move || {
            let keys = for_keys.current().keys.clone();
            Box::pin(async move { keys.refresh_now().await })
        }),
        explain: Box::new(move |question| Some(for_explain.current().gateway()?.explain(question))),
        refusals,
        log_level,
        quit: Box::new(move || {
            let permitted = for_quit.current().loaded.config.admin_quit;
            if permitted {
                tracing::info!("shutting down because of POST /quit");
                for_quit.quit.notify_one();
            }
            permitted
        }),
        is_host: Box::new(move |name| {
            let current = for_hosts.current();
            current.loaded.config.admin_hosts.iter().any(|host| host.eq_ignore_ascii_case(name))
        }),
    }
}
