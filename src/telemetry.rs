//! Logs diagnostics to standard error. Standard output is only for audit records.
//!
//! A request never waits for standard error: lines are queued, one thread writes them, and those that do not fit are
//! dropped and counted (`queue`).

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::reload::Handle;

use crate::config::{Log, LogFormat};
use crate::panics;

mod queue;

pub use queue::LogQueue;

/// The queue of the process's log, for the panic hook.
static QUEUE: OnceLock<LogQueue> = OnceLock::new();

/// The log of the process. Its level can be changed. A clone is another handle to the same log.
#[derive(Clone)]
pub struct Telemetry {
    reload: Arc<dyn Fn(EnvFilter) + Send + Sync>,
    /// The level in force, as in `log.level`.
    level: Arc<Mutex<Box<str>>>,
    queue: LogQueue,
}

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("log.level: {0}")]
    Level(#[from] ParseError),
    #[error("cannot start the log: {0}")]
    Start(#[from] io::Error),
}

/// Starts logging for the whole process, panics included. A second call changes nothing.
///
/// # Errors
/// The level is not one, or the thread that writes the log cannot be started.
pub fn start(log: &Log) -> Result<Telemetry, LogError> {
    let filter = EnvFilter::builder().parse(&log.level)?;
    let queue = QUEUE.get().cloned().map_or_else(LogQueue::start, Ok)?;
    let queue = QUEUE.get_or_init(|| queue);
    let builder = tracing_subscriber::fmt()
        .log_internal_errors(false)
        .with_env_filter(filter)
        .with_writer(queue.clone())
        .with_target(false);
    // `Err` if a subscriber is already installed: tests start several servers.
    let telemetry = match log.format {
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_current_span(false).with_span_list(false);
            let builder = builder.with_filter_reloading();
            let handle = builder.reload_handle();
            let _ = builder.try_init();
            Telemetry::of(handle, log, queue)
        }
        LogFormat::Text => {
            let builder = builder.with_ansi(wants_colour()).with_filter_reloading();
            let handle = builder.reload_handle();
            let _ = builder.try_init();
            Telemetry::of(handle, log, queue)
        }
    };
    panics::log_all(flush);
    Ok(telemetry)
}

/// Waits until the log is written, at most for a second. Call it before the process ends.
pub fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue.flush();
    }
}

impl Telemetry {
    fn of<S: 'static>(handle: Handle<EnvFilter, S>, log: &Log, queue: &LogQueue) -> Self {
        // `Err` if the subscriber is gone, and with it the log.
        let reload = Arc::new(move |filter| drop(handle.reload(filter)));
        Self { reload, level: Arc::new(Mutex::new(log.level.clone())), queue: queue.clone() }
    }

    /// Changes the level, in the form of `log.level`.
    pub fn change_level(&self, level: &str) {
        // It was checked before. An invalid one would change nothing.
        if let Ok(filter) = EnvFilter::builder().parse(level) {
            (self.reload)(filter);
            *self.level.lock().unwrap_or_else(PoisonError::into_inner) = level.into();
        }
    }

    /// The lines that wait to be written.
    pub fn queue(&self) -> &LogQueue {
        &self.queue
    }

    /// The level in force.
    pub fn level(&self) -> Box<str> {
        self.level.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Colour only on a terminal, and only if `NO_COLOR` is empty or not set.
fn wants_colour() -> bool {
    use io::IsTerminal as _;
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests;
