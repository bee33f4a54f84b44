//! Warns about rules that do not refuse what they seem to refuse.

use super::section::Section;
use crate::backend::{Backend, BasePath};
use crate::policy::{Mode, PathPattern, Policy, Route, RoutePattern, RouteRow, Rule, Verdict};

/// The maximum number of routes that one warning names.
const NAMED_ROUTES: usize = 3;

/// Warns about rules that never decide, or that do not apply to some of their requests.
pub(super) fn warn(root: &Section<'_>, backend: Backend, policy: &Policy) {
    let section = root.section("authorization");
    let entries = section.entries("rules");
    for (index, (rule, entry)) in policy.rules.iter().zip(&entries).enumerate() {
        warn_of_report_mode(entry, rule);
        let earlier = policy.rules.get(..index).unwrap_or_default();
        warn_of_shadow(entry, rule, earlier);
        warn_of_paths(root, backend, entry, rule);
        warn_of_open_routes(policy, entry, rule);
    }
}

fn warn_of_report_mode(entry: &Section<'_>, rule: &Rule) {
    if rule.mode == Mode::Report {
        let message = format!("what `{}` would refuse is forwarded, only logged and counted", rule.name);
        let help = "set `mode: enforce` once `metagate report` shows no client that would break";
        entry.report.warn(&entry.path("mode"), message, help);
    }
}

/// Warns about a rule that never decides, because an earlier rule matches all of its requests. Earlier rules in report
/// mode do not count, and neither do those whose action depends on `when`.
fn warn_of_shadow(entry: &Section<'_>, rule: &Rule, earlier: &[Rule]) {
    let decides = |before: &Rule| {
        let always = before.when.is_none() || matches!(before.verdict, Verdict::Require(_));
        before.mode == Mode::Enforce && always
    };
    let covers = |before: &&Rule| decides(before) && before.matching.covers(&rule.matching);
    if let Some(before) = earlier.iter().find(covers) {
        let message =
            format!("`{}` never decides: `{}` matches all of its requests first", rule.name, before.name);
        let help = format!("put it before `{}`, or take it out", before.name);
        entry.report.warn(&entry.path("match"), message, help);
    }
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
        entry.report.warn(&entry.section("match").path("paths"), message, help);
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

/// Warns about public and optional routes in a rule's paths. On a public route no rule is evaluated, on an optional
/// route none without a token.
fn warn_of_open_routes(policy: &Policy, entry: &Section<'_>, rule: &Rule) {
    // A rule about every path does not target these routes in particular.
    if rule.matching.paths.is_empty() {
        return;
    }
    let (public, optional): (Vec<_>, Vec<_>) =
        policy.routes.opening(&rule.matching).partition(|row| row.route == Route::Public);
    let (configured, preset): (Vec<_>, Vec<_>) = public.into_iter().partition(|row| row.is_configured());

    // The backend's own routes are meant to be open. They are worth a warning only if they cover a whole path of
    // the rule.
    let (whole, partly): (Vec<_>, Vec<_>) =
        preset.into_iter().partition(|row| row.pattern.covers_a_path_of(&rule.matching));
    let public = patterns(configured.into_iter().chain(whole));
    let named = |row: &&RouteRow| row.is_configured() || row.pattern.covers_a_path_of(&rule.matching);
    let (optional, partly) = (patterns(optional.into_iter().filter(named)), patterns(partly.into_iter()));
    let path = entry.section("match").path("paths");
    if !public.is_empty() {
        let message = format!("`{}` is not evaluated on public routes: {}", rule.name, listed(&public));
        let help = "take these paths out of authorization.public, or out of the rule; routes that the backend itself makes public stay public";
        entry.report.warn(&path, message, help);
    }
    if !optional.is_empty() {
        let message = format!("`{}` is not evaluated without a token: {}", rule.name, listed(&optional));
        let help = "take these paths out of authorization.optional if the rule should apply to every request";
        entry.report.warn(&path, message, help);
    }
    if !partly.is_empty() {
        let routes = listed(&partly);
        entry.report.info(format!(
            "{path}: `{}` is not evaluated on public routes of the backend: {routes}",
            rule.name
        ));
    }
}

fn patterns<'a>(rows: impl Iterator<Item = &'a RouteRow>) -> Vec<&'a RoutePattern> {
    rows.map(|row| &row.pattern).collect()
}

fn listed(routes: &[&RoutePattern]) -> String {
    let names: Vec<_> = routes.iter().take(NAMED_ROUTES).map(|route| format!("`{route}`")).collect();
    match routes.len() - names.len() {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}
