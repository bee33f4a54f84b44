use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use super::*;
use crate::backend::{Backend, Route};
use crate::policy::Place;
use crate::policy::{
    GraphqlMatching, Matching, Mode, PathPattern, RoutePattern, RouteRow, RouteTable, RowSource, Verdict,
};
use crate::request::METHODS;

fn rule(matching: Matching) -> Rule {
    Rule { name: "rule".into(), matching, when: None, verdict: Verdict::Deny, mode: Mode::Enforce }
}

/// Few segments, so that patterns and paths often meet. They include what decoding and parameters leave in a path.
const SEGMENTS: &[&str] = &["", "a", "b", "A", "api", "v1", "a;x=1", "%61", "\u{e9}", "..."];

fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        9 => prop::collection::vec(prop::sample::select(SEGMENTS), 0..6)
            .prop_map(|segments| format!("/{}", segments.join("/"))),
        1 => prop::sample::select(vec!["*", "", "a", "a/b"]).prop_map(str::to_owned),
    ]
}

fn pattern() -> impl Strategy<Value = PathPattern> {
    let segments: Vec<&str> =
        SEGMENTS.iter().copied().filter(|text| !text.contains([';', '%'])).chain(["*", "*"]).collect();
    (prop::collection::vec(prop::sample::select(segments), 0..5), any::<bool>()).prop_map(
        |(segments, open)| {
            let path = segments.join("/");
            let text = match (path.is_empty(), open) {
                (true, true) => "/**".to_owned(),
                (_, true) => format!("/{path}/**"),
                (_, false) => format!("/{path}"),
            };
            PathPattern::parse(&text).unwrap()
        },
    )
}

fn methods() -> impl Strategy<Value = Methods> {
    prop::sample::select(vec!["*", "GET", "POST", "GET,PUT", "HEAD", "DELETE,OPTIONS"])
        .prop_map(|text| Methods::parse(text).unwrap())
}

fn matching() -> impl Strategy<Value = Matching> {
    let hosts = prop::sample::subsequence(vec!["a.example", "B.example"], 0..=2);
    (methods(), prop::collection::vec(pattern(), 0..4), hosts).prop_map(|(methods, paths, hosts)| Matching {
        methods,
        paths,
        hosts: hosts.into_iter().map(Into::into).collect(),
        ..Matching::default()
    })
}

fn method() -> impl Strategy<Value = Method> {
    prop::sample::select(METHODS.into_iter().chain([Method::CONNECT]).collect::<Vec<_>>())
}

/// Deterministic: a failure in CI can be reproduced locally.
fn check<S: Strategy>(strategy: &S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    if let Err(failure) = TestRunner::new_with_rng(config, rng).run(strategy, test) {
        panic!("{failure}");
    }
}

#[test]
fn the_index_selects_the_rules_that_a_linear_scan_selects() {
    let host = prop::sample::select(vec!["a.example", "b.example", "c.example"]);
    let requests = prop::collection::vec((method(), host, path()), 12);
    let strategy = (prop::collection::vec(matching(), 0..12), requests);
    check(&strategy, |(matchings, requests)| {
        let rules = Rules::from(matchings.into_iter().map(rule).collect::<Vec<_>>());
        for (method, host, path) in requests {
            let path = path.as_bytes();
            let is_selected = |Matching { methods, paths, hosts, .. }: &Matching| {
                methods.contain(&method)
                    && (paths.is_empty() || paths.iter().any(|pattern| pattern.matches(path)))
                    && (hosts.is_empty() || hosts.iter().any(|own| own.eq_ignore_ascii_case(host)))
            };
            let scanned: Vec<_> = (0..rules.len()).filter(|at| is_selected(&rules[*at].matching)).collect();
            let selected: Vec<_> = rules.selected(&method, host, path).collect();
            prop_assert_eq!(selected, scanned);
        }
        Ok(())
    });
}

#[test]
fn the_index_finds_the_row_that_a_linear_scan_finds() {
    let source = RowSource::Configuration { key: "authorization.public".into(), origin: None };
    let row = (methods(), pattern()).prop_map(|(methods, path)| RoutePattern { methods, path });
    let rows = prop::collection::vec(row, 0..12);
    let backend = prop::sample::select(Backend::ALL.to_vec());
    let paths = prop_oneof![
        path(),
        prop::sample::select(vec!["/API/v1/System/version", "/a/api/x", "/Openapi"]).prop_map(str::to_owned)
    ];
    let requests = prop::collection::vec((method(), paths), 12);
    check(&(rows, backend, requests), |(rows, backend, requests)| {
        let rows = rows.into_iter().map(|pattern| RouteRow {
            route: Route::Public,
            pattern,
            source: source.clone(),
        });
        let table = RouteTable::preset(backend, &Place::default()).unwrap().with_first(rows.collect());
        for (method, path) in requests {
            let scanned = table.rows().iter().position(|row| row.pattern.matches(&method, path.as_bytes()));
            prop_assert_eq!(table.find(&method, path.as_bytes()), scanned, "{} {}", method, path);
        }
        Ok(())
    });
}

/// No path of a configuration is one of these, but a rule that is left out would refuse nothing.
#[test]
fn a_pattern_that_the_index_cannot_hold_is_compared() {
    let parse = |text| PathPattern::parse_preset(text, 0).unwrap();
    let of = |paths: Vec<PathPattern>| rule(Matching { paths, ..Matching::default() });
    let rules = Rules::from(vec![
        of(vec![parse("/a"), PathPattern::parse("/b").unwrap()]),
        of(vec![parse("/**/c/**")]),
        of(Vec::new()),
    ]);
    for (path, expected) in
        [("/A", &[0, 2][..]), ("/b", &[0, 2]), ("/x/c/y", &[1, 2]), ("/x", &[2]), ("*", &[2])]
    {
        let selected: Vec<_> = rules.selected(&Method::GET, "", path.as_bytes()).collect();
        assert_eq!(selected, expected, "{path}");
    }
}

#[test]
fn the_rules_are_indexed_again_after_a_change() {
    let mut rules = Rules::from(vec![rule(Matching::default())]);
    let about_a = || Matching { paths: vec![PathPattern::parse("/a").unwrap()], ..Matching::default() };
    rules.change(|rules| {
        rules[0].matching = about_a();
        rules.push(rule(Matching { query: vec![("action".into(), Vec::new())], ..about_a() }));
    });
    let selected = |path: &[u8]| rules.selected(&Method::GET, "", path).collect::<Vec<_>>();
    assert_eq!((selected(b"/a"), selected(b"/b")), (vec![0, 1], Vec::new()));
    assert_eq!((rules.parameter("action"), rules.parameter("a")), (Some((0, "action")), None));
}

/// What no rule asks for is not read from requests.
#[test]
fn rules_ask_only_for_what_one_of_them_names() {
    let graphql = |fields: &[&str]| Matching {
        graphql: Some(GraphqlMatching {
            fields: fields.iter().map(|field| (*field).into()).collect(),
            ..GraphqlMatching::default()
        }),
        ..Matching::default()
    };
    let parameter = Matching { query: vec![("action".into(), Vec::new())], ..Matching::default() };
    let when = Expression::parse("graphql.operation == \"query\"").unwrap();
    for (asking, parameters, operation, fields) in [
        (rule(Matching::default()), false, false, false),
        (rule(parameter), true, false, false),
        (rule(graphql(&[])), false, true, false),
        (Rule { when: Some(when), ..rule(Matching::default()) }, false, true, false),
        (rule(graphql(&["a"])), false, true, true),
    ] {
        let rules = Rules::from(vec![rule(Matching::default()), asking]);
        let found = (rules.name_parameters(), rules.ask_for_graphql(), rules.ask_for_fields());
        assert_eq!(found, (parameters, operation, fields), "{rules:?}");
    }
}
