//! From a request's credentials to a decision about it.

use std::sync::Arc;

use super::Gateway;
use crate::claims::VerifiedToken;
use crate::decision::{Caller, Denial, NextStep, Permit, Route};
use crate::exchange::{Exchange, RefusedToken};
use crate::jose::UnverifiedToken;
use crate::keys::{Refresh, Unverified};
use crate::numeric_date::NumericDate;
use crate::policy::Mode;
use crate::request::{BearerToken, Credentials, RequestFacts};
use crate::revocation_list::TokenWatch;
use crate::token_cache::TokenCache;
use crate::trust::{self, TokenFault};

/// How often one request is judged again because there are other keys: each of several sources answers
/// in its own time, and other issuers' keys change too.
const MAX_REFRESHES: u8 = 4;

/// How much of an unverified `sub` goes into the audit trail.
const MAX_SUBJECT_CHARS: usize = 128;

/// What a request has waited for.
#[derive(Default)]
struct Waits {
    first_keys: bool,
    refreshes: u8,
}

impl Gateway {
    /// The decision about a request whose body is not here.
    pub(super) async fn judge(
        &self,
        exchange: &mut Exchange,
        facts: &RequestFacts,
    ) -> Result<Permit, Denial> {
        let (route, caller) = self.identify(exchange, facts).await;
        self.gate.decide(facts, route, caller)
    }

    /// What the route asks for, and who is asking, or why nobody knows.
    pub(super) async fn identify(
        &self,
        exchange: &mut Exchange,
        facts: &RequestFacts,
    ) -> (Route, Result<Caller, Denial>) {
        let route = self.gate.route(facts);
        let caller = match self.gate.next_step(facts, route) {
            NextStep::Decide(caller) => caller,
            NextStep::Verify(token) => match self.verify(exchange, token).await {
                Ok(verified) => self.judge_revocation(exchange, token, verified).map(Caller::Token),
                Err(denial) => Err(denial),
            },
        };
        if let Ok(Caller::Token(token)) = &caller {
            exchange.asked_by(token.clone());
        }
        (route, caller)
    }

    /// On every request, out of the cache or not: a revocation counts from the moment it is listed.
    fn judge_revocation(
        &self,
        exchange: &mut Exchange,
        token: &BearerToken,
        verified: Arc<VerifiedToken>,
    ) -> Result<Arc<VerifiedToken>, Denial> {
        let Some(by) = self.revocations.current().find(&verified, token.as_str()) else {
            return Ok(verified);
        };
        let entry = self.gate.trust.iter().position(|entry| *entry.name == *verified.entry());
        exchange.asked_by(verified);
        Err(Denial::of_token(TokenFault::Revoked(by), entry))
    }

    /// From a bearer token to a verified one: out of the cache, or by the keys that there are,
    /// and once more after waiting for keys that were missing.
    async fn verify(
        &self,
        exchange: &mut Exchange,
        token: &BearerToken,
    ) -> Result<Arc<VerifiedToken>, Denial> {
        let text = token.as_str();
        if text.len() > self.gate.token_bytes {
            return Err(Denial::of_token(TokenFault::Malformed("token is longer than tokenBytes"), None));
        }
        let digest = TokenCache::digest(text);
        let mut waits = Waits::default();
        loop {
            let ring = self.keys.ring().clone();
            let now = (self.clock)();
            if let Some(token) = self.cache.get(&digest, ring.generation, now) {
                self.ledger.metrics.token_cache("hit");
                return Ok(token);
            }
            let (entry, fault) = match self.verify_with(text, &ring, now) {
                Ok(token) => {
                    self.ledger.metrics.token_cache("miss");
                    let token = Arc::new(token);
                    self.cache.insert(digest, token.clone(), ring.generation);
                    return Ok(token);
                }
                Err(failed) => failed,
            };
            // The keys are of this moment; they may be better in the next.
            let waited = match entry {
                None => Err(Denial::of_token(fault, None)),
                Some(entry) => {
                    let (generation, client) = (ring.generation, exchange.source());
                    let token = Unverified { entry, digest: &digest, generation, client };
                    self.wait_for_keys(token, fault, &mut waits).await
                }
            };
            if let Err(denial) = waited {
                exchange.refused_token(describe(text, self.gate.token_bytes));
                return Err(denial);
            }
        }
    }

    /// Waits for keys that may verify a token, where there can be any.
    ///
    /// # Errors
    /// It is refused for this.
    async fn wait_for_keys(
        &self,
        token: Unverified<'_>,
        fault: TokenFault,
        waits: &mut Waits,
    ) -> Result<(), Denial> {
        let refused = Denial::of_token(fault, Some(token.entry));
        if fault == TokenFault::KeysUnavailable && !waits.first_keys {
            waits.first_keys = true;
            return if self.keys.wait_for(token.entry, token.client).await { Ok(()) } else { Err(refused) };
        }
        if !fault.may_be_outdated_keys() || waits.refreshes >= MAX_REFRESHES {
            return Err(refused);
        }
        waits.refreshes += 1;
        match self.keys.refresh_for_token(token).await {
            Refresh::Changed => Ok(()),
            // Nobody can say that there is no such key: the client should keep its token.
            Refresh::Unreachable if fault == TokenFault::UnknownKey => Err(Denial {
                detail: Some("the token's key is not known here, and a source of keys cannot be reached"),
                ..Denial::of_token(TokenFault::KeysUnavailable, Some(token.entry))
            }),
            Refresh::Unchanged | Refresh::Unreachable => Err(refused),
        }
    }

    /// Looks out for the revocation of the token that let a request in. `seen` is the version of the list from
    /// before it was judged.
    pub(super) fn token_watch(&self, permit: &Permit, facts: &RequestFacts, seen: u64) -> Option<TokenWatch> {
        let (Caller::Token(token), Credentials::Bearer(bearer)) = (permit.caller(), &facts.credentials)
        else {
            return None;
        };
        // In report mode a revoked token would have been let in too.
        let enforced = self.gate.policy.mode == Mode::Enforce;
        enforced.then(|| self.revocations.watch(token.clone(), bearer.as_str(), seen))
    }

    fn verify_with(
        &self,
        text: &str,
        ring: &trust::KeyRing,
        now: NumericDate,
    ) -> Result<VerifiedToken, (Option<usize>, TokenFault)> {
        let token =
            UnverifiedToken::parse(text, self.gate.token_bytes).map_err(|fault| (None, fault.into()))?;
        let index = trust::entry_for(&token, &self.gate.trust).map_err(|fault| (None, fault))?;
        let Some(entry) = self.gate.trust.get(index) else { return Err((None, TokenFault::UntrustedIssuer)) };
        let keys = ring.sets.get(index).and_then(Option::as_deref);
        trust::verify(token, entry, keys, now).map_err(|fault| (Some(index), fault))
    }
}

/// What may be said in the audit trail about a token that was not believed.
fn describe(text: &str, max_bytes: usize) -> RefusedToken {
    match UnverifiedToken::parse(text, max_bytes) {
        Ok(token) => RefusedToken {
            kid: token.header().kid.clone(),
            fingerprint: Some(token.fingerprint().short().into()),
            subject: token.claimed("sub").map(|subject| subject.chars().take(MAX_SUBJECT_CHARS).collect()),
        },
        Err(_) => RefusedToken::default(),
    }
}
