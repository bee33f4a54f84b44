//! The allow-list in the store that replicas share.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::bot_list::{member_of, set_name};
use crate::bots::Bot;
use crate::command::{Failure, runtime};
use crate::config::{StoreAccess, bots_of_members};
use crate::shared_set::{
    self, Change, Connector, Link, MAX_BYTES, MAX_CHANGES, MAX_MEMBERS, SetReader, StoreFault, Update,
};
use crate::tls;

/// How often a change is tried again because another writer changed the list in the meantime.
const ATTEMPTS: usize = 10;

/// A bot, and its member of the set. A script may have written that in another form than [`member_of`].
type Entry = (Bot, String);

/// The bots in the store, and the revision of the list.
///
/// # Errors
/// The store cannot be read, or has something else.
pub(in crate::command) fn read(access: &Arc<StoreAccess>) -> Result<(Vec<Bot>, u64), String> {
    let (entries, revision) = read_entries(access)?;
    Ok((entries.into_iter().map(|(bot, _)| bot).collect(), revision))
}

/// Makes of the bots what `change` makes of them, in one step.
pub(super) fn change<T>(
    access: &Arc<StoreAccess>,
    change: impl Fn(&mut Vec<Bot>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    for _ in 0..ATTEMPTS {
        let (before, revision) = read_entries(access).map_err(Failure::Other)?;
        let mut bots = before.iter().map(|(bot, _)| bot.clone()).collect();
        let result = change(&mut bots)?;
        let changes = difference(&before, &bots);
        if changes.is_empty() {
            return Ok(result);
        }
        check(&before, &changes).map_err(Failure::Other)?;
        let changed = with_link(access, async |link| {
            Ok(shared_set::change_at(link, &set_name(access), &changes, revision).await)
        });
        match changed.map_err(Failure::Other)? {
            Ok(_) => return Ok(result),
            // Begin again with the list as it is now.
            Err(StoreFault::ChangedMeanwhile) => {}
            Err(fault) => return Err(Failure::Other(described(&fault))),
        }
    }
    Err(Failure::Other(described(&StoreFault::ChangedMeanwhile)))
}

/// What leads from one list to the other. A bot that changes is another member.
fn difference(before: &[Entry], after: &[Bot]) -> Vec<Change> {
    let old: HashMap<&str, &Bot> = before.iter().map(|(bot, _)| (&*bot.name, bot)).collect();
    let new: HashMap<&str, &Bot> = after.iter().map(|bot| (&*bot.name, bot)).collect();
    let gone = before.iter().filter(|(bot, _)| new.get(&*bot.name) != Some(&bot));
    let added = after.iter().filter(|bot| old.get(&*bot.name) != Some(bot));
    let gone = gone.map(|(_, text)| Change::Remove(text.clone()));
    gone.chain(added.map(|bot| Change::Add(member_of(bot)))).collect()
}

/// What no replica would accept must not be written.
fn check(before: &[Entry], changes: &[Change]) -> Result<(), String> {
    if changes.len() > MAX_CHANGES {
        return Err(format!("this would change more than {MAX_CHANGES} bots; nothing was changed"));
    }
    let mut texts: HashSet<&str> = before.iter().map(|(_, text)| &**text).collect();
    for change in changes {
        match change {
            Change::Add(member) => texts.insert(&*member.text),
            Change::Remove(text) => texts.remove(&**text),
        };
    }
    let (count, bytes) = (texts.len(), texts.iter().map(|text| text.len()).sum::<usize>());
    if count > MAX_MEMBERS {
        return Err(format!(
            "the list would have {count} bots, more than {MAX_MEMBERS}; nothing was changed"
        ));
    }
    if bytes > MAX_BYTES {
        return Err(format!("the list would have {bytes} bytes, more than {MAX_BYTES}; nothing was changed"));
    }
    let refused = |problem| format!("the list would be invalid, and was not changed: {problem}");
    bots_of_members(texts).map(drop).map_err(refused)
}

fn read_entries(access: &Arc<StoreAccess>) -> Result<(Vec<Entry>, u64), String> {
    with_link(access, async |link| read_from(link, access).await)
}

async fn read_from(link: &mut Link, access: &StoreAccess) -> Result<(Vec<Entry>, u64), String> {
    let update = SetReader::new(set_name(access)).read(link).await.map_err(|fault| described(&fault))?;
    let (members, revision) = match update {
        Update::Whole { members, revision } | Update::Added { members, revision } => (members, revision),
        Update::Unchanged => (Vec::new(), 0),
    };
    let bots = bots_of_members(members.iter().map(|member| &*member.text)).map_err(|problem| {
        let key = set_name(access).members().to_owned();
        format!(
            "{problem}; because of it no replica applies changes: find it with ZRANGE {key} 0 -1 and remove it with ZREM"
        )
    })?;
    // One bot for each member: the list is accepted as a whole or not at all.
    let texts = members.into_iter().map(|member| member.text);
    Ok((bots.into_iter().zip(texts).collect(), revision))
}

fn described(fault: &StoreFault) -> String {
    format!("authentication.revocations.store: {fault}")
}

fn with_link<T>(
    access: &Arc<StoreAccess>,
    work: impl AsyncFnOnce(&mut Link) -> Result<T, String>,
) -> Result<T, String> {
    tls::install_crypto_provider();
    let runtime = runtime().map_err(|_| "no runtime can be started".to_owned())?;
    runtime.block_on(async {
        let connector = Connector::new(access.clone());
        let link = connector.connect(&set_name(access), &Arc::default()).await;
        work(&mut link.map_err(|fault| described(&fault))?).await
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric_date::NumericDate;

    fn bot(name: &str, roles: &[&str]) -> Bot {
        Bot {
            name: name.into(),
            roles: roles.iter().map(|role| (*role).into()).collect(),
            created: NumericDate::from_secs(0),
            source_ips: Vec::new(),
            tokens: Vec::new(),
        }
    }

    fn stored(bots: &[Bot]) -> Vec<Entry> {
        bots.iter().map(|bot| (bot.clone(), member_of(bot).text)).collect()
    }

    #[test]
    fn only_changed_bots_are_written() {
        let before = stored(&[bot("a", &[]), bot("b", &[]), bot("c", &[])]);
        let after = [bot("a", &[]), bot("b", &["x"]), bot("d", &[])];
        let remove = |(_, text): &Entry| Change::Remove(text.clone());
        assert_eq!(
            difference(&before, &after),
            [
                remove(&before[1]),
                remove(&before[2]),
                Change::Add(member_of(&after[1])),
                Change::Add(member_of(&after[2]))
            ]
        );
        assert_eq!(difference(&before, &[bot("a", &[]), bot("b", &[]), bot("c", &[])]), []);
    }

    /// Otherwise the set would have the bot twice, and no replica would accept it.
    #[test]
    fn a_member_in_another_form_is_replaced_as_it_is() {
        let written = member_of(&bot("a", &[])).text;
        let text = written.replacen('{', "{ ", 1);
        let before = [(bot("a", &[]), text.clone())];
        assert_eq!(difference(&before, &[bot("a", &[])]), [], "it stays as it is");
        let changes = difference(&before, &[bot("a", &["x"])]);
        assert_eq!(changes, [Change::Remove(text), Change::Add(member_of(&bot("a", &["x"])))]);
        assert_eq!(check(&before, &changes), Ok(()));
        assert!(check(&before, &changes[1..]).unwrap_err().contains("written twice"));
    }

    #[test]
    fn a_list_that_no_replica_would_accept_is_not_written() {
        let refused = |bot: &Bot| check(&[], &[Change::Add(member_of(bot))]).unwrap_err();
        assert!(refused(&bot("", &[])).contains("would be invalid, and was not changed"));
        let long = bot("a", &[&*"x".repeat(MAX_BYTES)]);
        assert!(refused(&long).contains("bytes, more than"));
        let many: Vec<_> = (0..=MAX_CHANGES).map(|number| Change::Remove(number.to_string())).collect();
        assert!(check(&[], &many).unwrap_err().contains("more than 500 bots"));
    }
}
