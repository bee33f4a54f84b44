//! Parses `tokenHeaders`: the request fields that may hold the token.

use super::super::values;
use super::section::Section;
use crate::backend::Backend;
use crate::request::{TokenField, TokenFields, are_look_alikes};

const KEY: &str = "tokenHeaders";

/// Fields with another meaning in requests. In contrast to identity fields, `Authorization` and `Proxy-Authorization`
/// may hold a token.
const NOT_FOR_TOKENS: [&str; 25] = [
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "te",
    "traceparent",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-method",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-uri",
    "x-original-method",
    "x-original-uri",
    "x-original-url",
    "x-real-ip",
    "x-request-id",
];

/// The fields of `authentication.tokenHeaders`, by default only `Authorization`; and those of each element of `listen`, in
/// its order. `None` for one without any of its own, and an empty list if none has.
pub(super) fn all(
    root: &Section<'_>,
    backend: Backend,
    has_system_credential: bool,
) -> (TokenFields, Vec<Option<TokenFields>>) {
    let own = |section: &Section<'_>| own(root, section, backend, has_system_credential);
    let usual = own(&root.section("authentication")).unwrap_or_default();
    let of_listeners: Vec<_> = root.entries("listen").iter().map(own).collect();
    (usual, if of_listeners.iter().any(Option::is_some) { of_listeners } else { Vec::new() })
}

fn own(
    root: &Section<'_>,
    section: &Section<'_>,
    backend: Backend,
    has_system_credential: bool,
) -> Option<TokenFields> {
    if !section.has(KEY) {
        return None;
    }
    let entries = section.entries(KEY);
    if entries.is_empty() {
        section.error_with_help(
            KEY,
            "is an empty list: no request could carry a token",
            "leave the key out for [Authorization]",
        );
    }
    let mut fields: Vec<TokenField> = Vec::new();
    for entry in entries {
        let Some(field) = token_header(&entry) else { continue };
        if let Some(why) = other_meaning(root, backend, field.name()) {
            entry.error("name", format!("`{}` {why}", field.name()));
        } else if fields.iter().any(|before| are_look_alikes(before.name(), field.name())) {
            entry.error("name", format!("`{}` is in the list already", field.name()));
        } else {
            fields.push(field);
        }
    }
    Some(TokenFields::new(fields, has_system_credential))
}

fn token_header(entry: &Section<'_>) -> Option<TokenField> {
    if entry.text("name").is_none() {
        let help = "write `Authorization`, or `{name: X-Goog-IAP-JWT-Assertion}`";
        entry.missing("name", "a token header needs a name", help);
    }
    let name = entry.read("name", values::header_name);
    let padded = entry.read("padded", values::boolean).unwrap_or_default();
    let scheme = entry.read("scheme", scheme);
    let name = name?;
    let is_authorization = name == http::header::AUTHORIZATION;
    let scheme = match scheme {
        Some(scheme) if is_authorization && !scheme.eq_ignore_ascii_case("bearer") => {
            entry.error("scheme", "the scheme of Authorization is always Bearer");
            return None;
        }
        None if is_authorization => Some("Bearer".into()),
        scheme => scheme,
    };
    Some(TokenField::new(name, scheme, padded))
}

/// RFC 9110 section 11.1: a token.
fn scheme(text: &str) -> Result<Box<str>, String> {
    match http::Method::from_bytes(text.as_bytes()) {
        // A method is a token too.
        Ok(_) => Ok(text.into()),
        Err(_) => Err(format!("{} is not the name of a scheme, like Bearer", values::quote(text))),
    }
}

/// Why this name cannot be that of a token field.
fn other_meaning(root: &Section<'_>, backend: Backend, name: &str) -> Option<String> {
    let preset = backend.preset();
    let of_backend = preset.granted.all().chain(backend.actor_field().map(|actor| actor.name));
    if of_backend.chain(NOT_FOR_TOKENS).any(|other| are_look_alikes(other, name)) {
        return Some("already has another meaning".to_owned());
    }
    let identity = root.section("identity");
    let is_its_name = |key: &&&str| identity.text(key).is_some_and(|other| are_look_alikes(other, name));
    ["user", "email", "groups"].iter().find(is_its_name).map(|key| format!("is also identity.{key}"))
}
