//! Diagnostics on standard error. Audit records have standard output to themselves.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::reload::Handle;

use crate::config::{Log, LogFormat};

/// The log of the process, whose level may change.
pub struct Telemetry(Box<dyn Fn(EnvFilter) + Send + Sync>);

/// Starts logging for the whole process. A second call changes nothing.
pub fn start(log: &Log) -> Result<Telemetry, ParseError> {
    let filter = EnvFilter::builder().parse(&log.level)?;
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
    // `Err` where a subscriber is installed already: tests start several servers.
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
        // `Err` where there is no subscriber any more: nobody would see the level.
        Self(Box::new(move |filter| drop(handle.reload(filter))))
    }

    /// Logs at the level of `log` from now on.
    pub fn change_level(&self, log: &Log) {
        // The configuration was checked; what cannot be read changes nothing.
        if let Ok(filter) = EnvFilter::builder().parse(&log.level) {
            (self.0)(filter);
        }
    }
}

/// Colour on a terminal alone, and not where `NO_COLOR` is set to anything.
fn wants_colour() -> bool {
    use io::IsTerminal as _;
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
