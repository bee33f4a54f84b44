//! The entries of one kind, by value and issuer, in as little memory as possible: lists have a million entries.
//!
//! All values are in one text, one after another. An entry is the place of its value in the text, and a hash table with
//! open addressing has the index of each entry. So an entry takes its value, eight bytes, and 8 to 16 bytes of the hash
//! table; only entries that are limited take 24 more, and those with a note or an end 24 and the note.
//!
//! Values are compared exactly: a token that is not in the list is never taken for one that is. The hash has a random
//! key, because values like `jti` and `sub` may come from people who would like to make the list slow.

use std::hash::{BuildHasher as _, RandomState};

use super::{Remark, Revoked, RevokedBy};
use crate::numeric_date::NumericDate;

/// The longest note that is kept, in characters.
const MAX_NOTE: usize = 64;

/// An entry is about every issuer.
pub(super) const ANY_ISSUER: u32 = 0;

#[derive(Clone, Default)]
pub(super) struct Table {
    /// All values.
    text: Vec<u8>,
    entries: Vec<Entry>,
    /// One more than the index of an entry; zero is free. The length is a power of two, at least twice the entries.
    slots: Vec<u32>,
    limits: Vec<Limit>,
    /// In the order of their entries.
    remarks: Vec<KeptRemark>,
    notes: String,
    hasher: RandomState,
    /// How many entries the list has, with those that others include.
    pub(super) count: usize,
}

#[derive(Clone)]
struct Entry {
    /// Where its value begins. It ends where the next one begins.
    start: u32,
    /// One more than the index of its limits; zero if it has none.
    limit: u32,
}

/// Limits an entry to some of the tokens with its value.
#[derive(Clone)]
struct Limit {
    issuer: u32,
    issued_before: Option<NumericDate>,
}

/// What is known about an entry in addition.
#[derive(Clone)]
struct KeptRemark {
    entry: u32,
    /// Where its note begins. It ends where the next one begins.
    note: u32,
    until: Option<NumericDate>,
}

impl Table {
    /// Adds an entry. Entries with the same value and issuer become one. `None` if the table is full.
    pub(super) fn add(
        &mut self,
        value: &[u8],
        issuer: u32,
        issued_before: Option<NumericDate>,
        remark: Remark<'_>,
    ) -> Option<()> {
        if let Some(found) = self.entry(value, issuer) {
            self.widen(found, issued_before, remark.until);
            self.count += 1;
            return Some(());
        }
        let limit = match (issuer, issued_before) {
            (ANY_ISSUER, None) => 0,
            _ => {
                self.limits.push(Limit { issuer, issued_before });
                u32::try_from(self.limits.len()).ok()?
            }
        };
        let start = u32::try_from(self.text.len()).ok()?;
        // The end must fit too: it is where the next value begins.
        u32::try_from(self.text.len().checked_add(value.len())?).ok()?;
        let number = u32::try_from(self.entries.len().checked_add(1)?).ok()?;
        self.remark(number - 1, remark)?;
        self.text.extend_from_slice(value);
        self.entries.push(Entry { start, limit });
        self.count += 1;
        if 2 * self.entries.len() > self.slots.len() {
            self.grow();
        } else {
            self.occupy(self.hasher.hash_one((issuer, value)), number);
        }
        Some(())
    }

    /// The entry about a token with this value, from this issuer, issued at this time.
    pub(super) fn find(&self, value: &[u8], issuer: u32, issued_at: Option<NumericDate>) -> Option<usize> {
        let entry = self.entry(value, issuer)?;
        let before = self.limit(entry).and_then(|limit| limit.issued_before);
        let is_meant = before.is_none_or(|time| issued_at.is_none_or(|issued| issued < time));
        is_meant.then_some(entry)
    }

    /// An entry, for operators.
    pub(super) fn revoked(&self, by: RevokedBy, entry: usize) -> Revoked {
        let value = String::from_utf8_lossy(self.value(entry).unwrap_or_default()).into();
        let remark = self.remark_of(entry);
        let note = remark.map(|(at, _)| self.note(at)).filter(|note| !note.is_empty());
        let until = remark.and_then(|(_, remark)| remark.until);
        Revoked { by, value, until, note: note.map(Into::into) }
    }

    fn remark(&mut self, entry: u32, Remark { until, note }: Remark<'_>) -> Option<()> {
        if until.is_none() && note.is_none() {
            return Some(());
        }
        let start = u32::try_from(self.notes.len()).ok()?;
        let note = note.unwrap_or_default();
        let end = note.char_indices().nth(MAX_NOTE).map_or(note.len(), |(at, _)| at);
        self.notes.push_str(note.get(..end).unwrap_or_default());
        self.remarks.push(KeptRemark { entry, note: start, until });
        Some(())
    }

    fn remark_of(&self, entry: usize) -> Option<(usize, &KeptRemark)> {
        let entry = u32::try_from(entry).ok()?;
        let at = self.remarks.binary_search_by_key(&entry, |remark| remark.entry).ok()?;
        Some((at, self.remarks.get(at)?))
    }

    fn note(&self, remark: usize) -> &str {
        let place = |remark: usize| usize::try_from(self.remarks.get(remark)?.note).ok();
        let end = place(remark + 1).unwrap_or(self.notes.len());
        place(remark).and_then(|start| self.notes.get(start..end)).unwrap_or_default()
    }

    /// The index of the entry with this value and issuer.
    fn entry(&self, value: &[u8], issuer: u32) -> Option<usize> {
        if self.entries.is_empty() {
            return None;
        }
        let hash = self.hasher.hash_one((issuer, value));
        self.probe(hash)
            .map_while(|slot| usize::try_from(*self.slots.get(slot)?).ok()?.checked_sub(1))
            .find(|entry| self.value(*entry) == Some(value) && self.issuer(*entry) == issuer)
    }

    /// The slots of a hash, in the order in which they are used. There is always a free one.
    fn probe(&self, hash: u64) -> impl Iterator<Item = usize> + use<> {
        let mask = self.slots.len().wrapping_sub(1);
        // The low bits of the hash are as good as all others.
        #[expect(clippy::cast_possible_truncation, reason = "only the low bits are used")]
        let first = hash as usize;
        (0..=mask).map(move |step| first.wrapping_add(step) & mask)
    }

    fn occupy(&mut self, hash: u64, number: u32) {
        let free = self.probe(hash).find(|slot| self.slots.get(*slot) == Some(&0));
        if let Some(slot) = free.and_then(|slot| self.slots.get_mut(slot)) {
            *slot = number;
        }
    }

    /// Doubles the slots.
    fn grow(&mut self) {
        // The old ones are not needed to make the new ones.
        self.slots = Vec::new();
        self.slots.resize((2 * self.entries.len()).next_power_of_two().max(4), 0);
        for (entry, number) in (0..self.entries.len()).zip(1..) {
            let hash = self.hasher.hash_one((self.issuer(entry), self.value(entry).unwrap_or_default()));
            self.occupy(hash, number);
        }
    }

    /// Makes an entry about tokens issued before this time too; without a time, about all. It ends when both would.
    fn widen(&mut self, entry: usize, issued_before: Option<NumericDate>, until: Option<NumericDate>) {
        let remark = self.remark_of(entry).map(|(at, _)| at);
        if let Some(remark) = remark.and_then(|at| self.remarks.get_mut(at)) {
            remark.until = remark.until.zip(until).map(|(one, other)| one.max(other));
        }
        let limit =
            self.entries.get(entry).and_then(|entry| usize::try_from(entry.limit).ok()?.checked_sub(1));
        // Without limits it is about all tokens already.
        let Some(limit) = limit.and_then(|limit| self.limits.get_mut(limit)) else { return };
        limit.issued_before = limit.issued_before.zip(issued_before).map(|(one, other)| one.max(other));
    }

    fn value(&self, entry: usize) -> Option<&[u8]> {
        let start = self.entries.get(entry)?.start;
        let end = match self.entries.get(entry + 1) {
            Some(next) => usize::try_from(next.start).ok()?,
            None => self.text.len(),
        };
        self.text.get(usize::try_from(start).ok()?..end)
    }

    fn limit(&self, entry: usize) -> Option<&Limit> {
        let limit = usize::try_from(self.entries.get(entry)?.limit).ok()?;
        self.limits.get(limit.checked_sub(1)?)
    }

    fn issuer(&self, entry: usize) -> u32 {
        self.limit(entry).map_or(ANY_ISSUER, |limit| limit.issuer)
    }

    /// The bytes that the table takes.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.text.capacity()
            + self.entries.capacity() * size_of::<Entry>()
            + self.slots.capacity() * size_of::<u32>()
            + self.limits.capacity() * size_of::<Limit>()
            + self.remarks.capacity() * size_of::<KeptRemark>()
            + self.notes.capacity()
    }

    /// Returns memory that further entries would need.
    pub(super) fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.entries.shrink_to_fit();
        self.limits.shrink_to_fit();
        self.remarks.shrink_to_fit();
        self.notes.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Table {
        fn holds(&self, value: &[u8], issuer: u32, issued_at: Option<NumericDate>) -> bool {
            self.find(value, issuer, issued_at).is_some()
        }
    }

    fn at(seconds: i64) -> Option<NumericDate> {
        Some(NumericDate::from_secs(seconds))
    }

    #[test]
    fn every_value_is_found_and_no_other() {
        let mut table = Table::default();
        for number in 0..5000 {
            table.add(format!("id-{number}").as_bytes(), number % 3, None, Remark::default()).unwrap();
            assert!(table.slots.len() >= 2 * table.entries.len(), "a full table would be searched for long");
        }
        table.shrink();
        for number in 0..5000 {
            let value = format!("id-{number}");
            for issuer in 0..3 {
                assert_eq!(table.holds(value.as_bytes(), issuer, None), issuer == number % 3, "{value}");
            }
            for other in [format!("id-{number}0000"), format!("d-{number}"), format!("id-{}", number + 5000)]
            {
                assert!(!table.holds(other.as_bytes(), number % 3, None), "{other}");
            }
        }
        assert!(!table.holds(b"", ANY_ISSUER, None));
        assert_eq!(table.count, 5000);
    }

    #[test]
    fn entries_with_the_same_value_become_one() {
        let mut table = Table::default();
        for time in [5, 9, 7] {
            table.add(b"ada", ANY_ISSUER, at(time), Remark::default()).unwrap();
        }
        assert!(table.holds(b"ada", ANY_ISSUER, at(8)) && !table.holds(b"ada", ANY_ISSUER, at(9)));
        table.add(b"ada", 1, at(20), Remark::default()).unwrap();
        assert!(!table.holds(b"ada", ANY_ISSUER, at(9)), "of another issuer");
        table.add(b"ada", ANY_ISSUER, None, Remark::default()).unwrap();
        table.add(b"ada", ANY_ISSUER, at(3), Remark::default()).unwrap();
        assert!(table.holds(b"ada", ANY_ISSUER, at(100)), "without a time it is about all tokens");
        assert!(table.holds(b"ada", 1, at(19)) && !table.holds(b"ada", 1, at(20)));
        assert_eq!((table.count, table.entries.len()), (6, 2));
    }

    #[test]
    fn notes_and_ends_are_kept_for_their_entries() {
        let mut table = Table::default();
        let long = "\u{e4}".repeat(MAX_NOTE + 1);
        let remarks = [(None, Some("left")), (None, None), (at(9), None), (at(5), Some(&*long))];
        for (number, (until, note)) in remarks.into_iter().enumerate() {
            table.add(&[b'0' + number as u8], ANY_ISSUER, None, Remark { until, note }).unwrap();
        }
        let revoked = |entry| {
            let revoked = table.revoked(RevokedBy::Id, entry);
            (revoked.value.to_string(), revoked.until, revoked.note.unwrap_or_default().to_string())
        };
        assert_eq!(revoked(0), ("0".to_owned(), None, "left".to_owned()));
        assert_eq!(revoked(1), ("1".to_owned(), None, String::new()));
        assert_eq!(revoked(2), ("2".to_owned(), at(9), String::new()));
        assert_eq!(revoked(3), ("3".to_owned(), at(5), "\u{e4}".repeat(MAX_NOTE)));
        // The same again, which ends later or never.
        table.add(b"2", ANY_ISSUER, None, Remark { until: at(12), note: None }).unwrap();
        table.add(b"3", ANY_ISSUER, None, Remark::default()).unwrap();
        assert_eq!(table.revoked(RevokedBy::Id, 2).until, at(12));
        assert_eq!(table.revoked(RevokedBy::Id, 3).until, None);
    }

    /// One `sub` with another time in each line, as a script could append it.
    #[test]
    fn repeated_values_take_no_memory() {
        let mut table = Table::default();
        for time in 0..10_000 {
            table.add(b"ada", ANY_ISSUER, at(time), Remark::default()).unwrap();
        }
        assert!(table.bytes() < 1000, "{}", table.bytes());
    }

    #[test]
    fn a_long_list_takes_little_more_than_its_text() {
        let mut table = Table::default();
        let count = 100_000;
        for number in 0..count {
            table.add(format!("{number:036}").as_bytes(), ANY_ISSUER, None, Remark::default()).unwrap();
        }
        table.shrink();
        let each = table.bytes() / count;
        assert!(each <= 36 + 8 + 16, "{each} bytes for each entry");
    }
}
