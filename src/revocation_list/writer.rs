//! Enters revocations into the store or the file, for the revocation endpoint.
//!
//! 1. A request hands its entry to a bounded queue ([`RevocationWriter::enter`]). A full one refuses it.
//! 2. One task ([`RevocationWriter::run`]) writes what waits, many entries in one step.
//!
//! That an entry is written does not mean that it counts here: [`super::RevocationList::enter_token`] waits for that too.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Mutex, Notify, mpsc, oneshot};

use super::edit::{self, EditFault};
use super::store::{member_of, set_name};
use crate::config::{RevocationSources, StoreAccess, WrittenEntry};
use crate::list_file::{self, ListFileError};
use crate::shared_set::{self, Change, Connector, Link, SetName, StoreFault};

/// How many entries may wait. Further ones are refused.
const MAX_WAITING: usize = 256;
/// How many of them are written in one step.
const MAX_AT_ONCE: usize = 64;

/// Hands entries to the task that writes them.
#[derive(Debug)]
pub(super) struct RevocationWriter {
    queue: mpsc::Sender<Waiting>,
    receiver: Mutex<mpsc::Receiver<Waiting>>,
    target: Target,
    /// Notified once entries were written, so that they are read soon.
    wake: Arc<Notify>,
}

/// Where entries go.
#[derive(Debug)]
enum Target {
    Store { connector: Connector, name: SetName },
    File(PathBuf),
}

/// An entry, and the request that waits for it.
#[derive(Debug)]
struct Waiting {
    entry: WrittenEntry,
    done: oneshot::Sender<()>,
}

/// Why entries were not written.
#[derive(Debug, thiserror::Error)]
enum WriteFault {
    #[error("authentication.revocations.store: {0}")]
    Store(#[from] StoreFault),
    #[error("authentication.revocations.file: {0}")]
    File(#[from] ListFileError),
    #[error("authentication.revocations.file is invalid: {0}")]
    Invalid(String),
    #[error("authentication.revocations.file is full, or written in a way that cannot be changed safely")]
    Unusual,
    #[error("writing panicked")]
    Panicked,
}

impl RevocationWriter {
    /// Writes to the store, or to the file if there is no store.
    pub(super) fn new(sources: &RevocationSources, wake: Arc<Notify>) -> Option<Self> {
        let target = match (&sources.store, &sources.file) {
            (Some(access), _) => Target::of_store(access),
            (None, Some((file, _))) => Target::File(file.path().to_owned()),
            (None, None) => return None,
        };
        let (queue, receiver) = mpsc::channel(MAX_WAITING);
        Some(Self { queue, receiver: Mutex::new(receiver), target, wake })
    }

    /// Waits until the entry is written. Returns whether it is.
    pub(super) async fn enter(&self, entry: WrittenEntry) -> bool {
        let (done, written) = oneshot::channel();
        self.queue.try_send(Waiting { entry, done }).is_ok() && written.await.is_ok()
    }

    /// Writes entries until the future is dropped. `written` is called after each step.
    pub(super) async fn run<F: Future<Output = ()>>(&self, written: impl Fn() -> F) {
        let mut receiver = self.receiver.lock().await;
        let mut link = None;
        let mut waiting = Vec::new();
        while receiver.recv_many(&mut waiting, MAX_AT_ONCE).await > 0 {
            // Nobody relies on the entry of a request that gave up.
            waiting.retain(|one| !one.done.is_closed());
            let entries: Vec<_> = waiting.iter().map(|one| one.entry.clone()).collect();
            if entries.is_empty() {
                continue;
            }
            match self.write(&mut link, entries).await {
                Ok(()) => {
                    written().await;
                    self.wake.notify_one();
                    for one in waiting.drain(..) {
                        // It may have given up by now.
                        let _ = one.done.send(());
                    }
                }
                Err(fault) => {
                    tracing::warn!(cause = %fault, entries = waiting.len(), "revocations cannot be entered");
                    // Dropping the senders tells the requests.
                    waiting.clear();
                }
            }
        }
    }

    async fn write(&self, link: &mut Option<Link>, entries: Vec<WrittenEntry>) -> Result<(), WriteFault> {
        match &self.target {
            Target::Store { connector, name } => {
                let changes: Vec<_> = entries.iter().map(|entry| Change::Add(member_of(entry))).collect();
                Ok(write_to_store(connector, name, link, &changes).await?)
            }
            Target::File(path) => {
                let path = path.clone();
                let written = tokio::task::spawn_blocking(move || write_to_file(&path, &entries));
                written.await.unwrap_or(Err(WriteFault::Panicked))
            }
        }
    }
}

impl Target {
    fn of_store(access: &Arc<StoreAccess>) -> Self {
        Self::Store { connector: Connector::new(access.clone()), name: set_name(access) }
    }
}

/// Uses the connection of the last write, if there is one. It may have ended since, so it gets a second attempt: making
/// changes again does no harm.
async fn write_to_store(
    connector: &Connector,
    name: &SetName,
    link: &mut Option<Link>,
    changes: &[Change],
) -> Result<(), StoreFault> {
    if let Some(mut known) = link.take()
        && shared_set::change(&mut known, name, changes).await.is_ok()
    {
        *link = Some(known);
        return Ok(());
    }
    let mut new = connector.connect(name, &Arc::default()).await?;
    shared_set::change(&mut new, name, changes).await?;
    *link = Some(new);
    Ok(())
}

fn write_to_file(path: &std::path::Path, entries: &[WrittenEntry]) -> Result<(), WriteFault> {
    list_file::change(path, |text| {
        let mut listed = edit::entries(path, text).map_err(fault)?;
        let known = listed.len();
        for entry in entries {
            if !listed.iter().any(|known| known.covers(entry)) {
                listed.push(entry.clone());
            }
        }
        let new = listed.get(known..).unwrap_or_default();
        let changed =
            if new.is_empty() { None } else { Some(edit::with_entries(path, text, new).map_err(fault)?) };
        Ok((changed, ()))
    })
}

fn fault(fault: EditFault) -> WriteFault {
    match fault {
        EditFault::Invalid(fault) => WriteFault::Invalid(fault.to_string()),
        EditFault::Unusual => WriteFault::Unusual,
    }
}

#[cfg(test)]
mod tests;
