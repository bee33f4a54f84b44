#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

/// The sample lines of a text, without their values.
fn samples(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').unwrap().0).collect()
}

fn request<'r>(
    decision: &'static str,
    reason: &'static str,
    issuer: &'r str,
    rule: &'r str,
) -> RequestLabels<'r> {
    RequestLabels { decision, reason, issuer, rule }
}

#[test]
fn definitions_are_what_is_exposed() {
    let metrics = Metrics::new();
    metrics.request(&request("deny", "expired", "corp", "r"), Duration::ZERO);
    metrics.would_deny(&WouldDenyLabels {
        reason: "expired",
        issuer: String::new(),
        rule: String::new(),
        class: "",
    });
    metrics.upstream_response(http::StatusCode::OK);
    metrics.upstream_connection("ok");
    metrics.connection_refused("total");
    metrics.connections_closed("idle", 1);
    metrics.token_cache("hit");
    metrics.revocations("jti", 1);
    metrics.config_reload("applied");
    metrics.certificate_ends(Some(UNIX_EPOCH));
    metrics.jwks_fetch("s", "ok");
    metrics.jwks_state("s", 1, Some(UNIX_EPOCH));
    metrics.jwks_next_refresh("s", UNIX_EPOCH);
    metrics.jwks_kid_reused("s");
    metrics.jwks_skipped("s", "duplicate", 1);
    let text = metrics.encode();
    let samples = samples(&text);
    for definition in Metrics::definitions() {
        let (name, kind) = (definition.exposed_name(), definition.type_name());
        let family = name.trim_end_matches("_total");
        assert!(
            text.contains(&format!("# HELP {family} {}.\n# TYPE {family} {kind}\n", definition.help)),
            "{name}"
        );
        let sample = if kind == "histogram" { format!("{name}_count") } else { name.clone() };
        let is_own = |line: &&&str| line.split('{').next() == Some(&*sample);
        let labels = samples.iter().find(is_own).unwrap_or_else(|| panic!("no sample of {name}"));
        let labels = labels.strip_prefix(&*sample).unwrap().trim_matches(['{', '}']);
        let names: Vec<_> = labels.split(',').filter_map(|label| Some(label.split_once('=')?.0)).collect();
        assert_eq!(names, definition.labels, "{name}");
    }
    assert_eq!(text.lines().filter(|line| line.starts_with("# TYPE")).count(), Metrics::definitions().len());
}

#[test]
fn requests_are_counted_over_issuers_and_rules() {
    let metrics = Metrics::new();
    for labels in [
        request("allow", "", "corp", "readers"),
        request("allow", "", "partner", "a \"rule\",reason=\"expired\"} 7"),
        request("deny", "expired", "corp", ""),
        request("deny", "expired", "corp", ""),
        request("error", "", "", ""),
    ] {
        metrics.request(&labels, Duration::from_millis(1));
    }
    let counts = [("allow", 2), ("deny: expired", 2), ("error", 1)];
    assert_eq!(metrics.request_counts(), counts.map(|(how, count)| (how.to_owned(), count)).into());
}
