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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;
    use crate::revocation::Revocation;
    use crate::test_support::verified;

    fn list(entries: &[(RevokedBy, &str)]) -> Arc<Revocations> {
        let entries = entries.iter().map(|(by, text)| Revocation::new(*by, text).unwrap());
        Arc::new(Revocations::new(entries, None).unwrap())
    }

    #[test]
    fn any_list_revokes_and_a_missing_one_leaves_it_open() {
        let (token, other) = (verified(json!({"jti": "a"})), verified(json!({"jti": "b"})));
        let lists = || [list(&[(RevokedBy::Subject, "eve")]), list(&[(RevokedBy::Id, "a")])];
        let found = |lists: &RevocationLists, token: &VerifiedToken| {
            assert_eq!(lists.find(token, ""), lists.check(token, "").unwrap_or_default());
            lists.check(token, "").map(|found| found.map(|revoked| revoked.by))
        };
        let complete = RevocationLists::new(lists(), None);
        assert_eq!(found(&complete, &token), Ok(Some(RevokedBy::Id)));
        assert_eq!(found(&complete, &other), Ok(None));
        let incomplete = RevocationLists::new(lists(), Some("store".into()));
        assert_eq!(found(&incomplete, &token), Ok(Some(RevokedBy::Id)), "another list is enough to refuse");
        assert_eq!(found(&incomplete, &other), Err(Unavailable("store".into())));
        assert!(complete.are_complete() && !incomplete.are_complete());
    }

    #[test]
    fn entries_of_all_lists_are_counted() {
        let one = [(RevokedBy::Id, "a"), (RevokedBy::Id, "b"), (RevokedBy::Subject, "ada")];
        let lists = RevocationLists::new([list(&one), list(&[(RevokedBy::Id, "c")])], None);
        let counts = [RevokedBy::Id, RevokedBy::Subject, RevokedBy::Key].map(|by| lists.count(by));
        assert_eq!((counts, lists.len(), lists.is_empty()), ([3, 1, 0], 4, false));
        let none = RevocationLists::default();
        assert_eq!((none.len(), none.is_empty(), none.are_complete()), (0, true, true));
        let empty = RevocationLists::from(list(&[]));
        assert!(empty.is_empty());
    }

    /// What watches a list looks a token up again only in another one.
    #[test]
    fn lists_are_the_same_only_if_none_was_replaced() {
        let (a, b) = (list(&[(RevokedBy::Id, "a")]), list(&[(RevokedBy::Id, "b")]));
        let of = |lists: &[&Arc<Revocations>], missing: Option<&str>| {
            RevocationLists::new(lists.iter().copied().cloned(), missing.map(Into::into))
        };
        let same = of(&[&a, &b], None);
        assert!(same.are_same(&same.clone()) && same.are_same(&of(&[&a, &b], None)));
        let equal = list(&[(RevokedBy::Id, "b")]);
        for other in [
            of(&[&a, &equal], None),
            of(&[&b, &a], None),
            of(&[&a], None),
            of(&[], None),
            of(&[&a, &b], Some("store")),
        ] {
            assert!(!same.are_same(&other) && !other.are_same(&same), "{other:?}");
        }
    }

    #[test]
    fn debug_output_contains_no_entries() {
        let lists = RevocationLists::new([list(&[(RevokedBy::Subject, "ada")])], Some("store".into()));
        let shown = format!("{lists:?}");
        assert!(!shown.contains("ada") && shown.contains('1') && shown.contains("store"), "{shown}");
    }
}
