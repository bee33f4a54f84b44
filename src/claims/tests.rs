//! Validation of signed claims.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod identity;
mod own_tokens;
mod times;

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::test_support::{NOW, good_claims, open_rules, signed, verified, verified_by, with, without};

/// Validates these claims at [`NOW`].
fn validated(rules: &ClaimRules, claims: &Value) -> Result<VerifiedToken, ClaimsFault> {
    validated_at(rules, claims, NOW)
}

fn validated_at(rules: &ClaimRules, claims: &Value, now: i64) -> Result<VerifiedToken, ClaimsFault> {
    validate(signed(claims), "idp", rules, NumericDate::from_secs(now))
}

#[track_caller]
fn assert_fault(rules: &ClaimRules, claims: &Value, fault: ClaimsFault) {
    assert_eq!(validated(rules, claims).err(), Some(fault), "{claims}");
}

#[track_caller]
fn assert_malformed(rules: &ClaimRules, claims: &Value) {
    let outcome = validated(rules, claims);
    assert!(matches!(outcome, Err(ClaimsFault::Malformed(_))), "{outcome:?} for {claims}");
}

fn good(more: Value) -> Value {
    with(good_claims(), more)
}

#[test]
fn issuer_is_compared_byte_for_byte() {
    let mut rules = open_rules();
    rules.issuers = vec!["https://idp.example".into(), "second".into()];
    for issuer in ["https://idp.example", "second"] {
        let token = validated(&rules, &good(json!({"iss": issuer}))).unwrap();
        assert_eq!(token.issuer(), Some(issuer));
        assert_eq!(token.entry(), "idp");
    }
    for issuer in [
        "https://idp.example/",
        "https://IDP.example",
        "https://idp.example.evil",
        "https://idp",
        "idp.example",
        " https://idp.example",
        "https://idp.example ",
        "Second",
        "",
    ] {
        assert_fault(&rules, &good(json!({"iss": issuer})), ClaimsFault::UntrustedIssuer);
    }
    assert_fault(&rules, &without(good_claims(), "iss"), ClaimsFault::UntrustedIssuer);
    assert_fault(&rules, &good(json!({"iss": null})), ClaimsFault::UntrustedIssuer);
    for issuer in [
        json!(5),
        json!({}),
        json!(["https://idp.example"]),
        json!(true),
        json!("a\nb"),
        json!("a\u{7f}b"),
        json!("\u{e9}\u{85}"),
        json!("x".repeat(513)),
    ] {
        assert_malformed(&rules, &good(json!({"iss": issuer})));
        assert_malformed(&open_rules(), &good(json!({"iss": issuer})));
    }
    assert_eq!(validated(&open_rules(), &without(good_claims(), "iss")).unwrap().issuer(), None);
}

#[test]
fn is_from_matches_the_entry_and_its_listed_issuer() {
    let bound = ClaimRules { issuers: vec!["https://idp.example".into(), "second".into()], ..open_rules() };
    for (rules, issuer, expected) in [
        (&bound, "https://idp.example", &["idp", "https://idp.example"][..]),
        (&bound, "second", &["idp", "second"]),
        // The simple list lists no issuers, so the text in the token does not count.
        (&open_rules(), "https://idp.example", &["idp"]),
        (&open_rules(), "okta", &["idp"]),
        (&open_rules(), "", &["idp"]),
    ] {
        let token = validated(rules, &good(json!({"iss": issuer}))).unwrap();
        let names = ["idp", "https://idp.example", "https://idp.example/", "second", "okta", "IDP", ""];
        let from: Vec<_> = names.into_iter().filter(|name| token.is_from(name)).collect();
        assert_eq!(from, expected, "{issuer}");
    }
    assert!(!validated(&open_rules(), &without(good_claims(), "iss")).unwrap().is_from(""));
}

#[test]
fn one_audience_must_be_accepted() {
    let mut rules = open_rules();
    rules.audiences = vec!["us".into(), "also us".into()];
    for audience in
        [json!("us"), json!("also us"), json!(["us"]), json!(["other", "us"]), json!(["us", "us"])]
    {
        assert!(validated(&rules, &good(json!({"aud": audience}))).is_ok(), "{audience}");
    }
    for audience in
        [json!(null), json!([]), json!("US"), json!("us "), json!("us,other"), json!(["other"]), json!("")]
    {
        assert_fault(&rules, &good(json!({"aud": audience})), ClaimsFault::WrongAudience);
    }
    assert_fault(&rules, &good_claims(), ClaimsFault::WrongAudience);
    for audience in
        [json!(5), json!({"us": 1}), json!([["us"]]), json!(["us", 1]), json!([null]), json!(true)]
    {
        assert_malformed(&rules, &good(json!({"aud": audience})));
        assert_malformed(&open_rules(), &good(json!({"aud": audience})));
    }
    assert!(validated(&open_rules(), &good(json!({"aud": "whoever"}))).is_ok(), "not bound");
}

#[test]
fn checks_run_in_the_documented_order() {
    let mut rules = open_rules();
    rules.issuers = vec!["them".into()];
    rules.audiences = vec!["us".into()];
    rules.max_lifetime = Some(Duration::from_secs(60));
    // Start with every fault, then fix the reported one in each step.
    let mut claims = json!({"exp": NOW - 100, "nbf": NOW + 100, "iat": NOW - 1000, "iss": "x", "aud": "x"});
    for (fault, fix) in [
        (ClaimsFault::Expired, json!({"exp": NOW + 100})),
        (ClaimsFault::NotYetValid, json!({"nbf": NOW})),
        (ClaimsFault::UntrustedIssuer, json!({"iss": "them"})),
        (ClaimsFault::WrongAudience, json!({"aud": "us"})),
        (ClaimsFault::LifetimeTooLong, json!({"iat": NOW + 40 - 20})),
        (ClaimsFault::LifetimeTooLong, json!({"exp": NOW + 80})),
        (ClaimsFault::MissingPrincipal, json!({"sub": "ada"})),
    ] {
        assert_fault(&rules, &claims, fault);
        claims = with(claims, fix);
    }
    assert!(validated(&rules, &claims).is_ok());
}

#[test]
fn class_is_read_from_the_claims() {
    for (claims, class) in [
        (json!({}), TokenClass::User),
        (json!({"isBot": true}), TokenClass::Bot),
        (json!({"ISBOT": true}), TokenClass::Bot),
        (json!({"isBot": true, "tokenType": "PERSONAL_ACCESS"}), TokenClass::Bot),
        (json!({"tokenType": "BOT"}), TokenClass::Bot),
        (json!({"isBot": null, "tokenType": "BOT"}), TokenClass::Bot),
        // A user whom a bot impersonates.
        (json!({"isBot": false, "tokenType": "BOT", "impersonatedUser": "a-bot"}), TokenClass::User),
        // Values that are not booleans count as false.
        (json!({"isBot": "true"}), TokenClass::User),
        (json!({"isBot": 1}), TokenClass::User),
        (json!({"isBot": "true", "tokenType": "BOT"}), TokenClass::User),
        (json!({"isBot": [true], "tokenType": "BOT"}), TokenClass::User),
        (json!({"isBot": false, "tokenType": "PERSONAL_ACCESS"}), TokenClass::PersonalAccess),
        (json!({"tokenType": "OM_USER"}), TokenClass::User),
        (json!({"tokenType": "bot"}), TokenClass::User),
        (json!({"tokenType": 5}), TokenClass::User),
        (json!({"actorType": "USER", "type": "PERSONAL"}), TokenClass::PersonalAccess),
        (json!({"actorType": "USER", "type": "SESSION"}), TokenClass::Session),
        (json!({"actorType": "USER", "type": "SERVICE_ACCOUNT"}), TokenClass::ServiceAccount),
        (json!({"actorType": "USER", "type": "OTHER"}), TokenClass::User),
        (json!({"type": "SESSION"}), TokenClass::User),
        // OpenMetadata's claims have no effect in DataHub's tokens.
        (json!({"actorType": "USER", "type": "SESSION", "isBot": true}), TokenClass::Session),
        (json!({"actorType": "USER", "tokenType": "BOT"}), TokenClass::User),
    ] {
        assert_eq!(verified(claims.clone()).class(), class, "{claims}");
    }
    let classes = [
        TokenClass::Bot,
        TokenClass::PersonalAccess,
        TokenClass::Session,
        TokenClass::ServiceAccount,
        TokenClass::User,
    ];
    let words: std::collections::BTreeSet<_> = classes.iter().map(|class| class.as_str()).collect();
    assert_eq!(words.len(), classes.len());
}

#[test]
fn roles_are_found_by_name_or_by_path() {
    let all = json!({
        "roles": ["Admin", "", 5, null, "a\nb", "x".repeat(257), "Steward"],
        "realm_access": {"roles": ["Realm"], "one": {"deep": "Single"}},
        "https://idp.example/roles": ["Namespaced"],
        "number": 5,
        "object": {"Admin": true},
    });
    for (path, expected) in [
        ("roles", &["Admin", "Steward"][..]),
        ("realm_access.roles", &["Realm"]),
        ("realm_access.one.deep", &["Single"]),
        ("https://idp.example/roles", &["Namespaced"]),
        ("realm_access", &[]),
        ("realm_access.none", &[]),
        ("roles.0", &[]),
        ("number", &[]),
        ("object", &[]),
        ("none", &[]),
        ("Roles", &[]),
        ("", &[]),
        (".", &[]),
    ] {
        let rules = ClaimRules { roles_claim: RolesClaim::new(path), ..open_rules() };
        let token = validated(&rules, &good(all.clone())).unwrap();
        let roles: Vec<&str> = token.roles().iter().map(AsRef::as_ref).collect();
        assert_eq!(roles, expected, "{path}");
    }
    // A claim with the whole name takes precedence over the path.
    let both = good(json!({"a.b": "whole", "a": {"b": "path"}}));
    let rules = ClaimRules { roles_claim: RolesClaim::new("a.b"), ..open_rules() };
    assert_eq!(validated(&rules, &both).unwrap().roles(), ["whole"].map(Box::<str>::from));
}

#[test]
fn header_values_are_available_after_validation() {
    let token = verified(json!({"scope": "read write"}));
    assert_eq!(token.kid(), Some("own-key"));
    assert_eq!(token.algorithm(), Algorithm::HS256);
    assert_eq!(token.fingerprint().short().len(), 16);
    assert_eq!(token.scopes(), ["read", "write"].map(Box::<str>::from));
    assert_eq!(token.claims().get("sub").and_then(JsonValue::as_str), Some("ada"));
    assert_eq!(token.expires(), Some(NumericDate::from_secs(NOW + 600)));
}

#[test]
fn audit_members_are_written_once_and_counted() {
    let token = verified(json!({"sub": "ada"}));
    assert_eq!(token.audit_members(|token| token.principal().into()), "ada");
    assert_eq!(token.audit_members(|_| unreachable!("they are kept")), "ada");
    let longer = verified(json!({"sub": "a".repeat(203)}));
    // 3 bytes for each of the parsed claim, and one for each in the members.
    assert!(longer.weight() >= token.weight() + 4 * 200, "{} {}", longer.weight(), token.weight());
}
