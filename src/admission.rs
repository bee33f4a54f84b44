//! The steps from a request's head to a [`Permit`] or a [`Denial`], written once.
//!
//! The proxy, forward-auth, `metagate explain`, rule tests, fuzzing and benchmarks all call
//! [`Admission::admit`]. The order of the steps is the security property:
//!
//! 1. Request facts: the head is read in its only meaning, or refused ([`RequestFacts::read`]).
//! 2. Header fields: what `Connection` must not name, and what another proxy would forward ([`Via`]).
//! 3. Route: public, optional or protected ([`Authorizer::routed`]).
//! 4. Credentials: nobody, a session, DataHub's system user, or a token to verify.
//! 5. Token: verified before with the current keys, or verified now. If newer keys could make it good, they are
//!    asked for and the token is tried again.
//! 6. Revocation: on every request, so that an entry counts from the moment it is listed.
//! 7. Body: read if a rule asks about GraphQL, and only for a verified token.
//! 8. Rules: the decision ([`Authorizer::decide`]).
//! 9. Size: the stated length of the body.
//!
//! What must hold: a token reaches step 7 only as a [`VerifiedToken`], which only verification makes, and nothing
//! is forwarded without the [`Permit`] that step 8 makes. Keys, revocations, the time and the body come from the
//! [`Environment`]; if it has nothing to offer, the request is refused. Who wants to see the steps passes an
//! [`Observer`].
//!
//! Not done here: reading from sockets, limits on requests in flight, forwarding.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, Method, Uri, Version};

use crate::claims::VerifiedToken;
use crate::decision::{Authorizer, Caller, Denial, NextStep, Permit, Reason};
use crate::jose::UnverifiedToken;
use crate::numeric_date::NumericDate;
use crate::outbound_head::OutboundHead;
use crate::request::{BearerToken, Credentials, Graphql, RequestFacts, RequestFault};
use crate::revocation::RevokedBy;
use crate::trust::{self, KeyRing, TokenFault};

mod observer;
mod snapshot;

pub use observer::{Observer, Step};
pub use snapshot::Snapshot;

/// How often one token is tried again because there are other keys: each of several sources answers in its own
/// time, and other issuers' keys change too.
const MAX_REFRESHES: u8 = 4;

const LOOK_ALIKE: RequestFault = RequestFault::BadTarget("an identity field is spelled in another way");
const UNLISTED: RequestFault = RequestFault::BadTarget("a field may carry an identity and is on no list");

/// What the requests of one configuration are admitted by.
#[derive(Clone, Debug)]
pub struct Admission {
    /// Routes, trust and rules.
    pub authorizer: Authorizer,
    /// Which header fields are not the client's to send.
    pub head: OutboundHead,
    /// The longest body, in bytes.
    pub body_bytes: u64,
}

/// One request, before anything of it is known.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its target.
    pub target: &'a Uri,
    /// Its protocol version.
    pub version: Version,
    /// Its header section.
    pub headers: &'a HeaderMap,
    /// The client's address; none on a Unix socket.
    pub source: Option<IpAddr>,
    /// The body's length in bytes, if it is stated.
    pub content_length: Option<u64>,
    /// Who forwards it.
    pub via: Via,
}

/// Who forwards the request once it is admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// We do, with a head of our own making.
    Proxy,
    /// Another proxy that asks for the decision only, and forwards what its client sent: a field that may carry
    /// an identity is refused unless the proxy can be told to remove it.
    ForwardAuth {
        /// Whether it can be told so.
        removes_fields: bool,
    },
}

/// A request that may go on.
#[derive(Debug)]
pub struct Admitted {
    /// What its head says.
    pub facts: RequestFacts,
    /// Leave to forward it.
    pub permit: Permit,
}

/// What asking for newer keys has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresh {
    /// There are other keys now than those that the token was tried with.
    Changed,
    /// There are none, as far as may be asked now.
    Unchanged,
    /// Not known: a source of the entry cannot be reached.
    Unreachable,
}

/// The outside world, as far as admission asks for it.
///
/// Only verified tokens are ever handed to [`Self::keep`], and whatever [`Self::cached`] returns must have been
/// handed to it before, with the same text and generation.
pub trait Environment {
    /// The time.
    fn now(&self) -> NumericDate;

    /// The keys of all issuer entries.
    fn keys(&self) -> Arc<KeyRing>;

    /// A token with this text that was verified with the keys of `generation`, if its times hold at `now`.
    fn cached(&mut self, text: &str, generation: u64, now: NumericDate) -> Option<Arc<VerifiedToken>>;

    /// Keeps a token that was just verified with the keys of `generation`.
    fn keep(&mut self, text: &str, token: &Arc<VerifiedToken>, generation: u64);

    /// Waits for the first keys of an issuer entry. Returns whether there are any.
    fn first_keys(&mut self, entry: usize) -> impl Future<Output = bool> + Send;

    /// Asks for newer keys of an issuer entry than those of `generation`, for the token with this text.
    fn newer_keys(
        &mut self,
        text: &str,
        entry: usize,
        generation: u64,
    ) -> impl Future<Output = Refresh> + Send;

    /// The revocation that a verified token falls under.
    fn revocation(&self, token: &VerifiedToken, text: &str) -> Option<RevokedBy>;

    /// What the body asks of GraphQL.
    ///
    /// # Errors
    /// The body does not arrive.
    fn graphql(
        &mut self,
        facts: &RequestFacts,
        headers: &HeaderMap,
    ) -> impl Future<Output = Result<Graphql, Denial>> + Send;
}

impl Admission {
    /// Takes a request through all steps.
    ///
    /// # Errors
    /// The first step that refuses it says why.
    pub async fn admit<E, O>(
        &self,
        head: &RequestHead<'_>,
        environment: &mut E,
        observer: &mut O,
    ) -> Result<Admitted, Denial>
    where
        E: Environment + Send,
        O: Observer + Send,
    {
        let mut facts = self.facts(head).map_err(|fault| refused(observer, Step::Request, fault.into()))?;
        observer.facts(&facts);
        let routed = self.authorizer.routed(&facts);
        observer.route(&facts, routed);
        let caller = match self.authorizer.next_step(&facts, routed.route) {
            NextStep::Decide(caller) => caller.map_err(|denial| refused(observer, Step::Credentials, denial)),
            NextStep::Verify(token) => self.verify(token, environment, observer).await.map(Caller::Token),
        };
        if let Ok(caller) = &caller {
            observer.caller(caller);
        }
        if head.via == Via::Proxy && self.authorizer.asks_graphql(&facts, &caller) {
            let graphql = environment.graphql(&facts, head.headers).await;
            let graphql = graphql.map_err(|denial| refused(observer, Step::Body, denial))?;
            observer.graphql(&graphql);
            facts.graphql = Some(graphql);
        }
        let is_known = caller.is_ok();
        observer.rules(&facts, &caller);
        let permit = match self.authorizer.decide(&facts, routed.route, caller) {
            Ok(permit) => permit,
            Err(denial) if is_known => return Err(refused(observer, Step::Rules, denial)),
            Err(denial) => return Err(denial),
        };
        observer.permitted(&permit);
        if head.content_length.is_some_and(|length| length > self.body_bytes) {
            return Err(refused(observer, Step::Body, Denial::new(Reason::PayloadTooLarge)));
        }
        Ok(Admitted { facts, permit })
    }

    /// Reads a head (steps 1 and 2).
    ///
    /// # Errors
    /// It has no single meaning, or says what a client must not say.
    pub fn facts(&self, head: &RequestHead<'_>) -> Result<RequestFacts, RequestFault> {
        let quirks = self.authorizer.backend.quirks();
        let RequestHead { method, target, version, headers, source, .. } = *head;
        let facts = RequestFacts::read(method, target, version, headers, quirks, source)?;
        match head.via {
            Via::Proxy => self.head.check_connection(headers)?,
            Via::ForwardAuth { removes_fields } => {
                // The proxy forwards both, and the backend may prefer the one that nobody judged.
                if facts.has_session_cookie && !matches!(facts.credentials, Credentials::Missing) {
                    return Err(RequestFault::AmbiguousCredentials);
                }
                if self.head.has_look_alikes(headers) {
                    return Err(LOOK_ALIKE);
                }
                if !removes_fields && self.head.unlisted(headers).next().is_some() {
                    return Err(UNLISTED);
                }
            }
        }
        Ok(facts)
    }

    /// From a bearer token to a verified one that is not revoked (steps 5 and 6).
    async fn verify<E, O>(
        &self,
        bearer: &BearerToken,
        environment: &mut E,
        observer: &mut O,
    ) -> Result<Arc<VerifiedToken>, Denial>
    where
        E: Environment + Send,
        O: Observer + Send,
    {
        let text = bearer.as_str();
        if text.len() > self.authorizer.token_bytes {
            let fault = TokenFault::Malformed("token is longer than tokenBytes");
            return Err(refused(observer, Step::Token, Denial::of_token(fault, None)));
        }
        let mut waits = Waits::default();
        let token = loop {
            let keys = environment.keys();
            let now = environment.now();
            if let Some(token) = environment.cached(text, keys.generation, now) {
                break token;
            }
            let failure = match self.verify_with(text, &keys, now, observer) {
                Ok(token) => {
                    let token = Arc::new(token);
                    environment.keep(text, &token, keys.generation);
                    break token;
                }
                Err(failure) => failure,
            };
            // The next round has other keys.
            let generation = keys.generation;
            drop(keys);
            if let Err(denial) = waits.wait_for_keys(text, &failure, generation, environment).await {
                observer.token_refused(text);
                return Err(refused(observer, failure.step(), denial));
            }
        };
        observer.verified(&token);
        match environment.revocation(&token, text) {
            None => Ok(token),
            Some(by) => {
                let entry = self.authorizer.trust.iter().position(|entry| *entry.name == *token.entry());
                let denial = Denial::of_token(TokenFault::Revoked(by), entry);
                Err(refused(observer, Step::Revocation, denial))
            }
        }
    }

    fn verify_with<O: Observer>(
        &self,
        text: &str,
        keys: &KeyRing,
        now: NumericDate,
        observer: &mut O,
    ) -> Result<VerifiedToken, TokenFailure> {
        let token = UnverifiedToken::parse(text, self.authorizer.token_bytes)
            .map_err(|fault| TokenFailure::Parse(fault.into()))?;
        observer.parsed(&token);
        let index = trust::entry_for(&token, &self.authorizer.trust).map_err(TokenFailure::Issuer)?;
        let Some(entry) = self.authorizer.trust.get(index) else {
            return Err(TokenFailure::Issuer(TokenFault::UntrustedIssuer));
        };
        let set = keys.sets.get(index).and_then(Option::as_deref);
        observer.issuer(&token, entry, set);
        trust::verify(token, entry, set, now).map_err(|fault| TokenFailure::Entry(index, fault))
    }
}

/// Where a token failed.
enum TokenFailure {
    /// It is not a compact JWS.
    Parse(TokenFault),
    /// No issuer entry is meant for it.
    Issuer(TokenFault),
    /// By the entry with this index.
    Entry(usize, TokenFault),
}

impl TokenFailure {
    fn denial(&self) -> Denial {
        match self {
            Self::Parse(fault) | Self::Issuer(fault) => Denial::of_token(*fault, None),
            Self::Entry(entry, fault) => Denial::of_token(*fault, Some(*entry)),
        }
    }

    fn step(&self) -> Step {
        match self {
            Self::Parse(_) => Step::Token,
            Self::Issuer(_) => Step::Issuer,
            Self::Entry(_, TokenFault::Malformed(_)) => Step::Type,
            Self::Entry(_, TokenFault::InvalidSignature) => Step::Signature,
            Self::Entry(_, TokenFault::Claims(_)) => Step::Claims,
            Self::Entry(_, TokenFault::Revoked(_)) => Step::Revocation,
            Self::Entry(
                _,
                TokenFault::AlgorithmNotAllowed
                | TokenFault::WrongKeyAlgorithm
                | TokenFault::UntrustedIssuer
                | TokenFault::UnknownKey
                | TokenFault::KeysUnavailable,
            ) => Step::Key,
        }
    }
}

/// What one token has waited for.
#[derive(Default)]
struct Waits {
    first_keys: bool,
    refreshes: u8,
}

impl Waits {
    /// Waits for keys that may verify a token, if there can be any.
    ///
    /// # Errors
    /// The token is refused for this.
    async fn wait_for_keys<E: Environment>(
        &mut self,
        text: &str,
        failure: &TokenFailure,
        generation: u64,
        environment: &mut E,
    ) -> Result<(), Denial> {
        let TokenFailure::Entry(entry, fault) = *failure else { return Err(failure.denial()) };
        if fault == TokenFault::KeysUnavailable && !self.first_keys {
            self.first_keys = true;
            return if environment.first_keys(entry).await { Ok(()) } else { Err(failure.denial()) };
        }
        if !fault.may_be_outdated_keys() || self.refreshes >= MAX_REFRESHES {
            return Err(failure.denial());
        }
        self.refreshes += 1;
        match environment.newer_keys(text, entry, generation).await {
            Refresh::Changed => Ok(()),
            // It is not known that there is no such key: the client should keep its token.
            Refresh::Unreachable if fault == TokenFault::UnknownKey => Err(Denial {
                detail: Some("the token's key is not known here, and a source of keys cannot be reached"),
                ..Denial::of_token(TokenFault::KeysUnavailable, Some(entry))
            }),
            Refresh::Unchanged | Refresh::Unreachable => Err(failure.denial()),
        }
    }
}

fn refused<O: Observer>(observer: &mut O, step: Step, denial: Denial) -> Denial {
    observer.refused(step, &denial);
    denial
}

#[cfg(test)]
mod tests;
