//! OAuth scopes in a token: RFC 8693 section 4.2 (`scope`) and the `scp` of Okta and Entra ID.

use crate::jose::{JsonObject, JsonValue};

/// The scopes of a token, from `scope` or, if that is absent, `scp`. Each may be one
/// space-separated string or a list of strings. Any other type grants no scope.
pub(super) fn scopes(claims: &JsonObject) -> Vec<Box<str>> {
    match claims.get("scope").or_else(|| claims.get("scp")) {
        Some(JsonValue::String(list)) => list.split_ascii_whitespace().map(Into::into).collect(),
        Some(JsonValue::Array(items)) => items.iter().filter_map(JsonValue::as_str).map(Into::into).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Vec<Box<str>> {
        scopes(&JsonObject::parse(json.as_bytes()).unwrap())
    }

    #[test]
    fn either_claim_may_be_a_string_or_a_list() {
        for json in [
            r#"{"scope":"read write"}"#,
            r#"{"scp":"read  write"}"#,
            r#"{"scp":["read","write"]}"#,
            r#"{"scope":["read","write"],"scp":"admin"}"#,
        ] {
            assert_eq!(read(json), ["read", "write"].map(Box::<str>::from), "{json}");
        }
    }

    #[test]
    fn other_types_grant_nothing() {
        for json in [r#"{"scope":5}"#, r#"{"scp":{"a":1}}"#, r#"{"scope":[1,null]}"#, "{}"] {
            assert!(read(json).is_empty(), "{json}");
        }
    }
}
