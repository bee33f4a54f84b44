//! What the store sends: a server that is changed by us, by hand and by accidents, and a reader that follows it.
//!
//! The first line of an input is `bots`, or anything else for revocations. Each further line is a step:
//!
//! - `+ SCORE MEMBER` and `- MEMBER` change the set as metagate does, with members in its own form if they are valid;
//! - `h SCORE MEMBER` and `x MEMBER` change it by hand;
//! - `t COUNT` forgets all records of changes but the last ones, `w SECONDS` waits;
//! - `s` saves the data of the server, and `l` is its return with those data, which ends the connection as `c` does;
//! - `r` reads, and `a ANSWER` reads this answer in place of the server's. In it `;` is the end of a line.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metagate::shared_set::{Change, Member, SetName, SetReader, Update, change_command, changed};
use redis::{Cmd, parse_redis_value};

mod bots;
mod revocations;
mod server;

use bots::BotSet;
use revocations::RevocationSet;
use server::Server;

use super::split_line;
use super::world::NOW;

/// Further steps are not taken.
const MAX_STEPS: usize = 100;

/// The members that were read, and when each may be forgotten.
type Members = BTreeMap<String, Option<f64>>;

/// What becomes of what was read.
trait List {
    /// A reader that has read nothing.
    fn reader(&self) -> SetReader;

    /// The name of its set.
    fn name(&self) -> SetName;

    /// The text with which a member is written.
    fn written(&self, text: &str) -> String;

    /// Takes an update that leads to these members. Reports whether it was accepted.
    fn take(&mut self, update: Update, members: &Members, now: SystemTime) -> bool;
}

/// What a reader has read is what the server has, or nothing. A list is accepted as a whole, or the one before stays in force.
pub fn store_messages(data: &[u8]) {
    let (first, steps) = split_line(data);
    let list: Box<dyn List> =
        if first == b"bots" { Box::new(BotSet::new()) } else { Box::new(RevocationSet::new()) };
    let server = Server::at(NOW.as_secs().unsigned_abs());
    let reader = list.reader();
    let mut session = Session { saved: server.clone(), server, reader, members: Members::new(), list };
    for step in steps.split(|byte| *byte == b'\n').take(MAX_STEPS) {
        session.step(step);
    }
    session.read();
}

struct Session {
    server: Server,
    saved: Server,
    reader: SetReader,
    /// What was read over this connection.
    members: Members,
    list: Box<dyn List>,
}

impl Session {
    fn step(&mut self, step: &[u8]) {
        let (verb, rest) = word(step);
        match verb {
            b"+" => {
                let (score, text) = word(rest);
                if let (Some(score), Ok(text)) = (score_of(score), str::from_utf8(text)) {
                    let text = self.list.written(text);
                    self.change(Change::Add(Member {
                        text,
                        until: Some(score).filter(|score| *score < f64::INFINITY),
                    }));
                }
            }
            b"-" => {
                if let Ok(text) = str::from_utf8(rest) {
                    self.change(Change::Remove(text.to_owned()));
                }
            }
            b"h" => {
                let (score, member) = word(rest);
                if let Some(score) = score_of(score) {
                    self.server.by_hand(member.to_vec(), Some(score));
                }
            }
            b"x" => self.server.by_hand(rest.to_vec(), None),
            b"t" => self.server.trim(number(rest)),
            b"w" => self.server.now += number(rest) as u64,
            b"s" => self.saved = self.server.clone(),
            b"l" => {
                self.server = self.saved.clone().later(self.server.now);
                self.connect();
            }
            b"c" => self.connect(),
            b"r" => self.read(),
            b"a" => self.take(rest),
            _ => {}
        }
    }

    fn connect(&mut self) {
        self.reader = self.list.reader();
        self.members.clear();
    }

    /// Makes a change as the commands do: one of bots only if no other writer has changed the set.
    fn change(&mut self, change: Change) {
        let (name, before) = (self.list.name(), self.server.revision);
        let command = change_command(&name, std::slice::from_ref(&change), Some(before));
        let answer = self.server.run(&command);
        let made = changed(&answer).expect("there is room, and no other writer");
        assert_eq!((made.revision, made.count as u64), (self.server.revision, self.server.revision - before));
        match &change {
            Change::Add(Member { text, until }) => {
                assert_eq!(self.server.members[text.as_bytes()], until.unwrap_or(f64::INFINITY));
                if until.is_none_or(|until| until >= self.server.now as f64) {
                    let again = self.server.run(&change_command(&name, &[change], None));
                    assert_eq!(changed(&again).expect("there is room").count, 0);
                }
            }
            Change::Remove(text) => assert!(!self.server.members.contains_key(text.as_bytes())),
        }
    }

    /// Reads what the server has.
    fn read(&mut self) {
        let mut answer = || {
            let answer = self.server.run(&self.reader.question());
            self.reader.take(&answer)
        };
        let update = answer().and_then(|update| match update {
            Some(update) => Ok(update),
            None => Ok(answer()?.expect("the whole set was asked for")),
        });
        match update {
            Ok(update) => {
                self.follow(update, |session| {
                    let text = |member: &[u8]| String::from_utf8(member.to_vec()).expect("the set was read");
                    let until = |score: f64| Some(score).filter(|score| *score < f64::INFINITY);
                    let has: Members = session
                        .server
                        .members
                        .iter()
                        .map(|(member, score)| (text(member), until(*score)))
                        .collect();
                    assert_eq!(session.current(&session.members), session.current(&has));
                });
            }
            Err(_) => {
                let is_text = |member: &Vec<u8>| str::from_utf8(member).is_ok();
                assert!(!self.server.members.keys().all(is_text), "a set of texts is read");
                self.connect();
            }
        }
    }

    /// Reads an answer that may be anything.
    fn take(&mut self, answer: &[u8]) {
        let mut octets = Vec::new();
        for byte in answer {
            octets.extend_from_slice(if *byte == b';' { b"\r\n" } else { std::slice::from_ref(byte) });
        }
        let Ok(value) = parse_redis_value(&octets) else { return self.connect() };
        match self.reader.take(&value) {
            Ok(Some(update)) => {
                if let Update::Added { members, .. } | Update::Whole { members, .. } = &update {
                    let bytes = members.iter().map(|member| member.text.len()).sum::<usize>();
                    assert!(members.len() + bytes <= octets.len(), "more than the answer has");
                }
                self.follow(update, |_| ());
            }
            Ok(None) | Err(_) => assert!(asks_for_all(&self.reader.question())),
        }
        // What it has now may be wrong.
        self.connect();
    }

    /// Passes an update on. If it is refused, the connection ends.
    fn follow(&mut self, update: Update, check: impl FnOnce(&Self)) {
        let texts = |members: &[Member]| -> Members {
            members.iter().map(|member| (member.text.clone(), member.until)).collect()
        };
        match &update {
            Update::Unchanged => {}
            Update::Added { members, .. } => self.members.extend(texts(members)),
            Update::Whole { members, .. } => self.members = texts(members),
        }
        check(self);
        let now = UNIX_EPOCH + Duration::from_secs(self.server.now);
        if !self.list.take(update, &self.members, now) {
            self.connect();
        }
    }

    /// Those that have not ended. Each change removes the others, which no reader is told.
    fn current(&self, members: &Members) -> Members {
        let now = self.server.now as f64;
        let is_current = |until: &Option<f64>| until.is_none_or(|until| until >= now);
        members
            .iter()
            .filter(|(_, until)| is_current(until))
            .map(|(text, until)| (text.clone(), *until))
            .collect()
    }
}

fn asks_for_all(question: &Cmd) -> bool {
    question.args_iter().nth(2) == Some(redis::Arg::Simple(b"3"))
}

/// The first word, and what follows it.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let at = text.iter().position(|byte| *byte == b' ').unwrap_or(text.len());
    (&text[..at], text.get(at + 1..).unwrap_or_default())
}

fn score_of(text: &[u8]) -> Option<f64> {
    str::from_utf8(text).ok()?.parse().ok().filter(|score: &f64| !score.is_nan())
}

fn number(text: &[u8]) -> usize {
    str::from_utf8(text).ok().and_then(|text| text.parse::<u32>().ok()).unwrap_or_default() as usize
}
