//! Parses `authorization.tests`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv4Addr};

use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use serde_json::{Map, Value};

use super::super::{RuleTest, TrustEntry, values};
use super::section::Section;
use crate::policy::Policy;

/// The maximum number of rules that one error names.
const NAMED_RULES: usize = 100;

/// Parses the tests. A test with an error is left out.
pub(super) fn rule_tests(root: &Section<'_>, policy: &Policy, trust: &[TrustEntry]) -> Vec<RuleTest> {
    let mut tests: Vec<RuleTest> = Vec::new();
    let mut names: HashMap<Box<str>, String> = HashMap::new();
    let rules = policy.rules.iter().enumerate().map(|(index, rule)| (&*rule.name, index));
    // If two rules have the same name, which is an error, the first one counts.
    let rules: HashMap<&str, usize> = rules.rev().collect();
    for (index, entry) in root.section("authorization").entries("tests").iter().enumerate() {
        let path = format!("{}[{index}]", root.section("authorization").path("tests"));
        let test = rule_test(entry, path, policy, &rules, trust);
        let Some(test) = test else { continue };
        match names.entry(test.name.clone()) {
            Entry::Occupied(before) => entry.error("name", format!("is the name of {} too", before.get())),
            Entry::Vacant(new) => drop(new.insert(test.path.clone())),
        }
        tests.push(test);
    }
    tests
}

fn rule_test(
    entry: &Section<'_>,
    path: String,
    policy: &Policy,
    rules: &HashMap<&str, usize>,
    trust: &[TrustEntry],
) -> Option<RuleTest> {
    for (name, help) in [
        ("name", "write what it shows: `name: bots cannot delete`"),
        ("request", "write `request: DELETE /api/v1/tables/x`"),
        ("expect", "write `expect: allow`, or the status of the refusal: `expect: 403`"),
    ] {
        if entry.text(name).is_none() {
            entry.missing(name, "is missing", help);
        }
    }
    let name = entry.text("name");
    let request = entry.read("request", values::request_line);
    let expect = entry.read("expect", values::expectation);
    let rule = match entry.text("rule") {
        Some(rule) => Some(rules.get(rule).copied().or_else(|| unknown_rule(entry, policy, rule))?),
        None => None,
    };
    let claims = entry.text("claims").map(object);
    let signer = signing_entry(entry, claims.as_ref(), trust);
    let fields = fields(entry);
    let source_ip = match entry.text("sourceIp") {
        Some(_) => entry.read("sourceIp", address)?,
        None => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let (method, target): (Method, Uri) = request?;
    Some(RuleTest {
        name: name?.into(),
        path,
        claims,
        entry: signer?,
        method,
        target,
        fields: fields?,
        body: entry.text("body").unwrap_or_default().as_bytes().into(),
        source_ip,
        expect: expect?,
        rule,
    })
}

/// The members of a value of the kind `Free`, whose text is a JSON object.
fn object(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_default()
}

/// Records the error that no rule has this name.
fn unknown_rule<T>(entry: &Section<'_>, policy: &Policy, name: &str) -> Option<T> {
    let names: Vec<_> = policy.rules.iter().take(NAMED_RULES).map(|rule| &*rule.name).collect();
    let more = match policy.rules.len() - names.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let help = format!("the rules are: {}{more}", names.join(", "));
    entry.error_with_help("rule", format!("no rule is named {}", values::quote(name)), help);
    None
}

/// The index of the entry whose key signs the token.
fn signing_entry(
    entry: &Section<'_>,
    claims: Option<&Map<String, Value>>,
    trust: &[TrustEntry],
) -> Option<usize> {
    let Some(name) = entry.text("issuer") else {
        let claimed = claims.and_then(|claims| claims.get("iss")).and_then(Value::as_str);
        let is_for = |entry: &TrustEntry| claimed.is_some_and(|claimed| entry.rules.binds(claimed));
        return Some(trust.iter().position(is_for).unwrap_or_default());
    };
    if claims.is_none() {
        entry.error("issuer", "has no effect without `claims`: the request has no token");
        return None;
    }
    let found = trust.iter().position(|candidate| *candidate.name == *name);
    // An entry with an error is not in `trust`.
    if found.is_none() && !entry.report.knows("authentication.issuers") {
        let names: Vec<_> = trust.iter().map(|entry| &*entry.name).collect();
        let help = format!("the entries are: {}", names.join(", "));
        entry.error_with_help("issuer", format!("no issuer entry is named {}", values::quote(name)), help);
    }
    found
}

fn fields(entry: &Section<'_>) -> Option<HeaderMap> {
    let mut fields = HeaderMap::new();
    let host = match entry.text("host") {
        Some(_) => entry.read("host", |text| field_value(text).map(|value| (HOST, value)))?,
        None => (HOST, HeaderValue::from_static("localhost")),
    };
    fields.insert(host.0, host.1);
    let given = entry.text("headers").map(object).unwrap_or_default();
    let typed = given.keys().any(|name| name.eq_ignore_ascii_case(CONTENT_TYPE.as_str()));
    if entry.text("body").is_some() && !typed {
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let mut fine = true;
    for (name, value) in &given {
        match field(name, value) {
            Ok((name, value)) => drop(fields.append(name, value)),
            Err(message) => {
                entry.error("headers", message);
                fine = false;
            }
        }
    }
    fine.then_some(fields)
}

fn field(name: &str, value: &Value) -> Result<(HeaderName, HeaderValue), String> {
    let known = values::header_name(name)?;
    // A credential does not belong in a file that many people can read.
    if known == AUTHORIZATION {
        return Err(
            "Authorization is made of `claims`; leave them out for a request without a token".to_owned()
        );
    }
    if known == HOST {
        return Err("write `host` for the request's Host".to_owned());
    }
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            return Err(format!("{} is not a single value", values::quote(name)));
        }
    };
    Ok((known, field_value(&text).map_err(|message| format!("{}: {message}", values::quote(name)))?))
}

fn field_value(text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text).map_err(|_| format!("{} is not a valid field value", values::quote(text)))
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("{} is not an IP address", values::quote(text)))
}
