//! Compares the example, the documentation and the schema with the table of keys.

use serde_json::Value as Json;

use super::*;
use crate::config::document::{Node, Value, parse};
use crate::config::settings::{self, KEYS};

/// A page of docs/.
macro_rules! page {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/", $name, ".md"))
    };
}

const EXAMPLE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/config.example.yaml"));
const SECRET: &str = "q3tEo0gHk1Yw9sVb7nXcR5mZ2pLdJf8uA6iTqWe4";
const REFERENCE: &str = page!("reference");
/// The pages whose YAML blocks are parts of a configuration.
const PAGES: [(&str, &str); 11] = [
    ("configuration", page!("configuration")),
    ("cors", page!("cors")),
    ("datahub", page!("datahub")),
    ("limits", page!("limits")),
    ("mcp", page!("mcp")),
    ("openmetadata", page!("openmetadata")),
    ("operations", page!("operations")),
    ("report-mode", page!("report-mode")),
    ("routes", page!("routes")),
    ("rule-language", page!("rule-language")),
    ("tokens", page!("tokens")),
];

#[test]
fn the_example_loads_as_it_is() {
    let loaded = file(&example()).loaded();
    assert_eq!(loaded.config.upstream.url.as_str(), "http://127.0.0.1:8585/");
    assert_eq!(urls(&loaded.config.trust[0]).len(), 2);
}

/// The example with the `#` of every setting removed.
fn everything() -> String {
    let setting = |line: &str| {
        let text = line.trim_start();
        text.starts_with('#') && !text.starts_with("# ") && text != "#"
    };
    example()
        .lines()
        .map(|line| if setting(line) { line.replacen('#', "", 1) } else { line.to_owned() } + "\n")
        .collect()
}

fn paths(node: &Node, path: &str, found: &mut Vec<String>) {
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                let path = settings::join(path, &entry.key);
                paths(&entry.node, &path, found);
                found.push(path);
            }
        }
        Value::List(items) => items.iter().for_each(|item| paths(item, &format!("{path}[]"), found)),
        Value::Null | Value::Scalar { .. } => {}
    }
}

#[test]
fn the_example_has_every_key() {
    let document = parse(&everything());
    assert!(document.problems.is_empty(), "{:?}", document.problems);
    let mut found = Vec::new();
    paths(&document.root, "", &mut found);
    for key in KEYS {
        assert!(
            found.iter().any(|path| path == key.path),
            "{} is missing from config.example.yaml",
            key.path
        );
    }
}

#[test]
fn the_commented_values_of_the_example_are_valid() {
    let errors = file(&everything()).errors();
    let expected = ["is not set", "cannot be read", "is also set; set only one of them"];
    for error in &errors {
        assert!(expected.iter().any(|expected| error.contains(expected)), "{error}");
    }
    assert!(!errors.is_empty());
    let variables = [
        "PARTNER_SIGNING_KEY",
        "SYSTEM_CLIENT_SECRET",
        "SIGNING_KEY",
        "TOKEN_SALT",
        "KEYS_API_KEY",
        "REDIS_PASSWORD",
        "SENTINEL_PASSWORD",
    ];
    let with_user = format!("ada:{SECRET}");
    let errors = file(&everything())
        .with(&variables.map(|name| (name, SECRET)))
        .with(&[("PROXY_CREDENTIALS", &with_user)])
        .errors();
    let expected = ["is also set; set only one of them", "cannot be read"];
    for error in &errors {
        assert!(expected.iter().any(|expected| error.contains(expected)), "{error}");
    }
    assert!(!errors.is_empty());
}

#[test]
fn the_reference_has_every_published_secret() {
    for known in published_secrets() {
        assert!(REFERENCE.contains(&format!("| `{}` | {} |", known.value, known.what)), "{known:?}");
    }
    assert!(REFERENCE.contains(PUBLISHED_KEY_ID));
}

#[test]
fn the_values_of_the_example_are_the_defaults() {
    let document = parse(&example());
    for key in KEYS.iter().filter(|key| !key.default.is_empty() && key.path != "authentication.publicKeyUrls")
    {
        let node = key.path.split('.').try_fold(&document.root, |node, name| node.get(name));
        let Some(node) = node.filter(|node| node.value != Value::Null) else { continue };
        let text = |node: &Node| match &node.value {
            Value::Scalar { text, .. } => vec![text.clone()],
            Value::List(items) => items.iter().map(|item| format!("{:?}", item.value)).collect(),
            other => panic!("{other:?}"),
        };
        assert_eq!(text(node), text(&parse(key.default).root), "{}", key.path);
    }
}

#[test]
fn every_default_is_valid_for_its_kind() {
    for key in KEYS.iter().filter(|key| !key.default.is_empty()) {
        let loaded = environment(&[KEYS_URL, UPSTREAM]).loaded();
        assert!(!key.path.contains("[]"), "elements inherit: {}", key.path);
        assert!(print(&loaded).contains(key.path.rsplit('.').next().unwrap()));
        // An IPv6 address needs quotes in YAML.
        let default = key.default.trim_matches('"');
        assert!(!key.kind.is_scalar() || key.kind.check(default).is_ok(), "{}", key.path);
    }
}

#[test]
fn every_secret_has_a_file_key() {
    for key in KEYS.iter().filter(|key| matches!(key.kind, Kind::Secret)) {
        let twin = settings::find(&format!("{}File", key.path)).unwrap_or_else(|| panic!("{}", key.path));
        assert!(matches!(twin.kind, Kind::Path));
    }
}

#[test]
fn the_schema_has_every_key_and_nothing_else() {
    fn count(schema: &Json) -> usize {
        let Some(properties) = schema["properties"].as_object() else { return 0 };
        assert_eq!(schema["additionalProperties"], false);
        let nested = |value: &Json| match (value.get("properties"), value.get("items")) {
            (Some(_), _) => count(value),
            (None, Some(items)) => 1 + count(items),
            (None, None) => 1,
        };
        properties.values().map(nested).sum()
    }
    let schema = schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(count(&schema), KEYS.len());
    let issuer = &schema["properties"]["authentication"]["properties"]["issuers"]["items"];
    assert_eq!(issuer["required"], serde_json::json!(["name"]));
    assert_eq!(schema["properties"]["limits"]["properties"]["headerCount"]["default"], 100);
    let expression = serde_json::json!({"type": "string", "pattern": "\\$\\{"});
    for path in ["workers", "backend"] {
        assert_eq!(schema["properties"][path]["anyOf"][1], expression, "{path}");
    }
    assert_eq!(schema["properties"]["authentication"]["properties"]["leeway"]["default"], "30s");
}

/// Compares a file with its generated content, or writes it.
fn assert_generated(path: &str, committed: &str, generated: &str) {
    if committed != generated && std::env::var_os("METAGATE_WRITE_DOCUMENTATION").is_some() {
        std::fs::write(format!("{}/{path}", env!("CARGO_MANIFEST_DIR")), generated).unwrap();
        return;
    }
    assert!(
        committed == generated,
        "the table of keys has changed: METAGATE_WRITE_DOCUMENTATION=1 cargo test --lib documentation writes {path}"
    );
}

#[test]
fn the_reference_has_every_key() {
    let (start, end) = ("<!-- keys -->\n", "<!-- /keys -->");
    let (before, rest) = REFERENCE.split_once(start).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let generated = format!("{before}{start}{}{end}{after}", reference());
    assert_generated("docs/reference.md", REFERENCE, &generated);
}

#[test]
fn the_example_is_the_generated_one() {
    assert_generated("config.example.yaml", EXAMPLE, &example());
}

/// The example contains the description of every key.
#[test]
fn the_example_says_what_each_key_is_for() {
    let words =
        |text: &str| text.split_whitespace().filter(|word| *word != "#").collect::<Vec<_>>().join(" ");
    let printed = words(&example());
    for key in KEYS {
        assert!(printed.contains(&words(&key.text())), "{}", key.path);
    }
}

#[test]
fn the_reference_names_every_foreign_variable() {
    for (name, path) in FOREIGN_ENVIRONMENT {
        assert!(REFERENCE.contains(&format!("| `{name}` | `{path}` |")), "{name}");
    }
}

/// Every YAML block of these pages is a valid configuration, if necessary with two variables.
#[test]
fn the_examples_of_the_pages_load() {
    for (page, text) in PAGES {
        let blocks: Vec<_> =
            text.split("```yaml\n").skip(1).map(|rest| rest.split_once("```").unwrap().0).collect();
        assert!(!blocks.is_empty(), "{page}");
        for block in blocks {
            let case = file(block).with(&[UPSTREAM, ("SIGNING_KEY", SECRET), ("PARTNER_KEY", SECRET)]);
            let needs_keys = case.result().is_err();
            let case = if needs_keys { case.with(&[KEYS_URL]) } else { case };
            assert!(case.result().is_ok(), "{page}: {block}\n{}", case.result().unwrap_err());
        }
    }
}
