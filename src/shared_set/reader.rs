//! Follows the changes of a set.

use redis::{Cmd, Value};
use tokio::time::timeout;

use super::connect::{Link, READ_TIMEOUT, RESPONSE_TIMEOUT};
use super::scripts::{self, items, number, text};
use super::{LOG_LENGTH, MAX_BYTES, MAX_MEMBERS, Member, SetName, StoreFault};

/// What a reader has read. Each link begins with [`SetReader::new`]: another server may have another history.
#[derive(Debug)]
pub struct SetReader {
    name: SetName,
    position: Option<Position>,
    reads_log: bool,
}

/// A revision, and the record of the change that led to it; empty if the log has none.
#[derive(Debug, PartialEq, Eq)]
struct Position {
    revision: u64,
    record: String,
}

/// What has changed since the last read.
#[derive(Debug, PartialEq)]
pub enum Update {
    /// Nothing.
    Unchanged,
    /// These members were added, or have another end.
    Added {
        /// The members.
        members: Vec<Member>,
        /// The revision of the set with them.
        revision: u64,
    },
    /// The whole set.
    Whole {
        /// Its members.
        members: Vec<Member>,
        /// Its revision.
        revision: u64,
    },
}

impl SetReader {
    /// A reader that has read nothing.
    pub fn new(name: SetName) -> Self {
        Self { name, position: None, reads_log: true }
    }

    /// Never returns [`Update::Added`], but the whole set after each change.
    #[must_use]
    pub fn without_log(self) -> Self {
        Self { reads_log: false, ..self }
    }

    /// The channel on which changes are announced.
    pub fn channel(&self) -> &str {
        &self.name.channel
    }

    /// Makes the next read return the whole set.
    pub fn forget(&mut self) {
        self.position = None;
    }

    /// Reads what has changed. After an error the next read returns the whole set.
    ///
    /// # Errors
    /// The server cannot be reached, or the set is too large.
    pub async fn read(&mut self, link: &mut Link) -> Result<Update, StoreFault> {
        loop {
            let question = self.question();
            let patience = if self.position.is_some() { RESPONSE_TIMEOUT } else { READ_TIMEOUT };
            // Without an answer the position counts as unknown.
            let position = self.position.take();
            let answer = timeout(patience, question.query_async::<Value>(link.connection())).await;
            let answer = answer.map_err(|_| StoreFault::Timeout)??;
            self.position = position;
            if let Some(update) = self.take(&answer)? {
                return Ok(update);
            }
        }
    }

    /// The command to send next: for the changes since the last answer, or for the whole set.
    pub fn question(&self) -> Cmd {
        let SetName { members, revision, log, .. } = &self.name;
        let mut command = redis::cmd("EVAL");
        if let Some(position) = &self.position {
            command.arg(scripts::READ_CHANGES).arg(2).arg(revision).arg(log);
            command.arg(position.revision).arg(if self.reads_log { LOG_LENGTH + 1 } else { 0 });
        } else {
            command.arg(scripts::READ_ALL).arg(3).arg(members).arg(revision).arg(log);
            command.arg(MAX_MEMBERS).arg(MAX_BYTES);
        }
        command
    }

    /// Takes the answer to [`Self::question`]. `None` if the whole set has to be read, for which the next question asks. So it
    /// does after an error.
    ///
    /// # Errors
    /// The set is too large, or the answer is not what the server's script returns.
    pub fn take(&mut self, answer: &Value) -> Result<Option<Update>, StoreFault> {
        let Some(position) = self.position.take() else {
            let (position, members) = whole(answer)?;
            let revision = position.revision;
            self.position = Some(position);
            return Ok(Some(Update::Whole { members, revision }));
        };
        let answer = items(answer).ok_or(StoreFault::Unexpected)?;
        let revision = answer.first().and_then(number).and_then(|revision| u64::try_from(revision).ok());
        let revision = revision.ok_or(StoreFault::Unexpected)?;
        if revision == position.revision {
            self.position = Some(position);
            return Ok(Some(Update::Unchanged));
        }
        if !self.reads_log {
            return Ok(None);
        }
        let records = answer.get(1).and_then(items).unwrap_or_default();
        let Some((members, record)) = followed(&position, records, revision) else { return Ok(None) };
        self.position = Some(Position { revision, record });
        Ok(Some(Update::Added { members, revision }))
    }
}

/// Reads the answer of [`scripts::READ_ALL`].
fn whole(value: &Value) -> Result<(Position, Vec<Member>), StoreFault> {
    let (revision, last, count, bytes, all) = match items(value) {
        Some([revision, last, count, bytes]) => (revision, last, count, bytes, None),
        Some([revision, last, count, bytes, all]) => (revision, last, count, bytes, items(all)),
        _ => return Err(StoreFault::Unexpected),
    };
    let size = |value| number(value).and_then(|number| usize::try_from(number).ok());
    let count = size(count).ok_or(StoreFault::Unexpected)?;
    let Some(all) = all else {
        return Err(size(bytes).map_or(StoreFault::TooMany(count), StoreFault::TooLong));
    };
    // The server counts them too, but this is where memory is used.
    if all.len() > 2 * MAX_MEMBERS {
        return Err(StoreFault::TooMany(all.len() / 2));
    }
    let revision = number(revision).and_then(|revision| u64::try_from(revision).ok());
    let record = text(last).filter(|record| revision_of(record) == revision).unwrap_or_default();
    let position = Position { revision: revision.ok_or(StoreFault::Unexpected)?, record };
    let member = |pair: &[Value]| match pair {
        [member, score] => Some(Member { text: text(member)?, until: until(&text(score)?)? }),
        _ => None,
    };
    let members = all.chunks(2).map(member).collect::<Option<_>>();
    Ok((position, members.ok_or(StoreFault::Unexpected)?))
}

/// The members that were added between a position and a revision, and the last record. `None` if the records do not lead
/// from there to here, or something was removed.
fn followed(from: &Position, records: &[Value], revision: u64) -> Option<(Vec<Member>, String)> {
    let mut records = records.iter().map(text);
    let mut last = from.record.clone();
    if !last.is_empty() && records.next()? != Some(last.clone()) {
        return None;
    }
    let mut added = Vec::new();
    let mut expected = from.revision;
    for record in records {
        let record = record?;
        expected = expected.checked_add(1)?;
        let mut parts = record.splitn(5, ' ');
        let number = parts.next()?.parse::<u64>().ok()?;
        let (change, score, _, member) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if number != expected || change != "+" {
            return None;
        }
        added.push(Member { text: member.to_owned(), until: until(score)? });
        last = record;
    }
    // Later ones than the revision cannot be there: the server answers in one step.
    (expected == revision).then_some((added, last))
}

fn revision_of(record: &str) -> Option<u64> {
    record.split(' ').next()?.parse().ok()
}

/// The end that a score stands for; `None` if it is not a number.
fn until(score: &str) -> Option<Option<f64>> {
    match score {
        "inf" | "+inf" => Some(None),
        number => number.parse::<f64>().ok().filter(|number| !number.is_nan()).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(lines: &[&str]) -> Vec<Value> {
        lines.iter().map(|line| Value::BulkString(line.as_bytes().to_vec())).collect()
    }

    fn at(revision: u64, record: &str) -> Position {
        Position { revision, record: record.to_owned() }
    }

    fn member(text: &str, until: Option<f64>) -> Member {
        Member { text: text.to_owned(), until }
    }

    #[test]
    fn records_without_a_gap_are_followed() {
        let log = records(&["4 + +inf aa one", "5 + 1800000000 bb {\"jti\": \"x y\"}", "6 + +inf bb two"]);
        let (added, last) = followed(&at(4, "4 + +inf aa one"), &log, 6).unwrap();
        assert_eq!(added, [member("{\"jti\": \"x y\"}", Some(1_800_000_000.0)), member("two", None)]);
        assert_eq!(last, "6 + +inf bb two");
        let (added, last) = followed(&at(0, ""), &records(&["1 + +inf aa one"]), 1).unwrap();
        assert_eq!((added.len(), &*last), (1, "1 + +inf aa one"));
    }

    #[test]
    fn everything_else_needs_the_whole_set() {
        let known = "4 + +inf aa one";
        for (log, revision) in [
            // A gap, also at either end.
            (&[known, "6 + +inf bb two"][..], 6),
            (&["5 + +inf bb two"], 5),
            (&[known], 5),
            (&[known, "5 + +inf bb two"], 6),
            (&[], 5),
            // Another history.
            (&["4 + +inf zz one", "5 + +inf bb two"], 5),
            (&[known], 3),
            // A removal.
            (&[known, "5 - +inf bb one"], 5),
            // Not records.
            (&[known, "5 + +inf bb"], 5),
            (&[known, "5 + soon bb two"], 5),
            (&[known, "five + +inf bb two"], 5),
        ] {
            assert_eq!(followed(&at(4, known), &records(log), revision), None, "{log:?} {revision}");
        }
    }
}
