//! The decision: pure, by values that are passed in.
//!
//! A [`Permit`] can be made here alone, and forwarding takes one by value, so the compiler shows
//! that nothing goes upstream unjudged.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretSlice};

use crate::backend::Backend;
use crate::claims::{BotPrivilege, ClaimsFault, VerifiedToken};
use crate::policy::{Effect, Mode, Policy};
use crate::request::{Credentials, RequestFacts, RequestFault};
use crate::trust::{TokenFault, TrustedIssuer};

mod impersonation;
mod reason;
mod rules;
mod trace;

pub use crate::policy::{Route, Routed};
pub use reason::{AfterRefusal, Challenge, GrpcStatus, Kind, Reason, Row};
pub use trace::{RuleOutcome, RuleTrace, Trace};

/// All that deciding needs besides the request, its token and the keys.
#[derive(Clone, Debug)]
pub struct Authorizer {
    /// What stands behind us.
    pub backend: Backend,
    /// Routes and rules.
    pub policy: Policy,
    /// Whose tokens are believed.
    pub trust: Vec<TrustedIssuer>,
    /// DataHub's own credential, where it is let through.
    pub datahub_system: Option<SystemCredential>,
    /// The longest token, in bytes.
    pub token_bytes: usize,
}

/// DataHub's system credential.
#[derive(Clone, Debug)]
pub struct SystemCredential {
    /// The part before the colon.
    pub client_id: Box<str>,
    /// The part after it.
    pub client_secret: SecretSlice<u8>,
}

/// Who is asking.
#[derive(Clone, Debug)]
pub enum Caller {
    /// Nobody known: a public route, an optional one without a token, or, in report mode, a
    /// request that would have been refused for its credentials.
    Anonymous,
    /// A verified token.
    Token(Arc<VerifiedToken>),
    /// DataHub's own services, by their credential.
    DatahubSystem,
    /// A browser with a login of DataHub's frontend, which judges it itself.
    SessionCookie,
}

/// Leave to forward one request.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    caller: Caller,
    route: Route,
    rule: Option<usize>,
    would_deny: Option<Denial>,
    impersonates: bool,
}

impl Permit {
    /// Who is asking.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// What the route asked for.
    pub fn route(&self) -> Route {
        self.route
    }

    /// The rule that allowed it, by its place in [`Policy::rules`].
    pub fn rule(&self) -> Option<usize> {
        self.rule
    }

    /// Whether it may act as another user of OpenMetadata, and asked to.
    pub fn impersonates(&self) -> bool {
        self.impersonates
    }

    /// What would have refused it, were it not only reported.
    pub fn would_deny(&self) -> Option<&Denial> {
        self.would_deny.as_ref()
    }
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Why, as the caller, the log and the metrics learn it.
    pub reason: Reason,
    /// More for the log alone.
    pub detail: Option<&'static str>,
    /// The issuer entry that judged the token, by its place in [`Authorizer::trust`].
    pub entry: Option<usize>,
    /// The rule that refused, by its place in [`Policy::rules`].
    pub rule: Option<usize>,
}

impl Denial {
    /// A refusal for `reason` and nothing more to say.
    pub const fn new(reason: Reason) -> Self {
        Self { reason, detail: None, entry: None, rule: None }
    }

    /// A refusal of a token by the entry at `entry`.
    pub fn of_token(fault: TokenFault, entry: Option<usize>) -> Self {
        let (reason, detail) = match fault {
            TokenFault::Malformed(why) => (Reason::MalformedToken, Some(why)),
            TokenFault::AlgorithmNotAllowed | TokenFault::WrongKeyAlgorithm => {
                (Reason::AlgorithmNotAllowed, None)
            }
            TokenFault::UntrustedIssuer => (Reason::UntrustedIssuer, None),
            TokenFault::UnknownKey => (Reason::UnknownKey, None),
            TokenFault::KeysUnavailable => (Reason::KeysUnavailable, None),
            TokenFault::InvalidSignature => (Reason::InvalidSignature, None),
            TokenFault::Revoked(by) => (Reason::Revoked, Some(by.detail())),
            TokenFault::Claims(fault) => return Self { entry, ..fault.into() },
        };
        Self { reason, detail, entry, rule: None }
    }
}

impl From<ClaimsFault> for Denial {
    fn from(fault: ClaimsFault) -> Self {
        let (reason, detail) = match fault {
            ClaimsFault::Malformed(why) => (Reason::MalformedToken, Some(why)),
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
                (reason, Some("isBot and tokenType are ignored: it is not one of the backend's own tokens"))
            }
        };
        Self { detail, ..Self::new(reason) }
    }
}

impl From<RequestFault> for Denial {
    fn from(fault: RequestFault) -> Self {
        match fault {
            RequestFault::BadTarget(why) => Self { detail: Some(why), ..Self::new(Reason::BadTarget) },
            RequestFault::MethodNotAllowed => Self::new(Reason::MethodNotAllowed),
            RequestFault::TargetTooLong => Self::new(Reason::TargetTooLong),
            RequestFault::HeadTooLarge => Self::new(Reason::HeadTooLarge),
            RequestFault::TimedOut => {
                Self { detail: Some("the head did not arrive in time"), ..Self::new(Reason::RequestTimeout) }
            }
            RequestFault::AmbiguousCredentials => Self::new(Reason::AmbiguousCredentials),
        }
    }
}

/// What is to be done about a request's credentials.
#[derive(Debug)]
pub enum NextStep<'f> {
    /// The token is to be verified.
    Verify(&'f crate::request::BearerToken),
    /// Who is asking is known already, or refused already.
    Decide(Result<Caller, Denial>),
}

impl Authorizer {
    /// What the route of this request asks for. A route opens only for a path that has a single
    /// reading; everything else is protected.
    pub fn route(&self, facts: &RequestFacts) -> Route {
        self.routed(facts).route
    }

    /// The same, with the row of [`Policy::routes`] that the path meets.
    pub fn routed(&self, facts: &RequestFacts) -> Routed {
        self.policy.routes.route(&facts.method, &facts.path)
    }

    /// What the credentials of this request ask for.
    pub fn next_step<'f>(&self, facts: &'f RequestFacts, route: Route) -> NextStep<'f> {
        if route == Route::Public {
            return NextStep::Decide(Ok(Caller::Anonymous));
        }
        let refused = |reason| NextStep::Decide(Err(Denial::new(reason)));
        match &facts.credentials {
            Credentials::Bearer(token) => NextStep::Verify(token),
            Credentials::Missing if route == Route::Optional => NextStep::Decide(Ok(Caller::Anonymous)),
            Credentials::Missing if facts.has_session_cookie => NextStep::Decide(Ok(Caller::SessionCookie)),
            Credentials::Missing => refused(Reason::MissingToken),
            Credentials::Basic(basic) if self.is_datahub_system(basic) => {
                NextStep::Decide(Ok(Caller::DatahubSystem))
            }
            Credentials::Basic(_) | Credentials::OtherScheme => refused(Reason::UnsupportedScheme),
            Credentials::Malformed => refused(Reason::MalformedToken),
        }
    }

    /// Whether [`RequestFacts::graphql`] is to be read before the decision: a rule asks for it, and
    /// there is a verified token. Nobody else makes us keep a body.
    pub fn asks_graphql(&self, facts: &RequestFacts, caller: &Result<Caller, Denial>) -> bool {
        match caller {
            Ok(Caller::Token(token)) => rules::ask_for_graphql(&self.policy, facts, token),
            Ok(Caller::Anonymous | Caller::DatahubSystem | Caller::SessionCookie) | Err(_) => false,
        }
    }

    /// The decision. `caller` is who is asking, or why nobody knows.
    pub fn decide(
        &self,
        facts: &RequestFacts,
        route: Route,
        caller: Result<Caller, Denial>,
    ) -> Result<Permit, Denial> {
        // Also in report mode: a name in a token makes nobody the backend's administrator.
        if let Ok(Caller::Token(token)) = &caller
            && self.is_reserved_actor(token)
        {
            let detail = Some("its principal is one of DataHub's administrators, or its system user");
            return Err(Denial { detail, ..Denial::new(Reason::InsufficientPermissions) });
        }
        if self.policy.mode == Mode::Enforce {
            return self.authorize(facts, route, caller?);
        }
        // A token that was verified keeps its identity, whatever the rules say about it.
        let known = caller.as_ref().map_or(Caller::Anonymous, Clone::clone);
        match caller.and_then(|caller| self.authorize(facts, route, caller)) {
            // What cannot be forwarded in one meaning is refused in report mode too.
            Err(denial) if denial.reason.is_judgement() => {
                // Nor may it act as somebody else.
                let impersonates = false;
                Ok(Permit { caller: known, route, rule: None, would_deny: Some(denial), impersonates })
            }
            judged => judged,
        }
    }

    fn authorize(&self, facts: &RequestFacts, route: Route, caller: Caller) -> Result<Permit, Denial> {
        let permit =
            |caller, rule, would_deny, impersonates| Permit { caller, route, rule, would_deny, impersonates };
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
                .map_err(|why| Denial { detail: Some(why), ..Denial::new(Reason::ImpersonationDenied) })?;
        }
        let outcome = rules::evaluate(&self.policy, facts, token);
        let denial = |rule, detail| Denial { rule, detail, ..Denial::new(Reason::InsufficientPermissions) };
        match outcome.effect {
            Effect::Deny => Err(denial(outcome.rule, outcome.detail)),
            Effect::Allow => {
                let reported = outcome.reported.map(|(rule, detail)| denial(Some(rule), detail));
                Ok(permit(caller, outcome.rule, reported, impersonates))
            }
        }
    }

    fn is_reserved_actor(&self, token: &VerifiedToken) -> bool {
        let reserved = &self.policy.reserved_actors;
        !reserved.is_empty() && {
            let principal = token.principal().to_lowercase();
            reserved.iter().any(|name| **name == *principal)
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
