//! The steps from a request's head to a [`Permit`] or a [`Denial`], written once.
//!
//! The proxy, forward-auth, `metagate explain`, rule tests, fuzzing and benchmarks all call
//! [`Admission::admit`]. The order of the steps is the security property:
//!
//! 1. Request facts: the head is read in its only meaning, or refused ([`RequestFacts::read`]). If the installation is
//!    below a path, that is removed first ([`crate::request::PathPrefix`]).
//! 2. Header fields: what `Connection` must not name, and what another proxy would forward ([`Via`]).
//! 3. Route: public, optional or protected ([`Authorizer::routed`]).
//! 4. Credentials: none, a session cookie, DataHub's system credential, or a token to verify.
//! 5. Token: taken from the cache if it was verified with the current keys, otherwise verified now, unless its client
//!    network has sent too many tokens that are not genuine (`limits.failures`). If newer keys could make it valid, they
//!    are requested and the token is tried again.
//! 6. Revocation: checked on every request, so that an entry takes effect as soon as it is listed. So is the allow-list of
//!    bots, and from where a bot's request comes ([`crate::bots`]).
//! 7. Mapping: a verified token whose identity must be exchanged and that no entry takes is refused
//!    ([`crate::token_exchange`]). A mapped one stands for its user in all further steps.
//! 8. Rate: a principal that sends too many requests is refused (`limits.principal`).
//! 9. Body: read if a rule about GraphQL may apply, and only for a verified token.
//! 10. Rules: the decision ([`Authorizer::decide`]).
//! 11. Size: the stated length of the body.
//!
//! What must hold: a token reaches step 8 only as a [`VerifiedToken`], which only verification constructs, and
//! nothing is forwarded without the [`Permit`] from step 10. The tests in `admission/tests.rs` check the order.
//!
//! Keys, revocations, the time and the body come from the [`Environment`]. If it has no keys or no body, the
//! request is refused. An [`Observer`] sees each step.
//!
//! Not done here: reading from sockets, limits on requests in flight, forwarding.

use std::net::IpAddr;
use std::sync::Arc;

use http::{Method, Uri, Version};

use crate::bots::{Bot, BotFault};
use crate::claims::VerifiedToken;
use crate::decision::{Authorizer, Caller, Denial, NextStep, Permit, Reason};
use crate::diagnosis::{Detail, SourceSummary};
use crate::message::Fields;
use crate::numeric_date::NumericDate;
use crate::outbound_head::OutboundHead;
use crate::rate_limiter::Wait;
use crate::request::{Graphql, RequestFacts, RequestFault, TokenFields, written};
use crate::revocation::{Revoked, Unavailable};
use crate::trust::KeyRing;

mod bots;
mod fields;
mod observer;
mod presented;
mod rate;
mod refused_head;
mod refused_token;
mod snapshot;
mod subject_token;
mod verification;

pub use observer::{Observer, Step};
pub use snapshot::Snapshot;

/// How often one token is tried again with other keys. One retry is not enough: several sources respond at
/// different times, and the keys of other issuers change too.
const MAX_REFRESHES: u8 = 4;

/// The target is forwarded as it is, so a token in it would reach the backend.
const TOKEN_IN_TARGET: &str = "the target has the token in it, which must not be forwarded";

/// The rules of one configuration for admitting requests.
#[derive(Clone, Debug)]
pub struct Admission {
    /// Routes, trust and rules.
    pub authorizer: Authorizer,
    /// Which header fields clients may not send.
    pub head: OutboundHead,
    /// The longest body, in bytes.
    pub body_bytes: u64,
    /// The longest target (`limits.targetBytes`).
    pub target_bytes: usize,
}

/// The head of one request, before it is checked.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its target.
    pub target: &'a Uri,
    /// Its protocol version.
    pub version: Version,
    /// Its header section.
    pub headers: &'a Fields,
    /// The client's address; `None` on a Unix socket.
    pub source: Option<IpAddr>,
    /// The body's length in bytes, if it is stated.
    pub content_length: Option<u64>,
    /// Who forwards it.
    pub via: Via,
    /// The fields that may hold its token, if its listener has its own.
    pub token_fields: Option<&'a TokenFields>,
}

/// Who forwards the request once it is admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// We do, with a rewritten head.
    Proxy,
    /// Another proxy, which only asks for the decision and forwards what its client sent. A field that may carry
    /// an identity is refused unless the proxy can remove it.
    ForwardAuth {
        /// Whether the response can tell the proxy which fields to remove.
        removes_fields: bool,
    },
}

/// A request that may be forwarded.
#[derive(Debug)]
pub struct Admitted {
    /// The facts from its head and, if it was read, its body.
    pub facts: Box<RequestFacts>,
    /// Permission to forward it.
    pub permit: Permit,
}

/// The result of a request for newer keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresh {
    /// The keys differ from those that the token was tried with.
    Changed,
    /// There are no other keys, or the source may not be fetched again yet.
    Unchanged,
    /// Unknown: a source of the entry cannot be reached.
    Unreachable,
}

/// Everything that admission needs from outside the request: the time, keys, the cache, revocations, the body.
///
/// Admission passes only verified tokens to [`Self::keep`]. [`Self::cached`] must return only tokens that were
/// passed to [`Self::keep`] before, with the same text and generation.
pub trait Environment {
    /// The time.
    fn now(&self) -> NumericDate;

    /// The keys of all issuer entries.
    fn keys(&self) -> Arc<KeyRing>;

    /// The token with this text that was verified with the keys of `generation`, if it is valid at `now`.
    fn cached(&mut self, text: &[u8], generation: u64, now: NumericDate) -> Option<Arc<VerifiedToken>>;

    /// Caches a token that was just verified with the keys of `generation`.
    fn keep(&mut self, text: &str, token: &Arc<VerifiedToken>, generation: u64);

    /// Waits until the client has its turn, before a token is verified.
    fn turn(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Waits for the first keys of an issuer entry. Returns whether there are any.
    fn first_keys(&mut self, entry: usize) -> impl Future<Output = bool> + Send;

    /// Requests newer keys of an issuer entry than those of `generation`, for the token with this text.
    fn newer_keys(
        &mut self,
        text: &str,
        entry: usize,
        generation: u64,
    ) -> impl Future<Output = Refresh> + Send;

    /// The sources of an issuer entry's keys, to tell operators where a key was looked for.
    fn sources(&self, _entry: usize) -> Vec<SourceSummary> {
        Vec::new()
    }

    /// The entry that revokes a verified token, if one does.
    ///
    /// # Errors
    /// A source of revocations has no list yet, and no other one revokes the token.
    fn revocation(&self, token: &VerifiedToken, text: &[u8]) -> Result<Option<Box<Revoked>>, Unavailable>;

    /// The bot that a verified token of a bot belongs to. By default there is no allow-list.
    ///
    /// # Errors
    /// The allow-list does not accept the token.
    fn bot(&self, _token: &VerifiedToken) -> Result<Arc<Bot>, BotFault> {
        Err(BotFault::NoList)
    }

    /// Asks who issued a token that was just verified whether it is still accepted, if that is configured, and waits for the
    /// answer for a bounded time. [`Self::revocation`] knows it then.
    fn introspect(&mut self, _text: &str, _token: &VerifiedToken) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Whether a token that is not cached may be verified now (`limits.failures`).
    ///
    /// # Errors
    /// The client network has sent too many tokens that are not genuine.
    fn check_failures(&mut self) -> Result<(), Wait> {
        Ok(())
    }

    /// Counts a token that is not genuine.
    fn count_failure(&mut self) {}

    /// Takes a permit of the token's principal for one request (`limits.principal`).
    ///
    /// # Errors
    /// It has none.
    fn take_permit(&mut self, _token: &VerifiedToken) -> Result<(), Wait> {
        Ok(())
    }

    /// Reads the body and parses its GraphQL operations.
    ///
    /// # Errors
    /// The body cannot be received.
    fn graphql(
        &mut self,
        facts: &RequestFacts,
        headers: &Fields,
    ) -> impl Future<Output = Result<Graphql, Denial>> + Send;
}

impl Admission {
    /// Takes a request through all steps.
    ///
    /// # Errors
    /// The denial from the first step that refuses the request.
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
        let mut facts = self.facts(head).map_err(|fault| {
            let denial = self.refused_head(fault, head);
            refused(observer, Step::Request, denial)
        })?;
        observer.facts(&facts);
        let routed = self.authorizer.routed(&facts);
        observer.route(&facts, routed);
        let caller = match self.authorizer.next_step(&facts, routed.route) {
            NextStep::Decide(caller) => caller
                .map_err(|denial| refused(observer, Step::Credentials, self.without_token(denial, head))),
            NextStep::Verify(token) => {
                self.verify(token, head.source, environment, observer).await.map(Caller::Token)
            }
        };
        if let Ok(caller) = &caller {
            observer.caller(caller);
        }
        rate::of_caller(&caller, environment, observer)?;
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
        if permit.withholds_token() && facts.has_token_in_target() {
            let denial = Denial::new(Reason::AmbiguousCredentials).with(TOKEN_IN_TARGET);
            return Err(refused(observer, Step::Request, denial));
        }
        observer.permitted(&permit);
        if head.content_length.is_some_and(|length| length > self.body_bytes) {
            let (stated, limit) = (head.content_length.unwrap_or_default(), self.body_bytes);
            let detail = Detail::of(format_args!("Content-Length is {stated}, limits.bodyBytes is {limit}"));
            let denial = Denial::new(Reason::PayloadTooLarge).with(detail.finish());
            return Err(refused(observer, Step::Body, denial));
        }
        Ok(Admitted { facts, permit })
    }

    /// Reads a head (steps 1 and 2).
    ///
    /// # Errors
    /// The head is ambiguous, or has a field that the client may not send.
    pub fn facts(&self, head: &RequestHead<'_>) -> Result<Box<RequestFacts>, RequestFault> {
        let quirks = self.authorizer.backend.quirks();
        let RequestHead { method, target, version, headers, source, .. } = *head;
        // Over HTTP/1 and HTTP/2 the head was already refused; this is for targets in forward-auth fields.
        let is_longer = |text: &str| text.len() > self.target_bytes;
        if target.path_and_query().is_some_and(|path| is_longer(path.as_str()) && is_longer(&written(path))) {
            return Err(RequestFault::TargetTooLong);
        }
        let stripped = self.head.prefix().map(|prefix| prefix.strip(target)).transpose()?;
        let (target, fields) = (stripped.as_ref().unwrap_or(target), self.token_fields(head));
        let is_usual = head.via == Via::Proxy && head.token_fields.is_none() && target.authority().is_none();
        let section = headers.section().filter(|_| is_usual);
        if let Some(known) = section.and_then(|section| self.head.known_facts(section)) {
            return RequestFacts::with_known(known.facts(), method, target, quirks, source);
        }
        let facts = RequestFacts::read_with(fields, method, target, version, headers, quirks, source)?;
        self.check_fields(head, &facts)?;
        if let Some(section) = section {
            self.head.keep_facts(section, &facts);
        }
        Ok(facts)
    }
}

fn refused<O: Observer>(observer: &mut O, step: Step, denial: Denial) -> Denial {
    observer.refused(step, &denial);
    denial
}

#[cfg(test)]
mod tests;
