//! The configured rules for the claims of one issuer's tokens.

use std::time::Duration;

use super::{ClaimPath, NonExpiring, PrincipalStyle, RolesClaim, TokenKinds};

/// The rules of one issuer entry.
#[derive(Clone, Debug)]
pub struct ClaimRules {
    /// The values of `iss` that belong to this entry. If empty, `iss` is not checked (the simple list).
    pub issuers: Vec<Box<str>>,
    /// Which of its tokens are the backend's own.
    pub own_tokens: OwnTokens,
    /// Which kinds of token are accepted.
    pub kinds: TokenKinds,
    /// The accepted values of `aud`. If empty, `aud` is not checked.
    pub audiences: Vec<Box<str>>,
    /// Whether a token is refused if `aud` also has an audience that is known to belong to another service
    /// ([`super::is_foreign_audience`]).
    pub refuses_foreign_audiences: bool,
    /// Which tokens may lack `exp`.
    pub non_expiring: NonExpiring,
    /// The longest time from `iat` (or from now, without `iat`) to `exp`.
    pub max_lifetime: Option<Duration>,
    /// How far clocks may differ. Whole seconds, at most 300.
    pub leeway: Duration,
    /// How the principal is read.
    pub principal: PrincipalRules,
    /// The claim that contains the roles.
    pub roles_claim: RolesClaim,
    /// OpenMetadata's `enforcePrincipalDomain`. If absent, every domain is allowed.
    pub domain: Option<DomainRule>,
}

impl ClaimRules {
    /// Whether a value of `iss` belongs to this entry (RFC 7519 section 4.1.1: case-sensitive, without
    /// normalization).
    pub fn binds(&self, issuer: &str) -> bool {
        self.issuers.iter().any(|own| **own == *issuer)
    }
}

/// Which tokens of an entry are the backend's own: signed with its keys, for itself.
///
/// Only in these tokens do `isBot`, `tokenType` and `type` determine the class. Identity providers let
/// their users and administrators write claims, and bots have privileges: they need no `exp`, and the domain rule
/// does not apply to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnTokens {
    /// None.
    None,
    /// Tokens verified with a key of the backend's own set, and tokens with one of these `iss`.
    Known(Vec<Box<str>>),
    /// All.
    All,
}

impl OwnTokens {
    /// Whether a token is one of them.
    pub fn include(&self, by_backends_key: bool, issuer: Option<&str>) -> bool {
        match self {
            Self::None => false,
            Self::Known(_) => {
                by_backends_key || issuer.is_some_and(|issuer| self.are_known_by_issuer(issuer))
            }
            Self::All => true,
        }
    }

    /// Whether this `iss` makes a token the backend's own.
    pub fn are_known_by_issuer(&self, issuer: &str) -> bool {
        matches!(self, Self::Known(issuers) if issuers.iter().any(|own| **own == *issuer))
    }
}

/// Tokens verified with a key of the backend's own set.
impl Default for OwnTokens {
    fn default() -> Self {
        Self::Known(Vec::new())
    }
}

/// How the principal is read from the claims.
#[derive(Clone, Debug)]
pub struct PrincipalRules {
    /// The first of these that is a non-empty string names the principal.
    pub claims: Vec<ClaimPath>,
    /// OpenMetadata's `jwtPrincipalClaimsMapping`. It replaces `claims`, except for bots.
    pub mapping: Option<PrincipalMapping>,
    /// How the text of the claim becomes the principal.
    pub style: PrincipalStyle,
}

/// `[username:x, email:y]`: both claims are required.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrincipalMapping {
    /// The claim with the user name.
    pub username: ClaimPath,
    /// The claim with the email address.
    pub email: ClaimPath,
}

/// OpenMetadata's `enforcePrincipalDomain`. Bots and OpenMetadata's own tokens are exempt.
#[derive(Clone, Debug)]
pub struct DomainRule {
    /// The required domain if `allowed` is empty.
    pub principal_domain: Box<str>,
    /// The allowed domains.
    pub allowed: Vec<Box<str>>,
    /// `iss` of OpenMetadata's own tokens.
    pub own_issuer: Box<str>,
    /// `kid` of OpenMetadata's own tokens.
    pub own_key_id: Box<str>,
}

impl DomainRule {
    /// Whether a token with this `iss` and `kid` is one of OpenMetadata's own, which are exempt from the rule.
    pub(super) fn exempts(&self, issuer: Option<&str>, key_id: Option<&str>) -> bool {
        issuer == Some(&*self.own_issuer) && key_id == Some(&*self.own_key_id)
    }

    /// Whether `address` has exactly one `@` and an allowed domain after it, ignoring case.
    pub(super) fn allows(&self, address: &str) -> bool {
        let Some((_, domain)) = address.split_once('@') else { return false };
        // With a second `@`, the domain would depend on the direction of reading.
        if domain.contains('@') {
            return false;
        }
        if self.allowed.is_empty() {
            return domain.eq_ignore_ascii_case(&self.principal_domain);
        }
        self.allowed.iter().any(|allowed| domain.eq_ignore_ascii_case(allowed))
    }
}
