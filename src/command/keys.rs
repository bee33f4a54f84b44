//! `metagate keys`

use std::sync::Arc;
use std::time::SystemTime;

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

/// A source as JSON.
pub(super) fn source_json(source: &SourceStatus) -> Value {
    let fetched_at = source
        .fetched_at
        .and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok())
        .map(|time| time.as_secs());
    json!({
        "issuer": source.entry,
        "source": source.name,
        "failure": source.failure,
        "fetchedAt": fetched_at,
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
