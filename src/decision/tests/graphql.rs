//! Rules about GraphQL.

use super::*;
use crate::policy::{Expression, GraphqlMatching, Unreadable};
use crate::request::{Graphql, OperationKind};

fn rule(operations: &[&str], fields: &[&str], verdict: Verdict) -> Rule {
    let graphql = GraphqlMatching {
        operations: operations.iter().map(|name| OperationKind::from_name(name).unwrap()).collect(),
        fields: fields.iter().map(|name| (*name).into()).collect(),
        unreadable: Unreadable::Deny,
    };
    let paths = vec![PathPattern::parse("/api/graphql").unwrap()];
    Rule {
        name: "rule".into(),
        matching: Matching { paths, graphql: Some(graphql), ..Matching::default() },
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

/// The decision about a document sent with a token with these roles.
fn sent(authorizer: &Authorizer, body: &Value, roles: &[&str]) -> Result<Permit, Denial> {
    let lines = [BEARER, ("content-type", "application/json")];
    let mut request = facts(authorizer.backend, "POST", "/api/graphql", &lines);
    request.graphql = Some(Graphql::read(&request, &fields(&lines), body.to_string().as_bytes()));
    decide(authorizer, &request, Some(verified(json!({"roles": roles}))))
}

fn document(authorizer: &Authorizer, text: &str, roles: &[&str]) -> bool {
    sent(authorizer, &json!({"query": text}), roles).is_ok()
}

#[test]
fn every_field_is_evaluated_separately() {
    let authorizer = with_rules(vec![
        rule(&[], &["get*", "me"], role("Reader")),
        rule(&["mutation"], &["createAccessToken", "remove*"], role("Admin")),
        rule(&["mutation"], &[], role("Editor")),
        rule(&[], &[], Verdict::Deny),
    ]);
    for (text, roles, good) in [
        ("{ me }", &["Reader"][..], true),
        ("{ me getX }", &["Reader"], true),
        ("{ me }", &[], false),
        ("{ search }", &["Reader", "Editor", "Admin"], false),
        ("{ me search }", &["Reader", "Editor", "Admin"], false),
        ("mutation { updateTag }", &["Editor"], true),
        ("mutation { removeTag }", &["Editor"], false),
        ("mutation { removeTag }", &["Admin"], true),
        // A field that the first rule allows does not allow other fields.
        ("mutation { getX createAccessToken }", &["Reader"], false),
        ("mutation { createAccessToken getX }", &["Reader"], false),
        ("mutation { getX createAccessToken }", &["Reader", "Admin"], true),
        ("mutation { updateTag removeTag }", &["Editor"], false),
        ("mutation { me: createAccessToken }", &["Reader", "Editor"], false),
        ("mutation { getX: removeTag }", &["Reader", "Editor"], false),
        ("mutation { getX ...F } fragment F on M { ... { removeTag } }", &["Reader", "Editor"], false),
        ("query a { me } mutation b { removeTag }", &["Reader", "Editor"], false),
    ] {
        assert_eq!(document(&authorizer, text, roles), good, "{text} {roles:?}");
    }
    let denial =
        sent(&authorizer, &json!({"query": "mutation { getX removeTag }"}), &["Reader"]).unwrap_err();
    assert_eq!((denial.reason, denial.rule), (Reason::InsufficientPermissions, Some(1)));
}

#[test]
fn batches_and_operation_names_do_not_bypass_rules() {
    let authorizer = with_rules(vec![rule(&["mutation"], &[], role("Admin"))]);
    let two = "query q { a } mutation m { b }";
    for (body, good) in [
        (json!([{"query": "{ a }"}, {"query": "{ b }"}]), true),
        (json!([{"query": "{ a }"}, {"query": "mutation { b }"}]), false),
        (json!([{"query": "mutation { b }"}, {"query": "{ a }"}]), false),
        (json!({"query": two, "operationName": "q"}), true),
        (json!({"query": two, "operationName": "m"}), false),
        (json!({"query": two, "operationName": "x"}), false),
        (json!({"query": two}), false),
        (json!({"query": "subscription { b }"}), true),
        (json!({"extensions": {"persistedQuery": {"sha256Hash": "x"}}}), false),
        (json!({"documentId": "x"}), false),
        (json!({}), false),
    ] {
        assert_eq!(sent(&authorizer, &body, &["Reader"]).is_ok(), good, "{body}");
    }
}

#[test]
fn unreadable_operations_are_denied_or_skipped() {
    let body = json!({"documentId": "x"});
    let refusing = rule(&["mutation"], &[], role("Admin"));
    let denial = sent(&with_rules(vec![refusing.clone()]), &body, &["Admin"]).unwrap_err();
    assert_eq!(denial.rule, Some(0));
    assert_eq!(denial.detail.as_deref(), Some("graphql: a stored document, whose text is not here"));
    let mut skipping = refusing.clone();
    skipping.matching.graphql.as_mut().unwrap().unreadable = Unreadable::Skip;
    assert!(sent(&with_rules(vec![skipping.clone()]), &body, &[]).is_ok());
    assert!(sent(&with_rules(vec![skipping, refusing]), &body, &[]).is_err());
    // A rule that allows queries does not allow unreadable operations.
    let allowing = rule(&["query"], &[], Verdict::Allow);
    assert!(sent(&with_rules(vec![allowing]), &body, &[]).is_err());
}

#[test]
fn a_body_that_was_not_read_is_unreadable() {
    let authorizer = with_rules(vec![rule(&["mutation"], &[], role("Admin"))]);
    let denial = decide_for(&authorizer, "POST", "/api/graphql", json!({"roles": ["Admin"]})).unwrap_err();
    assert_eq!(denial.detail.as_deref(), Some("graphql: the body was not read"));
    assert!(decide_for(&authorizer, "POST", "/other", json!({})).is_ok());
}

#[test]
fn expressions_see_the_whole_operation() {
    let when = |text: &str| Rule {
        matching: Matching::default(),
        when: Some(Expression::parse(text).unwrap()),
        ..rule(&[], &[], Verdict::Require(Box::default()))
    };
    let authorizer = with_rules(vec![when(
        "graphql.operation == \"query\" && graphql.fields.all(f, f.startsWith(\"get\"))",
    )]);
    assert!(document(&authorizer, "{ getA getB }", &[]));
    assert!(!document(&authorizer, "{ getA other }", &[]));
    assert!(!document(&authorizer, "mutation { getA }", &[]));
    assert!(!document(&authorizer, "{", &[]));
    // Every operation is evaluated, and all must be allowed.
    assert!(!document(&authorizer, "query a { getA } query b { other }", &[]));
}

#[test]
fn bodies_are_read_only_if_a_rule_needs_them() {
    let authorizer = with_rules(vec![rule(&["mutation"], &[], role("Admin"))]);
    let token = || Ok(Caller::Token(std::sync::Arc::new(verified(json!({})))));
    let asks = |authorizer: &Authorizer, path: &str, caller| {
        authorizer.asks_graphql(&facts(authorizer.backend, "POST", path, &[BEARER]), &caller)
    };
    for path in ["/api/graphql", "/api//graphql", "/api/graphql;x", "/api/%67raphql", "/api/graphql/"] {
        assert!(asks(&authorizer, path, token()), "{path}");
    }
    for path in ["/api/graphiql", "/api/v2/graphql", "/"] {
        assert!(!asks(&authorizer, path, token()), "{path}");
    }
    for caller in [
        Ok(Caller::Anonymous),
        Ok(Caller::DatahubSystem),
        Ok(Caller::SessionCookie),
        Err(Denial::new(Reason::InvalidSignature)),
    ] {
        assert!(!asks(&authorizer, "/api/graphql", caller));
    }
    let expression = |text: &str| {
        let when = Some(Expression::parse(text).unwrap());
        with_rules(vec![Rule { matching: Matching::default(), when, ..rule(&[], &[], Verdict::Deny) }])
    };
    assert!(asks(&expression("graphql.operation == \"mutation\""), "/x", token()));
    assert!(!asks(&expression("claims.isBot"), "/x", token()));
    assert!(!asks(&with_rules(Vec::new()), "/api/graphql", token()));
    // A rule about another path, and one about the tokens of another issuer.
    let other_path = Rule {
        matching: Matching { paths: vec![PathPattern::parse("/x").unwrap()], ..Matching::default() },
        ..rule(&[], &[], Verdict::Deny)
    };
    let mut other_issuer = rule(&["mutation"], &[], Verdict::Deny);
    other_issuer.matching.issuers = vec!["other".into()];
    let authorizer = with_rules(vec![other_path, other_issuer]);
    assert!(!asks(&authorizer, "/x", token()) && !asks(&authorizer, "/api/graphql", token()));
}

/// The parts multiply, and no legitimate client sends this.
#[test]
fn a_request_with_too_many_interpretations_is_refused() {
    let fields: String = (0..100).map(|field| format!(" f{field}")).collect();
    let long = |operations: usize| {
        let operations: String = (0..operations).map(|at| format!(" query o{at} {{ ...F }}")).collect();
        format!("fragment F on Q {{{fields} }}{operations}")
    };
    let authorizer = with_rules(vec![rule(&["mutation"], &["remove*"], role("Admin"))]);
    assert!(document(&authorizer, &long(1), &[]));
    assert!(document(&authorizer, &long(40), &[]));
    let denial = sent(&authorizer, &json!({"query": long(64)}), &["Admin"]).unwrap_err();
    assert_eq!((denial.rule, denial.detail.as_deref()), (None, Some("it can be read in too many ways")));
}
