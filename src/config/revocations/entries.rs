//! The entries of a revocation file.

use std::io::{self, BufRead, ErrorKind, Read as _};

use super::super::document::{self, Entry, Node, Position, Problem, Value};
use super::super::values::quote;
use super::super::words::nearest;
use crate::numeric_date::NumericDate;
use crate::revocation::{ListTooLong, Revocation, RevokedBy};

/// The maximum number of reported problems of one list.
const MAX_PROBLEMS: usize = 20;
/// Further members of an entry.
pub(super) const ISSUER: &str = "issuer";
pub(super) const ISSUED_BEFORE: &str = "issuedBefore";
pub(super) const UNTIL: &str = "until";
pub(super) const NOTE: &str = "note";

/// An entry as it is written in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenEntry {
    /// The tokens that it revokes.
    pub revocation: Revocation,
    /// When it ends.
    pub until: Option<NumericDate>,
    /// What somebody noted about it.
    pub note: Option<Box<str>>,
    /// Where it begins.
    pub at: Position,
}

impl WrittenEntry {
    /// Whether this one revokes the same tokens as `new`, for at least as long.
    pub fn covers(&self, new: &Self) -> bool {
        let long_enough = self.until.is_none_or(|listed| new.until.is_some_and(|new| new <= listed));
        self.revocation == new.revocation && long_enough
    }
}

/// Reads all entries, and returns the problems; the first 20 of them if there are more. `length` counts the bytes.
///
/// # Errors
/// Reading fails. The error's kind is [`ErrorKind::InvalidData`] if the file is not UTF-8 text.
pub(super) fn read(
    reader: &mut impl BufRead,
    length: &mut u64,
    mut add: impl FnMut(WrittenEntry) -> Result<(), ListTooLong>,
) -> io::Result<Vec<Problem>> {
    let mut lines = Lines { line: Vec::new(), number: 0, length };
    // Blank lines, so that a YAML document has its positions.
    let mut blank = String::new();
    while let Some(line) = lines.next(reader)? {
        if line.trim_start().starts_with('{') {
            return json_lines(lines, reader, &mut add);
        }
        if !line.trim().is_empty() {
            let text = lines.rest(reader, blank)?;
            return Ok(yaml(&text, &mut add));
        }
        blank.push('\n');
    }
    Ok(yaml("", &mut add))
}

/// The lines of a file, one at a time.
struct Lines<'l> {
    line: Vec<u8>,
    number: usize,
    length: &'l mut u64,
}

impl Lines<'_> {
    /// The next line, without its end.
    fn next(&mut self, reader: &mut impl BufRead) -> io::Result<Option<&str>> {
        self.line.clear();
        if reader.read_until(b'\n', &mut self.line)? == 0 {
            return Ok(None);
        }
        *self.length += self.line.len() as u64;
        self.number += 1;
        self.current().map(Some)
    }

    /// The last line that was read.
    fn current(&self) -> io::Result<&str> {
        let line =
            str::from_utf8(&self.line).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        let line = if self.number == 1 { line.strip_prefix('\u{feff}').unwrap_or(line) } else { line };
        let line = line.strip_suffix('\n').unwrap_or(line);
        Ok(line.strip_suffix('\r').unwrap_or(line))
    }

    /// The current line and all further ones, after `before`: as much as a YAML document may have, and one byte more.
    fn rest(&mut self, reader: &mut impl BufRead, before: String) -> io::Result<String> {
        let mut text = before + self.current()? + "\n";
        let limit = (document::MAX_BYTES + 1).saturating_sub(text.len()) as u64;
        let mut bytes = Vec::new();
        *self.length += reader.take(limit).read_to_end(&mut bytes)? as u64;
        // Read to the end: the digest covers the whole file.
        *self.length += io::copy(reader, &mut io::sink())?;
        match String::from_utf8(bytes) {
            Ok(rest) => text.push_str(&rest),
            // Cut off within a character. The text is too long in any case.
            Err(error) if text.len() + error.as_bytes().len() > document::MAX_BYTES => {
                text.push_str(&String::from_utf8_lossy(error.as_bytes()));
            }
            Err(error) => return Err(io::Error::new(ErrorKind::InvalidData, error)),
        }
        Ok(text)
    }
}

/// Adds the entries of a YAML list.
fn yaml(text: &str, add: &mut impl FnMut(WrittenEntry) -> Result<(), ListTooLong>) -> Vec<Problem> {
    let document = document::parse(text);
    let mut problems = document.problems;
    let nodes = match document.root.value {
        Value::List(items) => items,
        // A file that is just being written may be empty for a moment. Accepting it would revoke nothing.
        Value::Null if problems.is_empty() => {
            return vec![problem(document.root.at, "is empty; write a list without entries as `[]`")];
        }
        _ if problems.is_empty() => {
            return vec![problem(document.root.at, "is neither a YAML list nor one JSON object per line")];
        }
        _ => Vec::new(),
    };
    if problems.is_empty() {
        let added = nodes.iter().map(|node| entry(node).and_then(|entry| added(add(entry), node.at)));
        problems.extend(added.filter_map(Result::err).take(MAX_PROBLEMS));
    }
    problems
}

/// Adds the entries of JSON lines, from the current line on.
fn json_lines(
    mut lines: Lines<'_>,
    reader: &mut impl BufRead,
    add: &mut impl FnMut(WrittenEntry) -> Result<(), ListTooLong>,
) -> io::Result<Vec<Problem>> {
    // Lines that are not JSON are reported first, because they may be why other entries are odd.
    let (mut unreadable, mut wrong) = (Vec::new(), Vec::new());
    let mut more = true;
    while more && unreadable.len() < MAX_PROBLEMS {
        let number = lines.number;
        let here = |problem: Problem| Problem { at: Position { line: number, ..problem.at }, ..problem };
        let line = lines.current()?;
        if !line.trim().is_empty() {
            match of_line(line) {
                Ok(entry) => {
                    let entry = WrittenEntry { at: Position { line: number, column: 1 }, ..entry };
                    wrong.extend(added(add(entry), Position::START).err().map(here));
                }
                Err(LineFault::Unreadable(problems)) => unreadable.extend(problems.into_iter().map(here)),
                Err(LineFault::Wrong(problem)) => wrong.push(here(problem)),
            }
            wrong.truncate(MAX_PROBLEMS);
        }
        more = lines.next(reader)?.is_some();
    }
    Ok(if unreadable.is_empty() { wrong } else { unreadable })
}

pub(super) enum LineFault {
    /// It is not JSON.
    Unreadable(Vec<Problem>),
    /// It is not an entry.
    Wrong(Problem),
}

/// Reads one JSON line.
pub(super) fn of_line(line: &str) -> Result<WrittenEntry, LineFault> {
    if let Some(entry) = plain_map(line).and_then(|node| entry(&node).ok()) {
        return Ok(entry);
    }
    let document = document::parse(line);
    if document.problems.is_empty() {
        entry(&document.root).map_err(LineFault::Wrong)
    } else {
        Err(LineFault::Unreadable(document.problems))
    }
}

/// `{"key": "value", ...}` with printable ASCII and without escapes: what most lines are. Reading it as YAML takes
/// several times as long. `None` for every other line, and for a key that is written twice.
fn plain_map(line: &str) -> Option<Node> {
    let at = Position::START;
    let mut entries: Vec<Entry> = Vec::new();
    let mut rest = line.trim_matches(' ').strip_prefix('{')?.strip_suffix('}')?;
    loop {
        let (key, after) = plain_text(rest)?;
        let (text, after) = plain_text(after.trim_start_matches(' ').strip_prefix(':')?)?;
        if entries.iter().any(|entry| entry.key == key) {
            return None;
        }
        entries.push(Entry { key: key.to_owned(), key_at: at, node: Node::text(text, at) });
        let after = after.trim_start_matches(' ');
        if after.is_empty() {
            return Some(Node { at, value: Value::Map(entries) });
        }
        rest = after.strip_prefix(',')?;
    }
}

/// A quoted text, and what follows it.
fn plain_text(text: &str) -> Option<(&str, &str)> {
    let (quoted, rest) = text.trim_start_matches(' ').strip_prefix('"')?.split_once('"')?;
    let plain = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'\\';
    quoted.bytes().all(plain).then_some((quoted, rest))
}

fn added(result: Result<(), ListTooLong>, at: Position) -> Result<(), Problem> {
    result.map_err(|error| problem(at, error.to_string()))
}

fn entry(node: &Node) -> Result<WrittenEntry, Problem> {
    let Value::Map(members) = &node.value else {
        return Err(problem(node.at, format!("an entry is a map, and this is {}", node.kind())));
    };
    let (mut by, mut issuer, mut issued_before, mut until, mut note) = (None, None, None, None, None);
    for member in members {
        let at = member.node.at;
        let Value::Scalar { text, .. } = &member.node.value else {
            return Err(problem(at, format!("`{}` is {} and not a text", member.key, member.node.kind())));
        };
        let kind = RevokedBy::ALL.into_iter().find(|kind| kind.as_str() == member.key);
        match (kind, member.key.as_str()) {
            (Some(kind), key) => {
                if let Some((other, _)) = by {
                    let other: RevokedBy = other;
                    let message = format!("has `{}` and `{key}`: write two entries", other.as_str());
                    return Err(problem(at, message));
                }
                let entry = Revocation::new(kind, text)
                    // The message omits the value, because it may be a whole token.
                    .map_err(|message| problem(at, format!("`{key}` {message}")))?;
                by = Some((kind, entry));
            }
            (None, ISSUER) if !text.is_empty() => issuer = Some(text.as_str().into()),
            (None, ISSUER) => return Err(problem(at, "`issuer` is empty; leave it out for any issuer")),
            (None, ISSUED_BEFORE) => issued_before = Some(time(ISSUED_BEFORE, text, at)?),
            (None, UNTIL) => until = Some(time(UNTIL, text, at)?),
            (None, NOTE) => note = Some(text.as_str().into()),
            (None, key) => return Err(problem(at, unknown(key))),
        }
    }
    let Some((kind, entry)) = by else {
        let kinds = RevokedBy::ALL.map(RevokedBy::as_str).join(", ");
        return Err(problem(node.at, format!("an entry has one of {kinds}")));
    };
    if issued_before.is_some() && kind != RevokedBy::Subject {
        return Err(problem(node.at, "`issuedBefore` is only for entries with `sub`"));
    }
    let revocation = entry.of_issuer(issuer).issued_before(issued_before);
    Ok(WrittenEntry { revocation, until, note, at: node.at })
}

fn time(key: &str, text: &str, at: Position) -> Result<NumericDate, Problem> {
    NumericDate::from_text(text).ok_or_else(|| {
        let example = "2026-01-31T12:00:00Z, or seconds since 1970";
        problem(at, format!("`{key}`: {} is not a time like {example}", quote(text)))
    })
}

fn unknown(key: &str) -> String {
    let known = RevokedBy::ALL.map(RevokedBy::as_str).into_iter().chain([ISSUER, ISSUED_BEFORE, UNTIL, NOTE]);
    let hint = nearest(key, known).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    format!("{}: unknown key{hint}", quote(key))
}

fn problem(at: Position, message: impl Into<String>) -> Problem {
    Problem { at, message: message.into(), help: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(text: &str) -> (Vec<Revocation>, io::Result<Vec<Problem>>) {
        let mut entries = Vec::new();
        let read = read(&mut text.as_bytes(), &mut 0, |entry| {
            entries.push(entry.revocation);
            Ok(())
        });
        (entries, read)
    }

    #[test]
    fn a_plain_line_is_read_as_yaml_reads_it() {
        for line in [
            r#"{"jti":"a"}"#,
            r#"  { "jti" : "a b" , "note":"x: {y}, # z" }  "#,
            r#"{"sub":"~","issuer":"null"}"#,
            r#"{"sub":" a ","issuedBefore":"2026-01-31T12:00:00Z"}"#,
            r#"{"":""}"#,
        ] {
            let plain = plain_map(line).unwrap();
            let read = document::parse(line);
            assert_eq!(read.problems, [], "{line}");
            assert_eq!(plain.json(), read.root.json(), "{line}");
            let same = |node| entry(node).ok().map(|entry| WrittenEntry { at: Position::START, ..entry });
            assert_eq!(same(&plain), same(&read.root), "{line}");
        }
    }

    #[test]
    fn other_lines_are_left_to_yaml() {
        for line in [
            "{}",
            r#"{"jti":a}"#,
            r#"{"jti":1}"#,
            r#"{"jti":null}"#,
            r#"{"jti":"a",}"#,
            r#"{"jti":"a" "b":"c"}"#,
            r#"{"jti":"a","jti":"b"}"#,
            r#"{"jti":"a\u0062"}"#,
            "{\"jti\":\"a\tb\"}",
            "{\"jti\":\t\"a\"}",
            "{\"jti\":\"\u{e9}\"}",
            r#"{"jti":"a"} # note"#,
            r#"{"jti":"a"#,
            r#"{"jti":["a"]}"#,
        ] {
            assert!(plain_map(line).is_none(), "{line}");
        }
        let (entries, problems) = read_all("{\"jti\":\"\\u0061\"}\n{jti: 007} # a note\n");
        assert_eq!(problems.unwrap(), []);
        let of = |text| Revocation::new(RevokedBy::Id, text).unwrap();
        assert_eq!(entries, [of("a"), of("007")]);
    }

    #[test]
    fn the_first_problems_of_a_long_list_are_reported() {
        for (line, column) in [("{\"jti\": \"a\"", 1), ("{\"jit\": \"a\"}", 9)] {
            let (_, problems) =
                read_all(&format!("{{\"jti\":\"a\"}}\n\n{}", format!("{line}\n").repeat(1000)));
            let problems = problems.unwrap();
            assert_eq!(problems.len(), MAX_PROBLEMS, "{line}");
            assert_eq!(problems[0].at.line, 3, "{line}");
            assert!(problems[0].at.column >= column, "{line}: {problems:?}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_found_in_any_line() {
        for text in [&b"{\"jti\":\"a\"}\n{\"jti\":\"\xff\"}"[..], b"- jti: a\n- jti: \xff\n", b"\xff"] {
            let read = read(&mut &text[..], &mut 0, |_| Ok(()));
            assert_eq!(read.unwrap_err().kind(), ErrorKind::InvalidData);
        }
    }

    #[test]
    fn a_long_yaml_list_is_refused_with_its_length_counted() {
        let text = format!("- jti: {}\u{e9}\n", "a".repeat(document::MAX_BYTES));
        let mut length = 0;
        let problems = read(&mut text.as_bytes(), &mut length, |_| Ok(())).unwrap();
        assert!(problems[0].message.contains("the text is longer than"), "{problems:?}");
        assert_eq!(length, text.len() as u64);
    }
}
