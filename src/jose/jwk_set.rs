//! Key sets (RFC 7517 section 5). Each key is read separately, so an unusable one does not affect the others.

use std::collections::HashMap;
use std::sync::Arc;

use super::key_document::{KeyDocument, KeySetFault};
use super::{
    Algorithm, Header, JsonObject, JsonValue, KeyDialect, KeyFault, Thumbprints, VerificationKey, der, pem,
};

/// How many keys of one source are used, unless the configuration says otherwise.
pub const MAX_KEYS: usize = 100;

/// The longest `kid` of a map from key ids to PEM.
const MAX_KID_BYTES: usize = 256;

/// A key set entry that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedKey {
    /// Its `kid`, if it has a valid one.
    pub kid: Option<Box<str>>,
    /// Why it cannot be used.
    pub fault: KeyFault,
}

/// The keys in the document of one source.
#[derive(Debug, Default)]
pub struct ParsedKeys {
    /// The usable keys.
    pub usable: Vec<Arc<VerificationKey>>,
    /// The entries that cannot be used.
    pub skipped: Vec<SkippedKey>,
}

impl ParsedKeys {
    /// Reads a JWK Set, one JWK, PEM, a map from key ids to PEM, or DER, with at most [`MAX_KEYS`] keys.
    ///
    /// # Errors
    /// What else the document is.
    pub fn parse(document: &[u8], dialect: KeyDialect) -> Result<Self, KeySetFault> {
        Self::parse_at_most(MAX_KEYS, document, dialect)
    }

    /// The same with at most `max` keys: the first that can be used. Of those that cannot, as many are named.
    ///
    /// # Errors
    /// What else the document is.
    pub fn parse_at_most(max: usize, document: &[u8], dialect: KeyDialect) -> Result<Self, KeySetFault> {
        let mut parsed = Self::default();
        match KeyDocument::recognise(document)? {
            KeyDocument::Jwks(entries) => {
                parsed.add_all(max, entries.into_iter().map(|entry| jwk(entry, dialect)))
            }
            KeyDocument::Pem(text) => {
                let keys = pem::keys(text).into_iter().flatten();
                parsed.add_all(max, keys.map(|key| (None, key.map(VerificationKey::for_any_kid))));
            }
            KeyDocument::NamedPem(members) => {
                parsed.add_all(max, members.members().iter().flat_map(|(kid, text)| named(kid, text)));
            }
            KeyDocument::Der(der) => {
                parsed.add_all(
                    max,
                    [(
                        None,
                        der::any_form(der)
                            .and_then(VerificationKey::certified)
                            .map(VerificationKey::for_any_kid),
                    )]
                    .into_iter(),
                );
            }
        }
        parsed.drop_ambiguous();
        Ok(parsed)
    }

    fn add_all(&mut self, max: usize, entries: impl Iterator<Item = Entry>) {
        for (kid, key) in entries {
            // Of a source that is not ours, what is kept and logged is bounded.
            if self.usable.len() >= max || self.skipped.len() >= max {
                self.skip(kid, KeyFault::BeyondLimit);
                return;
            }
            match key {
                Ok(key) => self.usable.push(Arc::new(key)),
                Err(fault) => self.skip(kid, fault),
            }
        }
    }

    fn skip(&mut self, kid: Option<Box<str>>, fault: KeyFault) {
        let kid = kid.map(|kid| kid.chars().take(64).collect::<String>().into());
        self.skipped.push(SkippedKey { kid, fault });
    }

    /// Drops different keys of one set that have the same `kid` and share an algorithm: a token's `kid` would not
    /// say which of them to use. A repeated key is kept.
    fn drop_ambiguous(&mut self) {
        // The first key of each `kid` and algorithm, and whether there is another one.
        let mut seen: HashMap<(&str, Algorithm), (&[u8; 32], bool)> = HashMap::new();
        for key in &self.usable {
            let Some(kid) = key.kid() else { continue };
            for algorithm in key.algorithms().iter() {
                let (first, ambiguous) = seen.entry((kid, algorithm)).or_insert((key.material(), false));
                *ambiguous |= *first != key.material();
            }
        }
        let is_ambiguous = |key: &VerificationKey| {
            let Some(kid) = key.kid() else { return false };
            key.algorithms()
                .iter()
                .any(|algorithm| seen.get(&(kid, algorithm)).is_some_and(|(_, other)| *other))
        };
        let ambiguous: Vec<bool> = self.usable.iter().map(|key| is_ambiguous(key)).collect();
        let mut keep = ambiguous.iter().map(|ambiguous| !ambiguous);
        let mut dropped = Vec::new();
        self.usable.retain(|key| {
            let keep = keep.next().unwrap_or(true);
            if !keep {
                dropped.push(SkippedKey { kid: key.kid().map(Into::into), fault: KeyFault::DuplicateKeyId });
            }
            keep
        });
        self.skipped.append(&mut dropped);
    }
}

/// A key of a document, or why it cannot be used, and its `kid`.
type Entry = (Option<Box<str>>, Result<VerificationKey, KeyFault>);

fn jwk(entry: &str, dialect: KeyDialect) -> Entry {
    let Some(members) = JsonObject::parse(entry.as_bytes()) else { return (None, Err(KeyFault::Malformed)) };
    let kid = members.get("kid").and_then(JsonValue::as_str).map(Into::into);
    (kid, VerificationKey::from_jwk(&members, dialect))
}

/// The keys of one member of a map from key ids to PEM.
fn named(kid: &str, text: JsonValue<'_>) -> Vec<Entry> {
    let fits = kid.len() <= MAX_KID_BYTES;
    let keys = pem::keys(text.as_str().unwrap_or_default()).into_iter().flatten();
    let entry = |key: Result<VerificationKey, KeyFault>| {
        let key = if fits { key.and_then(|key| key.named(kid)) } else { Err(KeyFault::Malformed) };
        (Some(kid.into()), key)
    };
    keys.map(entry).collect()
}

/// The keys of one issuer entry: the union of its sources.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<Arc<VerificationKey>>,
}

/// The keys of an entry that may have signed a token.
#[derive(Debug)]
pub enum KeyChoice<'k> {
    /// These keys have the token's `kid` and may verify its algorithm. There is more than one only if several
    /// sources of the entry use the same `kid`.
    Named(Vec<&'k VerificationKey>),
    /// No key has the token's `kid`. These keys have no `kid` and may verify its algorithm: keys from PEM and shared
    /// secrets, or a single JWK.
    Unnamed(Vec<&'k VerificationKey>),
    /// The token has no `kid`, and only this key may verify its algorithm.
    Only(&'k VerificationKey),
    /// A key has the token's `kid` but may not verify its algorithm.
    WrongAlgorithm,
    /// No key has the token's `kid`.
    UnknownKid,
    /// The token has no `kid`, and no key or several keys may verify its algorithm. Several are not tried in turn
    /// (RFC 8725 section 3.1).
    NoKid,
}

impl KeySet {
    /// Creates a set of these keys.
    pub fn new(keys: Vec<Arc<VerificationKey>>) -> Self {
        Self { keys }
    }

    /// All keys of the set.
    pub fn keys(&self) -> &[Arc<VerificationKey>] {
        &self.keys
    }

    /// Selects keys for the header of a token: by its `kid`, or without one by the thumbprint of a certificate
    /// (RFC 7515 sections 4.1.7 and 4.1.8).
    ///
    /// The key itself never comes from the token. A thumbprint that no key has changes nothing.
    pub fn choose_for(&self, header: &Header) -> KeyChoice<'_> {
        let (kid, algorithm) = (header.kid.as_deref(), header.algorithm);
        if kid.is_none() && !header.thumbprints.is_empty() {
            let named: Vec<_> = self.with_thumbprints(&header.thumbprints, algorithm).collect();
            if !named.is_empty() {
                return KeyChoice::Named(named);
            }
        }
        self.choose(kid, algorithm)
    }

    /// The keys for this algorithm whose certificate is named by these thumbprints.
    pub fn with_thumbprints(
        &self,
        thumbprints: &Thumbprints,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &VerificationKey> {
        let keys = self.keys.iter().map(Arc::as_ref);
        let fits = move |key: &&VerificationKey| key.algorithms().contains(algorithm);
        keys.filter(fits).filter(move |key| key.thumbprints().name_same(thumbprints))
    }

    /// The keys that are tried for a token with a `kid` that no key has.
    ///
    /// Keys from PEM and shared secrets have no `kid`. A JWK without one is tried only if no other key of the entry may
    /// verify the algorithm: then there is nothing to choose, as for a token without a `kid`. Otherwise JWKs without a
    /// `kid` are not tried in turn (RFC 8725 section 3.1).
    pub fn for_any_kid(&self, algorithm: Algorithm) -> Vec<&VerificationKey> {
        let fits = |key: &&VerificationKey| key.algorithms().contains(algorithm);
        let fitting = || self.keys.iter().map(Arc::as_ref).filter(fits);
        let any: Vec<_> = fitting().filter(|key| key.matches_any_kid()).collect();
        match fitting().next() {
            Some(first) if any.is_empty() => {
                let only = fitting().all(|key| key.kid().is_none() && key.material() == first.material());
                if only { vec![first] } else { any }
            }
            _ => any,
        }
    }

    /// Selects keys by `kid`, compared byte for byte, and algorithm.
    pub fn choose(&self, kid: Option<&str>, algorithm: Algorithm) -> KeyChoice<'_> {
        let fits = |key: &&VerificationKey| key.algorithms().contains(algorithm);
        let keys = || self.keys.iter().map(Arc::as_ref);
        let Some(kid) = kid else {
            let mut fitting = keys().filter(fits);
            let Some(first) = fitting.next() else { return KeyChoice::NoKid };
            let same = fitting.all(|other| other.material() == first.material());
            return if same { KeyChoice::Only(first) } else { KeyChoice::NoKid };
        };
        let is_named = |key: &&VerificationKey| key.kid() == Some(kid);
        let named: Vec<_> = keys().filter(fits).filter(is_named).collect();
        if !named.is_empty() {
            return KeyChoice::Named(named);
        }
        if keys().any(|key| is_named(&key)) {
            return KeyChoice::WrongAlgorithm;
        }
        let unnamed = self.for_any_kid(algorithm);
        if unnamed.is_empty() { KeyChoice::UnknownKid } else { KeyChoice::Unnamed(unnamed) }
    }
}

#[cfg(test)]
mod tests;
