//! `metagate keys`

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::{Value, json};

use super::{ConfigArguments, Failure, load, runtime};
use crate::config::{Config, Flags};
use crate::jose::{KeyFamily, SkippedKey, VerificationKey};
use crate::keys::{Keys, SourceStatus};
use crate::metrics::Metrics;
use crate::tls;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let loaded = load(&arguments.config, Flags::default())?;
    let sources = fetch(&loaded.config)?;
    if arguments.json {
        println!("{:#}", Value::from_iter(sources.iter().map(source_json)));
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
    println!("{}  {}", source.entry, source.name);
    if let Some(failure) = &source.failure {
        println!("  failed: {failure}");
    }
    for line in times(source, SystemTime::now()) {
        println!("  {line}");
    }
    for key in &source.usable {
        println!(
            "  usable   kid={}  {}  {} bits  {}",
            key.kid().unwrap_or("-"),
            kind(key),
            key.bits(),
            algorithms(key)
        );
    }
    for SkippedKey { kid, fault } in &source.skipped {
        println!("  not used kid={}  {fault}", kid.as_deref().unwrap_or("-"));
    }
}

/// How old the keys are and when there will be newer ones.
pub(super) fn times(source: &SourceStatus, now: SystemTime) -> Vec<String> {
    let whole = |time: Duration| humantime::format_duration(Duration::from_secs(time.as_secs()));
    let mut lines = Vec::new();
    if let Some(age) = source.fetched_at.map(|time| now.duration_since(time).unwrap_or_default()) {
        let kept = if source.restored { "stored keys, stale until they are fetched: " } else { "" };
        lines.push(format!("{kept}fetched {} ago", whole(age)));
    }
    if let Some(next) = source.next.map(|time| time.duration_since(now).unwrap_or_default()) {
        lines.push(format!("next refresh in {}", whole(next)));
    }
    lines
}

/// A source as JSON.
pub(super) fn source_json(source: &SourceStatus) -> Value {
    let now = SystemTime::now();
    let secs =
        |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let age = |time: SystemTime| now.duration_since(time).unwrap_or_default().as_secs();
    json!({
        "issuer": source.entry,
        "source": source.name,
        "failure": source.failure,
        "fetchedAt": source.fetched_at.map(secs),
        "ageSeconds": source.fetched_at.map(age),
        "nextRefreshAt": source.next.map(secs),
        "restored": source.restored,
        "keys": source.usable.iter().map(|key| key_json(key)).chain(source.skipped.iter().map(skipped_json)).collect::<Vec<_>>(),
    })
}

fn key_json(key: &VerificationKey) -> Value {
    json!({"kid": key.kid(), "kty": kind(key), "bits": key.bits(), "algorithms": key.algorithms().iter().map(|algorithm| algorithm.name()).collect::<Vec<_>>(), "usable": true})
}

fn skipped_json(SkippedKey { kid, fault }: &SkippedKey) -> Value {
    json!({"kid": kid, "usable": false, "reason": fault.as_str(), "message": fault.to_string()})
}

fn kind(key: &VerificationKey) -> &'static str {
    match key.family() {
        KeyFamily::Rsa => "RSA",
        KeyFamily::P256 | KeyFamily::P384 => "EC",
        KeyFamily::Ed25519 => "OKP",
        KeyFamily::Hmac => "secret",
    }
}

fn algorithms(key: &VerificationKey) -> String {
    key.algorithms().iter().map(|algorithm| algorithm.name()).collect::<Vec<_>>().join(",")
}
