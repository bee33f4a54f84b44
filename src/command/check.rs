//! `metagate check`: checks the configuration, fetches the key sets and runs the rule tests.

mod authorization_servers;
mod backend;
mod bots;
mod mint;
mod ports;
mod rule_tests;
mod signer;

use std::cmp::Reverse;
use std::time::SystemTime;

use clap::Args;
use serde_json::{Value, json};

use rule_tests::{Results, TestResult};

use super::keys::{fetch, times};
use super::routes::row_json;
use super::{Failure, RunArguments, runtime, write_out};
use crate::config::{
    self, Config, ConfigErrors, Finding, FindingId, Level, Loaded, PUBLISHED_KEY_ID, Sources,
};
use crate::gateway::system_clock;
use crate::jwks::SourceStatus;
use crate::policy::{RouteRow, RouteTable};
use crate::server::tls_files;
use crate::tls;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    run: RunArguments,
    /// Ask nothing on the network: fetch no key sets, and do not ask the backend. Skips the listeners' addresses, and files
    /// with secrets and certificates that are not here.
    #[arg(long)]
    offline: bool,
    /// Fail if there is a warning that `check.accept` does not name.
    #[arg(long)]
    strict: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let checked = match Checked::new(&arguments.run.sources(), arguments.offline) {
        Ok(checked) => checked,
        Err(errors) if arguments.json => {
            let errors: Value = errors.iter().map(|error| json!({"level": "error", "id": null, "path": error.path, "message": error.message, "help": error.help, "steps": [], "origin": error.origin.as_ref().map(ToString::to_string)})).collect();
            say!("{:#}", json!({"findings": errors, "accepted": [], "sources": []}));
            return Err(Failure::Code(2));
        }
        Err(errors) => return Err(Failure::Config(errors)),
    };
    let Checked { loaded, found } = checked;
    let fetched = if arguments.offline { Vec::new() } else { fetch(&loaded.config)? };
    let tested = rule_tests::run(&loaded.config, system_clock(), arguments.json)
        .map_err(|_| Failure::Other("cannot make keys for the tests".to_owned()))?;
    let (accepted, findings) = findings(&loaded, found, &fetched, &tested)
        .into_iter()
        .partition(|finding| finding.is_accepted(&loaded.config.accepted));
    let report = Report {
        findings,
        accepted: [loaded.accepted, accepted].concat(),
        fails_at: if arguments.strict { Level::Warning } else { Level::Error },
    };
    print(&report, &fetched, &tested, &loaded.config.policy.routes, arguments.json)?;
    if report.fails() { Err(Failure::Code(1)) } else { Ok(()) }
}

/// A configuration that `run` would not refuse, and what was found on this machine and at the backend.
struct Checked {
    loaded: Loaded,
    found: Vec<Finding>,
}

impl Checked {
    fn new(sources: &Sources, offline: bool) -> Result<Self, ConfigErrors> {
        tls::install_crypto_provider();
        let load = if offline { config::load_without_secrets } else { config::load };
        let loaded = load(sources)?;
        let (errors, mut found) = if offline {
            tls_files::without_absent_files(&loaded)
        } else {
            (tls_files::errors(&loaded), Vec::new())
        };
        if let Some(errors) = ConfigErrors::from_list(errors, &loaded.used.files) {
            return Err(errors);
        }
        found.extend(tls_files::expiry(&loaded, SystemTime::now()));
        found.extend(bots::findings(&loaded, offline, system_clock()));
        if !offline && let Ok(runtime) = runtime() {
            let minted = loaded.config.exchange.minted();
            let minted: Vec<_> = minted.iter().map(|(path, target)| (&**path, *target)).collect();
            found.extend(runtime.block_on(async {
                let (ports, backend, mint, listed, servers) = tokio::join!(
                    ports::findings(&loaded.config),
                    backend::findings(&loaded),
                    mint::findings(&loaded, &minted),
                    bots::listed(&loaded),
                    authorization_servers::findings(&loaded)
                );
                [ports, backend, mint, listed, servers].concat()
            }));
        }
        Ok(Self { loaded, found })
    }
}

/// What was found, and what makes the command fail.
struct Report {
    findings: Vec<Finding>,
    /// The warnings that `check.accept` names.
    accepted: Vec<Finding>,
    fails_at: Level,
}

impl Report {
    fn fails(&self) -> bool {
        self.findings.iter().any(|finding| finding.level >= self.fails_at)
    }

    /// The last line of the output.
    fn conclusion(&self) -> Option<String> {
        if !self.fails() {
            return Some("configuration is good".to_owned());
        }
        if self.findings.iter().any(|finding| finding.level == Level::Error) {
            return None;
        }
        let mut ids: Vec<_> = self.findings.iter().filter_map(|finding| finding.id).collect();
        ids.sort_unstable();
        ids.dedup();
        let ids: Vec<_> = ids.into_iter().map(FindingId::as_str).collect();
        Some(format!(
            "failed because of --strict: fix the warnings, or accept them with `check: {{accept: [{}]}}`",
            ids.join(", ")
        ))
    }
}

/// All findings, the most severe first.
fn findings(
    loaded: &Loaded,
    found: Vec<Finding>,
    fetched: &[SourceStatus],
    tested: &Results,
) -> Vec<Finding> {
    let mut findings: Vec<_> = fetched.iter().filter_map(|source| failed(source, &loaded.config)).collect();
    findings.extend(found);
    findings.extend(tested.tests.iter().filter(|test| !test.passed).map(failed_test));
    findings.extend(loaded.warnings.iter().cloned());
    findings.extend(fetched.iter().filter_map(|source| mint::trusted_key(source, loaded)));
    findings.extend(fetched.iter().flat_map(stored).chain(fetched.iter().flat_map(published_key)));
    // Without tests, coverage has no meaning.
    if !tested.tests.is_empty() {
        findings.extend(tested.never_hit.iter().map(|rule| never_hit(*rule, tested)));
    }
    findings.extend(loaded.infos.iter().map(Finding::info));
    findings.sort_by_key(|finding| Reverse(finding.level));
    findings
}

fn failed_test(test: &TestResult) -> Finding {
    let finding = Finding::error(FindingId::RuleTestFailed, &test.path, test.message());
    Finding { steps: test.steps().to_vec(), ..finding }
}

fn never_hit(rule: usize, tested: &Results) -> Finding {
    let message = format!("`{}` decides in no test", tested.rule(rule));
    Finding::warning(FindingId::RuleUntested, format!("authorization.rules[{rule}]"), message)
        .help("add a request that it decides about to authorization.tests")
}

fn failed(source: &SourceStatus, config: &Config) -> Option<Finding> {
    let failure = source.failure.as_ref()?;
    // A backend that serves its own keys may not be running yet, which is not an error in the configuration.
    let optional = config.trust.iter().any(|entry| entry.name == source.entry && entry.optional);
    let new = if optional { Finding::warning } else { Finding::error };
    Some(new(FindingId::KeysUnavailable, place(source), format!("{}: {failure}", source.name)))
}

fn place(source: &SourceStatus) -> String {
    format!("authentication ({})", source.entry)
}

/// Warns if only stored keys are available: without them, a start would have no keys.
fn stored(source: &SourceStatus) -> Option<Finding> {
    let message = format!("{}: {} stored keys would serve meanwhile", source.name, source.usable.len());
    source.restored.then(|| Finding::warning(FindingId::StoredKeys, place(source), message))
}

/// Warns about the key pair of OpenMetadata's quick start, whose private half is public.
fn published_key(source: &SourceStatus) -> Option<Finding> {
    let message = format!("{}: the key id is that of OpenMetadata's published default key pair", source.name);
    let help = "anyone can sign tokens with it; create another key pair for OpenMetadata";
    source
        .usable
        .iter()
        .any(|key| key.kid() == Some(PUBLISHED_KEY_ID))
        .then(|| Finding::warning(FindingId::PublishedKey, place(source), message).help(help))
}

/// The rows of the configuration; `metagate routes` lists all rows.
fn configured_rows(routes: &RouteTable) -> impl Iterator<Item = (usize, &RouteRow)> {
    routes.rows().iter().enumerate().filter(|(_, row)| row.is_configured())
}

fn finding_json(finding: &Finding) -> Value {
    json!({"level": finding.level.as_str(), "id": finding.id.map(FindingId::as_str), "path": finding.path, "message": finding.message, "help": finding.help, "steps": finding.steps})
}

fn print(
    report: &Report,
    sources: &[SourceStatus],
    tested: &Results,
    routes: &RouteTable,
    as_json: bool,
) -> Result<(), Failure> {
    let mut out = String::new();
    if as_json {
        let findings = |findings: &[Finding]| findings.iter().map(finding_json).collect::<Value>();
        let sources = sources.iter().map(|source| source.to_json(SystemTime::now())).collect::<Value>();
        out = format!(
            "{:#}\n",
            json!({"findings": findings(&report.findings), "accepted": findings(&report.accepted), "sources": sources, "tests": tested.json(), "routes": configured_rows(routes).map(|(at, row)| row_json(at, row)).collect::<Value>()})
        );
        return write_out(&out);
    }
    for finding in &report.findings {
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
    if let Some(conclusion) = report.conclusion() {
        out.push_str(&format!("{conclusion}\n"));
    }
    write_out(&out)
}
