//! `metagate bot`: bots of our own. Their tokens are signed here, and the allow-list says which are accepted.
//!
//! The list has no secret, and a token is shown once: when it is made. A change replaces the file in one step, after other
//! changes by this command; in the store it is one step too.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use ipnet::IpNet;
use serde_json::{Value, json};

use super::{ConfigArguments, Failure};
use crate::audit::rfc3339;
use crate::bots::{Bot, check_name};
use crate::config;
use crate::numeric_date::NumericDate;

mod change;
mod list;
pub(super) mod store;
mod token;

use list::List;
use token::Output;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a bot, add it to the allow-list, and print its token once.
    Create(Creation),
    /// Print the bots and their tokens' ids and ends.
    List(Listing),
    /// Give a bot another token, and end its older ones.
    Regenerate(Regeneration),
    /// Remove the tokens of a bot from the allow-list. They are refused from then on.
    Revoke(Revocation),
    /// Remove a bot with all of its tokens from the allow-list.
    Delete(Deletion),
}

#[derive(Debug, Args)]
pub(super) struct Creation {
    /// The name of the bot: the subject of its tokens.
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// A role for rules of metagate; may be given several times. The backend does not see it.
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// A network that the bot's requests may come from, like 10.0.0.0/8; may be given several times. Default: any.
    #[arg(long = "source", value_name = "CIDR", value_parser = config::network)]
    sources: Vec<IpNet>,
    #[command(flatten)]
    new: NewToken,
    #[command(flatten)]
    list: ListArguments,
}

#[derive(Debug, Args)]
struct NewToken {
    /// How long the token lives, like 90d; at most 365d.
    #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = config::duration)]
    expires: Duration,
    /// A note in the list.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(super) struct Listing {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    list: ListArguments,
}

#[derive(Debug, Args)]
pub(super) struct Regeneration {
    /// The name of the bot.
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// How long its older tokens are still accepted, like 24h. Default: they end at once.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = config::duration)]
    grace: Duration,
    #[command(flatten)]
    new: NewToken,
    #[command(flatten)]
    list: ListArguments,
}

#[derive(Debug, Args)]
pub(super) struct Revocation {
    /// The name of the bot.
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// Only the token with this id. Default: all of them.
    #[arg(long, value_name = "JTI")]
    jti: Option<String>,
    /// Print the changed list for `kubectl apply` and the like, and change no file.
    #[arg(long)]
    print: bool,
    #[command(flatten)]
    list: ListArguments,
}

#[derive(Debug, Args)]
pub(super) struct Deletion {
    /// The name of the bot.
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// Print the changed list for `kubectl apply` and the like, and change no file.
    #[arg(long)]
    print: bool,
    #[command(flatten)]
    list: ListArguments,
}

#[derive(Debug, Args)]
struct ListArguments {
    /// The allow-list; by default the file that issuer.bots.file of the configuration names.
    #[arg(long, value_name = "LIST", conflicts_with = "store")]
    file: Option<PathBuf>,
    /// The allow-list in the store that authentication.revocations.store of the configuration names. It is also the default
    /// with issuer.bots.store.
    #[arg(long)]
    store: bool,
    #[command(flatten)]
    config: ConfigArguments,
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Create(creation) => create(creation),
        Command::List(listing) => print(listing),
        Command::Regenerate(regeneration) => regenerate(regeneration),
        Command::Revoke(revocation) => revoke(revocation),
        Command::Delete(deletion) => delete(deletion),
    }
}

fn create(creation: &Creation) -> Result<(), Failure> {
    let (list, now) = (List::of(&creation.list)?, now());
    let NewToken { expires, note, output } = &creation.new;
    let bot = Bot {
        name: creation.name.as_str().into(),
        roles: creation.roles.iter().map(|role| role.as_str().into()).collect(),
        created: now,
        source_ips: creation.sources.clone(),
        tokens: Vec::new(),
    };
    token::give(&list, output, &creation.name, (*expires, now, note.as_deref()), |bots, token| {
        let token = change::Added { token, grace: Duration::ZERO };
        change::create(bots, &bot, token, now)
    })
}

fn regenerate(regeneration: &Regeneration) -> Result<(), Failure> {
    let (list, now) = (List::of(&regeneration.list)?, now());
    let NewToken { expires, note, output } = &regeneration.new;
    let name = &regeneration.name;
    token::give(&list, output, name, (*expires, now, note.as_deref()), |bots, token| {
        let token = change::Added { token, grace: regeneration.grace };
        change::regenerate(bots, name, token, now)
    })
}

fn revoke(revocation: &Revocation) -> Result<(), Failure> {
    let (list, now) = (List::of(&revocation.list)?, now());
    let gone = list.change(revocation.print, |bots| {
        change::revoke(bots, &revocation.name, revocation.jti.as_deref(), now)
    })?;
    for id in &gone {
        list.say(revocation.print, &format!("removed the token {id} of {}", revocation.name));
    }
    list.say_when_applied(revocation.print);
    Ok(())
}

fn delete(deletion: &Deletion) -> Result<(), Failure> {
    let (list, now) = (List::of(&deletion.list)?, now());
    list.change(deletion.print, |bots| change::delete(bots, &deletion.name, now))?;
    list.say(deletion.print, &format!("removed the bot {}", deletion.name));
    list.say_when_applied(deletion.print);
    Ok(())
}

fn print(listing: &Listing) -> Result<(), Failure> {
    let list = List::of(&listing.list)?;
    let (bots, now) = (list.read()?, now());
    if listing.json {
        say!("{:#}", bots.iter().map(|bot| to_json(bot, now)).collect::<Value>());
        return Ok(());
    }
    for bot in &bots {
        let networks: Vec<_> = bot.source_ips.iter().map(ToString::to_string).collect();
        let from =
            if networks.is_empty() { String::new() } else { format!(", from {}", networks.join(", ")) };
        say!("{}: roles [{}]{from}", bot.name, bot.roles.join(", "));
        for token in &bot.tokens {
            let left = token.expires.since(now);
            let end = if left > 0 { format!("ends in {}", days(left)) } else { "has ended".to_owned() };
            let note = token.note.as_ref().map(|note| format!("  # {note}")).unwrap_or_default();
            say!("  {}  {end} ({}){note}", token.id, rfc3339(token.expires.into()));
        }
        if bot.tokens.is_empty() {
            say!("  no token");
        }
    }
    if bots.is_empty() {
        say!("# no bots");
    }
    Ok(())
}

fn to_json(bot: &Bot, now: NumericDate) -> Value {
    let time = |time: NumericDate| rfc3339(time.into());
    let tokens: Value = bot
        .tokens
        .iter()
        .map(|token| {
            json!({
                "jti": token.id, "created": time(token.created), "expires": time(token.expires),
                "ended": token.expires <= now, "note": token.note,
            })
        })
        .collect();
    json!({
        "name": bot.name,
        "roles": bot.roles,
        "created": time(bot.created),
        "sourceIps": bot.source_ips.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "tokens": tokens,
    })
}

/// Whole days, or hours if it is less than two days.
fn days(seconds: i64) -> String {
    const HOUR: i64 = 3600;
    match seconds {
        ..=HOUR => format!("{} min", (seconds + 59) / 60),
        _ if seconds < 48 * HOUR => format!("{} h", seconds / HOUR),
        _ => format!("{} d", seconds / (24 * HOUR)),
    }
}

fn now() -> NumericDate {
    SystemTime::now().into()
}

fn name(text: &str) -> Result<String, String> {
    check_name(text).map(|()| text.to_owned()).map_err(ToOwned::to_owned)
}
