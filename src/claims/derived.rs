//! Tokens that metagate issued in exchange for another one: whose they are.
//!
//! Such a token speaks for the identity that was verified when it was issued. So its issuer is the one of that identity,
//! in rules, audit records and metrics: a rule about an issuer cannot be evaded by exchanging its tokens first. Only the
//! revocation list looks at both tokens.

use super::VerifiedToken;
use crate::jose::Fingerprint;
use crate::numeric_date::NumericDate;

/// The token that another one was issued for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its `iss`.
    pub issuer: Box<str>,
    /// Its `jti`.
    pub id: Option<Box<str>>,
    /// The ids of its key: the one in its header, and that of the key that verified it.
    pub key_ids: Vec<Box<str>>,
    /// All 64 digits of its fingerprint.
    pub fingerprint: Box<str>,
    /// Its `iat`.
    pub issued_at: Option<NumericDate>,
}

/// What a token that was issued for another one has in addition.
#[derive(Debug)]
pub(super) struct Derived {
    origin: Origin,
    /// The entry that verified the issued token.
    entry: Box<str>,
    /// The issued token's own `iss`.
    issuer: Option<Box<str>>,
}

/// What identifies a token to a revocation list.
#[derive(Clone, Copy, Debug)]
pub enum RevocableAs<'t> {
    /// By what the token itself says.
    Itself(&'t VerifiedToken),
    /// By the token that it was issued for, whose subject is the same.
    Origin(&'t VerifiedToken, &'t Origin),
}

impl VerifiedToken {
    /// The token as one of the identity of `origin`, whose tokens the issuer entry `entry` verifies.
    #[must_use]
    pub fn derived_from(self, entry: &str, origin: Origin) -> Self {
        let derived = Derived { entry: self.entry, issuer: self.issuer, origin };
        Self {
            entry: entry.into(),
            issuer: Some(derived.origin.issuer.clone()),
            derived: Some(Box::new(derived)),
            ..self
        }
    }

    /// The name of the issuer entry whose key verified it: for a token that was issued for another one, not that of the
    /// identity.
    pub fn verified_by(&self) -> &str {
        self.derived.as_ref().map_or(&self.entry, |derived| &derived.entry)
    }

    /// The token that it was issued for, if it was for one.
    pub fn origin(&self) -> Option<&Origin> {
        self.derived.as_ref().map(|derived| &derived.origin)
    }

    /// Everything by which it may be revoked.
    pub fn revocable_as(&self) -> impl Iterator<Item = RevocableAs<'_>> {
        let origin = self.origin().map(|origin| RevocableAs::Origin(self, origin));
        std::iter::once(RevocableAs::Itself(self)).chain(origin)
    }
}

impl<'t> RevocableAs<'t> {
    fn token(self) -> &'t VerifiedToken {
        match self {
            Self::Itself(token) | Self::Origin(token, _) => token,
        }
    }

    /// The names of its issuer, by which an entry of the list may be limited: that of its issuer entry, and its `iss` if
    /// the entry binds it.
    pub fn issuers(self) -> [Option<&'t str>; 2] {
        let token = self.token();
        match (self, &token.derived) {
            (Self::Itself(_), Some(derived)) => [Some(&derived.entry), derived.issuer.as_deref()],
            (Self::Itself(_), None) | (Self::Origin(..), _) => {
                [Some(token.entry()), token.issuer().filter(|issuer| token.is_from(issuer))]
            }
        }
    }

    /// Its `jti`.
    pub fn id(self) -> Option<&'t str> {
        match self {
            Self::Itself(token) => token.id(),
            Self::Origin(_, origin) => origin.id.as_deref(),
        }
    }

    /// Its `sub`.
    pub fn subject(self) -> Option<&'t str> {
        self.token().subject()
    }

    /// Its key ids.
    pub fn key_ids(self) -> impl Iterator<Item = &'t str> {
        let (own, origin) = match self {
            Self::Itself(token) => (Some(token.key_ids()), None),
            Self::Origin(_, origin) => (None, Some(origin.key_ids.iter().map(|id| &**id))),
        };
        own.into_iter().flatten().chain(origin.into_iter().flatten())
    }

    /// All digits of its fingerprint.
    pub fn fingerprint(self) -> &'t str {
        match self {
            Self::Itself(token) => token.fingerprint().full(),
            Self::Origin(_, origin) => &origin.fingerprint,
        }
    }

    /// Its `iat`.
    pub fn issued_at(self) -> Option<NumericDate> {
        match self {
            Self::Itself(token) => token.issued_at(),
            Self::Origin(_, origin) => origin.issued_at,
        }
    }
}

impl Origin {
    /// A token that is about to be exchanged; `None` if nothing says who issued it.
    pub fn of(token: &VerifiedToken) -> Option<Self> {
        Some(Self {
            issuer: token.issuer().filter(|issuer| token.is_from(issuer))?.into(),
            id: token.id().map(Into::into),
            key_ids: token.key_ids().map(Into::into).collect(),
            fingerprint: token.fingerprint().full().into(),
            issued_at: token.issued_at(),
        })
    }

    /// The first 16 digits of its fingerprint, as in audit records.
    pub fn short_fingerprint(&self) -> &str {
        self.fingerprint.get(..Fingerprint::SHORT_DIGITS).unwrap_or_default()
    }
}

impl Derived {
    /// The sizes of what it owns, each an allocation.
    pub(super) fn allocations(&self) -> impl Iterator<Item = usize> {
        let Self { origin, entry, issuer } = self;
        let Origin { issuer: iss, id, key_ids, fingerprint, issued_at: _ } = origin;
        let texts = [Some(iss), id.as_ref(), Some(fingerprint), Some(entry), issuer.as_ref()];
        let texts = texts.into_iter().flatten().chain(key_ids).map(|text| text.len());
        texts.chain([size_of::<Self>(), key_ids.capacity() * size_of::<Box<str>>()])
    }
}
