//! The rate limits of a configuration.
//!
//! - `limits.failures`, for each client network: how many tokens that are not genuine it may send. Beyond that, tokens
//!   of the network that are not cached are refused before anything of them is parsed. Cached ones are not affected,
//!   nor are connections whose last token was verified ([`Connection::is_in_good_standing`]): a client that replaces
//!   its token must not be refused because of others behind the same address.
//! - `limits.principal`, for each principal of an issuer entry: how many requests it may send.
//!
//! In report mode both are only counted.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ipnet::IpNet;

use super::Peer;
use crate::budget::Connection;
use crate::claims::VerifiedToken;
use crate::config::FailureLimit;
use crate::metrics::Metrics;
use crate::policy::Mode;
use crate::rate_limiter::{RateLimit, RateLimiter, Wait};

/// At most one log line about client networks over their limit in this time.
const LOG_INTERVAL_SECS: u64 = 60;

/// The rate limits of a configuration, with what was used up.
#[derive(Debug)]
pub(super) struct RateLimits {
    failures: Option<Arc<Failures>>,
    principal: Option<Arc<RateLimiter>>,
    mode: Mode,
}

#[derive(Debug)]
struct Failures {
    limit: FailureLimit,
    networks: RateLimiter,
    start: Instant,
    /// When the next line may be logged, in seconds since the start.
    next_log: AtomicU64,
}

/// Where the failures of one request are counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct FailureSource<'a> {
    client: Option<IpAddr>,
    /// The connection, unless it serves many clients.
    account: Option<&'a Connection>,
}

impl<'a> FailureSource<'a> {
    /// A request over this connection. A trusted proxy that names no client is not limited, because its address is
    /// that of all its clients.
    pub(super) fn of(peer: &'a Peer, client: Option<IpAddr>) -> Self {
        let client = client.filter(|_| peer.account.has_share() || client != peer.address);
        Self { client, account: Some(&peer.account) }
    }

    /// A request that another proxy asks about.
    pub(super) fn via_forward_auth(client: IpAddr) -> Self {
        Self { client: Some(client), account: None }
    }
}

impl RateLimits {
    /// Nothing is used up.
    pub(super) fn new(
        failures: Option<FailureLimit>,
        principal: Option<RateLimit>,
        mode: Mode,
        now: Instant,
    ) -> Self {
        let failures = failures.map(|limit| {
            let networks = RateLimiter::new(limit.rate, now);
            Arc::new(Failures { limit, networks, start: now, next_log: AtomicU64::new(0) })
        });
        let principal = principal.map(|rate| Arc::new(RateLimiter::new(rate, now)));
        Self { failures, principal, mode }
    }

    /// Takes over what was used up of the limits that are the same as before. A reload must not fill every bucket.
    pub(super) fn keep_counts_of(&mut self, before: &Self) {
        if let (Some(own), Some(other)) = (&mut self.failures, &before.failures)
            && own.limit == other.limit
        {
            *own = other.clone();
        }
        if let (Some(own), Some(other)) = (&mut self.principal, &before.principal)
            && own.limit() == other.limit()
        {
            *own = other.clone();
        }
    }

    /// Whether a token of this source that is not cached may be verified.
    ///
    /// # Errors
    /// Its network has sent too many that are not genuine.
    pub(super) fn check_failures(&self, source: FailureSource<'_>, metrics: &Metrics) -> Result<(), Wait> {
        let Some((failures, network)) = self.failures_of(source) else { return Ok(()) };
        if source.account.is_some_and(Connection::is_in_good_standing) {
            return Ok(());
        }
        let now = Instant::now();
        self.enforced(failures.networks.check(&network, now).inspect_err(|_| {
            metrics.rate_limited("failures");
            failures.log(network, now);
        }))
    }

    /// Counts a token that is not genuine.
    pub(super) fn count_failure(&self, source: FailureSource<'_>) {
        if let Some((failures, network)) = self.failures_of(source) {
            failures.networks.take(&network, Instant::now());
            if let Some(account) = source.account {
                account.failed();
            }
        }
    }

    /// Takes a permit of the token's principal.
    ///
    /// # Errors
    /// It has none.
    pub(super) fn take_permit(&self, token: &VerifiedToken, metrics: &Metrics) -> Result<(), Wait> {
        let Some(limiter) = &self.principal else { return Ok(()) };
        let permit = limiter.try_take(&(token.entry(), token.principal()), Instant::now());
        self.enforced(permit.inspect_err(|_| metrics.rate_limited("principal")))
    }

    fn failures_of(&self, source: FailureSource<'_>) -> Option<(&Failures, IpNet)> {
        let failures = self.failures.as_deref()?;
        Some((failures, failures.limit.network(source.client?)))
    }

    fn enforced(&self, result: Result<(), Wait>) -> Result<(), Wait> {
        if self.mode == Mode::Report { Ok(()) } else { result }
    }
}

impl Failures {
    /// Logs a network over its limit: if it is a proxy, the operator must know.
    fn log(&self, network: IpNet, now: Instant) {
        let secs = now.saturating_duration_since(self.start).as_secs();
        let next = self.next_log.load(Ordering::Relaxed);
        let order = Ordering::Relaxed;
        if secs >= next
            && self.next_log.compare_exchange(next, secs + LOG_INTERVAL_SECS, order, order).is_ok()
        {
            tracing::warn!(
                %network,
                "a client network sent more invalid tokens than limits.failures: its tokens that are not cached get 429 \
                 until it sends fewer. If it is a proxy or load balancer, name it in trustedProxies"
            );
        }
    }
}

#[cfg(test)]
mod tests;
