//! `metagate keys`: lists the keys of every source.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::Value;
use url::Url;

use super::{ConfigArguments, Failure, load, runtime};
use crate::config::{Config, Flags};
use crate::jose::{SkippedKey, VerificationKey};
use crate::jwks::{Keys, SourceStatus};
use crate::metrics::Metrics;
use crate::printable;
use crate::tls;

mod refresh;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Make the running proxy fetch its keys now, and print the result.
    #[arg(long)]
    refresh: bool,
    /// The URL of that proxy's admin listener; by default the one of the configuration.
    #[arg(long, value_name = "URL", requires = "refresh")]
    url: Option<Url>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.refresh {
        return refresh::run(arguments);
    }
    let loaded = load(&arguments.config, Flags::default())?;
    let sources = fetch(&loaded.config)?;
    if arguments.json {
        say!("{:#}", Value::from_iter(sources.iter().map(|source| source.to_json(SystemTime::now()))));
    } else {
        sources.iter().for_each(print_source);
    }
    if sources.iter().all(|source| source.failure.is_none()) { Ok(()) } else { Err(Failure::Code(1)) }
}

/// Fetches every source once.
pub(super) fn fetch(config: &Config) -> Result<Vec<SourceStatus>, Failure> {
    tls::install_crypto_provider();
    let keys = Keys::new(config, &Arc::new(Metrics::new()))?;
    runtime()?.block_on(keys.fetch_all());
    Ok(keys.status())
}

fn print_source(source: &SourceStatus) {
    say!("{}  {}", source.entry, source.name);
    if let Some(failure) = &source.failure {
        say!("  failed: {}", printable::line(failure));
    }
    for line in times(source, SystemTime::now()) {
        say!("  {line}");
    }
    for key in &source.usable {
        say!(
            "  usable   kid={}  {}  {} bits  {}",
            printable::line(key.kid().unwrap_or("-")),
            key.kty(),
            key.bits(),
            algorithms(key)
        );
    }
    for SkippedKey { kid, fault } in &source.skipped {
        say!("  not used kid={}  {fault}", printable::line(kid.as_deref().unwrap_or("-")));
    }
}

/// The age of the keys and the time until the next refresh.
pub(super) fn times(source: &SourceStatus, now: SystemTime) -> Vec<String> {
    let whole = |time: Duration| humantime::format_duration(Duration::from_secs(time.as_secs()));
    let mut lines = Vec::new();
    if let Some(age) = source.fetched_at.map(|time| now.duration_since(time).unwrap_or_default()) {
        let prefix = if source.restored { "stored keys, stale until they are fetched: " } else { "" };
        lines.push(format!("{prefix}fetched {} ago", whole(age)));
    }
    if let Some(next) = source.next.map(|time| time.duration_since(now).unwrap_or_default()) {
        lines.push(format!("next refresh in {}", whole(next)));
    }
    lines
}

fn algorithms(key: &VerificationKey) -> String {
    key.algorithms().iter().map(|algorithm| algorithm.name()).collect::<Vec<_>>().join(",")
}
