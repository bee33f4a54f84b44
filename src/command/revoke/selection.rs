//! Which tokens, or which entries of the list, the command line is about.

use std::path::PathBuf;

use clap::Args;

use crate::command::Failure;
use crate::command::input::read_token;
use crate::config::WrittenEntry;
use crate::jose::{JoseFault, Padding, UnverifiedToken};
use crate::numeric_date::NumericDate;
use crate::revocation::{Revocation, RevokedBy};

/// The tokens of an entry.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Target {
    /// The token in this file, or `-` for standard input. A token is not an argument, because other users can see those.
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// The token with this jti.
    #[arg(long, value_name = "ID")]
    jti: Option<String>,
    /// The token with this fingerprint: `token_fingerprint` of an audit record.
    #[arg(long, value_name = "HEX")]
    fingerprint: Option<String>,
    /// Every token of this subject.
    #[arg(long, value_name = "SUB")]
    sub: Option<String>,
    /// Every token that the key of this id signed.
    #[arg(long, value_name = "KID")]
    kid: Option<String>,
    /// The token that DataHub lists under this hash.
    #[arg(long, value_name = "HASH")]
    datahub_token_hash: Option<String>,
}

type Selector = Box<dyn Fn(&WrittenEntry) -> bool>;

/// The entries to remove.
#[derive(Debug, Args)]
pub(super) struct Selection {
    #[command(flatten)]
    which: Which,
    /// Only those of them that are limited to this issuer.
    #[arg(long, value_name = "ISSUER")]
    issuer: Option<String>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// Entries about only the token in this file, or `-` for standard input.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Entries with this jti.
    #[arg(long, value_name = "ID")]
    jti: Option<String>,
    /// Entries with this fingerprint.
    #[arg(long, value_name = "HEX")]
    fingerprint: Option<String>,
    /// Entries with this subject.
    #[arg(long, value_name = "SUB")]
    sub: Option<String>,
    /// Entries with this key id.
    #[arg(long, value_name = "KID")]
    kid: Option<String>,
    /// Entries with this hash of DataHub.
    #[arg(long, value_name = "HASH")]
    datahub_token_hash: Option<String>,
    /// Entries that have ended.
    #[arg(long)]
    ended: bool,
}

impl Target {
    /// The kind and the value that were given.
    pub(super) fn named(&self) -> Result<(RevokedBy, String), Failure> {
        let given = [&self.jti, &self.fingerprint, &self.sub, &self.kid, &self.datahub_token_hash];
        named(given).ok_or_else(|| Failure::Other("say which tokens to revoke".to_owned()))
    }
}

impl Selection {
    pub(super) fn is_ended(&self) -> bool {
        self.which.ended
    }

    /// Decides about each entry.
    pub(super) fn selector(&self, now: NumericDate) -> Result<impl Fn(&WrittenEntry) -> bool, Failure> {
        let (issuer, which) = (self.issuer.clone(), self.which.selector(now)?);
        Ok(move |entry: &WrittenEntry| {
            which(entry) && (issuer.is_none() || entry.revocation.issuer() == issuer.as_deref())
        })
    }
}

impl Which {
    fn selector(&self, now: NumericDate) -> Result<Selector, Failure> {
        if self.ended {
            return Ok(Box::new(move |entry| super::has_ended(entry, now)));
        }
        if let Some(file) = &self.token_file {
            return Ok(of_token(&parsed(&read_token(Some(file))?)?));
        }
        let given = [&self.jti, &self.fingerprint, &self.sub, &self.kid, &self.datahub_token_hash];
        let (by, value) =
            named(given).ok_or_else(|| Failure::Other("say which entries to remove".to_owned()))?;
        // As the list has it, for example in lower case.
        let wanted = revocation(by, &value)?;
        Ok(Box::new(move |WrittenEntry { revocation, .. }| {
            revocation.by() == by && revocation.value() == wanted.value()
        }))
    }
}

/// The entries that revoke only this token. An id is unique only within its issuer.
fn of_token(token: &UnverifiedToken<'_>) -> Selector {
    let fingerprint = token.fingerprint().full().to_owned();
    let claimed = |name| token.claimed(name).map(str::to_owned);
    let (id, issuer) = (claimed("jti"), claimed("iss"));
    Box::new(move |WrittenEntry { revocation, .. }| match revocation.by() {
        RevokedBy::Fingerprint => fingerprint.starts_with(revocation.value()),
        RevokedBy::Id => {
            Some(revocation.value()) == id.as_deref()
                && (revocation.issuer().is_none() || revocation.issuer() == issuer.as_deref())
        }
        _ => false,
    })
}

pub(super) fn revocation(by: RevokedBy, value: &str) -> Result<Revocation, Failure> {
    Revocation::new(by, value).map_err(|why| Failure::Other(format!("the value for `{}` {why}", by.as_str())))
}

fn named(given: [&Option<String>; 5]) -> Option<(RevokedBy, String)> {
    // In the order of `given`.
    let kinds = [
        RevokedBy::Id,
        RevokedBy::Fingerprint,
        RevokedBy::Subject,
        RevokedBy::Key,
        RevokedBy::DatahubTokenHash,
    ];
    kinds.into_iter().zip(given).find_map(|(by, value)| Some((by, value.clone()?)))
}

/// A token of which nothing is printed, whatever is wrong with it.
pub(super) fn parsed(text: &str) -> Result<UnverifiedToken<'_>, Failure> {
    UnverifiedToken::parse_with(Padding::Accepted, text, text.len()).map_err(|fault| {
        let why = match fault {
            JoseFault::Malformed(why) => why,
            JoseFault::AlgorithmUnknown | JoseFault::InvalidSignature => "its alg is not supported",
        };
        Failure::Other(format!("metagate could not verify this token: {why}"))
    })
}
