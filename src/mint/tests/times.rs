//! How long tokens live, and when they are renewed.

use super::*;

fn at(seconds: i64) -> NumericDate {
    NumericDate::from_secs(NOW + seconds)
}

#[test]
fn a_token_ends_with_the_incoming_one_at_the_latest() {
    let minter = minter();
    let target = prepare(&minter, TokenFormat::DataHub, user("ada")).unwrap();
    for (until, end) in [(None, 300), (Some(1000), 300), (Some(300), 300), (Some(299), 299), (Some(1), 1)] {
        let token = minter.mint(&target, at(0), until.map(at)).unwrap();
        assert_eq!((token.issued, token.expires), (at(0), at(end)));
        let (_, claims) = parts(&text(&token));
        assert_eq!((claims["iat"].as_i64(), claims["exp"].as_i64()), (Some(NOW), Some(NOW + end)));
    }
    for until in [0, -1] {
        assert_eq!(minter.mint(&target, at(0), Some(at(until))).err(), Some(MintFault::Expired));
    }
}

#[test]
fn lifetimes_are_bounded() {
    let minter = minter();
    for (seconds, fine) in [(59, false), (60, true), (300, true), (900, true), (901, false)] {
        let lifetime = Duration::from_secs(seconds);
        let target = minter.prepare("a", TokenFormat::DataHub, user("ada"), lifetime);
        assert_eq!(target.as_ref().err(), (!fine).then_some(&MintFault::Lifetime), "{seconds}");
        if let Ok(target) = target {
            let token = minter.mint(&target, at(0), None).unwrap();
            assert_eq!(token.expires, at(i64::try_from(seconds).unwrap()));
        }
    }
}

#[test]
fn a_token_is_renewed_at_half_of_its_life() {
    let minter = minter();
    let target = prepare(&minter, TokenFormat::DataHub, user("ada")).unwrap();
    let token = minter.mint(&target, at(0), None).unwrap();
    for (now, expected) in [
        (0, Freshness::Fresh),
        (149, Freshness::Fresh),
        (150, Freshness::Due),
        (299, Freshness::Due),
        (300, Freshness::Stale),
        (1000, Freshness::Stale),
        // The clock was set back.
        (-1, Freshness::Stale),
    ] {
        assert_eq!(Freshness::of(&token, at(now), None), expected, "{now}");
    }
    for (until, expected) in [(301, Freshness::Fresh), (300, Freshness::Fresh), (299, Freshness::Stale)] {
        assert_eq!(Freshness::of(&token, at(0), Some(at(until))), expected, "{until}");
    }
}

#[test]
fn a_target_says_whom_its_tokens_name() {
    let minter = minter();
    let target = prepare(&minter, TokenFormat::DataHub, user("ada")).unwrap();
    assert_eq!((target.user(), target.lifetime()), ("ada", Duration::from_secs(300)));
    assert!(matches!(target.format(), TokenFormat::DataHub));
    let other = prepare(&minter, TokenFormat::DataHub, user("eve")).unwrap();
    let again = prepare(&minter, TokenFormat::DataHub, user("ada")).unwrap();
    assert!(target.id() != other.id() && target.id() == again.id());
    assert_eq!(crate::mint::DatahubTokenType::ServiceAccount.as_str(), "SERVICE_ACCOUNT");
    assert_eq!(crate::mint::DatahubTokenType::Session.as_str(), "SESSION");
}
