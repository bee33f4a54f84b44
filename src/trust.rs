//! From an unverified token to a verified one.
//!
//! 1. [`entry_for`] selects one issuer entry by the token's `iss`. Only that entry's keys can verify the token
//!    (RFC 8725 section 3.8). The claim is not verified yet, but it only selects which keys are tried.
//! 2. [`verify`] checks the algorithm and `typ`, verifies the signature with these keys and validates the claims,
//!    including `iss`.
//!
//! The keys are an argument. Fetching them, and trying again with newer ones
//! ([`TokenFault::may_be_outdated_keys`]), is the caller's task.

use std::sync::Arc;

use crate::claims::{self, ClaimRules, ClaimsFault, VerifiedToken};
use crate::jose::{
    AlgorithmSet, JoseFault, KeyChoice, KeySet, SignedClaims, UnverifiedToken, VerificationKey,
};
use crate::numeric_date::NumericDate;
use crate::revocation::RevokedBy;

/// One issuer entry, or the simple list of key URLs (an entry without issuers).
#[derive(Clone, Debug)]
pub struct TrustedIssuer {
    /// The name in logs, metrics and rules.
    pub name: Box<str>,
    /// The algorithms that its tokens may use.
    pub algorithms: AlgorithmSet,
    /// The rules for the claims of its tokens.
    pub rules: ClaimRules,
}

/// The keys of all entries at one moment, in the order of the entries.
#[derive(Clone, Debug, Default)]
pub struct KeyRing {
    /// Increases with every change of any key.
    pub generation: u64,
    /// The keys of each entry; `None` if they have not been fetched yet or have expired.
    pub sets: Vec<Option<Arc<KeySet>>>,
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFault {
    /// Not a compact JWS of a claims set, or its `typ` is not accepted; the text says why.
    Malformed(&'static str),
    /// Its algorithm is not allowed.
    AlgorithmNotAllowed,
    /// Its algorithm is allowed, but its key is of another kind or for another algorithm.
    WrongKeyAlgorithm,
    /// No entry has its `iss`.
    UntrustedIssuer,
    /// A member of its header is not what the entry requires; it names another signer.
    WrongHeader,
    /// No key of the entry has its `kid`, or the key cannot be determined without one.
    UnknownKey,
    /// The entry has no keys.
    KeysUnavailable,
    /// The signature is not valid.
    InvalidSignature,
    /// The claims are not accepted.
    Claims(ClaimsFault),
    /// It is on the revocation list.
    Revoked(RevokedBy),
}

impl TokenFault {
    /// Whether the token could be valid with newer keys: its key may not have been fetched yet, or
    /// may have been replaced under the same `kid`, even by one of another kind.
    pub fn may_be_outdated_keys(self) -> bool {
        matches!(self, Self::UnknownKey | Self::InvalidSignature | Self::WrongKeyAlgorithm)
    }
}

/// The index in `issuers` of the entry for a token: the one that lists its `iss`, otherwise the simple list. `minted` is
/// the `iss` of tokens that are minted for the backend ([`crate::mint`]): no entry takes these. The simple list, which
/// takes tokens of any issuer, may well have their keys, if it is the backend's own list.
pub fn entry_for(
    token: &UnverifiedToken<'_>,
    issuers: &[TrustedIssuer],
    minted: Option<&str>,
) -> Result<usize, TokenFault> {
    let claimed = token.issuer_hint()?;
    if minted.is_some() && minted == claimed {
        return Err(TokenFault::UntrustedIssuer);
    }
    let bound = |entry: &TrustedIssuer| claimed.is_some_and(|claimed| entry.rules.binds(claimed));
    issuers
        .iter()
        .position(bound)
        .or_else(|| issuers.iter().position(|entry| entry.rules.issuers.is_empty()))
        .ok_or(TokenFault::UntrustedIssuer)
}

/// Verifies `token` by the rules of `entry` with its keys, at the time `now`.
pub fn verify(
    token: &UnverifiedToken<'_>,
    entry: &TrustedIssuer,
    keys: Option<&KeySet>,
    now: NumericDate,
) -> Result<VerifiedToken, TokenFault> {
    let algorithm = token.header().algorithm;
    if !entry.algorithms.contains(algorithm) {
        return Err(TokenFault::AlgorithmNotAllowed);
    }
    entry.rules.kinds.check_type(token.header().token_type.as_deref()).map_err(TokenFault::Malformed)?;
    // Before any key is looked for, so that a token of another signer causes no fetch.
    if !entry.rules.kinds.header.is_empty() && wrong_member(token, entry).is_some() {
        return Err(TokenFault::WrongHeader);
    }
    let keys = keys.ok_or(TokenFault::KeysUnavailable)?;
    let choice = keys.choose_for(token.header());
    let signed = match choice {
        KeyChoice::Only(key) => token.verify(key)?,
        KeyChoice::Named(candidates) => try_each(token, &candidates)?,
        // Keys without a `kid` are tried for any. If none of them verifies the token, its key is unknown.
        KeyChoice::Unnamed(candidates) => try_each(token, &candidates).map_err(|fault| match fault {
            JoseFault::InvalidSignature => TokenFault::UnknownKey,
            other => other.into(),
        })?,
        KeyChoice::WrongAlgorithm => return Err(TokenFault::WrongKeyAlgorithm),
        KeyChoice::UnknownKid | KeyChoice::NoKid => return Err(TokenFault::UnknownKey),
    };
    claims::validate(signed, &entry.name, &entry.rules, now).map_err(TokenFault::Claims)
}

/// The first member of a token's header that is not one of the values that the entry requires, with these.
pub fn wrong_member<'e>(
    token: &UnverifiedToken<'_>,
    entry: &'e TrustedIssuer,
) -> Option<(&'e str, &'e [Box<str>])> {
    let members = token.header_members();
    let is_accepted = |name: &str, accepted: &[Box<str>]| {
        let found = members.as_ref().and_then(|members| members.get(name)?.as_str());
        found.is_some_and(|found| accepted.iter().any(|one| **one == *found))
    };
    let mut required = entry.rules.kinds.header.iter().map(|(name, accepted)| (&**name, &**accepted));
    required.find(|(name, accepted)| !is_accepted(name, accepted))
}

fn try_each(token: &UnverifiedToken<'_>, candidates: &[&VerificationKey]) -> Result<SignedClaims, JoseFault> {
    candidates.iter().find_map(|key| token.verify(key).ok()).ok_or(JoseFault::InvalidSignature)
}

impl From<JoseFault> for TokenFault {
    fn from(fault: JoseFault) -> Self {
        match fault {
            JoseFault::Malformed(why) => Self::Malformed(why),
            JoseFault::AlgorithmUnknown => Self::AlgorithmNotAllowed,
            JoseFault::InvalidSignature => Self::InvalidSignature,
        }
    }
}

#[cfg(test)]
mod tests;
