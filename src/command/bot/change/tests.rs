//! Changes to an allow-list.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::*;

const NOW: NumericDate = NumericDate::from_secs(1_800_000_000);
const DAY: u64 = 86_400;

fn token(id: &str, days: u64) -> BotToken {
    BotToken { id: id.into(), created: NOW, expires: NOW.plus(days * DAY), note: None }
}

fn added(id: &str, grace: u64) -> Added {
    Added { token: token(id, 90), grace: Duration::from_secs(grace) }
}

fn bot(name: &str, tokens: Vec<BotToken>) -> Bot {
    Bot { name: name.into(), roles: Vec::new(), created: NOW, source_ips: Vec::new(), tokens }
}

fn ends(bot: &Bot) -> Vec<(&str, i64)> {
    bot.tokens.iter().map(|token| (&*token.id, token.expires.since(NOW))).collect()
}

fn message(failure: Failure) -> String {
    match failure {
        Failure::Other(message) => message,
        _ => panic!("another failure"),
    }
}

#[test]
fn a_name_is_given_once() {
    let mut bots = Vec::new();
    assert!(create(&mut bots, &bot("a", Vec::new()), added("1", 0), NOW).is_ok());
    let again = create(&mut bots, &bot("a", Vec::new()), added("2", 0), NOW).err().unwrap();
    assert!(message(again).contains("metagate bot regenerate a"));
    assert_eq!((bots.len(), ends(&bots[0])), (1, vec![("1", 90 * DAY as i64)]));
}

#[test]
fn older_tokens_end_after_the_grace_time_and_never_later_than_before() {
    let mut bots = vec![bot("a", vec![token("old", 30), token("soon", 0)]), bot("b", vec![token("b", 1)])];
    bots[0].tokens[1].expires = NOW.plus(60);
    assert!(regenerate(&mut bots, "a", added("new", 3600), NOW).is_ok());
    assert_eq!(ends(&bots[0]), [("old", 3600), ("soon", 60), ("new", 90 * DAY as i64)]);
    assert_eq!(ends(&bots[1]), [("b", DAY as i64)], "another bot");
    // Without grace, the new token is the only one.
    assert!(regenerate(&mut bots, "a", added("newer", 0), NOW).is_ok());
    assert_eq!(ends(&bots[0]), [("newer", 90 * DAY as i64)]);
    assert!(message(regenerate(&mut bots, "c", added("x", 0), NOW).err().unwrap()).contains("no bot c"));
}

#[test]
fn one_token_or_all_are_revoked() {
    let mut bots = vec![bot("a", vec![token("1", 1), token("2", 1), token("3", 1)])];
    assert_eq!(revoke(&mut bots, "a", Some("2"), NOW).ok().unwrap(), ["2"].map(Box::<str>::from));
    assert!(message(revoke(&mut bots, "a", Some("2"), NOW).err().unwrap()).contains("nothing was changed"));
    assert_eq!(revoke(&mut bots, "a", None, NOW).ok().unwrap(), ["1", "3"].map(Box::<str>::from));
    assert!(revoke(&mut bots, "a", None, NOW).is_err());
    assert!(delete(&mut bots, "a", NOW).is_ok() && bots.is_empty());
    assert!(delete(&mut bots, "a", NOW).is_err());
}

#[test]
fn a_change_removes_tokens_that_have_ended() {
    let mut bots = vec![bot("a", vec![token("ended", 0)]), bot("b", vec![token("1", 1)])];
    assert!(revoke(&mut bots, "b", None, NOW).is_ok());
    assert_eq!((ends(&bots[0]).len(), ends(&bots[1]).len()), (0, 0));
}
