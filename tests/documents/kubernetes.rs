//! The Helm chart and the kustomize components. `tests/kubernetes/run` renders them.

use serde_json::{Map, Value};

use super::read;

const SCHEMA: &str = "deploy/helm/metagate/values.schema.json";

/// A schema without the texts, which would be most of the chart.
fn without_texts(schema: &Value) -> Value {
    match schema {
        Value::Object(members) => {
            let keep = members
                .iter()
                .filter(|(name, _)| !["description", "default", "title", "$schema"].contains(&name.as_str()));
            let member = |(name, value): (&String, &Value)| {
                let value = match (name.as_str(), value) {
                    ("properties", Value::Object(properties)) => {
                        let each =
                            properties.iter().map(|(name, value)| (name.clone(), without_texts(value)));
                        Value::Object(each.collect())
                    }
                    _ => without_texts(value),
                };
                (name.clone(), value)
            };
            Value::Object(keep.map(member).collect::<Map<_, _>>())
        }
        Value::Array(values) => values.iter().map(without_texts).collect(),
        other => other.clone(),
    }
}

/// So a mistake in `config` is found when the chart is rendered.
#[test]
fn values_schema_of_the_chart_has_the_configuration() {
    let written = read(SCHEMA);
    let mut schema: Value = serde_json::from_str(&written).unwrap();
    schema["properties"]["config"] = without_texts(&metagate::config::schema());
    let expected = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    if written != expected && std::env::var_os("METAGATE_WRITE_DOCUMENTATION").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/").to_owned() + SCHEMA, expected).unwrap();
        return;
    }
    assert!(
        written == expected,
        "{SCHEMA} is not up to date: METAGATE_WRITE_DOCUMENTATION=1 cargo test --test documents kubernetes writes it"
    );
}

#[test]
fn the_chart_is_of_this_version() {
    let chart = read("deploy/helm/metagate/Chart.yaml");
    let version = env!("CARGO_PKG_VERSION");
    for line in [format!("\nversion: {version}\n"), format!("\nappVersion: \"{version}\"\n")] {
        assert!(chart.contains(&line), "{line}");
    }
}

/// The page shows commands with files and values that exist.
#[test]
fn the_page_names_what_there_is() {
    let page = read("docs/kubernetes.md");
    let mut seen = 0;
    for word in page.split(|character: char| character.is_whitespace() || "`()\"'".contains(character)) {
        let path = word.trim_start_matches("../").trim_end_matches([',', '.', ';', ':']);
        // `deploy/NAME` in a command of kubectl is a Deployment.
        if path.starts_with("deploy/kubernetes/") || path.starts_with("deploy/helm/") {
            assert!(
                std::fs::exists(concat!(env!("CARGO_MANIFEST_DIR"), "/").to_owned() + path).unwrap(),
                "docs/kubernetes.md: {path}"
            );
            seen += 1;
        }
    }
    assert!(seen >= 8, "only {seen} paths");
    let values = read("deploy/helm/metagate/values.yaml");
    for set in page.split("--set ").skip(1) {
        let key = set.split('=').next().unwrap();
        let last = key.rsplit('.').next().unwrap();
        // The keys of the configuration are in the schema.
        assert!(
            key.starts_with("config.")
                || values.lines().any(|line| line.trim_start().starts_with(&format!("{last}:"))),
            "docs/kubernetes.md sets {key}"
        );
    }
}
