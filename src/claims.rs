//! Validation of signed claims (RFC 7519 section 4.1, RFC 8725 sections 3.8 to 3.11), and the identity that they
//! establish.
//!
//! [`validate`] checks the [`SignedClaims`] of a token against the [`ClaimRules`] of one issuer entry. It is the only
//! constructor of [`VerifiedToken`].
//!
//! jsonwebtoken's own `Validation` is not used for claims: it accepts a missing, null or numeric
//! `iss` and `aud` and a list of issuers, and it refuses OpenMetadata's `"exp": null`.

use crate::jose::{Algorithm, Fingerprint, JsonObject, JsonValue, SignedClaims};
use crate::numeric_date::NumericDate;

mod class;
mod derived;
mod fault;
mod field_values;
mod foreign_audience;
mod issued;
mod key_use;
mod kinds;
mod mapping;
mod path;
mod roles;
mod rules;
mod scopes;
mod sightings;
mod times;
mod weight;

pub use crate::backend::{NonExpiring, PrincipalStyle, TokenClass};
pub use class::of as claimed_class;
pub use derived::{Origin, RevocableAs};
pub use fault::{BotPrivilege, ClaimsFault};
pub use field_values::{FieldRules, IdentityValues};
pub use foreign_audience::is_foreign_audience;
pub use issued::IssuedKind;
pub use key_use::KeyUse;
pub use kinds::TokenKinds;
pub use mapping::{MappedUser, Mapping};
pub use path::ClaimPath;
pub use roles::{RolesClaim, RolesForm};
pub use rules::{ClaimRules, DomainRule, OwnTokens, PrincipalMapping, PrincipalRules};
pub use sightings::Sightings;

use derived::Derived;
use field_values::FieldValues;
use scopes::scopes;
use times::Times;

/// The longest accepted principal, email or role, in bytes.
pub const MAX_NAME_BYTES: usize = 256;

/// A token with a verified signature and valid claims.
///
/// Only [`validate`] creates this type, so a value proves that both were checked. It proves who the caller is, not
/// what the caller may do: that is decided for each request. Times pass, so a stored token needs
/// [`VerifiedToken::check_times`] again.
#[derive(Debug)]
pub struct VerifiedToken {
    entry: Box<str>,
    issuer: Option<Box<str>>,
    binds_issuer: bool,
    is_backends_own: bool,
    issued: Option<IssuedKind>,
    principal: Box<str>,
    email: Option<Box<str>>,
    roles: Vec<Box<str>>,
    scopes: Vec<Box<str>>,
    class: TokenClass,
    kid: Option<Box<str>>,
    key_id: Option<Box<str>>,
    key_has_id: bool,
    algorithm: Algorithm,
    fingerprint: Fingerprint,
    times: Times,
    claims: JsonObject,
    mapping: Mapping,
    derived: Option<Box<Derived>>,
    field_values: FieldValues,
    sightings: Sightings,
}

impl VerifiedToken {
    /// The name of the issuer entry that verified it.
    pub fn entry(&self) -> &str {
        &self.entry
    }

    /// Its `iss`. The entry may not have checked it: see [`VerifiedToken::is_from`].
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Whether `name` is the name of the issuer entry that verified it, or its `iss` if that entry
    /// lists issuers (RFC 8725 section 3.8). With the simple list, the holder of any key can write any `iss`, so
    /// `iss` is not considered.
    pub fn is_from(&self, name: &str) -> bool {
        *self.entry == *name || self.binds_issuer && self.issuer.as_deref() == Some(name)
    }

    /// The principal, by the entry's principal rules. Not empty, without control characters.
    pub fn principal(&self) -> &str {
        &self.principal
    }

    /// The email address, if a claim has one.
    pub fn email(&self) -> Option<&str> {
        self.email.as_deref()
    }

    /// The roles, from the entry's roles claim.
    pub fn roles(&self) -> &[Box<str>] {
        &self.roles
    }

    /// The scopes, from `scope` or `scp`.
    pub fn scopes(&self) -> &[Box<str>] {
        &self.scopes
    }

    /// Whether it is one of the backend's own tokens: see [`OwnTokens`].
    pub fn is_backends_own(&self) -> bool {
        self.is_backends_own
    }

    /// What metagate issued it for; `None` if another issuer did.
    pub fn issued(&self) -> Option<IssuedKind> {
        self.issued
    }

    /// The class that its claims name. It applies only to the backend's own tokens; see [`Self::class`].
    pub fn claimed_class(&self) -> TokenClass {
        class::of(&self.claims)
    }

    /// The class of its principal; [`TokenClass::User`] unless it is one of the backend's own tokens.
    pub fn class(&self) -> TokenClass {
        self.class
    }

    /// The key id in its header.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Its key ids: the one in the header, and that of the key that verified it.
    pub fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.kid.iter().chain(&self.key_id).map(|id| &**id)
    }

    /// The algorithm of its signature.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The SHA-256 of its signing input.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Its `jti`, if that is a string.
    pub fn id(&self) -> Option<&str> {
        self.claims.get_ignoring_case("jti")?.as_str()
    }

    /// Its `sub`, which may differ from [`VerifiedToken::principal`].
    pub fn subject(&self) -> Option<&str> {
        self.claims.get_ignoring_case("sub")?.as_str()
    }

    /// The whole claims set, for rules about other claims.
    pub fn claims(&self) -> &JsonObject {
        &self.claims
    }

    /// `iat`, if there is one.
    pub fn issued_at(&self) -> Option<NumericDate> {
        self.times.issued_at
    }

    /// `exp`, if there is one.
    pub fn expires(&self) -> Option<NumericDate> {
        self.times.expires
    }

    /// The first second at which it is refused as expired, including the leeway.
    pub fn valid_until(&self) -> Option<NumericDate> {
        self.times.valid_until()
    }

    /// Checks the times again, for a token that was verified earlier.
    pub fn check_times(&self, now: NumericDate) -> Result<(), ClaimsFault> {
        self.times.check(now)
    }

    /// Its members in an audit record. `write` writes them once, when they are first needed.
    pub fn audit_members(&self, write: impl FnOnce(&Self) -> Box<str>) -> &str {
        self.field_values.audit_members.get_or_init(|| write(self))
    }
}

/// Validates signed claims by one entry's rules at the time `now`.
///
/// The order of the checks is part of the interface, because the first failed check is reported: the kind of token,
/// `exp`, `nbf`, `iat`, `iss`, `aud`, lifetime, principal, domain.
pub fn validate(
    signed: SignedClaims,
    entry: &str,
    rules: &ClaimRules,
    now: NumericDate,
) -> Result<VerifiedToken, ClaimsFault> {
    let parts = signed.into_parts();
    let claims = parts.claims;
    let issued = rules.kinds.check_claims(&claims)?;
    let own = rules.own_tokens.include(parts.by_backends_key, optional_string(&claims, "iss").ok().flatten());
    let claimed = class::of(&claims);
    let class = if own { claimed } else { TokenClass::User };
    // The fault of a token that would be accepted if it were a bot token of the backend.
    let is_foreign_bot = claimed == TokenClass::Bot && !own;
    let foreign = |fault, privilege| if is_foreign_bot { ClaimsFault::ForeignBot(privilege) } else { fault };
    let allowed_to_bots = rules.non_expiring.allows(claimed);
    let times = Times::read(&claims, class, rules).map_err(|fault| match fault {
        ClaimsFault::MissingExpiry if allowed_to_bots => foreign(fault, BotPrivilege::Expiry),
        fault => fault,
    })?;
    times.check(now)?;
    let issuer = check_issuer(&claims, rules)?;
    check_audience(&claims, rules)?;
    times.check_lifetime(now, rules)?;
    let identity = Identity::read(&claims, class, rules).map_err(|fault| match fault {
        ClaimsFault::MissingPrincipal if rules.principal.mapping.is_some() => {
            foreign(fault, BotPrivilege::Mapping)
        }
        fault => fault,
    })?;
    let is_exempt = |domain: &DomainRule| own && domain.exempts(issuer.as_deref(), parts.kid.as_deref());
    let domain = rules.domain.as_ref().filter(|domain| class != TokenClass::Bot && !is_exempt(domain));
    if domain.is_some_and(|domain| !domain.allows(identity.domain_source)) {
        return Err(foreign(ClaimsFault::WrongDomain, BotPrivilege::Domain));
    }
    Ok(VerifiedToken {
        entry: entry.into(),
        issuer,
        binds_issuer: !rules.issuers.is_empty(),
        is_backends_own: own,
        issued,
        principal: identity.principal,
        email: identity.email,
        roles: issued.map_or_else(|| rules.roles_claim.read(&claims), |_| Vec::new()),
        scopes: scopes(&claims),
        class,
        kid: parts.kid,
        key_id: parts.key_id,
        key_has_id: parts.key_has_id,
        algorithm: parts.algorithm,
        fingerprint: parts.fingerprint,
        times,
        claims,
        mapping: Mapping::None,
        derived: None,
        field_values: FieldValues::default(),
        sightings: Sightings::default(),
    })
}

fn check_issuer(claims: &JsonObject, rules: &ClaimRules) -> Result<Option<Box<str>>, ClaimsFault> {
    let issuer = optional_string(claims, "iss")?;
    let trusted = rules.issuers.is_empty() || issuer.is_some_and(|issuer| rules.binds(issuer));
    if trusted { Ok(issuer.map(Into::into)) } else { Err(ClaimsFault::UntrustedIssuer) }
}

/// RFC 7519 section 4.1.3: a string or a list of strings. One of them must be an accepted audience, and none may be
/// foreign if the rules say so.
fn check_audience(claims: &JsonObject, rules: &ClaimRules) -> Result<(), ClaimsFault> {
    let wrong_type = ClaimsFault::Malformed("aud is neither a string nor a list of strings");
    let is_accepted = |name: &str| rules.audiences.iter().any(|accepted| **accepted == *name);
    let is_foreign =
        |name: &str| rules.refuses_foreign_audiences && is_foreign_audience(name, &rules.issuers);
    let accepted = match claims.get("aud") {
        None | Some(JsonValue::Null) => false,
        Some(JsonValue::String(one)) => is_accepted(one) && !is_foreign(one),
        Some(JsonValue::Array(items)) => {
            let (mut accepted, mut foreign) = (false, false);
            for item in items.iter() {
                let name = item.as_str().ok_or(wrong_type)?;
                accepted |= is_accepted(name);
                foreign |= is_foreign(name);
            }
            accepted && !foreign
        }
        Some(_) => return Err(wrong_type),
    };
    if accepted || rules.audiences.is_empty() { Ok(()) } else { Err(ClaimsFault::WrongAudience) }
}

struct Identity<'a> {
    principal: Box<str>,
    email: Option<Box<str>>,
    /// The address that the domain rule checks.
    domain_source: &'a str,
}

impl<'a> Identity<'a> {
    fn read(claims: &'a JsonObject, class: TokenClass, rules: &ClaimRules) -> Result<Self, ClaimsFault> {
        optional_string(claims, "sub")?;
        let principal = &rules.principal;
        // OpenMetadata does not apply the mapping to bots.
        let mapping = principal.mapping.as_ref().filter(|_| class != TokenClass::Bot);
        let source = match mapping {
            Some(mapping) => name(claims, &mapping.username)?,
            None => first_name(claims, &principal.claims)?,
        };
        let source = source.ok_or(ClaimsFault::MissingPrincipal)?;
        let email = match mapping {
            Some(mapping) => name(claims, &mapping.email)?,
            None => plain_name(claims.get_ignoring_case("email"))?,
        };
        let email = email.filter(|email| email.contains('@'));
        if mapping.is_some() && email.is_none() {
            return Err(ClaimsFault::MissingPrincipal);
        }
        let (user, email_out) = match principal.style {
            PrincipalStyle::AsIs => (source.to_owned(), email.map(Into::into)),
            PrincipalStyle::LocalPart => {
                let user = source.split('@').next().unwrap_or_default().to_lowercase();
                (user, email.map(|email| email.to_lowercase().into()))
            }
        };
        if user.is_empty() {
            return Err(ClaimsFault::MissingPrincipal);
        }
        let domain_source = if mapping.is_some() { email.unwrap_or(source) } else { source };
        Ok(Self { principal: user.into(), email: email_out, domain_source })
    }
}

fn first_name<'a>(claims: &'a JsonObject, names: &[ClaimPath]) -> Result<Option<&'a str>, ClaimsFault> {
    for claim in names {
        if let Some(found) = name(claims, claim)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// A claim that names a principal; `None` if it is absent, null, empty or not a string.
fn name<'a>(claims: &'a JsonObject, claim: &ClaimPath) -> Result<Option<&'a str>, ClaimsFault> {
    plain_name(claim.find_ignoring_case(claims))
}

fn plain_name(value: Option<JsonValue<'_>>) -> Result<Option<&str>, ClaimsFault> {
    match value {
        Some(JsonValue::String(text)) if !text.is_empty() => {
            if is_plain_name(text) {
                Ok(Some(text))
            } else {
                Err(ClaimsFault::Malformed("a principal claim has control characters or is too long"))
            }
        }
        _ => Ok(None),
    }
}

fn optional_string<'a>(claims: &'a JsonObject, claim: &'static str) -> Result<Option<&'a str>, ClaimsFault> {
    match claims.get(claim) {
        None | Some(JsonValue::Null) => Ok(None),
        Some(JsonValue::String(text))
            if text.len() <= 2 * MAX_NAME_BYTES && !has_control_characters(text) =>
        {
            Ok(Some(text))
        }
        Some(JsonValue::String(_)) => Err(ClaimsFault::Malformed(match claim {
            "iss" => "iss has control characters or is too long",
            _ => "sub has control characters or is too long",
        })),
        Some(_) => Err(ClaimsFault::Malformed(match claim {
            "iss" => "iss is not a string",
            _ => "sub is not a string",
        })),
    }
}

fn is_plain_name(text: &str) -> bool {
    text.len() <= MAX_NAME_BYTES && !has_control_characters(text)
}

fn has_control_characters(text: &str) -> bool {
    // No early exit: the compiler then compares many bytes at once.
    let in_ascii = text.bytes().fold(false, |found, byte| found | byte.is_ascii_control());
    in_ascii || !text.is_ascii() && text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests;
