//! Checks that the documents agree with the code.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "documents/clients.rs"]
mod clients;
#[path = "documents/configurations.rs"]
mod configurations;
#[path = "documents/dependencies.rs"]
mod dependencies;
#[path = "documents/endpoints.rs"]
mod endpoints;
#[path = "documents/kubernetes.rs"]
mod kubernetes;
#[path = "documents/mistakes.rs"]
mod mistakes;
#[path = "documents/monitoring.rs"]
mod monitoring;
#[path = "documents/reference.rs"]
mod reference;
#[path = "documents/rule_sets.rs"]
mod rule_sets;
#[path = "documents/site.rs"]
mod site;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::process::Command;

use http::HeaderName;
use metagate::backend::Backend;
use metagate::config::KEYS;
use metagate::outbound_head::{Authorization, IdentityNames, OutboundHead};

fn read(path: &str) -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/").to_owned() + path).expect(path)
}

/// The lines of all fenced blocks of a language.
fn blocks<'t>(text: &'t str, language: &str) -> Vec<&'t str> {
    let mut inside = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("```") {
            Some(info) => inside = !inside && info == language,
            None if inside => lines.push(line),
            None => {}
        }
    }
    lines
}

#[test]
fn documented_commands_parse() {
    let mut seen = 0;
    for document in site::documents() {
        for line in blocks(&read(&document), "sh") {
            let arguments = line
                .trim()
                .strip_prefix("cargo run --release -- ")
                .or_else(|| line.trim().strip_prefix("metagate "));
            let Some(arguments) = arguments else { continue };
            let words =
                arguments.split(['#', '|', '<', '>', '&']).next().unwrap_or_default().split_whitespace();
            let arguments: Vec<OsString> =
                std::iter::once("metagate").chain(words).map(|word| word.trim_matches('\'').into()).collect();
            if let Err(error) = metagate::command::understands(arguments) {
                panic!("{document}: {line}: {error}");
            }
            seen += 1;
        }
    }
    assert!(seen >= 5, "only {seen} commands were found");
}

/// The files are those of the program, which users may have without the repository.
#[test]
fn the_program_prints_the_example_and_the_reference() {
    let printed = |command: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_metagate"))
            .args(["config", command])
            .env_clear()
            .output()
            .unwrap();
        assert!(output.status.success(), "{command}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(
        printed("example") == read("config.example.yaml"),
        "metagate config example > config.example.yaml"
    );
    let reference = read("docs/reference.md");
    let table =
        reference.split_once("<!-- keys -->\n").and_then(|(_, rest)| rest.split_once("<!-- /keys -->"));
    assert!(printed("docs") == table.unwrap().0, "metagate config docs");
    let help = Command::new(env!("CARGO_BIN_EXE_metagate")).args(["run", "--help"]).output().unwrap();
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let help = words(&String::from_utf8(help.stdout).unwrap());
    for path in ["listen", "backend", "upstream.url", "authentication.publicKeyUrls"] {
        let key = KEYS.iter().find(|key| key.path == path).unwrap();
        assert!(help.contains(&words(&key.text())), "{path}: {help}");
    }
}

/// The fields that no client may send, of all backends together, and the prefixes of further ones.
fn reserved() -> (BTreeSet<String>, BTreeSet<&'static str>) {
    let heads = Backend::ALL.map(|backend| {
        let names = IdentityNames {
            user: Some(HeaderName::from_static("x-forwarded-user")),
            email: Some(HeaderName::from_static("x-forwarded-email")),
            groups: Some(HeaderName::from_static("x-forwarded-groups")),
            datahub_actor: true,
        };
        OutboundHead::new(backend, names, Authorization::Forward, Vec::new())
    });
    let names = heads.iter().flat_map(OutboundHead::reserved).map(str::to_owned).collect();
    (names, heads.iter().flat_map(OutboundHead::reserved_families).collect())
}

/// Expands a pattern of literals, `[-_.]`, groups and `?` after a group into all texts that it
/// matches, with `-` as the separator and a final `*` for anything.
fn expanded(pattern: &str) -> Vec<String> {
    fn alternatives(rest: &mut std::str::Chars<'_>) -> Vec<String> {
        let (mut done, mut current) = (Vec::new(), vec![String::new()]);
        while let Some(c) = rest.next() {
            let next = match c {
                ')' => break,
                '|' => {
                    done.append(&mut current);
                    current.push(String::new());
                    continue;
                }
                '[' => {
                    assert_eq!(rest.by_ref().take_while(|c| *c != ']').collect::<String>(), "-_.");
                    if rest.as_str().starts_with('*') {
                        rest.next();
                    }
                    vec!["-".to_owned()]
                }
                '.' => {
                    assert!(rest.as_str().starts_with('*'), "one byte of any kind");
                    vec![String::new()]
                }
                '(' => {
                    let mut group = alternatives(rest);
                    if rest.as_str().starts_with('?') {
                        rest.next();
                        group.push(String::new());
                    }
                    group
                }
                c => vec![c.to_string()],
            };
            current = current
                .iter()
                .flat_map(|before| next.iter().map(move |after| format!("{before}{after}")))
                .collect();
        }
        done.append(&mut current);
        done
    }
    alternatives(&mut pattern.to_ascii_lowercase().chars())
}

#[test]
fn forward_auth_examples_remove_every_reserved_field() {
    let words = |text: &str, before: &str| -> BTreeSet<String> {
        let names = text.lines().filter_map(|line| line.trim().strip_prefix(before));
        names.map(|rest| rest.split(' ').next().unwrap_or_default().to_ascii_lowercase()).collect()
    };
    let nginx = words(&read("deploy/forward-auth/nginx/nginx.conf"), "proxy_set_header ");
    let caddy = words(&read("deploy/forward-auth/caddy/Caddyfile"), "request_header -");
    let mut envoy = words(&read("deploy/forward-auth/envoy/envoy.yaml"), "- remove: ");
    // metagate must receive this field, and tells Envoy to remove it.
    envoy.insert("x-impersonate-user".to_owned());
    let traefik = read("deploy/forward-auth/traefik/dynamic.yaml");
    let (_, pattern) = traefik.split_once("\"(?i)^(").expect("a pattern");
    let (pattern, _) = pattern.split_once(")$\"").expect("its end");
    let pattern: String = pattern.split("\\\n").map(str::trim_start).collect();
    let traefik = expanded(&pattern).into_iter().collect();
    let haproxy = read("deploy/forward-auth/haproxy/haproxy.cfg");
    let patterns = haproxy
        .lines()
        .filter_map(|line| line.trim().strip_prefix("http-request del-header ^")?.strip_suffix("$ -m reg"));
    let haproxy = patterns.flat_map(expanded).collect();
    let (names, families) = reserved();
    assert!(names.len() > 100 && families.contains("x-datahub-") && families.contains("cf-access-"));
    for (proxy, removed) in
        [("nginx", nginx), ("caddy", caddy), ("envoy", envoy), ("traefik", traefik), ("haproxy", haproxy)]
    {
        let removed: BTreeSet<String> = removed;
        let beginnings: Vec<&str> = removed.iter().filter_map(|name| name.strip_suffix('*')).collect();
        let is_removed = |name: &str| {
            removed.contains(name) || beginnings.iter().any(|beginning| name.starts_with(beginning))
        };
        let missing: Vec<_> = names.iter().filter(|name| !is_removed(name)).collect();
        assert!(missing.is_empty(), "{proxy}: {missing:?} of {removed:?}");
        // These two can remove fields only by full name. metagate refuses the rest of a family that
        // nginx forwards to it, and lists it for Envoy.
        if !["nginx", "envoy"].contains(&proxy) {
            let missing: Vec<_> = families.iter().filter(|family| !is_removed(family)).collect();
            assert!(missing.is_empty(), "{proxy}: {missing:?} of {beginnings:?}");
        }
    }
}

/// CI runs the other examples but has no Traefik and Envoy. This checks that their auth requests
/// and metagate's responses use the same fields.
#[test]
fn traefik_and_envoy_examples_name_the_fields_in_use() {
    let traefik = read("deploy/forward-auth/traefik/dynamic.yaml");
    let sets = |text: &str, key: &str| text.lines().any(|line| line.trim().starts_with(key));
    assert!(sets(&traefik, "trustForwardHeader: false"));
    assert!(!sets(&traefik, "authRequestHeaders:"), "metagate must see all fields that the backend sees");
    let envoy = read("deploy/forward-auth/envoy/envoy.yaml");
    let section = |from: &str, to: &str| {
        let (_, rest) = envoy.split_once(from).expect(from);
        rest.split_once(to).expect(to).0.to_owned()
    };
    let sent = section("allowed_headers:", "http_service:");
    for name in ["authorization", "cookie", "x-forwarded-for", "x-impersonate-user", "x-request-id"] {
        assert!(sent.contains(&format!("exact: {name}}}")), "{name}");
    }
    for family in reserved().1 {
        assert!(sent.contains(&format!("prefix: {family}}}")), "{family}, which metagate lists for Envoy");
    }
    let taken = section("allowed_upstream_headers:", "allowed_client_headers:");
    for name in [
        "authorization",
        "x-forwarded-user",
        "x-forwarded-email",
        "x-forwarded-groups",
        "x-datahub-actor",
        "x-datahub-request-source",
    ] {
        assert!(taken.contains(&format!("exact: {name}}}")), "{name}");
    }
    assert!(envoy.contains("failure_mode_allow: false"));
    assert!(envoy.contains("headers_with_underscores_action: REJECT_REQUEST"));
    assert!(envoy.contains("use_remote_address: true"));
    assert!(!sets(&envoy, "path_prefix:"), "a prefix would change the path");
    let position = |filter: &str| envoy.find(filter).expect(filter);
    assert!(position("envoy.filters.http.header_mutation") < position("envoy.filters.http.ext_authz"));
    assert!(position("envoy.filters.http.ext_authz") < position("envoy.filters.http.router"));
}

/// Every rule set is a complete configuration whose tests pass and cover every rule.
#[test]
fn rule_sets_pass_their_own_tests() {
    let rules = read("docs/rules.md");
    let sets: Vec<&str> =
        rules.split("```yaml\n").skip(1).filter_map(|rest| rest.split("\n```").next()).collect();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("metagate.yaml");
    let check = |text: &str| {
        fs::write(&file, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_metagate"));
        command.args(["check", "--offline", "--config"]).arg(&file).env_clear();
        command.env("SIGNING_KEY", "q3tEo0gHk1Yw9sVb7nXcR5mZ2pLdJf8uA6iTqWe4");
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    let mut seen = 0;
    for set in sets.iter().filter(|set| set.contains("  tests:")) {
        let (code, output) = check(set);
        assert_eq!(code, Some(0), "{set}\n{output}");
        let passed =
            output.lines().any(|line| line.starts_with("tests: ") && line.contains(" passed, 0 failed"));
        assert!(passed, "{set}\n{output}");
        for word in ["never hit", "never decides", "is not evaluated on public routes: "] {
            assert!(!output.contains(word), "{word}\n{set}\n{output}");
        }
        // Without the rules, the tests fail.
        let (before, rest) = set.split_once("  rules:\n").unwrap();
        let (_, tests) = rest.split_once("  tests:\n").unwrap();
        let nameless = |line: &str| match line.split_once(", rule: ") {
            Some((before, _)) => format!("{before}}}\n"),
            None => format!("{line}\n"),
        };
        let tests: String = tests.lines().map(nameless).collect();
        let (code, output) = check(&format!("{before}  tests:\n{tests}"));
        assert_eq!(code, Some(1), "{set}\n{output}");
        seen += 1;
    }
    assert!(seen >= 6, "only {seen} sets were found");
}
