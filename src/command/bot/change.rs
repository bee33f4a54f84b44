//! Changes to an allow-list. Each also removes tokens that have ended.

use std::time::Duration;

use crate::bots::{Bot, BotToken};
use crate::command::Failure;
use crate::numeric_date::NumericDate;

/// A new token, and how long the older ones of its bot are still accepted.
pub(super) struct Added {
    pub(super) token: BotToken,
    pub(super) grace: Duration,
}

/// Adds a bot with its first token.
pub(super) fn create(bots: &mut Vec<Bot>, new: &Bot, added: Added, now: NumericDate) -> Result<(), Failure> {
    if bots.iter().any(|bot| bot.name == new.name) {
        return Err(Failure::Other(format!(
            "the bot {0} exists; `metagate bot regenerate {0}` gives it another token",
            new.name
        )));
    }
    drop_ended(bots, now);
    bots.push(Bot { tokens: vec![added.token], ..new.clone() });
    Ok(())
}

/// Gives a bot another token. The older ones end after the grace time, or when they would have ended.
pub(super) fn regenerate(
    bots: &mut [Bot],
    name: &str,
    added: Added,
    now: NumericDate,
) -> Result<(), Failure> {
    let until = now.plus(added.grace.as_secs());
    let bot = find(bots, name)?;
    for token in &mut bot.tokens {
        token.expires = token.expires.min(until);
    }
    bot.tokens.push(added.token);
    drop_ended(bots, now);
    Ok(())
}

/// Removes the tokens of a bot, or one of them, and returns their ids.
pub(super) fn revoke(
    bots: &mut [Bot],
    name: &str,
    id: Option<&str>,
    now: NumericDate,
) -> Result<Vec<Box<str>>, Failure> {
    let bot = find(bots, name)?;
    let is_gone = |token: &BotToken| id.is_none_or(|id| *token.id == *id);
    let gone: Vec<_> = bot.tokens.extract_if(.., |token| is_gone(token)).map(|token| token.id).collect();
    if gone.is_empty() {
        return Err(Failure::Other(match id {
            Some(_) => format!("the bot {name} has no token with this jti; nothing was changed"),
            None => format!("the bot {name} has no token; nothing was changed"),
        }));
    }
    drop_ended(bots, now);
    Ok(gone)
}

/// Removes a bot.
pub(super) fn delete(bots: &mut Vec<Bot>, name: &str, now: NumericDate) -> Result<(), Failure> {
    find(bots, name)?;
    bots.retain(|bot| *bot.name != *name);
    drop_ended(bots, now);
    Ok(())
}

fn find<'b>(bots: &'b mut [Bot], name: &str) -> Result<&'b mut Bot, Failure> {
    bots.iter_mut()
        .find(|bot| *bot.name == *name)
        .ok_or_else(|| Failure::Other(format!("there is no bot {name}; nothing was changed")))
}

fn drop_ended(bots: &mut [Bot], now: NumericDate) {
    for bot in bots {
        bot.tokens.retain(|token| token.expires > now);
    }
}

#[cfg(test)]
mod tests;
