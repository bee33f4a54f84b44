//! The values of one field of a message.

use super::spans::Entry;
use super::{FieldName, FieldValue, Fields, LookUp};

/// The values of one field.
pub struct Values<'f, N> {
    fields: &'f Fields,
    entries: std::slice::Iter<'f, Entry>,
    name: N,
    known: Option<FieldName>,
}

impl<'f, N: LookUp> Values<'f, N> {
    /// Those of these entries that have the name, which is `known` if it is a known one.
    pub(super) fn new(
        fields: &'f Fields,
        entries: std::slice::Iter<'f, Entry>,
        name: N,
        known: Option<FieldName>,
    ) -> Self {
        Self { fields, entries, name, known }
    }

    fn value_of(&self, entry: &Entry) -> Option<FieldValue<'f>> {
        let field = self.fields.field(entry);
        let is_it = match self.known {
            Some(_) => entry.known == self.known,
            None => entry.known.is_none() && field.is(self.name.key()),
        };
        is_it.then_some(field.value)
    }
}

impl<'f, N: LookUp> Iterator for Values<'f, N> {
    type Item = FieldValue<'f>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = self.entries.next()?;
            if let Some(value) = self.value_of(entry) {
                return Some(value);
            }
        }
    }
}

impl<N: LookUp> DoubleEndedIterator for Values<'_, N> {
    fn next_back(&mut self) -> Option<Self::Item> {
        loop {
            let entry = self.entries.next_back()?;
            if let Some(value) = self.value_of(entry) {
                return Some(value);
            }
        }
    }
}
