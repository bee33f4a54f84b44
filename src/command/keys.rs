//! `metagate keys`: lists the keys of every source.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::Args;
use http::StatusCode;
use serde_json::Value;
use url::Url;

use super::running::{self, Ask};
use super::{ConfigArguments, Failure, load, runtime};
use crate::config::{Config, Flags};
use crate::jwks::{Keys, SourceStatus};
use crate::metrics::Metrics;
use crate::numeric_date::NumericDate;
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
    /// Show the keys that the running proxy has. Without it, every source is fetched once, and those are shown.
    #[arg(long)]
    running: bool,
    /// Make the running proxy fetch its keys now, and print the result.
    #[arg(long, conflicts_with = "running")]
    refresh: bool,
    /// The URL of that proxy's admin listener; by default the one of the configuration.
    #[arg(long, value_name = "URL")]
    url: Option<Url>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.refresh {
        return refresh::run(arguments);
    }
    if arguments.url.is_some() && !arguments.running {
        return Err(Failure::Usage("--url needs --running or --refresh".to_owned()));
    }
    let now = SystemTime::now();
    let sources: Vec<_> = if arguments.running {
        ask(arguments)?
    } else {
        let loaded = load(&arguments.config, Flags::default())?;
        fetch(&loaded.config)?.iter().map(|source| source.to_json(SystemTime::now())).collect()
    };
    let failed = sources.iter().any(|source| source["failure"].is_string());
    if arguments.json {
        say!("{:#}", Value::Array(sources));
    } else {
        sources.iter().for_each(|source| print_source(source, now));
    }
    if failed { Err(Failure::Code(1)) } else { Ok(()) }
}

/// The sources of the running proxy.
fn ask(arguments: &Arguments) -> Result<Vec<Value>, Failure> {
    let url = running::url(&arguments.config, arguments.url.as_ref(), "/keys")?;
    match running::ask(&url, &Ask::Get)? {
        (StatusCode::OK, Value::Array(sources)) => Ok(sources),
        (status, response) => Err(running::unexpected(&url, status, &response)),
    }
}

/// Fetches every source once.
pub(super) fn fetch(config: &Config) -> Result<Vec<SourceStatus>, Failure> {
    tls::install_crypto_provider();
    let keys = Keys::new(config, &Arc::new(Metrics::new()))?;
    runtime()?.block_on(keys.fetch_all());
    Ok(keys.status())
}

/// Prints a source in the form of [`SourceStatus::to_json`].
fn print_source(source: &Value, now: SystemTime) {
    let text = |value: &Value| printable::line(value.as_str().unwrap_or_default()).into_owned();
    let kid = |key: &Value| printable::line(key["kid"].as_str().unwrap_or("-")).into_owned();
    say!("{}  {}", text(&source["issuer"]), text(&source["source"]));
    if source["failure"].is_string() {
        say!("  failed: {}", text(&source["failure"]));
    }
    for line in times_of(source, now) {
        say!("  {line}");
    }
    for key in source["keys"].as_array().map(Vec::as_slice).unwrap_or_default() {
        if key["usable"] == true {
            let algorithms = key["algorithms"].as_array().map(Vec::as_slice).unwrap_or_default();
            let algorithms = algorithms.iter().map(text).collect::<Vec<_>>().join(",");
            say!("  usable   kid={}  {}  {} bits  {algorithms}", kid(key), text(&key["kty"]), key["bits"]);
        } else {
            say!("  not used kid={}  {}", kid(key), text(&key["message"]));
        }
    }
}

/// The age of the keys and the time until the next refresh.
pub(super) fn times(source: &SourceStatus, now: SystemTime) -> Vec<String> {
    times_of(&source.to_json(now), now)
}

fn times_of(source: &Value, now: SystemTime) -> Vec<String> {
    let whole = |secs: u64| humantime::format_duration(Duration::from_secs(secs));
    let mut lines = Vec::new();
    if let Some(age) = source["age_seconds"].as_u64() {
        let prefix =
            if source["restored"] == true { "stored keys, stale until they are fetched: " } else { "" };
        lines.push(format!("{prefix}fetched {} ago", whole(age)));
    }
    if let Some(next) = source["next_refresh_at"].as_str().and_then(NumericDate::from_text) {
        let left = next.since(NumericDate::from(now));
        lines.push(format!("next refresh in {}", whole(u64::try_from(left).unwrap_or(0))));
    }
    lines
}
