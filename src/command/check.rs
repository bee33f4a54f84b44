//! `metagate check`: checks the configuration, fetches the key sets and runs the rule tests.

mod rule_tests;
mod signer;

use std::cmp::Reverse;
use std::time::SystemTime;

use clap::Args;
use serde_json::{Value, json};

use rule_tests::{Results, TestResult};

use super::keys::{fetch, times};
use super::routes::row_json;
use super::{ConfigArguments, Failure, write_out};
use crate::config::{self, Config, Finding, Flags, Level, Loaded, PUBLISHED_KEY_ID, Sources};
use crate::gateway::system_clock;
use crate::jwks::SourceStatus;
use crate::policy::{RouteRow, RouteTable};

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

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let sources = Sources::from_process(arguments.config.config.clone(), Flags::default());
    let loaded = match config::load(&sources) {
        Ok(loaded) => loaded,
        Err(errors) if arguments.json => {
            let errors: Vec<_> = errors.iter().map(|error| json!({"level": "error", "path": error.path, "message": error.message, "help": error.help, "origin": error.origin.as_ref().map(ToString::to_string)})).collect();
            say!("{:#}", json!({"findings": errors, "sources": []}));
            return Err(Failure::Code(2));
        }
        Err(errors) => return Err(Failure::Config(errors)),
    };
    let fetched = if arguments.offline { Vec::new() } else { fetch(&loaded.config)? };
    let tested = rule_tests::run(&loaded.config, system_clock(), arguments.json)
        .map_err(|_| Failure::Other("cannot make keys for the tests".to_owned()))?;
    let findings = findings(&loaded, &fetched, &tested);
    print(&findings, &fetched, &tested, &loaded.config.policy.routes, arguments.json)?;
    if findings.iter().any(|finding| finding.level == Level::Error) { Err(Failure::Code(1)) } else { Ok(()) }
}

/// All findings, the most severe first.
fn findings(loaded: &Loaded, fetched: &[SourceStatus], tested: &Results) -> Vec<Finding> {
    let mut findings: Vec<_> = fetched.iter().filter_map(|source| failed(source, &loaded.config)).collect();
    findings.extend(tested.tests.iter().filter(|test| !test.passed).map(failed_test));
    findings.extend(loaded.warnings.iter().cloned());
    findings.extend(fetched.iter().flat_map(stored).chain(fetched.iter().flat_map(published_key)));
    // Without tests, coverage has no meaning.
    if !tested.tests.is_empty() {
        findings.extend(tested.never_hit.iter().map(|rule| never_hit(*rule, tested)));
    }
    findings.extend(loaded.infos.iter().map(|info| Finding::new(Level::Info, "", info)));
    findings.sort_by_key(|finding| Reverse(finding.level));
    findings
}

fn failed_test(test: &TestResult) -> Finding {
    Finding { steps: test.steps().to_vec(), ..Finding::new(Level::Error, &test.path, test.message()) }
}

fn never_hit(rule: usize, tested: &Results) -> Finding {
    let message = format!("`{}` decides in no test", tested.rule(rule));
    let help = Some("add a request that it decides about to authorization.tests".to_owned());
    Finding { help, ..Finding::new(Level::Warning, format!("authorization.rules[{rule}]"), message) }
}

fn failed(source: &SourceStatus, config: &Config) -> Option<Finding> {
    let failure = source.failure.as_ref()?;
    // A backend that serves its own keys may not be running yet, which is not an error in the configuration.
    let optional = config.trust.iter().any(|entry| entry.name == source.entry && entry.optional);
    let level = if optional { Level::Warning } else { Level::Error };
    Some(Finding::new(level, place(source), format!("{}: {failure}", source.name)))
}

fn place(source: &SourceStatus) -> String {
    format!("authentication ({})", source.entry)
}

/// Warns if only stored keys are available: without them, a start would have no keys.
fn stored(source: &SourceStatus) -> Option<Finding> {
    let message = format!("{}: {} stored keys would serve meanwhile", source.name, source.usable.len());
    source.restored.then(|| Finding::new(Level::Warning, place(source), message))
}

/// Warns about the key pair of OpenMetadata's quick start, whose private half is public.
fn published_key(source: &SourceStatus) -> Option<Finding> {
    let message = format!("{}: the key id is that of OpenMetadata's published default key pair", source.name);
    let help = Some("anyone can sign tokens with it; create another key pair for OpenMetadata".to_owned());
    source
        .usable
        .iter()
        .any(|key| key.kid() == Some(PUBLISHED_KEY_ID))
        .then(|| Finding { help, ..Finding::new(Level::Warning, place(source), message) })
}

/// The rows of the configuration; `metagate routes` lists all rows.
fn configured_rows(routes: &RouteTable) -> impl Iterator<Item = (usize, &RouteRow)> {
    routes.rows().iter().enumerate().filter(|(_, row)| row.is_configured())
}

fn print(
    findings: &[Finding],
    sources: &[SourceStatus],
    tested: &Results,
    routes: &RouteTable,
    as_json: bool,
) -> Result<(), Failure> {
    let mut out = String::new();
    if as_json {
        let findings: Vec<_> = findings.iter().map(|finding| json!({"level": finding.level.as_str(), "path": finding.path, "message": finding.message, "help": finding.help, "steps": finding.steps})).collect();
        let sources = sources.iter().map(|source| source.to_json(SystemTime::now())).collect::<Value>();
        out = format!(
            "{:#}\n",
            json!({"findings": findings, "sources": sources, "tests": tested.json(), "routes": configured_rows(routes).map(|(at, row)| row_json(at, row)).collect::<Value>()})
        );
        return write_out(&out);
    }
    for finding in findings {
        out.push_str(&format!("{finding}\n"));
    }
    for source in sources.iter().filter(|source| source.failure.is_none()) {
        out.push_str(&format!("ok: {}: {} keys from {}\n", source.entry, source.usable.len(), source.name));
        for line in times(source, SystemTime::now()) {
            out.push_str(&format!("  {line}\n"));
        }
    }
    for (at, row) in configured_rows(routes) {
        out.push_str(&format!("ok: route {}: {row}\n", at + 1));
    }
    if !tested.tests.is_empty() {
        out.push_str(&format!("{}\n", tested.summary()));
    }
    if !findings.iter().any(|finding| finding.level == Level::Error) {
        out.push_str("configuration is good\n");
    }
    write_out(&out)
}
