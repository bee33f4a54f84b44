//! Tests of the file of the allow-list.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs;

use super::*;
use crate::bots::BotToken;
use crate::test_support::NOW;

const NOW_DATE: NumericDate = NumericDate::from_secs(NOW);

fn bots() -> Vec<Bot> {
    let token = |id: &str, end: u64, note: Option<&str>| BotToken {
        id: id.into(),
        created: NOW_DATE,
        expires: NOW_DATE.plus(end),
        note: note.map(Into::into),
    };
    let networks = vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
    vec![
        Bot {
            name: "nightly".into(),
            roles: vec!["ingestion".into(), "a: \"b\" # \\ \u{e4}\u{ffff}".into()],
            created: NOW_DATE,
            source_ips: networks,
            tokens: vec![token("one", 3600, Some("made \u{1f600} for 'ci'")), token("two", 7200, None)],
        },
        Bot {
            name: "empty".into(),
            roles: Vec::new(),
            created: NOW_DATE,
            source_ips: Vec::new(),
            tokens: Vec::new(),
        },
    ]
}

#[test]
fn what_is_written_is_read() {
    for list in [bots(), Vec::new()] {
        assert_eq!(BotFile::written(&bots_text(&list)), Ok(list));
    }
}

#[test]
fn a_member_of_the_store_is_one_line_of_json() {
    let members: Vec<_> = bots().iter().map(bot_json).collect();
    assert!(members.iter().all(|member| !member.contains('\n')), "{members:?}");
    assert_eq!(bots_of_members(members.iter().map(String::as_str)), Ok(bots()));
    assert_eq!(bots_of_members([]), Ok(Vec::new()));
    let first = members[0].as_str();
    for (texts, message) in [
        (vec![first, first], "`nightly` is written twice"),
        (vec![first, "[]"], "a bot is not a map"),
        (vec![first, &*first.replace("nightly", "other")], "jti: \"one\" is written twice"),
        (vec![r#"{"name": "a", "user": "admin"}"#], "the list names no user of the backend"),
        (vec!["{"], ""),
        (vec![""], "a bot is not a map"),
    ] {
        let fault = bots_of_members(texts).unwrap_err();
        assert!(
            fault.starts_with("an entry of the store is invalid: ") && fault.contains(message),
            "{fault}"
        );
    }
}

#[test]
fn a_list_is_refused_as_a_whole() {
    let created = "created: 2026-01-01T00:00:00Z";
    let token = "{jti: x, created: 2026-01-01T00:00:00Z, expires: 2026-02-01T00:00:00Z}";
    let good = format!("- {{name: a, {created}, tokens: [{token}]}}\n");
    assert_eq!(BotFile::written(&good).unwrap()[0].tokens.len(), 1);
    for (text, message) in [
        (String::new(), "is empty; write a list without bots as `[]`"),
        ("name: a".to_owned(), "is not a list of bots"),
        ("- a".to_owned(), "a bot is not a map"),
        (good.clone() + &good, "`a` is written twice"),
        (good.clone() + &good.replace("name: a", "name: b"), "jti: \"x\" is written twice"),
        (format!("- {{{created}}}"), "name is required"),
        ("- {name: a}".to_owned(), "created is required"),
        (good.replace("name: a", "name: A"), "is not the name of a bot"),
        (good.replace("tokens", "token"), "did you mean `tokens`?"),
        (good.replace("name: a", "name: a, user: admin"), "the list names no user of the backend"),
        (good.replace("2026-02-01", "soon"), "is not a time like"),
        (good.replace(", expires: 2026-02-01T00:00:00Z", ""), "expires is required"),
        (good.replace("name: a", "name: a, sourceIps: [10.0.0.0/40]"), "sourceIps: "),
        (good.replace("name: a", "name: a, roles: admin"), "roles is not a list"),
        (good.replace("jti: x", "jti: \"\\u0007\""), "jti is not a text"),
    ] {
        let fault = BotFile::written(&text).unwrap_err().to_string();
        assert!(fault.contains(message) && fault.starts_with("line "), "{text}: {fault}");
    }
}

#[test]
fn a_file_is_read_again_only_if_it_changed_or_a_token_ended() {
    let directory = tempfile::tempdir().unwrap();
    let file = BotFile::new(directory.path().join("bots.yaml"));
    assert!(file.read(NOW_DATE).unwrap_err().to_string().contains("cannot be read"));
    fs::write(file.path(), bots_text(&bots())).unwrap();
    let first = file.read(NOW_DATE).unwrap();
    assert_eq!(first.bots.bots()[0].tokens.len(), 2);
    let mut state = BotFileState::default();
    let start = Instant::now();
    let mut check = |known: &BotVersion, now| file.check(Some(known), &mut state, || start, now);
    assert!(check(&first, NOW_DATE).unwrap().is_none());
    let later = check(&first, NOW_DATE.plus(3600)).unwrap().unwrap();
    assert_eq!(later.bots.bots()[0].tokens.len(), 1, "one token has ended");
    assert!(check(&later, NOW_DATE.plus(3601)).unwrap().is_none());
    fs::write(file.path(), "- broken").unwrap();
    assert!(check(&later, NOW_DATE.plus(3602)).is_err());
    fs::write(file.path(), "[]").unwrap();
    assert!(check(&later, NOW_DATE.plus(3603)).unwrap().unwrap().bots.bots().is_empty());
}
