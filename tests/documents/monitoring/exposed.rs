//! The metrics of the running program: their names, labels and, for labels of closed sets, values.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use metagate::metrics::Metrics;
use serde_json::Value;

use super::promql::{self, Names};

type Labels = BTreeMap<String, BTreeSet<String>>;

/// What Prometheus adds to each series.
const OF_THE_TARGET: [&str; 4] = ["namespace", "job", "instance", "pod"];
/// The labels whose values are closed sets. The program creates every one of them in advance.
const CLOSED: [&str; 6] = ["decision", "reason", "result", "cause", "kind", "class"];

/// Every metric that an expression may name.
pub struct Exposed(BTreeMap<String, Labels>);

impl Exposed {
    /// Those of a running process, and those that only certain configurations have.
    pub fn of_the_program() -> Self {
        let mut exposed = Self(BTreeMap::new());
        exposed.0.insert("up".to_owned(), Labels::new());
        for definition in Metrics::definitions() {
            let suffixes: &[&str] =
                if definition.type_name() == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            for suffix in suffixes {
                let labels = exposed.0.entry(definition.exposed_name() + suffix).or_default();
                labels.extend(definition.labels.iter().map(|label| ((*label).to_owned(), BTreeSet::new())));
            }
        }
        for line in scrape().lines().filter(|line| !line.starts_with('#')) {
            let (series, _) = line.rsplit_once(' ').expect("a sample");
            for selector in promql::names(series).selectors {
                let labels = exposed.0.entry(selector.metric).or_default();
                for matcher in selector.matchers {
                    labels.entry(matcher.label).or_default().extend(matcher.values);
                }
            }
        }
        exposed
    }

    /// Adds the metric of a recording rule. It has the labels of what it is made from.
    pub fn record(&mut self, name: &str, expression: &str) {
        let mut labels = Labels::new();
        for selector in promql::names(expression).selectors {
            for (label, values) in self.0.get(&selector.metric).into_iter().flatten() {
                labels.entry(label.clone()).or_default().extend(values.iter().cloned());
            }
        }
        self.0.insert(name.to_owned(), labels);
    }

    /// What is wrong with the names in an expression, or with the labels that a text about it has.
    pub fn faults(&self, Names { selectors, labels }: &Names, templates: &[&str]) -> Vec<String> {
        let mut faults = Vec::new();
        let mut known: BTreeSet<&str> = OF_THE_TARGET.into();
        for selector in selectors {
            let Some(has) = self.0.get(&selector.metric) else {
                faults.push(format!("there is no metric {}", selector.metric));
                continue;
            };
            known.extend(has.keys().map(String::as_str));
            for matcher in
                selector.matchers.iter().filter(|matcher| !OF_THE_TARGET.contains(&&*matcher.label))
            {
                let label = &matcher.label;
                match has.get(label) {
                    None => faults.push(format!("{} has no label {label}", selector.metric)),
                    Some(values) if CLOSED.contains(&&**label) => faults.extend(
                        matcher
                            .values
                            .iter()
                            .filter(|wanted| !wanted.is_empty() && !any_matches(values, wanted))
                            .map(|wanted| format!("{}: {label} is never {wanted}", selector.metric)),
                    ),
                    Some(_) => {}
                }
            }
        }
        let named = labels.iter().map(String::as_str).chain(templates.iter().copied());
        faults.extend(named.filter(|label| !known.contains(label)).map(|label| format!("no label {label}")));
        faults
    }
}

/// Whether a value is one of a set, or an expression like `upstream_.*` matches one.
fn any_matches(values: &BTreeSet<String>, wanted: &str) -> bool {
    let whole = regex::Regex::new(&format!("^(?:{wanted})$")).expect("an expression");
    values.iter().any(|value| whole.is_match(value))
}

/// Every kind of counter is created for such a configuration.
const CONFIG: &str = "
listen: 127.0.0.1:0
health: {listen: 127.0.0.1:0}
admin: {listen: 127.0.0.1:0}
workers: 1
upstream: {url: http://127.0.0.1:9}
authentication:
  issuers: [{name: corp, issuer: https://corp.example, publicKeyUrls: [file:///nonexistent/keys.json]}]
authorization:
  mode: report
  rules: [{name: admins, require: {anyRole: [Admin]}}]
cors: {allowOrigins: [https://corp.example]}
";

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `/metrics` of the program.
fn scrape() -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("metagate.yaml");
    std::fs::write(&file, CONFIG).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_metagate"));
    command.args(["run", "--config"]).arg(&file).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut running = Running(command.spawn().unwrap());
    // Open until the end, so that the program can always write to it.
    let mut log = BufReader::new(running.0.stderr.take().unwrap()).lines();
    let mut seen = String::new();
    let address = log.by_ref().map_while(Result::ok).find_map(|line| {
        seen += &line;
        let log: Value = serde_json::from_str(&line).ok()?;
        let field = |name: &str| log.get(name).or_else(|| log.get("fields")?.get(name))?.as_str();
        let is_health = field("message")? == "listening" && field("listener")? == "health";
        is_health.then(|| field("address").map(str::to_owned))?
    });
    let address = address.unwrap_or_else(|| panic!("no health listener: {seen}"));
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").expect("a response");
    assert!(head.starts_with("HTTP/1.1 200 ") && !head.to_lowercase().contains("chunked"), "{head}");
    body.to_owned()
}
