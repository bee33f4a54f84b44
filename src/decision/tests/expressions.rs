//! Rules with `when`, and rules about the query.

use super::*;
use crate::policy::Expression;

fn rule(verdict: Verdict, when: Option<&str>) -> Rule {
    Rule {
        name: "rule".into(),
        matching: Matching {
            methods: Methods::from_names(["PUT", "PATCH", "POST"]).unwrap(),
            paths: vec![PathPattern::parse("/api/v1/policies/**").unwrap()],
            ..Matching::default()
        },
        when: when.map(|text| Expression::parse(text).unwrap()),
        verdict,
        mode: Mode::Enforce,
    }
}

fn admin() -> Verdict {
    Verdict::Require(Box::new(Requirement { any_role: vec!["Admin".into()], ..Requirement::default() }))
}

fn nothing_more() -> Verdict {
    Verdict::Require(Box::default())
}

fn with_rules(rules: Vec<Rule>) -> Authorizer {
    let mut authorizer = authorizer(Backend::Generic);
    authorizer.policy.rules = rules.into();
    authorizer
}

const PATH: &str = "/api/v1/policies/x";

#[test]
fn a_condition_with_require_denies_unless_true() {
    let authorizer = with_rules(vec![rule(nothing_more(), Some("!claims.isBot"))]);
    assert!(decide_for(&authorizer, "POST", PATH, json!({"isBot": false})).is_ok());
    let denial = decide_for(&authorizer, "POST", PATH, json!({"isBot": true})).unwrap_err();
    assert_eq!((denial.reason, denial.rule), (Reason::InsufficientPermissions, Some(0)));
    assert_eq!(denial.detail.as_deref(), Some("when: this is false: !claims.isBot"));
    assert!(decide_for(&authorizer, "GET", PATH, json!({"isBot": true})).is_ok());
    assert!(decide_for(&authorizer, "POST", "/api/v1/tables", json!({"isBot": true})).is_ok());
    // An error in the expression denies, and the detail says so.
    let denial = decide_for(&authorizer, "POST", PATH, json!({})).unwrap_err();
    assert_eq!(denial.detail.as_deref(), Some("when: a member that it asks for is missing"));
}

/// The decision about a request that the rule matches, for each verdict and result of `when`.
#[test]
fn truth_table_of_verdicts_and_conditions() {
    let (yes, no, error) = (Some("true"), Some("false"), Some("claims.missing"));
    // The rule decides with its own effect, or the default does.
    let (allows, denies, passes_on) = ((true, Some(0)), (false, Some(0)), None);
    let is_admin = json!({"roles": ["Admin"]});
    let is_not = json!({"roles": ["Reader"]});
    for (verdict, when, claims, expected) in [
        (Verdict::Deny, None, &is_admin, Some(denies)),
        (Verdict::Deny, yes, &is_admin, Some(denies)),
        (Verdict::Deny, no, &is_admin, passes_on),
        (Verdict::Deny, error, &is_admin, Some(denies)),
        (Verdict::Allow, None, &is_not, Some(allows)),
        (Verdict::Allow, yes, &is_not, Some(allows)),
        (Verdict::Allow, no, &is_not, passes_on),
        (Verdict::Allow, error, &is_not, Some(denies)),
        (nothing_more(), yes, &is_not, Some(allows)),
        (nothing_more(), no, &is_not, Some(denies)),
        (nothing_more(), error, &is_not, Some(denies)),
        (admin(), None, &is_admin, Some(allows)),
        (admin(), yes, &is_admin, Some(allows)),
        (admin(), no, &is_admin, Some(denies)),
        (admin(), error, &is_admin, Some(denies)),
        (admin(), None, &is_not, Some(denies)),
        (admin(), yes, &is_not, Some(denies)),
        (admin(), no, &is_not, Some(denies)),
        (admin(), error, &is_not, Some(denies)),
    ] {
        for default in [Effect::Allow, Effect::Deny] {
            let mut authorizer = with_rules(vec![rule(verdict.clone(), when)]);
            authorizer.policy.default = default;
            let outcome = decide_for(&authorizer, "POST", PATH, claims.clone());
            let got = (outcome.is_ok(), outcome.as_ref().map_or_else(|denial| denial.rule, Permit::rule));
            let expected = expected.unwrap_or((default == Effect::Allow, None));
            assert_eq!(got, expected, "{verdict:?} {when:?} {claims} {default:?}");
        }
    }
}

#[test]
fn expressions_see_each_reading_of_the_path() {
    let when = "request.path.startsWith(\"/api/v1/policies/secret\")";
    let authorizer =
        with_rules(vec![Rule { matching: Matching::default(), ..rule(Verdict::Deny, Some(when)) }]);
    for path in [
        "/api/v1/policies/secret",
        "/api/v1/policies;x/secret",
        "/api/v1/polic%69es/secret",
        "//api/v1/policies/secret",
    ] {
        assert!(decide_for(&authorizer, "GET", path, json!({})).is_err(), "{path}");
    }
    assert!(decide_for(&authorizer, "GET", "/api/v1/policies/open", json!({})).is_ok());
}

#[test]
fn a_rule_in_report_mode_has_a_detail_too() {
    let reporting = Rule { mode: Mode::Report, ..rule(Verdict::Deny, Some("claims.missing")) };
    let authorizer = with_rules(vec![reporting]);
    let permit = decide_for(&authorizer, "POST", PATH, json!({})).unwrap();
    let denial = permit.would_deny().unwrap();
    assert_eq!(
        (denial.rule, denial.detail.as_deref()),
        (Some(0), Some("when: a member that it asks for is missing"))
    );
}

#[test]
fn a_session_cookie_has_no_claims() {
    let mut authorizer = authorizer(Backend::DataHubFrontend);
    let cookie = ("cookie", "PLAY_SESSION=abc");
    let request = facts(authorizer.backend, "GET", "/api/v2/graphql", &[cookie]);
    for (verdict, when, good) in [
        (nothing_more(), "true", false),
        (Verdict::Deny, "claims.isBot", false),
        (Verdict::Deny, "has(claims.isBot)", true),
        (Verdict::Allow, "request.path == \"/api/v2/graphql\"", true),
    ] {
        authorizer.policy.rules =
            vec![Rule { matching: Matching::default(), ..rule(verdict, Some(when)) }].into();
        assert_eq!(decide(&authorizer, &request, None).is_ok(), good, "{when}");
    }
}

#[test]
fn many_expressions_share_one_budget() {
    let rule = rule(Verdict::Deny, Some("claims.a.exists(x, x == 2)"));
    let reporting = Rule { mode: Mode::Report, ..rule };
    let authorizer = with_rules(vec![reporting; 40]);
    let permit = decide_for(&authorizer, "POST", PATH, json!({"a": vec![1; 2000]})).unwrap();
    assert_eq!(permit.would_deny().unwrap().detail.as_deref(), Some("when: it took too many steps"));
    assert!(decide_for(&authorizer, "POST", PATH, json!({"a": [1]})).unwrap().would_deny().is_none());
}

fn about_action(verdict: Verdict, values: &[&str]) -> Rule {
    let values = values.iter().map(|value| (*value).into()).collect();
    let matching = Matching { query: vec![("action".into(), values)], ..Matching::default() };
    Rule { matching, ..rule(verdict, None) }
}

#[test]
fn a_rule_that_denies_an_action_cannot_be_bypassed() {
    for verdict in [Verdict::Deny, admin()] {
        let authorizer = with_rules(vec![about_action(verdict, &["delete*", "ingestProposal"])]);
        for (path, good) in [
            ("/aspects?action=ingestProposal", false),
            ("/aspects?action=deleteAll", false),
            ("/aspects?x=1&action=delete&y", false),
            ("/aspects?action=read&action=ingestProposal", false),
            ("/aspects?action=ingestProposal&action=read", false),
            ("/aspects?%61ction=ingestProposal", false),
            ("/aspects?action=ingest%50roposal", false),
            ("/aspects?x=1;action=ingestProposal", false),
            ("/aspects?action=ingestProposal;x=1", false),
            ("/aspects?action=read&x=%zz", false),
            ("/aspects?action=read&x=%ff", false),
            ("/aspects?action=read", true),
            ("/aspects?action=", true),
            ("/aspects?action", true),
            ("/aspects?actions=ingestProposal", true),
            ("/aspects?x=action=ingestProposal", true),
            ("/aspects?Action=ingestProposal", true),
            ("/aspects?", true),
            ("/aspects", true),
        ] {
            let outcome = decide_for(&authorizer, "POST", path, json!({}));
            assert_eq!(outcome.is_ok(), good, "{path}");
        }
    }
}

#[test]
fn a_rule_that_allows_an_action_allows_no_other_action() {
    for verdict in [Verdict::Allow, nothing_more()] {
        let mut authorizer = with_rules(vec![about_action(verdict, &["read", "search*"])]);
        authorizer.policy.default = Effect::Deny;
        for (path, good) in [
            ("/aspects?action=read", true),
            ("/aspects?action=searchAll&x=1", true),
            ("/aspects?action=read&action=search", true),
            ("/aspects?action=read&action=read", true),
            ("/aspects?action=read&action=delete", false),
            ("/aspects?action=delete&action=read", false),
            ("/aspects?action=read&%61ction=delete", false),
            ("/aspects?action=read;action=delete", false),
            // A server that does not split at `;` sees no action here.
            ("/aspects?x=1;action=read", false),
            ("/aspects?action=read&x=%", false),
            ("/aspects?action=", false),
            ("/aspects", false),
        ] {
            assert_eq!(decide_for(&authorizer, "POST", path, json!({})).is_ok(), good, "{path}");
        }
    }
}

#[test]
fn too_many_combinations_of_parameters_are_refused() {
    let authorizer = with_rules(vec![about_action(Verdict::Deny, &["delete"])]);
    let query = |count: usize| (0..count).map(|n| format!("action=a{n}&")).collect::<String>();
    assert!(decide_for(&authorizer, "POST", &format!("/x?{}", query(16)), json!({})).is_ok());
    let denial = decide_for(&authorizer, "POST", &format!("/x?{}", query(17)), json!({})).unwrap_err();
    assert_eq!(denial.detail.as_deref(), Some("query: too many values of parameters that rules ask for"));
    // The values of several parameters multiply.
    let mut both = about_action(Verdict::Deny, &["delete"]);
    both.matching.query.push(("entity".into(), vec!["policy".into()]));
    let authorizer = with_rules(vec![both]);
    let of_both = |actions: usize, entities: usize| {
        let entities: String = (0..entities).map(|n| format!("entity=e{n}&")).collect();
        decide_for(&authorizer, "POST", &format!("/x?{}{entities}", query(actions)), json!({}))
    };
    for (actions, entities, good) in [(4, 4, true), (16, 1, true), (4, 5, false), (6, 3, false)] {
        assert_eq!(of_both(actions, entities).is_ok(), good, "{actions} times {entities}");
    }
    // Parameters that no rule names are not counted.
    let authorizer = with_rules(vec![rule(Verdict::Deny, None)]);
    assert!(decide_for(&authorizer, "POST", &format!("/x?{}", query(100)), json!({})).is_ok());
}
