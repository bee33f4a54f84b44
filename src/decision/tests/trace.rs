//! The trace agrees with the decision.

use super::*;
use crate::claims::ClaimPath;
use crate::decision::RuleOutcome::{Allowed, Denied, NotMatched};
use crate::policy::{Expression, GraphqlMatching, Mode};

fn rule(matching: Matching, verdict: Verdict) -> Rule {
    Rule { name: "r".into(), matching, when: None, verdict, mode: Mode::Enforce }
}

fn paths(path: &str) -> Matching {
    Matching { paths: vec![PathPattern::parse(path).unwrap()], ..Matching::default() }
}

fn outcomes(authorizer: &Authorizer, path: &str, claims: Value) -> Vec<RuleOutcome> {
    let trace = authorizer.trace(&facts(authorizer.backend, "GET", path, &[BEARER]), Some(&verified(claims)));
    trace.rules.into_iter().map(|rule| rule.outcome).collect()
}

#[test]
fn a_trace_names_each_condition_that_fails() {
    let mut authorizer = authorizer(Backend::Generic);
    let matching = Matching {
        methods: Methods::parse("PUT").unwrap(),
        hosts: vec!["other.example".into()],
        issuers: vec!["other".into()],
        ..paths("/b")
    };
    authorizer.policy.rules = vec![rule(matching, Verdict::Allow), rule(paths("/a"), Verdict::Deny)].into();
    assert_eq!(
        outcomes(&authorizer, "/a", json!({})),
        [NotMatched(vec!["methods", "paths", "hosts", "issuers"]), Denied(vec!["action"])]
    );
    assert_eq!(outcomes(&authorizer, "/c", json!({})).len(), 2, "no rule decides, so all were evaluated");
}

#[test]
fn a_trace_names_each_unmet_part_of_a_requirement() {
    let mut authorizer = authorizer(Backend::Generic);
    let name = || vec!["x".into()];
    let everything = Requirement {
        any_role: name(),
        all_roles: name(),
        any_scope: name(),
        all_scopes: name(),
        token_types: name(),
        principals: name(),
        issuers: name(),
        audiences: name(),
        claims: vec![(ClaimPath::new("x"), name())],
        source_ips: vec!["203.0.113.0/24".parse().unwrap()],
    };
    authorizer.policy.rules = vec![rule(Matching::default(), Verdict::Require(Box::new(everything)))].into();
    assert_eq!(
        outcomes(&authorizer, "/a", json!({})),
        [Denied(vec![
            "anyRole",
            "allRoles",
            "anyScope",
            "allScopes",
            "tokenType",
            "principals",
            "issuers",
            "audiences",
            "claims",
            "sourceIps"
        ])]
    );
    let claims = json!({"roles": ["x"], "scope": "x", "tokenType": "x", "sub": "x", "aud": "x", "x": "x"});
    assert_eq!(outcomes(&authorizer, "/a", claims), [Denied(vec!["issuers", "sourceIps"])]);
}

#[test]
fn a_trace_ends_with_the_rule_and_reading_that_decide() {
    let mut authorizer = authorizer(Backend::Generic);
    let role = Requirement { any_role: vec!["Admin".into()], ..Requirement::default() };
    authorizer.policy.rules = vec![
        rule(paths("/open/**"), Verdict::Allow),
        rule(paths("/closed/**"), Verdict::Require(Box::new(role))),
        rule(Matching::default(), Verdict::Deny),
    ]
    .into();
    assert_eq!(outcomes(&authorizer, "/open/a", json!({})), [Allowed]);
    let trace = authorizer
        .trace(&facts(authorizer.backend, "GET", "/closed;x/a", &[BEARER]), Some(&verified(json!({}))));
    assert_eq!((&*trace.reading, trace.rules.len()), ("/closed;x/a", 3), "the raw path is refused already");
    authorizer.policy.rules.change(|rules| drop(rules.pop()));
    let trace = authorizer
        .trace(&facts(authorizer.backend, "GET", "/closed;x/a", &[BEARER]), Some(&verified(json!({}))));
    assert_eq!((&*trace.reading, &trace.rules[1].outcome), ("/closed/a", &Denied(vec!["anyRole"])));
    let session = authorizer.trace(&facts(authorizer.backend, "GET", "/closed/a", &[]), None);
    assert_eq!(session.rules[1].outcome, Denied(vec!["require"]));
}

#[test]
fn a_trace_names_expressions_queries_and_graphql() {
    let mut authorizer = authorizer(Backend::Generic);
    let when = |verdict: Verdict, text: &str| Rule {
        when: Some(Expression::parse(text).unwrap()),
        ..rule(Matching::default(), verdict)
    };
    let admin = || {
        Verdict::Require(Box::new(Requirement { any_role: vec!["Admin".into()], ..Requirement::default() }))
    };
    let is_admin = json!({"roles": ["Admin"]});
    for (own, claims, expected) in [
        (when(Verdict::Deny, "true"), &is_admin, Denied(vec!["action"])),
        (when(Verdict::Deny, "false"), &is_admin, NotMatched(vec!["when"])),
        (when(Verdict::Deny, "claims.missing"), &is_admin, Denied(vec!["when"])),
        (when(Verdict::Allow, "true"), &is_admin, Allowed),
        (when(Verdict::Allow, "claims.missing"), &is_admin, Denied(vec!["when"])),
        (when(admin(), "true"), &is_admin, Allowed),
        (when(admin(), "false"), &is_admin, Denied(vec!["when"])),
        (when(admin(), "true"), &json!({}), Denied(vec!["anyRole"])),
        (when(admin(), "false"), &json!({}), Denied(vec!["anyRole"])),
    ] {
        authorizer.policy.rules = vec![own].into();
        assert_eq!(outcomes(&authorizer, "/a", claims.clone()), [expected], "{:?}", authorizer.policy.rules);
    }
    let query = Matching { query: vec![("action".into(), vec!["delete".into()])], ..Matching::default() };
    let graphql = Matching { graphql: Some(GraphqlMatching::default()), ..Matching::default() };
    authorizer.policy.rules = vec![rule(query, Verdict::Deny), rule(graphql, Verdict::Deny)].into();
    let unread = Denied(vec!["graphql"]);
    assert_eq!(outcomes(&authorizer, "/a?action=read", json!({})), [NotMatched(vec!["query"]), unread]);
    assert_eq!(outcomes(&authorizer, "/a?action=delete&action=read", json!({})), [Denied(vec!["action"])]);
    assert_eq!(outcomes(&authorizer, "/a?action=%zz", json!({})), [Denied(vec!["query"])]);
}
