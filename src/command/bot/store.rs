//! The allow-list in the store that replicas share.

use std::sync::Arc;

use crate::bot_list::{member_of, set_name};
use crate::bots::Bot;
use crate::command::{Failure, runtime};
use crate::config::{StoreAccess, bots_of_members};
use crate::shared_set::{self, Change, Connector, Link, MAX_CHANGES, Member, SetReader, StoreFault, Update};
use crate::tls;

/// How often a change is tried again because somebody else changed the list in the meantime.
const ATTEMPTS: usize = 10;

/// The bots in the store, and the revision of the list.
///
/// # Errors
/// The store cannot be read, or has something else.
pub(in crate::command) fn read(access: &Arc<StoreAccess>) -> Result<(Vec<Bot>, u64), String> {
    with_link(access, async |link| read_from(link, access).await)
}

/// Makes of the bots what `change` makes of them, in one step.
pub(super) fn change<T>(
    access: &Arc<StoreAccess>,
    change: impl Fn(&mut Vec<Bot>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    for attempt in 1.. {
        let (before, revision) = read(access).map_err(Failure::Other)?;
        let mut bots = before.clone();
        let result = change(&mut bots)?;
        let changes = difference(&before, &bots);
        if changes.is_empty() {
            return Ok(result);
        }
        if changes.len() > MAX_CHANGES {
            let message = format!("this would change more than {MAX_CHANGES} bots; nothing was changed");
            return Err(Failure::Other(message));
        }
        let changed = with_link(access, async |link| {
            match shared_set::change_at(link, &set_name(access), &changes, revision).await {
                Ok(_) => Ok(true),
                Err(StoreFault::ChangedMeanwhile) if attempt < ATTEMPTS => Ok(false),
                Err(fault) => Err(described(&fault)),
            }
        });
        if changed.map_err(Failure::Other)? {
            return Ok(result);
        }
    }
    Err(Failure::Other(described(&StoreFault::ChangedMeanwhile)))
}

/// What leads from one list to the other. A bot that changes is another member.
fn difference(before: &[Bot], after: &[Bot]) -> Vec<Change> {
    let members = |bots: &[Bot]| bots.iter().map(member_of).collect::<Vec<Member>>();
    let (before, after) = (members(before), members(after));
    let gone = before.iter().filter(|member| !after.contains(member));
    let new = after.iter().filter(|member| !before.contains(member));
    let gone = gone.map(|member| Change::Remove(member.text.clone()));
    gone.chain(new.map(|member| Change::Add(member.clone()))).collect()
}

async fn read_from(link: &mut Link, access: &StoreAccess) -> Result<(Vec<Bot>, u64), String> {
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
    Ok((bots, revision))
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

    #[test]
    fn only_changed_bots_are_written() {
        let before = [bot("a", &[]), bot("b", &[]), bot("c", &[])];
        let after = [bot("a", &[]), bot("b", &["x"]), bot("d", &[])];
        let remove = |bot: &Bot| Change::Remove(member_of(bot).text);
        assert_eq!(
            difference(&before, &after),
            [
                remove(&before[1]),
                remove(&before[2]),
                Change::Add(member_of(&after[1])),
                Change::Add(member_of(&after[2]))
            ]
        );
        assert_eq!(difference(&before, &before), []);
    }
}
