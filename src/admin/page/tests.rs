//! What the page shows, and that nothing from others becomes markup.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::view::{
    BotsView, Budgets, CertificateView, ConfigView, LastReload, Outcome, RevocationView, SourceView, Usage,
    WorkerView,
};
use super::*;
use crate::bot_list::BotListStatus;
use crate::claims::TokenClass;
use crate::history::Minute;
use crate::jose::{KeyFault, SkippedKey};
use crate::jwks::SourceStatus;
use crate::metrics::{Faults, RuleCounts};
use crate::numeric_date::NumericDate;
use crate::revocation::RevokedBy;
use crate::revocation_list::ListStatus;
use crate::signals::{Signal, SignalEvent};
use crate::test_support::{p256_key, parsed};
use crate::tokens_in_use::UsedToken;

mod keys;
mod process;

const ODD: &str = "<script>alert('x')</script>\"&\u{202e}";
const SAFE: &str = "&#60;script&#62;alert(&#39;x&#39;)&#60;/script&#62;&#34;&#38;";
const NOW: u64 = 1_000_000_000;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn used(principal: &str, class: TokenClass, kid: &str, ends_in: Option<u64>) -> UsedToken {
    let now = NumericDate::from(at(NOW));
    UsedToken {
        fingerprint: format!("f-{principal}").into(),
        entry: ODD.into(),
        principal: principal.into(),
        class,
        is_of_program: class != TokenClass::User,
        kid: Some(kid.into()),
        issued: Some(NumericDate::from_secs(0)),
        expires: ends_in.map(|seconds| now.plus(seconds)),
        last_verified: now,
    }
}

fn certificate(setting: &str, is_authorities: bool, ends: u64) -> CertificateView {
    let (setting, file) = (setting.to_owned(), format!("/tls/{ODD}"));
    CertificateView { setting, file, is_authorities, ends_at: at(ends) }
}

fn source() -> SourceView {
    let status = SourceStatus {
        entry: ODD.into(),
        name: ODD.to_owned(),
        usable: parsed(&[p256_key().jwk_named("k-new")]).usable,
        skipped: vec![SkippedKey { kid: Some(ODD.into()), fault: KeyFault::Malformed }],
        fetched_at: Some(at(NOW - 5)),
        next: Some(at(NOW + 60)),
        restored: false,
        failure: Some(ODD.to_owned()),
    };
    SourceView { status, at: at(NOW) }
}

fn overview() -> Overview {
    let requests =
        BTreeMap::from([(("allow", ""), 990), (("deny", "expired"), 9), (("deny", "unknown_key"), 1)]);
    let usage = Usage { used: 1, limit: 4 };
    Overview {
        version: "0",
        started_at: at(0),
        uptime_seconds: 61,
        ready: true,
        draining: false,
        config: ConfigView {
            file: Some(ODD.to_owned()),
            hash: "abc".to_owned(),
            loaded_at: at(0),
            backend: "generic",
            upstream: ODD.to_owned(),
            issuers: vec![ODD.to_owned()],
            rules: vec![ODD.to_owned(), "unused".to_owned()],
            warnings: vec![ODD.to_owned()],
            settings: format!("listen: 0.0.0.0:1  # env METAGATE_LISTEN\nissuer: {ODD}\n").into(),
        },
        last_reload: Some(LastReload {
            at: at(0),
            trigger: "signal",
            outcome: Outcome::Refused { broken: true, errors: vec![ODD.to_owned()] },
        }),
        sources: vec![source()],
        revocations: vec![RevocationView(
            ListStatus {
                source: "file".to_owned(),
                name: ODD.to_owned(),
                entries: RevokedBy::ALL.map(|by| (by, usize::from(by == RevokedBy::Id) * 7)),
                since: Some(at(NOW - 5)),
                confirmed: Some(at(NOW - 5)),
                checked: at(NOW - 2),
                failure: Some(ODD.to_owned()),
                restored: false,
                stale: false,
                unknown_issuers: vec![ODD.to_owned()],
            },
            at(NOW),
        )],
        bots: Some(BotsView(
            BotListStatus {
                source: "file",
                name: ODD.into(),
                bots: 2,
                tokens: 3,
                is_known: false,
                since: at(NOW - 5),
                confirmed: None,
                restored: false,
                failure: Some(ODD.to_owned()),
            },
            at(NOW),
        )),
        introspection: None,
        connections: 1,
        budgets: Budgets {
            connections: usage,
            requests: usage,
            memory_bytes: usage,
            token_cache_bytes: usage,
        },
        upstream_waiting: 0,
        upstream_up: true,
        upstream_failure: None,
        faults: Faults::default(),
        audit_failure: None,
        certificates: vec![
            certificate("upstream.tls.certFile", false, NOW + 3 * 86_400),
            certificate("authentication.caFile", true, NOW - 7_200),
            certificate("tls.certFile", false, NOW + 90 * 86_400),
        ],
        requests: BTreeMap::new(),
        totals: requests.clone(),
        last_hour: LastHour {
            since: Some(at(NOW - 3_600)),
            minutes: vec![Minute { begins: Some(at(NOW)), allowed: 990, refused: 10, failed: 0 }],
            rate: 12.34,
            requests,
            rules: BTreeMap::from([(ODD.into(), RuleCounts { decided: 20, refused: 2, would_refuse: 3 })]),
            hit_rate: Some(0.987),
            ..LastHour::default()
        },
        recent: Default::default(),
        workers: vec![WorkerView {
            busy_seconds: 100.0,
            busy: 0.25,
            tasks: 12,
            delay_seconds: 0.001,
            overdue_seconds: 0.0,
            longest_delay_seconds: 0.0015,
        }],
        tokens: vec![
            used(ODD, TokenClass::Bot, "k-new", Some(2 * 86_400)),
            used("ada", TokenClass::User, "k-old", Some(60)),
            used("etl", TokenClass::PersonalAccess, "k-new", None),
        ],
        signals: vec![
            SignalEvent {
                time: at(NOW - 60),
                signal: Signal::NewNetwork,
                principal: Some(ODD.into()),
                fingerprint: Some("of-signal".into()),
                network: "192.0.2.0/24".parse().ok(),
                client: Some(ODD.into()),
            },
            SignalEvent {
                time: at(NOW - 120),
                signal: Signal::NewNetwork,
                principal: Some("earlier".into()),
                fingerprint: None,
                network: None,
                client: None,
            },
        ],
        now: at(NOW),
    }
}

fn refusal() -> Refusal {
    Refusal {
        time: at(0),
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
        client: Some(ODD.into()),
        source_address: Some([127, 0, 0, 1].into()),
    }
}

#[test]
fn the_policy_has_the_hash_of_the_style_sheet() {
    let hash = STANDARD.encode(crate::digest::sha256(STYLE.as_bytes()));
    assert!(POLICY.contains(&format!("'sha256-{hash}'")), "the hash is {hash}");
    let page = render(&overview(), None);
    assert!(page.contains(&format!("<style>{STYLE}</style>")), "{page}");
    assert!(!page.contains("style="), "the policy permits no style attribute");
}

#[test]
fn text_from_others_is_escaped() {
    let page = render(&overview(), Some(&[refusal()]));
    assert_eq!(page.matches("<script").count(), 1, "{page}");
    assert!(page.contains("<script src=\"/page.js\" defer></script>"));
    assert!(page.matches(SAFE).count() >= 30, "{}: {page}", page.matches(SAFE).count());
    assert!(!page.contains('\u{202e}'), "a character that changes the direction of the text");
    assert!(page.contains("a &#60; b"));
    assert!(!page.contains("http-equiv=\"refresh\" content=\"10\"><title"), "only without scripts");
}

#[test]
fn the_numbers_of_the_last_hour_are_shown() {
    let page = render(&overview(), None);
    for expected in [
        "<div class=\"big\">12<span class=\"sub\"> /s</span>",
        "Refused, last hour</h2><div class=\"big\">1.0<span class=\"sub\"> %</span>",
        "9 expired · 1 unknown key",
        "<div class=\"big\">98.7<span class=\"sub\"> % hits</span>",
        "up 1 min 1 s",
        "<rect class=\"allowed\" x=\"708\" y=\"5\" width=\"10\" height=\"99\"/><rect class=\"refused\"",
        "990 allowed, 10 refused, 0 failed",
        "7 by jti<",
        "<td class=\"right\">20<td class=\"right\">2 and 3 would be</tr>",
        "unused<td class=\"right\">0<td class=\"right\">never met</tr>",
        "1 of 4 <progress",
        "<tr><td>0<td>25 % <progress max=\"1\" value=\"0.250\"></progress><td class=\"right\">12<td class=\"right\">2 ms</tr>",
    ] {
        assert!(
            page.replace("</span><progress", " <progress")
                .replace("%<progress", "% <progress")
                .contains(expected),
            "{expected}: {page}"
        );
    }
}

#[test]
fn what_needs_a_look_is_listed() {
    let mut overview = overview();
    let page = render(&overview, Some(&[]));
    for expected in [
        "Keys cannot be fetched.",
        "The last configuration was refused.",
        "A revocation list is not the current one.",
        "The allow-list of bots is not in force.",
        "2 with 3 tokens",
        "no bot is accepted",
        "A certificate has ended.</b> the last authority of authentication.caFile, /tls/",
        ", at 2001-09-08T23:46:40Z",
        "A certificate ends soon.</b> upstream.tls.certFile, /tls/",
        ", in 3 d",
        "The first certificate ends 2 h ago.",
        "<td>authorities<td>2001-09-08T23:46:40Z<td class=\"bad\">2 h ago</tr>",
        "<td>own<td>2001-12-08T01:46:40Z<td class=\"ok\">in 90 d",
        "A key has left.</b> 1 token in use of",
        "was signed with k-old, which has left its key set: it is refused now.",
        "A token ends soon.",
        "1 never end",
        ">k-new, 2 tokens<",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    assert!(!page.contains("ada in 1m"), "tokens of people are renewed all the time");
    assert!(!page.contains("The backend is down."));
    overview.upstream_up = false;
    assert!(render(&overview, None).contains("The backend is down."));
}

#[test]
fn names_of_people_are_shown_only_on_request() {
    let page = render(&overview(), None);
    assert!(page.contains("X-Metagate: 1") && !page.contains("<th>who"), "{page}");
    assert!(!page.contains("f-etl") && !page.contains(">etl<"), "{page}");
    assert!(page.contains("bot in 2 d"), "{page}");
    assert!(!page.contains("METAGATE_LISTEN"), "rules and mappings name people");
    let page = render(&overview(), Some(&[]));
    assert!(page.contains("f-etl") && page.contains("none since the start"), "{page}");
    assert!(page.contains("listen: 0.0.0.0:1  # env METAGATE_LISTEN\nissuer: "), "{page}");
}

#[test]
fn signals_are_shown_and_names_only_if_permitted() {
    let page = render(&overview(), Some(&[]));
    let expected = format!(
        "2 in the last hour, the last at 2001-09-09T01:45:40Z, program {SAFE}, network 192.0.2.0/24, client {SAFE}, fingerprint of-signal"
    );
    let expected = expected.replace(SAFE, &Text::of(ODD).to_string());
    let unescaped = page.replace("&#60;", "<").replace("&#62;", ">").replace("&#39;", "'");
    let unescaped = unescaped.replace("&#34;", "\"").replace("&#38;", "&");
    assert!(unescaped.contains(&expected), "{expected}");
    assert!(!page.contains(ODD));
    let without = render(&overview(), None);
    assert!(without.contains("2 in the last hour, the last at 2001-09-09T01:45:40Z, fingerprint of-signal"));
    let json = serde_json::to_value(overview()).unwrap();
    let counts = &json["signals"];
    assert_eq!((&counts["new_network"], &counts["refusal_burst"]), (&2.into(), &0.into()), "{counts}");
    assert!(!json["signals"].to_string().contains("earlier"));
}

#[test]
fn tokens_with_the_published_key_are_pointed_out() {
    let mut overview = overview();
    assert!(!render(&overview, None).contains("A published key."));
    overview.tokens.push(used("bot", TokenClass::Bot, crate::backend::PUBLISHED_KEY_ID, None));
    assert!(render(&overview, None).contains("A published key.</b> 1 token in use was signed"));
    overview.tokens.push(used("other", TokenClass::Bot, crate::backend::PUBLISHED_KEY_ID, None));
    assert!(render(&overview, None).contains("A published key.</b> 2 tokens in use were signed"));
}
