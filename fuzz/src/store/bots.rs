//! The allow-list of bots in the store.

use std::collections::BTreeSet;
use std::time::SystemTime;

use metagate::StoreBots;
use metagate::bots::{Bot, Bots};
use metagate::config::{BotFile, bot_json, bots_of_members, bots_text};
use metagate::numeric_date::NumericDate;
use metagate::shared_set::{SetName, SetReader, Update};
use serde_json::json;

use super::super::world;
use super::revocations::access;
use super::{List, Members};

pub struct BotSet {
    list: StoreBots,
    revision: Option<u64>,
    known: BTreeSet<String>,
    /// What a store brought back.
    distrusted: BTreeSet<String>,
}

impl BotSet {
    pub fn new() -> Self {
        let list = StoreBots::unread(&access());
        Self { list, revision: None, known: BTreeSet::new(), distrusted: BTreeSet::new() }
    }
}

impl List for BotSet {
    fn reader(&self) -> SetReader {
        SetReader::new(self.name()).without_log()
    }

    fn name(&self) -> SetName {
        SetName::new("fuzz", "bots")
    }

    fn written(&self, text: &str) -> String {
        let Ok(bots) = bots_of_members([text]) else { return text.to_owned() };
        let written = bot_json(&bots[0]);
        assert_eq!(bots_of_members([&*written]).as_ref(), Ok(&bots), "{written}");
        let file = bots_text(&bots);
        assert_eq!(BotFile::written(&file).as_ref(), Ok(&bots), "{file}");
        written
    }

    fn take(&mut self, update: Update, _: &Members, now: SystemTime) -> bool {
        let (members, revision) = match update {
            Update::Unchanged => return true,
            Update::Added { .. } => panic!("the log is not read"),
            Update::Whole { members, revision } => (members, revision),
        };
        let texts: BTreeSet<String> = members.iter().map(|member| member.text.clone()).collect();
        if self.revision.is_some_and(|before| revision < before) {
            self.distrusted.extend(texts.difference(&self.known).cloned());
        }
        self.distrusted.retain(|text| texts.contains(text));
        self.revision = Some(revision);
        let trusted: Vec<&str> =
            texts.iter().filter(|text| !self.distrusted.contains(*text)).map(String::as_str).collect();
        let list = self.list.read(members, revision, now);
        let valid: Option<Vec<Bot>> =
            trusted.iter().map(|text| bots_of_members([*text]).ok().map(|mut bots| bots.remove(0))).collect();
        match &list {
            Ok(list) => {
                let valid = valid.expect("each of them is a bot");
                assert_eq!(list.bots().len(), valid.len());
                assert_accepts(list, &valid, &self.distrusted, now.into());
            }
            // Each may be valid, but not all together.
            Err(_) => assert!(bots_of_members(trusted.iter().copied()).is_err(), "{trusted:?}"),
        }
        self.known = texts;
        list.is_ok()
    }
}

/// The tokens of these bots are accepted until they end, and those of a bot that is not trusted are not.
fn assert_accepts(list: &Bots, bots: &[Bot], distrusted: &BTreeSet<String>, now: NumericDate) {
    let is_accepted = |bot: &Bot, id: &str| {
        let claims = json!({"jti": id, "sub": bot.name, "exp": world::NOW.as_secs() + 600}).to_string();
        let token = world::verify(&world::signed(claims.as_bytes()));
        token.map(|token| list.find(&token, now).is_ok_and(|found| found.name == bot.name))
    };
    for bot in bots {
        for token in &bot.tokens {
            let accepted = is_accepted(bot, &token.id);
            assert!(accepted.is_none_or(|accepted| accepted == (token.expires > now)), "{bot:?} {token:?}");
        }
    }
    for bot in distrusted.iter().filter_map(|text| bots_of_members([&**text]).ok()).flatten() {
        let is_listed =
            |id: &str| bots.iter().any(|listed| listed.tokens.iter().any(|token| *token.id == *id));
        for token in bot.tokens.iter().filter(|token| !is_listed(&token.id)) {
            assert_ne!(is_accepted(&bot, &token.id), Some(true), "{bot:?}");
        }
    }
}
