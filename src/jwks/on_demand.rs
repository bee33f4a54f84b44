//! Fetches ahead of the schedule: for tokens that the current keys cannot verify, and for operators.
//!
//! Anyone can send such tokens, so their cost is bounded:
//!
//! 1. For each source, tokens cause at most [`BURST`](super::allowance::BURST) fetches in a row, and one per
//!    `unknownKeyCooldown` in the long run. Concurrent requests share one fetch.
//! 2. When these are used up, a request waits for the next fetch if that is due within `maxWait`; otherwise it is
//!    refused at once.
//! 3. A token that could not be verified after a fetch is refused at once for `unknownKeyCooldown`. A client that
//!    repeats it neither waits nor uses up fetches that others need.
//! 4. Waiting takes a place in a [`WaitingRoom`](super::waiting::WaitingRoom).

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use super::source::{Demand, Source};
use super::{IssuerEntry, Keys, SourceStatus};
use crate::admission::Refresh;
use crate::jose::claimed_key_id;
use crate::token_digest::TokenDigest;

/// How much longer than `jwks.timeout` requests wait for a fetch.
const GRACE: Duration = Duration::from_secs(1);
/// How many tokens that a fetch did not help are remembered.
const MAX_TOKENS: usize = 1024;

/// A token that the current keys cannot verify.
#[derive(Clone, Copy, Debug)]
pub struct Unverified {
    /// The issuer entry that its `iss` selects.
    pub entry: usize,
    /// The digest of its whole text.
    pub digest: TokenDigest,
    /// The generation of the ring that did not verify it.
    pub generation: u64,
    /// The client address, for its share of the waiting room.
    pub client: Option<IpAddr>,
}

/// How waiting for one source ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// It was fetched after the token arrived.
    Fetched,
    /// No fetch is due in time.
    NotDue,
    /// The fetch takes too long.
    TooLong,
}

impl Keys {
    /// Fetches newer keys for a token whose kid is unknown or whose key does not verify it.
    ///
    /// Fetches the sources of its entry within the bounds above, and returns as soon as one of them has new keys:
    /// a second source that hangs does not delay the request. Takes at most the sum of `maxWait`, `jwks.timeout`
    /// and a second.
    pub async fn refresh_for_token(&self, token: Unverified) -> Refresh {
        let Some(entry) = self.entries.get(token.entry).filter(|entry| !entry.sources.is_empty()) else {
            return Refresh::Unchanged;
        };
        let has_changed = || self.ring.load().generation != token.generation;
        if has_changed() {
            return Refresh::Changed;
        }
        if self.was_fetched_for(token.digest) {
            return entry.unchanged();
        }
        let Some(_place) = self.waiting_for_refresh.enter(token.client) else { return entry.unchanged() };
        let mut changed = self.changed.subscribe();
        let deadline = Instant::now() + self.settings.max_wait + self.settings.timeout + GRACE;
        let waits = tokio::select! {
            // In this order, so that a request with new keys causes no further fetch.
            biased;
            _ = changed.wait_for(|generation| *generation != token.generation) => return Refresh::Changed,
            waits = self.fetches_after_now(entry) => waits,
            () = sleep_until(deadline) => vec![Wait::TooLong],
        };
        if has_changed() {
            return Refresh::Changed;
        }
        if waits.contains(&Wait::TooLong) {
            return Refresh::Unreachable;
        }
        let result = entry.unchanged();
        if result == Refresh::Unchanged && waits.iter().all(|wait| *wait == Wait::Fetched) {
            self.remember(token.digest);
        }
        result
    }

    /// Asks for the key that this token names in the next fetch, if its entry fetches keys one by one. Returns whether a
    /// fetch may find it; call this before [`Self::refresh_for_token`].
    pub fn want_key_of(&self, entry: usize, text: &str) -> bool {
        let Some(entry) = self.entries.get(entry).filter(|entry| entry.by_kid) else { return true };
        let kid = claimed_key_id(text);
        entry.sources.iter().fold(false, |any, source| any | source.want(kid.as_deref()))
    }

    /// The same for whatever entry the token selects, before [`Keys::fetch_all`].
    pub fn want_keys_of(&self, text: &str) {
        for entry in 0..self.entries.len() {
            self.want_key_of(entry, text);
        }
    }

    /// Waits until every source of an entry was fetched by an attempt that started after this call, or turns out
    /// not to be due in time.
    async fn fetches_after_now(&self, entry: &IssuerEntry) -> Vec<Wait> {
        let latest = Instant::now() + self.settings.max_wait;
        let longest = self.settings.timeout + GRACE;
        let mut waits = vec![None; entry.sources.len()];
        let mut pending: Vec<_> = entry
            .sources
            .iter()
            .map(|source| Box::pin(fetched(source, source.next_attempt(), latest, longest)))
            .collect();
        let all = poll_fn(|cx| {
            for (wait, pending) in waits.iter_mut().zip(&mut pending) {
                if wait.is_none()
                    && let Poll::Ready(ended) = pending.as_mut().poll(cx)
                {
                    *wait = Some(ended);
                }
            }
            if waits.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
        });
        pin!(all).await;
        waits.into_iter().flatten().collect()
    }

    /// Whether a fetch within the last cooldown did not help this same token.
    fn was_fetched_for(&self, digest: TokenDigest) -> bool {
        let fetched = self.fetched_for.lock().unwrap_or_else(PoisonError::into_inner);
        let cooldown = self.settings.unknown_key_cooldown;
        fetched.at.get(&digest).is_some_and(|at| at.elapsed() < cooldown)
    }

    fn remember(&self, digest: TokenDigest) {
        self.fetched_for.lock().unwrap_or_else(PoisonError::into_inner).add(digest, Instant::now());
    }

    /// Fetches every source now, whatever its schedule, and returns the status of each afterwards.
    ///
    /// A running attempt is followed by another, because it may have started before a new key was published. Returns
    /// when all fetches have ended, at the latest after twice `jwks.timeout` and a second; a source that takes longer
    /// reports that as its `failure`. Only for keys that were [started](Keys::start).
    pub async fn refresh_now(&self) -> Vec<SourceStatus> {
        let deadline = Instant::now() + 2 * self.settings.timeout + GRACE;
        let fetches: Vec<_> = self.sources().map(|source| (source, source.request_attempt())).collect();
        let mut sources = Vec::with_capacity(fetches.len());
        for (source, fetch) in fetches {
            let ended = timeout_at(deadline, fetch.finished()).await.is_ok();
            let mut status = source.status();
            if !ended {
                status.failure.get_or_insert_with(|| "the fetch has not ended yet".to_owned());
            }
            sources.push(status);
        }
        sources
    }
}

impl IssuerEntry {
    /// The result for a token that the entry's keys do not verify.
    fn unchanged(&self) -> Refresh {
        let is_failing = self.sources.iter().any(|source| source.is_failing());
        if is_failing { Refresh::Unreachable } else { Refresh::Unchanged }
    }
}

/// Waits for the end of the attempt `number` of a source, or of a later one: only if it may start by `latest`, and
/// at most for `longest`.
async fn fetched(source: &Arc<Source>, number: u64, latest: Instant, longest: Duration) -> Wait {
    loop {
        match source.demand(number) {
            Demand::Ended => return Wait::Fetched,
            Demand::Running(attempt) => {
                if timeout_at(Instant::now() + longest, attempt.finished()).await.is_err() {
                    return Wait::TooLong;
                }
            }
            Demand::NotBefore(at) if at <= latest => sleep_until(at).await,
            Demand::NotBefore(_) => return Wait::NotDue,
        }
    }
}

/// Tokens that a fetch did not help, and when it ended. The oldest are forgotten first.
#[derive(Debug, Default)]
pub(super) struct FetchedFor {
    at: HashMap<TokenDigest, Instant>,
    order: VecDeque<TokenDigest>,
}

impl FetchedFor {
    fn add(&mut self, digest: TokenDigest, now: Instant) {
        if self.at.insert(digest, now).is_some() {
            return;
        }
        self.order.push_back(digest);
        if self.order.len() > MAX_TOKENS
            && let Some(oldest) = self.order.pop_front()
        {
            self.at.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounded_number_of_tokens_is_remembered() {
        let (mut fetched, now) = (FetchedFor::default(), Instant::now());
        let digest = |number: usize| TokenDigest::of(number.to_string());
        for number in 0..3 * MAX_TOKENS {
            fetched.add(digest(number), now);
            fetched.add(digest(number), now);
        }
        assert_eq!((fetched.at.len(), fetched.order.len()), (MAX_TOKENS, MAX_TOKENS));
        assert!(fetched.at.contains_key(&digest(3 * MAX_TOKENS - 1)) && !fetched.at.contains_key(&digest(0)));
    }
}
