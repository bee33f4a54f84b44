//! The rule sets in `docs/rules.md`, tested with every endpoint that is known to write.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::endpoints::{self, Endpoint};
use super::read;

/// A caller whom a rule set restricts.
struct Caller {
    name: &'static str,
    issuer: Option<&'static str>,
    claims: fn() -> Value,
    source_ip: &'static str,
}

const IN_NETWORK: &str = "10.20.1.2";
const ELSEWHERE: &str = "203.0.113.9";

const fn caller(name: &'static str, issuer: Option<&'static str>, claims: fn() -> Value) -> Caller {
    Caller { name, issuer, claims, source_ip: ELSEWHERE }
}

impl Caller {
    const fn at(self, source_ip: &'static str) -> Self {
        Self { source_ip, ..self }
    }
}

const OWN: Option<&str> = Some("openmetadata");

/// Every rule set and the callers that it restricts.
const SETS: &[(&str, &[Caller])] = &[
    (
        "openmetadata-own-tokens-read",
        &[
            caller("a bot", OWN, || json!({"sub": "report-bot", "isBot": true})),
            caller("a personal access token", OWN, || json!({"sub": "ada", "tokenType": "PERSONAL_ACCESS"})),
        ],
    ),
    (
        "openmetadata-ingestion-writes-metadata",
        &[caller("a bot", None, || json!({"sub": "ingestion-bot", "isBot": true, "roles": ["Admin"]}))],
    ),
    (
        "openmetadata-only-admins-mint-tokens",
        &[
            caller("a user without the role", None, || json!({"sub": "ada", "roles": ["DataSteward"]})),
            caller("a bot", None, || json!({"sub": "a-bot", "isBot": true, "roles": ["Admin"]})),
            caller(
                "an admin's personal access token",
                None,
                || json!({"sub": "root", "roles": ["Admin"], "tokenType": "PERSONAL_ACCESS"}),
            ),
        ],
    ),
    (
        "openmetadata-one-bot-for-one-purpose",
        &[
            caller("ingestion-bot", OWN, || json!({"sub": "ingestion-bot", "isBot": true})).at(IN_NETWORK),
            caller("lineage-bot", OWN, || json!({"sub": "lineage-bot", "isBot": true})).at(IN_NETWORK),
            caller("another bot", OWN, || json!({"sub": "dbt-bot", "isBot": true})).at(IN_NETWORK),
            caller("ingestion-bot elsewhere", OWN, || json!({"sub": "ingestion-bot", "isBot": true})),
        ],
    ),
    (
        "no-policy-edits-by-bots",
        &[caller("a bot", None, || json!({"sub": "ingestion-bot", "isBot": true, "roles": ["Admin"]}))],
    ),
    (
        "datahub-auth-is-internal",
        &[caller("a token", None, || json!({"sub": "ada", "actorType": "USER", "type": "PERSONAL"}))],
    ),
    (
        "datahub-ingestion-by-its-accounts",
        &[
            caller("svc-*", None, || json!({"sub": "svc-airflow", "actorType": "USER"})).at(IN_NETWORK),
            caller("svc-* elsewhere", None, || json!({"sub": "svc-airflow", "actorType": "USER"})),
            caller("another token", None, || json!({"sub": "ada", "actorType": "USER"})).at(IN_NETWORK),
        ],
    ),
    (
        "datahub-only-admins-mint-tokens",
        &[caller("a user without the role", None, || json!({"sub": "bob", "roles": ["Reader"]}))],
    ),
    (
        "datahub-read-only-tokens",
        &[
            caller("without datahub.write", None, || json!({"sub": "ada", "scope": "datahub.read"})),
            caller("with datahub.write", None, || json!({"sub": "ada", "scope": "datahub.write"})),
        ],
    ),
];

/// Endpoints that grant other rights or bypass rules on paths. No rule set may leave them open to
/// the callers that it restricts.
const NEVER_OPEN: &[(&str, &str)] = &[
    ("POST", "/mcp"),
    ("PUT", "/api/v1/system/security/config"),
    ("PATCH", "/api/v1/system/security/config"),
    ("PUT", "/api/v1/system/settings"),
    ("POST", "/api/v1/users"),
    ("PUT", "/api/v1/users"),
    ("PATCH", "/api/v1/users/x"),
    ("PUT", "/api/v1/users/security/token"),
    ("PUT", "/api/v1/users/generateToken/x"),
    ("POST", "/api/v1/bots"),
    ("PUT", "/api/v1/policies"),
    ("PUT", "/api/v1/roles"),
    ("PUT", "/api/v1/teams"),
    ("POST", "/api/v1/scim/Users"),
    ("POST", "/api/v1/apps"),
    ("POST", "/mux"),
    ("POST", "/auth/generateSessionTokenForUser"),
    ("POST", "/platform?action=producePlatformEvent"),
    ("POST", "/runs?action=rollback"),
    ("DELETE", "/openapi/operations/k8/pods/x"),
    ("POST", "/gms/x"),
];

/// The configuration of a rule set, up to its tests.
fn configuration(document: &str, name: &str) -> String {
    let start = format!("<!-- rules: {name} -->\n```yaml\n");
    let (_, rest) = document.split_once(&start).unwrap_or_else(|| panic!("no set {name}"));
    rest.split_once("  tests:\n").expect("tests").0.to_owned()
}

/// Which of these endpoints are open to a caller, or without a token.
fn open_to(configuration: &str, caller: Option<&Caller>, all: &[Endpoint]) -> BTreeSet<Endpoint> {
    // In chunks, because a configuration has at most 10,000 values.
    all.chunks(500).flat_map(|some| open_of(configuration, caller, some)).collect()
}

fn open_of(configuration: &str, caller: Option<&Caller>, all: &[Endpoint]) -> Vec<Endpoint> {
    let tests = all.iter().enumerate().map(|(index, endpoint)| {
        let (request, body) = endpoint.request();
        let mut test = json!({"name": index.to_string(), "request": request, "expect": 403});
        if let Some(caller) = caller {
            test["claims"] = (caller.claims)();
            test["sourceIp"] = caller.source_ip.into();
            if let Some(issuer) = caller.issuer {
                test["issuer"] = issuer.into();
            }
        }
        if let Some(body) = body {
            test["body"] = body;
        }
        format!("    - {test}\n")
    });
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("metagate.yaml");
    fs::write(&file, format!("{configuration}  tests:\n{}", tests.collect::<String>())).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_metagate"));
    // A rule set reads its secret from there.
    command.args(["check", "--offline", "--json", "--config"]).arg(&file).env_clear();
    command.env("SIGNING_KEY", "q3tEo0gHk1Yw9sVb7nXcR5mZ2pLdJf8u");
    let output = command.output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stdout)));
    let results = report["tests"]["results"].as_array().unwrap_or_else(|| panic!("{report}"));
    assert_eq!(results.len(), all.len());
    let is_open = |result: &Value| result["actual"]["allowed"].as_bool().expect("a boolean");
    all.iter()
        .zip(results)
        .filter(|(_, result)| is_open(result))
        .map(|(endpoint, _)| endpoint.clone())
        .collect()
}

/// The document with its lists of open endpoints brought up to date.
fn with_what_is_open(document: &str) -> String {
    let mut document = document.to_owned();
    let mut lines = Vec::new();
    let mut without_token = BTreeSet::new();
    for backend in ["openmetadata", "datahub-gms", "datahub-frontend"] {
        let configuration = format!(
            "backend: {backend}\nupstream: {{url: \"http://localhost:1\"}}\nauthentication: {{publicKeyUrls: [\"https://idp.example/jwks\"]}}\nauthorization:\n  default: deny\n"
        );
        let all = endpoints::of(backend);
        let open = open_to(&configuration, None, &all);
        lines.push(backend.to_owned());
        lines.extend(endpoints::summary(&all, &open).iter().map(|line| format!("  {line}")));
        without_token.extend(open);
    }
    replace(&mut document, "without a token", &lines);
    for (name, callers) in SETS {
        let configuration = configuration(&document, name);
        let backend = configuration.lines().next().and_then(|line| line.strip_prefix("backend: "));
        let all = endpoints::of(backend.expect("a backend"));
        let mut told: Vec<(Vec<&str>, Vec<String>)> = Vec::new();
        for caller in *callers {
            let mut open = open_to(&configuration, Some(caller), &all);
            open.retain(|endpoint| !without_token.contains(endpoint));
            for Endpoint { method, path, .. } in &open {
                assert!(!is_never_open(method, path), "{name}: {} may {method} {path}", caller.name);
            }
            let summary = endpoints::summary(&all, &open);
            match told.iter_mut().find(|(_, same)| *same == summary) {
                Some((names, _)) => names.push(caller.name),
                None => told.push((vec![caller.name], summary)),
            }
        }
        let lines = told.iter().flat_map(|(names, summary)| {
            let summary = summary.iter().map(|line| format!("  {line}"));
            std::iter::once(names.join(", ")).chain(summary)
        });
        replace(&mut document, name, &lines.collect::<Vec<_>>());
    }
    document
}

fn replace(document: &mut String, name: &str, lines: &[String]) {
    let start = format!("<!-- open: {name} -->\n```text\n");
    let (before, rest) = document.split_once(&start).unwrap_or_else(|| panic!("no list for {name}"));
    let (_, after) = rest.split_once("```\n").expect("the end of a list");
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    *document = format!("{before}{start}{lines}```\n{after}");
}

#[test]
fn rule_sets_leave_open_what_the_document_lists() {
    let document = read("docs/rules.md");
    let current = with_what_is_open(&document);
    if std::env::var_os("METAGATE_WRITE_DOCUMENTATION").is_some() {
        fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/rules.md"), current).unwrap();
        return;
    }
    for (is, should) in document.lines().zip(current.lines()) {
        assert_eq!(is, should, "run this test with METAGATE_WRITE_DOCUMENTATION=1 and review the diff");
    }
    assert_eq!(document.len(), current.len());
}

#[test]
fn every_rule_set_is_tested_and_names_mcp() {
    let document = read("docs/rules.md");
    let named: Vec<&str> = document
        .split("<!-- rules: ")
        .skip(1)
        .filter_map(|rest| rest.split_once(" -->").map(|(name, _)| name))
        .collect();
    assert_eq!(named, SETS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    let (_, sets) = document.split_once("## Sets").expect("sets");
    let blocks: Vec<&str> =
        sets.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), SETS.len(), "a rule set without a name");
    for block in blocks {
        assert!(block.contains("request: POST /mcp, expect: 403"), "{block}");
        let (rules, _) = block.split_once("  tests:\n").expect("tests");
        let (_, last) = rules.rsplit_once("    - name: ").expect("a rule");
        assert!(!last.contains("match:"), "the last rule matches everything: {last}");
    }
}

#[test]
fn readme_rules_cannot_be_bypassed() {
    let readme = read("README.md");
    let is_set = |block: &&str| block.contains("\n  rules:\n");
    let blocks = readme.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let sets: Vec<&str> = blocks.filter(is_set).collect();
    assert_eq!(sets.len(), 1);
    let all: Vec<Endpoint> =
        endpoints::of("openmetadata").into_iter().filter(|e| is_never_open(&e.method, &e.path)).collect();
    assert!(all.len() > 10);
    for (issuer, claims) in [
        ("okta", (|| json!({"sub": "ada", "roles": ["DataSteward"]})) as fn() -> Value),
        ("openmetadata", || json!({"sub": "ingestion-bot", "isBot": true, "roles": ["IngestionBotRole"]})),
    ] {
        let open = open_to(sets[0], Some(&caller("", Some(issuer), claims)), &all);
        assert!(open.is_empty(), "{issuer}: {open:?}");
    }
}

fn is_never_open(method: &str, path: &str) -> bool {
    NEVER_OPEN.contains(&(method, path))
}

/// The lists keep every endpoint known from earlier versions.
#[test]
fn endpoint_lists_are_complete() {
    let known: Vec<Endpoint> =
        ["openmetadata", "datahub-gms", "datahub-frontend"].into_iter().flat_map(endpoints::of).collect();
    let has = |method: &str, path: &str| known.iter().any(|e| e.method == method && e.path == path);
    for (method, path) in NEVER_OPEN {
        assert!(has(method, path), "{method} {path}");
    }
    for (method, path) in [
        ("POST", "/openapi/entities/v1/"),
        ("POST", "/usageStats?action=batchIngest"),
        ("POST", "/aspects?action=ingestProposal"),
        ("MUTATION", "createAccessToken"),
        ("POST", "/logIn"),
        ("DELETE", "/api/v1/tables/name/x"),
    ] {
        assert!(has(method, path), "{method} {path}");
    }
    assert!(known.len() > 2000, "{}", known.len());
}
