//! The principal and email of a token.

use super::*;

fn openmetadata() -> ClaimRules {
    let mut rules = open_rules();
    rules.principal.style = PrincipalStyle::LocalPart;
    rules
}

fn mapped() -> ClaimRules {
    let mut rules = openmetadata();
    rules.principal.mapping = Some(PrincipalMapping { username: "login".into(), email: "mail".into() });
    rules
}

/// The principal and email of these claims, without a default `sub`.
fn principal(rules: &ClaimRules, claims: Value) -> Result<(String, Option<String>), ClaimsFault> {
    let token = validated(rules, &with(json!({"exp": NOW + 600}), claims))?;
    Ok((token.principal().to_owned(), token.email().map(ToOwned::to_owned)))
}

#[track_caller]
fn assert_principal(rules: &ClaimRules, claims: Value, user: &str, email: Option<&str>) {
    let expected = Ok((user.to_owned(), email.map(ToOwned::to_owned)));
    assert_eq!(principal(rules, claims.clone()), expected, "{claims}");
}

#[test]
fn first_non_empty_claim_names_the_principal() {
    let all = json!({"email": "ada@example.org", "preferred_username": "ada", "sub": "0815"});
    let rules = open_rules();
    assert_principal(&rules, all.clone(), "ada@example.org", Some("ada@example.org"));
    assert_principal(&rules, without(all.clone(), "email"), "ada", None);
    assert_principal(&rules, json!({"sub": "0815"}), "0815", None);
    for nobody in [json!(""), json!(null), json!(5), json!(["x"]), json!({})] {
        assert_principal(&rules, with(all.clone(), json!({"email": nobody})), "ada", None);
    }
    assert_principal(&rules, json!({"EMAIL": "Ada@Example.org"}), "Ada@Example.org", Some("Ada@Example.org"));
    assert_principal(&rules, json!({"email": "no address", "sub": "x"}), "no address", None);
    for claims in [json!({}), json!({"sub": ""}), json!({"sub": null}), json!({"name": "ada"})] {
        assert_eq!(principal(&rules, claims.clone()), Err(ClaimsFault::MissingPrincipal), "{claims}");
    }
    let none = ClaimRules { principal: PrincipalRules { claims: vec![], ..rules.principal }, ..open_rules() };
    assert_eq!(principal(&none, all), Err(ClaimsFault::MissingPrincipal));
}

#[test]
fn iss_and_sub_may_be_twice_as_long_and_a_fault_names_the_claim() {
    let read = |claim: &str, value: Value| {
        principal(&open_rules(), json!({"email": "ada@example.org", claim: value})).map(drop)
    };
    for claim in ["iss", "sub"] {
        assert_eq!(read(claim, json!("x".repeat(512))), Ok(()), "{claim}");
        for (value, why) in [
            (json!("x".repeat(513)), "has control characters or is too long"),
            (json!("a\nb"), "has control characters or is too long"),
            (json!(5), "is not a string"),
        ] {
            let Err(ClaimsFault::Malformed(text)) = read(claim, value) else { panic!("{claim} {why}") };
            assert_eq!(text, format!("{claim} {why}"));
        }
    }
}

#[test]
fn names_with_control_characters_or_too_long_are_refused() {
    for (name, good) in [
        ("a\0b".to_owned(), false),
        ("a\r\nX-Forwarded-User: root".to_owned(), false),
        ("a\tb".to_owned(), false),
        ("a\u{7f}".to_owned(), false),
        ("a\u{85}b".to_owned(), false),
        ("x".repeat(257), false),
        ("\u{e9}".repeat(129), false),
        ("x".repeat(256), true),
        ("jos\u{e9}".to_owned(), true),
        ("\u{202e}nimda".to_owned(), true),
        ("\u{430}dmin".to_owned(), true),
        ("a b,c;d\"e".to_owned(), true),
    ] {
        for claim in ["email", "preferred_username", "sub"] {
            let outcome = principal(&open_rules(), json!({claim: name}));
            match outcome {
                Ok((user, _)) => assert!(good && user == name, "{claim} {name:?}"),
                Err(fault) => {
                    assert!(!good && matches!(fault, ClaimsFault::Malformed(_)), "{claim} {name:?}")
                }
            }
        }
    }
    for sub in [json!(5), json!([]), json!({}), json!(true)] {
        let outcome = principal(&open_rules(), json!({"email": "ada@example.org", "sub": sub}));
        assert!(matches!(outcome, Err(ClaimsFault::Malformed(_))), "sub {sub}");
    }
}

#[test]
fn openmetadata_principal_is_the_local_part() {
    let rules = openmetadata();
    assert_principal(&rules, json!({"email": "Ada.L@Example.ORG"}), "ada.l", Some("ada.l@example.org"));
    assert_principal(&rules, json!({"sub": "Ingestion-Bot"}), "ingestion-bot", None);
    assert_principal(&rules, json!({"sub": "a@b@c"}), "a", None);
    assert_eq!(principal(&rules, json!({"sub": "@example.org"})), Err(ClaimsFault::MissingPrincipal));
    // For other backends, different addresses are different principals.
    assert_principal(&open_rules(), json!({"sub": "Ada@a"}), "Ada@a", None);
}

#[test]
fn mapping_requires_both_claims() {
    let rules = mapped();
    let both = json!({"login": "Ada", "mail": "A@Example.org", "email": "other@example.org", "sub": "x"});
    assert_principal(&rules, both.clone(), "ada", Some("a@example.org"));
    for lacking in [
        without(both.clone(), "login"),
        without(both.clone(), "mail"),
        with(both.clone(), json!({"mail": "ada"})),
    ] {
        assert_eq!(principal(&rules, lacking.clone()), Err(ClaimsFault::MissingPrincipal), "{lacking}");
    }
    // The mapping does not apply to bots.
    let bot = json!({"isBot": true, "sub": "a-bot", "login": "root", "mail": "root@example.org"});
    assert_principal(&rules, bot, "a-bot", None);
}

#[test]
fn principal_domain_must_be_allowed() {
    let domain = |principal_domain: &str, allowed: &[&str]| DomainRule {
        principal_domain: principal_domain.into(),
        allowed: allowed.iter().map(|domain| (*domain).into()).collect(),
        own_issuer: "open-metadata.org".into(),
        own_key_id: "own-key".into(),
    };
    let one = || domain("example.org", &[]);
    let several = || domain("example.org", &["example.com", "example.net"]);
    for (rule, email, good) in [
        (one(), "ada@example.org", true),
        (one(), "ada@EXAMPLE.org", true),
        (one(), "ada@example.com", false),
        (one(), "ada@evil.example.org", false),
        (one(), "ada@example.org.evil", false),
        (one(), "ada@evil@example.org", false),
        (one(), "ada@example.org@evil", false),
        (one(), "ada@", false),
        (one(), "ada", false),
        (one(), "example.org", false),
        (one(), "ada@example.org ", false),
        (several(), "ada@example.com", true),
        (several(), "ada@Example.Net", true),
        (several(), "ada@example.org", false),
    ] {
        let rules = ClaimRules { domain: Some(rule), ..openmetadata() };
        let outcome = principal(&rules, json!({"email": email}));
        let fault = (!good).then_some(ClaimsFault::WrongDomain);
        assert_eq!(outcome.err(), fault, "{email}");
    }
}

#[test]
fn bots_and_openmetadatas_own_tokens_are_exempt_from_the_domain_rule() {
    let rule = |key: &str| DomainRule {
        principal_domain: "example.org".into(),
        allowed: Vec::new(),
        own_issuer: "open-metadata.org".into(),
        own_key_id: key.into(),
    };
    let rules = ClaimRules { domain: Some(rule("own-key")), ..openmetadata() };
    assert_principal(&rules, json!({"sub": "a-bot", "isBot": true}), "a-bot", None);
    // These test tokens have the kid `own-key`.
    assert_principal(&rules, json!({"sub": "ada", "iss": "open-metadata.org"}), "ada", None);
    for claims in
        [json!({"sub": "ada"}), json!({"sub": "ada", "iss": "other"}), json!({"sub": "ada", "isBot": "true"})]
    {
        assert_eq!(principal(&rules, claims.clone()), Err(ClaimsFault::WrongDomain), "{claims}");
    }
    let other_key = ClaimRules { domain: Some(rule("another-key")), ..openmetadata() };
    let own_issuer = json!({"sub": "ada", "iss": "open-metadata.org"});
    assert_eq!(
        principal(&other_key, own_issuer),
        Err(ClaimsFault::WrongDomain),
        "the issuer alone is not enough"
    );
}

#[test]
fn domain_rule_checks_the_mapped_email() {
    let rule = DomainRule {
        principal_domain: "example.org".into(),
        allowed: Vec::new(),
        own_issuer: "open-metadata.org".into(),
        own_key_id: "none".into(),
    };
    let rules = ClaimRules { domain: Some(rule), ..mapped() };
    assert_principal(
        &rules,
        json!({"login": "ada", "mail": "ada@example.org"}),
        "ada",
        Some("ada@example.org"),
    );
    let outcome = principal(&rules, json!({"login": "ada@example.org", "mail": "ada@evil.example"}));
    assert_eq!(outcome, Err(ClaimsFault::WrongDomain));
}
