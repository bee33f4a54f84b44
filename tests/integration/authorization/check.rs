//! `metagate check` runs `authorization.tests`.

use serde_json::Value;
use tempfile::TempDir;

use crate::support::gateway::{Finished, Setup};
use crate::support::issuer::{Issuer, JWKS};
use crate::support::keys;
use crate::support::token::Token;

const RULES: &str = r#"
upstream: {url: "http://127.0.0.1:1"}
backend: openmetadata
openmetadata: {impersonation: {bots: [b]}}
authentication:
  enforcePrincipalDomain: true
  issuers:
    - {name: own, issuer: open-metadata.org, publicKeyUrls: ["http://127.0.0.1:1/jwks"], audiences: [om], maxLifetime: 10s}
    - {name: secret, issuer: datahub-metadata-service, sharedSecret: q3tEo0gHk1Yw9sVb7nXcR5mZ2pLdJf8u}
    - {name: pss, issuer: https://pss.example, publicKeyUrls: ["http://127.0.0.1:1/jwks"], algorithms: [PS384, PS512]}
    - {name: typed, issuer: https://typed.example, publicKeyUrls: ["http://127.0.0.1:1/jwks"], algorithms: [ES384], tokenTypes: [at+jwt], requireTokenType: true}
    - {name: like-own, issuer: https://like.example, publicKeyUrls: ["http://127.0.0.1:1/jwks"]}
authorization:
  public: ["GET /docs/**"]
  rules:
    - name: admins-delete
      match: {methods: [DELETE], paths: ["/api/v1/**"]}
      require: {anyRole: [Admin]}
    - name: inside-only
      match: {paths: ["/api/v1/policies/**"]}
      require: {sourceIps: [10.0.0.0/8]}
    - name: one-host
      match: {hosts: [closed.example]}
      action: deny
limits: {bodyBytes: 8}
"#;

#[track_caller]
fn check(tests: &str, more: &[&str]) -> Finished {
    let config = RULES.replace("limits:", &format!("  tests:\n{tests}limits:"));
    let arguments: Vec<&str> = ["check", "--offline"].iter().chain(more).copied().collect();
    Setup::command(&arguments).config(config).finish()
}

const GOOD: &str = r#"
    - {name: nobody, request: GET /api/v1/tables, expect: 401}
    - {name: an admin, claims: {sub: ada@open-metadata.org, roles: [Admin]}, request: DELETE /api/v1/tables/x, expect: allow, rule: admins-delete}
    - {name: a bot, claims: {sub: ingestion-bot, isBot: true, roles: [IngestionBotRole]}, request: DELETE /api/v1/tables/x, expect: 403, rule: admins-delete}
    - {name: a bot writes, claims: {sub: ingestion-bot, isBot: true, exp: null}, request: PUT /api/v1/tables, expect: allow}
    - {name: expired, claims: {sub: ada, exp: 1704067200, iat: 1704067100}, request: GET /api/v1/tables, expect: 401}
    - {name: for others, claims: {sub: ada, aud: other}, request: GET /api/v1/tables, expect: 401}
    - {name: nobody's name, claims: {roles: [Admin]}, request: GET /api/v1/tables, expect: 401}
    - {name: too long, claims: {sub: ada, iat: 1704067200, exp: 9999999999}, request: GET /api/v1/tables, expect: 401}
    - {name: by a secret, issuer: secret, claims: {sub: bob@open-metadata.org}, request: GET /api/v1/tables, expect: allow}
    - {name: by its iss, claims: {iss: https://pss.example, sub: bob@open-metadata.org}, request: GET /api/v1/tables, expect: allow}
    - {name: another domain, issuer: pss, claims: {sub: bob@else.example}, request: GET /api/v1/tables, expect: 401}
    - {name: by another type, issuer: typed, claims: {sub: bob@open-metadata.org}, request: GET /api/v1/tables, expect: allow}
    - {name: of another issuer, issuer: own, claims: {iss: https://pss.example, sub: bob}, request: GET /api/v1/tables, expect: 401}
    - {name: of another with the same algorithms, issuer: own, claims: {iss: https://like.example, sub: bob@open-metadata.org}, request: GET /api/v1/tables, expect: 401}
    - {name: of that one itself, claims: {iss: https://like.example, sub: bob@open-metadata.org}, request: GET /api/v1/tables, expect: allow}
    - {name: of no issuer, claims: {iss: nobody, sub: bob}, request: GET /api/v1/tables, expect: 401}
    - {name: from inside, claims: {sub: ada}, request: GET /api/v1/policies, sourceIp: 10.1.2.3, expect: allow, rule: inside-only}
    - {name: from outside, claims: {sub: ada}, request: "GET /api/v1;x/%70olicies/", sourceIp: 192.0.2.1, expect: 403, rule: inside-only}
    - {name: a closed host, claims: {sub: ada}, host: "Closed.example:8443", request: GET /, expect: allow}
    - {name: a closed host's data, claims: {sub: ada}, host: "Closed.example:8443", request: GET /api/v1/tables, expect: 403, rule: one-host}
    - {name: public, request: GET /docs/a, expect: allow}
    - {name: public with a bad token, claims: {iss: nobody}, request: GET /docs/a, expect: allow}
    - {name: not quite public, request: GET /docs/a;b, expect: 401}
    - {name: dots, claims: {sub: ada}, request: GET /docs/../api, expect: 400}
    - {name: connection, claims: {sub: ada}, headers: {Connection: X-Forwarded-User}, request: GET /api/v1/tables, expect: 400}
    - {name: impersonation, claims: {sub: ada}, headers: {X-Impersonate-User: bob}, request: GET /api/v1/tables, expect: 403}
    - {name: a bot's impersonation, claims: {sub: b, isBot: true}, headers: {X-Impersonate-User: bob}, request: GET /api/v1/tables, expect: allow}
    - {name: another bot's, claims: {sub: c, isBot: true}, headers: {X-Impersonate-User: bob}, request: GET /api/v1/tables, expect: 403}
    - {name: to make a token, claims: {sub: b, isBot: true}, headers: {X-Impersonate-User: bob}, request: PUT /api/v1/users/generateToken/x, expect: 403}
    - {name: a large body, claims: {sub: ada}, body: 123456789, request: PUT /api/v1/tables, expect: 413}
    - {name: a small body, claims: {sub: ada}, body: 12345678, request: PUT /api/v1/tables, expect: allow}
"#;

#[test]
fn passing_tests_run_offline_and_hit_every_rule() {
    let finished = check(GOOD, &[]);
    assert_eq!(finished.code, Some(0), "{}", finished.stdout);
    assert!(
        finished.stdout.contains("tests: 31 passed, 0 failed; rules hit: 3 of 3\n"),
        "{}",
        finished.stdout
    );
    assert!(!finished.stdout.contains("error:"), "{}", finished.stdout);
    assert_eq!(finished.stderr, "");
}

/// With the opposite expectation every test fails: none passes unconditionally.
#[test]
fn every_test_fails_with_the_opposite_expectation() {
    for line in GOOD.lines().filter(|line| !line.is_empty()) {
        let (before, rest) = line.split_once("expect: ").expect("an expectation");
        let end = rest.find([',', '}']).expect("an end");
        let (expected, after) = rest.split_at(end);
        let other = if expected == "allow" { "403" } else { "allow" };
        let finished = check(&format!("{before}expect: {other}{after}\n"), &[]);
        assert_eq!(finished.code, Some(1), "{line}\n{}", finished.stdout);
        assert!(
            finished.stdout.contains("error[rule-test-failed]: authorization.tests[0]: "),
            "{line}\n{}",
            finished.stdout
        );
        assert!(finished.stdout.contains("tests: 0 passed, 1 failed"), "{line}\n{}", finished.stdout);
        assert!(!finished.stdout.contains("eyJ"), "a token: {}", finished.stdout);
    }
}

#[test]
fn failed_test_shows_its_steps() {
    let finished = check(
        "    - {name: bots may, claims: {sub: ingestion-bot, isBot: true, roles: [R]}, request: DELETE /api/v1;x/t, expect: allow}
    - {name: the wrong rule, claims: {sub: ada}, request: DELETE /api/v1/policies, expect: 403, rule: inside-only}
",
        &[],
    );
    assert_eq!(finished.code, Some(1));
    let wanted = "error[rule-test-failed]: authorization.tests[0]: bots may: DELETE /api/v1;x/t was expected to be allowed, and is 403 insufficient_permissions by rule admins-delete
  route: protected
  token: verified by own; bot ingestion-bot, roles [R]
  path: read as /api/v1/t
  rule admins-delete: matches and refuses by anyRole
error[rule-test-failed]: authorization.tests[1]: the wrong rule: DELETE /api/v1/policies was expected to be 403 by rule inside-only, and is 403 insufficient_permissions by rule admins-delete
";
    assert!(finished.stdout.starts_with(wanted), "{}", finished.stdout);
    assert!(
        finished.stdout.contains("rules hit: 1 of 3; never hit: inside-only, one-host"),
        "{}",
        finished.stdout
    );
    let warning = "warning[rule-untested]: authorization.rules[1]: `inside-only` decides in no test";
    assert!(finished.stdout.contains(warning), "{}", finished.stdout);
}

#[test]
fn json_output_has_the_steps_and_the_error_path() {
    let tests = "    - {name: a, claims: {sub: ada}, request: DELETE /api/v1/t, expect: allow, rule: admins-delete}\n    - {name: b, request: GET /docs/a, expect: allow}\n";
    let finished = check(tests, &["--json"]);
    assert_eq!(finished.code, Some(1));
    let output: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    let tests = &output["tests"];
    assert_eq!((&tests["passed"], &tests["failed"]), (&1.into(), &1.into()));
    let failed = &tests["results"][0];
    assert_eq!((&failed["name"], &failed["path"]), (&"a".into(), &"authorization.tests[0]".into()));
    assert_eq!(
        failed["expected"],
        serde_json::json!({"status": null, "allowed": true, "rule": "admins-delete"})
    );
    assert_eq!(
        failed["actual"],
        serde_json::json!({"status": 403, "allowed": false, "rule": "admins-delete", "reason": "insufficient_permissions"})
    );
    assert_eq!(failed["steps"][2], "rule admins-delete: matches and refuses by anyRole");
    assert_eq!(tests["results"][1]["passed"], true);
    let coverage = serde_json::json!({"rules": 3, "hit": 1, "never_hit": ["inside-only", "one-host"]});
    assert_eq!(tests["coverage"], coverage);
    let error = output["findings"].as_array().expect("findings").iter().find(|f| f["level"] == "error");
    assert_eq!(error.expect("an error")["path"], "authorization.tests[0]");
}

#[test]
fn no_coverage_warning_without_tests() {
    let finished = Setup::command(&["check", "--offline"]).config(RULES).finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stdout);
    for word in ["tests:", "in no test"] {
        assert!(!finished.stdout.contains(word), "{}", finished.stdout);
    }
}

#[test]
fn report_only_rules_are_tested_as_if_enforced() {
    let tests = "    - {name: a, claims: {sub: ada}, request: DELETE /api/v1/t, expect: 403, rule: admins-delete}\n    - {name: b, request: GET /api, expect: 401}\n";
    for (from, to) in [
        ("authorization:\n", "authorization:\n  mode: report\n"),
        ("- name: admins-delete", "- name: admins-delete\n      mode: report"),
    ] {
        let config = RULES.replace(from, to).replace("limits:", &format!("  tests:\n{tests}limits:"));
        let finished = Setup::command(&["check", "--offline"]).config(config).finish();
        assert_eq!(finished.code, Some(0), "{}", finished.stdout);
        assert!(finished.stdout.contains("tests: 2 passed"), "{}", finished.stdout);
        assert!(finished.stdout.contains("as if it were enforced"), "{}", finished.stdout);
    }
}

#[test]
fn tests_consult_the_revocation_list() {
    let directory = TempDir::new().expect("a directory");
    let list = directory.path().join("list.yaml");
    std::fs::write(&list, "- sub: eve\n").expect("a list");
    let config = RULES
        .replace("authentication:\n", &format!("authentication:\n  revocations: {{file: {}}}\n", list.display()))
        .replace("limits:", "  tests:\n    - {name: a, claims: {sub: eve}, request: GET /api, expect: 401}\n    - {name: b, claims: {sub: eva}, request: GET /api, expect: allow}\nlimits:");
    let finished = Setup::command(&["check", "--offline"]).config(config).finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stdout);
}

#[test]
fn errors_in_tests_fail_the_check_with_their_path() {
    let finished = check("    - {name: a, request: GET /, expect: maybe}\n", &[]);
    assert_eq!(finished.code, Some(2));
    assert!(finished.stderr.contains("authorization.tests[0].expect"), "{}", finished.stderr);
    assert!(finished.stderr.contains("metagate.yaml:"), "{}", finished.stderr);
    let finished = check("    - {name: a, request: GET /, expect: maybe}\n", &["--json"]);
    assert_eq!(finished.code, Some(2));
    let output: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    assert_eq!(output["findings"][0]["path"], "authorization.tests[0].expect");
}

/// `explain` shows the same trace for a real token.
#[test]
fn explain_shows_what_the_rule_requires() {
    let directory = TempDir::new().expect("a directory");
    let token = directory.path().join("token");
    std::fs::write(
        &token,
        Token::user()
            .claim("aud", "om".into())
            .claim("exp", Value::from(crate::support::token::now() + 2))
            .encode(),
    )
    .expect("a token");
    let issuer = Issuer::of(keys::rsa());
    let config = RULES.replace("http://127.0.0.1:1/jwks", &issuer.url(JWKS));
    let token = token.to_str().expect("a path");
    let arguments = ["explain", "--token-file", token, "--method", "DELETE", "--path", "/api/v1/x"];
    let finished = Setup::command(&arguments).config(config).finish();
    assert_eq!(finished.code, Some(1), "{}", finished.stdout);
    let line = "FAILED rules: insufficient_permissions: rule admins-delete: anyRole: token has [\"DataConsumer\"] in roles, wanted one of [Admin]";
    assert!(finished.stdout.lines().any(|own| own == line), "{}", finished.stdout);
}
