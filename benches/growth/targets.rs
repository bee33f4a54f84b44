//! Paths, queries, and the rules and routes that match them.

use std::hint::black_box;

use http::Method;
use metagate::backend::Backend;
use metagate::decision::Route;
use metagate::message::Fields;
use metagate::policy::{Matching, PathPattern, Requirement, Verdict, wildcard_matches};
use metagate::request::parameters;

use super::world;
use super::{Case, Run};

/// A target has at most 8 KiB.
const MOST: usize = 7500;

pub const CASES: &[Case] = &[
    Case::new("path: escapes", MOST, |size| readings("%61".repeat(size / 3))),
    Case::new("path: parameters", MOST, |size| readings("a;b/".repeat(size / 4))),
    Case::new("path: slashes", MOST, |size| readings("/".repeat(size))),
    Case::new("path: escapes, parameters and slashes", MOST, |size| readings("%E9;x//".repeat(size / 7))),
    Case::new("path: routes of a preset", MOST, |size| {
        let authorizer = world::authorizer(Backend::DataHubFrontend, Vec::new());
        let facts = world::facts(Backend::DataHubFrontend, &format!("/{}", "a/".repeat(size / 2)), &fields());
        Box::new(move || {
            black_box(authorizer.route(&facts));
        })
    }),
    Case::new("path: patterns", MOST, |size| {
        let pattern = PathPattern::parse("/*/*/a/*/**").expect("a pattern");
        let path = format!("/{}", "a/".repeat(size / 2));
        Box::new(move || {
            black_box(pattern.matches(path.as_bytes()));
        })
    }),
    Case::new("wildcards", MOST, |size| {
        let text = "a".repeat(size);
        Box::new(move || assert!(!wildcard_matches("*aaaaaaab*aaaaaab*", black_box(&text))))
    }),
    Case::new("query: parameters", MOST, |size| {
        let query = "a=%61;b&".repeat(size / 8);
        Box::new(move || assert!(parameters(&query).is_some()))
    }),
    Case::new("query: values of a parameter in a rule", MOST, |size| {
        let query: Vec<String> = (0..size / 6).map(|n| format!("a={n:03}")).collect();
        let matching = Matching { query: vec![("a".into(), vec!["*".into()])], ..Matching::default() };
        decided(format!("/x?{}", query.join("&")), matching, "", false)
    }),
    Case::new("views: a long path and a long value", MOST, |size| {
        let (path, value) = ("%61;b/".repeat(size / 12), "v".repeat(size / 2));
        let query: Vec<String> = (0..12).map(|n| format!("a={n}{}", &value[..value.len() / 12])).collect();
        let matching = Matching {
            paths: vec![PathPattern::parse("/*/*/x/**").expect("a pattern")],
            query: vec![("a".into(), vec!["*b*c".into()])],
            ..Matching::default()
        };
        decided(format!("/{path}?{}", query.join("&")), matching, "", true)
    }),
    Case::new("views: a token with many roles", 3000, |size| {
        let roles: Vec<String> = (0..size).rev().map(|n| format!("\"r{n}\"")).collect();
        let query: Vec<String> = (0..12).map(|n| format!("a={n}")).collect();
        let matching = Matching { query: vec![("a".into(), vec!["*".into()])], ..Matching::default() };
        decided(format!("/%61;b/c?{}", query.join("&")), matching, &roles.join(","), true)
    }),
];

fn fields() -> Fields {
    world::fields::<&str>([])
}

fn readings(path: String) -> Run {
    let fields = fields();
    Box::new(move || {
        black_box(world::facts(Backend::DataHubFrontend, &format!("/{path}"), &fields));
    })
}

/// A decision by twenty rules with the same matcher.
fn decided(target: String, matching: Matching, roles: &str, allowed: bool) -> Run {
    let mut rule = world::rule(matching);
    rule.verdict = Verdict::Require(Box::new(Requirement {
        all_roles: if roles.is_empty() { Vec::new() } else { vec!["r1".into(), "r0".into()] },
        ..Requirement::default()
    }));
    let authorizer = world::authorizer(Backend::Generic, vec![rule; 20]);
    let caller = world::caller(&format!(",\"roles\":[{roles}]"));
    let facts = world::facts(Backend::Generic, &target, &fields());
    assert_eq!(facts.method, Method::POST);
    Box::new(move || {
        assert_eq!(authorizer.decide(&facts, Route::Protected, Ok(caller.clone())).is_ok(), allowed);
    })
}
