//! Describes each step of an admission.

use std::sync::Arc;

use super::{Context, route};
use crate::admission::{Observer, Step};
use crate::backend_credentials::BackendCredentials;
use crate::claims::{IssuedKind, MappedUser, RolesClaim, VerifiedToken};
use crate::decision::{Authorizer, Caller, Denial, Permit, Reason, Routed};
use crate::diagnosis::{Span, Typed};
use crate::jose::{Algorithm, KeyChoice, KeySet, UnverifiedToken};
use crate::jwks::SourceStatus;
use crate::numeric_date::NumericDate;
use crate::request::{Graphql, GraphqlOperation, RequestFacts};
use crate::revocation::RevocationLists;
use crate::trust::TrustedIssuer;

/// One completed step.
pub(super) struct CompletedStep {
    pub(super) name: &'static str,
    pub(super) passed: bool,
    pub(super) detail: String,
}

/// Collects the steps.
pub(super) struct Steps<'a> {
    done: Vec<CompletedStep>,
    authorizer: &'a Authorizer,
    sources: &'a [SourceStatus],
    credentials: &'a BackendCredentials,
    now: NumericDate,
    revocations: Option<&'a RevocationLists>,
    token_length: usize,
    algorithm: Option<Algorithm>,
    /// The issuer entry that the token selects.
    entry: Box<str>,
}

impl<'a> Steps<'a> {
    pub(super) fn new(context: &'a Context<'_>, now: NumericDate, token_length: usize) -> Self {
        Self {
            done: Vec::new(),
            authorizer: &context.admission.authorizer,
            sources: &context.sources,
            credentials: context.credentials,
            now,
            revocations: context.revocations,
            token_length,
            algorithm: None,
            entry: Box::default(),
        }
    }

    pub(super) fn list(&self) -> &[CompletedStep] {
        &self.done
    }

    fn pass(&mut self, name: &'static str, detail: impl Into<String>) {
        self.done.push(CompletedStep { name, passed: true, detail: detail.into() });
    }

    fn fail(&mut self, name: &'static str, detail: impl Into<String>) {
        self.done.push(CompletedStep { name, passed: false, detail: detail.into() });
    }

    /// Adds that the identity of an admitted token does not fit into fields.
    pub(super) fn cannot_be_sent(&mut self, denial: &Denial) {
        let detail = denial.detail.as_deref().unwrap_or_default();
        self.fail("identity", format!("{}: {detail}", denial.reason.as_str()));
    }

    fn rule_name(&self, rule: Option<usize>) -> Option<&'a str> {
        self.authorizer.policy.rules.get(rule?).map(|rule| &*rule.name)
    }

    fn signature_passed(&mut self) {
        let by = self.algorithm.map(|algorithm| format!("{algorithm} by that key"));
        self.pass("signature", by.unwrap_or_default());
    }

    /// How long a verified token is still accepted.
    fn lifetime(&self, token: &VerifiedToken) -> String {
        let Some(expires) = token.expires() else { return "no exp".to_owned() };
        match expires.since(self.now) {
            left @ 1.. => format!("expires in {} ({expires})", Span(left.unsigned_abs())),
            // Accepted by the leeway.
            ago => format!("expired {} ago ({expires}), within the leeway", Span(ago.unsigned_abs())),
        }
    }

    /// What was found where the roles should be, if there are none.
    fn source_of_roles(&self, token: &VerifiedToken) -> String {
        let claim = self.authorizer.roles_claim(Some(token)).filter(|_| token.roles().is_empty());
        let Some(claim) = claim else { return String::new() };
        if claim.is_elsewhere(token.claims()) {
            return format!(" ({})", RolesClaim::ELSEWHERE);
        }
        match claim.path.find(token.claims()) {
            Some(found) => {
                format!(" ({} is {}, which has no roles)", claim.path.as_str(), Typed(Some(found)))
            }
            None if *claim == RolesClaim::default() => String::new(),
            None => format!(" (the token has no {})", claim.path.as_str()),
        }
    }

    /// What the token endpoint has to do with a mapped token.
    fn at_token_endpoint(&self, token: &VerifiedToken, user: &MappedUser) -> String {
        if let Some(origin) = token.origin() {
            let id =
                origin.id.as_deref().map(|id| format!("jti {}, ", id.escape_debug())).unwrap_or_default();
            let (entry, fingerprint) = (token.entry(), origin.short_fingerprint());
            return format!(
                "; it was issued at the token endpoint for a token of {entry} ({id}fingerprint {fingerprint})"
            );
        }
        match self.authorizer.exchange.issuance(&user.entry) {
            Some(issuance) => {
                let lifetime = Span(issuance.lifetime.as_secs());
                format!("; it may be exchanged at the token endpoint for one that lives {lifetime}")
            }
            None => String::new(),
        }
    }

    /// Adds the state of each source of the entry, to explain why there is no key.
    fn state_of_sources(&mut self) {
        for source in self.sources.iter().filter(|source| source.entry == self.entry) {
            let state = source.failure.clone().unwrap_or_else(|| format!("{} keys", source.usable.len()));
            let (detail, passed) = (format!("{}: {state}", source.name), source.failure.is_none());
            self.done.push(CompletedStep { name: "source", passed, detail });
        }
    }

    /// The sources of a key.
    fn sources(&self, material: &[u8; 32]) -> String {
        let holds = |source: &&SourceStatus| source.usable.iter().any(|key| key.material() == material);
        let names: Vec<_> = self.sources.iter().filter(holds).map(|source| source.name.clone()).collect();
        if names.is_empty() {
            "the shared secret".to_owned()
        } else {
            format!("from {}", names.join(" and "))
        }
    }
}

impl Observer for Steps<'_> {
    fn facts(&mut self, facts: &RequestFacts) {
        self.pass("request", format!("{} {}", facts.method, facts.path.raw()));
    }

    fn route(&mut self, facts: &RequestFacts, routed: Routed) {
        self.pass("route", route::describe(self.authorizer, facts, routed));
    }

    fn parsed(&mut self, token: &UnverifiedToken<'_>) {
        self.algorithm = Some(token.header().algorithm);
        self.pass("token", shape(token, self.token_length));
    }

    fn issuer(&mut self, token: &UnverifiedToken<'_>, entry: &TrustedIssuer, keys: Option<&KeySet>) {
        let claimed = token.issuer_hint().ok().flatten().unwrap_or("none").to_owned();
        let claimed = claimed.escape_debug();
        self.pass("issuer", format!("iss {claimed} selects the entry {}", entry.name));
        self.entry = entry.name.clone();
        let header = token.header();
        match keys.map(|keys| keys.choose_for(header)) {
            Some(KeyChoice::Named(found) | KeyChoice::Unnamed(found)) => {
                let found: Vec<_> = found.iter().map(|key| self.sources(key.material())).collect();
                self.pass("key", found.join("; "));
            }
            Some(KeyChoice::Only(key)) => {
                let detail = format!("the only one that fits, {}", self.sources(key.material()));
                self.pass("key", detail);
            }
            Some(KeyChoice::WrongAlgorithm | KeyChoice::UnknownKid | KeyChoice::NoKid) | None => {}
        }
    }

    fn verified(&mut self, token: &Arc<VerifiedToken>) {
        self.signature_passed();
        if token.mapped_user().is_some() {
            // Its principal and roles are those of the user that it acts as.
            let subject = token.subject().unwrap_or("none").escape_debug();
            let whose = match token.issued() {
                Some(IssuedKind::Bot) => {
                    let id = token.id().unwrap_or("none").escape_debug();
                    format!("bot {subject}, jti {id}, roles [{}]", token.roles().join(", ").escape_debug())
                }
                Some(IssuedKind::Exchanged) | None => format!("subject {subject}"),
            };
            self.pass("claims", format!("{whose}, {}", self.lifetime(token)));
            return;
        }
        let (class, roles) = (token.class().as_str(), token.roles().join(", "));
        let principal = token.principal().escape_debug();
        let ignored = match token.claimed_class() {
            claimed if claimed == token.class() => String::new(),
            claimed => format!(
                "; that it is of class {} is ignored: it is not one of the backend's own tokens",
                claimed.as_str()
            ),
        };
        let expires = self.lifetime(token);
        let (roles, source) = (roles.escape_debug(), self.source_of_roles(token));
        self.pass("claims", format!("{class} {principal}, roles [{roles}]{source}, {expires}{ignored}"));
    }

    fn caller(&mut self, caller: &Caller) {
        if let Caller::Token(token) = caller {
            let detail = match self.revocations {
                Some(list) if !list.is_empty() => format!("none of the {} entries is about it", list.len()),
                // The running proxy has an empty list if none is configured.
                Some(_) | None => "no token is revoked".to_owned(),
            };
            self.pass("revocation", detail);
            if token.issued() == Some(IssuedKind::Bot) {
                self.pass("bots", "the allow-list has the token, and its networks allow the request");
            }
            if let Some(user) = token.mapped_user() {
                let email = user.email.as_ref().map(|email| format!(" <{email}>")).unwrap_or_default();
                let credential = self.credentials.describe(user, self.now);
                let detail = format!(
                    "entry {}: acts as {}{email}, with {credential}{}",
                    user.entry,
                    user.user,
                    self.at_token_endpoint(token, user)
                );
                self.pass(Step::Mapping.as_str(), detail);
            }
        }
    }

    fn graphql(&mut self, graphql: &Graphql) {
        match graphql {
            Graphql::Operations(operations) => {
                let text =
                    |one: &GraphqlOperation| format!("{} {{ {} }}", one.kind.as_str(), one.fields.join(" "));
                self.pass("graphql", operations.iter().map(text).collect::<Vec<_>>().join(", "));
            }
            Graphql::Unreadable(why) => self.fail("graphql", why.trim_start_matches("graphql: ")),
        }
    }

    fn permitted(&mut self, permit: &Permit) {
        let rule = self.rule_name(permit.rule()).map(|rule| format!("rule {rule}"));
        self.pass("rules", rule.unwrap_or_else(|| "no rule matches: the default".to_owned()));
    }

    fn refused(&mut self, step: Step, denial: &Denial) {
        if step == Step::Claims {
            self.signature_passed();
        }
        let mut detail = denial.reason.as_str().to_owned();
        if let (Step::Rules, Some(rule)) = (step, self.rule_name(denial.rule)) {
            detail = format!("{detail}: rule {rule}");
        }
        if let Some(more) = &denial.detail {
            detail = format!("{detail}: {more}");
        }
        self.fail(step.as_str(), detail);
        if step == Step::Key && matches!(denial.reason, Reason::KeysUnavailable | Reason::UnknownKey) {
            self.state_of_sources();
        }
    }
}

fn shape(token: &UnverifiedToken<'_>, length: usize) -> String {
    let header = token.header();
    // The token's author chose these, so they are escaped before they reach the terminal.
    let safe = |text: &Option<Box<str>>| text.as_deref().unwrap_or("none").escape_debug().to_string();
    format!(
        "{length} bytes, alg {}, kid {}, typ {}, fingerprint {}",
        header.algorithm,
        safe(&header.kid),
        safe(&header.token_type),
        token.fingerprint().short()
    )
}
