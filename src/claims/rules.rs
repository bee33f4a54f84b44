//! What one issuer's tokens must say, as configured.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{NonExpiring, PrincipalStyle, TokenKinds};

/// The rules of one issuer entry.
#[derive(Clone, Debug)]
pub struct ClaimRules {
    /// The values of `iss` that belong to this entry. Empty: `iss` is not bound (the simple list).
    pub issuers: Vec<Box<str>>,
    /// Which of its tokens are the backend's own.
    pub own_tokens: OwnTokens,
    /// Which kinds of token are meant for us.
    pub kinds: TokenKinds,
    /// Any of these must be in `aud`. Empty: `aud` is not bound.
    pub audiences: Vec<Box<str>>,
    /// Which tokens may come without `exp`.
    pub non_expiring: NonExpiring,
    /// The longest time from `iat` (or from now, where there is none) to `exp`.
    pub max_lifetime: Option<Duration>,
    /// How far clocks may differ. Whole seconds, at most 300.
    pub leeway: Duration,
    /// Who the token speaks for.
    pub principal: PrincipalRules,
    /// Where the roles are.
    pub roles_claim: ClaimPath,
    /// OpenMetadata's `enforcePrincipalDomain`; absent: every domain is allowed.
    pub domain: Option<DomainRule>,
}

impl ClaimRules {
    /// Whether a value of `iss` belongs to this entry (RFC 7519 section 4.1.1: compared as it is).
    pub fn binds(&self, issuer: &str) -> bool {
        self.issuers.iter().any(|own| **own == *issuer)
    }
}

/// Which tokens of an entry are the backend's own: signed by its keys, for itself.
///
/// Only there do `isBot`, `tokenType` and `type` say what class a token is of. Identity providers let
/// their users and administrators write claims, and a bot has privileges: no domain rule, no `exp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnTokens {
    /// None.
    None,
    /// Those that a key of the backend's own set verified, and those with one of these `iss`.
    Known(Vec<Box<str>>),
    /// All.
    All,
}

impl OwnTokens {
    pub(super) fn include(&self, by_backends_key: bool, issuer: Option<&str>) -> bool {
        match self {
            Self::None => false,
            Self::Known(_) => {
                by_backends_key || issuer.is_some_and(|issuer| self.are_known_by_issuer(issuer))
            }
            Self::All => true,
        }
    }

    /// Whether a token is the backend's own for saying this `iss`.
    pub fn are_known_by_issuer(&self, issuer: &str) -> bool {
        matches!(self, Self::Known(issuers) if issuers.iter().any(|own| **own == *issuer))
    }
}

/// Those that a key of the backend's own set verified.
impl Default for OwnTokens {
    fn default() -> Self {
        Self::Known(Vec::new())
    }
}

/// Which claim names the principal, and how it is read.
#[derive(Clone, Debug)]
pub struct PrincipalRules {
    /// The first of these that is a non-empty string names the principal.
    pub claims: Vec<Box<str>>,
    /// OpenMetadata's `jwtPrincipalClaimsMapping`; goes before `claims`, except for bots.
    pub mapping: Option<PrincipalMapping>,
    /// How the claim's text becomes the principal.
    pub style: PrincipalStyle,
}

/// `[username:x, email:y]`: both claims must be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrincipalMapping {
    /// The claim that holds the user name.
    pub username: Box<str>,
    /// The claim that holds the email address.
    pub email: Box<str>,
}

/// A claim inside the claims set, by its path: `realm_access.roles`.
///
/// A claim whose own name has dots in it (`https://example.org/roles`) is found by its whole name
/// first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath(Box<str>);

impl ClaimPath {
    /// A path from its dotted form.
    pub fn new(path: &str) -> Self {
        Self(path.into())
    }

    /// The dotted form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value at this path, if there is one.
    pub fn find<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        if let Some(value) = claims.get(&*self.0) {
            return Some(value);
        }
        let (first, rest) = self.0.split_once('.')?;
        rest.split('.').try_fold(claims.get(first)?, |value, segment| value.get(segment))
    }
}

impl Default for ClaimPath {
    fn default() -> Self {
        Self::new("roles")
    }
}

/// OpenMetadata's `enforcePrincipalDomain`. Bots and OpenMetadata's own tokens are exempt.
#[derive(Clone, Debug)]
pub struct DomainRule {
    /// The domain of principals where `allowed` is empty.
    pub principal_domain: Box<str>,
    /// The allowed domains.
    pub allowed: Vec<Box<str>>,
    /// `iss` of OpenMetadata's own tokens.
    pub own_issuer: Box<str>,
    /// `kid` of OpenMetadata's own tokens.
    pub own_key_id: Box<str>,
}

impl DomainRule {
    /// Whether a token with this `iss` and `kid` is one of OpenMetadata's own, which the rule is not about.
    pub(super) fn signs(&self, issuer: Option<&str>, key_id: Option<&str>) -> bool {
        issuer == Some(&*self.own_issuer) && key_id == Some(&*self.own_key_id)
    }

    /// Whether `address` has exactly one `@` and an allowed domain after it, ignoring case.
    pub(super) fn allows(&self, address: &str) -> bool {
        let Some((_, domain)) = address.split_once('@') else { return false };
        // A second `@` would make the domain a matter of which end one reads from.
        if domain.contains('@') {
            return false;
        }
        if self.allowed.is_empty() {
            return domain.eq_ignore_ascii_case(&self.principal_domain);
        }
        self.allowed.iter().any(|allowed| domain.eq_ignore_ascii_case(allowed))
    }
}
