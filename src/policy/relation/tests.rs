//! Compares the relations with their definitions.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::policy::RowSource;

fn path(text: &str) -> PathPattern {
    PathPattern::parse(text).unwrap()
}

/// Every path of up to three segments, from a small set of segments.
fn paths() -> Vec<String> {
    let words = ["", "a", "b", "c"];
    let mut found = Vec::new();
    for one in words {
        found.push(format!("/{one}"));
        for two in words {
            found.push(format!("/{one}/{two}"));
            for three in words {
                found.push(format!("/{one}/{two}/{three}"));
            }
        }
    }
    found
}

/// Compares with the definition, for every path of [`paths`].
#[test]
fn covers_and_overlaps_agree_with_matching_of_paths() {
    let patterns = [
        "/", "/a", "/b", "/a/", "/*", "/**", "/a/**", "/a/b", "/a/*", "/*/b", "/*/*", "/a/*/**", "/a/*/c",
        "/*/b/**",
    ];
    let all = paths();
    for one in patterns {
        for other in patterns {
            let (one_path, other_path) = (path(one), path(other));
            let within = |text: &&String| other_path.matches(text.as_bytes());
            let covers = all.iter().filter(within).all(|text| one_path.matches(text.as_bytes()));
            let overlaps = all.iter().filter(within).any(|text| one_path.matches(text.as_bytes()));
            // `/a/*/**` also matches longer paths than those tested, and `/a/*` does not.
            let longer = other_path.open && !one_path.open;
            assert_eq!(one_path.covers(&other_path), covers && !longer, "{one} covers {other}");
            assert_eq!(one_path.overlaps(&other_path), overlaps, "{one} overlaps {other}");
        }
    }
}

/// A pattern of a preset may begin at any depth, end within a segment, or ignore letter case.
#[test]
fn covers_agrees_with_matching_for_patterns_of_presets() {
    const EXACT: usize = usize::MAX;
    for (one, exact, other, covers) in [
        ("/icons*", EXACT, "/iconset/a", true),
        ("/icons*", EXACT, "/icon", false),
        ("/a/icons*", EXACT, "/a/iconset", true),
        ("/a/icons*", EXACT, "/ab/iconset", false),
        ("/a", EXACT, "/A", false),
        ("/a", 0, "/A", true),
        ("/a", 0, "/B", false),
        ("/**/a/**", EXACT, "/x/a/b", true),
        ("/**/a/**", EXACT, "/x/b", false),
        // The other pattern also matches `/x/a` or `/ab`.
        ("/a", EXACT, "/**/a", false),
        ("/a/**", EXACT, "/a*", false),
    ] {
        let covering = PathPattern::parse_preset(one, exact).unwrap();
        let covered = PathPattern::parse_preset(other, EXACT).unwrap();
        assert_eq!(covering.covers(&covered), covers, "{one} covers {other}");
    }
}

#[test]
fn get_covers_head() {
    let methods = |text| Methods::parse(text).unwrap();
    for (one, other, covers, overlaps) in [
        ("*", "GET", true, true),
        ("GET", "*", false, true),
        ("GET", "HEAD", true, true),
        ("HEAD", "GET", false, true),
        ("GET,POST", "POST", true, true),
        ("PUT", "POST", false, false),
        ("GET,POST,PUT,PATCH,DELETE,OPTIONS", "*", true, true),
    ] {
        assert_eq!(methods(one).covers(&methods(other)), covers, "{one} covers {other}");
        assert_eq!(methods(one).overlaps(&methods(other)), overlaps, "{one} overlaps {other}");
    }
}

#[test]
fn covers_compares_queries_and_graphql() {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).into()).collect::<Vec<Box<str>>>();
    let query = |name: &str, values: &[&str]| Matching {
        query: vec![(name.into(), texts(values))],
        ..Matching::default()
    };
    let graphql = |fields: &[&str], unreadable| Matching {
        graphql: Some(GraphqlMatching { operations: Vec::new(), fields: texts(fields), unreadable }),
        ..Matching::default()
    };
    let all = Matching::default();
    let (deny, skip) = (Unreadable::Deny, Unreadable::Skip);
    for (own, other, covered) in [
        (&all, query("action", &["a"]), true),
        (&query("action", &["a"]), all.clone(), false),
        (&query("action", &["a", "b"]), query("action", &["a"]), true),
        (&query("action", &["a"]), query("action", &["a", "b"]), false),
        (&query("action", &["a"]), query("other", &["a"]), false),
        (&all, graphql(&["a"], deny), true),
        (&graphql(&["a"], deny), all.clone(), false),
        (&graphql(&["a", "b"], deny), graphql(&["a"], deny), true),
        (&graphql(&["a"], deny), graphql(&[], deny), false),
        (&graphql(&["a"], deny), graphql(&["b"], deny), false),
        (&graphql(&[], deny), graphql(&["a"], skip), true),
        (&graphql(&[], skip), graphql(&["a"], deny), false),
    ] {
        assert_eq!(own.covers(&other), covered, "{own:?} {other:?}");
    }
}

#[test]
fn covers_compares_the_kinds_of_operations() {
    use crate::request::OperationKind::{Mutation, Query};
    let of = |kinds: &[_]| Matching {
        graphql: Some(GraphqlMatching { operations: kinds.to_vec(), ..GraphqlMatching::default() }),
        ..Matching::default()
    };
    for (own, other, covered) in [
        (&[][..], &[Query][..], true),
        (&[Query], &[], false),
        (&[Query], &[Query], true),
        (&[Query, Mutation], &[Query], true),
        (&[Query], &[Query, Mutation], false),
    ] {
        assert_eq!(of(own).covers(&of(other)), covered, "{own:?} {other:?}");
    }
}

#[test]
fn covers_requires_every_condition() {
    let matching = |paths: &[&str], hosts: &[&str], issuers: &[&str]| Matching {
        paths: paths.iter().map(|text| path(text)).collect(),
        hosts: hosts.iter().map(|name| (*name).into()).collect(),
        issuers: issuers.iter().map(|name| (*name).into()).collect(),
        ..Matching::default()
    };
    let everything = Matching::default();
    let some = matching(&["/a/**", "/b"], &["a.example", "b.example"], &["okta"]);
    assert!(everything.covers(&some) && !some.covers(&everything) && some.covers(&some));
    for (other, covered) in [
        (matching(&["/a/x"], &["A.example"], &["okta"]), true),
        (matching(&["/a/x", "/c"], &["a.example"], &["okta"]), false),
        (matching(&["/a/x"], &[], &["okta"]), false),
        (matching(&["/a/x"], &["a.example"], &["OKTA"]), false),
        (matching(&[], &["a.example"], &["okta"]), false),
    ] {
        assert_eq!(some.covers(&other), covered, "{other:?}");
    }
}

/// A rule may be meant for requests that a public row lets through before any rule is asked.
#[test]
fn opening_rows_are_those_that_no_protected_row_comes_before() {
    let table = RouteTable::parse(&[
        (Route::Protected, "/a/secret/**"),
        (Route::Public, "GET /a/**"),
        (Route::Optional, "/b"),
        (Route::Public, "/*/c"),
        (Route::Protected, "/a/late/**"),
        (Route::Public, "/a/late/x"),
    ])
    .unwrap();
    for (methods, paths, expected) in [
        ("*", &["/a/x"][..], &["GET /a/**"][..]),
        ("DELETE", &["/a/x"], &[]),
        ("*", &["/a/secret/x", "/a/secret/**"], &[]),
        ("*", &["/a/**"], &["GET /a/**", "/*/c", "/a/late/x"]),
        ("*", &["/b", "/a/x"], &["GET /a/**", "/b"]),
        ("*", &["/a/c", "/a/c"], &["GET /a/**", "/*/c"]),
        ("*", &["/d"], &[]),
        ("*", &["/a/late/x"], &["GET /a/**"]),
        ("*", &[], &[]),
    ] {
        let matching = Matching {
            methods: Methods::parse(methods).unwrap(),
            paths: paths.iter().map(|text| path(text)).collect(),
            ..Matching::default()
        };
        let found: Vec<String> = table.opening(&matching).map(|row| row.pattern.to_string()).collect();
        assert_eq!(found, expected, "{methods} {paths:?}");
    }
}

/// Presets have patterns that the index cannot hold.
#[test]
fn opening_rows_of_a_preset_overlap_by_method_and_path() {
    let source = || RowSource::Configuration { key: "x".into(), origin: None };
    let pattern = |methods, path| RoutePattern {
        methods: Methods::parse(methods).unwrap(),
        path: PathPattern::parse_preset(path, 0).unwrap(),
    };
    let row = |pattern| RouteRow { route: Route::Public, pattern, source: source() };
    let table = RouteTable::default().with_first(vec![row(pattern("GET", "/icons*"))]);
    for (methods, path_of_rule, count) in [
        ("GET", "/icons/a", 1),
        ("POST", "/icons/a", 0),
        ("GET", "/a", 0),
        ("GET", "/**", 1),
        ("POST", "/**", 0),
    ] {
        let (methods, paths) = (Methods::parse(methods).unwrap(), vec![path(path_of_rule)]);
        let matching = Matching { methods, paths, ..Matching::default() };
        assert_eq!(table.opening(&matching).count(), count, "{matching:?}");
    }
}

#[test]
fn a_route_overlaps_with_a_rule_about_one_of_its_paths() {
    let route = |text| RoutePattern::parse(text).unwrap();
    let rule = |methods, paths: &[&str]| Matching {
        methods: Methods::parse(methods).unwrap(),
        paths: paths.iter().map(|text| path(text)).collect(),
        ..Matching::default()
    };
    for (pattern, matching, overlaps, covers) in [
        ("/a/**", rule("GET", &["/b", "/a/x"]), true, true),
        ("/a/**", rule("GET", &["/b"]), false, false),
        ("/a/**", rule("GET", &["/**"]), true, false),
        ("/**", rule("GET", &["/**"]), true, false),
        ("/a", rule("GET", &[]), true, false),
        ("POST /a/**", rule("GET", &["/a/x"]), false, false),
        ("POST /a/**", rule("GET,POST", &["/a/x"]), true, false),
        ("/a/x", rule("GET", &["/a/*"]), true, false),
    ] {
        let pattern = route(pattern);
        assert_eq!(pattern.overlaps(&matching), overlaps, "{pattern} {matching:?}");
        assert_eq!(pattern.covers_a_path_of(&matching), covers, "{pattern} {matching:?}");
    }
}
