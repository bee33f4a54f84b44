//! How two patterns relate: whether one covers the other, and whether they overlap.
//!
//! Only warnings about a configuration use this. It decides nothing about requests.

use super::path_pattern::{PathPattern, Segment};
use super::{GraphqlMatching, Matching, Methods, Route, RoutePattern, RouteRow, RouteTable, Unreadable};

impl PathPattern {
    /// Whether this pattern matches every path that `other` matches.
    pub fn covers(&self, other: &Self) -> bool {
        // Approximation: a pattern that starts at any depth, or ends within a segment, is never covered.
        if other.anywhere || other.partial {
            return false;
        }
        let depths = if self.anywhere { other.segments.len() } else { 0 };
        (0..=depths).any(|from| self.covers_from(from, other))
    }

    fn covers_from(&self, from: usize, other: &Self) -> bool {
        let others = other.segments.get(from..).unwrap_or_default();
        let same = |(at, (this, other)): (usize, (&Segment, &Segment))| match (this, other) {
            (Segment::Literal(this), Segment::Literal(text))
                if self.partial && at + 1 == self.segments.len() =>
            {
                text.get(..this.len()).is_some_and(|start| start.eq_ignore_ascii_case(this))
            }
            (Segment::Literal(this), Segment::Literal(text)) if self.ignores_case() => {
                this.eq_ignore_ascii_case(text)
            }
            _ => this.covers(other),
        };
        let each = self.segments.iter().zip(others).enumerate().all(same);
        let lengths = if self.open {
            self.segments.len() <= others.len()
        } else {
            !other.open && self.segments.len() == others.len()
        };
        each && lengths
    }

    /// Whether both match some path.
    pub fn overlaps(&self, other: &Self) -> bool {
        let each = self.segments.iter().zip(&other.segments).all(|(this, other)| this.meets(other));
        let (this, others) = (self.segments.len(), other.segments.len());
        each && (this == others || (this < others && self.open) || (others < this && other.open))
    }
}

impl Segment {
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, Self::Any) => true,
            // `*` does not match an empty segment.
            (Self::Any, Self::Literal(text)) => !text.is_empty(),
            (Self::Literal(this), Self::Literal(text)) => this == text,
            (Self::Literal(_), Self::Any) => false,
        }
    }

    fn meets(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }
}

impl Methods {
    /// Whether this list includes every method of `other`.
    pub fn covers(&self, other: &Self) -> bool {
        self.set().covers(other.set())
    }

    /// Whether both include some method.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.set().meets(other.set())
    }
}

impl RoutePattern {
    /// Whether this route and `matching` match some request in common.
    pub fn overlaps(&self, matching: &Matching) -> bool {
        let paths = &matching.paths;
        self.methods.overlaps(&matching.methods)
            && (paths.is_empty() || paths.iter().any(|path| self.path.overlaps(path)))
    }

    /// Whether this route matches every request that `matching` matches on one of its paths.
    pub fn covers_a_path_of(&self, matching: &Matching) -> bool {
        // Skip `/**`: it matches everything and is not specific to the paths of this route.
        let mut paths = matching.paths.iter().filter(|path| !path.segments.is_empty());
        self.methods.covers(&matching.methods) && paths.any(|path| self.path.covers(path))
    }
}

impl RouteTable {
    /// The public and optional rows that match some request that `matching` matches on one of its paths,
    /// without those that come after a row that protects all of that path.
    pub fn opening<'a>(&'a self, matching: &'a Matching) -> impl Iterator<Item = &'a RouteRow> {
        let methods = &matching.methods;
        let protects = |row: &&usize, path: &PathPattern| {
            self.rows()
                .get(**row)
                .is_some_and(|row| row.pattern.methods().covers(methods) && row.pattern.path().covers(path))
        };
        let mut opening: Vec<usize> = Vec::new();
        for path in &matching.paths {
            // The rows after this one do not matter.
            let end = self.index.protected.iter().find(|row| protects(row, path)).copied();
            let opens = |at: &&usize| {
                end.is_none_or(|end| **at < end)
                    && self.rows().get(**at).is_some_and(|row| row.route != Route::Protected)
            };
            let overlaps = |at: &&usize| {
                self.rows().get(**at).is_some_and(|RouteRow { pattern, .. }| {
                    pattern.methods().overlaps(methods) && pattern.path().overlaps(path)
                })
            };
            opening.extend(self.index.others.iter().filter(overlaps).filter(opens));
            self.index.by_path.overlapping(methods.set(), path, |rows| {
                opening.extend(rows.iter().filter(opens));
            });
        }
        opening.sort_unstable();
        opening.dedup();
        opening.into_iter().filter_map(|row| self.rows().get(row))
    }
}

impl Matching {
    /// Whether this matches every request that `other` matches.
    pub fn covers(&self, other: &Self) -> bool {
        // Destructured so that a new condition does not compile until it is handled here.
        let Self { methods, paths, hosts, issuers, query, graphql } = self;
        let asks = |(name, patterns): &(Box<str>, Vec<Box<str>>)| {
            let wanted = other.query.iter().find(|(other, _)| other == name);
            wanted.is_some_and(|(_, others)| others.iter().all(|pattern| patterns.contains(pattern)))
        };
        let any_path = |wanted: &PathPattern| paths.iter().any(|this| this.covers(wanted));
        methods.covers(&other.methods)
            && (paths.is_empty() || (!other.paths.is_empty() && other.paths.iter().all(any_path)))
            && names_cover(hosts, &other.hosts, str::eq_ignore_ascii_case)
            && names_cover(issuers, &other.issuers, |this, other| this == other)
            && query.iter().all(asks)
            && match (graphql, &other.graphql) {
                (None, _) => true,
                (Some(this), Some(other)) => this.covers(other),
                (Some(_), None) => false,
            }
    }
}

impl GraphqlMatching {
    /// Whether this matches every operation that `other` matches.
    fn covers(&self, other: &Self) -> bool {
        let Self { operations, fields, unreadable } = self;
        let kinds = operations.is_empty()
            || (!other.operations.is_empty()
                && other.operations.iter().all(|kind| operations.contains(kind)));
        kinds
            && names_cover(fields, &other.fields, |this, other| this == other)
            && (*unreadable == Unreadable::Deny || other.unreadable == Unreadable::Skip)
    }
}

/// Whether a list of names includes another one. An empty list stands for all names.
fn names_cover(this: &[Box<str>], other: &[Box<str>], equal: impl Fn(&str, &str) -> bool) -> bool {
    this.is_empty()
        || (!other.is_empty() && other.iter().all(|name| this.iter().any(|this| equal(this, name))))
}

#[cfg(test)]
mod tests {
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
            "/", "/a", "/b", "/a/", "/*", "/**", "/a/**", "/a/b", "/a/*", "/*/b", "/*/*", "/a/*/**",
            "/a/*/c", "/*/b/**",
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
}
