//! The allow-list that a command changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{ListArguments, store};
use crate::bot_list::INTERVAL;
use crate::bots::Bot;
use crate::command::{ConfigArguments, Failure, write_out};
use crate::config::{self, BotFile, Flags, Sources, StoreAccess, bots_text};
use crate::list_file;

/// A list, and the configuration that it belongs to.
pub(super) struct List {
    place: Place,
    pub(super) config: ConfigArguments,
}

/// Where a list is.
enum Place {
    File(PathBuf),
    Store(Arc<StoreAccess>),
}

impl List {
    pub(super) fn of(arguments: &ListArguments) -> Result<Self, Failure> {
        let config = arguments.config.clone();
        Ok(Self { place: Place::of(arguments)?, config })
    }

    /// The bots as they are written. A file that does not exist has none.
    pub(super) fn read(&self) -> Result<Vec<Bot>, Failure> {
        match &self.place {
            Place::File(path) => {
                let text = list_file::read(path)?;
                text.map_or_else(|| Ok(Vec::new()), |text| parsed(path, &text))
            }
            Place::Store(access) => store::read(access).map(|(bots, _)| bots).map_err(Failure::Other),
        }
    }

    /// Changes the list in one step. With `print` it is printed instead.
    pub(super) fn change<T>(
        &self,
        print: bool,
        change: impl Fn(&mut Vec<Bot>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        if print {
            let mut bots = self.read()?;
            let result = change(&mut bots)?;
            let text = bots_text(&bots);
            check(&text)?;
            write_out(&text)?;
            return Ok(result);
        }
        match &self.place {
            Place::File(path) => list_file::change(path, |text| {
                let mut bots = parsed(path, text)?;
                let result = change(&mut bots)?;
                let text = bots_text(&bots);
                check(&text)?;
                Ok((Some(text), result))
            }),
            Place::Store(access) => store::change(access, change),
        }
    }

    /// Says what was done, on standard error: standard output has the token, or the list.
    pub(super) fn say(&self, print: bool, what: &str) {
        let place = match &self.place {
            Place::File(path) => path.display().to_string(),
            Place::Store(_) => "the store".to_owned(),
        };
        if print {
            eprintln!("{what} in the printed list; {place} was not changed");
        } else {
            eprintln!("{what} in {place}");
        }
    }

    /// Says when a change applies.
    pub(super) fn say_when_applied(&self, print: bool) {
        match &self.place {
            _ if print => {}
            Place::File(_) => {
                eprintln!("a running metagate checks its list every {} seconds", INTERVAL.as_secs());
            }
            Place::Store(_) => {
                eprintln!("every running metagate with this store applies it within a second");
            }
        }
    }
}

impl Place {
    fn of(arguments: &ListArguments) -> Result<Self, Failure> {
        if let Some(file) = &arguments.file {
            return Ok(Self::File(file.clone()));
        }
        let sources = Sources::from_process(arguments.config.config.clone(), Flags::default());
        let is_in_store = arguments.store || config::bots_are_in_store(&sources).map_err(Failure::Config)?;
        if is_in_store {
            let access = config::revocation_store(&sources).map_err(Failure::Config)?;
            let help = "give --config with authentication.revocations.store.url";
            let access = access.ok_or_else(|| Failure::Other(format!("no store: {help}")))?;
            return Ok(Self::Store(Arc::new(access)));
        }
        let file = config::bots_file(&sources).map_err(Failure::Config)?;
        file.map(Self::File).ok_or_else(|| {
            let help = "give --file, or --config with issuer.bots.file or issuer.bots.store";
            Failure::Other(format!("no allow-list: {help}"))
        })
    }
}

/// What the process would refuse must not be written.
fn check(text: &str) -> Result<(), Failure> {
    let refused = |fault| Failure::Other(format!("the list would be invalid, and was not changed: {fault}"));
    BotFile::written(text).map(drop).map_err(refused)
}

fn parsed(path: &Path, text: &str) -> Result<Vec<Bot>, Failure> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    BotFile::written(text).map_err(|fault| {
        Failure::Other(format!("{} is invalid and was not changed: {fault}", path.display()))
    })
}
