//! Finds the end of a request body (RFC 9112 sections 6 and 7.1), byte by byte.
//!
//! The tracker does not change the body. It says which bytes belong to it, so that the next head is read from
//! exactly the right byte. It stops at the first byte of a chunked body that another server could read
//! differently.

use super::grammar::{is_tchar, is_value_octet};

/// The limit for all chunk extensions of a body together (RFC 9112 section 7.1.1: a server ought to limit them).
const MAX_EXTENSION_BYTES: u32 = 16 * 1024;
/// The limit for all trailer fields of a body together.
const MAX_TRAILER_BYTES: u32 = 8 * 1024;
const MAX_SIZE_DIGITS: u8 = 16;

pub(super) const NOT_A_LENGTH: &str = "Content-Length is not one plain number";
pub(super) const NOT_CHUNKED: &str = "Transfer-Encoding is not exactly chunked";
pub(super) const BOTH_FRAMINGS: &str = "both Transfer-Encoding and Content-Length";

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// The body has this many bytes; at least one.
    Length(u64),
    /// The body ends with the last chunk and its trailers.
    Chunked,
}

/// What the fields of a head say about the end of its body: at most one field says it, in at most one way.
#[derive(Clone, Debug)]
pub(crate) struct FramingFields {
    length: Option<u64>,
    chunked: bool,
}

impl FramingFields {
    /// Nothing, before the first field.
    pub(crate) const fn new() -> Self {
        Self { length: None, chunked: false }
    }

    /// Reads one field of the head.
    ///
    /// # Errors
    /// Why the framing is ambiguous.
    #[inline]
    pub(crate) fn add(&mut self, name: &[u8], value: &[u8], is_http_11: bool) -> Result<(), &'static str> {
        // Comparing lengths first skips almost all other fields.
        if matches!(name.len(), 14 | 17) { self.add_of_length(name, value, is_http_11) } else { Ok(()) }
    }

    fn add_of_length(&mut self, name: &[u8], value: &[u8], is_http_11: bool) -> Result<(), &'static str> {
        match name.len() {
            14 if name.eq_ignore_ascii_case(b"content-length") => match plain_length(value) {
                Some(length) if self.length.is_none() => self.length = Some(length),
                _ => return Err(NOT_A_LENGTH),
            },
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if !value.eq_ignore_ascii_case(b"chunked") || self.chunked || !is_http_11 {
                    return Err(NOT_CHUNKED);
                }
                self.chunked = true;
            }
            _ => return Ok(()),
        }
        if self.chunked && self.length.is_some() {
            return Err(BOTH_FRAMINGS);
        }
        Ok(())
    }

    /// Reads a `Content-Length` of a response, which may state the same number several times: as a list, or in several
    /// fields (RFC 9110 section 8.6, RFC 9112 section 6.3). Returns whether it does.
    ///
    /// # Errors
    /// Why the framing is ambiguous.
    pub(crate) fn add_response_length(&mut self, value: &[u8]) -> Result<bool, &'static str> {
        let mut is_repeated = self.length.is_some();
        for (at, member) in value.split(|byte| *byte == b',').enumerate() {
            match plain_length(member.trim_ascii()) {
                Some(length) if self.length.is_none_or(|known| known == length) => self.length = Some(length),
                _ => return Err(NOT_A_LENGTH),
            }
            is_repeated |= at > 0;
        }
        if self.chunked { Err(BOTH_FRAMINGS) } else { Ok(is_repeated) }
    }

    /// The length that the head states.
    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    /// The framing that the head states; `None` if it states none.
    pub(crate) fn stated(&self) -> Option<Framing> {
        match (self.chunked, self.length) {
            (true, _) => Some(Framing::Chunked),
            (false, Some(0)) => Some(Framing::None),
            (false, Some(length)) => Some(Framing::Length(length)),
            (false, None) => None,
        }
    }
}

/// RFC 9110 section 8.6, without leading zeros, because another server might read them as octal.
pub(crate) fn plain_length(digits: &[u8]) -> Option<u64> {
    let plain = (1..=18).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    if !plain || (digits.len() > 1 && digits.first() == Some(&b'0')) {
        return None;
    }
    Some(digits.iter().fold(0, |length, digit| 10 * length + u64::from(digit - b'0')))
}

/// The first malformed byte of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct BodyFault {
    /// How many of the bytes before it were valid.
    pub at: usize,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Bytes of a body that are of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    /// Content.
    Content(usize),
    /// Chunk sizes, extensions and line ends.
    Framing(usize),
    /// The trailer section, with the empty line at its end.
    Trailers(usize),
}

/// The state of reading one body.
#[derive(Clone, Debug)]
pub struct BodyTracker {
    part: Part,
    /// How many bytes are left of the body or of the chunk.
    left: u64,
    digits: u8,
    extension_bytes: u32,
    trailer_bytes: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Done,
    Length,
    Size,
    ExtensionStart,
    ExtensionName,
    ExtensionValueStart,
    ExtensionToken,
    ExtensionQuoted,
    ExtensionEscaped,
    ExtensionQuotedEnd,
    SizeLineFeed,
    Data,
    DataReturn,
    DataLineFeed,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLineFeed,
    LastLineFeed,
}

impl BodyTracker {
    /// Starts before the first byte of the body.
    pub const fn new(framing: Framing) -> Self {
        let (part, left) = match framing {
            Framing::None | Framing::Length(0) => (Part::Done, 0),
            Framing::Length(length) => (Part::Length, length),
            Framing::Chunked => (Part::Size, 0),
        };
        Self { part, left, digits: 0, extension_bytes: 0, trailer_bytes: 0 }
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        self.part == Part::Done
    }

    /// Reads the next bytes. Returns how many of them belong to the body: all of them, until it has ended.
    ///
    /// # Errors
    /// The first malformed byte. The tracker must not be used after that.
    pub fn follow(&mut self, bytes: &[u8]) -> Result<usize, BodyFault> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            match self.part {
                Part::Done => break,
                Part::Length | Part::Data => at += self.pass(bytes.len() - at),
                _ => {
                    self.part = self.next(*byte).map_err(|why| BodyFault { at, why })?;
                    at += 1;
                }
            }
        }
        Ok(at)
    }

    /// Reads the next bytes that are of one kind: content, the framing around it, or trailers. Framing of no bytes means
    /// that the body has ended, or that `bytes` is empty.
    ///
    /// # Errors
    /// As for [`Self::follow`].
    pub(crate) fn run(&mut self, bytes: &[u8]) -> Result<Run, BodyFault> {
        if matches!(self.part, Part::Length | Part::Data) {
            return Ok(Run::Content(self.pass(bytes.len())));
        }
        let in_trailers = self.is_in_trailers();
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if matches!(self.part, Part::Done | Part::Length | Part::Data)
                || self.is_in_trailers() != in_trailers
            {
                break;
            }
            self.part = self.next(*byte).map_err(|why| BodyFault { at, why })?;
            at += 1;
        }
        Ok(if in_trailers { Run::Trailers(at) } else { Run::Framing(at) })
    }

    /// How many bytes of content are certain to follow.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    fn is_in_trailers(&self) -> bool {
        matches!(
            self.part,
            Part::TrailerStart
                | Part::TrailerName
                | Part::TrailerValue
                | Part::TrailerLineFeed
                | Part::LastLineFeed
        )
    }

    /// Skips content.
    fn pass(&mut self, available: usize) -> usize {
        let passed = usize::try_from(self.left).map_or(available, |left| left.min(available));
        self.left -= passed as u64;
        if self.left == 0 {
            self.part = if self.part == Part::Length { Part::Done } else { Part::DataReturn };
        }
        passed
    }

    /// The state after one byte of a chunk-size line, a line end or the trailer section.
    fn next(&mut self, byte: u8) -> Result<Part, &'static str> {
        match self.part {
            Part::Size => self.size(byte),
            Part::ExtensionStart
            | Part::ExtensionName
            | Part::ExtensionValueStart
            | Part::ExtensionToken
            | Part::ExtensionQuoted
            | Part::ExtensionEscaped
            | Part::ExtensionQuotedEnd => self.extension(byte),
            Part::SizeLineFeed => {
                line_feed(byte)?;
                self.digits = 0;
                Ok(if self.left == 0 { Part::TrailerStart } else { Part::Data })
            }
            Part::DataReturn if byte == b'\r' => Ok(Part::DataLineFeed),
            Part::DataReturn => Err("a chunk is longer than its size"),
            Part::DataLineFeed => line_feed(byte).map(|()| Part::Size),
            Part::TrailerStart | Part::TrailerName | Part::TrailerValue => self.trailer(byte),
            Part::TrailerLineFeed => line_feed(byte).map(|()| Part::TrailerStart),
            Part::LastLineFeed => line_feed(byte).map(|()| Part::Done),
            Part::Done | Part::Length | Part::Data => Ok(self.part),
        }
    }

    /// `chunk-size = 1*HEXDIG`, without sign or white space, and at most as many digits as 64 bits need.
    fn size(&mut self, byte: u8) -> Result<Part, &'static str> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b';' if self.digits > 0 => return Ok(Part::ExtensionStart),
            b'\r' if self.digits > 0 => return Ok(Part::SizeLineFeed),
            _ => return Err("a chunk's size is not a hexadecimal number"),
        };
        self.digits += 1;
        if self.digits > MAX_SIZE_DIGITS {
            return Err("a chunk's size has too many digits");
        }
        self.left = 16 * self.left + u64::from(digit);
        Ok(Part::Size)
    }

    /// `chunk-ext = *( ";" chunk-ext-name [ "=" ( token / quoted-string ) ] )`, without the "bad white
    /// space" (BWS) of section 7.1.1.
    fn extension(&mut self, byte: u8) -> Result<Part, &'static str> {
        self.extension_bytes += 1;
        if self.extension_bytes > MAX_EXTENSION_BYTES {
            return Err("chunk extensions are too long");
        }
        let ends = |byte| match byte {
            b';' => Some(Part::ExtensionStart),
            b'\r' => Some(Part::SizeLineFeed),
            _ => None,
        };
        let next = match self.part {
            Part::ExtensionStart | Part::ExtensionName if is_tchar(byte) => Some(Part::ExtensionName),
            Part::ExtensionName if byte == b'=' => Some(Part::ExtensionValueStart),
            Part::ExtensionValueStart if byte == b'"' => Some(Part::ExtensionQuoted),
            Part::ExtensionValueStart | Part::ExtensionToken if is_tchar(byte) => Some(Part::ExtensionToken),
            Part::ExtensionQuoted if byte == b'"' => Some(Part::ExtensionQuotedEnd),
            Part::ExtensionQuoted if byte == b'\\' => Some(Part::ExtensionEscaped),
            Part::ExtensionQuoted | Part::ExtensionEscaped if is_value_octet(byte) => {
                Some(Part::ExtensionQuoted)
            }
            Part::ExtensionName | Part::ExtensionToken | Part::ExtensionQuotedEnd => ends(byte),
            _ => None,
        };
        next.ok_or("a chunk extension is malformed")
    }

    fn trailer(&mut self, byte: u8) -> Result<Part, &'static str> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > MAX_TRAILER_BYTES {
            return Err("trailers are too long");
        }
        match (self.part, byte) {
            (Part::TrailerStart, b'\r') => Ok(Part::LastLineFeed),
            (Part::TrailerStart | Part::TrailerName, _) if is_tchar(byte) => Ok(Part::TrailerName),
            (Part::TrailerName, b':') => Ok(Part::TrailerValue),
            (Part::TrailerValue, b'\r') => Ok(Part::TrailerLineFeed),
            (Part::TrailerValue, _) if is_value_octet(byte) => Ok(Part::TrailerValue),
            _ => Err("a trailer field is malformed"),
        }
    }
}

fn line_feed(byte: u8) -> Result<(), &'static str> {
    if byte == b'\n' { Ok(()) } else { Err("a line of the body does not end with CR LF") }
}

#[cfg(test)]
mod tests;
