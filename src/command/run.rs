//! `metagate run`: runs the proxy.

use std::ffi::OsStr;
use std::io::{self, IsTerminal as _};
use std::path::Path;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Failure, RunArguments, runtime};
use crate::audit::{AuditFile, Reopen, TerminalLines};
use crate::config::{self, ConfigErrors, Loaded};
use crate::gateway::system_clock;
use crate::server::{
    self, Inherited, Listeners, LogDropped, LogLevel, Notifier, Reload, RunOptions, tls_files,
};
use crate::{panics, telemetry};

pub(super) fn run(arguments: &RunArguments) -> Result<(), Failure> {
    let sources = arguments.sources();
    let loaded = config::load(&sources).map_err(Failure::Config)?;
    if let Some(errors) = ConfigErrors::from_list(tls_files::errors(&loaded), &loaded.used.files) {
        return Err(Failure::Config(errors));
    }
    let telemetry = telemetry::start(&loaded.config.log)?;
    if let Err(error) = panics::log_aborts(telemetry::flush) {
        tracing::warn!(%error, "an abort of the process will not be logged");
    }
    report(&loaded);
    let inherited = Inherited::take_all(sources.variable("LISTEN_FDNAMES").unwrap_or_default())?;
    let listeners = Listeners::bind(&loaded.config, inherited)?;
    let notifier = Notifier::new(sources.variable("NOTIFY_SOCKET").map(OsStr::new));
    let log_queue = telemetry.queue().clone();
    runtime()?.block_on(async {
        let shutdown = ended()?;
        let log = telemetry.clone();
        let on_applied = Box::new(move |config: &config::Config| log.change_level(&config.log.level));
        let log_level: LogLevel = Box::new(move |level| {
            level.inspect(|level| telemetry.change_level(level));
            telemetry.level()
        });
        let audit_file = Reopen::default();
        let audit = audit_output(loaded.config.audit.file.as_deref(), &audit_file)?;
        let reload = Some(Reload { sources, on_applied, audit_file });
        let log_dropped: LogDropped = Box::new(move || log_queue.dropped());
        let options =
            RunOptions { reload, notifier, log_level: Some(log_level), log_dropped: Some(log_dropped) };
        server::run(loaded, options, listeners, audit, system_clock, shutdown).await?;
        Ok(())
    })
}

fn audit_output(file: Option<&Path>, reopen: &Reopen) -> Result<Box<dyn io::Write + Send>, Failure> {
    let stdout = io::stdout();
    match file {
        Some(path) => {
            AuditFile::open(path, reopen.clone()).map(|file| Box::new(file) as _).map_err(|error| {
                Failure::Other(format!("audit.output: {} cannot be opened: {error}", path.display()))
            })
        }
        None if stdout.is_terminal() => Ok(Box::new(TerminalLines(stdout))),
        None => Ok(Box::new(stdout)),
    }
}

fn report(loaded: &Loaded) {
    tracing::info!(version = env!("CARGO_PKG_VERSION"), backend = loaded.config.backend.as_str(), upstream = %loaded.config.upstream, workers = loaded.config.workers, "starting");
    let (files, environment, flags) =
        (loaded.used.described_files(), loaded.used.environment.join(" "), loaded.used.flags.join(" "));
    tracing::info!(files, environment, flags, "configuration loaded");
    server::log_findings(loaded);
}

/// Resolves at the first SIGTERM or SIGINT. A second signal ends the process immediately.
pub(super) fn ended() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        either(&mut terminate, &mut interrupt).await;
        tokio::spawn(async move {
            either(&mut terminate, &mut interrupt).await;
            tracing::warn!("second signal: exiting immediately");
            telemetry::flush();
            std::process::exit(1);
        });
    })
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
