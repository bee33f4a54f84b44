//! Authorization rules.

use super::*;
use crate::claims::{ClaimPath, ClaimRules, OwnTokens};
use crate::test_support::{good_claims, open_rules, verified_by, with};

fn rule(name: &str, methods: &[&str], paths: &[&str], verdict: Verdict) -> Rule {
    Rule {
        name: name.into(),
        matching: Matching {
            methods: Methods::from_names(methods.iter().copied()).unwrap(),
            paths: paths.iter().map(|path| PathPattern::parse(path).unwrap()).collect(),
            ..Matching::default()
        },
        when: None,
        verdict,
        mode: Mode::Enforce,
    }
}

fn role(name: &str) -> Verdict {
    Verdict::Require(Box::new(Requirement { any_role: vec![name.into()], ..Requirement::default() }))
}

fn with_rules(rules: Vec<Rule>) -> Authorizer {
    let mut authorizer = authorizer(Backend::Generic);
    authorizer.policy.rules = rules.into();
    authorizer
}

#[test]
fn a_rule_applies_to_every_reading_of_a_path() {
    let authorizer = with_rules(vec![rule("policies", &[], &["/api/v1/policies/**"], Verdict::Deny)]);
    for path in [
        "/api/v1/policies",
        "/api/v1/policies/",
        "/api/v1/policies/x",
        "/api/v1/policies;x/y",
        "/api/v1/policies;x",
        "/api/v1;a=b/policies/y",
        "/api;/v1;/policies;/y",
        "/api/v1%2Fpolicies/y",
        "/api%2fv1%2fpolicies",
        "/%61pi/v1/polic%69es/y",
        "//api/v1/policies/y",
        "/api///v1//policies",
        "/api/v1/;x/policies",
        "/api/v1/policies%2fy",
        "/api/v1/policies%3bx/y",
        "/api/v1%3bx/policies/y",
        "/api/v1/policies?x=y",
        "/api/v1/policies/name/a%2Fb%22c",
    ] {
        let outcome = decide_for(&authorizer, "GET", path, json!({"roles": ["Admin"]}));
        let denial = outcome.err().unwrap_or_else(|| panic!("{path} goes through"));
        assert_eq!((denial.reason, denial.rule), (Reason::InsufficientPermissions, Some(0)), "{path}");
    }
    for path in
        ["/api/v1/policie", "/api/v1/policiesx", "/api/v1/x/policies", "/api/v1/tables/name/a%2Fpolicies"]
    {
        assert!(decide_for(&authorizer, "GET", path, json!({})).is_ok(), "{path}");
    }
}

#[test]
fn a_reading_never_opens_what_the_raw_path_closes() {
    // Only paths under /open are open to everyone.
    let mut authorizer = with_rules(vec![
        rule("open", &[], &["/open/**"], Verdict::Require(Box::default())),
        rule("rest", &[], &[], Verdict::Deny),
    ]);
    for (path, good) in [
        ("/open/a", true),
        ("/open/a;x", true),
        ("/open;x/a", false),
        ("/%6fpen/a", false),
        ("/open%2fa", false),
        ("//open/a", false),
        ("/closed/a", false),
        ("/closed;/open/a", false),
    ] {
        assert_eq!(decide_for(&authorizer, "GET", path, json!({})).is_ok(), good, "{path}");
    }
    // The same by default.
    authorizer.policy.rules.change(|rules| drop(rules.pop()));
    authorizer.policy.default = Effect::Deny;
    assert!(decide_for(&authorizer, "GET", "/open/a", json!({})).is_ok());
    assert!(decide_for(&authorizer, "GET", "/open%2fa", json!({})).is_err());
}

#[test]
fn the_first_rule_that_matches_decides() {
    let authorizer = with_rules(vec![
        rule("admins-delete", &["DELETE"], &["/api/v1/**"], role("Admin")),
        rule("no-writes", &["PUT", "POST", "PATCH", "DELETE"], &["/api/v1/**"], Verdict::Deny),
        rule("readers", &["GET"], &["/api/v1/tables/**"], role("Reader")),
    ]);
    for (method, path, roles, allowed, denied) in [
        ("DELETE", "/api/v1/x", json!(["Admin"]), Some(Some(0)), None),
        ("DELETE", "/api/v1/x", json!(["Reader"]), None, Some(0)),
        ("DELETE", "/api/v1/x", json!([]), None, Some(0)),
        ("PUT", "/api/v1/x", json!(["Admin"]), None, Some(1)),
        ("GET", "/api/v1/tables/x", json!(["Reader"]), Some(Some(2)), None),
        ("HEAD", "/api/v1/tables/x", json!(["Reader"]), Some(Some(2)), None),
        ("HEAD", "/api/v1/tables/x", json!(["Admin"]), None, Some(2)),
        ("GET", "/api/v1/users", json!([]), Some(None), None),
        ("OPTIONS", "/api/v1/tables/x", json!([]), Some(None), None),
    ] {
        match decide_for(&authorizer, method, path, json!({"roles": roles})) {
            Ok(permit) => assert_eq!(Some(permit.rule()), allowed, "{method} {path} {roles}"),
            Err(denial) => assert_eq!(denial.rule, denied, "{method} {path} {roles}"),
        }
    }
}

#[test]
fn without_a_matching_rule_the_default_decides() {
    let mut authorizer = with_rules(vec![rule("other", &[], &["/other"], Verdict::Deny)]);
    assert_eq!(decide_for(&authorizer, "GET", "/a", json!({})).unwrap().rule(), None);
    authorizer.policy.default = Effect::Deny;
    let denial = decide_for(&authorizer, "GET", "/a", json!({})).unwrap_err();
    assert_eq!((denial.reason, denial.rule), (Reason::InsufficientPermissions, None));
    authorizer.policy.rules = Vec::new().into();
    assert!(decide_for(&authorizer, "GET", "/a", json!({})).is_err(), "also without any rule");
}

#[test]
fn a_rule_in_report_mode_leaves_the_decision_to_later_rules() {
    let mut reporting = rule("trial", &[], &["/api/**"], role("Admin"));
    reporting.mode = Mode::Report;
    let mut authorizer = with_rules(vec![reporting, rule("deny-x", &[], &["/api/x"], Verdict::Deny)]);
    let permit = decide_for(&authorizer, "GET", "/api/a", json!({})).unwrap();
    assert_eq!(permit.rule(), None);
    let would = permit.would_deny().unwrap();
    assert_eq!((would.reason, would.rule), (Reason::InsufficientPermissions, Some(0)));
    assert!(matches!(permit.caller(), Caller::Token(_)));
    assert_eq!(
        decide_for(&authorizer, "GET", "/api/a", json!({"roles": "Admin"})).unwrap().would_deny(),
        None
    );
    assert_eq!(
        decide_for(&authorizer, "GET", "/api/x", json!({"roles": "Admin"})).unwrap_err().rule,
        Some(1)
    );
    // It reports for other readings too, and it cannot allow a request.
    assert_eq!(
        decide_for(&authorizer, "GET", "/%61pi/a", json!({})).unwrap().would_deny().unwrap().rule,
        Some(0)
    );
    authorizer.policy.default = Effect::Deny;
    assert!(decide_for(&authorizer, "GET", "/api/a", json!({"roles": "Admin"})).is_err());
    // It also reports what a later rule allows.
    authorizer.policy.rules.change(|rules| rules[1].verdict = Verdict::Allow);
    let permit = decide_for(&authorizer, "GET", "/api/x", json!({})).unwrap();
    assert_eq!((permit.rule(), permit.would_deny().unwrap().rule), (Some(1), Some(0)));
}

#[test]
fn every_kind_of_requirement_is_met_or_not() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).into()).collect::<Vec<Box<str>>>();
    let claims = json!({
        "roles": ["Reader", "Steward"], "scope": "read write", "aud": ["us", "them"], "tokenType": "PERSONAL_ACCESS",
        "iss": "https://idp.example", "team": "data", "level": 3, "flag": true, "nested": {"groups": ["a", "b"]},
        "list": [["deep"]], "null": null, "object": {},
    });
    let none = Requirement::default;
    let claim = |path: &str, values: &[&str]| Requirement {
        claims: vec![(ClaimPath::new(path), names(values))],
        ..none()
    };
    for (requirement, good) in [
        (none(), true),
        (Requirement { any_role: names(&["Admin", "Steward"]), ..none() }, true),
        (Requirement { any_role: names(&["Admin"]), ..none() }, false),
        (Requirement { any_role: names(&["reader"]), ..none() }, false),
        (Requirement { all_roles: names(&["Reader", "Steward"]), ..none() }, true),
        (Requirement { all_roles: names(&["Reader", "Admin"]), ..none() }, false),
        (Requirement { any_scope: names(&["write", "x"]), ..none() }, true),
        (Requirement { any_scope: names(&["rea"]), ..none() }, false),
        (Requirement { all_scopes: names(&["read", "write"]), ..none() }, true),
        (Requirement { all_scopes: names(&["read", "admin"]), ..none() }, false),
        (Requirement { token_types: names(&["personal_access"]), ..none() }, true),
        (Requirement { token_types: names(&["PERSONAL_ACCESS"]), ..none() }, true),
        (Requirement { token_types: names(&["bot", "user"]), ..none() }, false),
        (Requirement { principals: names(&["a*"]), ..none() }, true),
        (Requirement { principals: names(&["A*", "b*"]), ..none() }, false),
        (Requirement { issuers: names(&["idp"]), ..none() }, true),
        (Requirement { issuers: names(&["other"]), ..none() }, false),
        (Requirement { audiences: names(&["them"]), ..none() }, true),
        (Requirement { audiences: names(&["other"]), ..none() }, false),
        (claim("team", &["data", "x"]), true),
        (claim("team", &["dat"]), false),
        (claim("team", &[]), false),
        (claim("level", &["3"]), true),
        (claim("flag", &["true"]), true),
        (claim("nested.groups", &["b"]), true),
        (claim("nested.groups", &["c"]), false),
        (claim("list", &["deep"]), false),
        (claim("null", &["null"]), false),
        (claim("object", &["{}"]), false),
        (claim("none", &[""]), false),
        (Requirement { source_ips: vec!["192.0.2.0/24".parse().unwrap()], ..none() }, true),
        (Requirement { source_ips: vec!["10.0.0.0/8".parse().unwrap()], ..none() }, false),
        (Requirement { any_role: names(&["Reader"]), any_scope: names(&["admin"]), ..none() }, false),
    ] {
        let authorizer =
            with_rules(vec![rule("r", &[], &[], Verdict::Require(Box::new(requirement.clone())))]);
        assert_eq!(decide_for(&authorizer, "GET", "/a", claims.clone()).is_ok(), good, "{requirement:?}");
    }
}

#[test]
fn a_rule_may_match_hosts() {
    let mut by_host = rule("host", &[], &[], Verdict::Deny);
    by_host.matching.hosts = vec!["A.Example".into()];
    assert!(decide_for(&with_rules(vec![by_host.clone()]), "GET", "/a", json!({})).is_err());
    by_host.matching.hosts = vec!["b.example".into()];
    assert!(decide_for(&with_rules(vec![by_host]), "GET", "/a", json!({})).is_ok());
}

/// An issuer in `match` and `require`, for tokens of the entry `idp`.
#[test]
fn an_issuer_matches_the_entry_name_or_a_bound_iss() {
    let bound = ClaimRules { issuers: vec!["https://idp.example".into()], ..open_rules() };
    let facts = facts(Backend::Generic, "GET", "/a", &[BEARER]);
    for (rules, iss, issuer, expected) in [
        (&bound, "https://idp.example", "idp", true),
        (&bound, "https://idp.example", "https://idp.example", true),
        (&bound, "https://idp.example", "https://idp.example/", false),
        (&bound, "https://idp.example", "okta", false),
        (&open_rules(), "https://idp.example", "idp", true),
        (&open_rules(), "https://idp.example", "https://idp.example", false),
        // The name of another entry. Any holder of a key of `idp` can write it into `iss`.
        (&open_rules(), "okta", "okta", false),
    ] {
        let mut matched = rule("matched", &[], &[], Verdict::Deny);
        matched.matching.issuers = vec![issuer.into()];
        let requirement = Requirement { issuers: vec![issuer.into()], ..Requirement::default() };
        let required = rule("required", &[], &[], Verdict::Require(Box::new(requirement)));
        let token = || Some(verified_by(rules, &with(good_claims(), json!({"iss": iss}))));
        assert_eq!(decide(&with_rules(vec![matched]), &facts, token()).is_err(), expected, "{iss} {issuer}");
        assert_eq!(decide(&with_rules(vec![required]), &facts, token()).is_ok(), expected, "{iss} {issuer}");
    }
}

#[test]
fn a_type_claim_of_a_foreign_token_meets_no_requirement() {
    let foreign = ClaimRules { own_tokens: OwnTokens::None, ..open_rules() };
    let facts = facts(Backend::Generic, "GET", "/a", &[BEARER]);
    let claims = json!({"isBot": true, "tokenType": "BOT", "type": "SERVICE_ACCOUNT"});
    for (name, own, other) in
        [("bot", true, false), ("BOT", true, false), ("SERVICE_ACCOUNT", true, false), ("user", false, true)]
    {
        let requirement = Requirement { token_types: vec![name.into()], ..Requirement::default() };
        let authorizer = with_rules(vec![rule("r", &[], &[], Verdict::Require(Box::new(requirement)))]);
        let met = |rules: &ClaimRules| {
            decide(&authorizer, &facts, Some(verified_by(rules, &with(good_claims(), claims.clone()))))
                .is_ok()
        };
        assert_eq!((met(&open_rules()), met(&foreign)), (own, other), "{name}");
    }
}

#[test]
fn a_requirement_is_never_met_without_a_token() {
    let mut authorizer = authorizer(Backend::DataHubFrontend);
    authorizer.policy.rules = vec![rule("any", &[], &["/api/**"], Verdict::Require(Box::default()))].into();
    let facts = facts(Backend::DataHubFrontend, "GET", "/api/v2/graphql", &[("cookie", "PLAY_SESSION=x")]);
    assert_eq!(reason(&decide(&authorizer, &facts, None)), Some(Reason::InsufficientPermissions));
}
