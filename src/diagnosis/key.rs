//! Tokens without a key, and signatures that no key made.

use std::fmt;

use super::text::{Detail, Plain, Quoted, Span, Words, near_miss};
use crate::jose::{Algorithm, AlgorithmSet, Header, KeyFamily, KeySet, VerificationKey};
use crate::trust::TrustedIssuer;

/// The most sources that are named.
const MAX_SOURCES: usize = 4;

/// The state of a source of an entry's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSummary {
    /// Its URL, without anything secret.
    pub name: String,
    /// How many usable keys it has.
    pub keys: usize,
    /// How many seconds ago it was last fetched.
    pub age: Option<u64>,
    /// Why the last attempt failed, if it did.
    pub failure: Option<String>,
}

pub(super) fn algorithm(found: Algorithm, entry: &TrustedIssuer) -> Detail {
    let allowed = algorithms(entry.algorithms);
    Detail::of(format_args!("alg: {found}, allowed {allowed} (entry {})", entry.name))
}

/// A key has the token's `kid` but is for other algorithms.
pub(super) fn wrong_kind(header: &Header, keys: Option<&KeySet>) -> Detail {
    let kid = header.kid.as_deref().unwrap_or_default();
    let mut detail = Detail::of(format_args!("alg: {}", header.algorithm));
    let named = keys.and_then(|keys| keys.keys().iter().find(|key| key.kid() == Some(kid)));
    if let Some(key) = named {
        let accepted = algorithms(key.algorithms());
        detail.add(format_args!(", but the key with kid {} is for {accepted}", Quoted(kid)));
    }
    detail
}

/// Why no key is chosen. [`name_sources`] completes the text.
pub(super) fn unknown(header: &Header, keys: Option<&KeySet>) -> Detail {
    let algorithm = header.algorithm;
    let all = keys.map(KeySet::keys).unwrap_or_default();
    let Some(kid) = header.kid.as_deref() else {
        return match all.iter().filter(|key| key.algorithms().contains(algorithm)).count() {
            0 => Detail::of(format_args!("kid: token has none, and no key for {algorithm} is in")),
            fit => Detail::of(format_args!("kid: token has none, and {fit} keys for {algorithm} are in")),
        };
    };
    let mut detail = Detail::of(format_args!("kid: {}", Quoted(kid)));
    let near = all.iter().find_map(|key| Some((key.kid()?, near_miss(kid, key.kid()?)?)));
    if let Some((other, difference)) = near {
        detail.add(format_args!(" (differs from {} only by {difference})", Quoted(other)));
    }
    // Such keys were tried, whatever the `kid`.
    let tried = keys.map_or(0, |keys| keys.for_any_kid(algorithm).len());
    match tried {
        0 => detail.add(format_args!(" is not in")),
        tried => {
            let tried = Keys(tried);
            detail.add(format_args!(
                " is unknown, and the signature was not made with the {tried} without kid;"
            ));
            detail.add(format_args!(" looked in"));
        }
    }
    detail
}

/// The entry has no keys. [`name_sources`] completes the text.
pub(super) fn none(entry: &TrustedIssuer) -> Detail {
    Detail::of(format_args!("no keys of entry {}:", entry.name))
}

/// The key or keys that were tried did not make the signature. Does not choose the keys again, which would be one more
/// allocation for each forged token.
pub(super) fn signature(header: &Header, keys: Option<&KeySet>) -> Detail {
    let algorithm = header.algorithm;
    let mut detail = Detail::of(format_args!("signature: {algorithm}, but it was not made with"));
    let kid = header.kid.as_deref();
    let all = keys.map(KeySet::keys).unwrap_or_default().iter().map(AsRef::as_ref);
    let fitting = all.filter(|key: &&VerificationKey| key.algorithms().contains(algorithm));
    let by_certificate = |key: &VerificationKey| key.thumbprints().name_same(&header.thumbprints);
    if let Some(key) = fitting.clone().find(|key| by_certificate(key)) {
        let (kty, bits) = (key.kty(), key.bits());
        detail.add(format_args!(" the key of the certificate that its x5t names ({kty}, {bits} bits)"));
        return detail;
    }
    let mut tried = fitting.filter(|key| kid.is_none_or(|kid| key.kid() == Some(kid)));
    match (tried.next(), kid) {
        (Some(key), _) if key.family() == KeyFamily::Hmac => detail.add(format_args!(" the shared secret")),
        (Some(key), None) => {
            let (kty, bits) = (key.kty(), key.bits());
            detail.add(format_args!(" the only key for it ({kty}, {bits} bits)"));
        }
        (Some(key), Some(kid)) => {
            let (kty, bits, kid) = (key.kty(), key.bits(), Quoted(kid));
            match tried.count() {
                0 => detail.add(format_args!(" the key with kid {kid} ({kty}, {bits} bits)")),
                more => detail.add(format_args!(" any of the {} keys with kid {kid}", more + 1)),
            }
        }
        (None, _) => detail.add(format_args!(" a key of the entry")),
    }
    detail
}

/// Completes a text about a missing key with the sources of the entry's keys: how many keys each has, and how old they
/// are. Without sources, `count` keys are the entry's.
pub fn name_sources(detail: &mut Detail, sources: &[SourceSummary], entry: &str, count: usize) {
    if sources.is_empty() {
        return match count {
            0 => detail.add(format_args!(" none has been fetched")),
            count => detail.add(format_args!(" the {} of entry {entry}", Keys(count))),
        };
    }
    for (at, source) in sources.iter().take(MAX_SOURCES).enumerate() {
        let separator = if at > 0 { "," } else { "" };
        match source.keys {
            0 => detail.add(format_args!("{separator} {} has none", Plain(&source.name))),
            keys => detail.add(format_args!("{separator} the {} of {}", Keys(keys), Plain(&source.name))),
        }
        if let Some(age) = source.age {
            detail.add(format_args!(", fetched {} ago", Span(age)));
        }
        if let Some(failure) = &source.failure {
            detail.add(format_args!(" (the last fetch failed: {})", Plain(failure)));
        }
    }
    match sources.len().saturating_sub(MAX_SOURCES) {
        0 => {}
        more => detail.add(format_args!(", and {more} more sources")),
    }
}

/// A number of keys.
struct Keys(usize);

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, if self.0 == 1 { "key" } else { "keys" })
    }
}

fn algorithms(all: AlgorithmSet) -> Words<impl Iterator<Item = &'static str> + Clone> {
    Words(all.iter().map(Algorithm::name))
}
