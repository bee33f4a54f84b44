//! The allow-list of bots: which of metagate's own bot tokens are accepted (`issuer.bots`).
//!
//! 1. A [`Bots`] is an immutable value; a new list is a new value. It holds names, ids and dates, and no secret: who reads
//!    it cannot make a token.
//! 2. A bot's token is accepted only if the list has its `jti`, below the bot that its `sub` names, and the end that is
//!    written there has not passed ([`Bots::find`]). This is checked on every request, also for cached tokens.
//! 3. A bot may be limited to networks ([`Bot::allows_source`]), and has roles for metagate's own rules.
//!
//! Invariants:
//!
//! - Roles come from the list alone. A claim of the token adds none.
//! - The list names no user of the backend. `exchange` does, so who may edit the list cannot choose an administrator.
//!
//! Not done here: reading the file, and issuing tokens.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::claims::VerifiedToken;
use crate::numeric_date::NumericDate;
use crate::revocation::{Revoked, RevokedBy};

/// The longest name of a bot, in bytes.
pub const MAX_NAME_BYTES: usize = 64;

/// A bot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bot {
    /// Its name: the `sub` of its tokens.
    pub name: Box<str>,
    /// Its roles for metagate's own rules.
    pub roles: Vec<Box<str>>,
    /// When it was created.
    pub created: NumericDate,
    /// The networks that its requests may come from; if empty, any.
    pub source_ips: Vec<IpNet>,
    /// Its tokens.
    pub tokens: Vec<BotToken>,
}

/// A token of a bot, without the token itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BotToken {
    /// Its `jti`.
    pub id: Box<str>,
    /// When it was issued.
    pub created: NumericDate,
    /// When it ends. This may be before its own `exp`.
    pub expires: NumericDate,
    /// What somebody noted about it.
    pub note: Option<Box<str>>,
}

/// Why a bot's token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BotFault {
    /// No list could be read since the start, or none is configured.
    NoList,
    /// The store of the list has not been read since the start, or not for too long.
    Unavailable,
    /// The list does not have it below this bot.
    NotListed,
    /// Its end in the list has passed.
    Ended(NumericDate),
}

/// A whole list.
#[derive(Debug, Default)]
pub struct Bots {
    bots: Vec<Arc<Bot>>,
    /// The position of the bot and of the token for each id.
    ids: HashMap<Box<str>, (usize, usize)>,
    state: ListState,
}

/// Whether a list can be relied on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ListState {
    /// There is none.
    #[default]
    Absent,
    /// It is in a store that has not been read yet.
    Awaited,
    /// It was read.
    Known,
    /// It was read too long ago.
    Stale,
}

impl Bots {
    /// A list of these bots. If two tokens have one id, neither is accepted.
    pub fn new(bots: Vec<Bot>) -> Self {
        let mut ids = HashMap::new();
        let mut twice = Vec::new();
        for (at, bot) in bots.iter().enumerate() {
            for (token, BotToken { id, .. }) in bot.tokens.iter().enumerate() {
                if ids.insert(id.clone(), (at, token)).is_some() {
                    twice.push(id);
                }
            }
        }
        for id in twice {
            ids.remove(id);
        }
        Self { ids, bots: bots.into_iter().map(Arc::new).collect(), state: ListState::Known }
    }

    /// All bots, in the order of the list.
    pub fn bots(&self) -> &[Arc<Bot>] {
        &self.bots
    }

    /// In place of a list that will be read. Whether it has a token is unknown.
    pub fn awaited() -> Self {
        Self { state: ListState::Awaited, ..Self::default() }
    }

    /// The same list after it could not be read for too long: whether it still has a token is unknown.
    #[must_use]
    pub fn stale(&self) -> Self {
        Self { bots: self.bots.clone(), ids: self.ids.clone(), state: ListState::Stale }
    }

    /// Whether it was read at any time. A list that was not accepts no bot.
    pub fn is_known(&self) -> bool {
        matches!(self.state, ListState::Known | ListState::Stale)
    }

    /// Whether it says which tokens are accepted.
    pub fn is_available(&self) -> bool {
        matches!(self.state, ListState::Known | ListState::Absent)
    }

    /// The list without tokens that have ended by `now`.
    #[must_use]
    pub fn at(&self, now: NumericDate) -> Self {
        let current = |bot: &Arc<Bot>| {
            let mut bot = Bot::clone(bot);
            bot.tokens.retain(|token| token.expires > now);
            bot
        };
        Self { state: self.state, ..Self::new(self.bots.iter().map(current).collect()) }
    }

    /// When the next token ends after `now`.
    pub fn next_end(&self, now: NumericDate) -> Option<NumericDate> {
        let ends = self.bots.iter().flat_map(|bot| &bot.tokens).map(|token| token.expires);
        ends.filter(|end| *end > now).min()
    }

    /// The bot of a verified bot token.
    ///
    /// # Errors
    /// The list does not accept the token at `now`.
    pub fn find(&self, token: &VerifiedToken, now: NumericDate) -> Result<&Arc<Bot>, BotFault> {
        match self.state {
            ListState::Absent => Err(BotFault::NoList),
            ListState::Awaited | ListState::Stale => Err(BotFault::Unavailable),
            ListState::Known => self.look_up(token, now),
        }
    }

    fn look_up(&self, token: &VerifiedToken, now: NumericDate) -> Result<&Arc<Bot>, BotFault> {
        let (Some(id), Some(name)) = (token.id(), token.subject()) else { return Err(BotFault::NotListed) };
        let (at, position) = *self.ids.get(id).ok_or(BotFault::NotListed)?;
        let bot = self.bots.get(at).filter(|bot| *bot.name == *name).ok_or(BotFault::NotListed)?;
        let listed = bot.tokens.get(position).ok_or(BotFault::NotListed)?;
        if listed.expires <= now { Err(BotFault::Ended(listed.expires)) } else { Ok(bot) }
    }

    /// [`Self::find`] for a running response, in a list of [`Self::at`]: why its token is not accepted any more. An old list
    /// does not end it.
    pub fn revoked(&self, token: &VerifiedToken) -> Option<Box<Revoked>> {
        let fault = match self.state {
            ListState::Absent => BotFault::NoList,
            ListState::Awaited => BotFault::Unavailable,
            ListState::Known | ListState::Stale => {
                self.look_up(token, NumericDate::from_secs(i64::MIN)).err()?
            }
        };
        Some(Box::new(Revoked {
            by: RevokedBy::Id,
            value: token.id().unwrap_or_default().into(),
            until: None,
            note: Some(fault.to_string().into()),
        }))
    }
}

impl Bot {
    /// Whether a request may come from this address. `None` is a Unix socket, which is in no network.
    pub fn allows_source(&self, source: Option<IpAddr>) -> bool {
        let is_in = |address: IpAddr| self.source_ips.iter().any(|network| network.contains(&address));
        self.source_ips.is_empty() || source.is_some_and(|source| is_in(source.to_canonical()))
    }
}

impl fmt::Display for BotFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoList => f.write_str("there is no allow-list of bots (issuer.bots)"),
            Self::Unavailable => f.write_str(
                "the allow-list of bots (issuer.bots.store) has not been read yet, or not for too long",
            ),
            Self::NotListed => f.write_str("the allow-list of bots does not have it (issuer.bots)"),
            Self::Ended(end) => write!(f, "the allow-list of bots ended it at {end} (issuer.bots)"),
        }
    }
}

/// Checks the name of a bot: 1 to 64 characters `a` to `z`, `0` to `9`, `-`, `_` and `.`, the first a letter or a digit.
///
/// # Errors
/// What is accepted.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let starts_plain = name.bytes().next().is_some_and(is_plain);
    let is_name = |byte: u8| is_plain(byte) || b"-_.".contains(&byte);
    if starts_plain && name.len() <= MAX_NAME_BYTES && name.bytes().all(is_name) {
        Ok(())
    } else {
        Err("is not the name of a bot: 1 to 64 of a-z, 0-9, -, _ and ., beginning with a letter or a digit")
    }
}

#[cfg(test)]
mod tests;
