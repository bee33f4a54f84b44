//! The allow-list that a command changes.

use std::path::PathBuf;

use super::ListArguments;
use crate::bot_list::INTERVAL;
use crate::bots::Bot;
use crate::command::{ConfigArguments, Failure, write_out};
use crate::config::{self, BotFile, Flags, Sources, bots_text};
use crate::list_file;

/// A list, and the configuration that it belongs to.
pub(super) struct List {
    path: PathBuf,
    pub(super) config: ConfigArguments,
}

impl List {
    pub(super) fn of(arguments: &ListArguments) -> Result<Self, Failure> {
        let config = arguments.config.clone();
        if let Some(file) = &arguments.file {
            return Ok(Self { path: file.clone(), config });
        }
        let sources = Sources::from_process(config.config.clone(), Flags::default());
        let path = config::bots_file(&sources).map_err(Failure::Config)?.ok_or_else(|| {
            Failure::Other("no allow-list: give --file, or --config with issuer.bots.file".to_owned())
        })?;
        Ok(Self { path, config })
    }

    /// The bots as they are written. A file that does not exist has none.
    pub(super) fn read(&self) -> Result<Vec<Bot>, Failure> {
        let text = list_file::read(&self.path)?;
        text.map_or_else(|| Ok(Vec::new()), |text| self.parsed(&text))
    }

    fn parsed(&self, text: &str) -> Result<Vec<Bot>, Failure> {
        if text.is_empty() {
            return Ok(Vec::new());
        }
        BotFile::written(text).map_err(|fault| {
            Failure::Other(format!("{} is invalid and was not changed: {fault}", self.path.display()))
        })
    }

    /// Changes the list in one step. With `print` it is printed instead.
    pub(super) fn change<T>(
        &self,
        print: bool,
        change: impl Fn(&mut Vec<Bot>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let changed = |text: &str| -> Result<(String, T), Failure> {
            let mut bots = self.parsed(text)?;
            let result = change(&mut bots)?;
            let text = bots_text(&bots);
            // What the process would refuse must not be written.
            self.parsed(&text)?;
            Ok((text, result))
        };
        if print {
            let before = list_file::read(&self.path)?.unwrap_or_default();
            let (text, result) = changed(&before)?;
            write_out(&text)?;
            return Ok(result);
        }
        list_file::change(&self.path, |text| {
            let (text, result) = changed(text)?;
            Ok((Some(text), result))
        })
    }

    /// Says what was done, on standard error: standard output has the token, or the list.
    pub(super) fn say(&self, print: bool, what: &str) {
        if print {
            eprintln!("{what} in the printed list; {} was not changed", self.path.display());
        } else {
            eprintln!("{what} in {}", self.path.display());
        }
    }

    /// Says when a change applies.
    pub(super) fn say_when_applied(&self, print: bool) {
        if !print {
            eprintln!("a running metagate checks its list every {} seconds", INTERVAL.as_secs());
        }
    }
}
