//! The fields of one message.

use std::fmt;
use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::field_name::{AUTHORIZATION, COOKIE};
use super::{FieldName, FieldRef, FieldValue, Key, LookUp, NewName};

/// The fields of a message, with names in lower case: those that were received, in their order, and then those that were
/// added.
///
/// What was received is a part of the bytes of the head, so nothing is copied or checked a second time. Messages have few
/// fields, and most of those that are looked for have a [`FieldName`]: lists with a bit for each known name take fewer
/// instructions than a hash table.
#[derive(Clone, Default)]
pub struct Fields {
    /// What the spans are parts of.
    head: Bytes,
    received: Vec<Received>,
    added: Vec<(NewName, HeaderValue)>,
    /// The bits of the known names that occur.
    known: Known,
}

#[derive(Clone)]
struct Received {
    known: Option<FieldName>,
    /// Whether the line is exactly the name, `: `, the value and CR LF.
    is_plain: bool,
    name: Span,
    value: Span,
}

/// A part of the head.
type Span = Range<u32>;

/// A bit for each [`FieldName`].
type Known = [u64; 2];

/// Positions of fields in the bytes of a head, as its reader finds them.
#[derive(Clone, Default)]
pub struct FieldSpans(Vec<Received>);

/// How many fields most heads have at most.
const USUAL_FIELDS: usize = 16;
/// How many fields are usually added.
const USUAL_ADDED: usize = 8;

impl FieldSpans {
    /// None.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds the position of a name, which must be a token, and of a value without control characters (RFC 9110 section
    /// 5.5). `None` if the head is longer than 4 GiB.
    pub fn push(&mut self, name: Range<usize>, value: Range<usize>) -> Option<()> {
        let span =
            |range: Range<usize>| Some(u32::try_from(range.start).ok()?..u32::try_from(range.end).ok()?);
        if self.0.capacity() == 0 {
            self.0 = Vec::with_capacity(USUAL_FIELDS);
        }
        self.0.push(Received { known: None, is_plain: false, name: span(name)?, value: span(value)? });
        Some(())
    }

    /// The fields at these positions of `head`. Writes its names in lower case.
    pub fn of(self, mut head: BytesMut) -> Fields {
        let mut fields = Fields { received: self.0, ..Fields::new() };
        for field in &mut fields.received {
            field.is_plain = head.get(field.name.end as usize..field.value.start as usize) == Some(b": ")
                && head.get(field.value.end as usize) == Some(&b'\r');
            let Some(name) = head.get_mut(range(&field.name)) else { continue };
            name.make_ascii_lowercase();
            field.known = FieldName::of(name);
            if let Some(name) = field.known {
                mark(&mut fields.known, name);
            }
        }
        fields.head = head.freeze();
        fields
    }
}

impl Fields {
    /// No fields.
    pub const fn new() -> Self {
        Self { head: Bytes::new(), received: Vec::new(), added: Vec::new(), known: [0; 2] }
    }

    /// The bytes of the head that the fields were read from; empty if they were not.
    pub fn received(&self) -> &Bytes {
        &self.head
    }

    /// About how many bytes of memory they take.
    pub fn bytes(&self) -> usize {
        self.head.len()
            + self.added.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.received.len() + self.added.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All fields, in their order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = FieldRef<'_>> {
        let head = &*self.head;
        self.received.iter().map(|field| field.of(head)).chain(self.added.iter().map(added))
    }

    /// The first value of a field.
    pub fn get(&self, name: impl LookUp) -> Option<FieldValue<'_>> {
        self.get_all(name).next()
    }

    /// All values of a field, in their order.
    pub fn get_all(&self, name: impl LookUp) -> impl DoubleEndedIterator<Item = FieldValue<'_>> {
        let all = self.may_have(name.key()).then(|| self.iter());
        all.into_iter().flatten().filter(move |field| field.is(name.key())).map(|field| field.value)
    }

    /// The value of a field that occurs exactly once.
    pub fn only(&self, name: impl LookUp) -> Option<FieldValue<'_>> {
        let mut values = self.get_all(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// The first value of a field, as shared bytes.
    pub fn get_bytes(&self, name: impl LookUp) -> Option<Bytes> {
        let (key, head) = (name.key(), &self.head);
        if !self.may_have(key) {
            return None;
        }
        match self.received.iter().find(|field| field.of(head).is(key)) {
            Some(field) if field.value.end as usize <= head.len() => Some(head.slice(range(&field.value))),
            _ => self.get(name).map(|value| Bytes::copy_from_slice(value.as_bytes())),
        }
    }

    /// The first value of a field, to set another field to.
    pub fn get_owned(&self, name: impl LookUp) -> Option<HeaderValue> {
        HeaderValue::from_maybe_shared(self.get_bytes(name)?).ok()
    }

    /// Whether a field occurs.
    pub fn contains_key(&self, name: impl LookUp) -> bool {
        match name.key() {
            Key::Known(name) => self.has(name),
            Key::Other(_) => self.get(name).is_some(),
        }
    }

    /// Sets a field: removes all its values and adds this one.
    pub fn insert(&mut self, name: impl Into<NewName>, value: HeaderValue) {
        let name = name.into();
        self.remove(&name);
        self.append(name, value);
    }

    /// Adds a field. It may occur several times.
    pub fn append(&mut self, name: impl Into<NewName>, value: HeaderValue) {
        let name = name.into();
        if let Some(name) = name.known() {
            mark(&mut self.known, name);
        }
        if self.added.capacity() == 0 {
            self.added = Vec::with_capacity(USUAL_ADDED);
        }
        self.added.push((name, value));
    }

    /// Removes all values of a field.
    pub fn remove(&mut self, name: impl LookUp) {
        let key = name.key();
        if !self.may_have(key) {
            return;
        }
        self.retain(|field| !field.is(key));
    }

    /// Keeps only the selected fields.
    pub fn retain(&mut self, mut keeps: impl FnMut(FieldRef<'_>) -> bool) {
        let (mut known, head) = ([0; 2], &*self.head);
        let mut kept = |field: FieldRef<'_>| {
            let kept = keeps(field);
            if let Some(name) = field.known.filter(|_| kept) {
                mark(&mut known, name);
            }
            kept
        };
        self.received.retain(|field| kept(field.of(head)));
        self.added.retain(|field| kept(added(field)));
        self.known = known;
    }

    /// Writes the lines of the fields (RFC 9112 section 5), without the known ones that are not kept. Lines that follow one
    /// another in the head that was received are copied at once.
    pub fn write_to(&self, out: &mut impl BufMut, keeps: impl Fn(FieldName) -> bool) {
        let mut run = 0..0;
        for field in self.received.iter().filter(|field| field.known.is_none_or(&keeps)) {
            if field.is_plain && field.name.start == run.end {
                run.end = field.value.end + 2;
                continue;
            }
            out.put_slice(part(&self.head, &run));
            run = field.name.start..field.value.end + 2;
            if !field.is_plain {
                run = 0..0;
                write_line(out, field.of(&self.head));
            }
        }
        out.put_slice(part(&self.head, &run));
        for field in self.added.iter().map(added).filter(|field| field.known.is_none_or(&keeps)) {
            write_line(out, field);
        }
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

    fn may_have(&self, key: Key<'_>) -> bool {
        match key {
            Key::Known(name) => self.has(name),
            Key::Other(_) => true,
        }
    }

    fn has(&self, name: FieldName) -> bool {
        let (at, bit) = bit(name);
        self.known.get(at).is_some_and(|bits| bits & bit != 0)
    }
}

impl Received {
    fn of<'h>(&self, head: &'h [u8]) -> FieldRef<'h> {
        let (name, value) = (part(head, &self.name), FieldValue(part(head, &self.value)));
        FieldRef { known: self.known, name, value, is_received: true }
    }
}

fn added((name, value): &(NewName, HeaderValue)) -> FieldRef<'_> {
    let known = name.known();
    let (name, value) = (name.as_str().as_bytes(), FieldValue(value.as_bytes()));
    FieldRef { known, name, value, is_received: false }
}

fn write_line(out: &mut impl BufMut, field: FieldRef<'_>) {
    for part in [field.name, b": ", field.value.0, b"\r\n"] {
        out.put_slice(part);
    }
}

/// The place of a bit in [`Known`], and the bit.
const fn bit(name: FieldName) -> (usize, u64) {
    (name.number() / 64, 1 << (name.number() % 64))
}

fn mark(known: &mut Known, name: FieldName) {
    let (at, bit) = bit(name);
    if let Some(bits) = known.get_mut(at) {
        *bits |= bit;
    }
}

fn range(span: &Span) -> Range<usize> {
    span.start as usize..span.end as usize
}

fn part<'h>(head: &'h [u8], span: &Span) -> &'h [u8] {
    head.get(range(span)).unwrap_or_default()
}

/// Without values, which may be credentials.
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|field| field.name())).finish()
    }
}

/// The same fields in the same order.
impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.iter()
            .map(|field| (field.name(), field.value()))
            .eq(other.iter().map(|field| (field.name(), field.value())))
    }
}

impl From<HeaderMap> for Fields {
    fn from(map: HeaderMap) -> Self {
        let mut fields = Self { added: Vec::with_capacity(map.len() + USUAL_ADDED), ..Self::new() };
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

impl<N: Into<NewName>> FromIterator<(N, HeaderValue)> for Fields {
    fn from_iter<I: IntoIterator<Item = (N, HeaderValue)>>(list: I) -> Self {
        let mut fields = Self::new();
        for (name, value) in list {
            fields.append(name, value);
        }
        fields
    }
}
