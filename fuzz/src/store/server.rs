//! A server with one set, as the scripts of `src/shared_set/scripts.rs` change and read it.

use std::collections::{BTreeMap, BTreeSet};

use redis::{Arg, Cmd, Value, parse_redis_value};

/// What the server has.
#[derive(Clone, Default)]
pub struct Server {
    /// The members and their scores.
    pub members: BTreeMap<Vec<u8>, f64>,
    pub revision: u64,
    /// The revisions and records of the changes.
    log: BTreeSet<(u64, Vec<u8>)>,
    /// Seconds since 1970.
    pub now: u64,
}

impl Server {
    /// A server without data, at this time.
    pub fn at(now: u64) -> Self {
        Self { now, ..Self::default() }
    }

    /// The same data at this time.
    pub fn later(self, now: u64) -> Self {
        Self { now, ..self }
    }

    /// Runs a script. Its answer goes through the octets of the protocol.
    pub fn run(&mut self, command: &Cmd) -> Value {
        let mut arguments = command.args_iter().skip(2).map(|argument| match argument {
            Arg::Simple(bytes) => bytes.to_vec(),
            _ => panic!("no script has a cursor"),
        });
        let keys = number(&arguments.next().expect("the number of keys"));
        let arguments: Vec<_> = arguments.skip(keys).collect();
        let answer = match (keys, arguments.len()) {
            (2, 2) => self.changes(&arguments[0], number(&arguments[1])),
            (3, 2) => self.all(number(&arguments[0]), number(&arguments[1])),
            (3, _) => self.change(&arguments),
            other => panic!("no script has {other:?} keys and arguments"),
        };
        parse_redis_value(&answer).expect("an answer of our own")
    }

    /// Changes the set by hand, with a revision and without a record.
    pub fn by_hand(&mut self, member: Vec<u8>, score: Option<f64>) {
        match score {
            Some(score) => self.members.insert(member, score),
            None => self.members.remove(&member),
        };
        self.revision += 1;
    }

    /// Forgets all records but the last ones.
    pub fn trim(&mut self, kept: usize) {
        while self.log.len() > kept {
            self.log.pop_first();
        }
    }

    fn changes(&self, known: &[u8], most: usize) -> Vec<u8> {
        let revision = bulk(self.revision.to_string().as_bytes());
        if self.revision.to_string().as_bytes() == known {
            return array(&[revision]);
        }
        let known = number(known) as u64;
        let records: Vec<_> = self
            .log
            .iter()
            .filter(|(at, _)| *at >= known)
            .take(most)
            .map(|(_, record)| bulk(record))
            .collect();
        array(&[revision, array(&records)])
    }

    fn all(&self, most: usize, most_bytes: usize) -> Vec<u8> {
        let last = self.log.last().map(|(_, record)| &**record).unwrap_or_default();
        let mut answer = vec![bulk(self.revision.to_string().as_bytes()), bulk(last)];
        answer.push(integer(self.members.len()));
        let bytes = self.members.keys().map(Vec::len).sum::<usize>();
        assert!(self.members.len() <= most && bytes <= most_bytes, "an input is shorter");
        answer.push(integer(bytes));
        // By score, as a sorted set has them.
        let mut members: Vec<_> = self.members.iter().collect();
        members.sort_by(|one, other| one.1.total_cmp(other.1));
        let all: Vec<_> = members
            .into_iter()
            .flat_map(|(member, score)| [bulk(member), bulk(score.to_string().as_bytes())])
            .collect();
        answer.push(array(&all));
        array(&answer)
    }

    fn change(&mut self, arguments: &[Vec<u8>]) -> Vec<u8> {
        let [_, most_records, _, nonce, changes @ ..] = arguments else { panic!("four and the changes") };
        let (changes, expected) = changes.as_chunks::<3>();
        if let [expected] = expected
            && *expected != self.revision.to_string().into_bytes()
        {
            return array(&[integer(-1), integer(-1), integer(-1)]);
        }
        let now = self.now as f64;
        self.members.retain(|_, score| *score >= now);
        let mut count = 0;
        for [what, score, member] in changes {
            let changed = if what == b"+" {
                let score: f64 =
                    str::from_utf8(score).ok().and_then(|score| score.parse().ok()).expect("a score");
                self.members.insert(member.clone(), score) != Some(score)
            } else {
                self.members.remove(member).is_some()
            };
            if changed {
                count += 1;
                self.revision += 1;
                let revision = self.revision.to_string().into_bytes();
                let record = [&revision, what, score, nonce, member].map(|part| &**part).join(&b' ');
                self.log.insert((self.revision, record));
            }
        }
        self.trim(number(most_records));
        array(&[integer(self.revision), integer(count)])
    }
}

fn number(text: &[u8]) -> usize {
    str::from_utf8(text).ok().and_then(|text| text.parse().ok()).expect("a number of our own")
}

fn bulk(text: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", text.len()).as_bytes(), text, b"\r\n"].concat()
}

fn integer(number: impl std::fmt::Display) -> Vec<u8> {
    format!(":{number}\r\n").into_bytes()
}

fn array(items: &[Vec<u8>]) -> Vec<u8> {
    [format!("*{}\r\n", items.len()).into_bytes(), items.concat()].concat()
}
