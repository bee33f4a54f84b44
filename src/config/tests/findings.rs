//! Warnings, their ids, and which of them are accepted.

use super::*;

const WARNED: &str = "upstream: {url: http://10.0.0.1:8585}
admin: {listen: 0.0.0.0:8687}
authentication:
  issuers: [{name: idp, issuer: https://idp.example}]
";

fn ids(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().filter_map(|finding| finding.id).map(FindingId::as_str).collect()
}

#[test]
fn an_accepted_warning_is_left_out() {
    let loaded = file(WARNED).loaded();
    assert_eq!(ids(&loaded.warnings), ["admin-not-loopback", "any-audience"]);
    assert!(loaded.accepted.is_empty());
    let text = format!("{WARNED}check: {{accept: [any-audience, stored-keys]}}\n");
    let loaded = file(&text).loaded();
    assert_eq!(ids(&loaded.warnings), ["admin-not-loopback"], "one that does not occur has no effect");
    assert_eq!(ids(&loaded.accepted), ["any-audience"]);
    let accepted =
        file(WARNED).with(&[("METAGATE_CHECK__ACCEPT", "any-audience, admin-not-loopback")]).loaded();
    assert!(accepted.warnings.is_empty());
}

#[test]
fn an_unknown_id_is_an_error_with_a_suggestion() {
    let errors = file(&format!("{WARNED}check: {{accept: [any-audiences, rule-test-failed, x]}}\n")).errors();
    for expected in [
        "check.accept @ 5:18 | item 1: \"any-audiences\" is not the id of a warning; did you mean `any-audience`?",
        "check.accept @ 5:33 | item 2: \"rule-test-failed\" is an error, and errors cannot be accepted",
        "check.accept @ 5:51 | item 3: \"x\" is not the id of a warning",
    ] {
        assert_error(&errors, expected);
    }
}

#[test]
fn ids_are_words_with_hyphens_and_a_finding_shows_its_id() {
    let word = |id: &str| id.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    assert!(FindingId::ALL.iter().all(|id| word(id.as_str())));
    let finding = Finding::warning(FindingId::AnyAudience, "a.b", "is odd").help("change it");
    assert_eq!(finding.to_string(), "warning[any-audience]: a.b: is odd\n  = help: change it");
    assert_eq!(Finding::info("so").to_string(), "info: so");
    let error = Finding::error(FindingId::KeysUnavailable, "", "gone");
    assert!(!error.is_accepted(&[FindingId::KeysUnavailable]), "an error cannot be accepted");
}

#[test]
fn more_counters_than_are_created_in_advance_are_a_warning() {
    let with_rules = |count: usize| {
        let rule = |number: usize| {
            format!("\n    - {{name: r{number}, match: {{paths: [/p{number}]}}, action: deny}}")
        };
        let rules: String = (0..count).map(rule).collect();
        file(&format!("{WARNED}authorization:\n  rules:{rules}\n")).loaded()
    };
    assert!(!ids(&with_rules(450).warnings).contains(&"counters-missing"));
    let loaded = with_rules(500);
    let found = loaded.warnings.iter().find(|found| found.id == Some(FindingId::CountersMissing));
    let message = &found.expect("the warning").message;
    assert!(message.starts_with("issuer entries and rules have 2"), "{message}");
    assert!(message.ends_with("counters, and 2000 of them are created in advance"), "{message}");
}
