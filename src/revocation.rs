//! The revocation list: tokens that verify but must no longer be accepted.
//!
//! A [`Revocations`] is an immutable value; a new list is a new value. It is checked on every request, also for
//! tokens that come from the cache. An entry names a token, a subject or a key ([`RevokedBy`]) and may be limited
//! to an issuer or to tokens issued before a time.
//!
//! A lookup takes the same time whatever the length of the list, and a list takes little more memory than its values.

use std::collections::HashMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretSlice};

use crate::claims::{RevocableAs, VerifiedToken};
use crate::digest::sha256_of_parts;
use crate::jose::{Algorithm, Fingerprint};
use crate::numeric_date::NumericDate;

mod lists;
mod table;

pub use lists::{RevocationLists, Unavailable};

use table::{ANY_ISSUER, Table};

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

    /// The position in [`Self::ALL`].
    const fn index(self) -> usize {
        match self {
            Self::Id => 0,
            Self::Fingerprint => 1,
            Self::Subject => 2,
            Self::Key => 3,
            Self::DatahubTokenHash => 4,
        }
    }

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

    /// How it identifies tokens.
    pub const fn by(&self) -> RevokedBy {
        self.by
    }

    /// The value that they must have.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The issuer that it is limited to.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// The time before which they must have been issued.
    pub const fn before(&self) -> Option<NumericDate> {
        self.issued_before
    }

    /// Limits the entry to tokens of this issuer: see [`VerifiedToken::is_from`].
    pub fn of_issuer(self, issuer: Option<Box<str>>) -> Self {
        Self { issuer, ..self }
    }

    /// Limits the entry to tokens whose `iat` is before this time, or that have none.
    pub fn issued_before(self, time: Option<NumericDate>) -> Self {
        Self { issued_before: time, ..self }
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

/// What somebody wrote about an entry, for operators.
#[derive(Clone, Copy, Debug, Default)]
pub struct Remark<'r> {
    /// When the entry ends.
    pub until: Option<NumericDate>,
    /// A note. Only its first 64 characters are kept.
    pub note: Option<&'r str>,
}

/// The entry that revokes a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// How it identifies the token.
    pub by: RevokedBy,
    /// The value that it names, as it is in the list.
    pub value: Box<str>,
    /// When it ends.
    pub until: Option<NumericDate>,
    /// What somebody noted about it.
    pub note: Option<Box<str>>,
}

/// A whole list.
#[derive(Clone, Default)]
pub struct Revocations {
    /// In the order of [`RevokedBy::ALL`].
    tables: [Table; RevokedBy::ALL.len()],
    /// The issuers that entries are limited to, with their numbers in the tables.
    issuers: HashMap<Box<str>, u32>,
    /// The lengths of the fingerprints. Entries have as many digits as their author liked.
    lengths: Vec<usize>,
    salt: Option<SecretSlice<u8>>,
}

/// A list has room for four billion entries and four gigabytes of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the list is too long")]
pub struct ListTooLong;

impl Revocations {
    /// A list without entries. `salt` is what DataHub appends to a token before hashing it.
    pub fn with_salt(salt: Option<SecretSlice<u8>>) -> Self {
        Self { salt, ..Self::default() }
    }

    /// A list of these entries. `salt` is what DataHub appends to a token before hashing it.
    ///
    /// # Errors
    /// There are too many.
    pub fn new(
        list: impl IntoIterator<Item = Revocation>,
        salt: Option<SecretSlice<u8>>,
    ) -> Result<Self, ListTooLong> {
        let mut revocations = Self::with_salt(salt);
        for entry in list {
            revocations.add(&entry, Remark::default())?;
        }
        Ok(revocations)
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// There are too many.
    pub fn add(&mut self, entry: &Revocation, remark: Remark<'_>) -> Result<(), ListTooLong> {
        let issuer = match &entry.issuer {
            None => ANY_ISSUER,
            Some(name) => self.number(name)?,
        };
        if entry.by == RevokedBy::Fingerprint && !self.lengths.contains(&entry.value.len()) {
            self.lengths.push(entry.value.len());
        }
        let Some(table) = self.tables.get_mut(entry.by.index()) else { return Err(ListTooLong) };
        table.add(entry.value.as_bytes(), issuer, entry.issued_before, remark).ok_or(ListTooLong)
    }

    /// Returns memory that further entries would need.
    #[must_use]
    pub fn complete(mut self) -> Self {
        self.tables.iter_mut().for_each(Table::shrink);
        self
    }

    /// The number of an issuer. [`ANY_ISSUER`] is none's.
    fn number(&mut self, issuer: &str) -> Result<u32, ListTooLong> {
        if let Some(number) = self.issuers.get(issuer) {
            return Ok(*number);
        }
        let number = u32::try_from(self.issuers.len() + 1).map_err(|_| ListTooLong)?;
        self.issuers.insert(issuer.into(), number);
        Ok(number)
    }

    /// The entry that revokes this token, if one does: itself, or the token that it was issued for. `text` is the token as
    /// it was received.
    pub fn find(&self, token: &VerifiedToken, text: impl AsRef<[u8]>) -> Option<Box<Revoked>> {
        let mut tables = RevokedBy::ALL.into_iter().zip(&self.tables).filter(|(_, table)| table.count > 0);
        tables.find_map(|(by, table)| {
            let find = |token: RevocableAs<'_>| self.find_in(table, by, token, text.as_ref());
            let entry = token.revocable_as().find_map(find);
            entry.map(|entry| Box::new(table.revoked(by, entry)))
        })
    }

    fn find_in(&self, table: &Table, by: RevokedBy, token: RevocableAs<'_>, text: &[u8]) -> Option<usize> {
        let named = |name: &str| self.issuers.get(name).copied();
        // The issuers whose entries are about this token.
        let [entry, iss] = if self.issuers.is_empty() { [None, None] } else { token.issuers() };
        let issuers = [Some(ANY_ISSUER), entry.and_then(named), iss.and_then(named)];
        let find = |value: &str| {
            let find = |issuer| table.find(value.as_bytes(), issuer, token.issued_at());
            issuers.into_iter().flatten().find_map(find)
        };
        match by {
            RevokedBy::Id => token.id().and_then(find),
            RevokedBy::Subject => token.subject().and_then(find),
            RevokedBy::Key => token.key_ids().find_map(find),
            RevokedBy::Fingerprint => {
                let full = token.fingerprint();
                self.lengths.iter().filter_map(|length| full.get(..*length)).find_map(find)
            }
            // DataHub signs only with HS256, which is deterministic, so a token has only one text. Its own tokens are not
            // exchanged, so none was issued for one.
            RevokedBy::DatahubTokenHash => match token {
                RevocableAs::Itself(token) if token.algorithm() == Algorithm::HS256 => {
                    find(&self.datahub_token_hash(text))
                }
                RevocableAs::Itself(_) | RevocableAs::Origin(..) => None,
            },
        }
    }

    /// The number of entries of one kind.
    pub fn count(&self, by: RevokedBy) -> usize {
        self.tables.get(by.index()).map_or(0, |table| table.count)
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
        self.issuers.keys().map(AsRef::as_ref)
    }

    fn datahub_token_hash(&self, text: &[u8]) -> String {
        let salt = self.salt.as_ref().map(|salt| salt.expose_secret()).unwrap_or_default();
        STANDARD.encode(sha256_of_parts([text, salt]))
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
