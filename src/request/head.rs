//! Strict parsing of an HTTP/1 request head (RFC 9112 sections 2 to 6), as its bytes arrive.
//!
//! Every byte is read once. A malformed head is refused at its first bad byte, however the bytes are split into
//! reads. A head that passes can be read in only one way: CR LF ends every line, one space separates the parts of
//! the request line, no field is folded, and at most one field says where the body ends.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::RequestFault;
use super::field_lines::{FieldFault, FieldLine, FieldLines, LINE_END};
use super::framing::{Framing, FramingFields};
use super::grammar::{bad_target_octet, is_path_octet, is_query_octet, token_len};
use super::repeated::RepeatedSections;
use super::uri::uri_of;
use crate::message::{FieldSpans, Fields};

/// The longest method. The longest registered one has 17 bytes.
pub(super) const MAX_METHOD: usize = 32;
/// The most empty lines before a request line (RFC 9112 section 2.2).
const MAX_EMPTY_LINES: u8 = 4;

/// How large a head may be.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// The whole head, in bytes.
    pub bytes: usize,
    /// The target, in bytes (RFC 9110 section 4.1 recommends supporting at least 8000).
    pub target: usize,
    /// The number of fields.
    pub fields: usize,
}

/// A complete head that can be read in only one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its length in bytes, including empty lines before it and the empty line at its end.
    pub len: usize,
    /// How the end of its body is found.
    pub framing: Framing,
    /// Whether it asks for another protocol (`Upgrade`). If so, the next bytes may not be a request.
    pub upgrades: bool,
}

/// The state of reading one head. Each call gets all bytes of the head that have arrived so far.
#[derive(Clone)]
pub struct HeadScanner {
    limits: HeadLimits,
    /// The part of the head that the byte at `at` belongs to.
    part: Part,
    at: usize,
    /// Where the current method, target or version begins.
    begin: usize,
    empty_lines: u8,
    method: Range<usize>,
    target: Range<usize>,
    is_http_11: bool,
    lines: FieldLines,
    fields: FieldSpans,
    framing: FramingFields,
    upgrades: bool,
    /// The fields, if their section was received before.
    repeated: Option<Fields>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Empty lines that robust servers skip.
    Before,
    BeforeLineFeed,
    Method,
    TargetStart,
    Path,
    Query,
    /// A target in absolute-form, authority-form or asterisk-form.
    OtherTarget,
    /// The query of a target in absolute-form.
    OtherQuery,
    Version,
    LineFeed,
    Fields,
}

const fn bad<T>(why: &'static str) -> Result<T, RequestFault> {
    Err(RequestFault::BadTarget(why))
}

const REQUEST_LINE: &str = "request line is not method, target and version";

impl HeadScanner {
    /// Starts before the first byte of the head.
    pub const fn new(limits: HeadLimits) -> Self {
        Self {
            limits,
            part: Part::Before,
            at: 0,
            begin: 0,
            empty_lines: 0,
            method: 0..0,
            target: 0..0,
            is_http_11: false,
            lines: FieldLines::new(0, 0),
            fields: FieldSpans::new(),
            framing: FramingFields::new(),
            upgrades: false,
            repeated: None,
        }
    }

    /// Whether a byte of the head has arrived, not counting empty lines before it.
    pub fn has_begun(&self) -> bool {
        !matches!(self.part, Part::Before | Part::BeforeLineFeed)
    }

    /// How many bytes have been read.
    pub fn seen(&self) -> usize {
        self.at
    }

    /// Reads the bytes that have arrived since the last call. `bytes` starts at the same byte as in the last call
    /// and may contain more than the head. Returns `None` until the head is complete.
    ///
    /// # Errors
    /// Why the head is refused. The bytes after it cannot be read.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<Option<Head>, RequestFault> {
        self.read(bytes, None)
    }

    /// The same, without reading a field section again that is among these.
    ///
    /// # Errors
    /// As for [`Self::scan`].
    pub fn scan_with(
        &mut self,
        bytes: &[u8],
        repeated: &mut RepeatedSections,
    ) -> Result<Option<Head>, RequestFault> {
        self.read(bytes, Some(repeated))
    }

    fn read(
        &mut self,
        bytes: &[u8],
        mut repeated: Option<&mut RepeatedSections>,
    ) -> Result<Option<Head>, RequestFault> {
        let head = bytes.get(..self.limits.bytes).unwrap_or(bytes);
        while let Some(byte) = head.get(self.at) {
            let byte = *byte;
            match self.part {
                Part::Before | Part::BeforeLineFeed => self.before(byte)?,
                Part::Method => self.method(head)?,
                Part::TargetStart => {
                    self.part = if byte == b'/' { Part::Path } else { Part::OtherTarget };
                }
                Part::Path | Part::Query | Part::OtherTarget | Part::OtherQuery => self.target(head)?,
                Part::Version => {
                    if !self.usual_version(head) {
                        self.version(byte)?;
                    } else if let Some(sections) = &mut repeated
                        && self.is_repeated(head, sections)
                    {
                        return Ok(Some(self.complete()));
                    }
                }
                Part::LineFeed if byte == b'\n' => {
                    self.advance_to(Part::Fields);
                    self.lines = FieldLines::new(self.at, self.limits.fields);
                }
                Part::LineFeed => return bad(LINE_END),
                Part::Fields => {
                    let line = self.lines.next(head);
                    self.at = self.lines.at();
                    match line? {
                        Some(FieldLine::Field { name, value }) => self.field(head, name, value)?,
                        Some(FieldLine::End) => return Ok(Some(self.complete())),
                        None => break,
                    }
                }
            }
        }
        if bytes.len() >= self.limits.bytes { Err(RequestFault::HeadTooLarge) } else { Ok(None) }
    }

    /// The method, as far as it has been read.
    pub fn method_of<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        let end =
            if self.part == Part::Method { self.at.min(self.begin + MAX_METHOD) } else { self.method.end };
        bytes.get(self.method.start..end).unwrap_or_default()
    }

    /// The target, as far as it has been read.
    pub fn target_of<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        let end = if self.in_target() { self.at } else { self.target.end };
        bytes.get(self.target.start..end).unwrap_or_default()
    }

    /// A complete head, and its fields as parts of bytes. Afterwards the scanner has none.
    pub fn take_fields(&mut self, head: BytesMut) -> (Bytes, Fields) {
        if let Some(fields) = self.repeated.take() {
            return (head.freeze(), fields);
        }
        let fields = Fields::of(std::mem::take(&mut self.fields), head);
        (fields.received().clone(), fields)
    }

    /// Whether the version of a complete head is HTTP/1.1, not HTTP/1.0.
    pub fn is_http_11(&self) -> bool {
        self.is_http_11
    }

    fn in_target(&self) -> bool {
        matches!(self.part, Part::Path | Part::Query | Part::OtherTarget | Part::OtherQuery)
    }

    /// Accepts the byte at `at` and continues with `part`.
    fn advance_to(&mut self, part: Part) {
        self.at += 1;
        self.part = part;
        self.begin = self.at;
    }

    fn before(&mut self, byte: u8) -> Result<(), RequestFault> {
        match (self.part, byte) {
            (Part::Before, b'\r') if self.empty_lines < MAX_EMPTY_LINES => {
                self.empty_lines += 1;
                self.advance_to(Part::BeforeLineFeed);
            }
            (Part::Before, b'\r') => return bad("empty lines before the request line"),
            (Part::Before, _) => {
                self.part = Part::Method;
                self.begin = self.at;
                self.method = self.at..self.at;
            }
            (_, b'\n') => self.advance_to(Part::Before),
            _ => return bad(LINE_END),
        }
        Ok(())
    }

    fn method(&mut self, head: &[u8]) -> Result<(), RequestFault> {
        self.at += token_len(head.get(self.at..).unwrap_or_default());
        let len = self.at - self.begin;
        if len > MAX_METHOD {
            return bad("method is too long");
        }
        match head.get(self.at) {
            None => Ok(()),
            Some(b' ') if len > 0 => {
                self.method = self.begin..self.at;
                self.advance_to(Part::TargetStart);
                self.target = self.at..self.at;
                Ok(())
            }
            Some(b'\n') => bad(LINE_END),
            Some(b'\r') => bad(REQUEST_LINE),
            Some(_) => bad("method is not a token"),
        }
    }

    /// Accepts the octets of a target that `http::Uri` accepts unescaped, except the backslash in a path, and every
    /// visible octet except `#` in a query.
    fn target(&mut self, head: &[u8]) -> Result<(), RequestFault> {
        let part = self.part;
        let allowed = |byte: u8| match part {
            Part::Path => is_path_octet(byte),
            Part::Query | Part::OtherQuery => is_query_octet(byte),
            _ => byte.is_ascii_graphic() && !matches!(byte, b'#' | b'?' | b'\\'),
        };
        let rest = head.get(self.at..).unwrap_or_default();
        self.at += rest.iter().position(|byte| !allowed(*byte)).unwrap_or(rest.len());
        if self.at - self.begin > self.limits.target {
            return Err(RequestFault::TargetTooLong);
        }
        match head.get(self.at) {
            None => Ok(()),
            // It is read as an octet of the query.
            Some(b'?') => {
                self.part = if self.part == Part::Path { Part::Query } else { Part::OtherQuery };
                Ok(())
            }
            Some(b' ') => self.target_ends(head),
            Some(b'\r' | b'\n') => bad(REQUEST_LINE),
            Some(byte) => bad(bad_target_octet(*byte)),
        }
    }

    fn target_ends(&mut self, head: &[u8]) -> Result<(), RequestFault> {
        self.target.end = self.at;
        let target = head.get(self.begin..self.at).unwrap_or_default();
        if matches!(self.part, Part::OtherTarget | Part::OtherQuery) {
            uri_of(target)?;
        }
        self.advance_to(Part::Version);
        Ok(())
    }

    /// Reads `HTTP/1.1` and the end of the line at once, if they have arrived at once.
    fn usual_version(&mut self, head: &[u8]) -> bool {
        const USUAL: &[u8] = b"HTTP/1.1\r\n";
        let is_usual = self.at == self.begin && head.get(self.at..self.at + USUAL.len()) == Some(USUAL);
        if is_usual {
            self.is_http_11 = true;
            self.at += USUAL.len() - 1;
            self.advance_to(Part::Fields);
            self.lines = FieldLines::new(self.at, self.limits.fields);
        }
        is_usual
    }

    /// Whether the field section was received before. It begins at `at` and is the rest of what has arrived.
    fn is_repeated(&mut self, head: &[u8], sections: &mut RepeatedSections) -> bool {
        let found = head.get(self.at..).and_then(|octets| sections.find(octets));
        self.repeated = found.filter(|fields| fields.len() <= self.limits.fields);
        if self.repeated.is_some() {
            self.at = head.len();
        }
        self.repeated.is_some()
    }

    /// `HTTP/1.0` or `HTTP/1.1`, and the end of the line.
    fn version(&mut self, byte: u8) -> Result<(), RequestFault> {
        const NAME: &[u8] = b"HTTP/1.";
        let index = self.at - self.begin;
        let fits = match NAME.get(index) {
            Some(expected) => byte == *expected,
            None if index == NAME.len() => {
                self.is_http_11 = byte == b'1';
                matches!(byte, b'0' | b'1')
            }
            None if byte == b'\r' => {
                self.advance_to(Part::LineFeed);
                return Ok(());
            }
            None if byte == b'\n' => return bad(LINE_END),
            None => false,
        };
        if !fits {
            return bad("version is neither HTTP/1.0 nor HTTP/1.1");
        }
        self.at += 1;
        Ok(())
    }

    /// Reads the fields that say where the message ends. Comparing lengths first skips almost all other fields.
    fn field(&mut self, head: &[u8], name: Range<usize>, value: Range<usize>) -> Result<(), RequestFault> {
        self.fields.push(name.clone(), value.clone()).ok_or(RequestFault::HeadTooLarge)?;
        let name = head.get(name).unwrap_or_default();
        if name.len() == 7 && name.eq_ignore_ascii_case(b"upgrade") {
            self.upgrades = true;
            return Ok(());
        }
        let value = head.get(value).unwrap_or_default();
        self.framing.add(name, value, self.is_http_11).map_err(RequestFault::BadTarget)
    }

    fn complete(&self) -> Head {
        let framing = self.framing.stated().unwrap_or(Framing::None);
        Head { len: self.at, framing, upgrades: self.upgrades && self.is_http_11 }
    }
}

impl From<FieldFault> for RequestFault {
    fn from(fault: FieldFault) -> Self {
        match fault {
            FieldFault::Malformed(why) => Self::BadTarget(why),
            FieldFault::TooLarge => Self::HeadTooLarge,
        }
    }
}

#[cfg(test)]
mod tests;
