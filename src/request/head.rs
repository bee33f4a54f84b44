//! Strict reading of a request head (RFC 9112 sections 2 to 6), as its bytes arrive.
//!
//! Every byte is looked at once, and a fault is found at the first byte that makes it one, however
//! the bytes are split on their way. What passes can be read in one way only: CR LF ends every
//! line, one blank stands between the parts of the request line, nothing is folded, and at most
//! one statement says where the body ends.

use http::Uri;

use super::RequestFault;
use super::framing::Framing;
use super::grammar::{bad_target_octet, is_path_octet, is_query_octet, is_tchar, token_len, value_len};

/// The longest method. The longest that is registered has 17 bytes.
pub(super) const MAX_METHOD: usize = 32;
/// The longest target (RFC 9110 section 4.1 recommends that 8000 bytes are supported).
pub(super) const MAX_TARGET: usize = 8192;
/// The longest field name.
pub(super) const MAX_NAME: usize = 256;
/// Empty lines before a request line (RFC 9112 section 2.2).
const MAX_EMPTY_LINES: u8 = 4;

/// How large a head may be.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// All of it, in bytes.
    pub bytes: usize,
    /// The number of its fields.
    pub fields: usize,
}

/// A head that can be read in one way only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its length in bytes, empty lines before it and the empty line at its end included.
    pub len: usize,
    /// Where its body ends.
    pub framing: Framing,
    /// Whether it asks for another protocol (`Upgrade`): then what follows may be no request.
    pub upgrades: bool,
}

/// Reads one head. What has arrived of it is passed in from its first byte each time.
#[derive(Clone, Debug)]
pub struct HeadScanner {
    limits: HeadLimits,
    /// What the byte at `at` belongs to.
    part: Part,
    at: usize,
    /// Where the current method, target, version, name or value begins.
    begin: usize,
    empty_lines: u8,
    method: (usize, usize),
    target: (usize, usize),
    is_http_11: bool,
    name: (usize, usize),
    fields: usize,
    length: Option<u64>,
    chunked: bool,
    upgrades: bool,
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
    Version,
    LineStart,
    Name,
    Value,
    LineFeed,
    LastLineFeed,
}

const fn bad<T>(why: &'static str) -> Result<T, RequestFault> {
    Err(RequestFault::BadTarget(why))
}

const LINE_END: &str = "a line does not end with CR LF";
const REQUEST_LINE: &str = "request line is not method, target and version";

impl HeadScanner {
    /// A head of which nothing has arrived.
    pub const fn new(limits: HeadLimits) -> Self {
        Self {
            limits,
            part: Part::Before,
            at: 0,
            begin: 0,
            empty_lines: 0,
            method: (0, 0),
            target: (0, 0),
            is_http_11: false,
            name: (0, 0),
            fields: 0,
            length: None,
            chunked: false,
            upgrades: false,
        }
    }

    /// Whether a byte of the head itself has arrived.
    pub fn has_begun(&self) -> bool {
        !matches!(self.part, Part::Before | Part::BeforeLineFeed)
    }

    /// How many bytes were looked at.
    pub fn seen(&self) -> usize {
        self.at
    }

    /// Goes on with what has arrived: `bytes` begins where it began the last time, and may go on
    /// after the head. `None` while the head is not complete.
    ///
    /// # Errors
    /// Why the head is refused. Nothing that follows can be read then.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<Option<Head>, RequestFault> {
        let head = bytes.get(..self.limits.bytes).unwrap_or(bytes);
        while let Some(byte) = head.get(self.at) {
            let byte = *byte;
            match self.part {
                Part::Before | Part::BeforeLineFeed => self.before(byte)?,
                Part::Method => self.method(head)?,
                Part::TargetStart => {
                    self.part = if byte == b'/' { Part::Path } else { Part::OtherTarget };
                }
                Part::Path | Part::Query | Part::OtherTarget => self.target(head)?,
                Part::Version => self.version(byte)?,
                Part::LineStart => self.line_start(byte)?,
                Part::Name => self.name(head)?,
                Part::Value => self.value(head)?,
                Part::LineFeed if byte == b'\n' => self.go_on(Part::LineStart),
                Part::LastLineFeed if byte == b'\n' => return self.complete().map(Some),
                Part::LineFeed | Part::LastLineFeed => return bad(LINE_END),
            }
        }
        // The target is what is too long, where it is.
        if self.in_target() && self.at - self.begin > MAX_TARGET {
            return Err(RequestFault::TargetTooLong);
        }
        if bytes.len() >= self.limits.bytes { Err(RequestFault::HeadTooLarge) } else { Ok(None) }
    }

    /// The method as far as it was read.
    pub fn method_of<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        let end =
            if self.part == Part::Method { self.at.min(self.begin + MAX_METHOD) } else { self.method.1 };
        bytes.get(self.method.0..end).unwrap_or_default()
    }

    /// The target as far as it was read.
    pub fn target_of<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        let end = if self.in_target() { self.at } else { self.target.1 };
        bytes.get(self.target.0..end).unwrap_or_default()
    }

    fn in_target(&self) -> bool {
        matches!(self.part, Part::Path | Part::Query | Part::OtherTarget)
    }

    /// The byte at `at` is read, and what follows belongs to `part`.
    fn go_on(&mut self, part: Part) {
        self.at += 1;
        self.part = part;
        self.begin = self.at;
    }

    fn before(&mut self, byte: u8) -> Result<(), RequestFault> {
        match (self.part, byte) {
            (Part::Before, b'\r') if self.empty_lines < MAX_EMPTY_LINES => {
                self.empty_lines += 1;
                self.go_on(Part::BeforeLineFeed);
            }
            (Part::Before, b'\r') => return bad("empty lines before the request line"),
            (Part::Before, _) => {
                self.part = Part::Method;
                self.begin = self.at;
                self.method = (self.at, self.at);
            }
            (_, b'\n') => self.go_on(Part::Before),
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
                self.method = (self.begin, self.at);
                self.go_on(Part::TargetStart);
                self.target = (self.at, self.at);
                Ok(())
            }
            Some(b'\n') => bad(LINE_END),
            Some(b'\r') => bad(REQUEST_LINE),
            Some(_) => bad("method is not a token"),
        }
    }

    /// The octets of a target that `http::Uri` takes as they are, without the backslash.
    fn target(&mut self, head: &[u8]) -> Result<(), RequestFault> {
        let part = self.part;
        let allowed = |byte: u8| match part {
            Part::Path => is_path_octet(byte),
            Part::Query => is_query_octet(byte),
            _ => byte.is_ascii_graphic() && !matches!(byte, b'#' | b'\\'),
        };
        let rest = head.get(self.at..).unwrap_or_default();
        self.at += rest.iter().position(|byte| !allowed(*byte)).unwrap_or(rest.len());
        if self.at - self.begin > MAX_TARGET {
            return Err(RequestFault::TargetTooLong);
        }
        match head.get(self.at) {
            None => Ok(()),
            Some(b'?') if self.part == Part::Path => {
                self.at += 1;
                self.part = Part::Query;
                Ok(())
            }
            Some(b' ') => self.target_ends(head),
            Some(b'\r' | b'\n') => bad(REQUEST_LINE),
            Some(byte) => bad(bad_target_octet(*byte)),
        }
    }

    fn target_ends(&mut self, head: &[u8]) -> Result<(), RequestFault> {
        self.target.1 = self.at;
        let target = head.get(self.begin..self.at).unwrap_or_default();
        if self.part == Part::OtherTarget && Uri::try_from(target).is_err() {
            return bad("target is not of a form that requests have");
        }
        self.go_on(Part::Version);
        Ok(())
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
                self.go_on(Part::LineFeed);
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

    fn line_start(&mut self, byte: u8) -> Result<(), RequestFault> {
        match byte {
            b'\r' => self.go_on(Part::LastLineFeed),
            b'\n' => return bad(LINE_END),
            b' ' | b'\t' => return bad("a field is folded, or begins with white space"),
            b':' => return bad("a field has no name"),
            _ if !is_tchar(byte) => return bad("a field name is not a token"),
            _ if self.fields == self.limits.fields => return Err(RequestFault::HeadTooLarge),
            _ => {
                self.fields += 1;
                self.begin = self.at;
                self.part = Part::Name;
            }
        }
        Ok(())
    }

    fn name(&mut self, head: &[u8]) -> Result<(), RequestFault> {
        self.at += token_len(head.get(self.at..).unwrap_or_default());
        if self.at - self.begin > MAX_NAME {
            return Err(RequestFault::HeadTooLarge);
        }
        match head.get(self.at) {
            None => Ok(()),
            Some(b':') => {
                self.name = (self.begin, self.at);
                self.go_on(Part::Value);
                Ok(())
            }
            Some(b' ' | b'\t') => bad("white space in or after a field name"),
            Some(b'\r' | b'\n') => bad("a field has no colon"),
            Some(_) => bad("a field name is not a token"),
        }
    }

    fn value(&mut self, head: &[u8]) -> Result<(), RequestFault> {
        self.at += value_len(head.get(self.at..).unwrap_or_default());
        match head.get(self.at) {
            None => Ok(()),
            Some(b'\r') => {
                self.field(head)?;
                self.go_on(Part::LineFeed);
                Ok(())
            }
            Some(b'\n') => bad(LINE_END),
            Some(_) => bad("a field value has a control character"),
        }
    }

    /// The fields that say where the head's message ends. Their lengths tell them from the others.
    fn field(&mut self, head: &[u8]) -> Result<(), RequestFault> {
        let name = head.get(self.name.0..self.name.1).unwrap_or_default();
        let is = |own: &str| name.eq_ignore_ascii_case(own.as_bytes());
        let value = || head.get(self.begin..self.at).unwrap_or_default().trim_ascii();
        match name.len() {
            7 if is("upgrade") => self.upgrades = true,
            14 if is("content-length") => match plain_length(value()) {
                Some(length) if self.length.is_none() => self.length = Some(length),
                _ => return bad("Content-Length is not one plain number"),
            },
            17 if is("transfer-encoding") => {
                if !value().eq_ignore_ascii_case(b"chunked") || self.chunked || !self.is_http_11 {
                    return bad("Transfer-Encoding is not exactly chunked");
                }
                self.chunked = true;
            }
            _ => return Ok(()),
        }
        if self.chunked && self.length.is_some() {
            return bad("both Transfer-Encoding and Content-Length");
        }
        Ok(())
    }

    fn complete(&mut self) -> Result<Head, RequestFault> {
        self.at += 1;
        let framing = match (self.chunked, self.length) {
            (true, _) => Framing::Chunked,
            (false, None | Some(0)) => Framing::None,
            (false, Some(length)) => Framing::Length(length),
        };
        Ok(Head { len: self.at, framing, upgrades: self.upgrades && self.is_http_11 })
    }
}

/// RFC 9110 section 8.6, without leading zeros: another server might read octal.
pub(super) fn plain_length(digits: &[u8]) -> Option<u64> {
    let plain = (1..=18).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    if !plain || (digits.len() > 1 && digits.first() == Some(&b'0')) {
        return None;
    }
    Some(digits.iter().fold(0, |length, digit| 10 * length + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests;
