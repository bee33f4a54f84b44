//! Logs diagnostics to standard error. Standard output is only for audit records.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::reload::Handle;

use crate::config::{Log, LogFormat};

/// The log of the process. Its level can be changed. A clone is another handle to the same log.
#[derive(Clone)]
pub struct Telemetry {
    reload: Arc<dyn Fn(EnvFilter) + Send + Sync>,
    /// The level in force, as in `log.level`.
    level: Arc<Mutex<Box<str>>>,
}

/// Starts logging for the whole process. A second call changes nothing.
pub fn start(log: &Log) -> Result<Telemetry, ParseError> {
    let filter = EnvFilter::builder().parse(&log.level)?;
    // An error of standard error would be reported to standard error with `eprintln!`, which panics: a log on a full disk,
    // or a pipe that nobody reads, would end the process.
    let builder = tracing_subscriber::fmt()
        .log_internal_errors(false)
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_target(false);
    // `Err` if a subscriber is already installed: tests start several servers.
    Ok(match log.format {
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_current_span(false).with_span_list(false);
            let builder = builder.with_filter_reloading();
            let handle = builder.reload_handle();
            let _ = builder.try_init();
            Telemetry::of(handle, log)
        }
        LogFormat::Text => {
            let builder = builder.with_ansi(wants_colour()).with_filter_reloading();
            let handle = builder.reload_handle();
            let _ = builder.try_init();
            Telemetry::of(handle, log)
        }
    })
}

impl Telemetry {
    fn of<S: 'static>(handle: Handle<EnvFilter, S>, log: &Log) -> Self {
        // `Err` if the subscriber is gone, and with it the log.
        let reload = Arc::new(move |filter| drop(handle.reload(filter)));
        Self { reload, level: Arc::new(Mutex::new(log.level.clone())) }
    }

    /// Changes the level, in the form of `log.level`.
    pub fn change_level(&self, level: &str) {
        // It was checked before. An invalid one would change nothing.
        if let Ok(filter) = EnvFilter::builder().parse(level) {
            (self.reload)(filter);
            *self.level.lock().unwrap_or_else(PoisonError::into_inner) = level.into();
        }
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
