//! Names of issuers in rules, and names that two entries cannot share.

use super::*;

const SECRET: &str = "sharedSecret: q3tEo0gHk1Yw9sVb7nXcR5mZ2pLdJf8u";

/// The errors of entries with these names and issuers.
fn errors_of(entries: &[(&str, &str)], variables: &[(&str, &str)]) -> Vec<String> {
    let entry = |(name, issuer): &(&str, &str)| format!("  - {{name: {name}, issuer: {issuer}, {SECRET}}}\n");
    let entries: String = entries.iter().map(entry).collect();
    let case = file(&format!("authentication:\n  issuers:\n{entries}")).with(&[UPSTREAM]).with(variables);
    case.result().err().map(|errors| errors.iter().map(shown).collect()).unwrap_or_default()
}

#[test]
fn a_name_that_is_the_issuer_of_another_entry_is_an_error() {
    for (entries, expected) in [
        (
            [("okta", "a"), ("b", "okta")],
            "authentication.issuers[1].issuer @ 4:23 | \"okta\" is the name of another entry",
        ),
        (
            [("a", "okta"), ("okta", "b")],
            "authentication.issuers[1].name @ 4:12 | `okta`, the name of this entry, is an issuer of `a`",
        ),
        ([("a", "[x, okta]"), ("okta", "b")], "authentication.issuers[1].name @ 4:12 | `okta`"),
        ([("okta", "a"), ("b", "[x, okta]")], "authentication.issuers[1].issuer @ 4:23 | \"okta\""),
        (
            [("a", "public-keys"), ("b", "b")],
            "authentication.issuers[0].issuer @ 3:23 | \"public-keys\" is the name",
        ),
        (
            [("public-keys", "a"), ("b", "b")],
            "authentication.issuers[0].name @ 3:12 | `public-keys` is the name",
        ),
    ] {
        let errors = errors_of(&entries, &[]);
        assert_error(&errors, expected);
        assert_eq!(errors.len(), 1, "{errors:#?}");
    }
    // The name of an entry may be its own issuer.
    assert!(errors_of(&[("okta", "okta"), ("a", "[b, a]")], &[]).is_empty());
}

#[test]
fn the_entry_of_datahubs_signing_key_has_a_unique_name() {
    let key = ("DATAHUB_TOKEN_SERVICE_SIGNING_KEY", "5hM0y8xQ2kWc7rTzN1bVfJ4pLsG9dEaU");
    let errors = errors_of(&[("a", "datahub")], &[key]);
    assert_error(
        &errors,
        "datahub.tokenServiceSigningKey @ DATAHUB_TOKEN_SERVICE_SIGNING_KEY | `datahub`, the name",
    );
    let errors = errors_of(&[("a", "a")], &[key, ("DATAHUB_TOKEN_SERVICE_ISSUER", "a")]);
    assert_error(&errors, "datahub.tokenServiceIssuer @ DATAHUB_TOKEN_SERVICE_ISSUER | \"a\" belongs to");
    let errors = errors_of(&[("a", "b")], &[key, ("DATAHUB_TOKEN_SERVICE_ISSUER", "a")]);
    assert_error(&errors, "datahub.tokenServiceIssuer @ DATAHUB_TOKEN_SERVICE_ISSUER | \"a\" is the name");
}

#[test]
fn a_rule_about_an_unknown_issuer_is_an_error() {
    let text = "
authentication:
  issuers: [{name: a, issuer: https://a.example, audiences: [app]}]
authorization:
  rules:
    - {name: r, match: {issuers: [a, https://a.example]}, action: deny}
    - {name: s, match: {issuers: [a, aa]}, action: deny}
    - {name: t, require: {issuers: [https://b.example]}}
    - {name: u, mode: report, match: {issuers: [public-keys]}, action: deny}
";
    let unknown = |rule: &str, name: &str| {
        format!("authorization.rules{rule} | \"{name}\" is neither the name nor the issuer of an entry")
    };
    let errors = file(text).with(&[UPSTREAM]).errors();
    assert_error(&errors, &unknown("[1].match.issuers @ 7:34", "aa"));
    assert_error(&errors, &unknown("[2].require.issuers @ 8:36", "https://b.example"));
    assert_error(&errors, &unknown("[3].match.issuers @ 9:48", "public-keys"));
    assert_eq!(errors.len(), 3, "{errors:#?}");
    // The simple list has a name and accepts tokens of any iss, but binds none.
    let errors = file(text).with(&[UPSTREAM, KEYS_URL]).errors();
    assert_error(&errors, &unknown("[2].require.issuers @ 8:36", "https://b.example"));
    assert_eq!(errors.len(), 2, "{errors:#?}");
}

#[test]
fn rules_do_not_report_issuers_of_entries_with_errors() {
    let text = "
authentication:
  issuers: [{name: a, issuer: a, sharedSecret: short}]
authorization:
  rules: [{name: r, match: {issuers: [a]}, action: deny}]
";
    let errors = file(text).with(&[UPSTREAM]).errors();
    assert!(errors.iter().all(|error| error.starts_with("authentication.")), "{errors:#?}");
}
