//! Reads the revocation file: a YAML list, or one JSON object per line.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::SecretSlice;

use super::document::{self, Node, Position, Problem, Value};
use super::files::read_limited;
use super::values::quote;
use super::words::nearest;
use crate::file_watch::Content;
use crate::numeric_date::NumericDate;
use crate::revocation::{Revocation, Revocations, RevokedBy};

/// The maximum size of the file. YAML has smaller limits.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// The maximum number of reported problems of one list.
const MAX_PROBLEMS: usize = 20;
/// Further members of an entry.
const ISSUER: &str = "issuer";
const ISSUED_BEFORE: &str = "issuedBefore";
const NOTE: &str = "note";

/// The revocation file and what is needed to parse it.
#[derive(Clone, Debug)]
pub struct RevocationFile {
    path: PathBuf,
    salt: Option<SecretSlice<u8>>,
    /// Every name of an issuer entry and every `iss` that one binds.
    issuers: BTreeSet<Box<str>>,
}

/// The list at the time it was read.
#[derive(Clone, Debug)]
pub struct Version {
    /// The list.
    pub list: Arc<Revocations>,
    content: Content,
}

/// Why a list is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RevocationFileFault {
    cause: String,
    /// The problems in its text; empty if it could not be read at all.
    pub(super) problems: Vec<Problem>,
}

impl std::error::Error for RevocationFileFault {}

impl fmt::Display for RevocationFileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.problems.first() else { return f.write_str(&self.cause) };
        write!(f, "line {}: {}", first.at.line, first.message)?;
        match self.problems.len() - 1 {
            0 => Ok(()),
            more => write!(f, " (and {more} more)"),
        }
    }
}

impl RevocationFile {
    pub(super) fn new(path: PathBuf, salt: Option<SecretSlice<u8>>, issuers: BTreeSet<Box<str>>) -> Self {
        Self { path, salt, issuers }
    }

    /// The issuers named in the list that no issuer entry has. List entries for them revoke nothing.
    pub fn unknown_issuers<'v>(&self, version: &'v Version) -> BTreeSet<&'v str> {
        version.list.issuers().filter(|name| !self.issuers.contains(*name)).collect()
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the list.
    ///
    /// # Errors
    /// All problems of the list. A list is accepted as a whole or not at all.
    pub fn read(&self) -> Result<Version, RevocationFileFault> {
        let bytes = self.bytes()?;
        self.version(&bytes)
    }

    /// Reads the list if its content differs from `known`.
    ///
    /// # Errors
    /// As [`RevocationFile::read`].
    pub fn read_again(&self, known: &Version) -> Result<Option<Version>, RevocationFileFault> {
        let bytes = self.bytes()?;
        if Content::of(&bytes) == known.content { Ok(None) } else { self.version(&bytes).map(Some) }
    }

    fn bytes(&self) -> Result<Vec<u8>, RevocationFileFault> {
        read_limited(&self.path, MAX_BYTES).map_err(|error| RevocationFileFault {
            cause: format!("the file {} cannot be read: {error}", self.path.display()),
            ..RevocationFileFault::default()
        })
    }

    fn version(&self, bytes: &[u8]) -> Result<Version, RevocationFileFault> {
        let text = str::from_utf8(bytes).map_err(|_| RevocationFileFault {
            cause: format!("the file {} is not UTF-8 text", self.path.display()),
            ..RevocationFileFault::default()
        })?;
        let entries = entries(text)
            .map_err(|problems| RevocationFileFault { problems, ..RevocationFileFault::default() })?;
        let list = Arc::new(Revocations::new(entries, self.salt.clone()));
        Ok(Version { list, content: Content::of(bytes) })
    }
}

/// All entries, or all problems.
fn entries(text: &str) -> Result<Vec<Revocation>, Vec<Problem>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut problems = Vec::new();
    let mut nodes = Vec::new();
    if text.trim_start().starts_with('{') {
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let document = document::parse(line);
            let at = |at: Position| Position { line: number + 1, ..at };
            let moved = |problem: Problem| Problem { at: at(problem.at), ..problem };
            problems.extend(document.problems.into_iter().map(moved));
            nodes.push(Node { at: at(document.root.at), ..document.root });
        }
    } else {
        let document = document::parse(text);
        problems.extend(document.problems);
        match document.root.value {
            Value::List(items) => nodes = items,
            // A file that is just being written may be empty for a moment. Accepting it would revoke nothing.
            Value::Null if problems.is_empty() => {
                problems.push(problem(document.root.at, "is empty; write a list without entries as `[]`"))
            }
            _ if problems.is_empty() => problems
                .push(problem(document.root.at, "is neither a YAML list nor one JSON object per line")),
            _ => {}
        }
    }
    let mut entries = Vec::with_capacity(nodes.len());
    if problems.is_empty() {
        for node in &nodes {
            match entry(node) {
                Ok(entry) => entries.push(entry),
                Err(problem) => problems.push(problem),
            }
            if problems.len() == MAX_PROBLEMS {
                break;
            }
        }
    }
    if problems.is_empty() { Ok(entries) } else { Err(problems) }
}

fn entry(node: &Node) -> Result<Revocation, Problem> {
    let Value::Map(members) = &node.value else {
        return Err(problem(node.at, format!("an entry is a map, and this is {}", node.kind())));
    };
    let (mut by, mut issuer, mut issued_before) = (None, None, None);
    for member in members {
        // In JSON lines a member's own line is always 1.
        let at = Position { line: node.at.line.max(member.node.at.line), ..member.node.at };
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
            (None, ISSUED_BEFORE) => {
                let time = NumericDate::from_text(text).ok_or_else(|| {
                    let example = "2026-01-31T12:00:00Z, or seconds since 1970";
                    problem(at, format!("`issuedBefore`: {} is not a time like {example}", quote(text)))
                })?;
                issued_before = Some(time);
            }
            (None, NOTE) => {}
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
    Ok(entry.of_issuer(issuer).issued_before(issued_before))
}

fn unknown(key: &str) -> String {
    let known = RevokedBy::ALL.map(RevokedBy::as_str).into_iter().chain([ISSUER, ISSUED_BEFORE, NOTE]);
    let hint = nearest(key, known).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    format!("{}: unknown key{hint}", quote(key))
}

fn problem(at: Position, message: impl Into<String>) -> Problem {
    Problem { at, message: message.into() }
}
