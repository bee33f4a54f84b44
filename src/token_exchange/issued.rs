//! Tokens that metagate's token endpoint issues in exchange for one that an entry takes, and what becomes of them later.
//!
//! 1. [`TokenExchange::issue`] says what a token for a mapped one has in it: whose it is, and the claims that the entry
//!    asks for. It has no role, no scope and no name of a user.
//! 2. [`TokenExchange::map_issued`] maps it when it is used, by the entry of that name in the configuration in force. The
//!    entry must still accept tokens of that issuer, that subject and those claims, and issue tokens. So the user is
//!    always the one of the configuration, and a change of the entry is about tokens that were issued before, too.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{ClaimValue, ExchangeEntry, TokenExchange};
use crate::claims::{MAX_NAME_BYTES, MappedUser, Mapping, Origin, VerifiedToken};
use crate::jose::{JsonMembers, JsonValue};
use crate::numeric_date::NumericDate;

/// The shortest life of an issued token.
pub const MIN_TOKEN_LIFETIME: Duration = Duration::from_secs(60);
/// The longest life of an issued token: longer than a job in CI runs.
pub const MAX_TOKEN_LIFETIME: Duration = Duration::from_secs(6 * 3600);

/// The claim with the name of the entry.
const ENTRY: &str = "exchange";
/// The claim with what is kept of the exchanged token.
const ORIGIN: &str = "origin";

/// An entry whose tokens may be exchanged at the token endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuance {
    /// The name of the entry.
    pub entry: Box<str>,
    /// How long an issued token lives.
    pub lifetime: Duration,
    /// The values of `iss` that the entry's issuer binds.
    pub issuers: Vec<Box<str>>,
}

/// What to issue for a token.
#[derive(Debug)]
pub struct TokenGrant<'t> {
    /// The `sub` of the issued token, which is that of the exchanged one.
    pub subject: &'t str,
    /// How long it lives.
    pub lifetime: Duration,
    /// Further claims.
    pub claims: [(&'static str, Value); 2],
}

/// Why nothing is issued for a mapped token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotIssued {
    /// It is itself a token that metagate issued.
    IssuedBefore,
    /// No entry takes it.
    Unmapped,
    /// The entry has no `tokenLifetime`.
    OnlyInline,
    /// It has no `sub`, or one that is too long to be a name.
    NoSubject,
}

/// Why an issued token has no user any more.
#[derive(Clone, Copy, Debug)]
pub enum Outdated<'e> {
    /// It does not say which entry it was issued by, or for which token.
    Malformed,
    /// There is no entry of that name.
    NoEntry,
    /// The entry has no `tokenLifetime`.
    NotIssuing(&'e ExchangeEntry),
    /// The entry's issuer has another `iss`.
    Issuer(&'e ExchangeEntry),
    /// The entry does not name its subject.
    Subject(&'e ExchangeEntry),
    /// The entry asks for a claim that was another one, or was not asked for when the token was issued.
    Claim(&'e ExchangeEntry, &'e str),
}

impl TokenExchange {
    /// The same, with the entries whose tokens may be exchanged at the token endpoint.
    #[must_use]
    pub fn with_issuance(self, issuance: Vec<Issuance>) -> Self {
        Self { issuance, ..self }
    }

    /// Whether there is anything to do for a token endpoint.
    pub fn issues(&self) -> bool {
        !self.issuance.is_empty()
    }

    /// What is issued for tokens of the entry with this name, if anything is.
    pub fn issuance(&self, entry: &str) -> Option<&Issuance> {
        self.issuance.iter().find(|issuance| *issuance.entry == *entry)
    }

    /// What to issue for a token that was verified and mapped.
    ///
    /// # Errors
    /// Why nothing is issued for it.
    pub fn issue<'t>(&self, token: &'t VerifiedToken) -> Result<TokenGrant<'t>, NotIssued> {
        if token.issued().is_some() {
            return Err(NotIssued::IssuedBefore);
        }
        let user = token.mapped_user().ok_or(NotIssued::Unmapped)?;
        let issuance = self.issuance(&user.entry).ok_or(NotIssued::OnlyInline)?;
        let entry = self.entry(&user.entry).ok_or(NotIssued::Unmapped)?;
        let is_name = |subject: &&str| (1..=MAX_NAME_BYTES).contains(&subject.len());
        let subject = token.subject().filter(is_name).ok_or(NotIssued::NoSubject)?;
        let origin = Origin::of(token).ok_or(NotIssued::Unmapped)?;
        let origin = written(&origin, entry.met_claims(token));
        let claims = [(ENTRY, Value::from(&*user.entry)), (ORIGIN, origin)];
        Ok(TokenGrant { subject, lifetime: issuance.lifetime, claims })
    }

    /// Maps a token that was issued at the token endpoint.
    pub(super) fn map_issued(&self, token: VerifiedToken) -> VerifiedToken {
        match self.user_of_issued(&token) {
            Ok((entry, origin)) => {
                let user: Arc<MappedUser> = entry.user.clone();
                token.derived_from(&entry.issuer, origin).mapped(Mapping::User(user))
            }
            Err(_) => token.mapped(Mapping::Missing),
        }
    }

    /// The entry that an issued token was issued by, and the token that it was issued for.
    ///
    /// # Errors
    /// Why it has no user.
    pub fn user_of_issued(&self, token: &VerifiedToken) -> Result<(&ExchangeEntry, Origin), Outdated<'_>> {
        let claims = token.claims();
        let name = claims.get(ENTRY).and_then(JsonValue::as_str).ok_or(Outdated::Malformed)?;
        let Some(JsonValue::Object(members)) = claims.get(ORIGIN) else { return Err(Outdated::Malformed) };
        let origin = read(members).ok_or(Outdated::Malformed)?;
        let subject = claims.get("sub").and_then(JsonValue::as_str).ok_or(Outdated::Malformed)?;
        let entry = self.entry(name).ok_or(Outdated::NoEntry)?;
        let issuance = self.issuance(name).ok_or(Outdated::NotIssuing(entry))?;
        if !issuance.issuers.contains(&origin.issuer) {
            return Err(Outdated::Issuer(entry));
        }
        if !entry.names_subject(Some(subject)) {
            return Err(Outdated::Subject(entry));
        }
        let Some(JsonValue::Object(kept)) = members.get("claims") else { return Err(Outdated::Malformed) };
        for (path, values) in &entry.claims {
            let is_met =
                kept.get(path.as_str()).is_some_and(|kept| values.iter().any(|value| value.is(kept)));
            if !is_met {
                return Err(Outdated::Claim(entry, path.as_str()));
            }
        }
        Ok((entry, origin))
    }

    /// The entry with this name.
    fn entry(&self, name: &str) -> Option<&ExchangeEntry> {
        self.entries.iter().find(|entry| *entry.user.entry == *name)
    }
}

impl ExchangeEntry {
    /// The claims that the entry asks for, each with the accepted value that the token has. Nothing else of a claim that is
    /// a list.
    fn met_claims(&self, token: &VerifiedToken) -> Map<String, Value> {
        let met = self.claims.iter().filter_map(|(path, values)| {
            let claim = path.find(token.claims())?;
            let value = values.iter().find(|value| value.is(claim))?;
            Some((path.as_str().to_owned(), value.to_json()))
        });
        met.collect()
    }
}

impl ClaimValue {
    fn to_json(&self) -> Value {
        match self {
            Self::String(text) => Value::from(&**text),
            Self::Bool(value) => Value::from(*value),
            Self::Number(number) => Value::Number(number.clone()),
        }
    }
}

/// What is kept of an exchanged token.
fn written(origin: &Origin, claims: Map<String, Value>) -> Value {
    let Origin { issuer, id, key_ids, fingerprint, issued_at } = origin;
    let mut members = Map::new();
    members.insert("iss".to_owned(), Value::from(&**issuer));
    if let Some(id) = id {
        members.insert("jti".to_owned(), Value::from(&**id));
    }
    if let Some(at) = issued_at {
        members.insert("iat".to_owned(), Value::from(at.as_secs()));
    }
    members.insert("kids".to_owned(), key_ids.iter().map(|id| &**id).collect());
    members.insert("fingerprint".to_owned(), Value::from(&**fingerprint));
    members.insert("claims".to_owned(), Value::Object(claims));
    Value::Object(members)
}

/// The same, read again; `None` if it is not what [`written`] writes.
fn read(members: JsonMembers<'_>) -> Option<Origin> {
    let text = |name: &str| members.get(name).and_then(JsonValue::as_str);
    let Some(JsonValue::Array(key_ids)) = members.get("kids") else { return None };
    let key_ids = key_ids.iter().map(|id| id.as_str().map(Into::into)).collect::<Option<_>>()?;
    let issued_at = match members.get("iat") {
        None => None,
        Some(JsonValue::Number(number)) => Some(NumericDate::from_number(number)?),
        Some(_) => return None,
    };
    let id = match members.get("jti") {
        None => None,
        Some(id) => Some(id.as_str()?.into()),
    };
    Some(Origin {
        issuer: text("iss")?.into(),
        id,
        key_ids,
        fingerprint: text("fingerprint")?.into(),
        issued_at,
    })
}

#[cfg(test)]
mod tests;
