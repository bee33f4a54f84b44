//! What a rule requires of a token: whether the token has it, and what it lacks.

use crate::claims::{ClaimPath, ClaimsFault, RolesClaim, TokenClass, VerifiedToken};
use crate::diagnosis::{Claim, Detail, Quoted, QuotedNames, Words};
use crate::jose::JsonValue;
use crate::policy::{Requirement, contains_address, wildcard_matches};
use crate::request::RequestFacts;

/// A part of a requirement. Every part must be met; an empty one always is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::decision) enum Part {
    AnyRole,
    AllRoles,
    AnyScope,
    AllScopes,
    TokenType,
    Principals,
    Issuers,
    Audiences,
    Claims,
    SourceIps,
}

impl Part {
    const ALL: [Self; 10] = [
        Self::AnyRole,
        Self::AllRoles,
        Self::AnyScope,
        Self::AllScopes,
        Self::TokenType,
        Self::Principals,
        Self::Issuers,
        Self::Audiences,
        Self::Claims,
        Self::SourceIps,
    ];

    /// Its key in `require`.
    pub(in crate::decision) const fn key(self) -> &'static str {
        match self {
            Self::AnyRole => "anyRole",
            Self::AllRoles => "allRoles",
            Self::AnyScope => "anyScope",
            Self::AllScopes => "allScopes",
            Self::TokenType => "tokenType",
            Self::Principals => "principals",
            Self::Issuers => "issuers",
            Self::Audiences => "audiences",
            Self::Claims => "claims",
            Self::SourceIps => "sourceIps",
        }
    }

    fn is_met(self, requirement: &Requirement, facts: &RequestFacts, token: &VerifiedToken) -> bool {
        let any = |wanted: &[Box<str>], granted: &[Box<str>]| {
            wanted.is_empty() || wanted.iter().any(|name| granted.contains(name))
        };
        let all =
            |wanted: &[Box<str>], granted: &[Box<str>]| wanted.iter().all(|name| granted.contains(name));
        let one_of = |wanted: &[Box<str>], is: &dyn Fn(&str) -> bool| {
            wanted.is_empty() || wanted.iter().any(|name| is(name))
        };
        match self {
            Self::AnyRole => any(&requirement.any_role, token.roles()),
            Self::AllRoles => all(&requirement.all_roles, token.roles()),
            Self::AnyScope => any(&requirement.any_scope, token.scopes()),
            Self::AllScopes => all(&requirement.all_scopes, token.scopes()),
            Self::TokenType => one_of(&requirement.token_types, &|name| is_type(token, name)),
            Self::Principals => {
                one_of(&requirement.principals, &|pattern| wildcard_matches(pattern, token.principal()))
            }
            Self::Issuers => one_of(&requirement.issuers, &|name| token.is_from(name)),
            Self::Audiences => one_of(&requirement.audiences, &|name| holds(token.claims().get("aud"), name)),
            Self::Claims => unmet_claim(requirement, token).is_none(),
            Self::SourceIps => {
                requirement.source_ips.is_empty()
                    // A peer without an address is in none of the networks.
                    || facts.source_ip.is_some_and(|ip| contains_address(&requirement.source_ips, ip))
            }
        }
    }

    /// What was wanted and what there is.
    fn describe(
        self,
        detail: &mut Detail,
        requirement: &Requirement,
        facts: &RequestFacts,
        token: &VerifiedToken,
        roles_claim: Option<&RolesClaim>,
    ) {
        let key = self.key();
        let mut held = |held: &[Box<str>], claim: &str, how: &str, wanted: &[Box<str>]| {
            let held = QuotedNames(held.iter().map(AsRef::as_ref));
            detail.add(format_args!("{key}: token has {held} in {claim}, wanted {how} of {}", words(wanted)));
        };
        let roles = roles_claim.map_or("roles", |claim| claim.path.as_str());
        match self {
            Self::AnyRole => held(token.roles(), roles, "one", &requirement.any_role),
            Self::AllRoles => held(token.roles(), roles, "all", &requirement.all_roles),
            Self::AnyScope => held(token.scopes(), "scope or scp", "one", &requirement.any_scope),
            Self::AllScopes => held(token.scopes(), "scope or scp", "all", &requirement.all_scopes),
            Self::TokenType => {
                let (class, wanted) = (token.class().as_str(), words(&requirement.token_types));
                detail.add(format_args!("{key}: token is {class}, wanted one of {wanted}"));
                if token.claimed_class() != token.class() {
                    detail.add(format_args!(" ({})", ClaimsFault::FOREIGN_BOT));
                }
            }
            Self::Principals => {
                let (principal, wanted) = (Quoted(token.principal()), words(&requirement.principals));
                detail.add(format_args!("{key}: token is of {principal}, wanted one of {wanted}"));
            }
            Self::Issuers => {
                let (entry, wanted) = (token.entry(), words(&requirement.issuers));
                let issuer = Claim(token.issuer().map(JsonValue::String));
                detail.add(format_args!(
                    "{key}: token is of entry {entry} with iss {issuer}, wanted one of {wanted}"
                ));
            }
            Self::Audiences => {
                let (found, wanted) = (Claim(token.claims().get("aud")), words(&requirement.audiences));
                detail.add(format_args!("{key}: token has {found}, wanted one of {wanted}"));
            }
            Self::Claims => {
                let Some((path, wanted)) = unmet_claim(requirement, token) else { return };
                let (name, found) = (path.as_str(), Claim(path.find(token.claims())));
                detail.add(format_args!("{key}: {name} is {found}, wanted one of {}", words(wanted)));
            }
            Self::SourceIps => {
                match facts.source_ip {
                    Some(address) => {
                        detail.add(format_args!("{key}: request is from {address}, wanted one of"))
                    }
                    None => detail.add(format_args!("{key}: request is from no address, wanted one of")),
                }
                let networks: Vec<_> =
                    requirement.source_ips.iter().take(9).map(ToString::to_string).collect();
                detail.add(format_args!(" {}", Words(networks.iter().map(AsRef::as_ref))));
            }
        }
    }
}

pub(super) fn meets(requirement: &Requirement, facts: &RequestFacts, token: &VerifiedToken) -> bool {
    Part::ALL.into_iter().all(|part| part.is_met(requirement, facts, token))
}

/// The parts that are not met.
pub(in crate::decision) fn unmet(
    requirement: &Requirement,
    facts: &RequestFacts,
    token: &VerifiedToken,
) -> impl Iterator<Item = Part> {
    Part::ALL.into_iter().filter(|part| !part.is_met(requirement, facts, token))
}

/// What a token lacks; `None` if it meets the requirement. `roles_claim` is where its roles are.
pub(super) fn describe_unmet(
    requirement: &Requirement,
    facts: &RequestFacts,
    token: &VerifiedToken,
    roles_claim: Option<&RolesClaim>,
) -> Option<Detail> {
    let mut unmet = unmet(requirement, facts, token).peekable();
    unmet.peek()?;
    let mut detail = Detail::of(format_args!(""));
    for (at, part) in unmet.enumerate() {
        if at > 0 {
            detail.add(format_args!("; "));
        }
        part.describe(&mut detail, requirement, facts, token, roles_claim);
        if matches!(part, Part::AnyRole | Part::AllRoles)
            && roles_claim.is_some_and(|claim| claim.is_elsewhere(token.claims()))
        {
            detail.add(format_args!("; {}", RolesClaim::ELSEWHERE));
        }
    }
    Some(detail)
}

fn words(wanted: &[Box<str>]) -> Words<impl Iterator<Item = &str> + Clone> {
    Words(wanted.iter().map(AsRef::as_ref))
}

/// The first claim that has none of the required values, with these.
fn unmet_claim<'r>(
    requirement: &'r Requirement,
    token: &VerifiedToken,
) -> Option<(&'r ClaimPath, &'r [Box<str>])> {
    let is_unmet = |(path, values): &&(ClaimPath, Vec<Box<str>>)| {
        !values.iter().any(|value| holds(path.find(token.claims()), value))
    };
    requirement.claims.iter().find(is_unmet).map(|(path, values)| (path, &**values))
}

/// Whether `name` is the token's class, or, for the backend's own tokens, the word in `tokenType` or `type`
/// (`BOT`, `PERSONAL_ACCESS`, `SESSION`).
///
/// If `name` is the word of a class, only the class counts and never the claim, because the class is derived
/// from more than the claim.
fn is_type(token: &VerifiedToken, name: &str) -> bool {
    if TokenClass::ALL.iter().any(|class| class.as_str() == name) {
        return token.class().as_str() == name;
    }
    let says =
        |claim: &str| token.claims().get(claim).and_then(JsonValue::as_str).is_some_and(|text| text == name);
    token.is_backends_own() && (says("tokenType") || says("type"))
}

/// Whether a claim is this text, or a list that contains it. Numbers and booleans are compared as JSON text.
fn holds(claim: Option<JsonValue<'_>>, wanted: &str) -> bool {
    match claim {
        Some(JsonValue::String(text)) => text == wanted,
        Some(JsonValue::Array(items)) => {
            items.iter().any(|item| !matches!(item, JsonValue::Array(_)) && holds(Some(item), wanted))
        }
        Some(JsonValue::Bool(value)) => wanted == if value { "true" } else { "false" },
        Some(JsonValue::Number(number)) => number.to_string() == wanted,
        Some(JsonValue::Null | JsonValue::Object(_)) | None => false,
    }
}
