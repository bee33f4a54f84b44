//! `metagate revoke`: adds entries to a revocation list, lists them and removes them.
//!
//! The list is in a store, or a file that people edit too. A change keeps what they wrote, is checked with the reader of the process,
//! and replaces the file in one step.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::input::read_token;
use super::{ConfigArguments, Failure};
use crate::audit::rfc3339;
use crate::config::{self, Flags, Position, RevocationFile, Sources, StoreAccess, WrittenEntry};
use crate::list_file;
use crate::numeric_date::NumericDate;
use crate::printable;
use crate::revocation::RevokedBy;
use crate::revocation_list::{AFTER_EXPIRY_SECONDS, EditFault, INTERVAL, edit};

mod selection;
mod store;

use selection::{Selection, Target};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    new: NewEntry,
    #[command(flatten)]
    list: ListArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the entries of the list.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        list: ListArguments,
    },
    /// Remove entries from the list. The tokens that they revoked are accepted again.
    Remove(Removal),
}

#[derive(Debug, Args)]
struct NewEntry {
    #[command(flatten)]
    target: Target,
    /// Only tokens of this issuer: the name of an entry of authentication.issuers, or its iss.
    #[arg(long, value_name = "ISSUER")]
    issuer: Option<String>,
    /// With --sub: only tokens issued before this time, like 2026-01-31T12:00:00Z, or `now`.
    #[arg(long, value_name = "TIME", value_parser = time)]
    before: Option<NumericDate>,
    /// When the entry ends, like 2026-01-31T12:00:00Z. Default with --token-file: a day after the token expires.
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<NumericDate>,
    /// Why, as a note in the list.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

#[derive(Debug, Args)]
struct Removal {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    list: ListArguments,
}

/// Where the list is.
enum ListTarget {
    File(PathBuf),
    Store(Arc<StoreAccess>),
}

#[derive(Debug, Args)]
struct ListArguments {
    /// The list; by default the file that authentication.revocations.file of the configuration names.
    #[arg(long, value_name = "LIST", conflicts_with = "store")]
    file: Option<PathBuf>,
    /// The list in the store that authentication.revocations.store of the configuration names. It is also the default
    /// if the configuration names no file.
    #[arg(long)]
    store: bool,
    #[command(flatten)]
    config: ConfigArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        None => match arguments.list.target()? {
            ListTarget::File(path) => add(&arguments.new, &arguments.list, &path),
            ListTarget::Store(access) => store::add(&arguments.new, &arguments.list, &access),
        },
        Some(Command::List { json, list }) => match list.target()? {
            ListTarget::File(path) => print(*json, &path),
            ListTarget::Store(access) => store::print(*json, &access),
        },
        Some(Command::Remove(removal)) => match removal.list.target()? {
            ListTarget::File(path) => remove(removal, &path),
            ListTarget::Store(access) => store::remove(removal, &access),
        },
    }
}

fn add(new: &NewEntry, list: &ListArguments, path: &Path) -> Result<(), Failure> {
    let entry = new.entry()?;
    let added = list_file::change::<_, Failure>(path, |text| {
        let before = edit::entries(path, text).map_err(|fault| not_changed(path, fault, ""))?;
        if before.iter().any(|listed| listed.covers(&entry)) {
            return Ok((None, None));
        }
        let help = || format!("; add this by hand:\n{}", edit::block(&entry, "", "\n"));
        let text = edit::with_entry(path, text, &entry).map_err(|fault| not_changed(path, fault, &help()))?;
        Ok((Some(text), Some(before.len() + 1)))
    })?;
    let Some(count) = added else {
        say!("{} has this entry already; nothing was changed", path.display());
        return Ok(());
    };
    say!("{}", edit::block(&entry, "", "\n"));
    let entries = if count == 1 { "1 entry" } else { &format!("{count} entries") };
    say!("added to {}, which now has {entries}", path.display());
    say_about_keys(&entry);
    list.say_when_applied(path, entry.revocation.issuer());
    Ok(())
}

fn say_about_keys(entry: &WrittenEntry) {
    if entry.revocation.by() == RevokedBy::Key {
        say!("if the key was stolen, remove it from its key set too");
    }
}

fn remove(removal: &Removal, path: &Path) -> Result<(), Failure> {
    let now = NumericDate::from(SystemTime::now());
    let selector = removal.selection.selector(now)?;
    let gone = list_file::change::<_, Failure>(path, |text| {
        let (text, gone) = edit::without(path, text, &selector)
            .map_err(|fault| not_changed(path, fault, "; remove the entry by hand"))?;
        Ok((Some(text).filter(|_| !gone.is_empty()), gone))
    })?;
    if gone.is_empty() && removal.selection.is_ended() {
        say!("no entry of {} has ended; nothing was changed", path.display());
        return Ok(());
    }
    if gone.is_empty() {
        return Err(Failure::Other(format!("{} has no such entry; nothing was changed", path.display())));
    }
    gone.iter().for_each(|entry| say!("{}", edit::block(entry, "", "\n")));
    say!("removed from {}", path.display());
    removal.list.say_when_applied(path, None);
    Ok(())
}

fn print(json: bool, path: &Path) -> Result<(), Failure> {
    let Some(text) = list_file::read(path)? else {
        return Err(Failure::Other(format!("{} does not exist", path.display())));
    };
    let entries = RevocationFile::written(path, text.as_bytes())
        .map_err(|fault| Failure::Other(format!("{}: {fault}", path.display())))?;
    let now = NumericDate::from(SystemTime::now());
    print_entries(json, &entries, now);
    Ok(())
}

fn print_entries(json: bool, entries: &[WrittenEntry], now: NumericDate) {
    if json {
        say!("{:#}", entries.iter().map(|entry| to_json(entry, now)).collect::<Value>());
        return;
    }
    for entry in entries {
        let ended = if has_ended(entry, now) { "  # has ended" } else { "" };
        say!("{}{ended}", edit::block(entry, "", "\n"));
    }
    if entries.is_empty() {
        say!("# no entries");
    }
}

fn has_ended(entry: &WrittenEntry, now: NumericDate) -> bool {
    entry.until.is_some_and(|until| until <= now)
}

/// An entry with the keys of the list.
fn to_json(entry: &WrittenEntry, now: NumericDate) -> Value {
    let revocation = &entry.revocation;
    let time = |time: NumericDate| rfc3339(time.into());
    let mut value = json!({
        "issuer": revocation.issuer(),
        "issuedBefore": revocation.before().map(time),
        "until": entry.until.map(time),
        "note": entry.note,
        "line": entry.at.line,
        "ended": has_ended(entry, now),
    });
    value[revocation.by().as_str()] = revocation.value().into();
    value
}

fn not_changed(path: &Path, fault: EditFault, help: &str) -> Failure {
    let path = path.display();
    Failure::Other(match fault {
        EditFault::Invalid(fault) => format!("{path} is invalid and was not changed: {fault}"),
        EditFault::Unusual => format!("{path} is written in a way that cannot be changed safely{help}"),
    })
}

/// A time on the command line.
fn time(text: &str) -> Result<NumericDate, String> {
    if text == "now" {
        return Ok(SystemTime::now().into());
    }
    let wrong = || "not a time like 2026-01-31T12:00:00Z, seconds since 1970, or `now`".to_owned();
    NumericDate::from_text(text).ok_or_else(wrong)
}

impl NewEntry {
    fn entry(&self) -> Result<WrittenEntry, Failure> {
        let mut until = self.until;
        let (by, value) = match &self.target.token_file {
            Some(file) => {
                let text = read_token(Some(file))?;
                let token = selection::parsed(&text)?;
                // Not verified, but a token with another `exp` has another fingerprint.
                let expiry = token.claimed_expiry().map(|expiry| expiry.plus(AFTER_EXPIRY_SECONDS));
                until = until.or(expiry);
                (RevokedBy::Fingerprint, token.fingerprint().full().to_owned())
            }
            None => self.target.named()?,
        };
        let revocation = selection::revocation(by, &value)?;
        if self.before.is_some() && by != RevokedBy::Subject {
            return Err(Failure::Other("--before is only for --sub".to_owned()));
        }
        if self.issuer.as_deref() == Some("") {
            return Err(Failure::Other("--issuer is empty; leave it out for any issuer".to_owned()));
        }
        let revocation =
            revocation.of_issuer(self.issuer.as_deref().map(Into::into)).issued_before(self.before);
        if until.is_some_and(|until| until <= SystemTime::now().into()) {
            return Err(Failure::Other(
                "the entry would have ended already; give a later --until".to_owned(),
            ));
        }
        let note = self.reason.as_deref().map(Into::into);
        Ok(WrittenEntry { revocation, until, note, at: Position::START })
    }
}

impl ListArguments {
    fn sources(&self) -> Sources {
        Sources::from_process(self.config.config.clone(), Flags::default())
    }

    fn target(&self) -> Result<ListTarget, Failure> {
        if let Some(file) = &self.file {
            return Ok(ListTarget::File(file.clone()));
        }
        let sources = self.sources();
        if !self.store
            && let Some(file) = config::revocation_file(&sources).map_err(Failure::Config)?
        {
            return Ok(ListTarget::File(file));
        }
        match config::revocation_store(&sources).map_err(Failure::Config)? {
            Some(access) => Ok(ListTarget::Store(Arc::new(access))),
            None if self.store => {
                let help = "give --config with authentication.revocations.store.url";
                Err(Failure::Other(format!("no revocation store: {help}")))
            }
            None => {
                let help = "give --file, or --config with authentication.revocations.file or store";
                Err(Failure::Other(format!("no revocation list: {help}")))
            }
        }
    }

    /// Says when a change applies, and what would keep it from applying.
    fn say_when_applied(&self, path: &Path, issuer: Option<&str>) {
        let sources = self.sources();
        let watched = config::revocation_file(&sources).ok().flatten();
        let seconds = INTERVAL.as_secs();
        say!(
            "a running metagate checks its list every {seconds} seconds; the status page shows the one in force"
        );
        let same = |watched: &PathBuf| watched.canonicalize().ok() == path.canonicalize().ok();
        match watched {
            Some(watched) if !same(&watched) => {
                let watched = watched.display();
                eprintln!("warning: the configuration names another list, {watched}");
            }
            None if !self.config.config.is_empty() => {
                eprintln!(
                    "warning: the configuration has no authentication.revocations.file, so no list is read"
                );
            }
            _ => warn_of_unknown_issuer(&sources, issuer),
        }
    }
}

fn warn_of_unknown_issuer(sources: &Sources, issuer: Option<&str>) {
    let (Some(issuer), Ok(loaded)) = (issuer, config::load(sources)) else { return };
    if !loaded.config.revocations.format.knows_issuer(issuer) {
        let issuer = printable::line(issuer);
        eprintln!("warning: no issuer entry is named {issuer} or has that iss: the entry revokes nothing");
    }
}

#[cfg(test)]
mod tests;
