//! Which user of the backend a verified identity of a workload acts as (`exchange`).
//!
//! 1. The entries are tried in their order. The first that takes a token decides: its issuer entry, its subject and its
//!    claims must be what the entry says. All comparisons are exact, because a pattern could match names that somebody
//!    at the issuer may choose.
//! 2. [`TokenExchange::map`] keeps the result in the token, and the token is cached with it. So it costs nothing on
//!    further requests. A cached token is used only within one configuration.
//! 3. A token that no entry takes is refused if its issuer's tokens must be exchanged, and otherwise forwarded.
//! 4. An entry may allow the token endpoint to issue a longer token for one that it takes. [`TokenExchange::issue`] says
//!    what such a token has in it. When it is used, the entry of its name maps it, in the same [`TokenExchange::map`].
//!
//! Invariants:
//!
//! - The user comes from the configuration. No claim can choose it or become a part of it.
//! - Only a verified token is mapped. Revocation is decided before, by the token's own claims.
//!
//! Not done here: the credential with which the request is forwarded.

use std::sync::Arc;

use serde_json::Number;

use crate::claims::{ClaimPath, IssuedKind, MappedUser, Mapping, VerifiedToken};
use crate::jose::JsonValue;

mod issued;

pub use issued::{Issuance, MAX_TOKEN_LIFETIME, MIN_TOKEN_LIFETIME, NotIssued, Outdated, TokenGrant};

/// The entries of one configuration. Without any, it changes nothing.
#[derive(Clone, Debug, Default)]
pub struct TokenExchange {
    entries: Vec<ExchangeEntry>,
    issuers: Vec<ExchangeIssuer>,
    issuance: Vec<Issuance>,
}

/// Which tokens act as one user.
#[derive(Clone, Debug)]
pub struct ExchangeEntry {
    /// The name of their issuer entry.
    pub issuer: Box<str>,
    /// The accepted values of `sub`; if empty, any.
    pub subjects: Vec<Box<str>>,
    /// Claims that they must have, each with its accepted values.
    pub claims: Vec<(ClaimPath, Vec<ClaimValue>)>,
    /// The user that they act as.
    pub user: Arc<MappedUser>,
}

/// A value that a claim must have, with its JSON type: the text `true` is not the boolean.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names are those of RFC 8259 section 3")]
pub enum ClaimValue {
    String(Box<str>),
    Bool(bool),
    Number(Number),
}

/// An issuer entry that takes part in the exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeIssuer {
    /// Its name.
    pub name: Box<str>,
    /// Whether a token of it that no entry takes is refused. Otherwise it is forwarded.
    pub is_required: bool,
}

/// Why an entry does not take a token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mismatch<'e> {
    /// Its subject is none of these.
    Subject(&'e [Box<str>]),
    /// It lacks this claim, or the claim has none of these values.
    Claim(&'e ClaimPath, &'e [ClaimValue]),
}

impl TokenExchange {
    /// These entries, in their order, and the issuers that take part.
    pub fn new(entries: Vec<ExchangeEntry>, issuers: Vec<ExchangeIssuer>) -> Self {
        Self { entries, issuers, issuance: Vec::new() }
    }

    /// Whether no issuer takes part.
    pub fn is_empty(&self) -> bool {
        self.issuers.is_empty()
    }

    /// Whether tokens of this issuer entry take part.
    pub fn includes(&self, issuer: &str) -> bool {
        self.issuer(issuer).is_some()
    }

    fn issuer(&self, name: &str) -> Option<&ExchangeIssuer> {
        self.issuers.iter().find(|issuer| *issuer.name == *name)
    }

    /// The entries about one issuer entry, in their order.
    pub fn entries_of(&self, issuer: &str) -> impl Iterator<Item = &ExchangeEntry> {
        self.entries.iter().filter(move |entry| *entry.issuer == *issuer)
    }

    /// Maps a token that was just verified.
    pub fn map(&self, token: VerifiedToken) -> VerifiedToken {
        let Some(issuer) = self.issuer(token.entry()) else { return token };
        if token.issued() == Some(IssuedKind::Exchanged) {
            return self.map_issued(token);
        }
        let taken = self.entries_of(&issuer.name).find(|entry| entry.mismatch(&token).is_none());
        let mapping = match taken {
            Some(entry) => Mapping::User(entry.user.clone()),
            None if issuer.is_required => Mapping::Missing,
            None => Mapping::None,
        };
        token.mapped(mapping)
    }
}

impl ExchangeEntry {
    /// Whether it takes this subject, as far as only that is considered.
    pub fn takes_subject(&self, subject: &str) -> bool {
        self.subjects.is_empty() || self.subjects.iter().any(|taken| **taken == *subject)
    }

    /// The first part of this entry that a token of its issuer does not meet.
    pub fn mismatch(&self, token: &VerifiedToken) -> Option<Mismatch<'_>> {
        let claims = token.claims();
        let subject = claims.get("sub").and_then(JsonValue::as_str);
        if !self.names_subject(subject) {
            return Some(Mismatch::Subject(&self.subjects));
        }
        let is_met = |path: &ClaimPath, values: &[ClaimValue]| {
            path.find(claims).is_some_and(|claim| values.iter().any(|value| value.is(claim)))
        };
        let unmet = self.claims.iter().find(|(path, values)| !is_met(path, values));
        unmet.map(|(path, values)| Mismatch::Claim(path, values))
    }

    /// Whether it takes tokens of this subject, as far as it names any.
    fn names_subject(&self, subject: Option<&str>) -> bool {
        self.subjects.is_empty() || subject.is_some_and(|subject| self.takes_subject(subject))
    }
}

impl ClaimValue {
    /// Whether a claim is this value, or a list with it.
    fn is(&self, claim: JsonValue<'_>) -> bool {
        match (self, claim) {
            (Self::String(wanted), JsonValue::String(text)) => **wanted == *text,
            (Self::Bool(wanted), JsonValue::Bool(value)) => *wanted == value,
            (Self::Number(wanted), JsonValue::Number(number)) => wanted == number,
            (_, JsonValue::Array(items)) => {
                items.iter().any(|item| !matches!(item, JsonValue::Array(_)) && self.is(item))
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
