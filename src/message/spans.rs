//! Where the fields of a message are in its bytes.

use std::ops::Range;

use super::{FieldName, FieldRef, FieldValue};

/// How many fields most messages have at most, with those that are added.
pub(super) const USUAL_FIELDS: usize = 24;

/// One field.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) known: Option<FieldName>,
    /// Whether it is a part of the head that was received.
    pub(super) is_received: bool,
    /// Whether the line is exactly the name, `: `, the value and CR LF.
    pub(super) is_plain: bool,
    pub(super) name: Span,
    pub(super) value: Span,
}

/// A part of the head, or of the lines that were added.
pub(super) type Span = Range<u32>;

/// Positions of fields in the bytes of a head, as its reader finds them.
#[derive(Clone, Default)]
pub struct FieldSpans(pub(super) Vec<Entry>);

impl FieldSpans {
    /// None.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds the position of a name, which must be a token, and of a value without control characters (RFC 9110 section
    /// 5.5). `None` if the head is longer than 4 GiB.
    pub fn push(&mut self, name: Range<usize>, value: Range<usize>) -> Option<()> {
        if self.0.capacity() == 0 {
            self.0 = Vec::with_capacity(USUAL_FIELDS);
        }
        let (name, value) = (span(name)?, span(value)?);
        self.0.push(Entry { known: None, is_received: true, is_plain: false, name, value });
        Some(())
    }
}

impl Entry {
    /// The field, in the bytes that it is a part of.
    pub(super) fn of<'b>(&self, bytes: &'b [u8]) -> FieldRef<'b> {
        let (name, value) = (part(bytes, &self.name), FieldValue(part(bytes, &self.value)));
        FieldRef { known: self.known, name, value, is_received: self.is_received }
    }
}

pub(super) fn span(range: Range<usize>) -> Option<Span> {
    Some(u32::try_from(range.start).ok()?..u32::try_from(range.end).ok()?)
}

pub(super) fn range(span: &Span) -> Range<usize> {
    span.start as usize..span.end as usize
}

pub(super) fn part<'b>(bytes: &'b [u8], span: &Span) -> &'b [u8] {
    bytes.get(range(span)).unwrap_or_default()
}
