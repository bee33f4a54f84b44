//! The status page: HTML without scripts and without external resources.

use std::fmt::Write as _;

use super::view::{self, Outcome, Overview, SourceView};
use crate::printable;
use crate::refusals::Refusal;

/// Nothing may run, be loaded or be framed. The style sheet is permitted by its hash.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'sha256-Hbfrj5zP7hJX/qQYxKdF5SxwyUhhYd11pr6gf4gnlBA='; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const STYLE: &str = "body{font:14px/1.45 system-ui,sans-serif;margin:2em auto;max-width:76em;padding:0 1em;color:#1c2024;background:#fff}\
h1{font-size:1.3em}h2{font-size:1.05em;margin-top:2em}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.25em .6em;border-bottom:1px solid #d9dce0;vertical-align:top;overflow-wrap:anywhere}\
th{font-weight:600;white-space:nowrap}.good{color:#0a6b2d}.bad{color:#b00020}button{font:inherit;padding:.3em 1em}\
@media(prefers-color-scheme:dark){body{color:#e6e8ea;background:#16181a}th,td{border-color:#34383c}.good{color:#5fd38a}.bad{color:#ff7b86}}";

/// Renders the page. Refusals contain names of people, so they are optional.
pub(super) fn render(overview: &Overview, refusals: Option<&[Refusal]>) -> String {
    let mut page = String::with_capacity(16 * 1024);
    page.push_str("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"10\"><title>metagate</title><style>");
    page.push_str(STYLE);
    page.push_str("</style></head><body>");
    state(&mut page, overview);
    configuration(&mut page, overview);
    sources(&mut page, &overview.sources);
    requests(&mut page, overview);
    match refusals {
        Some(refusals) => recent(&mut page, refusals),
        None => page.push_str("<h2>Last refusals</h2><p>Shown in a browser, and with X-Metagate: 1.</p>"),
    }
    page.push_str("</body></html>\n");
    page
}

fn state(page: &mut String, overview: &Overview) {
    let (class, word) = match (overview.ready, overview.draining) {
        (true, _) => ("good", "ready"),
        (false, true) => ("bad", "draining"),
        (false, false) => ("bad", "waiting for keys"),
    };
    let uptime = humantime::format_duration(std::time::Duration::from_secs(overview.uptime_seconds));
    // Writing to a string does not fail, here and below.
    let _ = write!(
        page,
        "<h1>metagate {} <span class=\"{class}\">{word}</span></h1><p>up {uptime}, {} open connections</p>",
        escaped(overview.version),
        overview.connections,
    );
}

fn configuration(page: &mut String, overview: &Overview) {
    let config = &overview.config;
    page.push_str("<h2>Configuration</h2><table>");
    row(page, "file", config.file.as_deref().unwrap_or("none: environment and flags"));
    row(page, "hash", &config.hash);
    row(page, "in force since", &view::time(config.loaded_at));
    row(page, "backend", config.backend);
    row(page, "upstream", &config.upstream);
    row(page, "issuers", &config.issuers.join(", "));
    row(page, "rules", &config.rules.join(", "));
    if let Some(last) = &overview.last_reload {
        let when = format!("{} ({})", view::time(last.at), last.trigger);
        match &last.outcome {
            Outcome::Applied { changed, changed_files, needs_restart, .. } => {
                let changed = [changed.as_slice(), changed_files.as_slice()].concat().join(", ");
                row(page, "last reload", &format!("{when}: applied; changed: {changed}"));
                if !needs_restart.is_empty() {
                    row(page, "needs a restart", &needs_restart.join(", "));
                }
            }
            Outcome::Refused { errors, .. } => {
                row(page, "last reload", &format!("{when}: REFUSED, keeping the current configuration"));
                errors.iter().for_each(|error| row(page, "error", error));
            }
        }
    }
    page.push_str("</table><form method=\"post\" action=\"/reload\"><p><button>Reload</button></p></form>");
}

fn sources(page: &mut String, sources: &[SourceView]) {
    page.push_str(
        "<h2>Keys</h2><table><tr><th>issuer<th>source<th>usable<th>not used<th>age<th>failure</tr>",
    );
    for SourceView { status, at } in sources {
        let usable = status.usable.len();
        let age = status.age_secs(*at).map(|age| format!("{age} s"));
        let class = if usable == 0 { "bad" } else { "good" };
        let _ = write!(
            page,
            "<tr><td>{}<td>{}<td class=\"{class}\">{usable}<td>{}<td>{}<td class=\"bad\">{}</tr>",
            escaped(&status.entry),
            escaped(&status.name),
            status.skipped.len(),
            age.unwrap_or_default(),
            escaped(status.failure.as_deref().unwrap_or_default()),
        );
    }
    page.push_str("</table>");
}

fn requests(page: &mut String, overview: &Overview) {
    page.push_str("<h2>Requests since the start</h2><table>");
    for (how, count) in &overview.requests {
        row(page, how, &count.to_string());
    }
    page.push_str("</table>");
}

fn recent(page: &mut String, refusals: &[Refusal]) {
    page.push_str("<h2>Last refusals</h2><table><tr><th>time<th>from<th>request<th>status<th>decision<th>reason<th>rule<th>principal<th>issuer<th>id</tr>");
    for refusal in refusals {
        let detail = refusal.detail.as_deref().map(|detail| format!(": {detail}")).unwrap_or_default();
        let _ = write!(
            page,
            "<tr><td>{}<td>{}<td>{} {}<td>{}<td>{}<td>{}{}<td>{}<td>{}<td>{}<td>{}</tr>",
            view::time(refusal.time),
            refusal.source_address.map_or_else(|| "-".to_owned(), |address| address.to_string()),
            escaped(&refusal.method),
            escaped(&refusal.path),
            refusal.status.map(|status| status.to_string()).unwrap_or_default(),
            refusal.decision,
            refusal.reason,
            escaped(&detail),
            escaped(refusal.rule.as_deref().unwrap_or_default()),
            escaped(refusal.principal.as_deref().unwrap_or_default()),
            escaped(refusal.issuer.as_deref().unwrap_or_default()),
            escaped(&refusal.request_id),
        );
    }
    page.push_str("</table>");
}

fn row(page: &mut String, name: &str, value: &str) {
    let _ = write!(page, "<tr><th>{}<td>{}</tr>", escaped(name), escaped(value));
}

/// Escapes text for HTML.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in printable::line(text).chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(character),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeMap;
    use std::time::{Duration, SystemTime};

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::super::view::{ConfigView, LastReload};
    use super::*;
    use crate::jose::{KeyFault, SkippedKey};
    use crate::jwks::SourceStatus;

    const ODD: &str = "<script>alert('x')</script>\"&";

    fn overview() -> Overview {
        Overview {
            version: "0",
            started_at: SystemTime::UNIX_EPOCH,
            uptime_seconds: 61,
            ready: true,
            draining: false,
            config: ConfigView {
                file: Some(ODD.to_owned()),
                hash: "abc".to_owned(),
                loaded_at: SystemTime::UNIX_EPOCH,
                backend: "generic",
                upstream: ODD.to_owned(),
                issuers: vec![ODD.to_owned()],
                rules: vec![ODD.to_owned()],
            },
            last_reload: Some(LastReload {
                at: SystemTime::UNIX_EPOCH,
                trigger: "signal",
                outcome: Outcome::Refused { broken: true, errors: vec![ODD.to_owned()] },
            }),
            sources: vec![SourceView {
                status: SourceStatus {
                    entry: ODD.into(),
                    name: ODD.to_owned(),
                    usable: Vec::new(),
                    skipped: vec![SkippedKey { kid: None, fault: KeyFault::Malformed }],
                    fetched_at: Some(SystemTime::UNIX_EPOCH),
                    next: None,
                    restored: false,
                    failure: Some(ODD.to_owned()),
                },
                at: SystemTime::UNIX_EPOCH + Duration::from_secs(5),
            }],
            connections: 1,
            requests: BTreeMap::from([(ODD.to_owned(), 3)]),
        }
    }

    #[test]
    fn the_policy_has_the_hash_of_the_style_sheet() {
        let hash = STANDARD.encode(crate::digest::sha256(STYLE.as_bytes()));
        assert!(POLICY.contains(&format!("'sha256-{hash}'")), "the hash is {hash}");
    }

    #[test]
    fn text_from_others_is_escaped() {
        let refusal = Refusal {
            time: SystemTime::UNIX_EPOCH,
            request_id: ODD.into(),
            method: ODD.into(),
            path: ODD.into(),
            status: Some(401),
            decision: "deny",
            reason: "expired",
            detail: Some("a < b".into()),
            rule: Some(ODD.into()),
            principal: Some(ODD.into()),
            issuer: Some(ODD.into()),
            source_address: Some([127, 0, 0, 1].into()),
        };
        let page = render(&overview(), Some(&[refusal]));
        assert!(!page.contains("<script"), "{page}");
        assert!(
            page.matches("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;").count() >= 14,
            "{page}"
        );
        assert!(page.contains("<td class=\"bad\">0<td>1<td>5 s<td class=\"bad\">&lt;script"), "{page}");
        assert!(page.contains("a &lt; b") && page.contains("up 1m 1s"));
        assert!(!page.contains("src=") && !page.contains("href="), "nothing from elsewhere");
        let page = render(&overview(), None);
        assert!(page.contains("X-Metagate: 1") && !page.contains("<th>principal"), "{page}");
    }
}
