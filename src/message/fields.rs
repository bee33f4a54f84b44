//! The fields of one message.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::field_name::{AUTHORIZATION, COOKIE, make_lower_case};
use super::spans::{Entry, FieldSpans, USUAL_FIELDS, part, range, span};
use super::{FieldName, FieldNames, FieldRef, FieldValue, Key, LookUp, NewName, Section, ValidValue};

/// The fields of a message, with names in lower case: those that were received, in their order, and then those that were
/// added.
///
/// What was received is a part of the bytes of the head, so nothing is copied or checked a second time; what is added is
/// written as it is sent. Messages have few fields, and most of those that are looked for have a [`FieldName`]: lists with
/// a bit for each known name take fewer instructions than a hash table.
#[derive(Default)]
pub struct Fields {
    /// What the spans of received fields are parts of.
    head: Bytes,
    /// What those of added fields are parts of.
    added: Vec<u8>,
    entries: Vec<Entry>,
    /// The known names that occur.
    known: FieldNames,
    /// The section that these fields are, as long as they are not changed.
    section: Option<Arc<Section>>,
}

/// How many bytes are usually added at most.
const USUAL_ADDED: usize = 640;

impl Fields {
    /// No fields.
    pub const fn new() -> Self {
        Self {
            head: Bytes::new(),
            added: Vec::new(),
            entries: Vec::new(),
            known: FieldNames::NONE,
            section: None,
        }
    }

    /// The fields at these positions of a head. Writes its names in lower case.
    pub fn of(spans: FieldSpans, mut head: BytesMut) -> Self {
        let mut fields = Self { entries: spans.0, ..Self::new() };
        for field in &mut fields.entries {
            field.is_plain = head.get(field.name.end as usize..field.value.start as usize) == Some(b": ")
                && head.get(field.value.end as usize) == Some(&b'\r');
            let Some(name) = head.get_mut(range(&field.name)) else { continue };
            make_lower_case(name);
            field.known = FieldName::of(name);
            if let Some(name) = field.known {
                fields.known.add(name);
            }
        }
        fields.head = head.freeze();
        fields
    }

    /// The same fields, of a message whose section was received before.
    pub fn of_section(&self, section: &Arc<Section>) -> Self {
        Self { section: Some(section.clone()), ..self.clone() }
    }

    /// The same fields with their lines in one piece, which is quicker to copy.
    pub fn joined(&self) -> Self {
        let mut lines = Vec::with_capacity(self.bytes() + USUAL_ADDED);
        self.write_to(&mut lines, |_| true);
        let mut joined = Self { known: self.known, ..Self::new() };
        joined.entries.reserve(USUAL_FIELDS.max(self.entries.len()));
        let mut at = 0;
        for field in self.iter() {
            let name = at..at + field.name.len();
            let value = name.end + 2..name.end + 2 + field.value.0.len();
            at = value.end + 2;
            // Shorter than what was received and added.
            if let (Some(name), Some(value)) = (span(name), span(value)) {
                joined.entries.push(Entry {
                    known: field.known,
                    is_received: true,
                    is_plain: true,
                    name,
                    value,
                });
            }
        }
        joined.head = lines.into();
        joined
    }

    /// The section that these fields are, if it was received before and they were not changed.
    pub fn section(&self) -> Option<&Arc<Section>> {
        self.section.as_ref()
    }

    /// The bytes of the head that the fields were read from; empty if they were not.
    pub fn received(&self) -> &Bytes {
        &self.head
    }

    /// About how many bytes of memory they take.
    pub fn bytes(&self) -> usize {
        self.head.len() + self.added.len()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All fields, in their order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = FieldRef<'_>> {
        self.entries.iter().map(|entry| self.field(entry))
    }

    /// The first value of a field.
    pub fn get(&self, name: impl LookUp) -> Option<FieldValue<'_>> {
        self.entry(name.key()).map(|entry| self.field(entry).value)
    }

    /// All values of a field, in their order.
    pub fn get_all<N: LookUp>(&self, name: N) -> Values<'_, N> {
        let known = match name.key() {
            Key::Known(known) => Some(known),
            Key::Other(_) => None,
        };
        let is_absent = known.is_some_and(|known| !self.known.has(known));
        let entries = if is_absent { [].iter() } else { self.entries.iter() };
        Values { fields: self, entries, name, known }
    }

    /// The value of a field that occurs exactly once.
    pub fn only(&self, name: impl LookUp) -> Option<FieldValue<'_>> {
        let mut values = self.get_all(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// The first value of a field, as shared bytes.
    pub fn get_bytes(&self, name: impl LookUp) -> Option<Bytes> {
        let entry = self.entry(name.key())?;
        if entry.is_received && entry.value.end as usize <= self.head.len() {
            return Some(self.head.slice(range(&entry.value)));
        }
        Some(Bytes::copy_from_slice(self.field(entry).value.as_bytes()))
    }

    /// The first value of a field, to set another field to.
    pub fn get_owned(&self, name: impl LookUp) -> Option<HeaderValue> {
        HeaderValue::from_maybe_shared(self.get_bytes(name)?).ok()
    }

    /// Whether a field occurs.
    pub fn contains_key(&self, name: impl LookUp) -> bool {
        match name.key() {
            Key::Known(name) => self.known.has(name),
            key @ Key::Other(_) => self.entry(key).is_some(),
        }
    }

    /// Whether any of these occurs.
    pub fn contains_any(&self, names: FieldNames) -> bool {
        !self.known.and(names).is_empty()
    }

    /// Sets a field: removes all its values and adds this one.
    pub fn insert(&mut self, name: impl Into<NewName>, value: impl ValidValue) {
        let name = name.into();
        self.remove(&name);
        self.append(name, value);
    }

    /// Adds a field. It may occur several times.
    pub fn append(&mut self, name: impl Into<NewName>, value: impl ValidValue) {
        let (name, value) = (name.into(), value.octets());
        self.add(&name, value.len(), |_, line| line.extend_from_slice(value));
    }

    /// Adds a field with the first value of another one, if that occurs.
    pub fn append_copy(&mut self, name: impl Into<NewName>, from: impl LookUp) {
        let Some(value) = self.entry(from.key()).map(|entry| (entry.is_received, range(&entry.value))) else {
            return;
        };
        match value {
            (true, value) => self.add(&name.into(), value.len(), |head, line| {
                line.extend_from_slice(head.get(value).unwrap_or_default());
            }),
            (false, value) => self.add(&name.into(), value.len(), |_, line| {
                if value.end <= line.len() {
                    line.extend_from_within(value);
                }
            }),
        }
    }

    /// Adds a line, whose value of this length `write` adds to the others.
    fn add(&mut self, name: &NewName, length: usize, write: impl FnOnce(&[u8], &mut Vec<u8>)) {
        self.section = None;
        let lines = &mut self.added;
        if lines.capacity() == 0 {
            lines.reserve(USUAL_ADDED);
        }
        let start = lines.len();
        let known = name.known();
        match known {
            Some(known) => lines.extend_from_slice(known.line_start().as_bytes()),
            None => [name.as_str(), ": "].iter().for_each(|text| lines.extend_from_slice(text.as_bytes())),
        }
        let value = lines.len();
        lines.reserve(length + 2);
        write(&self.head, lines);
        let end = lines.len();
        lines.extend_from_slice(b"\r\n");
        // Messages are limited to far less than 4 GiB.
        if let (Some(name_span), Some(value)) = (span(start..value - 2), span(value..end)) {
            if self.entries.capacity() == 0 {
                self.entries = Vec::with_capacity(USUAL_FIELDS);
            }
            known.into_iter().for_each(|known| self.known.add(known));
            self.entries.push(Entry { known, is_received: false, is_plain: true, name: name_span, value });
        }
    }

    /// Removes all values of a field.
    pub fn remove(&mut self, name: impl LookUp) {
        match name.key() {
            Key::Known(name) => self.remove_all(FieldNames::of(&[name])),
            key @ Key::Other(_) => self.retain(|field| !field.is(key)),
        }
    }

    /// Removes all values of these fields.
    pub fn remove_all(&mut self, names: FieldNames) {
        if self.contains_any(names) {
            self.section = None;
            self.known = self.known.without(names);
            self.entries.retain(|entry| entry.known.is_none_or(|name| !names.has(name)));
        }
    }

    /// Keeps only the selected fields.
    pub fn retain(&mut self, mut keeps: impl FnMut(FieldRef<'_>) -> bool) {
        self.section = None;
        let (mut known, head, added) = (FieldNames::NONE, &*self.head, &*self.added);
        self.entries.retain(|entry| {
            let kept = keeps(entry.of(if entry.is_received { head } else { added }));
            if let Some(name) = entry.known.filter(|_| kept) {
                known.add(name);
            }
            kept
        });
        self.known = known;
    }

    /// Writes the lines of the fields (RFC 9112 section 5), without the known ones that are not kept. Lines that follow one
    /// another are copied at once.
    pub fn write_to(&self, out: &mut impl BufMut, keeps: impl Fn(FieldName) -> bool) {
        let (mut run, mut is_received) = (0..0, true);
        for entry in self.entries.iter().filter(|entry| entry.known.is_none_or(&keeps)) {
            if entry.is_plain && entry.is_received == is_received && entry.name.start == run.end {
                run.end = entry.value.end + 2;
                continue;
            }
            out.put_slice(part(self.bytes_of(is_received), &run));
            is_received = entry.is_received;
            run = entry.name.start..entry.value.end + 2;
            if !entry.is_plain {
                run = 0..0;
                let field = self.field(entry);
                for part in [field.name, b": ", field.value.0, b"\r\n"] {
                    out.put_slice(part);
                }
            }
        }
        out.put_slice(part(self.bytes_of(is_received), &run));
    }

    /// As a map, for messages over HTTP/2. Values of credentials are marked as sensitive, so that they stay out of the
    /// table of HPACK (RFC 7541 section 7.1.3).
    pub fn to_header_map(&self) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(self.len());
        for field in self.iter() {
            let value = match field.is_received {
                true => HeaderValue::from_maybe_shared(self.head.slice_ref(field.value.0)),
                false => HeaderValue::from_maybe_shared(Bytes::copy_from_slice(field.value.0)),
            };
            // Both were checked when they were read.
            if let (Ok(name), Ok(mut value)) = (HeaderName::from_bytes(field.name), value) {
                value.set_sensitive(matches!(field.known, Some(AUTHORIZATION | COOKIE)));
                map.append(name, value);
            }
        }
        map
    }

    /// The first field with this name.
    #[inline]
    fn entry(&self, key: Key<'_>) -> Option<&Entry> {
        match key {
            Key::Known(name) if !self.known.has(name) => None,
            Key::Known(name) => self.entries.iter().find(|entry| entry.known == Some(name)),
            Key::Other(_) => self.entries.iter().find(|entry| self.field(entry).is(key)),
        }
    }

    fn field(&self, entry: &Entry) -> FieldRef<'_> {
        entry.of(self.bytes_of(entry.is_received))
    }

    fn bytes_of(&self, is_received: bool) -> &[u8] {
        if is_received { &self.head } else { &self.added }
    }
}

/// With room for fields to be added.
impl Clone for Fields {
    fn clone(&self) -> Self {
        let mut entries = Vec::with_capacity(self.entries.len().max(USUAL_FIELDS));
        entries.extend_from_slice(&self.entries);
        let (head, added, section) = (self.head.clone(), self.added.clone(), self.section.clone());
        Self { head, added, entries, known: self.known, section }
    }
}

impl From<HeaderMap> for Fields {
    fn from(map: HeaderMap) -> Self {
        let mut fields = Self::new();
        // Growing by doubling would copy a long token several times.
        let length: usize = map.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        fields.added.reserve(length + USUAL_ADDED);
        fields.entries.reserve(map.len() + USUAL_FIELDS);
        let mut current = None;
        for (name, value) in map {
            // The iterator yields a name only with the first of its values.
            current = name.map(NewName::from).or(current);
            if let Some(name) = &current {
                fields.append(name.clone(), value);
            }
        }
        fields
    }
}

/// The values of one field.
pub struct Values<'f, N> {
    fields: &'f Fields,
    entries: std::slice::Iter<'f, Entry>,
    name: N,
    known: Option<FieldName>,
}

impl<'f, N: LookUp> Values<'f, N> {
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
