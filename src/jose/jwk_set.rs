//! A set of keys (RFC 7517 section 5), read entry by entry: one odd key must not lose the rest.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Algorithm, KeyDialect, KeyFault, VerificationKey, pem, strict_json};

/// The most keys that one source may have.
const MAX_KEYS: usize = 100;

/// Why a document is no key set at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum KeySetFault {
    #[error("body is empty")]
    Empty,
    #[error("body is HTML: is this a login page?")]
    Html,
    #[error("body is neither a JSON object with a \"keys\" list nor PEM")]
    NotAKeySet,
    #[error("more than 100 keys")]
    TooManyKeys,
}

/// An entry that is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedKey {
    /// Its kid, where it has a readable one.
    pub kid: Option<Box<str>>,
    /// Why.
    pub fault: KeyFault,
}

/// What one source's document holds.
#[derive(Debug, Default)]
pub struct ParsedKeys {
    /// The keys that can be used.
    pub usable: Vec<Arc<VerificationKey>>,
    /// Those that cannot.
    pub skipped: Vec<SkippedKey>,
}

impl ParsedKeys {
    /// Reads a JWK Set or a PEM file.
    pub fn parse(document: &[u8], dialect: KeyDialect) -> Result<Self, KeySetFault> {
        #[derive(Deserialize)]
        struct Set<'a> {
            #[serde(borrow)]
            keys: Vec<&'a RawValue>,
        }
        let text = str::from_utf8(document)
            .map_err(|_| KeySetFault::NotAKeySet)?
            .trim_start_matches('\u{feff}')
            .trim();
        if text.is_empty() {
            return Err(KeySetFault::Empty);
        }
        if text.starts_with('<') {
            return Err(KeySetFault::Html);
        }
        let mut parsed = Self::default();
        if text.starts_with('{') {
            let set: Set<'_> = serde_json::from_str(text).map_err(|_| KeySetFault::NotAKeySet)?;
            if set.keys.len() > MAX_KEYS {
                return Err(KeySetFault::TooManyKeys);
            }
            for entry in set.keys {
                parsed.add_jwk(entry.get(), dialect);
            }
        } else {
            let keys = pem::keys(text).ok_or(KeySetFault::NotAKeySet)?;
            if keys.len() > MAX_KEYS {
                return Err(KeySetFault::TooManyKeys);
            }
            for key in keys {
                parsed.add(key, None);
            }
        }
        parsed.drop_ambiguous();
        Ok(parsed)
    }

    fn add_jwk(&mut self, entry: &str, dialect: KeyDialect) {
        let Some(members) = strict_json::object(entry.as_bytes()) else {
            self.skipped.push(SkippedKey { kid: None, fault: KeyFault::Malformed });
            return;
        };
        let kid = members.get("kid").and_then(serde_json::Value::as_str);
        self.add(VerificationKey::from_jwk(&members, dialect), kid);
    }

    fn add(&mut self, key: Result<VerificationKey, KeyFault>, kid: Option<&str>) {
        match key {
            Ok(key) => self.usable.push(Arc::new(key)),
            Err(fault) => {
                let kid = kid.map(|kid| kid.chars().take(64).collect::<String>().into());
                self.skipped.push(SkippedKey { kid, fault });
            }
        }
    }

    /// Two keys of one set with the same kid, for the same algorithm: nobody can say which is
    /// meant, so neither is. The same key twice is one key.
    fn drop_ambiguous(&mut self) {
        let clash = |a: &VerificationKey, b: &VerificationKey| {
            let same_name = a.kid().is_some() && a.kid() == b.kid();
            same_name
                && !a.algorithms().intersection(b.algorithms()).is_empty()
                && a.material() != b.material()
        };
        let ambiguous: Vec<bool> =
            self.usable.iter().map(|key| self.usable.iter().any(|other| clash(key, other))).collect();
        let mut keep = ambiguous.iter().map(|ambiguous| !ambiguous);
        let mut dropped = Vec::new();
        self.usable.retain(|key| {
            let kept = keep.next().unwrap_or(true);
            if !kept {
                dropped.push(SkippedKey { kid: key.kid().map(Into::into), fault: KeyFault::DuplicateKeyId });
            }
            kept
        });
        self.skipped.append(&mut dropped);
    }
}

/// The keys of one issuer entry: the union of its sources.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<Arc<VerificationKey>>,
}

/// Which keys of an entry may have signed a token.
#[derive(Debug)]
pub enum KeyChoice<'k> {
    /// These have the token's kid and fit its algorithm. More than one only where several sources
    /// of the entry use the same kid.
    Named(Vec<&'k VerificationKey>),
    /// No key has the token's kid; these have none of their own and fit its algorithm.
    Unnamed(Vec<&'k VerificationKey>),
    /// The token has no kid and exactly this key fits its algorithm.
    Only(&'k VerificationKey),
    /// A key has the token's kid and may not verify its algorithm.
    WrongAlgorithm,
    /// No key has the token's kid.
    UnknownKid,
    /// The token has no kid and none or several keys fit its algorithm (RFC 8725 section 3.1:
    /// trying them all is not a choice).
    NoKid,
}

impl KeySet {
    /// A set of these keys.
    pub fn new(keys: Vec<Arc<VerificationKey>>) -> Self {
        Self { keys }
    }

    /// The keys in it.
    pub fn keys(&self) -> &[Arc<VerificationKey>] {
        &self.keys
    }

    /// Chooses by kid, byte for byte, and algorithm.
    pub fn choose(&self, kid: Option<&str>, algorithm: Algorithm) -> KeyChoice<'_> {
        let fits = |key: &&VerificationKey| key.algorithms().contains(algorithm);
        let keys = || self.keys.iter().map(Arc::as_ref);
        let Some(kid) = kid else {
            let mut fitting = keys().filter(fits);
            let Some(first) = fitting.next() else { return KeyChoice::NoKid };
            let same = fitting.all(|other| other.material() == first.material());
            return if same { KeyChoice::Only(first) } else { KeyChoice::NoKid };
        };
        let named: Vec<_> = keys().filter(|key| key.kid() == Some(kid)).collect();
        if !named.is_empty() {
            let fitting: Vec<_> = named.into_iter().filter(fits).collect();
            return if fitting.is_empty() { KeyChoice::WrongAlgorithm } else { KeyChoice::Named(fitting) };
        }
        let unnamed: Vec<_> = keys().filter(|key| key.answers_any_kid()).filter(fits).collect();
        if unnamed.is_empty() { KeyChoice::UnknownKid } else { KeyChoice::Unnamed(unnamed) }
    }
}

#[cfg(test)]
mod tests;
