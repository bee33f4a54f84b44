//! The list in the store that replicas share.

use std::sync::Arc;
use std::time::SystemTime;

use super::{ListArguments, NewEntry, Removal, edit, print_entries, say_about_keys, warn_of_unknown_issuer};
use crate::command::{Failure, runtime};
use crate::config::{StoreAccess, WrittenEntry};
use crate::numeric_date::NumericDate;
use crate::revocation_list::{member_of, set_name};
use crate::shared_set::{self, Change, Connector, Link, MAX_CHANGES, SetReader, StoreFault, Update};
use crate::tls;

const WHEN: &str = "every running metagate with this store applies it within a second";

pub(super) fn add(new: &NewEntry, list: &ListArguments, access: &Arc<StoreAccess>) -> Result<(), Failure> {
    let entry = new.entry()?;
    let changed = with_link(access, async |link| {
        shared_set::change(link, &set_name(access), &[Change::Add(member_of(&entry))]).await
    })?;
    if changed.count == 0 {
        say!("the store has this entry already; nothing was changed");
        return Ok(());
    }
    say!("{}", edit::block(&entry, "", "\n"));
    say!("added to the store, which is now at revision {}", changed.revision);
    say_about_keys(&entry);
    say!("{WHEN}");
    warn_of_unknown_issuer(&list.sources(), entry.revocation.issuer());
    Ok(())
}

pub(super) fn print(json: bool, access: &Arc<StoreAccess>) -> Result<(), Failure> {
    let entries: Vec<_> = read(access)?.into_iter().map(|(_, entry)| entry).collect();
    print_entries(json, &entries, NumericDate::from(SystemTime::now()));
    Ok(())
}

pub(super) fn remove(removal: &Removal, access: &Arc<StoreAccess>) -> Result<(), Failure> {
    let now = NumericDate::from(SystemTime::now());
    let selector = removal.selection.selector(now)?;
    let gone: Vec<_> = read(access)?.into_iter().filter(|(_, entry)| selector(entry)).collect();
    if gone.is_empty() && removal.selection.is_ended() {
        say!("no entry of the store has ended; nothing was changed");
        return Ok(());
    }
    if gone.is_empty() {
        return Err(Failure::Other("the store has no such entry; nothing was changed".to_owned()));
    }
    let changes: Vec<_> = gone.iter().map(|(text, _)| Change::Remove(text.clone())).collect();
    with_link(access, async |link| {
        for changes in changes.chunks(MAX_CHANGES) {
            shared_set::change(link, &set_name(access), changes).await?;
        }
        Ok(())
    })?;
    gone.iter().for_each(|(_, entry)| say!("{}", edit::block(entry, "", "\n")));
    say!("removed from the store");
    say!("{WHEN}");
    Ok(())
}

/// The entries, each with its text in the store. A member that is no entry is an error, which says how it is removed.
fn read(access: &Arc<StoreAccess>) -> Result<Vec<(String, WrittenEntry)>, Failure> {
    let update = with_link(access, async |link| SetReader::new(set_name(access)).read(link).await)?;
    let members = match update {
        Update::Whole { members, .. } | Update::Added { members, .. } => members,
        Update::Unchanged => Vec::new(),
    };
    let entries = members.into_iter().map(|member| match WrittenEntry::from_json(&member.text) {
        Ok(entry) => Ok((member.text, entry)),
        Err(problem) => {
            let key = set_name(access).members().to_owned();
            Err(Failure::Other(format!(
                "the store has an invalid entry, because of which no replica applies changes: {problem}; \
                 find it with ZRANGE {key} 0 -1 and remove it with ZREM"
            )))
        }
    });
    entries.collect()
}

fn with_link<T>(
    access: &Arc<StoreAccess>,
    work: impl AsyncFnOnce(&mut Link) -> Result<T, StoreFault>,
) -> Result<T, Failure> {
    tls::install_crypto_provider();
    let worked = runtime()?.block_on(async {
        let connector = Connector::new(access.clone());
        let mut link = connector.connect(&set_name(access), &Arc::default()).await?;
        work(&mut link).await
    });
    worked.map_err(|fault| Failure::Other(format!("authentication.revocations.store: {fault}")))
}
