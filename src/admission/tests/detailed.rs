//! A script with rate limits and an allow-list of bots.

use std::time::{Duration, Instant};

use super::*;
use crate::bots::{Bot, BotFault};
use crate::rate_limiter::{RateLimit, RateLimiter, Wait};

/// A [`Script`] whose limits are reached or not, with an answer of the allow-list of bots. It logs more calls.
pub(super) struct Detailed {
    pub(super) script: Script,
    /// Whether `limits.failures` is reached.
    pub(super) failures: bool,
    /// Whether `limits.principal` is reached.
    pub(super) principal: bool,
    /// How many failures were counted.
    pub(super) counted: usize,
    pub(super) bot: Result<Arc<Bot>, BotFault>,
}

impl Detailed {
    pub(super) fn new(script: Script) -> Self {
        Self { script, failures: false, principal: false, counted: 0, bot: Err(BotFault::NoList) }
    }
}

/// A script with the key of [`token`], which no fetch changes.
pub(super) fn good() -> Script {
    let script = Script::new([ring(1, Some(key_set(&[RSA.jwk_named("k")])))]);
    Script { refresh: Refresh::Unchanged, ..script }
}

fn check(is_reached: bool) -> Result<(), Wait> {
    let now = Instant::now();
    let limiter = RateLimiter::new(RateLimit::new(1, Duration::from_millis(1500), 1).unwrap(), now);
    limiter.try_take("key", now).unwrap();
    if is_reached { limiter.check("key", now) } else { Ok(()) }
}

impl Environment for Detailed {
    fn now(&self) -> NumericDate {
        self.script.now()
    }

    fn keys(&self) -> Arc<KeyRing> {
        self.script.keys()
    }

    fn cached(&mut self, text: &[u8], generation: u64, now: NumericDate) -> Option<Arc<VerifiedToken>> {
        self.script.cached(text, generation, now)
    }

    fn keep(&mut self, text: &str, token: &Arc<VerifiedToken>, generation: u64) {
        self.script.keep(text, token, generation);
    }

    async fn first_keys(&mut self, entry: usize) -> bool {
        self.script.first_keys(entry).await
    }

    async fn newer_keys(&mut self, text: &str, entry: usize, generation: u64) -> Refresh {
        self.script.newer_keys(text, entry, generation).await
    }

    fn revocation(&self, token: &VerifiedToken, text: &[u8]) -> Result<Option<Box<Revoked>>, Unavailable> {
        self.script.revocation(token, text)
    }

    fn check_failures(&mut self) -> Result<(), Wait> {
        self.script.calls.push("check");
        check(self.failures)
    }

    fn count_failure(&mut self) {
        self.counted += 1;
    }

    fn take_permit(&mut self, _: &VerifiedToken) -> Result<(), Wait> {
        self.script.calls.push("permit");
        check(self.principal)
    }

    fn bot(&self, _: &VerifiedToken) -> Result<Arc<Bot>, BotFault> {
        self.bot.clone()
    }

    async fn introspect(&mut self, _: &str, _: &VerifiedToken) {
        self.script.calls.push("introspect");
    }

    async fn graphql(&mut self, facts: &RequestFacts, headers: &Fields) -> Result<Graphql, Denial> {
        self.script.graphql(facts, headers).await
    }
}
