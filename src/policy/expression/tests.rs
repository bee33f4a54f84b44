//! Expressions: which are accepted, their results, and their cost.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use serde_json::{Value as Json, json};

use super::*;
use crate::backend::Backend;
use crate::request::OperationKind;
use crate::test_support::{facts_of, fields, verified};

pub(super) fn evaluate(text: &str, claims: Json) -> Result<bool, Fault> {
    let expression = Expression::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let path = "/api/graphql?action=ingest&tag=a&tag=b%20c";
    let request = facts_of(Backend::Generic, "POST", path, &fields(&[])).unwrap();
    let token = verified(claims);
    let operation = GraphqlOperation {
        kind: OperationKind::Mutation,
        name: None,
        fields: vec!["createAccessToken".into(), "removeTag".into()],
    };
    let subject =
        Subject { request: &request, path: b"/api/graphql", token: Some(&token), graphql: Some(&operation) };
    expression.evaluate(&subject, &Budget::default())
}

#[test]
fn expressions_see_the_claims_the_request_and_the_token() {
    let claims = json!({
        "isBot": true,
        "email": "ada@a.example",
        "roles": ["Reader", "Editor"],
        "aud": ["metadata", "other"],
        "scope": "read write",
        "level": 7,
        "big": u64::MAX,
        "ratio": 0.5,
        "none": null,
        "realm_access": {"roles": ["a"]},
        "https://idp.example/groups": ["g1"],
    });
    for text in [
        "claims.isBot",
        "!(!claims.isBot)",
        "has(claims.isBot) && claims.isBot == true",
        "!has(claims.missing)",
        "!has(claims.realm_access.missing) && has(claims.realm_access.roles)",
        "\"isBot\" in claims && !(\"missing\" in claims)",
        "\"Reader\" in claims.roles",
        "claims.roles == [\"Reader\", \"Editor\"] && [\"Reader\", \"Editor\"] == claims.roles",
        "claims.roles.exists(role, role.startsWith(\"Ed\"))",
        "claims.roles.all(role, role.size() > 3)",
        "claims.roles.exists_one(role, role == \"Editor\")",
        "claims.roles.filter(role, role != \"Reader\") == [\"Editor\"]",
        "claims.roles.map(role, role.lowerAscii()) == [\"reader\", \"editor\"]",
        "claims.roles.exists(role, [\"Adm\", \"Edi\"].exists(start, role.startsWith(start)))",
        "claims[\"https://idp.example/groups\"][0] == \"g1\"",
        "claims.realm_access.roles[0] == \"a\" && claims.realm_access == {\"roles\": [\"a\"]}",
        "claims.level > 3 && claims.level == 7 && claims.level + 1 == 8",
        "claims.big == 18446744073709551615u && claims.ratio < 1.0 && claims.none == null",
        "type(claims.level) == int && type(claims.roles) == list",
        "claims.scope.split(\" \") == [\"read\", \"write\"]",
        "claims.sub.matches(\"^[a-z]+$\") || true",
        "request.method == \"POST\" && request.path == \"/api/graphql\"",
        "request.host == \"a.example\" && request.sourceIp == \"192.0.2.1\"",
        "request.query.action == [\"ingest\"] && request.query.tag[1] == \"b c\"",
        "!has(request.query.missing) && \"tag\" in request.query",
        "token.class == \"Bot\" || token.class == \"bot\" || token.class == \"User\" || token.class == \"user\"",
        "token.roles == [\"Reader\", \"Editor\"] && token.scopes == [\"read\", \"write\"]",
        "token.audiences == [\"metadata\", \"other\"]",
        "token.iss == \"https://idp.example\" && token.email == \"ada@a.example\"",
        "token.issuer.size() > 0 && token.principal.size() > 0",
        "graphql.operation == \"mutation\" && !has(graphql.name)",
        "graphql.fields.exists(field, field.startsWith(\"create\"))",
        "(claims.missing == 1) || true",
        "request.method in [\"POST\", \"PUT\"] ? true : false",
        "\"a.b\".contains(\".\") && \"a\".upperAscii() == \"A\" && \" a \".trim() == \"a\"",
    ] {
        assert_eq!(evaluate(text, claims.clone()), Ok(true), "{text}");
    }
}

#[test]
fn an_expression_without_a_boolean_result_is_a_fault() {
    for (text, expected) in [
        ("claims.missing", Fault::Missing),
        ("!claims.missing", Fault::Missing),
        ("claims.missing == 1", Fault::Missing),
        ("claims.roles.missing == 1", Fault::Type),
        ("claims[\"missing\"] == \"x\"", Fault::Missing),
        ("has(claims.missing.deeper)", Fault::Missing),
        ("request.query.missing == []", Fault::Missing),
        ("graphql.name == \"x\"", Fault::Missing),
        ("claims.text", Fault::NotBoolean),
        ("1 + 1", Fault::NotBoolean),
        ("dyn(null)", Fault::NotBoolean),
        ("!claims.text", Fault::Type),
        ("claims.text > 5", Fault::Type),
        ("claims.text + 1 == 2", Fault::Type),
        ("claims.text && true", Fault::Type),
        ("claims.roles[7] == \"a\"", Fault::Failed),
        ("1 / 0 == 1", Fault::Failed),
        ("9223372036854775807 + 1 > 0", Fault::Failed),
        ("int(claims.text) == 1", Fault::Failed),
    ] {
        let outcome = evaluate(text, json!({"text": "x", "roles": ["a"]}));
        assert_eq!(outcome, Err(expected), "{text}");
    }
}

#[test]
fn a_token_without_an_audience_has_an_empty_list() {
    for claims in [json!({}), json!({"aud": null})] {
        assert_eq!(evaluate("token.audiences == []", claims).ok(), Some(true));
    }
}

#[test]
fn a_claim_of_another_type_is_a_fault() {
    // Users of an issuer may be able to choose such a value, so it is never converted to a boolean.
    for isbot in [json!("false"), json!(0), json!(1), json!([]), json!({}), json!(null), json!("true")] {
        assert!(evaluate("!claims.isBot", json!({"isBot": isbot})).is_err(), "{isbot}");
        assert!(evaluate("claims.isBot", json!({"isBot": isbot})).is_err(), "{isbot}");
    }
}

#[test]
fn invalid_expressions_are_errors_with_one_line() {
    for (text, expected) in [
        ("", "is not a valid CEL expression"),
        ("[claims.isBot]", "is neither true nor false"),
        ("{\"a\": claims.isBot}", "is neither true nor false"),
        ("\"true\"", "is neither true nor false"),
        ("claims.", "is not a valid CEL expression"),
        ("claims.isBot &&", "is not a valid CEL expression"),
        ("claims.isBot = true", "is not a valid CEL expression"),
        ("true }", "is not a valid CEL expression"),
        ("\"unterminated", "is not a valid CEL expression"),
        ("claim.isBot", "`claim` is unknown"),
        ("isBot", "`isBot` is unknown"),
        (".claims.isBot", "is unknown"),
        ("request.pth == \"/\"", "`request.pth` is unknown; there are method, path"),
        ("request[\"pth\"] == \"/\"", "`request.pth` is unknown"),
        ("token.role == \"x\"", "`token.role` is unknown"),
        ("graphql.field == \"x\"", "`graphql.field` is unknown"),
        ("claims == {}", "`claims` is not a value"),
        ("size(claims) > 1", "`claims` is not a value"),
        ("claims.all(name, name != \"x\")", "`claims` is not a value"),
        ("claims[request.host] == 1", "must be named by a string"),
        ("now() > 1", "the function `now` is unknown"),
        ("claims.a.replace(\"\", \"x\") == \"\"", "the function `replace` is unknown"),
        ("claims.a.matches(claims.b)", "`matches` takes a regular expression in quotes"),
        ("claims.a.matches(\"(\")", "is not a valid regular expression"),
        ("claims.a.matches(\"(a{1000}){1000}\")", "is not a valid regular expression"),
        ("claims.a.exists(claims, claims == 1)", "is already defined"),
        ("[1].exists(a, [1].exists(b, [1].exists(c, true)))", "more than 2 loops"),
        ("claims.a.b{c: 1}", "creates a message"),
        ("@step", "is not a valid CEL expression"),
        ("claims.?a.orValue(true)", "is not a valid CEL expression"),
    ] {
        let error = Expression::parse(text).err().unwrap_or_else(|| panic!("{text} is accepted"));
        assert!(error.contains(expected), "{text}: {error}");
        assert!(!error.contains('\n'), "{text}: {error}");
    }
}

#[test]
fn size_and_depth_are_bounded() {
    for deep in ["(", "!", "-", "[", "{1:", "true?", "a.", "f(", "size(["] {
        for count in [40, 200, 600] {
            let text = deep.repeat(count);
            assert!(Expression::parse(&text).is_err(), "{deep}");
            let closed = format!("{text}1{}", ")".repeat(count));
            assert!(Expression::parse(&closed).is_err(), "{deep}");
        }
    }
    assert!(Expression::parse(&format!("true{}", " || true".repeat(100))).is_ok());
    let of_bytes = |bytes: usize| Expression::parse(&format!("true{}", " ".repeat(bytes - 4)));
    assert!(of_bytes(2048).is_ok() && of_bytes(2049).unwrap_err().contains("2048"));
    // The comparison and the lists are parts too.
    let of_parts = |parts: usize| Expression::parse(&format!("[{}] == []", "1,".repeat(parts - 3)));
    assert!(of_parts(1000).is_ok() && of_parts(1001).unwrap_err().contains("1000 parts"));
    // A compiled letter of any script takes about 60 KB.
    let of_letters = |count| Expression::parse(&format!("claims.a.matches(\"\\\\w{{{count}}}\")"));
    assert!(of_letters(2).is_ok() && of_letters(8).unwrap_err().contains("not a valid regular expression"));
}

#[test]
fn an_expression_without_a_token_sees_no_claims() {
    let request = facts_of(Backend::Generic, "GET", "/x", &fields(&[])).unwrap();
    let subject = Subject { request: &request, path: b"/x", token: None, graphql: None };
    for (text, expected) in [
        ("request.path == \"/x\"", Ok(true)),
        ("has(claims.isBot) || has(token.principal) || has(graphql.operation)", Ok(false)),
        ("claims.isBot", Err(Fault::Missing)),
        ("token.class == \"x\"", Err(Fault::Missing)),
        ("graphql.operation == \"query\"", Err(Fault::Missing)),
    ] {
        let expression = Expression::parse(text).unwrap();
        assert_eq!(expression.evaluate(&subject, &Budget::default()), expected, "{text}");
    }
}

#[test]
fn a_query_that_cannot_be_decoded_is_missing() {
    let request = facts_of(Backend::Generic, "GET", "/x?a=%zz&b=1", &fields(&[])).unwrap();
    let subject = Subject { request: &request, path: b"/x", token: None, graphql: None };
    let expression = Expression::parse("\"b\" in request.query").unwrap();
    assert_eq!(expression.evaluate(&subject, &Budget::default()), Err(Fault::Missing));
}

#[test]
fn asks_graphql_if_the_expression_reads_graphql() {
    for (text, expected) in [
        ("graphql.operation == \"query\"", true),
        ("has(graphql.fields)", true),
        ("graphql[\"fields\"] == []", true),
        ("\"fields\" in graphql", true),
        ("claims.graphql == 1", false),
        ("\"graphql\" in claims", false),
    ] {
        assert_eq!(Expression::parse(text).unwrap().asks_graphql(), expected, "{text}");
    }
}

#[test]
fn index_of_counts_characters() {
    for (call, expected) in [
        ("\"hello mellow\".indexOf(\"\")", Some(0)),
        ("\"hello mellow\".indexOf(\"ello\")", Some(1)),
        ("\"hello mellow\".indexOf(\"ello\", 2)", Some(7)),
        ("\"hello mellow\".indexOf(\"jello\")", Some(-1)),
        ("\"hello mellow\".indexOf(\"\", 2)", Some(2)),
        ("\"ta\u{a9}o\u{a9}xT\".indexOf(\"\u{a9}\", 3)", Some(4)),
        ("\"ta\u{a9}o\u{a9}xT\".indexOf(\"\u{a9}x\", 5)", Some(-1)),
        ("\"abc\".indexOf(\"abcd\")", Some(-1)),
        ("\"abc\".indexOf(\"\", 3)", Some(3)),
        ("\"abc\".indexOf(\"\", 20)", Some(3)),
        ("\"\".indexOf(\"\")", Some(0)),
        ("\"\".indexOf(\"a\")", Some(-1)),
        ("\"abc\".indexOf(\"a\", 3)", None),
        ("\"abc\".indexOf(\"a\", -1)", None),
        ("\"abc\".indexOf(\"\", -1)", None),
        ("\"\".indexOf(\"a\", 0)", None),
    ] {
        let answer = evaluate(&format!("{call} == {}", expected.unwrap_or(0)), json!({}));
        assert_eq!(answer, expected.map(|_| true).ok_or(Fault::Failed), "{call}");
    }
    for call in ["claims.a.indexOf(\"a\")", "\"a\".indexOf(claims.a)", "\"a\".indexOf(\"a\", \"0\")"] {
        assert_eq!(evaluate(&format!("{call} == 0"), json!({"a": 1})), Err(Fault::Type), "{call}");
    }
}
