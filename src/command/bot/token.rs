//! Makes a token of a bot and gives it to the caller once.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use secrecy::ExposeSecret as _;

use super::list::List;
use crate::audit::rfc3339;
use crate::bots::{Bot, BotToken};
use crate::claims::IssuedKind;
use crate::command::{Failure, key_file, load, write_out};
use crate::config::{Config, Flags};
use crate::numeric_date::NumericDate;
use crate::own_issuer::ENTRY;

/// Where the token goes.
#[derive(Debug, Args)]
pub(super) struct Output {
    /// Write the token to this new file with mode 0600, and not to standard output.
    #[arg(long, value_name = "TOKEN_FILE")]
    out: Option<PathBuf>,
    /// Print the token even if standard output is a terminal.
    #[arg(long)]
    show: bool,
    /// Print the changed list for `kubectl apply` and the like, and change no file. The token needs --out.
    #[arg(long, requires = "out", conflicts_with = "show")]
    print: bool,
}

/// Makes a token for the bot `name`, lets `add` enter it into the list, and gives it to the caller.
pub(super) fn give(
    list: &List,
    output: &Output,
    name: &str,
    (lifetime, now, note): (Duration, NumericDate, Option<&str>),
    add: impl Fn(&mut Vec<Bot>, BotToken) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if output.out.is_none() && !output.show && io::stdout().is_terminal() {
        let help = "pass it on with a pipe, write it with --out FILE, or print it with --show";
        return Err(Failure::Usage(format!("the token would stay on the screen: {help}")));
    }
    let loaded = load(&list.config, Flags::default())?;
    let Some(issuer) = &loaded.config.issuer else {
        return Err(Failure::Other("issuer is not set; docs/bots.md has the whole configuration".to_owned()));
    };
    let issued = issuer.issue(IssuedKind::Bot, name, lifetime, now, &[])?;
    let token = BotToken {
        id: issued.id.clone(),
        created: issued.issued,
        expires: issued.expires,
        note: note.map(Into::into),
    };
    let text = issued.text.expose_secret();
    if let Some(out) = &output.out {
        key_file::create_private(out, text, "a file with a token is not overwritten")?;
    }
    let added = list.change(output.print, |bots| add(bots, token.clone()));
    if let Err(failure) = added {
        // A token that is not in the list is of no use.
        if let Some(out) = &output.out {
            let _ = std::fs::remove_file(out);
        }
        return Err(failure);
    }
    match &output.out {
        Some(out) => eprintln!("wrote the token to {} (mode 0600)", out.display()),
        None => write_out(&format!("{text}\n"))?,
    }
    list.say(output.print, &format!("{name}: jti {}, ends {}", issued.id, rfc3339(issued.expires.into())));
    list.say_when_applied(output.print);
    warn_if_unmapped(&loaded.config, name);
    Ok(())
}

/// A bot that no entry of `exchange` names is refused everywhere.
fn warn_if_unmapped(config: &Config, name: &str) {
    let mut entries = config.exchange.table.entries_of(ENTRY);
    if !entries.any(|entry| entry.takes_subject(name)) {
        eprintln!(
            "warning: no entry of exchange names the bot, so its requests are refused (no_mapping); write\n  \
             exchange: [{{name: {name}, from: {{bots: [{name}]}}, as: {{user: <user of the backend>}}}}]"
        );
    }
}
