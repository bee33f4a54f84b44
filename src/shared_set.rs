//! A set of texts in Redis or Valkey that all replicas share, with a revision.
//!
//! The set is a sorted set, whose scores say when each member may be forgotten. In one step a change
//!
//! 1. changes the set,
//! 2. raises the revision, a counter,
//! 3. adds itself to a log of the last [`LOG_LENGTH`] changes, with its revision as the score,
//! 4. announces the revision on a channel.
//!
//! A reader ([`SetReader`]) reads the whole set once, and then what the log has since its revision. If the log does not
//! lead from there to the current revision without a gap, or something was removed, it reads the whole set again. So a
//! change by hand only has to raise the revision. Announcements may be lost; reading the revision every second is what a
//! reader relies on.
//!
//! A [`Follower`] does that for as long as the process runs, over one connection after another.
//!
//! All keys of a set have one hash tag, so that they are on the same node of a cluster. The module knows nothing of what
//! the members mean: another set is another [`SetName`].

mod connect;
mod fault;
mod follower;
mod reader;
mod scripts;

pub use connect::{Connector, Link};
pub use fault::StoreFault;
#[cfg(test)]
pub use follower::step;
pub use follower::{Consumer, Follower, LastWhole};
pub use reader::{SetReader, Update};

use redis::{Cmd, Value};
use tokio::time::timeout;

use crate::random;

/// The maximum number of members. A larger set is refused as a whole.
pub const MAX_MEMBERS: usize = 100_000;
/// The maximum size of all members together, in bytes.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;
/// How many changes a reader can follow without reading the whole set.
pub const LOG_LENGTH: usize = 10_000;
/// How many changes one command makes.
pub const MAX_CHANGES: usize = 500;

/// The names of the keys of a set, and of its channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetName {
    members: String,
    revision: String,
    log: String,
    channel: String,
}

impl SetName {
    /// The set `name` of this namespace: `{metagate:<namespace>}:<name>`, and the same with `:revision`, `:log` and
    /// `:changed`.
    pub fn new(namespace: &str, name: &str) -> Self {
        let members = format!("{{metagate:{namespace}}}:{name}");
        let with = |part: &str| format!("{members}:{part}");
        Self { revision: with("revision"), log: with("log"), channel: with("changed"), members }
    }

    /// The key of the sorted set.
    pub fn members(&self) -> &str {
        &self.members
    }
}

/// A member and when it may be forgotten, in seconds since 1970; never if that is not set.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// The text.
    pub text: String,
    /// The end.
    pub until: Option<f64>,
}

/// A change of a set.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Adds a member, or changes its end.
    Add(Member),
    /// Removes the member with this text.
    Remove(String),
}

/// The result of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The revision after them.
    pub revision: u64,
    /// How many of them changed something.
    pub count: usize,
}

/// Makes changes, at most [`MAX_CHANGES`], in one step. Members that have ended go too.
///
/// # Errors
/// The server cannot be reached, refuses them, or has no room for them. Then none was made, unless the connection broke:
/// making them again does no harm.
pub async fn change(link: &mut Link, name: &SetName, changes: &[Change]) -> Result<Changed, StoreFault> {
    run_change(link, name, changes, None).await
}

/// As [`change`], but only if the set is at this revision: a caller that read it there knows what the changes amount to.
///
/// # Errors
/// As for [`change`], and [`StoreFault::ChangedMeanwhile`].
pub async fn change_at(
    link: &mut Link,
    name: &SetName,
    changes: &[Change],
    revision: u64,
) -> Result<Changed, StoreFault> {
    run_change(link, name, changes, Some(revision)).await
}

async fn run_change(
    link: &mut Link,
    name: &SetName,
    changes: &[Change],
    at: Option<u64>,
) -> Result<Changed, StoreFault> {
    let command = change_command(name, changes, at);
    let value = timeout(connect::RESPONSE_TIMEOUT, command.query_async::<Value>(link.connection())).await;
    changed(&value.map_err(|_| StoreFault::Timeout)??)
}

/// The command that makes these changes, if the set is at the revision `at`, if there is one.
pub fn change_command(name: &SetName, changes: &[Change], at: Option<u64>) -> Cmd {
    let mut command = redis::cmd("EVAL");
    let script = if at.is_some() { scripts::CHANGE_AT } else { scripts::CHANGE };
    command.arg(script).arg(3).arg(&name.members).arg(&name.revision).arg(&name.log);
    command.arg(MAX_MEMBERS).arg(LOG_LENGTH).arg(&name.channel).arg(format!("{:016x}", random::bits()));
    for change in changes {
        match change {
            Change::Add(member) => command.arg("+").arg(score(member.until)).arg(&member.text),
            Change::Remove(text) => command.arg("-").arg("+inf").arg(text),
        };
    }
    if let Some(revision) = at {
        command.arg(revision);
    }
    command
}

/// Reads the answer to [`change_command`].
///
/// # Errors
/// Nothing was changed, or the answer is not what the server's script returns.
pub fn changed(answer: &Value) -> Result<Changed, StoreFault> {
    match scripts::numbers(answer).as_deref() {
        Some([revision, count]) => Ok(Changed {
            revision: u64::try_from(*revision).unwrap_or_default(),
            count: usize::try_from(*count).unwrap_or_default(),
        }),
        Some([_]) => Err(StoreFault::Full),
        Some([_, _, _]) => Err(StoreFault::ChangedMeanwhile),
        _ => Err(StoreFault::Unexpected),
    }
}

/// The score of a member that ends then.
fn score(until: Option<f64>) -> String {
    until.map_or_else(|| "+inf".to_owned(), |until| until.to_string())
}
