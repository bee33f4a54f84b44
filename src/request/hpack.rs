//! HPACK decoding (RFC 7541): from the octets of a field block to a list of fields.
//!
//! 1. The only state of the decoder is the connection's dynamic table. A block must be decoded to
//!    its end even if its head is refused, because later blocks may refer to the entries that it adds.
//! 2. After an error the table is unknown, so the error ends the connection (COMPRESSION_ERROR, RFC 9113
//!    section 4.3).
//! 3. The list has a limit. Fields beyond it are decoded and dropped, so a block of references to one
//!    large field costs no memory (section 7.3).
//!
//! The decoder returns the octets as they were sent. [`super::http2_head`] checks them.

mod huffman;
mod table;

use std::ops::Range;

use bytes::BytesMut;
use table::DynamicTable;

use crate::message::{FieldSpans, Fields};

/// What is between a name and a value, and after a value (RFC 9112 section 5).
const SEPARATOR: &[u8] = b": ";
const LINE_END: &[u8] = b"\r\n";
/// How much most heads have at most.
const USUAL_BYTES: usize = 1024;
const USUAL_FIELDS: usize = 16;

/// The size of a field in addition to its octets (RFC 9113 section 10.5.1).
const FIELD_OVERHEAD: usize = 32;
/// Section 4.2: an encoder signals the smallest size since the last block and the final one.
const MAX_SIZE_UPDATES: usize = 2;
/// Enough for 32 bits, the most that a valid integer in a block needs.
const MAX_INTEGER_OCTETS: u32 = 5;

/// Why a block cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HpackError {
    /// The block ends inside a field.
    #[error("a field block breaks off")]
    Truncated,
    /// An integer of more than 32 bits.
    #[error("an integer of a field block is too large")]
    Integer,
    /// An index in neither table.
    #[error("a field block refers to a field that does not exist")]
    Index,
    /// Padding that is not a prefix of EOS, or EOS itself.
    #[error("a string is not Huffman code")]
    Huffman,
    /// A table size update that is above the limit, not at the start of a block, or one too many.
    #[error("a field block changes the size of the table where it must not")]
    TableSize,
}

/// The fields of a block, in their order.
#[derive(Debug)]
pub struct FieldList {
    /// Each field as a line of HTTP/1: the name, `: `, the value and CR LF.
    lines: BytesMut,
    /// The ends of each field's name and value in `lines`.
    ends: Vec<(usize, usize)>,
    size: usize,
    limit: usize,
}

impl FieldList {
    /// An empty list. It accepts fields while the sum of their octets, plus 32 for each, is below `limit`.
    pub fn new(limit: usize) -> Self {
        Self { lines: BytesMut::new(), ends: Vec::new(), size: 0, limit }
    }

    /// Whether fields were dropped because of the limit.
    pub fn is_too_large(&self) -> bool {
        self.size >= self.limit
    }

    /// The accepted fields: names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        self.positions().map(|(name, value)| {
            let part = |range: Range<usize>| self.lines.get(range).unwrap_or_default();
            (part(name), part(value))
        })
    }

    /// Where the names and values are in `lines`.
    fn positions(&self) -> impl Iterator<Item = (Range<usize>, Range<usize>)> + Clone {
        let begins = std::iter::once(0).chain(self.ends.iter().map(|(_, end)| end + LINE_END.len()));
        begins.zip(&self.ends).map(|(begin, (name, value))| (begin..*name, name + SEPARATOR.len()..*value))
    }

    /// The fields of a message whose head this is, without the pseudo-fields. The names and values must have been
    /// checked ([`super::Http2Head`]).
    ///
    /// # Errors
    /// The list itself, if it is longer than 4 GiB.
    pub fn into_fields(self) -> Result<Fields, Self> {
        let mut spans = FieldSpans::new();
        let is_field = |name: &Range<usize>| self.lines.get(name.start) != Some(&b':');
        let mut fields = self.positions().filter(|(name, _)| is_field(name));
        let all_fit = fields.all(|(name, value)| spans.push(name, value).is_some());
        drop(fields);
        if all_fit { Ok(Fields::of(spans, self.lines)) } else { Err(self) }
    }

    fn push(&mut self, name: &[u8], value: &[u8]) {
        let size = name.len().saturating_add(value.len()).saturating_add(FIELD_OVERHEAD);
        self.size = self.size.saturating_add(size);
        if self.is_too_large() {
            return;
        }
        if self.ends.capacity() == 0 {
            self.lines.reserve(USUAL_BYTES);
            self.ends.reserve(USUAL_FIELDS);
        }
        let name_end = self.lines.len() + name.len();
        let value_end = name_end + SEPARATOR.len() + value.len();
        self.lines.reserve(value_end + LINE_END.len() - self.lines.len());
        for part in [name, SEPARATOR, value, LINE_END] {
            self.lines.extend_from_slice(part);
        }
        self.ends.push((name_end, value_end));
    }
}

/// The decoder of one connection.
#[derive(Clone, Debug)]
pub struct HpackDecoder {
    table: DynamicTable,
    max_table_size: usize,
}

impl HpackDecoder {
    /// A decoder for a peer that was sent this SETTINGS_HEADER_TABLE_SIZE.
    pub fn new(max_table_size: usize) -> Self {
        Self { table: DynamicTable::new(max_table_size), max_table_size }
    }

    /// Appends the fields of a whole block to `list`.
    ///
    /// # Errors
    /// Why the block cannot be decoded. Later blocks of the connection cannot be decoded either.
    pub fn decode(&mut self, block: &[u8], list: &mut FieldList) -> Result<(), HpackError> {
        let mut reader = Reader { rest: block };
        let mut size_updates = 0;
        let mut may_resize = true;
        // One literal field, name and value.
        let mut literal = Vec::new();
        while let Some(first) = reader.rest.first() {
            match first {
                // Section 6.1: an indexed field.
                0x80.. => {
                    let index = reader.integer(7)?;
                    let (name, value) = table::field(&self.table, index).ok_or(HpackError::Index)?;
                    list.push(name, value);
                }
                // Section 6.2.1: a literal with incremental indexing.
                0x40.. => {
                    let name_len = self.literal(&mut reader, 6, &mut literal)?;
                    push_literal(list, &literal, name_len);
                    self.table.add(&literal, name_len);
                }
                // Section 6.3: a new size of the dynamic table.
                0x20.. => {
                    size_updates += 1;
                    let size = reader.integer(5)?;
                    if !may_resize || size_updates > MAX_SIZE_UPDATES || size > self.max_table_size {
                        return Err(HpackError::TableSize);
                    }
                    self.table.resize(size);
                    continue;
                }
                // Sections 6.2.2 and 6.2.3: a literal without indexing, or never indexed.
                _ => {
                    let name_len = self.literal(&mut reader, 4, &mut literal)?;
                    push_literal(list, &literal, name_len);
                }
            }
            may_resize = false;
        }
        Ok(())
    }

    /// Reads a literal field into `literal`. Returns the length of its name.
    fn literal(
        &self,
        reader: &mut Reader<'_>,
        prefix: u32,
        literal: &mut Vec<u8>,
    ) -> Result<usize, HpackError> {
        literal.clear();
        match reader.integer(prefix)? {
            0 => reader.string(literal)?,
            index => {
                let (name, _) = table::field(&self.table, index).ok_or(HpackError::Index)?;
                literal.extend_from_slice(name);
            }
        }
        let name_len = literal.len();
        reader.string(literal)?;
        Ok(name_len)
    }
}

fn push_literal(list: &mut FieldList, literal: &[u8], name_len: usize) {
    let (name, value) = literal.split_at_checked(name_len).unwrap_or_default();
    list.push(name, value);
}

struct Reader<'b> {
    rest: &'b [u8],
}

impl Reader<'_> {
    fn octet(&mut self) -> Result<u8, HpackError> {
        let (first, rest) = self.rest.split_first().ok_or(HpackError::Truncated)?;
        self.rest = rest;
        Ok(*first)
    }

    /// Section 5.1: an integer with a prefix of this many bits in its first octet.
    fn integer(&mut self, prefix: u32) -> Result<usize, HpackError> {
        let mask = u64::from(u8::MAX >> (8 - prefix));
        let mut value = u64::from(self.octet()?) & mask;
        if value < mask {
            return usize::try_from(value).map_err(|_| HpackError::Integer);
        }
        for shift in (0..MAX_INTEGER_OCTETS).map(|number| 7 * number) {
            let octet = self.octet()?;
            // At most 2^35, which fits.
            value += u64::from(octet & 0x7f) << shift;
            if octet & 0x80 == 0 {
                let value = u32::try_from(value).map_err(|_| HpackError::Integer)?;
                return usize::try_from(value).map_err(|_| HpackError::Integer);
            }
        }
        Err(HpackError::Integer)
    }

    /// Section 5.2.
    fn string(&mut self, into: &mut Vec<u8>) -> Result<(), HpackError> {
        let is_huffman = self.rest.first().is_some_and(|first| first & 0x80 != 0);
        let length = self.integer(7)?;
        let (string, rest) = self.rest.split_at_checked(length).ok_or(HpackError::Truncated)?;
        self.rest = rest;
        if is_huffman {
            return huffman::decode(string, into);
        }
        into.extend_from_slice(string);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
