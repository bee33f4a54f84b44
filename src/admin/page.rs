//! The status page: HTML without scripts and without external resources.

use std::fmt::Write as _;
use std::time::Duration;

use super::view::{self, Outcome, Overview, RevocationView, SourceView};
use crate::printable;
use crate::refusals::Refusal;

/// Nothing may run, be loaded or be framed. The style sheet is permitted by its hash.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'sha256-+JXKtrcGf5xa63WiUJTfbuhwAoh/COTKHWXjU4P+3vw='; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const STYLE: &str = include_str!("page.css");

/// Renders the page. Refusals contain names of people, so they are optional.
pub(super) fn render(overview: &Overview, refusals: Option<&[Refusal]>) -> String {
    let mut page = String::with_capacity(32 * 1024);
    let (class, word) = match (overview.ready, overview.draining) {
        (true, _) => ("ok", "ready"),
        (false, true) => ("bad", "draining"),
        (false, false) => ("bad", "waiting for keys"),
    };
    // Writing to a string does not fail, here and below.
    let _ = write!(
        page,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"refresh\" content=\"10\"><title>metagate: {word}</title><style>{STYLE}</style></head>\
         <body><main>"
    );
    header(&mut page, overview, class, word);
    page.push_str("<div class=\"grid\">");
    configuration(&mut page, overview);
    requests(&mut page, overview);
    sources(&mut page, &overview.sources);
    revocations(&mut page, overview.revocations.as_ref());
    recent(&mut page, refusals);
    page.push_str("</div></main></body></html>\n");
    page
}

fn header(page: &mut String, overview: &Overview, class: &str, word: &str) {
    let uptime = humantime::format_duration(Duration::from_secs(overview.uptime_seconds));
    let _ = write!(
        page,
        "<header><h1>metagate</h1><span class=\"pill {class}\">{word}</span>\
         <span class=\"soft\">{} · up {uptime} · {} open connections · in front of {} at {}</span></header>",
        escaped(overview.version),
        overview.connections,
        overview.config.backend,
        escaped(&overview.config.upstream),
    );
}

fn configuration(page: &mut String, overview: &Overview) {
    let config = &overview.config;
    begin(page, "Configuration", "half");
    row(page, "file", config.file.as_deref().unwrap_or("none: environment and flags"));
    row(page, "hash", &config.hash);
    row(page, "in force since", &view::time(config.loaded_at));
    row(page, "issuers", &config.issuers.join(", "));
    row(page, "rules", &config.rules.join(", "));
    if let Some(last) = &overview.last_reload {
        let when = format!("{} ({})", view::time(last.at), last.trigger);
        match &last.outcome {
            Outcome::Applied { changed, changed_files, needs_restart, .. } => {
                let changed = [changed.as_slice(), changed_files.as_slice()].concat().join(", ");
                let changed = if changed.is_empty() { "nothing".to_owned() } else { changed };
                row(page, "last reload", &format!("{when}: applied; changed: {changed}"));
                if !needs_restart.is_empty() {
                    row(page, "needs a restart", &needs_restart.join(", "));
                }
            }
            Outcome::Refused { errors, .. } => {
                row(page, "last reload", &format!("{when}: REFUSED, keeping the current configuration"));
                errors.iter().for_each(|error| failure(page, "error", error));
            }
        }
    }
    page.push_str(
        "</table></div><form method=\"post\" action=\"/reload\"><button>Reload</button></form></section>",
    );
}

fn requests(page: &mut String, overview: &Overview) {
    begin(page, "Requests since the start", "half");
    for (how, count) in overview.requests.iter().filter(|(_, count)| **count > 0) {
        let _ = write!(page, "<tr><td class=\"wrap\">{}<td class=\"right\">{count}</tr>", escaped(how));
    }
    if overview.requests.values().all(|count| *count == 0) {
        page.push_str("<tr><td class=\"soft\">none</tr>");
    }
    end(page);
}

fn sources(page: &mut String, sources: &[SourceView]) {
    begin(page, "Keys", "");
    page.push_str(
        "<tr><th>issuer<th>source<th class=\"right\">usable<th class=\"right\">not used<th>age<th>failure</tr>",
    );
    for SourceView { status, at } in sources {
        let usable = status.usable.len();
        let age = status.age_secs(*at).map(ago).unwrap_or_default();
        let class = if usable == 0 { "bad" } else { "ok" };
        let _ = write!(
            page,
            "<tr><td>{}<td class=\"wrap mono\">{}<td class=\"right {class}\">{usable}<td class=\"right\">{}<td>{age}<td class=\"wrap bad\">{}</tr>",
            escaped(&status.entry),
            escaped(&status.name),
            status.skipped.len(),
            escaped(status.failure.as_deref().unwrap_or_default()),
        );
    }
    end(page);
}

fn revocations(page: &mut String, revocations: Option<&RevocationView>) {
    begin(page, "Revoked tokens", "");
    match revocations {
        None => row(page, "list", "none: authentication.revocations.file is not set"),
        Some(RevocationView(status, now)) => {
            row(page, "list", &status.file.display().to_string());
            let kinds = status.entries.iter().filter(|(_, count)| *count > 0);
            let kinds: Vec<_> = kinds.map(|(by, count)| format!("{count} by {}", by.as_str())).collect();
            row(
                page,
                "entries",
                if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") }.as_str(),
            );
            row(page, "in force since", &view::time(status.since));
            row(page, "checked", &format!("{} ago", ago(view::seconds_since(status.checked, *now))));
            if let Some(fault) = &status.failure {
                failure(page, "error", &format!("{fault}; the list in force is an earlier one"));
            }
            if !status.unknown_issuers.is_empty() {
                let unknown = status.unknown_issuers.join(", ");
                failure(page, "unknown issuers", &format!("{unknown}: their entries revoke nothing"));
            }
        }
    }
    end(page);
}

fn recent(page: &mut String, refusals: Option<&[Refusal]>) {
    begin(page, "Last refusals", "");
    let Some(refusals) = refusals else {
        page.push_str("<tr><td class=\"soft\">Shown in a browser, and with X-Metagate: 1.</tr>");
        return end(page);
    };
    page.push_str("<tr><th>time<th>request<th>status<th>why<th>who<th>from<th>id</tr>");
    for refusal in refusals {
        let who = refusal.principal.as_deref().map_or_else(
            || refusal.claimed_subject.as_deref().map(|claimed| format!("claims {}", escaped(claimed))),
            |principal| Some(escaped(principal)),
        );
        let _ = write!(
            page,
            "<tr><td>{}<td class=\"wrap mono\">{} {}<td>{}<td class=\"wrap\">{}<td class=\"wrap\">{}<td>{}<td class=\"mono\">{}</tr>",
            view::time(refusal.time),
            escaped(&refusal.method),
            escaped(&refusal.path),
            refusal.status.map(|status| status.to_string()).unwrap_or_default(),
            why(refusal),
            who.unwrap_or_default(),
            refusal.source_address.map(|address| address.to_string()).unwrap_or_default(),
            escaped(&refusal.request_id),
        );
    }
    end(page);
}

/// Decision, reason and everything that the token says about it.
fn why(refusal: &Refusal) -> String {
    let mut text = format!("{}: <strong>{}</strong>", refusal.decision, refusal.reason);
    let more = [
        ("", refusal.detail.as_deref()),
        ("rule ", refusal.rule.as_deref()),
        ("issuer ", refusal.issuer.as_deref()),
        ("kid ", refusal.kid.as_deref()),
    ];
    for (name, value) in more {
        if let Some(value) = value {
            let _ = write!(text, " · {name}{}", escaped(value));
        }
    }
    text
}

fn ago(seconds: u64) -> String {
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

fn begin(page: &mut String, title: &str, class: &str) {
    let _ = write!(page, "<section class=\"{class}\"><h2>{title}</h2><div class=\"scroll\"><table>");
}

fn end(page: &mut String) {
    page.push_str("</table></div></section>");
}

fn row(page: &mut String, name: &str, value: &str) {
    let _ = write!(page, "<tr><th>{}<td class=\"wrap\">{}</tr>", escaped(name), escaped(value));
}

fn failure(page: &mut String, name: &str, value: &str) {
    let _ = write!(page, "<tr><th>{}<td class=\"wrap bad\">{}</tr>", escaped(name), escaped(value));
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
    use crate::revocation::RevokedBy;
    use crate::revocation_list::RevocationStatus;

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
            revocations: Some(RevocationView(
                RevocationStatus {
                    file: ODD.into(),
                    entries: RevokedBy::ALL.map(|by| (by, usize::from(by == RevokedBy::Id) * 7)),
                    since: SystemTime::UNIX_EPOCH,
                    checked: SystemTime::UNIX_EPOCH + Duration::from_secs(3),
                    failure: Some(ODD.to_owned()),
                    unknown_issuers: vec![ODD.to_owned()],
                },
                SystemTime::UNIX_EPOCH + Duration::from_secs(5),
            )),
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
            trace_id: None,
            via: None,
            method: ODD.into(),
            path: ODD.into(),
            status: Some(401),
            decision: "deny",
            reason: "expired",
            detail: Some("a < b".into()),
            rule: Some(ODD.into()),
            principal: None,
            claimed_subject: Some(ODD.into()),
            token_class: None,
            issuer: Some(ODD.into()),
            kid: Some(ODD.into()),
            token_fingerprint: None,
            client: None,
            source_address: Some([127, 0, 0, 1].into()),
        };
        let page = render(&overview(), Some(&[refusal]));
        assert!(!page.contains("<script"), "{page}");
        assert!(
            page.matches("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;").count() >= 18,
            "{page}"
        );
        let source = "<td class=\"right bad\">0<td class=\"right\">1<td>5s<td class=\"wrap bad\">&lt;script";
        assert!(page.contains(source), "{page}");
        assert!(page.contains("a &lt; b") && page.contains("up 1m 1s"));
        assert!(page.contains("7 by jti<") && page.contains("checked<td class=\"wrap\">2s ago"), "{page}");
        assert!(!page.contains("src=") && !page.contains("href="), "nothing from elsewhere");
        let page = render(&overview(), None);
        assert!(page.contains("X-Metagate: 1") && !page.contains("<th>who"), "{page}");
    }
}
