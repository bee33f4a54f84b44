//! Alerts, their tests, the dashboard, the monitors and the runbooks, held against the program and one another.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

use super::read;
use super::site::anchors;

#[path = "monitoring/exposed.rs"]
mod exposed;
#[path = "monitoring/promql.rs"]
mod promql;

use exposed::Exposed;

const ALERTS: &str = "deploy/prometheus/alerts.yaml";
const TESTS: &str = "deploy/prometheus/alerts-test.yaml";
const DASHBOARD: &str = "deploy/grafana/metagate.json";
const GATEWAY: &str = "deploy/kubernetes/gateway/gateway.yaml";
/// What monitoring.md says how to replace.
const RUNBOOKS: &str = "https://metagate.example/docs/runbooks.md#";

/// Metrics that the dashboard leaves out, each with the reason.
const NOT_SHOWN: [&str; 0] = [];

static PROGRAM: LazyLock<Exposed> = LazyLock::new(|| {
    let mut exposed = Exposed::of_the_program();
    for rule in rules().iter().filter(|rule| !rule.is_alert) {
        exposed.record(&rule.name, &rule.expression);
    }
    exposed
});

/// A rule of `alerts.yaml`.
struct Rule {
    is_alert: bool,
    name: String,
    expression: String,
    /// The rest of its lines: labels and annotations.
    rest: BTreeMap<String, String>,
}

/// Every rule, as the file is written: a key and its value on a line, and only expressions on several.
fn rules() -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    let mut in_expression = false;
    for line in read(ALERTS).lines().filter(|line| !line.trim_start().starts_with('#')) {
        let indent = line.len() - line.trim_start().len();
        in_expression &= indent > 8;
        let rule = rules.last_mut();
        if let Some((kind, name)) = line.strip_prefix("      - ").and_then(|rest| rest.split_once(": ")) {
            let (is_alert, name) = (kind == "alert", name.to_owned());
            rules.push(Rule { is_alert, name, expression: String::new(), rest: BTreeMap::new() });
        } else if let Some(expression) = line.trim_start().strip_prefix("expr: ") {
            rule.expect("a rule").expression = expression.trim_start_matches('|').to_owned();
            in_expression = true;
        } else if in_expression {
            rule.expect("a rule").expression += &format!("\n{line}");
        } else if let (Some(rule), Some((key, value))) = (rule, line.trim().split_once(": ")) {
            rule.rest.insert(key.to_owned(), value.trim_matches('"').to_owned());
        }
    }
    assert!(rules.len() > 25, "only {} rules were found", rules.len());
    assert!(rules.iter().all(|rule| !rule.expression.trim().is_empty()));
    rules
}

/// The labels that `{{ $labels.x }}` of a text names.
fn templates(text: &str) -> Vec<&str> {
    let after = text.split("$labels.").skip(1);
    after.filter_map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()).collect()
}

#[track_caller]
fn assert_known(place: &str, expression: &str, templates: &[&str]) {
    let names = promql::names(expression);
    let faults = PROGRAM.faults(&names, templates);
    assert!(faults.is_empty(), "{place}: {faults:?} in {expression}");
}

#[test]
fn alerts_name_what_the_program_exposes() {
    for rule in rules() {
        let texts: String = rule.rest.values().map(String::as_str).collect();
        assert_known(&rule.name, &rule.expression, &templates(&texts));
    }
}

/// Otherwise the other tests would pass with any text.
#[test]
fn misspelt_names_are_found() {
    for (expression, fault) in [
        ("metagate_panic_total > 0", "there is no metric metagate_panic_total"),
        (
            "rate(metagate_request_duration_seconds[5m])",
            "there is no metric metagate_request_duration_seconds",
        ),
        ("metagate_requests_total{cause=\"total\"}", "metagate_requests_total has no label cause"),
        (
            "metagate_requests_total{reason=\"key_unavailable\"}",
            "metagate_requests_total: reason is never key_unavailable",
        ),
        (
            "metagate_requests_total{decision!~\"allow|denied\"}",
            "metagate_requests_total: decision is never denied",
        ),
        (
            "metagate:requests:increase15m{reason=~\"up_.*\"}",
            "metagate:requests:increase15m: reason is never up_.*",
        ),
        ("sum by (job, isuer) (metagate_jwks_keys)", "no label isuer"),
        (
            "metagate_connections_refused_total{cause=\"idle\"}",
            "metagate_connections_refused_total: cause is never idle",
        ),
        (
            "metagate_jwks_fetches_total{result=\"notmodified\"}",
            "metagate_jwks_fetches_total: result is never notmodified",
        ),
    ] {
        assert_eq!(PROGRAM.faults(&promql::names(expression), &[]), [fault]);
    }
    let names = promql::names("metagate_jwks_keys == 0");
    assert_eq!(PROGRAM.faults(&names, &["source", "reason"]), ["no label reason"]);
    assert!(
        PROGRAM.faults(&promql::names("metagate_requests_total{reason=~\"upstream_.*\"}"), &[]).is_empty()
    );
}

#[test]
fn every_alert_has_a_severity_texts_and_a_runbook() {
    let page = read("docs/runbooks.md");
    let headings: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let rules = rules();
    let alerts: Vec<&Rule> = rules.iter().filter(|rule| rule.is_alert).collect();
    let names: Vec<&str> = alerts.iter().map(|alert| &*alert.name).collect();
    assert_eq!(headings, names, "the sections of the runbooks, in the order of the alerts");
    let anchors = anchors(&page);
    for alert in alerts {
        let Rule { name, rest, .. } = alert;
        assert!(["critical", "warning"].contains(&&*rest["severity"]), "{name}");
        assert!(rest["summary"].len() > 20 && rest["description"].ends_with('.'), "{name}");
        let anchor = rest["runbook_url"].strip_prefix(RUNBOOKS).expect(name);
        assert!(anchor == name.to_lowercase() && anchors.iter().any(|found| found == anchor), "{name}");
        let (_, section) = page.split_once(&format!("### {name}\n")).expect(name);
        let section = section.split("\n### ").next().unwrap_or_default();
        for part in ["\n**Meaning.** ", "\n**Confirm.** ", "\n**Do.** "] {
            assert!(section.replace("**Do.**\n", "**Do.** ").contains(part), "{name}: {part}");
        }
    }
    assert!(read("docs/monitoring.md").contains(RUNBOOKS.trim_end_matches("/docs/runbooks.md#")));
}

#[test]
fn expressions_of_the_runbooks_name_what_the_program_exposes() {
    let expressions = super::blocks(&read("docs/runbooks.md"), "promql").join("\n");
    assert!(promql::names(&expressions).selectors.len() > 8);
    assert_known("docs/runbooks.md", &expressions, &[]);
}

/// `promtool` runs these tests; this checks that none is missing, and that their series are those of the program.
#[test]
fn every_alert_is_tested() {
    let tests = read(TESTS);
    let (mut fires, mut silent) = (BTreeSet::new(), BTreeSet::new());
    let mut current = "";
    for line in tests.lines() {
        if let Some((_, rest)) = line.split_once("alertname: ") {
            current = rest.trim_end_matches('}');
            silent.insert(current);
        } else if line.trim() == "exp_alerts:" {
            fires.insert(current);
        } else if let Some((_, rest)) = line.split_once("{series: '") {
            let (series, _) = rest.split_once("', values: ").expect("its values");
            assert_known(TESTS, series, &[]);
        }
    }
    let rules = rules();
    let alerts: BTreeSet<&str> = rules.iter().filter(|rule| rule.is_alert).map(|rule| &*rule.name).collect();
    assert_eq!(fires, alerts);
    assert!(silent.is_subset(&alerts));
    // Every metric that an alert reads is there in the calm hour.
    let (_, calm) = tests.split_once("- name: a calm hour").expect("the calm hour");
    let (calm, _) = calm.split_once("promql_expr_test:").expect("its end");
    for rule in &rules {
        for selector in promql::names(&rule.expression).selectors {
            let name = &selector.metric;
            assert!(name.contains(':') || calm.contains(&format!("'{name}{{")), "{}: {name}", rule.name);
        }
    }
}

/// Every text under this key, wherever it is.
fn texts<'v>(value: &'v Value, key: &str, found: &mut Vec<&'v str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get(key).and_then(Value::as_str));
            members.values().for_each(|value| texts(value, key, found));
        }
        Value::Array(items) => items.iter().for_each(|value| texts(value, key, found)),
        _ => {}
    }
}

#[test]
fn the_dashboard_names_what_the_program_exposes() {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    let mut expressions = Vec::new();
    texts(&dashboard, "expr", &mut expressions);
    assert!(expressions.len() > 40, "only {} expressions were found", expressions.len());
    for expression in &expressions {
        assert_known(DASHBOARD, &expression.replace("$__rate_interval", "5m"), &[]);
        assert!(expression.contains("job=~\"$job\", instance=~\"$instance\""), "{expression}");
    }
    let mut queries = Vec::new();
    texts(&dashboard["templating"], "definition", &mut queries);
    for query in queries {
        let query =
            query.strip_prefix("label_values(").and_then(|query| query.strip_suffix(')')).expect(query);
        let (selector, label) = query.rsplit_once(", ").expect("a label");
        assert_known(DASHBOARD, &format!("sum by ({label}) ({selector})"), &[]);
    }
    // Each panel has a place of its own and says what it shows.
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{}", panel["title"]);
    }
    let shown = expressions.join("\n");
    for definition in metagate::metrics::Metrics::definitions() {
        let name = definition.exposed_name();
        assert!(
            shown.contains(&name) || NOT_SHOWN.contains(&&*name),
            "{name} is on no panel; add one, or add it to NOT_SHOWN"
        );
    }
}

/// The monitors select by a port's name and by labels, which the manifests define.
#[test]
fn monitors_select_what_the_manifests_have() {
    let port = |path: &str| {
        let text = read(path);
        let port = text.lines().find_map(|line| line.trim().strip_prefix("- port: ")).expect(path).to_owned();
        (port, text)
    };
    let (pods, _) = port("deploy/prometheus/podmonitor.yaml");
    for manifest in [
        "deploy/kubernetes/sidecar/openmetadata.yaml",
        "deploy/kubernetes/helm-values/openmetadata.yaml",
        "deploy/kubernetes/kustomize/components/sidecar/sidecar.yaml",
        "deploy/helm/metagate/templates/_container.tpl",
    ] {
        let named = format!("- name: {pods}\n");
        let manifest_text = read(manifest);
        let (_, after) = manifest_text.split_once(&named).expect(manifest);
        assert!(after.trim_start().starts_with("containerPort: 8686"), "{manifest}");
    }
    let (services, monitor) = port("deploy/prometheus/servicemonitor.yaml");
    let gateway = read(GATEWAY);
    let service =
        gateway.split("\n---\n").find(|document| document.contains("name: metagate-metrics")).unwrap();
    assert!(service.contains(&format!("- name: {services}\n      port: 8686")));
    let (_, labels) = monitor.split_once("matchLabels:\n").expect("labels");
    let labels: Vec<&str> =
        labels.lines().take_while(|line| line.starts_with("      ")).map(str::trim).collect();
    assert_eq!(labels.len(), 2);
    let (metadata, _) = service.split_once("spec:").unwrap();
    assert!(labels.iter().all(|label| metadata.contains(label)), "{labels:?}");
}

#[test]
fn the_configuration_of_the_gateway_is_good() {
    let manifest = read(GATEWAY);
    let (_, rest) = manifest.split_once("  config.yaml: |\n").expect("the configuration");
    let lines = rest.lines().take_while(|line| *line != "---");
    let config: String =
        lines.map(|line| line.strip_prefix("    ").unwrap_or(line).to_owned() + "\n").collect();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("metagate.yaml");
    std::fs::write(&file, &config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_metagate"));
    command.args(["check", "--offline", "--config"]).arg(&file).env_clear();
    let output = command.output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("warning"), "{said}");
    // The times of the drain fit into the pod's.
    let seconds = |text: &str, key: &str| -> u64 {
        let (_, rest) = text.split_once(key).expect(key);
        rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().expect(key)
    };
    let drain = seconds(&config, "  delay: ") + seconds(&config, "drainTimeout: ");
    assert!(seconds(&manifest, "terminationGracePeriodSeconds: ") > drain);
    // What the comment says about the backend.
    let most = seconds(&config, "maxConnections: ") * seconds(&manifest, "maxReplicas: ");
    assert!(config.contains(&format!("autoscaler ({}): {most}.", seconds(&manifest, "maxReplicas: "))));
}
