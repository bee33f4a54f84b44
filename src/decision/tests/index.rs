//! The indexed evaluation compared with a scan of all rules, for random policies and hostile requests.

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use super::super::rules::{Evaluator, Interpretations, evaluate};
use super::*;
use crate::policy::{Effect, GraphqlMatching, Mode};
use crate::request::Graphql;
use crate::test_support::facts_of;

/// What the policy decides, by a scan of all rules for every interpretation.
fn scanned(policy: &Policy, facts: &RequestFacts, token: &VerifiedToken) -> (Effect, Option<usize>) {
    let Ok(interpretations) = Interpretations::of(policy, facts) else { return (Effect::Deny, None) };
    let evaluator = Evaluator::new(policy, facts, Some(token));
    let mut raw = None;
    for interpretation in interpretations.all(facts) {
        let first = policy.rules.iter().enumerate().find_map(|(index, rule)| {
            let (effect, _) = evaluator.rule(rule, &interpretation)?;
            (rule.mode == Mode::Enforce).then_some((effect, Some(index)))
        });
        let (effect, rule) = first.unwrap_or((policy.default, None));
        if effect == Effect::Deny {
            return (effect, rule);
        }
        raw = raw.or(Some((effect, rule)));
    }
    raw.unwrap_or((policy.default, None))
}

fn rule() -> impl Strategy<Value = Rule> {
    let patterns =
        vec!["/**", "/a", "/a/**", "/a/*", "/*/b", "/a/b/**", "/api/v1/**", "/api/v1/x", "/a//**", "/"];
    let paths = prop::collection::vec(prop::sample::select(patterns), 0..3);
    let methods = prop::sample::select(vec!["*", "*", "GET", "POST,PUT"]);
    let hosts = prop::sample::select(vec![&[][..], &[], &["a.example"], &["other.example"]]);
    let values = prop::sample::select(vec![&[][..], &[], &["x"], &["*"], &["y", "z*"]]);
    let issuers = prop::sample::select(vec![&[][..], &[], &["idp"], &["other"]]);
    let effects = prop::sample::select(vec![Verdict::Allow, Verdict::Deny]);
    let modes = prop::sample::select(vec![Mode::Enforce, Mode::Enforce, Mode::Report]);
    let texts = |list: &[&str]| list.iter().map(|text| (*text).into()).collect::<Vec<Box<str>>>();
    (paths, methods, hosts, values, issuers, effects, modes).prop_map(
        move |(paths, methods, hosts, values, issuers, verdict, mode)| Rule {
            name: "rule".into(),
            matching: Matching {
                methods: Methods::parse(methods).unwrap(),
                paths: paths.into_iter().map(|text| PathPattern::parse(text).unwrap()).collect(),
                hosts: texts(hosts),
                issuers: texts(issuers),
                query: if values.is_empty() { Vec::new() } else { vec![("q".into(), texts(values))] },
                graphql: None,
            },
            when: None,
            verdict,
            mode,
        },
    )
}

fn target() -> impl Strategy<Value = String> {
    let segments = vec![
        "a", "b", "x", "", "a;p=1", ";b", "%61", "%2f", "a%2Fb", "%E9", "api", "v1", "API", "%2561", "*",
        "%3b",
    ];
    let queries = vec!["", "", "?q=x", "?q=y&q=zz", "?q=%78&p=1", "?q=x;q=y", "?q=%", "?q"];
    let path = prop::collection::vec(prop::sample::select(segments), 1..5);
    (path, prop::sample::select(queries)).prop_map(|(path, query)| format!("/{}{query}", path.join("/")))
}

#[test]
fn the_index_decides_as_a_scan_of_all_rules_does() {
    let config = ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let requests = prop::collection::vec((prop::sample::select(vec!["GET", "PUT", "DELETE"]), target()), 10);
    let strategy = (prop::collection::vec(rule(), 1..10), any::<bool>(), requests);
    let token = verified(json!({}));
    let seen = std::cell::Cell::new((0, 0));
    let result = TestRunner::new_with_rng(config, rng).run(&strategy, |(rules, allow, requests)| {
        let default = if allow { Effect::Allow } else { Effect::Deny };
        let policy = Policy { rules: rules.into(), default, ..Policy::default() };
        for (method, target) in requests {
            let Ok(facts) = facts_of(Backend::Generic, method, &target, &fields(&[BEARER])) else { continue };
            let outcome = evaluate(&policy, &facts, Some(&token));
            prop_assert_eq!((outcome.effect, outcome.rule), scanned(&policy, &facts, &token), "{}", target);
            let (one, several) = seen.get();
            seen.set(if facts.path.is_plain() { (one + 1, several) } else { (one, several + 1) });
        }
        Ok(())
    });
    result.unwrap();
    let (one, several) = seen.get();
    assert!(one > 1000 && several > 1000, "{one} plain paths, {several} others");
}

fn about_field(field: &str) -> Rule {
    Rule {
        name: "rule".into(),
        matching: Matching {
            graphql: Some(GraphqlMatching { fields: vec![field.into()], ..GraphqlMatching::default() }),
            ..Matching::default()
        },
        when: None,
        verdict: Verdict::Deny,
        mode: Mode::Enforce,
    }
}

/// A request with this many GraphQL operations, each of which selects this many fields.
fn with_operations(operations: usize, fields_of_each: usize) -> RequestFacts {
    let selected: String = (0..fields_of_each).map(|n| format!("f{n} ")).collect();
    let document: String = (0..operations).map(|n| format!("query q{n} {{{selected}}}")).collect();
    let body = json!({"query": document}).to_string();
    let headers = fields(&[BEARER, ("content-type", "application/json")]);
    let mut facts = facts_of(Backend::Generic, "POST", "/graphql", &headers).unwrap();
    facts.graphql = Some(Graphql::read(&facts, &headers, body.as_bytes()));
    facts
}

fn policy(rule: Rule, count: usize) -> Policy {
    Policy { rules: vec![rule; count].into(), ..Policy::default() }
}

/// Thousands of rules on the path of a request with thousands of interpretations are refused, not evaluated.
#[test]
fn too_many_rules_for_too_many_interpretations_are_refused() {
    let facts = with_operations(10, 100);
    for (rules, detail) in [(10, None), (6000, Some("it can be read in too many ways"))] {
        let policy = policy(about_field("other"), rules);
        let outcome = evaluate(&policy, &facts, Some(&verified(json!({}))));
        assert_eq!(outcome.detail, detail, "{rules} rules");
        assert_eq!(outcome.effect == Effect::Deny, detail.is_some());
    }
}

/// 4096 interpretations, and five million rules for all of them together.
#[test]
fn the_limits_themselves_are_not_refused() {
    for (operations, fields, rules, good) in [
        (64, 64, 1, true),
        (64, 65, 1, false),
        (64, 64, 1280, true),
        (64, 64, 1281, false),
        (64, 16, 5120, true),
        (64, 16, 5121, false),
    ] {
        let (policy, facts) = (policy(about_field("other"), rules), with_operations(operations, fields));
        let found = Interpretations::of(&policy, &facts).is_ok();
        assert_eq!(found, good, "{rules} rules, {operations} operations with {fields} fields");
    }
}

/// There may be thousands of interpretations, and as many roles.
#[test]
fn all_interpretations_share_what_a_rule_says_of_the_token() {
    let verdict =
        Verdict::Require(Box::new(Requirement { any_role: vec!["Admin".into()], ..Requirement::default() }));
    let rule = Rule { verdict, matching: Matching::default(), ..about_field("any") };
    let (policy, facts) = (policy(rule, 1), facts(Backend::Generic, "GET", "/a;x/b", &[BEARER]));
    let (admin, other) = (verified(json!({"roles": ["Admin"]})), verified(json!({})));
    let interpretations = Interpretations::of(&policy, &facts).unwrap();
    let mut evaluator = Evaluator::of_all(&policy, &facts, Some(&admin), &interpretations);
    let mut effects = Vec::new();
    for interpretation in interpretations.all(&facts) {
        effects.push(evaluator.evaluate(&interpretation).effect);
        // Another look at the token would see this one.
        evaluator.token = Some(&other);
    }
    assert_eq!(effects, [Effect::Allow; 4]);
}
