//! The credentials with which requests are forwarded whose callers act as a user of the backend (`exchange`).
//!
//! 1. An entry mints tokens ([`crate::mint`]), which are kept while they are good ([`crate::mint_cache`]), or takes a token
//!    from a file (`file`), which is read again when it changes.
//! 2. [`BackendCredentials::of`] returns the credential for one request. If there is none, the request is refused: the
//!    client's own token never takes its place.
//!
//! Invariants:
//!
//! - A credential leaves this module only as a sensitive field value, for the head of the request to the backend. It is in
//!   no error, log line or `Debug` output.
//! - After a reload a kept token is used only if its entry, user and keys are the same.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;

use crate::claims::{MappedUser, VerifiedToken};
use crate::config::{Config, ExchangeCredential};
use crate::decision::{Denial, Reason};
use crate::diagnosis::{Detail, Plain};
use crate::file_watch;
use crate::mint::{MintFault, MintTarget, Minter};
use crate::mint_cache::{Incoming, MintCache};
use crate::numeric_date::NumericDate;

mod file;

use file::CredentialFile;

/// How often the files are checked.
const INTERVAL: Duration = Duration::from_secs(1);

/// The credentials of one configuration.
pub struct BackendCredentials {
    /// In the order of the entries.
    sources: Vec<Source>,
    minted: Arc<MintCache>,
}

enum Source {
    Minted(Arc<Minter>, Arc<MintTarget>),
    File(Arc<CredentialFile>),
    /// A configuration without a minter has no entry that mints.
    None,
}

impl BackendCredentials {
    /// Those of a configuration. Reads the files; a missing one is reported, and is no error. `minted` has the tokens that
    /// were minted before.
    pub fn new(config: &Config, minted: Arc<MintCache>) -> Arc<Self> {
        let source = |credential: &ExchangeCredential| match credential {
            ExchangeCredential::Minted(target) => match &config.mint {
                Some(minter) => Source::Minted(minter.clone(), target.clone()),
                None => Source::None,
            },
            ExchangeCredential::File(path) => {
                let file = CredentialFile::new(path.clone());
                file.look(Instant::now());
                Source::File(Arc::new(file))
            }
        };
        Arc::new(Self { sources: config.exchange.credentials.iter().map(source).collect(), minted })
    }

    /// The minted tokens, for the next configuration.
    pub fn minted(&self) -> &Arc<MintCache> {
        &self.minted
    }

    /// The value of `Authorization` with which a request of this token is forwarded as `user`.
    ///
    /// # Errors
    /// There is no credential, or the token has just expired.
    pub async fn of(
        &self,
        user: &MappedUser,
        token: &VerifiedToken,
        now: NumericDate,
    ) -> Result<HeaderValue, Denial> {
        match self.sources.get(user.index) {
            Some(Source::Minted(minter, target)) => {
                let subject = token.subject().unwrap_or_default();
                let incoming = Incoming { issuer: token.entry(), subject, until: token.valid_until() };
                let minted = self.minted.token(minter, target, incoming, now).await;
                minted.map(|token| token.authorization).map_err(|fault| match fault {
                    MintFault::Expired => Denial::new(Reason::Expired),
                    fault => unavailable(user, &fault.to_string()),
                })
            }
            Some(Source::File(file)) => file.current().map_err(|why| unavailable(user, &why)),
            Some(Source::None) | None => Err(unavailable(user, "the entry has none")),
        }
    }

    /// What a request of this user is forwarded with, for operators: the claims of a minted token, or the file of a stored one.
    pub fn describe(&self, user: &MappedUser, now: NumericDate) -> String {
        match self.sources.get(user.index) {
            Some(Source::Minted(minter, target)) => {
                format!("a minted token with the claims {}", minter.shown_claims(target, now))
            }
            Some(Source::File(file)) => match file.current() {
                Ok(_) => format!("the token in {}", file.path().display()),
                Err(why) => format!("no token: {}: {why}", file.path().display()),
            },
            Some(Source::None) | None => "no token".to_owned(),
        }
    }

    /// Watches the files until the future is dropped.
    pub async fn run(self: Arc<Self>) {
        let file = |source: &Source| match source {
            Source::File(file) => Some(file.clone()),
            Source::Minted(..) | Source::None => None,
        };
        let files: Arc<[_]> = self.sources.iter().filter_map(file).collect();
        if files.is_empty() {
            return;
        }
        let look = move || files.iter().for_each(|file| file.look(Instant::now()));
        file_watch::look_every(INTERVAL, "files of exchange", look).await;
    }
}

fn unavailable(user: &MappedUser, why: &str) -> Denial {
    let entry = &user.entry;
    let detail = Detail::of(format_args!("no credential of exchange entry {entry}: {}", Plain(why)));
    Denial::new(Reason::CredentialUnavailable).with(detail.finish())
}

impl fmt::Debug for BackendCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackendCredentials").field("entries", &self.sources.len()).finish_non_exhaustive()
    }
}
