//! Whose tokens are believed: from an unverified token to a verified one.
//!
//! The token's `iss` picks one issuer entry, and only that entry's keys can verify it (RFC 8725
//! section 3.8). Picking reads the claim before it is verified, which decides nothing but whose
//! keys are tried; the claim is judged again after the signature.

use std::sync::Arc;

use crate::claims::{self, ClaimRules, ClaimsFault, VerifiedToken};
use crate::jose::{AlgorithmSet, JoseFault, KeyChoice, KeySet, UnverifiedToken, VerificationKey};
use crate::numeric_date::NumericDate;
use crate::revocation::RevokedBy;

/// One issuer entry, or the simple list of key URLs (an entry without issuers).
#[derive(Clone, Debug)]
pub struct TrustedIssuer {
    /// The name in logs, metrics and rules.
    pub name: Box<str>,
    /// The algorithms that its tokens may use.
    pub algorithms: AlgorithmSet,
    /// What its tokens must say.
    pub rules: ClaimRules,
}

/// The keys of all entries at one moment, in the order of the entries.
#[derive(Clone, Debug, Default)]
pub struct KeyRing {
    /// Grows with every change of any key.
    pub generation: u64,
    /// Per entry its keys; `None` where there are none yet, or none fresh enough any more.
    pub sets: Vec<Option<Arc<KeySet>>>,
}

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFault {
    /// Not a compact JWS of a claims set.
    Malformed(&'static str),
    /// Its algorithm is not allowed.
    AlgorithmNotAllowed,
    /// Its algorithm is allowed, but its key is of another kind or for another algorithm.
    WrongKeyAlgorithm,
    /// No entry is meant for its `iss`.
    UntrustedIssuer,
    /// No key of the entry has its kid.
    UnknownKey,
    /// The entry has no keys.
    KeysUnavailable,
    /// The signature does not hold.
    InvalidSignature,
    /// The claims do not let anybody in.
    Claims(ClaimsFault),
    /// It is on the revocation list.
    Revoked(RevokedBy),
}

impl TokenFault {
    /// Whether newer keys could make the token good: its key may be one that was not fetched yet, or
    /// have been replaced under its old kid, even by one of another kind.
    pub fn may_be_outdated_keys(self) -> bool {
        matches!(self, Self::UnknownKey | Self::InvalidSignature | Self::WrongKeyAlgorithm)
    }
}

/// Which entry is meant for a token, by its place in `issuers`.
pub fn entry_for(token: &UnverifiedToken<'_>, issuers: &[TrustedIssuer]) -> Result<usize, TokenFault> {
    let claimed = token.issuer_hint()?;
    let bound = |entry: &TrustedIssuer| claimed.is_some_and(|claimed| entry.rules.binds(claimed));
    issuers
        .iter()
        .position(bound)
        .or_else(|| issuers.iter().position(|entry| entry.rules.issuers.is_empty()))
        .ok_or(TokenFault::UntrustedIssuer)
}

/// Verifies `token` by the rules of `entry` with its keys, at the time `now`.
pub fn verify(
    token: UnverifiedToken<'_>,
    entry: &TrustedIssuer,
    keys: Option<&KeySet>,
    now: NumericDate,
) -> Result<VerifiedToken, TokenFault> {
    let algorithm = token.header().algorithm;
    if !entry.algorithms.contains(algorithm) {
        return Err(TokenFault::AlgorithmNotAllowed);
    }
    entry.rules.kinds.check_type(token.header().token_type.as_deref()).map_err(TokenFault::Malformed)?;
    let keys = keys.ok_or(TokenFault::KeysUnavailable)?;
    let choice = keys.choose(token.header().kid.as_deref(), algorithm);
    let signed = match choice {
        KeyChoice::Only(key) => token.verify(key)?,
        KeyChoice::Named(candidates) => try_each(token, &candidates)?,
        // Keys without a name are tried for any: if none fits, the key is not known after all.
        KeyChoice::Unnamed(candidates) => try_each(token, &candidates).map_err(|fault| match fault {
            JoseFault::InvalidSignature => TokenFault::UnknownKey,
            other => other.into(),
        })?,
        KeyChoice::WrongAlgorithm => return Err(TokenFault::WrongKeyAlgorithm),
        KeyChoice::UnknownKid | KeyChoice::NoKid => return Err(TokenFault::UnknownKey),
    };
    claims::validate(signed, &entry.name, &entry.rules, now).map_err(TokenFault::Claims)
}

fn try_each(
    token: UnverifiedToken<'_>,
    candidates: &[&VerificationKey],
) -> Result<crate::jose::SignedClaims, JoseFault> {
    let Some((last, others)) = candidates.split_last() else { return Err(JoseFault::InvalidSignature) };
    for key in others {
        if let Ok(signed) = token.clone().verify(key) {
            return Ok(signed);
        }
    }
    token.verify(last)
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
