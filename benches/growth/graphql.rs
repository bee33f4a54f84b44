//! GraphQL documents, and rules about them.

use metagate::backend::Backend;
use metagate::decision::Route;
use metagate::policy::{GraphqlMatching, Matching, PathPattern, Requirement, Verdict};
use metagate::request::Graphql;

use super::world;
use super::{Case, Run};

/// `limits.graphqlBytes`.
const MOST: usize = 60_000;

pub const CASES: &[Case] = &[
    Case::new("graphql: nested fields", MOST, |size| read(format!("{{a{{{}}}}}", "b{c}".repeat(size / 4)))),
    Case::new("graphql: fields at the top", MOST, |size| read(format!("{{{}}}", "a ".repeat(size / 2)))),
    Case::new("graphql: arguments", MOST, |size| read(format!("{{a(x:[{}])}}", "1 ".repeat(size / 2)))),
    Case::new("graphql: a long string", MOST, |size| read(format!("{{a(x:\"{}\")}}", "x".repeat(size)))),
    Case::new("graphql: comments", MOST, |size| read(format!("{}{{a}}", "#\n".repeat(size / 2)))),
    Case::new("graphql: commas", MOST, |size| read(format!("{}{{a}}", ",".repeat(size)))),
    Case::new("graphql: not a document", MOST, |size| read("}".repeat(size))),
    Case::new("graphql: not a token", MOST, |size| read("?".repeat(size))),
    Case::new("graphql: unterminated strings", MOST, |size| read("\"\"\"\"".repeat(size / 4))),
    Case::new("graphql: open braces", MOST, |size| read("{a".repeat(size / 2))),
    Case::new("graphql: directives", MOST, |size| read(format!("{{a {}}}", "@b ".repeat(size / 3)))),
    Case::new("graphql: inline fragments", MOST, |size| read(format!("{{{}}}", "...{a} ".repeat(size / 7)))),
    Case::new("graphql: operations share a list of fragments", MOST, |size| {
        let count = size / 29;
        let spreads: String = (0..count).map(|n| format!("...f{n} ")).collect();
        let fragments: String = (0..count).map(|n| format!("fragment f{n} on Q{{a}}")).collect();
        read(format!("{}fragment A on Q{{{spreads}}}{fragments}", operations("...A")))
    }),
    Case::new("graphql: operations share a chain of fragments", MOST, |size| {
        let next = |n: usize| format!("fragment f{n} on Q{{a...f{}}}", n + 1);
        let count = size / 30;
        let chain: String = (0..count).map(next).collect();
        read(format!("{}{chain}fragment f{count} on Q{{a}}", operations("...f0")))
    }),
    Case::new("graphql: operations share fields", MOST, |size| {
        let fields: String = (0..size / 4).map(|n| format!("f{:02} ", n % 100)).collect();
        read(format!("{}fragment A on Q{{{fields}}}", operations("...A")))
    }),
    Case::new("graphql: fragments that spread each other", MOST, |size| {
        // Every fragment spreads all of them.
        let count = (size / 5).isqrt();
        let spreads: String = (0..count).map(|n| format!("...f{n} ")).collect();
        let fragments: String = (0..count).map(|n| format!("fragment f{n} on Q{{a {spreads}}}")).collect();
        read(format!("{}{fragments}", operations("...f0")))
    }),
    Case::new("graphql: many fragment names", MOST, |size| {
        let spreads: String = (0..size / 8).map(|n| format!("...{n:05x} ").replace("...", "...g")).collect();
        read(format!("{{{spreads}}}"))
    }),
    Case::new("graphql: a batch", MOST, |size| {
        let member = serde_json::json!({"query": format!("{{{}}}", "a ".repeat(size / 100))});
        body(serde_json::json!(vec![member; 50]).to_string())
    }),
    Case::new("graphql: members of JSON", MOST, |size| {
        let members: String = (0..size / 8).map(|n| format!(",\"{n:04}\":1")).collect();
        body(format!("{{\"query\":\"{{a}}\",\"extensions\":{{\"a\":1{members}}}}}"))
    }),
    Case::new("graphql: rules, a long field name", MOST, |size| {
        ruled("/graphql", format!("{{{}}}", "a".repeat(size)))
    }),
    Case::new("graphql: rules, a long path and many fields", 7200, |size| {
        let fields: String = (0..size / 60).map(|n| format!("f{n} ")).collect();
        ruled(&format!("/{};a/b;c", "%61".repeat(size / 3)), format!("{{{fields}}}"))
    }),
];

fn operations(selection: &str) -> String {
    (0..60).map(|n| format!("query q{n}{{{selection}}}")).collect()
}

fn read(document: String) -> Run {
    body(serde_json::json!({ "query": document }).to_string())
}

/// Reads a GraphQL request body.
fn body(body: String) -> Run {
    let fields = world::fields([("content-type", "application/json".to_owned())]);
    let facts = world::facts(Backend::Generic, "/graphql", &fields);
    Box::new(move || {
        std::hint::black_box(Graphql::read(&facts, &fields, body.as_bytes()));
    })
}

/// Evaluates twenty rules about fields on a parsed document.
fn ruled(target: &str, document: String) -> Run {
    let fields = world::fields([("content-type", "application/json".to_owned())]);
    let mut facts = world::facts(Backend::Generic, target, &fields);
    let body = serde_json::json!({ "query": document }).to_string();
    facts.graphql = Some(Graphql::read(&facts, &fields, body.as_bytes()));
    assert!(matches!(facts.graphql, Some(Graphql::Operations(_))));
    let graphql = GraphqlMatching { fields: vec!["*y*z".into(), "*z".into()], ..GraphqlMatching::default() };
    let paths =
        vec![PathPattern::parse("/*/x/**").expect("a pattern"), PathPattern::parse("/*/**").expect("one")];
    let mut rule = world::rule(Matching { paths, graphql: Some(graphql), ..Matching::default() });
    rule.verdict =
        Verdict::Require(Box::new(Requirement { any_role: vec!["a".into()], ..Requirement::default() }));
    let authorizer = world::authorizer(Backend::Generic, vec![rule; 20]);
    let caller = world::caller("");
    Box::new(move || assert!(authorizer.decide(&facts, Route::Protected, Ok(caller.clone())).is_ok()))
}
