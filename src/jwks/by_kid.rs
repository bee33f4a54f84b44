//! Keys that are published one by one, each under a URL with its `kid` (load balancers of AWS).
//!
//! The kids are not known in advance: a key is fetched when the first token names it. Anyone can invent a kid, so:
//!
//! 1. A kid is put into the URL only if it is short and has no character with a meaning there ([`MAX_KID`]).
//! 2. At most [`MAX_WANTED`] kids wait for a fetch, and one attempt asks for [`MAX_PER_ATTEMPT`] of them. Attempts are
//!    bounded as for every source ([`super::on_demand`]).
//! 3. A kid that has no key is not asked for again for `unknownKeyCooldown`.
//! 4. At most [`MAX_KEYS`] keys are kept; a new one replaces the oldest.
//!
//! A key verifies no token with another kid. Known keys are fetched again on schedule. One that cannot be fetched any more
//! is used until `maxStale`, and one that is gone (404 or 410) no longer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest::StatusCode;
use tokio::time::Instant;
use url::Url;

use super::client::KeyClient;
use super::document::{get_document, usable};
use super::fault::FetchError;
use crate::config::{Jwks, KID_IN_URL};
use crate::jose::{KeyDialect, ParsedKeys, VerificationKey};

/// The longest kid that is looked for, in bytes. Those of AWS are UUIDs.
const MAX_KID: usize = 64;
const MAX_WANTED: usize = 64;
const MAX_PER_ATTEMPT: usize = 4;
const MAX_MISSING: usize = 1024;
const MAX_KEYS: usize = 32;

/// The keys of one source, by kid.
#[derive(Debug)]
pub(super) struct KeysByKid {
    client: KeyClient,
    template: Url,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    known: VecDeque<Known>,
    wanted: VecDeque<Box<str>>,
    /// Kids without a key, and when that was found. The oldest are first.
    missing: VecDeque<(Box<str>, Instant)>,
}

#[derive(Debug)]
struct Known {
    kid: Box<str>,
    key: Arc<VerificationKey>,
    fetched: Instant,
}

impl KeysByKid {
    pub(super) fn new(client: KeyClient, template: Url) -> Self {
        Self { client, template, state: Mutex::default() }
    }

    /// Asks for the key with this kid in the next attempt. Returns whether that may find it.
    pub(super) fn want(&self, kid: &str, settings: &Jwks) -> bool {
        if !is_plain(kid) {
            return false;
        }
        let mut state = self.state();
        let is_missing = |(missing, at): &(Box<str>, Instant)| {
            **missing == *kid && at.elapsed() < settings.unknown_key_cooldown
        };
        if state.known.iter().any(|known| *known.kid == *kid) || state.missing.iter().any(is_missing) {
            return false;
        }
        if state.wanted.iter().any(|wanted| **wanted == *kid) {
            return true;
        }
        let has_room = state.wanted.len() < MAX_WANTED;
        if has_room {
            state.wanted.push_back(kid.into());
        }
        has_room
    }

    /// Fetches keys that are wanted, and those that are known and due.
    pub(super) async fn fetch(&self, settings: &Jwks) -> Result<ParsedKeys, FetchError> {
        self.state().known.retain(|known| known.fetched.elapsed() < settings.max_stale);
        for _ in 0..MAX_PER_ATTEMPT {
            let Some(kid) = self.state().wanted.pop_front() else { break };
            match self.fetch_one(&kid, settings).await {
                Ok(key) => self.state().add(kid, key),
                Err(FetchError::Status(status)) if is_missing(status) => self.state().miss(kid),
                Err(error) => return Err(error),
            }
        }
        for kid in self.due(settings) {
            match self.fetch_one(&kid, settings).await {
                Ok(key) => self.state().renew(&kid, key),
                Err(FetchError::Status(StatusCode::NOT_FOUND | StatusCode::GONE)) => {
                    self.state().known.retain(|known| known.kid != kid);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self.keys())
    }

    /// The keys that are known now.
    pub(super) fn keys(&self) -> ParsedKeys {
        let usable = self.state().known.iter().map(|known| known.key.clone()).collect();
        ParsedKeys { usable, skipped: Vec::new() }
    }

    /// The kids of keys that were fetched long ago. Attempts for a new kid do not fetch all others again.
    fn due(&self, settings: &Jwks) -> Vec<Box<str>> {
        let state = self.state();
        let is_due = |known: &&Known| known.fetched.elapsed() >= settings.refresh_interval / 2;
        state.known.iter().filter(is_due).map(|known| known.kid.clone()).collect()
    }

    async fn fetch_one(&self, kid: &str, settings: &Jwks) -> Result<Arc<VerificationKey>, FetchError> {
        // A plain kid needs no encoding, and cannot lead to another path or host.
        let url = self.template.as_str().replace(KID_IN_URL, kid);
        let url = Url::parse(&url).map_err(|_| FetchError::NoUsableKey("its URL is not valid".to_owned()))?;
        let document = get_document(&self.client, &url, settings.max_bytes).await?;
        let keys = usable(&document, KeyDialect::Standard, settings.max_keys)?;
        let count = keys.usable.len();
        let only = keys.usable.into_iter().next().filter(|_| count == 1).and_then(Arc::into_inner);
        match only.map(|key| key.named(kid)) {
            Some(Ok(key)) => Ok(Arc::new(key)),
            Some(Err(_)) => Err(FetchError::NoUsableKey("its key has another kid than its URL".to_owned())),
            None => Err(FetchError::NoUsableKey(format!("it has {count} keys and not one"))),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, kid: Box<str>, key: Arc<VerificationKey>) {
        // It may have been asked for again while it was fetched.
        self.known.retain(|known| known.kid != kid);
        if self.known.len() >= MAX_KEYS {
            self.known.pop_front();
        }
        self.known.push_back(Known { kid, key, fetched: Instant::now() });
    }

    fn renew(&mut self, kid: &str, key: Arc<VerificationKey>) {
        if let Some(known) = self.known.iter_mut().find(|known| *known.kid == *kid) {
            (known.key, known.fetched) = (key, Instant::now());
        }
    }

    fn miss(&mut self, kid: Box<str>) {
        self.missing.retain(|(missing, _)| *missing != kid);
        if self.missing.len() >= MAX_MISSING {
            self.missing.pop_front();
        }
        self.missing.push_back((kid, Instant::now()));
    }
}

/// Whether a kid can be a part of a path as it is: only letters, digits, `-` and `_`.
fn is_plain(kid: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !kid.is_empty() && kid.len() <= MAX_KID && kid.bytes().all(is_plain)
}

/// Whether the response means that there is no such key. Object stores answer 403 for what does not exist.
fn is_missing(status: StatusCode) -> bool {
    [StatusCode::BAD_REQUEST, StatusCode::FORBIDDEN, StatusCode::NOT_FOUND, StatusCode::GONE]
        .contains(&status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_kids_are_put_into_a_url() {
        for kid in ["a", "12345678-1234-1234-1234-123456789012", "A_b-9", &"k".repeat(MAX_KID)] {
            assert!(is_plain(kid), "{kid}");
        }
        let long = "k".repeat(MAX_KID + 1);
        for kid in
            ["", ".", "..", "a/b", "a%2fb", "a?b", "a#b", "a\\b", "a b", "\u{e9}", "a\n", "@a", ":", &long]
        {
            assert!(!is_plain(kid), "{kid:?}");
        }
    }
}
