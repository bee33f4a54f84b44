//! From a bearer token to a verified one (steps 5 to 7).

use std::net::IpAddr;
use std::sync::Arc;

use super::refused_token::{RefusedToken, TokenFailure, Waits};
use super::{Admission, Environment, Observer, Step, bots, rate, refused};
use crate::claims::{Mapping, VerifiedToken};
use crate::decision::{Denial, Reason};
use crate::diagnosis;
use crate::jose::{JoseFault, Padding, UnverifiedToken};
use crate::numeric_date::NumericDate;
use crate::request::BearerToken;
use crate::revocation::Unavailable;
use crate::trust::{self, KeyRing, TokenFault};

/// A token that is genuine and valid now.
pub(super) struct Verified {
    pub(super) token: Arc<VerifiedToken>,
    /// The generation of the keys that just verified it; `None` if it was in the cache.
    verified_with: Option<u64>,
}

impl Admission {
    /// From a bearer token to a verified one that is not revoked, and is mapped if it must be (steps 5 to 7).
    pub(super) async fn verify<E, O>(
        &self,
        bearer: &BearerToken,
        source: Option<IpAddr>,
        environment: &mut E,
        observer: &mut O,
    ) -> Result<Arc<VerifiedToken>, Denial>
    where
        E: Environment + Send,
        O: Observer + Send,
    {
        let Verified { token, verified_with } = self.verify_only(bearer, environment, observer).await?;
        if let Some(generation) = verified_with {
            // Before it is cached: a request that finds it in the cache does not wait for the answer.
            environment.introspect(bearer.as_str(), &token).await;
            environment.keep(bearer.as_str(), &token, generation);
        }
        self.check_lists(token, bearer, source, environment, observer)
    }

    /// From a bearer token to a verified one, which may be revoked (step 5). Does not cache it.
    pub(super) async fn verify_only<E, O>(
        &self,
        bearer: &BearerToken,
        environment: &mut E,
        observer: &mut O,
    ) -> Result<Verified, Denial>
    where
        E: Environment + Send,
        O: Observer + Send,
    {
        if bearer.as_bytes().len() > self.authorizer.token_bytes {
            let text = bearer.as_str();
            let fault = JoseFault::Malformed("token is longer than tokenBytes");
            let token = RefusedToken::unparsed(text, fault, self.authorizer.token_bytes);
            return Err(self.refuse_token(token, None, environment, observer));
        }
        let (mut waits, mut is_first) = (Waits::default(), true);
        let verified = loop {
            let keys = environment.keys();
            let now = environment.now();
            if let Some(token) = environment.cached(bearer.as_bytes(), keys.generation, now)
                && bots::has_current_roles(&token, environment)
            {
                break Verified { token, verified_with: None };
            }
            if std::mem::take(&mut is_first) {
                rate::before_verification(environment, observer)?;
                environment.turn().await;
            }
            let text = bearer.as_str();
            let token = match self.verify_with(bearer, &keys, now, observer) {
                Ok(token) => {
                    let token = bots::with_roles(self.authorizer.exchange.map(token), environment);
                    break Verified { token: Arc::new(token), verified_with: Some(keys.generation) };
                }
                Err(refused) => refused,
            };
            // The next iteration uses other keys.
            let generation = keys.generation;
            drop(keys);
            if let Err(denial) = waits.wait_for_keys(text, &token.failure, generation, environment).await {
                return Err(self.refuse_token(token, Some(denial), environment, observer));
            }
        };
        observer.verified(&verified.token);
        Ok(verified)
    }

    /// Whether a verified token is not revoked, and is mapped if it must be (steps 6 and 7).
    fn check_lists<E: Environment, O: Observer>(
        &self,
        token: Arc<VerifiedToken>,
        bearer: &BearerToken,
        source: Option<IpAddr>,
        environment: &E,
        observer: &mut O,
    ) -> Result<Arc<VerifiedToken>, Denial> {
        self.check_revocation(&token, bearer, environment, observer)?;
        if let Err((step, denial)) = bots::check(&token, source, environment) {
            let entry = self.entry_of(&token);
            return Err(refused(observer, step, Denial { entry, ..denial }));
        }
        if *token.mapping() == Mapping::Missing {
            let detail = diagnosis::unmapped(&token, &self.authorizer.exchange).finish();
            let entry = self.entry_of(&token);
            let denial = Denial { entry, ..Denial::new(Reason::NoMapping).with(detail) };
            return Err(refused(observer, Step::Mapping, denial));
        }
        Ok(token)
    }

    /// Refuses a token that is revoked, or of which that is unknown (step 6).
    fn check_revocation<E: Environment, O: Observer>(
        &self,
        token: &VerifiedToken,
        bearer: &BearerToken,
        environment: &E,
        observer: &mut O,
    ) -> Result<(), Denial> {
        let denial = match environment.revocation(token, bearer.as_bytes()) {
            Ok(None) => return Ok(()),
            Ok(Some(revoked)) => {
                let detail = diagnosis::revoked(&revoked, token).finish();
                Denial::of_token(TokenFault::Revoked(revoked.by), self.entry_of(token)).with(detail)
            }
            Err(Unavailable(source)) => {
                let detail = diagnosis::no_revocation_list(&source).finish();
                let entry = self.entry_of(token);
                Denial { entry, ..Denial::new(Reason::RevocationsUnavailable).with(detail) }
            }
        };
        Err(refused(observer, Step::Revocation, denial))
    }

    /// The index of the issuer entry that verified a token.
    fn entry_of(&self, token: &VerifiedToken) -> Option<usize> {
        self.authorizer.trust.iter().position(|entry| *entry.name == *token.entry())
    }

    fn verify_with<O: Observer>(
        &self,
        bearer: &BearerToken,
        keys: &KeyRing,
        now: NumericDate,
        observer: &mut O,
    ) -> Result<VerifiedToken, RefusedToken> {
        let (text, max_bytes) = (bearer.as_str(), self.authorizer.token_bytes);
        let padding = if bearer.may_be_padded() { Padding::Accepted } else { Padding::Refused };
        let token = UnverifiedToken::parse_with(padding, text, max_bytes)
            .map_err(|fault| RefusedToken::unparsed(text, fault, max_bytes))?;
        observer.parsed(&token);
        let verified = self.verify_parsed(&token, keys, now, observer);
        verified.map_err(|failure| {
            let detail = self.describe(&token, keys, &failure, now);
            RefusedToken::new(failure, Some(token.into_summary()), detail)
        })
    }

    fn verify_parsed<O: Observer>(
        &self,
        token: &UnverifiedToken<'_>,
        keys: &KeyRing,
        now: NumericDate,
        observer: &mut O,
    ) -> Result<VerifiedToken, TokenFailure> {
        let minted = self.authorizer.policy.minted_issuer.as_deref();
        let index = trust::entry_for(token, &self.authorizer.trust, minted).map_err(TokenFailure::Issuer)?;
        let Some(entry) = self.authorizer.trust.get(index) else {
            return Err(TokenFailure::Issuer(TokenFault::UntrustedIssuer));
        };
        let set = keys.sets.get(index).and_then(Option::as_deref);
        observer.issuer(token, entry, set);
        trust::verify(token, entry, set, now).map_err(|fault| TokenFailure::Entry(index, fault))
    }
}
