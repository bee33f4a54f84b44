//! Reads and writes the allow-list of bots (`issuer.bots`): a file, or the members of a set in the store.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::StoreAccess;
use super::document::{self, Problem};
use crate::bots::{Bot, Bots};
use crate::digest::Sha256;
use crate::digest::sha256;
use crate::file_watch::{LastRead, Stamp};
use crate::numeric_date::NumericDate;

mod entries;
mod written;

pub use written::{json as bot_json, text as bots_text};

/// The most tokens of a list. A list is kept in memory as a whole.
pub const MAX_BOT_TOKENS: usize = 10_000;

/// Where the allow-list is.
#[derive(Clone, Debug)]
pub enum BotSource {
    /// In a file.
    File(BotFile),
    /// In the store that replicas share.
    Store(Arc<StoreAccess>),
}

/// The bots of members of the store, each one JSON object.
///
/// # Errors
/// What is wrong with one of them. The list is accepted as a whole or not at all.
pub fn bots_of_members<'t>(members: impl IntoIterator<Item = &'t str>) -> Result<Vec<Bot>, String> {
    let problem = |problem: Problem| format!("an entry of the store is invalid: {}", problem.message);
    entries::read_each(members).map_err(problem)
}

/// The allow-list's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BotFile {
    path: PathBuf,
}

/// The list at the time it was read.
#[derive(Clone, Debug)]
pub struct BotVersion {
    /// The list, without tokens that have ended.
    pub bots: Arc<Bots>,
    digest: Sha256,
    /// When the next token ends.
    next_end: Option<NumericDate>,
}

/// When the file was last read.
#[derive(Debug, Default)]
pub struct BotFileState(Option<LastRead>);

/// Why a list is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BotFileFault {
    cause: String,
    problems: Vec<Problem>,
}

impl std::error::Error for BotFileFault {}

impl fmt::Display for BotFileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.problems.first() else { return f.write_str(&self.cause) };
        write!(f, "line {}: {}", first.at.line, first.message)?;
        match self.problems.len() - 1 {
            0 => Ok(()),
            more => write!(f, " (and {more} more)"),
        }
    }
}

impl BotFile {
    /// The file at this path.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the list. Tokens that have ended by `now` are not part of it.
    ///
    /// # Errors
    /// All problems of the list. A list is accepted as a whole or not at all.
    pub fn read(&self, now: NumericDate) -> Result<BotVersion, BotFileFault> {
        self.read_from(self.open()?, now)
    }

    /// Reads the list if it may differ from `known`, which it also does once a token has ended. `state` is that of the
    /// last check. `None` if the list is the known one.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn check(
        &self,
        known: Option<&BotVersion>,
        state: &mut BotFileState,
        clock: impl Fn() -> Instant,
        now: NumericDate,
    ) -> Result<Option<BotVersion>, BotFileFault> {
        let before = state.0.take();
        let file = self.open()?;
        let (stamp, at) = (Stamp::of(&file).map_err(|error| self.unreadable(&error))?, clock());
        let is_current = known.filter(|known| known.next_end.is_none_or(|end| end > now));
        if before.is_some_and(|before| before.holds(stamp, at)) && is_current.is_some() {
            state.0 = before;
            return Ok(None);
        }
        let last = LastRead::new(before.as_ref(), stamp, at);
        let version = self.read_from(file, now)?;
        state.0 = Some(last);
        Ok(Some(version).filter(|new| is_current.is_none_or(|known| known.digest != new.digest)))
    }

    /// The bots of a list as they are written, with the rules of [`Self::read`].
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn written(text: &str) -> Result<Vec<Bot>, BotFileFault> {
        entries::read(text).map_err(|problems| BotFileFault { cause: String::new(), problems })
    }

    fn open(&self) -> Result<File, BotFileFault> {
        File::open(&self.path).map_err(|error| self.unreadable(&error))
    }

    fn read_from(&self, file: File, now: NumericDate) -> Result<BotVersion, BotFileFault> {
        let mut bytes = Vec::new();
        let limit = document::MAX_BYTES as u64 + 1;
        file.take(limit).read_to_end(&mut bytes).map_err(|error| self.unreadable(&error))?;
        if bytes.len() as u64 >= limit {
            return Err(self.fault(&format!("is longer than {} bytes", document::MAX_BYTES)));
        }
        let text = str::from_utf8(&bytes).map_err(|_| self.fault("is not UTF-8 text"))?;
        let bots = Bots::new(Self::written(text)?).at(now);
        let next_end = bots.next_end(now);
        Ok(BotVersion { bots: Arc::new(bots), digest: sha256(&bytes), next_end })
    }

    fn unreadable(&self, error: &io::Error) -> BotFileFault {
        self.fault(&format!("cannot be read: {error}"))
    }

    fn fault(&self, what: &str) -> BotFileFault {
        BotFileFault { cause: format!("the file {} {what}", self.path.display()), problems: Vec::new() }
    }
}

#[cfg(test)]
mod tests;
