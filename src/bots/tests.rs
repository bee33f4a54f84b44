//! Tests of the allow-list of bots.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::time::Duration;

use secrecy::ExposeSecret as _;
use serde_json::json;

use super::*;
use crate::claims::IssuedKind;
use crate::jose::UnverifiedToken;
use crate::own_issuer::{IssuedToken, IssuerKey, TokenIssuer};
use crate::test_support::NOW;
use crate::trust;

const NOW_DATE: NumericDate = NumericDate::from_secs(NOW);
const DAY: u64 = 86_400;

fn issue(name: &str) -> (VerifiedToken, IssuedToken) {
    let issuer = TokenIssuer::new("https://m.example", "metagate", vec![IssuerKey::generate().unwrap()]);
    let smuggled = [("roles", json!(["Admin"]))];
    let issued =
        issuer.issue(IssuedKind::Bot, name, Duration::from_secs(90 * DAY), NOW_DATE, &smuggled).unwrap();
    let token = UnverifiedToken::parse(issued.text.expose_secret(), 4096).unwrap();
    let entry = issuer.trusted(Duration::ZERO);
    (trust::verify(&token, &entry, Some(&issuer.key_set()), NOW_DATE).unwrap(), issued)
}

fn listed(issued: &IssuedToken) -> BotToken {
    BotToken { id: issued.id.clone(), created: issued.issued, expires: issued.expires, note: None }
}

fn bot(name: &str, tokens: Vec<BotToken>) -> Bot {
    Bot { name: name.into(), roles: vec!["a".into()], created: NOW_DATE, source_ips: Vec::new(), tokens }
}

#[test]
fn bots_are_listed_in_the_order_of_the_list() {
    let bots = Bots::new(["b", "a", "c"].map(|name| bot(name, Vec::new())).into());
    assert_eq!(bots.bots().iter().map(|bot| &*bot.name).collect::<Vec<_>>(), ["b", "a", "c"]);
}

#[test]
fn only_a_listed_token_of_the_same_bot_is_accepted() {
    let (token, issued) = issue("nightly");
    let found = |bots: &Bots| bots.find(&token, NOW_DATE).map(|bot| bot.name.clone());
    assert_eq!(found(&Bots::new(vec![bot("nightly", vec![listed(&issued)])])), Ok("nightly".into()));
    assert_eq!(found(&Bots::default()), Err(BotFault::NoList));
    for list in [
        vec![],
        vec![bot("nightly", Vec::new())],
        // Below another bot, whose roles and networks are others.
        vec![bot("nightly", Vec::new()), bot("other", vec![listed(&issued)])],
        // Twice: which of them is meant is not known.
        vec![bot("nightly", vec![listed(&issued)]), bot("other", vec![listed(&issued)])],
    ] {
        assert_eq!(found(&Bots::new(list.clone())), Err(BotFault::NotListed), "{list:?}");
    }
}

#[test]
fn the_end_in_the_list_counts() {
    let (token, issued) = issue("nightly");
    let end = NOW_DATE.plus(3600);
    let bots = Bots::new(vec![bot("nightly", vec![BotToken { expires: end, ..listed(&issued) }])]);
    assert!(bots.find(&token, NOW_DATE.plus(3599)).is_ok());
    assert_eq!(bots.find(&token, end), Err(BotFault::Ended(end)));
    assert_eq!((bots.next_end(NOW_DATE), bots.next_end(end)), (Some(end), None));
    // For running responses, which know no time.
    assert_eq!(bots.at(NOW_DATE).revoked(&token), None);
    let revoked = bots.at(end).revoked(&token).unwrap();
    assert_eq!((revoked.by, &*revoked.value), (RevokedBy::Id, &*issued.id));
    assert!(revoked.note.unwrap().contains("issuer.bots"));
    assert!(!Bots::default().at(NOW_DATE).is_known());
}

#[test]
fn roles_of_the_token_are_not_its_roles() {
    let (token, _) = issue("nightly");
    assert!(token.claims().get("roles").is_some() && token.roles().is_empty());
    let with = token.with_roles(&["ingestion".into()]);
    assert_eq!(with.roles(), ["ingestion"].map(Box::<str>::from));
}

#[test]
fn a_bot_may_be_limited_to_networks() {
    let any = bot("a", Vec::new());
    let limited = Bot {
        source_ips: vec!["10.1.0.0/16".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
        ..any.clone()
    };
    assert!(any.allows_source(None) && any.allows_source("192.0.2.1".parse().ok()));
    for (source, allowed) in [
        ("10.1.2.3", true),
        ("::ffff:10.1.2.3", true),
        ("2001:db8::1", true),
        ("10.2.0.1", false),
        ("::1", false),
    ] {
        assert_eq!(limited.allows_source(source.parse().ok()), allowed, "{source}");
    }
    assert!(!limited.allows_source(None), "a Unix socket is in no network");
}

#[test]
fn names_are_plain() {
    for name in ["a", "nightly-2", "0.x_y", &"a".repeat(64)] {
        assert_eq!(check_name(name), Ok(()), "{name}");
    }
    for name in ["", "-a", "A", "a b", "a@b", "\u{e4}", "a/b", "a\n", "*", &"a".repeat(65)] {
        assert!(check_name(name).is_err(), "{name}");
    }
}

/// A list that cannot be relied on accepts nothing, and says that it is unknown.
#[test]
fn a_list_that_is_awaited_or_stale_is_unavailable() {
    let (token, issued) = issue("nightly");
    let known = Bots::new(vec![bot("nightly", vec![listed(&issued)])]);
    let stale = known.stale();
    assert!(known.find(&token, NOW_DATE).is_ok() && known.is_available());
    assert_eq!(stale.find(&token, NOW_DATE), Err(BotFault::Unavailable));
    assert_eq!(Bots::awaited().find(&token, NOW_DATE), Err(BotFault::Unavailable));
    assert!(!stale.is_available() && !Bots::awaited().is_available());
    assert!(stale.is_known() && stale.at(NOW_DATE).is_known() && !Bots::awaited().is_known());
    // Running responses go on with an old list, except what that does not have.
    assert_eq!(stale.revoked(&token), None);
    assert!(Bots::new(Vec::new()).stale().revoked(&token).is_some());
    assert!(Bots::awaited().revoked(&token).is_some());
}
