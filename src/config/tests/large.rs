//! Configurations with thousands of rules and routes.

use std::fmt::Write as _;

use http::Method;

use super::*;
use crate::policy::Route;

/// Loading must find related rules and routes with the index; comparing all pairs would take a hundred million steps.
#[test]
fn ten_thousand_rules_and_routes_load() {
    let count = 10_000;
    let mut text = "authorization:\n  rules:\n".to_owned();
    for number in 0..count {
        let paths = format!("[/api/v1/thing{number}/**, /api/v2/*/thing{number}]");
        writeln!(
            text,
            "    - {{name: r{number}, match: {{methods: [GET, PUT], paths: {paths}}}, require: {{anyRole: [Admin, r{number}]}}}}"
        )
        .unwrap();
    }
    text.push_str("    - {name: late, match: {methods: [PUT], paths: [/api/v1/thing7/x]}, action: deny}\n");
    text.push_str("  public:\n");
    (0..count).for_each(|number| writeln!(text, "    - GET /public/thing{number}/**").unwrap());
    text.push_str("  optional:\n");
    (0..count).for_each(|number| writeln!(text, "    - GET /optional/thing{number}").unwrap());
    let loaded = file(&text).with(&[KEYS_URL, UPSTREAM]).loaded();
    let shadowed: Vec<_> = loaded.warnings.iter().filter(|warning| warning.path.contains("rules[")).collect();
    assert_eq!(shadowed.len(), 1, "{shadowed:?}");
    assert!(shadowed[0].message.contains("`late` never decides: `r7`"), "{shadowed:?}");
    let policy = loaded.config.policy;
    let selected: Vec<_> = policy.rules.selected(&Method::PUT, "", b"/api/v1/thing9999/a").collect();
    assert_eq!((policy.rules.len(), selected), (count + 1, vec![9999]));
    let row = policy.routes.find(&Method::GET, b"/public/thing9999/a").unwrap();
    assert_eq!((row, policy.routes.rows()[row].route), (2 * count - 1, Route::Public));
}
