//! Warns about rules that do not refuse what they seem to refuse.

use std::collections::HashMap;

use super::super::counters::{CounterNames, MAX_PREPARED_COUNTERS};
use super::super::finding::FindingId;
use super::section::Section;
use crate::backend::{Backend, BasePath};
use crate::policy::{
    Methods, Mode, PathPattern, Policy, Route, RoutePattern, RouteRow, Rule, Verdict, shadows,
};

/// The maximum number of routes that one warning names.
const NAMED_ROUTES: usize = 3;

/// Warns about rules that never decide, or that do not apply to some of their requests.
pub(super) fn warn(root: &Section<'_>, backend: Backend, policy: &Policy) {
    let section = root.section("authorization");
    let entries = section.entries("rules");
    let shadows = shadows(&policy.rules, decides);
    // Many rules have the same methods and paths.
    let mut open_routes: HashMap<(&Methods, &[PathPattern]), OpenRoutes> = HashMap::new();
    for ((rule, entry), shadow) in policy.rules.iter().zip(&entries).zip(shadows) {
        warn_of_report_mode(entry, rule);
        if let Some(before) = shadow.and_then(|shadow| policy.rules.get(shadow)) {
            warn_of_shadow(entry, rule, before);
        }
        warn_of_paths(root, backend, entry, rule);
        // A rule about every path does not target routes in particular.
        if !rule.matching.paths.is_empty() {
            let key = (&rule.matching.methods, rule.matching.paths.as_slice());
            let routes = open_routes.entry(key).or_insert_with(|| OpenRoutes::of(policy, rule));
            warn_of_open_routes(entry, rule, routes);
        }
    }
}

/// Warns if not all counters are created in advance.
pub(super) fn warn_of_counters(root: &Section<'_>, issuers: usize, policy: &Policy) {
    let names = CounterNames::of(issuers, policy);
    let most = names.requests().max(names.would_deny());
    if most > MAX_PREPARED_COUNTERS {
        let message = format!(
            "issuer entries and rules have {most} counters, and {MAX_PREPARED_COUNTERS} of them are created in advance"
        );
        let help = "alerts with increase() or rate() miss the first event of the others; fewer rules, with more paths \
                    in each, need fewer counters";
        root.report.warn(FindingId::CountersMissing, "authorization.rules", message, help);
    }
}

fn warn_of_report_mode(entry: &Section<'_>, rule: &Rule) {
    if rule.mode == Mode::Report {
        let message = format!("what `{}` would refuse is forwarded, only logged and counted", rule.name);
        let help = "set `mode: enforce` once `metagate report` shows no client that would break";
        entry.report.warn(FindingId::ReportMode, &entry.path("mode"), message, help);
    }
}

/// Whether no rule after this one decides about its requests. Rules in report mode decide nothing, and neither do those
/// whose action depends on `when`.
fn decides(rule: &Rule) -> bool {
    let always = rule.when.is_none() || matches!(rule.verdict, Verdict::Require(_));
    rule.mode == Mode::Enforce && always
}

/// Warns about a rule that never decides, because the earlier rule `before` matches all of its requests.
fn warn_of_shadow(entry: &Section<'_>, rule: &Rule, before: &Rule) {
    let message =
        format!("`{}` never decides: `{}` matches all of its requests first", rule.name, before.name);
    let help = format!("put it before `{}`, or take it out", before.name);
    entry.report.warn(FindingId::RuleNeverDecides, &entry.path("match"), message, help);
}

/// Warns about patterns that match no request, or not the intended ones.
fn warn_of_paths(root: &Section<'_>, backend: Backend, entry: &Section<'_>, rule: &Rule) {
    let base_path = backend.preset().base_path;
    let base = base_path.map_or("/", |base| root.section(base.key.0).need_text(base.key.1));
    let base = base.trim_end_matches('/');
    let within = |place: &str, path: &PathPattern| {
        PathPattern::parse(&format!("{base}{place}/**")).is_ok_and(|place| place.overlaps(path))
    };
    let warn = |message: String, help: String| {
        entry.report.warn(FindingId::RulePath, &entry.section("match").path("paths"), message, help);
    };
    for path in &rule.matching.paths {
        let text = path.to_string();
        if text.contains("//") || (text.len() > 1 && text.ends_with('/')) {
            // A pattern without the empty segment also matches paths with it, but not the other way round.
            let merged: Vec<_> = text.split('/').filter(|segment| !segment.is_empty()).collect();
            let help = format!("write `/{}`, which has that spelling too", merged.join("/"));
            warn(format!("`{path}` matches only where the path has the empty segment too"), help);
        }
        let Some(BasePath { key: (section, key), api, documented_api }) = base_path else { continue };
        // Rules apply to the path as the client sends it, including the base path.
        if !within("", path) {
            let message = format!("`{path}` matches nothing that is served: {section}.{key} is {base}");
            warn(message, format!("write `{base}{path}`"));
        } else if within(documented_api, path) && !within(api, path) {
            // The documentation of the backend writes it like this.
            let below = text.strip_prefix(base).unwrap_or(&text);
            let owner = backend.preset().product.map_or("the backend", |product| product.name);
            let message =
                format!("`{path}` matches nothing that is served: {owner}'s API is below {base}{api}");
            warn(message, format!("write `{base}{api}{below}`"));
        }
    }
}

/// The public and optional routes in a rule's paths, as text. On a public route no rule is evaluated, on an optional
/// route none without a token.
struct OpenRoutes {
    public: Option<String>,
    optional: Option<String>,
    /// Public routes of the backend that cover only a part of the rule's paths.
    partly: Option<String>,
}

impl OpenRoutes {
    fn of(policy: &Policy, rule: &Rule) -> Self {
        let (public, optional): (Vec<_>, Vec<_>) =
            policy.routes.opening(&rule.matching).partition(|row| row.route == Route::Public);
        let (configured, preset): (Vec<_>, Vec<_>) = public.into_iter().partition(|row| row.is_configured());

        // The backend's own routes are meant to be open. They are worth a warning only if they cover a whole path of
        // the rule.
        let (whole, partly): (Vec<_>, Vec<_>) =
            preset.into_iter().partition(|row| row.pattern.covers_a_path_of(&rule.matching));
        let named = |row: &&RouteRow| row.is_configured() || row.pattern.covers_a_path_of(&rule.matching);
        Self {
            public: listed(&patterns(configured.into_iter().chain(whole))),
            optional: listed(&patterns(optional.into_iter().filter(named))),
            partly: listed(&patterns(partly.into_iter())),
        }
    }
}

/// Warns about the open routes in a rule's paths.
fn warn_of_open_routes(entry: &Section<'_>, rule: &Rule, routes: &OpenRoutes) {
    let path = entry.section("match").path("paths");
    if let Some(public) = &routes.public {
        let message = format!("`{}` is not evaluated on public routes: {public}", rule.name);
        let help = "take these paths out of authorization.public, or out of the rule; routes that the backend itself makes public stay public";
        entry.report.warn(FindingId::RuleOnOpenRoute, &path, message, help);
    }
    if let Some(optional) = &routes.optional {
        let message = format!("`{}` is not evaluated without a token: {optional}", rule.name);
        let help = "take these paths out of authorization.optional if the rule should apply to every request";
        entry.report.warn(FindingId::RuleOnOpenRoute, &path, message, help);
    }
    if let Some(routes) = &routes.partly {
        entry.report.info(format!(
            "{path}: `{}` is not evaluated on public routes of the backend: {routes}",
            rule.name
        ));
    }
}

fn patterns<'a>(rows: impl Iterator<Item = &'a RouteRow>) -> Vec<&'a RoutePattern> {
    rows.map(|row| &row.pattern).collect()
}

/// The first routes, and how many more there are; `None` without any.
fn listed(routes: &[&RoutePattern]) -> Option<String> {
    let names: Vec<_> = routes.iter().take(NAMED_ROUTES).map(|route| format!("`{route}`")).collect();
    match routes.len() - names.len() {
        _ if names.is_empty() => None,
        0 => Some(names.join(", ")),
        more => Some(format!("{} and {more} more", names.join(", "))),
    }
}
