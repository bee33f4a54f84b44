//! Logs diagnostics to standard error. Standard output is only for audit records.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::reload::Handle;

use crate::config::{Log, LogFormat};

/// The log of the process. Its level can be changed.
pub struct Telemetry(Box<dyn Fn(EnvFilter) + Send + Sync>);

/// Starts logging for the whole process. A second call changes nothing.
pub fn start(log: &Log) -> Result<Telemetry, ParseError> {
    let filter = EnvFilter::builder().parse(&log.level)?;
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
    // `Err` if a subscriber is already installed: tests start several servers.
    Ok(match log.format {
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_current_span(false).with_span_list(false);
            let builder = builder.with_filter_reloading();
            let handle = builder.reload_handle();
            let _ = builder.try_init();
            Telemetry::of(handle)
        }
        LogFormat::Text => {
            let builder = builder.with_ansi(wants_colour()).with_filter_reloading();
            let handle = builder.reload_handle();
            let _ = builder.try_init();
            Telemetry::of(handle)
        }
    })
}

impl Telemetry {
    fn of<S: 'static>(handle: Handle<EnvFilter, S>) -> Self {
        // `Err` if the subscriber is gone, and with it the log.
        Self(Box::new(move |filter| drop(handle.reload(filter))))
    }

    /// Changes the level to that of `log`.
    pub fn change_level(&self, log: &Log) {
        // The level was checked when the configuration was loaded. An invalid one would change nothing.
        if let Ok(filter) = EnvFilter::builder().parse(&log.level) {
            (self.0)(filter);
        }
    }
}

/// Colour only on a terminal, and only if `NO_COLOR` is empty or not set.
fn wants_colour() -> bool {
    use io::IsTerminal as _;
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
