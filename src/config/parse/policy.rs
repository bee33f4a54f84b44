//! Parses `authorization`: routes and rules.

use std::collections::{HashMap, HashSet};

use super::super::finding::FindingId;
use super::super::values;
use super::super::words::Word;
use super::section::Section;
use crate::backend::{Backend, BasePath};
use crate::claims::ClaimPath;
use crate::policy::{
    Effect, GraphqlMatching, Matching, Methods, Mode, PathPattern, Place, Policy, Requirement, Route,
    RoutePattern, RouteRow, RouteTable, RowSource, Rule, Unreadable, Verdict,
};
use crate::request::OperationKind;

/// Parses the policy: the backend's routes and `authorization`. `upstream_path` is the path that is put before every
/// request's path.
pub(super) fn policy(root: &Section<'_>, backend: Backend, upstream_path: &str) -> Policy {
    let section = root.section("authorization");
    let mode = section.word("mode");
    if mode == Mode::Report {
        let message = "nothing is refused, only logged and counted";
        section.report.warn(
            FindingId::ReportMode,
            "authorization.mode",
            message,
            "set `mode: enforce` once the log shows no surprises",
        );
    }
    Policy {
        mode,
        routes: preset(root, backend, upstream_path).with_first(configured_rows(&section)),
        rules: rules(&section).into(),
        default: section.word("default"),
        // Set by the callers, because they depend on other sections.
        reserved_actors: Vec::new(),
        impersonation: None,
        minted_issuer: None,
        token_endpoint: None,
        revocation_endpoint: None,
    }
}

/// The backend's own routes, under its base path.
fn preset(root: &Section<'_>, backend: Backend, upstream_path: &str) -> RouteTable {
    let mut base_path = String::new();
    // Base paths of other backends are also parsed, so that their errors are reported.
    for (other, BasePath { key: (section, key), .. }) in
        Backend::ALL.into_iter().filter_map(|other| Some((other, other.preset().base_path?)))
    {
        let read = root.section(section).need_value(key, values::base_path);
        if other == backend {
            base_path = read;
        }
    }
    let provider = root.section("authentication").text("provider");
    let place = Place { base_path: base_path.trim_end_matches('/'), provider, upstream_path };
    RouteTable::preset(backend, &place).unwrap_or_else(|error| {
        let (section, key) = backend.preset().base_path.map_or(("", "backend"), |base| base.key);
        root.section(section).error(key, error.to_string());
        RouteTable::default()
    })
}

/// The configured rows, optional ones first: if an optional and a public route match, the token is verified.
fn configured_rows(section: &Section<'_>) -> Vec<RouteRow> {
    let (public, optional) = (routes(section, "public"), routes(section, "optional"));
    let mut by_path: HashMap<&PathPattern, Vec<&RoutePattern>> = HashMap::new();
    for route in &public {
        by_path.entry(route.path()).or_default().push(route);
    }
    for route in &optional {
        let same = by_path.get(route.path()).map(Vec::as_slice).unwrap_or_default();
        if let Some(other) = same.iter().find(|other| other.methods().overlaps(route.methods())) {
            let message = format!("`{route}` is in authorization.public too (`{other}`)");
            let help = "on a public route a token is ignored, on an optional one it is verified: keep one";
            section.error_with_help("optional", message, help);
        }
    }
    let rows = |route, name: &str, patterns: Vec<RoutePattern>| {
        let origin = section.origin(name).map(|origin| origin.to_string().into());
        let source = RowSource::Configuration { key: section.path(name).into(), origin };
        let row = move |pattern| RouteRow { route, pattern, source: source.clone() };
        patterns.into_iter().map(row).collect::<Vec<_>>()
    };
    let mut rows_in_order = rows(Route::Optional, "optional", optional);
    rows_in_order.extend(rows(Route::Public, "public", public));
    rows_in_order
}

fn routes(section: &Section<'_>, name: &str) -> Vec<RoutePattern> {
    let routes = section.need_list(name, values::route);
    for route in &routes {
        if route.to_string().ends_with(" /**") || route.to_string() == "/**" {
            let message = match name {
                "public" => format!("`{route}` opens every path to everyone"),
                _ => format!("`{route}` lets requests without a token through on every path"),
            };
            section.report.warn(
                FindingId::OpenEverything,
                &section.path(name),
                message,
                "name the paths that need it",
            );
        }
    }
    routes
}

fn rules(section: &Section<'_>) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    let mut names = HashSet::new();
    for entry in section.entries("rules") {
        let rule = rule(&entry);
        if !rule.name.is_empty() && !names.insert(rule.name.clone()) {
            entry.error("name", format!("`{}` is the name of another rule too", rule.name));
        }
        rules.push(rule);
    }
    rules
}

fn rule(entry: &Section<'_>) -> Rule {
    if entry.text("name").is_none() {
        let help = "write `name: only-admins-delete`: the audit log and the metrics use it";
        entry.missing("name", "a rule needs a name", help);
    }
    let matching = entry.section("match");
    for name in ["methods", "paths", "hosts", "issuers"] {
        if matching.list(name, |_| Ok(())).is_some_and(|items| items.is_empty()) {
            matching.error_with_help(
                name,
                "is an empty list: nothing could match",
                "left out, it stands for all",
            );
        }
    }
    Rule {
        name: entry.read("name", values::name).unwrap_or_default(),
        matching: Matching {
            methods: methods(&matching),
            paths: matching.list("paths", values::path_pattern).unwrap_or_default(),
            hosts: matching.list("hosts", values::host).unwrap_or_default(),
            issuers: matching.texts("issuers"),
            query: query(&matching),
            graphql: graphql(&matching),
        },
        when: entry.read("when", values::expression),
        verdict: verdict(entry),
        mode: entry.read("mode", Mode::from_word).unwrap_or_default(),
    }
}

fn query(matching: &Section<'_>) -> Vec<(Box<str>, Vec<Box<str>>)> {
    let query = matching.text_lists("query");
    for (name, _) in query.iter().filter(|(_, values)| values.is_empty()) {
        matching.error("query", format!("`{name}` has an empty list of values: nothing could match"));
    }
    query.into_iter().map(|(name, values)| (name.into(), values)).collect()
}

fn graphql(matching: &Section<'_>) -> Option<GraphqlMatching> {
    if !matching.has("graphql") {
        return None;
    }
    let section = matching.section("graphql");
    let lists = ["operations", "fields"];
    for name in lists {
        if section.list(name, |text| Ok(text.to_owned())).is_some_and(|items| items.is_empty()) {
            section.error(name, "is an empty list: nothing could match");
        }
    }
    if !lists.iter().any(|name| section.is_given(name)) {
        let help = "write `operations: [mutation]`, `fields: [createAccessToken]` or both";
        section.missing("operations", "the rule does not say which operations it applies to", help);
    }
    Some(GraphqlMatching {
        operations: section.list("operations", OperationKind::from_word).unwrap_or_default(),
        fields: section.texts("fields"),
        unreadable: section.read("unreadable", Unreadable::from_word).unwrap_or_default(),
    })
}

fn methods(matching: &Section<'_>) -> Methods {
    let names = matching.list("methods", |text| Ok(text.to_owned())).unwrap_or_default();
    match Methods::from_names(names.iter().map(String::as_str)) {
        Ok(methods) => methods,
        Err(error) => {
            matching.error("methods", error.to_string());
            Methods::default()
        }
    }
}

fn verdict(entry: &Section<'_>) -> Verdict {
    let requires = requirement(&entry.section("require"));
    match (entry.read("action", Effect::from_word), requires) {
        (Some(Effect::Deny), None) => Verdict::Deny,
        (Some(Effect::Deny), Some(_)) => {
            entry.error("action", "`deny` refuses every request that matches, so `require` has no effect");
            Verdict::Deny
        }
        (Some(Effect::Allow), None) => Verdict::Allow,
        (_, Some(requirement)) => Verdict::Require(Box::new(requirement)),
        // Its action is invalid.
        (None, None) if entry.in_error("action") => Verdict::Deny,
        // Requires a verified token and `when`.
        (None, None) if entry.text("when").is_some() || entry.in_error("when") => {
            Verdict::Require(Box::default())
        }
        (None, None) => {
            // Otherwise a rule with a misspelled `require` would allow everything.
            entry.missing(
                "require",
                "the rule has no outcome",
                "add `require: {anyRole: [Admin]}`, `when` or `action: deny`",
            );
            Verdict::Deny
        }
    }
}

fn claim_path(section: &Section<'_>, text: &str) -> ClaimPath {
    values::claim_path(text).unwrap_or_else(|message| {
        section.error("claims", message);
        ClaimPath::new(text)
    })
}

/// The requirement; `None` if nothing is required.
fn requirement(section: &Section<'_>) -> Option<Requirement> {
    let names = [
        "anyRole",
        "allRoles",
        "anyScope",
        "allScopes",
        "tokenType",
        "principals",
        "issuers",
        "audiences",
        "sourceIps",
    ];
    for name in names {
        if section.list(name, |text| Ok(text.to_owned())).is_some_and(|items| items.is_empty()) {
            section.error(name, "is an empty list: either no request or every request would meet it");
        }
    }
    let claims = section.text_lists("claims");
    for (claim, _) in claims.iter().filter(|(_, values)| values.is_empty()) {
        section.error("claims", format!("`{claim}` has an empty list of values"));
    }
    let requirement = Requirement {
        any_role: section.texts("anyRole"),
        all_roles: section.texts("allRoles"),
        any_scope: section.texts("anyScope"),
        all_scopes: section.texts("allScopes"),
        token_types: section.texts("tokenType"),
        principals: section.texts("principals"),
        issuers: section.texts("issuers"),
        audiences: section.texts("audiences"),
        claims: claims.into_iter().map(|(claim, values)| (claim_path(section, claim), values)).collect(),
        source_ips: section.list("sourceIps", values::network).unwrap_or_default(),
    };
    let claims = !requirement.claims.is_empty();
    let given = names.iter().any(|name| section.is_given(name));
    (claims || given).then_some(requirement)
}
