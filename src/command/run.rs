//! `metagate run`

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Failure, RunArguments, load, runtime};
use crate::config::{Flags, Loaded};
use crate::gateway::system_clock;
use crate::server::{self, Listeners};
use crate::telemetry;

pub(super) fn run(arguments: &RunArguments) -> Result<(), Failure> {
    let flags = Flags {
        listen: arguments.listen.clone(),
        upstream: arguments.upstream.clone(),
        public_keys: arguments.public_keys.clone(),
        backend: arguments.backend.clone(),
    };
    let loaded = load(&arguments.config, flags)?;
    telemetry::start(&loaded.config.log)?;
    report(&loaded);
    let listeners = Listeners::bind(&loaded.config)?;
    runtime()?.block_on(async {
        let shutdown = ended()?;
        server::run(&loaded.config, listeners, io::stdout(), system_clock, shutdown).await?;
        Ok(())
    })
}

fn report(loaded: &Loaded) {
    tracing::info!(version = env!("CARGO_PKG_VERSION"), backend = loaded.config.backend.as_str(), upstream = %loaded.config.upstream.url, workers = loaded.config.workers, "starting");
    for info in &loaded.infos {
        tracing::info!("{info}");
    }
    for finding in &loaded.warnings {
        tracing::warn!(key = %finding.path, help = finding.help, "{}", finding.message);
    }
}

/// Resolves at the first SIGTERM or SIGINT. A second one ends the process at once.
pub(super) fn ended() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    // Its default action would end the process in the middle of everything.
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            tracing::warn!("SIGHUP: this version does not reload its configuration; restart it");
        }
    });
    Ok(async move {
        either(&mut terminate, &mut interrupt).await;
        tokio::spawn(async move {
            either(&mut terminate, &mut interrupt).await;
            tracing::warn!("a second signal: ending at once");
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
