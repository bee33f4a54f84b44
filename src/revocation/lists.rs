//! The lists of several sources, in force together.

use std::fmt;
use std::sync::Arc;

use super::{Revocations, Revoked, RevokedBy};
use crate::claims::VerifiedToken;

/// The lists of all sources. A token is revoked if any of them revokes it.
#[derive(Clone, Default)]
pub struct RevocationLists {
    lists: Box<[Arc<Revocations>]>,
    /// The first source that has had no list yet.
    missing: Option<Box<str>>,
}

/// A source, by its name, has had no list yet: whether a token is revoked is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable(pub Box<str>);

impl RevocationLists {
    /// The lists that there are, and the name of a source that has none yet.
    pub fn new(lists: impl IntoIterator<Item = Arc<Revocations>>, missing: Option<Box<str>>) -> Self {
        Self { lists: lists.into_iter().collect(), missing }
    }

    /// The entry that revokes this token, if one does. `text` is the token as it was received.
    pub fn find(&self, token: &VerifiedToken, text: impl AsRef<[u8]>) -> Option<Box<Revoked>> {
        self.lists.iter().find_map(|list| list.find(token, text.as_ref()))
    }

    /// As [`Self::find`].
    ///
    /// # Errors
    /// A list is missing and no other one revokes the token.
    pub fn check(
        &self,
        token: &VerifiedToken,
        text: impl AsRef<[u8]>,
    ) -> Result<Option<Box<Revoked>>, Unavailable> {
        match (self.find(token, text), &self.missing) {
            (None, Some(source)) => Err(Unavailable(source.clone())),
            (found, _) => Ok(found),
        }
    }

    /// Whether these are the same lists, not only equal ones.
    pub fn are_same(&self, other: &Self) -> bool {
        let same = |(one, other): (&Arc<Revocations>, &Arc<Revocations>)| Arc::ptr_eq(one, other);
        self.missing == other.missing
            && self.lists.len() == other.lists.len()
            && self.lists.iter().zip(&other.lists).all(same)
    }

    /// Whether every source has had a list.
    pub fn are_complete(&self) -> bool {
        self.missing.is_none()
    }

    /// The number of entries of one kind.
    pub fn count(&self, by: RevokedBy) -> usize {
        self.lists.iter().map(|list| list.count(by)).sum()
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.lists.iter().map(|list| list.len()).sum()
    }

    /// Whether no list has an entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Arc<Revocations>> for RevocationLists {
    fn from(list: Arc<Revocations>) -> Self {
        Self::new([list], None)
    }
}

/// Omits the entries, because there may be many and they name people.
impl fmt::Debug for RevocationLists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationLists").field("len", &self.len()).field("missing", &self.missing).finish()
    }
}
