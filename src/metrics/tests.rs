#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

/// The sample lines of a text, without their values.
fn samples(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').unwrap().0).collect()
}

const SOURCE: KeySourceLabels<'_> = KeySourceLabels { issuer: "corp", source: "idp.example" };

fn request<'r>(
    decision: &'static str,
    reason: &'static str,
    issuer: &'r str,
    rule: &'r str,
) -> RequestLabels<'r> {
    RequestLabels { decision, reason, issuer, rule }
}

/// Metrics with at least one sample of each.
fn used() -> Metrics {
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
    metrics.upstream_address("192.0.2.1:80", true);
    metrics.connection_refused("total");
    metrics.connections_closed("idle", 1);
    metrics.token_cache("hit");
    metrics.revocations("jti", 1);
    metrics.revocation_source("file", true, Some(UNIX_EPOCH));
    metrics.bots(1, true, Some(UNIX_EPOCH));
    metrics.introspection("active");
    metrics.config_reload("applied");
    metrics.certificates([("tls.certFile", UNIX_EPOCH)].into_iter());
    metrics.jwks_fetch(SOURCE, "ok");
    metrics.jwks_state(SOURCE, 1, Some(UNIX_EPOCH));
    metrics.jwks_next_refresh(SOURCE, UNIX_EPOCH);
    metrics.jwks_kid_reused(SOURCE);
    metrics.jwks_skipped(SOURCE, "duplicate", 1);
    metrics.worker(0, 1.0, 1, 0.002);
    metrics
}

#[test]
fn definitions_are_what_is_exposed() {
    let text = used().encode(ExpositionFormat::OpenMetrics);
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
    let own = text.lines().filter(|line| line.starts_with("# TYPE metagate_")).count();
    assert_eq!(own, Metrics::definitions().len());
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
    metrics.request(&request("would_deny", "insufficient_permissions", "corp", "readers"), Duration::ZERO);
    let sample = metrics.sample();
    let refused = ("would_deny", "insufficient_permissions");
    let counts = [(("allow", ""), 2), (("deny", "expired"), 2), (("error", ""), 1), (refused, 1)];
    assert_eq!(sample.requests, counts.into());
    assert_eq!(sample.rules["readers"], RuleCounts { decided: 2, refused: 0, would_refuse: 1 });
    assert_eq!((sample.rules.len(), sample.hits, sample.misses), (2, 0, 0));
}

#[test]
fn counters_exist_before_their_first_event() {
    let metrics = Metrics::new();
    let (issuers, rules) = (["corp".into(), "partner".into()], ["readers".into()]);
    metrics.expect(&Expected { issuers: &issuers, rules: &rules, reports: true, preflights: true });
    metrics.expect_source(SOURCE, &["ok", "timeout"]);
    let text = metrics.encode(ExpositionFormat::Text);
    for sample in [
        "requests_total{decision=\"allow\",reason=\"\",issuer=\"corp\",rule=\"\"}",
        "requests_total{decision=\"preflight\",reason=\"\",issuer=\"\",rule=\"\"}",
        "requests_total{decision=\"public\",reason=\"\",issuer=\"\",rule=\"\"}",
        "requests_total{decision=\"deny\",reason=\"expired\",issuer=\"partner\",rule=\"\"}",
        "requests_total{decision=\"deny\",reason=\"insufficient_permissions\",issuer=\"corp\",rule=\"readers\"}",
        "requests_total{decision=\"error\",reason=\"upstream_unreachable\",issuer=\"corp\",rule=\"\"}",
        "requests_total{decision=\"would_deny\",reason=\"expired\",issuer=\"corp\",rule=\"\"}",
        "would_deny_total{reason=\"revoked\",issuer=\"corp\",rule=\"\",class=\"user\"}",
        "would_deny_total{reason=\"missing_token\",issuer=\"\",rule=\"\",class=\"\"}",
        "would_deny_total{reason=\"insufficient_permissions\",issuer=\"corp\",rule=\"readers\",class=\"bot\"}",
        "jwks_fetches_total{issuer=\"corp\",source=\"idp.example\",result=\"timeout\"}",
        "jwks_kid_reused_total{issuer=\"corp\",source=\"idp.example\"}",
        "token_cache_total{result=\"hit\"}",
        "connections_closed_total{cause=\"memory\"}",
    ] {
        assert!(text.contains(&format!("\nmetagate_{sample} 0\n")), "{sample}: {text}");
    }
    assert!(metrics.sample().requests.is_empty(), "none has happened");
    // An event uses the counter that is there.
    let before = samples(&text).len();
    metrics.request(&request("deny", "expired", "corp", ""), Duration::ZERO);
    assert_eq!(samples(&metrics.encode(ExpositionFormat::Text)).len(), before);
}

/// A configuration may have ten thousand rules.
#[test]
fn the_counters_made_in_advance_are_bounded() {
    let metrics = Metrics::new();
    let names: Vec<Box<str>> = (0..10_000).map(|number| format!("{number}").into()).collect();
    metrics.expect(&Expected { issuers: &names, rules: &names, reports: true, preflights: true });
    let text = metrics.encode(ExpositionFormat::Text);
    assert!(samples(&text).len() < 5000);
}

#[test]
fn the_process_has_the_usual_metrics() {
    let text = Metrics::new().encode(ExpositionFormat::Text);
    let value = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name}: {text}")).parse().unwrap()
    };
    assert!(value("process_start_time_seconds") > 1.7e9);
    assert!(value("process_cpu_seconds_total") >= 0.0);
    if cfg!(target_os = "linux") {
        assert!(value("process_resident_memory_bytes") > 1e6);
        let open = value("process_open_fds");
        assert!(open >= 3.0 && open <= value("process_max_fds"));
    }
}

/// The rules of the formats that parsers enforce.
#[test]
fn both_formats_are_well_formed() {
    let metrics = used();
    let text = metrics.encode(ExpositionFormat::Text);
    let openmetrics = metrics.encode(ExpositionFormat::OpenMetrics);
    assert!(openmetrics.ends_with("\n# EOF\n") && openmetrics.matches("# EOF").count() == 1);
    assert!(!text.contains("# EOF") && !text.contains("# UNIT") && text.ends_with('\n'));
    for (format, exposition) in [("text", &text), ("openmetrics", &openmetrics)] {
        let mut families = std::collections::HashSet::new();
        let (mut family, mut kind, mut unit) = ("", "", None);
        let mut help = None;
        for line in exposition.lines().filter(|line| *line != "# EOF") {
            let words: Vec<_> = line.splitn(4, ' ').collect();
            match words[..] {
                ["#", "HELP", name, text] => {
                    assert!(help.replace(name).is_none() && text.ends_with('.'), "{format}: {line}");
                }
                ["#", "TYPE", name, of] => {
                    assert!(families.insert(name) && help.take() == Some(name), "{format}: {line}");
                    (family, kind, unit) = (name, of, None);
                    assert_eq!(name.ends_with("_total"), format == "text" && of == "counter", "{line}");
                }
                ["#", "UNIT", name, of] => {
                    assert!(name == family && name.ends_with(&format!("_{of}")), "{format}: {line}");
                    assert!(unit.replace(of).is_none());
                }
                _ => {
                    let name = line.split(['{', ' ']).next().unwrap();
                    let base = family.trim_end_matches("_total");
                    let suffix = name.strip_prefix(base).unwrap_or_else(|| panic!("{family}: {line}"));
                    let suffixes: &[_] = match kind {
                        "counter" => &["_total"],
                        "histogram" => &["_bucket", "_sum", "_count"],
                        _ => &[""],
                    };
                    assert!(suffixes.contains(&suffix), "{format}: {line}");
                    assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
                }
            }
        }
        assert!(families.len() > 25, "{format}");
    }
}

/// Prometheus's own check, if it is installed (Debian: `prometheus`).
#[test]
fn promtool_finds_nothing() {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let metrics = used();
    let (issuers, rules) = (["corp".into()], ["readers".into()]);
    metrics.expect(&Expected { issuers: &issuers, rules: &rules, reports: true, preflights: true });
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else { return };
    let text = metrics.encode(ExpositionFormat::Text);
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
