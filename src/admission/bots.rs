//! The allow-list of bots, for the tokens of bots.

use std::net::IpAddr;

use super::{Environment, Step};
use crate::bots::{Bot, BotFault};
use crate::claims::{IssuedKind, VerifiedToken};
use crate::decision::{Denial, Reason};
use crate::diagnosis::Detail;

fn is_bots(token: &VerifiedToken) -> bool {
    token.issued() == Some(IssuedKind::Bot)
}

/// Whether a cached token still has the roles of its bot. If not, it is verified again.
pub(super) fn has_current_roles<E: Environment>(token: &VerifiedToken, environment: &E) -> bool {
    // If the list does not accept it, [`check`] refuses it: verifying it again would change nothing, and would cost a
    // signature for each request while the list is unavailable.
    !is_bots(token) || environment.bot(token).map_or(true, |bot| *bot.roles == *token.roles())
}

/// The token with the roles of its bot.
pub(super) fn with_roles<E: Environment>(token: VerifiedToken, environment: &E) -> VerifiedToken {
    if !is_bots(&token) {
        return token;
    }
    match environment.bot(&token) {
        Ok(bot) => token.with_roles(&bot.roles),
        Err(_) => token.with_roles(&[]),
    }
}

/// Checks a bot's token against the allow-list: it must be there, and the request must come from the bot's networks.
///
/// # Errors
/// The step that refuses it.
pub(super) fn check<E: Environment>(
    token: &VerifiedToken,
    source: Option<IpAddr>,
    environment: &E,
) -> Result<(), (Step, Denial)> {
    if !is_bots(token) {
        return Ok(());
    }
    let bot = environment.bot(token).map_err(|fault| {
        let mut detail = Detail::of(format_args!("the jti is"));
        detail.add_value(token.id());
        detail.add(format_args!("; {fault}"));
        let reason = match fault {
            BotFault::Unavailable => Reason::RevocationsUnavailable,
            BotFault::NoList | BotFault::NotListed | BotFault::Ended(_) => Reason::Revoked,
        };
        (Step::Revocation, Denial::new(reason).with(detail.finish()))
    })?;
    if bot.allows_source(source) {
        return Ok(());
    }
    let denial = Denial::new(Reason::InsufficientPermissions).with(other_source(&bot, source).finish());
    Err((Step::Revocation, denial))
}

fn other_source(bot: &Bot, source: Option<IpAddr>) -> Detail {
    let mut detail = Detail::of(format_args!("sourceIps of the bot {}: ", bot.name));
    match source {
        Some(source) => detail.add(format_args!("the request comes from {source}")),
        None => detail.add(format_args!("the request comes from a Unix socket")),
    }
    detail.add(format_args!(", wanted one of ["));
    for (at, network) in bot.source_ips.iter().take(8).enumerate() {
        detail.add(format_args!("{}{network}", if at > 0 { ", " } else { "" }));
    }
    detail.add(format_args!("]"));
    detail
}
