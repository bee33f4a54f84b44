//! Key sets (RFC 7517 section 5). Each entry is read separately, so an unusable key does not affect the others.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Algorithm, JsonObject, JsonValue, KeyDialect, KeyFault, VerificationKey, pem};

/// The most keys of one source.
const MAX_KEYS: usize = 100;

/// Why a document is not a key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum KeySetFault {
    #[error("body is empty")]
    Empty,
    #[error("body is HTML: is this a login page?")]
    Html,
    #[error("body is neither a JSON object with a \"keys\" list nor PEM")]
    NotAKeySet,
    #[error("body is XML and not a JWK Set: SAML metadata has certificates for SAML, and no keys for tokens")]
    Xml,
    #[error(
        "body is an OpenID Connect discovery document and not the keys: write its jwks_uri as the key URL, or leave \
         publicKeyUrls out of an issuer entry to have the keys discovered"
    )]
    DiscoveryDocument,
    #[error(
        "body is a map of certificates and not a JWK Set: write the provider's JWK Set URL (jwks_uri); Google's is \
         https://www.googleapis.com/oauth2/v3/certs"
    )]
    CertificateMap,
    #[error("body is a single key and not a JWK Set: put it into {{\"keys\": [...]}}")]
    SingleKey,
    #[error("more than 100 keys")]
    TooManyKeys,
}

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
            let xml =
                text.starts_with("<?xml") || text.get(..100).unwrap_or(text).contains("EntityDescriptor");
            return Err(if xml { KeySetFault::Xml } else { KeySetFault::Html });
        }
        let mut parsed = Self::default();
        if text.starts_with('{') {
            let set: Set<'_> = serde_json::from_str(text).map_err(|_| other_document(text))?;
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
        let Some(members) = JsonObject::parse(entry.as_bytes()) else {
            self.skipped.push(SkippedKey { kid: None, fault: KeyFault::Malformed });
            return;
        };
        let kid = members.get("kid").and_then(JsonValue::as_str);
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

    /// Drops different keys of one set that have the same `kid` and share an algorithm: a token's `kid` would not
    /// say which of them to use. A repeated key is kept.
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
            let keep = keep.next().unwrap_or(true);
            if !keep {
                dropped.push(SkippedKey { kid: key.kid().map(Into::into), fault: KeyFault::DuplicateKeyId });
            }
            keep
        });
        self.skipped.append(&mut dropped);
    }
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
    /// No key has the token's `kid`. These keys have no `kid` and may verify its algorithm.
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
        let unnamed: Vec<_> = keys().filter(|key| key.matches_any_kid()).filter(fits).collect();
        if unnamed.is_empty() { KeyChoice::UnknownKid } else { KeyChoice::Unnamed(unnamed) }
    }
}

/// What a JSON object without `keys` is.
fn other_document(text: &str) -> KeySetFault {
    let Some(members) = JsonObject::parse(text.as_bytes()) else { return KeySetFault::NotAKeySet };
    let text_of = |name| members.get(name).and_then(JsonValue::as_str);
    if members.get("keys").is_some() {
        KeySetFault::NotAKeySet
    } else if text_of("jwks_uri").is_some() {
        KeySetFault::DiscoveryDocument
    } else if text_of("kty").is_some() {
        KeySetFault::SingleKey
    } else if text.contains("-----BEGIN CERTIFICATE-----") {
        KeySetFault::CertificateMap
    } else {
        KeySetFault::NotAKeySet
    }
}

#[cfg(test)]
mod tests;
