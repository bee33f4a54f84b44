//! The error for an unknown key, with the key that was probably meant.

use super::{Key, Node, Value, settings, shown};
use crate::config::error::{ConfigError, Origin};
use crate::config::words::nearest;

/// Names that other programs and documents use, each with the section where it may be meant and what is written here.
const OTHER_NAMES: &[(&[&str], &str, &str)] = &[
    (
        &["jwksUri", "jwksUrl", "jwks_uri", "jwksURI", "jwks_url", "jwkSetUri", "keysUrl", "jwks"],
        "authentication.issuers[]",
        "publicKeyUrls: [<URL>]",
    ),
    (
        &["jwksUri", "jwksUrl", "jwks_uri", "jwksURI", "jwks_url", "jwkSetUri", "keysUrl"],
        "authentication",
        "publicKeyUrls: [<URL>]",
    ),
    (&["iss", "issuerUrl", "authority", "issuerUri"], "authentication.issuers[]", "issuer: <iss>"),
    (
        &["aud", "clientId", "client_id", "clientID", "clientIds", "audience"],
        "authentication.issuers[]",
        "audiences: [<client ID>]",
    ),
    (
        &["aud", "clientId", "client_id", "clientID", "audience", "issuer", "authority"],
        "authentication",
        "issuers: [{name: <name>, issuer: <iss>, audiences: [<client ID>]}]",
    ),
    (
        &["discoveryUri", "discoveryUrl", "wellKnown"],
        "authentication.issuers[]",
        "issuer: <iss> (keys are discovered)",
    ),
    (&["secret", "signingKey", "key"], "authentication.issuers[]", "sharedSecret, or sharedSecretFile"),
    (&["role", "roles", "anyRoles", "groups"], "authorization.rules[].require", "anyRole: [<role>]"),
    (&["scope", "scopes", "anyScopes"], "authorization.rules[].require", "anyScope: [<scope>]"),
    (&["user", "users", "sub", "principal"], "authorization.rules[].require", "principals: [<name>]"),
    (&["ip", "ips", "sourceIp", "cidr"], "authorization.rules[].require", "sourceIps: [<network>]"),
    (&["claim"], "authorization.rules[].require", "claims: {<claim>: [<value>]}"),
    (
        &["path", "url", "uri", "paths", "methods", "method"],
        "authorization.rules[]",
        "match: {methods: [<METHOD>], paths: [<path>]}",
    ),
    (&["role", "roles", "anyRole", "allRoles"], "authorization.rules[]", "require: {anyRole: [<role>]}"),
    (
        &["effect", "decision", "policy", "allow", "deny"],
        "authorization.rules[]",
        "action: allow, or action: deny",
    ),
    (&["condition", "if", "expression", "cel"], "authorization.rules[]", "when: <expression>"),
    (&["url", "uri", "prefix"], "authorization.rules[].match", "paths: [<path>]"),
    (&["verb", "verbs"], "authorization.rules[].match", "methods: [<METHOD>]"),
    (&["timeout", "readTimeout"], "upstream", "responseTimeout: 300s"),
    (&["host", "address", "target", "port"], "upstream", "url: http://<host>:<port>"),
    (&["cert", "certificate", "crt", "certPath"], "tls", "certFile: <path>"),
    (&["key", "privateKey", "keyPath"], "tls", "keyFile: <path>"),
    (&["ca", "caFile", "clientCa"], "tls", "clientCaFile: <path>"),
    (&["port", "address", "bind", "host"], "", "listen: 0.0.0.0:8685"),
    (&["server", "http"], "", "listen: 0.0.0.0:8685"),
    (&["logging", "logLevel", "loglevel"], "", "log: {level: info}"),
    (
        &["issuers", "jwks", "publicKeyUrls", "publicKeys", "audiences", "auth"],
        "",
        "authentication: {issuers: [...]}",
    ),
    (&["rules", "routes", "public", "policies"], "", "authorization: {rules: [...], public: [...]}"),
    (&["upstreams", "backends", "proxy", "target"], "", "upstream: {url: http://<host>:<port>}"),
];

/// The error for a key `name` in the section `schema` of the table.
pub(super) fn error(path: &str, schema: &str, name: &str, origin: Option<Origin>) -> ConfigError {
    let error = |message| ConfigError::new(settings::join(path, &shown(name)), origin, message);
    let known = settings::children(schema);
    let other = OTHER_NAMES.iter().find(|(names, section, _)| *section == schema && names.contains(&name));
    if let Some((.., here)) = other {
        return error(format!("unknown key; write `{here}`"));
    }
    if name == "<<" {
        return error("merge keys are not supported".to_owned()).help("write the keys out");
    }
    if name.contains(':') {
        return error("unknown key".to_owned()).help("write a space after the colon of a key");
    }
    if !schema.is_empty() && !name.is_empty() && settings::is_section(name) {
        return error(format!(
            "unknown key; `{name}` is a section of the top level: write it without indentation"
        ));
    }
    let exact = settings::find(name).map(|key| key.path);
    let near = || nearest(name, known.iter().copied());
    // A known name in the wrong place.
    let elsewhere = || {
        let ends = |key: &&Key| key.path.strip_suffix(name).is_some_and(|before| before.ends_with('.'));
        let plain = settings::KEYS.iter().filter(ends).min_by_key(|key| key.path.contains("[]"));
        plain.map(|key| key.path)
    };
    if let Some(near) = exact.or_else(near).or_else(elsewhere) {
        return error(format!("unknown key; did you mean `{near}`?"));
    }
    error("unknown key".to_owned()).help(format!("known here: {}", known.join(", ")))
}

/// Advice about a section that is written as something else.
pub(super) fn help_for_section(path: &str, node: &Node) -> Option<String> {
    let Value::Scalar { text, quoted: false } = &node.value else {
        return matches!(node.value, Value::List(_)).then(|| "leave the `- ` out".to_owned());
    };
    let names = settings::children(path);
    let has_key = |name: &&str| text.strip_prefix(name).is_some_and(|rest| rest.starts_with(':'));
    if names.iter().any(has_key) {
        return Some("write a space after the colon of a key".to_owned());
    }
    names.contains(&"url").then(|| format!("write the URL as {path}.url"))
}
