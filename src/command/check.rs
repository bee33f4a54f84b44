//! `metagate check`

use std::time::SystemTime;

use clap::Args;
use serde_json::{Value, json};

use super::keys::{fetch, source_json, times};
use super::{ConfigArguments, Failure};
use crate::config::{self, Config, Flags, Sources};
use crate::keys::SourceStatus;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Do not fetch key sets.
    #[arg(long)]
    offline: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One thing to know, the worst first.
struct Finding {
    level: &'static str,
    path: String,
    message: String,
    help: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let sources = Sources::from_process(arguments.config.config.clone(), Flags::default());
    let loaded = match config::load(&sources) {
        Ok(loaded) => loaded,
        Err(errors) if arguments.json => {
            let errors: Vec<_> = errors.iter().map(|error| json!({"level": "error", "path": error.path, "message": error.message, "help": error.help, "origin": error.origin.as_ref().map(ToString::to_string)})).collect();
            println!("{:#}", json!({"findings": errors, "sources": []}));
            return Err(Failure::Code(2));
        }
        Err(errors) => return Err(Failure::Config(errors)),
    };
    let fetched = if arguments.offline { Vec::new() } else { fetch(&loaded.config)? };
    let mut findings: Vec<_> = fetched.iter().filter_map(|source| failed(source, &loaded.config)).collect();
    let warned = loaded.warnings.iter();
    findings.extend(warned.map(|finding| Finding {
        level: "warning",
        path: finding.path.clone(),
        message: finding.message.clone(),
        help: finding.help.clone(),
    }));
    findings.extend(fetched.iter().flat_map(stored).chain(fetched.iter().flat_map(published_key)));
    findings.sort_by_key(|finding| finding.level);
    print(&findings, &fetched, arguments.json);
    if findings.iter().any(|finding| finding.level == "error") { Err(Failure::Code(1)) } else { Ok(()) }
}

fn failed(source: &SourceStatus, config: &Config) -> Option<Finding> {
    let failure = source.failure.as_ref()?;
    // A backend that serves its own keys may not be up yet: it is no error of the configuration.
    let optional = config.trust.iter().any(|entry| entry.name == source.entry && entry.optional);
    Some(Finding {
        level: if optional { "warning" } else { "error" },
        path: format!("authentication ({})", source.entry),
        message: format!("{}: {failure}", source.name),
        help: None,
    })
}

/// Nothing is wrong with the configuration, but a start without the stored keys would find none.
fn stored(source: &SourceStatus) -> Option<Finding> {
    source.restored.then(|| Finding {
        level: "warning",
        path: format!("authentication ({})", source.entry),
        message: format!("{}: {} stored keys would serve meanwhile", source.name, source.usable.len()),
        help: None,
    })
}

/// OpenMetadata's quick start ships a key pair whose private half everybody has.
fn published_key(source: &SourceStatus) -> Option<Finding> {
    const PUBLISHED_KID: &str = "Gb389a-9f76-gdjs-a92j-0242bk94356";
    source.usable.iter().any(|key| key.kid() == Some(PUBLISHED_KID)).then(|| Finding {
        level: "warning",
        path: format!("authentication ({})", source.entry),
        message: format!("{}: the key id is that of OpenMetadata's published default key pair", source.name),
        help: Some("anybody can sign tokens with it; give OpenMetadata a key pair of its own".to_owned()),
    })
}

fn print(findings: &[Finding], sources: &[SourceStatus], as_json: bool) {
    if as_json {
        let findings: Vec<_> = findings.iter().map(|finding| json!({"level": finding.level, "path": finding.path, "message": finding.message, "help": finding.help})).collect();
        println!(
            "{:#}",
            json!({"findings": findings, "sources": sources.iter().map(source_json).collect::<Value>()})
        );
        return;
    }
    for Finding { level, path, message, help } in findings {
        println!("{level}: {path}: {message}");
        if let Some(help) = help {
            println!("  = help: {help}");
        }
    }
    for source in sources.iter().filter(|source| source.failure.is_none()) {
        println!("ok: {}: {} keys from {}", source.entry, source.usable.len(), source.name);
        for line in times(source, SystemTime::now()) {
            println!("  {line}");
        }
    }
    if !findings.iter().any(|finding| finding.level == "error") {
        println!("configuration is good");
    }
}
