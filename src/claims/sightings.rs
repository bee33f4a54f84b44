//! Where a token was just used, so that a request like one of the last needs no look-up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::{KeyUse, VerifiedToken};
use crate::backend::TokenClass;

/// The uses of one token.
#[derive(Debug, Default)]
pub struct Sightings {
    /// The last ones, each as a number of the caller's choice. Zero is none.
    last: [AtomicU64; 4],
    /// Counts all of them, with those of the other tokens of its key. See [`VerifiedToken::key_use`].
    pub(super) key_use: OnceLock<Arc<KeyUse>>,
}

impl Sightings {
    /// Whether it was used like this, of late.
    pub fn has(&self, mark: u64) -> bool {
        self.last.iter().any(|slot| slot.load(Ordering::Relaxed) == mark)
    }

    /// Remembers a use, in the place of an earlier one for which `is_past` is true, or of any other.
    pub fn remember(&self, mark: u64, is_past: impl Fn(u64) -> bool) {
        let past = self.last.iter().find(|slot| is_past(slot.load(Ordering::Relaxed)));
        let any = usize::try_from(mark % self.last.len() as u64).ok().and_then(|at| self.last.get(at));
        if let Some(slot) = past.or(any) {
            slot.store(mark, Ordering::Relaxed);
        }
    }
}

impl VerifiedToken {
    /// Where it was used of late.
    pub fn sightings(&self) -> &Sightings {
        &self.sightings
    }

    /// Whether a program uses it, and not a person who signs in again when it ends.
    pub fn is_of_program(&self) -> bool {
        // A caller that acts as another user, like a bot of `issuer.bots`, has that user's class.
        self.mapped_user().is_some() || !matches!(self.class, TokenClass::User | TokenClass::Session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_uses_give_way_first() {
        let sightings = Sightings::default();
        assert!(!sightings.has(5));
        for mark in 1..=4 {
            sightings.remember(mark, |before| before == 0);
        }
        assert!((1..=4).all(|mark| sightings.has(mark)));
        sightings.remember(9, |before| before == 3);
        assert_eq!([1, 2, 3, 4, 9].map(|mark| sightings.has(mark)), [true, true, false, true, true]);
        sightings.remember(10, |_| false);
        assert!(sightings.has(10));
        assert_eq!([1, 2, 4, 9].iter().filter(|mark| sightings.has(**mark)).count(), 3);
        for mark in [u64::MAX, u64::MAX - 1] {
            sightings.remember(mark, |_| false);
            assert!(sightings.has(mark), "any number may be a mark");
        }
    }

    #[test]
    fn a_person_signs_in_again_and_a_program_does_not() {
        use serde_json::json;

        use crate::claims::{MappedUser, Mapping};
        use crate::test_support::verified;

        assert!(!verified(json!({})).is_of_program());
        assert!(!verified(json!({"tokenType": "OM_USER"})).is_of_program());
        assert!(verified(json!({"isBot": true, "tokenType": "BOT"})).is_of_program());
        let user = MappedUser { index: 0, entry: "nightly".into(), user: "ada".into(), email: None };
        assert!(verified(json!({})).mapped(Mapping::User(user.into())).is_of_program());
        let token = verified(json!({}));
        token.sightings().remember(7, |_| false);
        assert!(token.sightings().has(7) && !token.sightings().has(6));
    }
}
