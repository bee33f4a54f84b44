//! The decision about one request: a pure function of facts, route, caller and policy.
//!
//! 1. [`Authorizer::routed`]: whether the route is public, optional or protected.
//! 2. [`Authorizer::next_step`]: whether the credentials need verification, or decide the caller already.
//! 3. [`Authorizer::decide`]: reserved principals, then the rules. In report mode, a denial about
//!    authorization becomes a [`Permit`] that records it.
//!
//! Only this module can construct a [`Permit`], and forwarding takes one by value. So the compiler proves
//! that no request is forwarded without a decision.
//!
//! Not done here: verifying tokens ([`crate::trust`]), and the order of all steps ([`crate::admission`]).

use std::borrow::Cow;
use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretSlice};

use crate::backend::Backend;
use crate::claims::{BotPrivilege, ClaimsFault, RolesClaim, VerifiedToken};
use crate::diagnosis::{self, Detail, Quoted};
use crate::policy::{Effect, Mode, Policy};
use crate::request::{Credentials, FaultPlace, RequestFacts, RequestFault};
use crate::token_exchange::TokenExchange;
use crate::trust::{TokenFault, TrustedIssuer};

mod impersonation;
mod reason;
mod rules;
mod trace;
mod withholding;

pub use crate::policy::{Route, Routed};
pub use reason::{AfterRefusal, Challenge, GrpcStatus, Kind, Reason, Row};
pub use trace::{RuleOutcome, RuleTrace, Trace};

/// Everything a decision depends on except the request, its token and the keys.
#[derive(Clone, Debug)]
pub struct Authorizer {
    /// The backend behind the proxy.
    pub backend: Backend,
    /// Routes and rules.
    pub policy: Policy,
    /// The trusted issuers.
    pub trust: Vec<TrustedIssuer>,
    /// DataHub's system credential, if it is accepted.
    pub datahub_system: Option<SystemCredential>,
    /// The longest token, in bytes.
    pub token_bytes: usize,
    /// Which callers act as another user.
    pub exchange: TokenExchange,
}

/// DataHub's system credential.
#[derive(Clone, Debug)]
pub struct SystemCredential {
    /// The text before the colon.
    pub client_id: Box<str>,
    /// The text after the colon.
    pub client_secret: SecretSlice<u8>,
}

/// Who sends the request.
#[derive(Clone, Debug)]
pub enum Caller {
    /// No known identity: a public route, an optional route without a token, or, in report mode, a
    /// request that would have been refused because of its credentials.
    Anonymous,
    /// The holder of a verified token.
    Token(Arc<VerifiedToken>),
    /// One of DataHub's own services, identified by the system credential.
    DatahubSystem,
    /// A browser with a session cookie of DataHub's frontend. The frontend validates the cookie itself.
    SessionCookie,
}

/// Permission to forward one request.
///
/// It proves that [`Authorizer::decide`] ran for the request and allowed it, or only reported the denial
/// ([`Permit::would_deny`]). Its fields are private and it is not `Clone`.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    caller: Caller,
    route: Route,
    rule: Option<usize>,
    would_deny: Option<Box<Denial>>,
    impersonates: bool,
    withholds_token: bool,
}

impl Permit {
    /// Who sent the request.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The route's requirement.
    pub fn route(&self) -> Route {
        self.route
    }

    /// The index in [`Policy::rules`] of the rule that allowed the request.
    pub fn rule(&self) -> Option<usize> {
        self.rule
    }

    /// Whether the request asks to act as another user of OpenMetadata and may do so.
    pub fn impersonates(&self) -> bool {
        self.impersonates
    }

    /// The denial that report mode did not enforce.
    pub fn would_deny(&self) -> Option<&Denial> {
        self.would_deny.as_deref()
    }
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The reason, as shown to the caller, the log and the metrics.
    pub reason: Reason,
    /// More detail, only for the log.
    pub detail: Option<Cow<'static, str>>,
    /// The index in [`Authorizer::trust`] of the issuer entry that refused the token.
    pub entry: Option<usize>,
    /// The index in [`Policy::rules`] of the rule that refused.
    pub rule: Option<usize>,
    /// Seconds in `Retry-After`, if the reason does not determine them.
    pub retry_after: Option<u64>,
}

impl Denial {
    /// A denial for `reason` without further detail.
    pub const fn new(reason: Reason) -> Self {
        Self { reason, detail: None, entry: None, rule: None, retry_after: None }
    }

    /// The same denial with a text for operators.
    #[must_use]
    pub fn with(self, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }

    /// The denial for a request that could not be read, with the part of it that is at fault.
    pub fn of_request(fault: RequestFault, place: Option<FaultPlace<'_>>) -> Self {
        match fault {
            RequestFault::BadTarget(why) => Self::new(Reason::BadTarget).with(diagnosis::located(why, place)),
            fault => fault.into(),
        }
    }

    /// The denial for a token that the issuer entry with index `entry` refused.
    pub fn of_token(fault: TokenFault, entry: Option<usize>) -> Self {
        let (reason, detail) = match fault {
            TokenFault::Malformed(why) => (Reason::MalformedToken, Some(why.into())),
            TokenFault::AlgorithmNotAllowed | TokenFault::WrongKeyAlgorithm => {
                (Reason::AlgorithmNotAllowed, None)
            }
            TokenFault::UntrustedIssuer | TokenFault::WrongHeader => (Reason::UntrustedIssuer, None),
            TokenFault::UnknownKey => (Reason::UnknownKey, None),
            TokenFault::KeysUnavailable => (Reason::KeysUnavailable, None),
            TokenFault::InvalidSignature => (Reason::InvalidSignature, None),
            TokenFault::Revoked(by) => (Reason::Revoked, Some(by.detail().into())),
            TokenFault::Claims(fault) => return Self { entry, ..fault.into() },
        };
        Self { detail, entry, ..Self::new(reason) }
    }
}

impl From<ClaimsFault> for Denial {
    fn from(fault: ClaimsFault) -> Self {
        let (reason, detail) = match fault {
            ClaimsFault::Malformed(why) => (Reason::MalformedToken, Some(why.into())),
            ClaimsFault::Expired => (Reason::Expired, None),
            ClaimsFault::NotYetValid => (Reason::NotYetValid, None),
            ClaimsFault::MissingExpiry => (Reason::MissingExpiry, None),
            ClaimsFault::LifetimeTooLong => (Reason::LifetimeTooLong, None),
            ClaimsFault::UntrustedIssuer => (Reason::UntrustedIssuer, None),
            ClaimsFault::WrongAudience => (Reason::WrongAudience, None),
            ClaimsFault::MissingPrincipal => (Reason::MissingPrincipal, None),
            ClaimsFault::WrongDomain => (Reason::WrongDomain, None),
            ClaimsFault::ForeignBot(privilege) => {
                let reason = match privilege {
                    BotPrivilege::Expiry => Reason::MissingExpiry,
                    BotPrivilege::Mapping => Reason::MissingPrincipal,
                    BotPrivilege::Domain => Reason::WrongDomain,
                };
                (reason, Some(ClaimsFault::FOREIGN_BOT.into()))
            }
        };
        Self { detail, ..Self::new(reason) }
    }
}

impl From<RequestFault> for Denial {
    fn from(fault: RequestFault) -> Self {
        let (reason, detail) = match fault {
            RequestFault::BadTarget(why) => (Reason::BadTarget, why),
            RequestFault::MethodNotAllowed => {
                (Reason::MethodNotAllowed, "allowed are GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS")
            }
            RequestFault::TargetTooLong => (Reason::TargetTooLong, "it is longer than limits.targetBytes"),
            RequestFault::HeadTooLarge => {
                (Reason::HeadTooLarge, "it exceeds limits.headerBytes or limits.headerCount")
            }
            RequestFault::OutsidePrefix => {
                (Reason::OutsidePrefix, "the path does not begin with stripPrefix, as it is written there")
            }
            RequestFault::TimedOut => (Reason::RequestTimeout, "the head did not arrive in time"),
            RequestFault::AmbiguousCredentials(why) => (Reason::AmbiguousCredentials, why),
        };
        Self::new(reason).with(detail)
    }
}

/// The next step for the credentials of a request.
#[derive(Debug)]
pub enum NextStep<'f> {
    /// Verify this token.
    Verify(&'f crate::request::BearerToken),
    /// Nothing to verify: the caller is known, or the request is refused.
    Decide(Result<Caller, Denial>),
}

impl Authorizer {
    /// The requirement of the route that this request matches. A public or optional row applies only to a
    /// path with a single reading; every other path is protected.
    pub fn route(&self, facts: &RequestFacts) -> Route {
        self.routed(facts).route
    }

    /// The same, with the row of [`Policy::routes`] that the path matches.
    pub fn routed(&self, facts: &RequestFacts) -> Routed {
        self.policy.routes.route(&facts.method, &facts.path)
    }

    /// Whether the credentials of this request need verification, or who the caller is without it.
    pub fn next_step<'f>(&self, facts: &'f RequestFacts, route: Route) -> NextStep<'f> {
        if route == Route::Public {
            return NextStep::Decide(Ok(Caller::Anonymous));
        }
        let refused = |reason, why| NextStep::Decide(Err(Denial::new(reason).with(why)));
        match &facts.credentials {
            Credentials::Bearer(token) => NextStep::Verify(token),
            Credentials::Missing if route == Route::Optional => NextStep::Decide(Ok(Caller::Anonymous)),
            Credentials::Missing if facts.has_session_cookie => NextStep::Decide(Ok(Caller::SessionCookie)),
            Credentials::Missing => {
                refused(Reason::MissingToken, "there is no Authorization field, or nothing in it")
            }
            Credentials::Basic(basic) if self.is_datahub_system(basic) => {
                NextStep::Decide(Ok(Caller::DatahubSystem))
            }
            Credentials::Basic(_) => refused(Reason::UnsupportedScheme, self.why_not_basic()),
            Credentials::OtherScheme(why) => refused(Reason::UnsupportedScheme, *why),
            Credentials::Malformed(why) => refused(Reason::MalformedToken, *why),
        }
    }

    /// Whether [`RequestFacts::graphql`] must be read before the decision: a rule about GraphQL may apply,
    /// and the token is verified. Bodies of other callers are never buffered.
    pub fn asks_graphql(&self, facts: &RequestFacts, caller: &Result<Caller, Denial>) -> bool {
        match caller {
            Ok(Caller::Token(token)) => rules::ask_for_graphql(&self.policy, facts, token),
            Ok(Caller::Anonymous | Caller::DatahubSystem | Caller::SessionCookie) | Err(_) => false,
        }
    }

    /// The decision. `caller` is who sent the request, or why that is not known.
    pub fn decide(
        &self,
        facts: &RequestFacts,
        route: Route,
        caller: Result<Caller, Denial>,
    ) -> Result<Permit, Denial> {
        if let Ok(caller) = &caller {
            self.check_actor(caller)?;
        }
        let mut permit = self.permit(facts, route, caller)?;
        permit.withholds_token = !self.exchange.is_empty() && self.withholds_token(facts, &permit.caller);
        Ok(permit)
    }

    fn permit(
        &self,
        facts: &RequestFacts,
        route: Route,
        caller: Result<Caller, Denial>,
    ) -> Result<Permit, Denial> {
        if self.policy.mode == Mode::Enforce {
            return self.authorize(facts, route, caller?);
        }
        // In report mode a verified token keeps its identity even if the rules would refuse it.
        let known = caller.as_ref().map_or(Caller::Anonymous, Clone::clone);
        match caller.and_then(|caller| self.authorize(facts, route, caller)) {
            // Other denials, such as an ambiguous request, are enforced in report mode too.
            Err(denial) if denial.reason.is_authorization() => {
                // A request that would be refused may not impersonate.
                let (caller, would_deny, rule) = (known, Some(Box::new(denial)), None);
                Ok(Permit { caller, route, rule, would_deny, impersonates: false, withholds_token: false })
            }
            decision => decision,
        }
    }

    /// Refuses a principal that is one of the backend's own, whatever the request. Enforced in report mode too: a
    /// principal in a token must not become the backend's administrator.
    ///
    /// # Errors
    /// The principal is reserved.
    pub fn check_actor(&self, caller: &Caller) -> Result<(), Denial> {
        match caller {
            Caller::Token(token) if self.is_reserved_actor(token) => {
                let principal = Quoted(token.principal());
                let detail = Detail::of(format_args!(
                    "its principal {principal} is one of DataHub's administrators, or its system user"
                ));
                Err(Denial::new(Reason::InsufficientPermissions).with(detail.finish()))
            }
            Caller::Token(_) | Caller::Anonymous | Caller::DatahubSystem | Caller::SessionCookie => Ok(()),
        }
    }

    fn authorize(&self, facts: &RequestFacts, route: Route, caller: Caller) -> Result<Permit, Denial> {
        let withholds_token = false;
        let permit = |caller, rule, would_deny, impersonates| Permit {
            caller,
            route,
            rule,
            would_deny,
            impersonates,
            withholds_token,
        };
        match &caller {
            Caller::Anonymous | Caller::DatahubSystem => return Ok(permit(caller, None, None, false)),
            Caller::Token(_) | Caller::SessionCookie => {}
        }
        let token = match &caller {
            Caller::Token(token) => Some(&**token),
            _ => None,
        };
        let impersonates = facts.impersonates && self.backend.preset().impersonation.is_some();
        if impersonates {
            impersonation::check(&self.policy, self.backend, facts, token)
                .map_err(|why| Denial::new(Reason::ImpersonationDenied).with(why.finish()))?;
        }
        let outcome = rules::evaluate(&self.policy, facts, token);
        let denial = |rule, why, reading| {
            let mut detail =
                rules::describe(&self.policy, facts, token, (rule, why), self.roles_claim(token));
            rules::name_reading(&mut detail, facts, reading);
            Denial { rule, ..Denial::new(Reason::InsufficientPermissions).with(detail.finish()) }
        };
        match outcome.effect {
            Effect::Deny => Err(denial(outcome.rule, outcome.detail, outcome.reading)),
            Effect::Allow => {
                let reported = outcome.reported.map(|(rule, why)| Box::new(denial(Some(rule), why, 0)));
                Ok(permit(caller, outcome.rule, reported, impersonates))
            }
        }
    }

    /// The claim that the roles of a token are read from.
    pub fn roles_claim(&self, token: Option<&VerifiedToken>) -> Option<&RolesClaim> {
        let entry = self.trust.iter().find(|entry| token.is_some_and(|token| *entry.name == *token.entry()));
        entry.map(|entry| &entry.rules.roles_claim)
    }

    fn is_reserved_actor(&self, token: &VerifiedToken) -> bool {
        let reserved = &self.policy.reserved_actors;
        !reserved.is_empty() && {
            let principal = token.principal().to_lowercase();
            reserved.iter().any(|name| **name == *principal)
        }
    }

    /// Why `Basic` is not accepted.
    fn why_not_basic(&self) -> &'static str {
        match (self.backend.preset().has_system_credential, &self.datahub_system) {
            (false, _) => "the scheme is Basic",
            (true, None) => "the scheme is Basic, and datahub.systemClientId is not set",
            (true, Some(_)) => "the scheme is Basic, and it is not the credential of datahub.systemClientId",
        }
    }

    fn is_datahub_system(&self, basic: &crate::request::BasicCredentials) -> bool {
        let Some(system) = &self.datahub_system else { return false };
        self.backend.preset().has_system_credential
            && basic.equal(&system.client_id, system.client_secret.expose_secret())
    }
}

#[cfg(test)]
mod tests;
