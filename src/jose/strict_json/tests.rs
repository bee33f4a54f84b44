//! What is accepted, and how it is read.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use serde_json::{Value, json};

use super::*;

fn object(text: &[u8]) -> Option<JsonObject> {
    JsonObject::parse(text)
}

fn copied(value: JsonValue<'_>) -> Value {
    match value {
        JsonValue::Null => Value::Null,
        JsonValue::Bool(value) => value.into(),
        JsonValue::Number(number) => number.clone().into(),
        JsonValue::String(text) => text.into(),
        JsonValue::Array(items) => items.iter().map(copied).collect(),
        JsonValue::Object(members) => {
            members.iter().map(|(name, value)| (name.to_owned(), copied(value))).collect()
        }
    }
}

#[test]
fn an_object_knows_how_many_members_it_has() {
    for (text, len) in [(r#"{}"#, 0), (r#"{"a":{"b":1,"c":2}}"#, 1)] {
        let object = object(text.as_bytes()).unwrap();
        assert_eq!((object.members().len(), object.members().is_empty()), (len, len == 0), "{text}");
    }
}

#[test]
fn objects_are_parsed_completely() {
    for text in [
        r#"{"a":1,"b":[true,null,"x",{"c":-1.5}],"d":{}}"#,
        r#"{"":"","A":[],"a b":[[],[[]],{}],"\u00e9":"\ud83d\ude00\n","n":[0,-0,-0.0,1e9,1.5e-3]}"#,
        r#" {"z":18446744073709551615,"y":-9223372036854775808,"x":18446744073709551616,"b":{"z":1,"a":{"q":2}}} "#,
        "{} ",
    ] {
        let expected: Value = serde_json::from_str(text).unwrap();
        let members = object(text.as_bytes()).unwrap();
        assert_eq!(copied(JsonValue::Object(members.members())), expected, "{text}");
        // A copy uses no more memory than it needs.
        let copy = members.clone();
        assert_eq!(copied(JsonValue::Object(copy.members())), expected, "{text}");
        for (copied, parsed) in copy.allocations().into_iter().zip(members.allocations()) {
            assert!(copied <= parsed, "{text}");
        }
    }
}

#[test]
fn all_that_an_object_keeps_is_counted() {
    // Two names and a text; three values, two names and the object itself; two members and one item.
    let copy = object(br#"{"a":["text"],"bc":1}"#).unwrap().clone();
    assert_eq!(copy.allocations(), ["atextbc".len(), 6 * size_of::<Node>(), 3 * size_of::<u32>()]);
}

#[test]
fn parsing_takes_little_more_memory_than_the_text() {
    for bytes in [1000, 100_000] {
        let parsed = object(json!({"a": "x".repeat(bytes)}).to_string().as_bytes()).unwrap();
        assert!(parsed.allocations().iter().sum::<usize>() < 4 * bytes, "{:?}", parsed.allocations());
    }
}

#[test]
fn members_are_found_by_their_exact_name() {
    let text = r#"{"sub":1,"Sub":2,"SUB":3,"su":4,"subs":5,"_":6,"in":{"b":1,"B":2}}"#;
    let members = object(text.as_bytes()).unwrap();
    for (name, expected) in [("sub", 1), ("Sub", 2), ("SUB", 3), ("su", 4), ("subs", 5), ("_", 6)] {
        assert_eq!(members.get(name).map(copied), Some(json!(expected)), "{name}");
    }
    for name in ["", "s", "sUb", "subst", "IN", "b"] {
        assert!(members.get(name).is_none(), "{name}");
    }
    let Some(JsonValue::Object(inner)) = members.get("in") else { panic!() };
    assert_eq!((inner.get("b").map(copied), inner.get("B").map(copied)), (Some(json!(1)), Some(json!(2))));
    assert!(inner.get("sub").is_none());
}

#[test]
fn members_are_found_ignoring_case() {
    let members = object(r#"{"isBot":1,"\u00c9":2,"a-b":3}"#.as_bytes()).unwrap();
    for (name, expected) in [("isBot", 1), ("ISBOT", 1), ("isbot", 1), ("\u{c9}", 2), ("A-B", 3)] {
        assert_eq!(members.get_ignoring_case(name).map(copied), Some(json!(expected)), "{name}");
    }
    // Only ASCII letters have a case.
    for name in ["\u{e9}", "is", "isBots", "a_b"] {
        assert!(members.get_ignoring_case(name).is_none(), "{name}");
    }
}

#[test]
fn debug_output_does_not_contain_the_members() {
    let members = object(br#"{"sub":"ada","list":["ada"],"object":{"ada":"ada"}}"#).unwrap();
    let values = ["list", "object"].map(|name| members.get(name));
    assert!(!format!("{members:?} {:?} {values:?}", members.members()).contains("ada"));
}

#[test]
fn duplicates_are_refused_at_any_depth() {
    for text in
        [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":2}"#, r#"{"x":{"a":1,"a":2}}"#, r#"{"x":[{"a":1,"a":2}]}"#]
    {
        assert!(object(text.as_bytes()).is_none(), "{text}");
    }
    assert!(object(br#"{"a":{"a":1},"b":{"a":1}}"#).is_some());
}

#[test]
fn only_one_object_in_utf8_is_accepted() {
    for text in [
        "",
        "null",
        "[]",
        "1",
        "\"a\"",
        "{}{}",
        "{} x",
        "{\"a\":1,}",
        "{'a':1}",
        "{\"a\":NaN}",
        "{\"a\":1e400}",
        "{\"a\":01}",
        "\u{feff}{}",
        r#"{"a":"\ud800"}"#,
    ] {
        assert!(object(text.as_bytes()).is_none(), "{text}");
    }
    assert!(object(b"{\"a\":\"\xff\"}").is_none());
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    assert!(object(nested(32).as_bytes()).is_some());
    assert!(object(nested(33).as_bytes()).is_none());
    assert!(object(nested(100_000).as_bytes()).is_none());
}

#[test]
fn names_that_differ_only_in_case_are_twins() {
    assert!(object(br#"{"sub":1,"Sub":2}"#).unwrap().has_case_twins());
    assert!(!object(br#"{"sub":1,"subs":2}"#).unwrap().has_case_twins());
}
