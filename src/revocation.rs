//! The revocation list: tokens that verify but must no longer be accepted.
//!
//! A [`Revocations`] is an immutable value; a new list is a new value. It is checked on every request, also for
//! tokens that come from the cache. An entry names a token, a subject or a key ([`RevokedBy`]) and may be limited
//! to an issuer or to tokens issued before a time.

use std::collections::HashMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretSlice};

use crate::claims::VerifiedToken;
use crate::digest::sha256_of_parts;
use crate::jose::{Algorithm, Fingerprint};
use crate::numeric_date::NumericDate;

/// How an entry of the list identifies tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RevokedBy {
    /// `jti`: this token.
    Id,
    /// The SHA-256 of the signing input: this token.
    Fingerprint,
    /// `sub`: the tokens of this subject.
    Subject,
    /// `kid`: the tokens that this key signed.
    Key,
    /// The hash under which DataHub stores a token: this token.
    DatahubTokenHash,
}

impl RevokedBy {
    /// Every kind, in the order in which they are checked.
    pub const ALL: [Self; 5] =
        [Self::Id, Self::Fingerprint, Self::Subject, Self::Key, Self::DatahubTokenHash];

    /// The key in the list, and the metric's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Id => "jti",
            Self::Fingerprint => "fingerprint",
            Self::Subject => "sub",
            Self::Key => "kid",
            Self::DatahubTokenHash => "datahubTokenHash",
        }
    }

    /// The text in the audit record.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::Id => "its jti is revoked",
            Self::Fingerprint => "its fingerprint is revoked",
            Self::Subject => "its subject is revoked",
            Self::Key => "its key is revoked",
            Self::DatahubTokenHash => "its DataHub token hash is revoked",
        }
    }
}

/// One entry of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    by: RevokedBy,
    value: Box<str>,
    issuer: Option<Box<str>>,
    issued_before: Option<NumericDate>,
}

impl Revocation {
    /// Parses an entry.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn new(by: RevokedBy, text: &str) -> Result<Self, &'static str> {
        let value = match by {
            RevokedBy::Id | RevokedBy::Subject | RevokedBy::Key if text.is_empty() => return Err("is empty"),
            RevokedBy::Id | RevokedBy::Subject | RevokedBy::Key => text.to_owned(),
            RevokedBy::Fingerprint => fingerprint(text)?,
            RevokedBy::DatahubTokenHash => datahub_token_hash(text)?,
        };
        Ok(Self { by, value: value.into(), issuer: None, issued_before: None })
    }

    /// Limits the entry to tokens of this issuer: see [`VerifiedToken::is_from`].
    pub fn of_issuer(self, issuer: Option<Box<str>>) -> Self {
        Self { issuer, ..self }
    }

    /// Limits the entry to tokens whose `iat` is before this time, or that have none.
    pub fn issued_before(self, time: Option<NumericDate>) -> Self {
        Self { issued_before: time, ..self }
    }

    fn is_about(&self, token: &VerifiedToken) -> bool {
        let early = |time| token.issued_at().is_none_or(|issued| issued < time);
        self.issuer.as_deref().is_none_or(|name| token.is_from(name)) && self.issued_before.is_none_or(early)
    }
}

fn fingerprint(text: &str) -> Result<String, &'static str> {
    let long_enough = (Fingerprint::SHORT_DIGITS..=64).contains(&text.len());
    if long_enough && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("is not 16 to 64 hex digits of the SHA-256 of a token's signing input")
    }
}

fn datahub_token_hash(text: &str) -> Result<String, &'static str> {
    let text = text.strip_prefix("urn:li:dataHubAccessToken:").unwrap_or(text);
    match STANDARD.decode(text) {
        Ok(bytes) if bytes.len() == 32 => Ok(text.to_owned()),
        _ => Err("is not the Base64 of a SHA-256, as DataHub lists it"),
    }
}

/// A whole list.
#[derive(Default)]
pub struct Revocations {
    /// By kind, and then by value; fingerprints by their first digits.
    entries: HashMap<RevokedBy, HashMap<Box<str>, Vec<Revocation>>>,
    salt: Option<SecretSlice<u8>>,
}

impl Revocations {
    /// A list of these entries. `salt` is what DataHub appends to a token before hashing it.
    pub fn new(list: impl IntoIterator<Item = Revocation>, salt: Option<SecretSlice<u8>>) -> Self {
        let mut entries: HashMap<_, HashMap<Box<str>, Vec<_>>> = HashMap::new();
        for entry in list {
            let key = match entry.by {
                RevokedBy::Fingerprint => entry.value[..Fingerprint::SHORT_DIGITS].into(),
                _ => entry.value.clone(),
            };
            entries.entry(entry.by).or_default().entry(key).or_default().push(entry);
        }
        Self { entries, salt }
    }

    /// How this token is revoked, if it is. `text` is the token as it was received.
    pub fn find(&self, token: &VerifiedToken, text: &str) -> Option<RevokedBy> {
        if self.entries.is_empty() {
            return None;
        }
        RevokedBy::ALL.into_iter().find(|by| {
            let Some(entries) = self.entries.get(by) else { return false };
            let holds = |value: &str| {
                entries.get(value).is_some_and(|found| found.iter().any(|entry| entry.is_about(token)))
            };
            match by {
                RevokedBy::Id => token.id().is_some_and(holds),
                RevokedBy::Subject => token.subject().is_some_and(holds),
                RevokedBy::Key => token.key_ids().any(holds),
                RevokedBy::Fingerprint => {
                    let full = token.fingerprint().full();
                    entries.get(token.fingerprint().short()).is_some_and(|found| {
                        found.iter().any(|entry| full.starts_with(&*entry.value) && entry.is_about(token))
                    })
                }
                // DataHub signs only with HS256, which is deterministic, so a token has only one text.
                RevokedBy::DatahubTokenHash => {
                    token.algorithm() == Algorithm::HS256 && holds(&self.datahub_token_hash(text))
                }
            }
        })
    }

    /// The number of entries of one kind.
    pub fn count(&self, by: RevokedBy) -> usize {
        self.entries.get(&by).map_or(0, |entries| entries.values().map(Vec::len).sum())
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        RevokedBy::ALL.into_iter().map(|by| self.count(by)).sum()
    }

    /// Whether the list has no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The issuers that entries are limited to.
    pub fn issuers(&self) -> impl Iterator<Item = &str> {
        self.entries.values().flat_map(HashMap::values).flatten().filter_map(|entry| entry.issuer.as_deref())
    }

    fn datahub_token_hash(&self, text: &str) -> String {
        let salt = self.salt.as_ref().map(|salt| salt.expose_secret()).unwrap_or_default();
        STANDARD.encode(sha256_of_parts([text.as_bytes(), salt]))
    }
}

/// Omits the entries, because there may be many and they name people.
impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocations").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
