//! GraphQL requests and the operations in them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use serde_json::json;

use super::*;
use crate::backend::Backend;
use crate::test_support::{facts_of, fields};

const JSON: (&str, &str) = ("content-type", "application/json");

fn read(target: &str, lines: &[(&str, &str)], body: impl AsRef<[u8]>) -> Graphql {
    let headers = fields(lines);
    let facts = facts_of(Backend::Generic, "POST", target, &headers).unwrap();
    Graphql::read(&facts, &headers, body.as_ref())
}

/// `kind field field` for every operation.
fn summary(graphql: &Graphql) -> Vec<String> {
    match graphql {
        Graphql::Operations(operations) => {
            operations.iter().map(|one| format!("{} {}", one.kind.as_str(), one.fields.join(" "))).collect()
        }
        Graphql::Unreadable(why) => vec![format!("unreadable {why}")],
    }
}

fn summary_of(document: &str) -> Vec<String> {
    summary(&read("/api/graphql", &[JSON], json!({"query": document, "variables": {"a": 1}}).to_string()))
}

#[test]
fn operations_and_their_fields_are_listed() {
    for (document, expected) in [
        ("{ me { corpUser { urn } } }", "query me"),
        ("query me { me { urn } }", "query me"),
        (
            "mutation { createAccessToken(input: {type: PERSONAL}) { accessToken } }",
            "mutation createAccessToken",
        ),
        ("mutation M($i: I!) @live { removeTag(input: $i) addTag(input: $i) }", "mutation removeTag addTag"),
        ("subscription { changes { id } }", "subscription changes"),
        // The name of the field counts, not its alias.
        ("mutation { me: createAccessToken(input: 1) { a } }", "mutation createAccessToken"),
        ("mutation { a: removeTag b: removeTag }", "mutation removeTag"),
        ("{ __typename }", "query __typename"),
        ("{ __schema { types { name } } }", "query __schema"),
        ("{ a @skip(if: true) b @include(if: false) }", "query a b"),
        ("mutation { ...F } fragment F on Mutation { removeTag }", "mutation removeTag"),
        ("mutation { a ... on Mutation { b ... { c } } }", "mutation a b c"),
        ("mutation { ...A } fragment A on M { x ...B } fragment B on M { y ...A }", "mutation x y"),
        ("{ a } # } mutation { b }", "query a"),
        ("{ a # \r b }", "query a b"),
        ("{ a(x: \"} mutation { b\") }", "query a"),
        ("{ a(x: \"\"\"} b \\\"\"\" } c\"\"\") d }", "query a d"),
        ("{ a(x: \"\\\"\") b }", "query a b"),
        ("{,a,,b}", "query a b"),
        // Keywords are also valid names.
        ("{ query mutation fragment on }", "query query mutation fragment on"),
    ] {
        assert_eq!(summary_of(document), [expected], "{document}");
    }
}

#[test]
fn invalid_documents_are_unreadable() {
    let deep = format!("{}a{}", "{ a ".repeat(500), "}".repeat(500));
    let values = format!("{{ a(x: {}1{}) }}", "[".repeat(5000), "]".repeat(5000));
    let many = format!("{{ {} }}", (0..200).map(|n| format!("f{n} ")).collect::<String>());
    let operations = (0..100).map(|n| format!("query q{n} {{ a }} ")).collect::<String>();
    for document in [
        "",
        " ",
        "{",
        "{}",
        "mutation",
        "mutation {}",
        "{ a } }",
        "{ a(x: \"unterminated) }",
        "{ a(x: \"\"\"unterminated\"\") }",
        "{ ...F }",
        "{ ...F } fragment F on Q { ...F }",
        "{ ...F } fragment F on Q { a } fragment F on Q { b }",
        "fragment F on Q { a }",
        "type A { b: C }",
        "{ a } type A { b: C }",
        "schema { query: Q }",
        "Mutation { a }",
        "query { a } b",
        "{ a # \u{2028} b }",
        "{ a # \u{85} b }",
        "\u{feff}{ a }",
        "{ a \u{0} }",
        "{ a \u{b} b }",
        "\u{ff5b} a }",
        &deep,
        &values,
        &many,
        &operations,
    ] {
        let summary = summary_of(document);
        assert!(summary[0].starts_with("unreadable graphql: "), "{document:.60}: {summary:?}");
    }
}

#[test]
fn operation_name_selects_among_operations() {
    let document = "query q { a } mutation m { b } mutation n { c }";
    let of = |name: serde_json::Value| {
        summary(&read("/", &[JSON], json!({"query": document, "operationName": name}).to_string()))
    };
    assert_eq!(of(json!("q")), ["query a"]);
    assert_eq!(of(json!("m")), ["mutation b"]);
    // If no operation has the name, a server may execute any of them, or none.
    for name in [json!(null), json!(""), json!("other"), json!("Q")] {
        assert_eq!(of(name), ["query a", "mutation b", "mutation c"]);
    }
    assert!(of(json!(5))[0].starts_with("unreadable"));
    let twice = json!({"query": "query q { a } mutation q { b }", "operationName": "q"}).to_string();
    assert_eq!(summary(&read("/", &[JSON], twice)), ["query a", "mutation b"]);
}

#[test]
fn operations_of_every_batch_member_are_listed() {
    let full = json!(vec![json!({"query": "{ a }"}); MAX_OPERATIONS]).to_string();
    assert_eq!(summary(&read("/", &[JSON], full)), vec!["query a"; MAX_OPERATIONS]);
    let batch = json!([{"query": "{ a }"}, {"query": "mutation { b }"}]).to_string();
    assert_eq!(summary(&read("/", &[JSON], batch)), ["query a", "mutation b"]);
    for batch in [
        json!([]),
        json!([{"query": "{ a }"}, {}]),
        json!([{"query": "{ a }"}, 5]),
        json!([[{"query": "{ a }"}]]),
        // The values of a request without the member names.
        json!([["{ a }", null, null, null, null, null]]),
        json!(["{ a }", null, null, null, null, null]),
        json!([{"query": "{ a }"}, {"query": "{"}]),
        json!(vec![json!({"query": "{ a }"}); MAX_OPERATIONS + 1]),
    ] {
        assert!(summary(&read("/", &[JSON], batch.to_string()))[0].starts_with("unreadable"), "{batch}");
    }
}

#[test]
fn ambiguous_body_is_unreadable() {
    for body in [
        r#"{"query": "{ a }", "query": "mutation { b }"}"#,
        r#"{"query": "{ a }", "qu\u0065ry": "mutation { b }"}"#,
        r#"{"query": "{ a }", "operationName": "a", "operationName": "b"}"#,
        r#"{"query": "{ a }"} {"query": "mutation { b }"}"#,
        r#"{"query": "{ a }"}]"#,
        r#"{"query": "{ a }", "id": "x"}"#,
        r#"{"query": "{ a }", "documentId": "x"}"#,
        r#"{"query": "{ a }", "doc_id": 7}"#,
        r#"{"query": ["{ a }"]}"#,
        r#"{"query": {"a": 1}}"#,
        r#"{"query": null}"#,
        r#"{"variables": {}}"#,
        r#"{"documentId": "x"}"#,
        r#"{"id": "x"}"#,
        r#"{"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "x"}}}"#,
        r#"{"query": "", "extensions": {"persistedQuery": {}}}"#,
        r#"{"query": "{ a }", "extensions": {"persistedQuery": {"version": 1, "sha256Hash": "x"}}}"#,
        r#""{ a }""#,
        "{ a }",
        "query={ a }",
        "null",
        "5",
        "\u{feff}{\"query\": \"{ a }\"}",
        "{\"query\": \"{ a }\",}",
        "{'query': '{ a }'}",
        "// x\n{\"query\": \"{ a }\"}",
    ] {
        assert!(summary(&read("/", &[JSON], body))[0].starts_with("unreadable"), "{body}");
    }
    let utf16: Vec<u8> = r#"{"query": "{ a }"}"#.encode_utf16().flat_map(u16::to_be_bytes).collect();
    assert!(summary(&read("/", &[JSON], utf16))[0].starts_with("unreadable"));
    assert!(summary(&read("/", &[JSON], b"{\"query\": \"{ a\xff }\"}"))[0].starts_with("unreadable"));
    // Members that servers ignore may have any value.
    let extra = r#"{"query": "{ a }", "extra": 1, "extra": [[[]]], "extensions": {"tracing": true, "persistedQuery": null}, "id": null}"#;
    assert_eq!(summary(&read("/", &[JSON], extra)), ["query a"]);
}

#[test]
fn content_type_selects_the_parser() {
    let body = r#"{"query": "{ a }"}"#;
    for content_type in [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=\"UTF-8\"",
        "application/json;",
    ] {
        assert_eq!(
            summary(&read("/", &[("content-type", content_type)], body)),
            ["query a"],
            "{content_type}"
        );
    }
    let text = "mutation { b }";
    assert_eq!(summary(&read("/", &[("content-type", "application/graphql")], text)), ["mutation b"]);
    let other = ("content-type", "application/graphql; charset=utf-16");
    assert!(summary(&read("/", &[other], text))[0].starts_with("unreadable"));
    assert!(
        summary(&read("/", &[("content-type", "application/graphql")], body))[0].starts_with("unreadable")
    );
    for lines in [
        &[][..],
        &[("content-type", "text/plain")],
        &[("content-type", "application/x-www-form-urlencoded")],
        &[("content-type", "multipart/form-data; boundary=x")],
        &[("content-type", "application/json; charset=utf-16")],
        &[("content-type", "application/json; charset=iso-8859-1")],
        &[("content-type", "application/json; x")],
        &[("content-type", "application/json, text/plain")],
        &[JSON, JSON],
        &[JSON, ("content-encoding", "gzip")],
        &[JSON, ("content-encoding", "identity"), ("content-encoding", "br")],
    ] {
        assert!(summary(&read("/", lines, body))[0].starts_with("unreadable"), "{lines:?}");
    }
    assert_eq!(summary(&read("/", &[JSON, ("content-encoding", "identity")], body)), ["query a"]);
}

#[test]
fn query_string_is_read_without_a_body() {
    for (target, expected) in [
        ("/?query=%7B%20a%20%7D", "query a"),
        ("/?query=mutation%7Bb%7D&variables=%7B%7D", "mutation b"),
        ("/?query=query+q%7Ba%7D+mutation+m%7Bb%7D&operationName=m", "mutation b"),
        ("/?qu%65ry=mutation%7Bb%7D", "mutation b"),
        ("/?query=%7Ba%7D&extensions=%7B%22tracing%22%3Atrue%7D", "query a"),
    ] {
        assert_eq!(summary(&read(target, &[], "")), [expected], "{target}");
    }
    for target in [
        "/",
        "/?",
        "/?query=",
        "/?query=%7Ba%7D&query=mutation%7Bb%7D",
        "/?query=%7Ba%7D&qu%65ry=mutation%7Bb%7D",
        "/?query=%7Ba%7D;query=mutation%7Bb%7D",
        "/?query=%7Ba%7D%zz",
        "/?query=%7Ba%7D%ff",
        "/?id=5",
        "/?query=%7Ba%7D&documentId=5",
        "/?extensions=%7B%22persistedQuery%22%3A%7B%7D%7D",
    ] {
        assert!(summary(&read(target, &[], ""))[0].starts_with("unreadable"), "{target}");
    }
    // Some servers read the query string, some the body.
    for target in ["/?query=%7Bz%7D", "/?operationName=m", "/?id=1", "/?a=1;query=%7Bz%7D", "/?a=%zz"] {
        let summary = summary(&read(target, &[JSON], r#"{"query": "{ a }"}"#));
        assert!(summary[0].starts_with("unreadable"), "{target}");
    }
    assert_eq!(summary(&read("/?x=1", &[JSON], r#"{"query": "{ a }"}"#)), ["query a"]);
}

#[test]
fn requests_of_real_clients_are_read() {
    // As acryl-datahub sends it.
    let recorded = "{\"query\": \"query me { me { corpUser { urn } } }\"}";
    assert_eq!(summary(&read("/api/graphql", &[JSON], recorded)), ["query me"]);
    let long = format!(
        "query search {{ searchAcrossEntities(input: $input) {{ {} }} }}",
        "field { urn type } ".repeat(1500)
    );
    assert_eq!(summary_of(&long), ["query searchAcrossEntities"]);
}

/// A document of `operations` over one fragment that spreads `fragments` others.
fn shared(operations: usize, fragments: usize) -> String {
    let mut document: String = (0..operations).map(|n| format!("query q{n}{{...A}}")).collect();
    document.push_str("fragment A on Q{");
    document.extend((0..fragments).map(|n| format!("...f{n} ")));
    document.push('}');
    document.extend((0..fragments).map(|n| format!("fragment f{n} on Q{{a}}")));
    document
}

#[test]
fn visits_of_shared_fragments_have_one_budget() {
    assert_eq!(summary_of(&shared(20, 1000)), vec!["query a"; 20]);
    assert_eq!(summary_of(&shared(1, 2050)), ["query a"], "each fragment may be visited once");
    let summary = summary_of(&shared(63, 2050));
    assert_eq!(summary, ["unreadable graphql: too many operations share fragments"]);
    // The first visit of each selection is free: 49 operations make 100,107 visits of 2,139 selections, 50 make 102,150.
    assert_eq!(summary_of(&shared(49, 680)), vec!["query a"; 49]);
    assert_eq!(summary_of(&shared(50, 680)), summary);
    // So do all members of a batch together.
    let member = json!({"query": shared(8, 1000)});
    assert_eq!(summary_of_batch(&[&member]), vec!["query a"; 8]);
    let summary = summary_of_batch(&[&member; 8]);
    assert_eq!(summary, ["unreadable graphql: too many operations share fragments"]);
}

fn summary_of_batch(members: &[&serde_json::Value]) -> Vec<String> {
    summary(&read("/", &[JSON], json!(members).to_string()))
}

#[test]
fn field_order_is_deterministic() {
    for (document, expected) in [
        // Directly selected fields come first, then those of fragments, the last fragment first.
        ("{ ...A b ...C } fragment A on Q { a } fragment C on Q { c }", "query b c a"),
        (
            "{ ...A ...C } fragment A on Q { a } fragment B on Q { b } fragment C on Q { c ...A ...B }",
            "query c b a",
        ),
        ("{ ... { a } b ... { c ... { d } } }", "query b c d a"),
        ("{ ...A ...A a } fragment A on Q { a ...B } fragment B on Q { ...A b ...B }", "query a b"),
    ] {
        assert_eq!(summary_of(document), [expected], "{document}");
    }
    let twice =
        "query q { ...A x } mutation m { ...A } fragment A on Q { a ...B } fragment B on Q { b ...A }";
    assert_eq!(summary_of(twice), ["query x a b", "mutation a b"]);
}

#[test]
fn shared_fields_are_listed_for_each_operation() {
    let names = |count: usize| (0..count).map(|n| format!("f{} ", n % 128)).collect::<String>();
    let operations: String = (0..60).map(|n| format!("query q{n} {{ ...A }} ")).collect();
    let summary = summary_of(&format!("{operations} fragment A on Q {{ {} }}", names(9000)));
    assert_eq!(summary.len(), 60);
    let one = summary.first().unwrap();
    assert_eq!(one.split(' ').count(), 129, "each field once: {one}");
    assert!(summary.iter().all(|other| other == one));
}
