//! Reads the revocation file: a YAML list, or one JSON object per line.
//!
//! A list of JSON lines may have millions of entries. It is read line by line, so that only the list itself is held in
//! memory, and never the file.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use secrecy::{ExposeSecret as _, SecretSlice};

use super::document::Problem;
use crate::file_watch::{Content, Digesting, LastRead, Stamp};
use crate::numeric_date::NumericDate;
use crate::revocation::{ListTooLong, Remark, Revocations};

mod entries;
mod json;

pub use entries::WrittenEntry;

/// The maximum size of the file. YAML has smaller limits.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// What is needed to make a list of its entries, wherever they come from.
#[derive(Clone, Debug, Default)]
pub struct ListFormat {
    salt: Option<SecretSlice<u8>>,
    /// Every name of an issuer entry and every `iss` that one binds.
    issuers: BTreeSet<Box<str>>,
}

/// A list that was read, without entries that have ended.
#[derive(Clone, Debug, Default)]
pub struct ReadList {
    /// The list.
    pub list: Arc<Revocations>,
    /// When the next entry ends.
    pub next_end: Option<NumericDate>,
}

impl ListFormat {
    pub(super) fn new(salt: Option<SecretSlice<u8>>, issuers: BTreeSet<Box<str>>) -> Self {
        Self { salt, issuers }
    }

    /// Whether lists that were made with `other` are those that this makes.
    pub fn makes_same_lists(&self, other: &Self) -> bool {
        let salt = |format: &Self| format.salt.as_ref().map(|salt| salt.expose_secret().to_vec());
        salt(self) == salt(other)
    }

    /// Whether an issuer entry has this name or binds this `iss`.
    pub fn knows_issuer(&self, name: &str) -> bool {
        self.issuers.contains(name)
    }

    /// The issuers named in a list that no issuer entry has. List entries for them revoke nothing.
    pub fn unknown_issuers<'l>(&self, list: &'l Revocations) -> BTreeSet<&'l str> {
        list.issuers().filter(|name| !self.issuers.contains(*name)).collect()
    }

    /// Reads a document in the format of the file. `source` names it in errors.
    ///
    /// # Errors
    /// All problems of the list. A list is accepted as a whole or not at all.
    pub fn read(
        &self,
        source: &str,
        document: &[u8],
        now: NumericDate,
    ) -> Result<ReadList, RevocationFileFault> {
        self.read_from(&source, document, now).map(|(read, _)| read)
    }

    /// A list without entries.
    pub fn empty(&self) -> Revocations {
        Revocations::with_salt(self.salt.clone())
    }

    fn read_from(
        &self,
        source: &dyn fmt::Display,
        reader: impl Read,
        now: NumericDate,
    ) -> Result<(ReadList, Content), RevocationFileFault> {
        let mut list = self.empty();
        let mut next_end: Option<NumericDate> = None;
        let content = entries_of(source, reader, |entry| {
            if entry.until.is_some_and(|until| until <= now) {
                return Ok(());
            }
            next_end = entry.until.into_iter().chain(next_end).min();
            let remark = Remark { until: entry.until, note: entry.note.as_deref() };
            list.add(&entry.revocation, remark)
        })?;
        Ok((ReadList { list: Arc::new(list.complete()), next_end }, content))
    }
}

/// The revocation file and what is needed to parse it.
#[derive(Clone, Debug)]
pub struct RevocationFile {
    path: PathBuf,
    format: ListFormat,
}

/// The list at the time it was read.
#[derive(Clone, Debug)]
pub struct Version {
    /// The list, without entries that have ended.
    pub list: Arc<Revocations>,
    content: Content,
    /// When the next entry ends.
    next_end: Option<NumericDate>,
}

/// What a check of the file found.
#[derive(Debug)]
pub enum Checked {
    /// The metadata say that nothing has changed since the last check; nothing was read.
    NotRead,
    /// The content is that of the known version.
    Unchanged,
    /// A new list.
    Changed(Version),
}

/// When the file was last read. A new one makes the next check read the file.
#[derive(Debug, Default)]
pub struct FileState(Option<LastRead>);

/// Why a list is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RevocationFileFault {
    cause: String,
    /// The problems in its text; empty if it could not be read at all.
    pub(super) problems: Vec<Problem>,
    /// Whether the same file may be readable at the next check.
    is_transient: bool,
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
    pub(super) fn new(path: PathBuf, format: ListFormat) -> Self {
        Self { path, format }
    }

    /// How its lists are made.
    pub fn format(&self) -> &ListFormat {
        &self.format
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the list. Entries that have ended by `now` are not part of it.
    ///
    /// # Errors
    /// All problems of the list. A list is accepted as a whole or not at all.
    pub fn read(&self, now: NumericDate) -> Result<Version, RevocationFileFault> {
        let file = File::open(&self.path).map_err(|error| self.unreadable(&error))?;
        let (ReadList { list, next_end }, content) = self.format.read_from(&self.place(), file, now)?;
        Ok(Version { list, content, next_end })
    }

    /// Every entry of a list, as it is written, with the rules of [`Self::read`].
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn written(path: &Path, text: &[u8]) -> Result<Vec<WrittenEntry>, RevocationFileFault> {
        let mut entries = Vec::new();
        entries_of(&format_args!("the file {}", path.display()), text, |entry| {
            entries.push(entry);
            Ok(())
        })?;
        Ok(entries)
    }

    /// Reads the list if it may differ from `known`, which it also does once an entry has ended. `state` is that of the
    /// last check; a file that is refused is also read again only after it has changed.
    ///
    /// # Errors
    /// As [`RevocationFile::read`].
    pub fn check(
        &self,
        known: Option<&Version>,
        state: &mut FileState,
        clock: impl Fn() -> Instant,
        date: NumericDate,
    ) -> Result<Checked, RevocationFileFault> {
        let before = state.0.take();
        let unreadable = |error| self.unreadable(&error);
        let file = File::open(&self.path).map_err(unreadable)?;
        let (stamp, now) = (Stamp::of(&file).map_err(unreadable)?, clock());
        if before.is_some_and(|before| before.holds(stamp, now)) {
            state.0 = before;
            return Ok(Checked::NotRead);
        }
        let last = LastRead::new(before.as_ref(), stamp, now);
        if let Some(known) = known
            && known.next_end.is_none_or(|end| end > date)
            && Content::of(file.take(MAX_BYTES + 1)).map_err(unreadable)? == known.content
        {
            state.0 = Some(last);
            return Ok(Checked::Unchanged);
        }
        let version = self.read(date);
        if version.as_ref().err().is_none_or(|fault| !fault.is_transient) {
            state.0 = Some(last);
        }
        version.map(Checked::Changed)
    }

    fn unreadable(&self, error: &io::Error) -> RevocationFileFault {
        unreadable(&self.place(), error)
    }

    /// Its name in errors.
    fn place(&self) -> String {
        format!("the file {}", self.path.display())
    }
}

fn unreadable(source: &dyn fmt::Display, error: &io::Error) -> RevocationFileFault {
    RevocationFileFault {
        cause: format!("{source} cannot be read: {error}"),
        is_transient: error.kind() != ErrorKind::FileTooLarge,
        ..RevocationFileFault::default()
    }
}

/// Passes each entry to `add`, and returns the digest of the content.
fn entries_of(
    source: &dyn fmt::Display,
    file: impl Read,
    add: impl FnMut(WrittenEntry) -> Result<(), ListTooLong>,
) -> Result<Content, RevocationFileFault> {
    let mut reader = BufReader::new(Digesting::new(file.take(MAX_BYTES + 1)));
    let mut length = 0;
    let read = entries::read(&mut reader, &mut length, add);
    if length > MAX_BYTES {
        let error = io::Error::new(ErrorKind::FileTooLarge, format!("longer than {MAX_BYTES} bytes"));
        return Err(unreadable(source, &error));
    }
    match read {
        Ok(problems) if problems.is_empty() => Ok(reader.into_inner().content()),
        Ok(problems) => Err(RevocationFileFault { problems, ..RevocationFileFault::default() }),
        Err(error) if error.kind() == ErrorKind::InvalidData => Err(RevocationFileFault {
            cause: format!("{source} is not UTF-8 text"),
            ..RevocationFileFault::default()
        }),
        Err(error) => Err(unreadable(source, &error)),
    }
}
