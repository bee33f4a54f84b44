//! Strict parsing of a response head (RFC 9112 sections 2 to 6), as its bytes arrive.

use std::ops::Range;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{Method, StatusCode};

use crate::request::{FieldFault, FieldLine, FieldLines, Framing, FramingFields, HeadLimits, LINE_END};

/// How the end of a response's body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseFraming {
    /// By what the head says.
    Delimited(Framing),
    /// By the end of the connection.
    UntilClose,
}

/// Why the head of a response is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseFault {
    /// It is malformed or ambiguous; the text says how.
    #[error("{0}")]
    Malformed(&'static str),
    /// It is larger than the limits allow.
    #[error("the head of the response is too large")]
    TooLarge,
}

/// A complete head that can be read in only one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// Its length in bytes, including the empty line at its end.
    pub len: usize,
    /// The status.
    pub status: StatusCode,
    /// How the end of its body is found.
    pub framing: ResponseFraming,
    /// Whether the connection stays open after the response, as far as the head says. HTTP/1.0 responses end theirs.
    pub keep_alive: bool,
}

impl ResponseHead {
    /// Whether a further response follows to the same request. 101 (Switching Protocols) is a final response.
    pub fn is_interim(&self) -> bool {
        self.status.is_informational() && self.status != StatusCode::SWITCHING_PROTOCOLS
    }
}

/// The state of reading one head. Each call gets all bytes of the head that have arrived so far.
#[derive(Clone, Debug)]
pub struct ResponseHeadReader {
    limits: HeadLimits,
    /// Whether it responds to HEAD, so that it has no body whatever it says.
    to_head: bool,
    part: Part,
    at: usize,
    status: u16,
    is_http_11: bool,
    reason: Range<usize>,
    lines: FieldLines,
    fields: Vec<FieldSpan>,
    framing: FramingFields,
    closes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// `HTTP/1.1 200`
    Status,
    Reason,
    LineFeed,
    Fields,
}

/// Where a field is in the head.
#[derive(Clone, Copy, Debug)]
struct FieldSpan {
    name: (u32, u32),
    value: (u32, u32),
}

/// More spans than this are not kept for the next head.
const KEPT_SPANS: usize = 32;

const fn bad<T>(why: &'static str) -> Result<T, ResponseFault> {
    Err(ResponseFault::Malformed(why))
}

impl ResponseHeadReader {
    /// Starts before the first byte of a head.
    pub const fn new(limits: HeadLimits) -> Self {
        Self {
            limits,
            to_head: false,
            part: Part::Status,
            at: 0,
            status: 0,
            is_http_11: false,
            reason: 0..0,
            lines: FieldLines::new(0, 0),
            fields: Vec::new(),
            framing: FramingFields::new(),
            closes: false,
        }
    }

    /// Starts again before the first byte of a response to this method.
    pub fn begin(&mut self, method: &Method) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        fields.shrink_to(KEPT_SPANS);
        *self = Self { fields, to_head: *method == Method::HEAD, ..Self::new(self.limits) };
    }

    /// Starts again before the first byte of the next response to the same request, after an interim one.
    pub fn begin_next(&mut self) {
        self.begin(if self.to_head { &Method::HEAD } else { &Method::GET });
    }

    /// Reads the bytes that have arrived since the last call. `bytes` starts at the same byte as in the last call and may
    /// contain more than the head. Returns `None` until the head is complete.
    ///
    /// # Errors
    /// Why the head is refused. The bytes after it cannot be read.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Option<ResponseHead>, ResponseFault> {
        let head = bytes.get(..self.limits.bytes).unwrap_or(bytes);
        while let Some(byte) = head.get(self.at) {
            match self.part {
                Part::Status => self.status(*byte)?,
                Part::Reason => self.reason(head)?,
                Part::LineFeed if *byte == b'\n' => {
                    self.advance_to(Part::Fields);
                    self.lines = FieldLines::new(self.at, self.limits.fields);
                }
                Part::LineFeed => return bad(LINE_END),
                Part::Fields => {
                    let line = self.lines.next(head);
                    self.at = self.lines.at();
                    match line? {
                        Some(FieldLine::Field { name, value }) => self.field(head, name, value)?,
                        Some(FieldLine::End) => return self.complete().map(Some),
                        None => break,
                    }
                }
            }
        }
        if bytes.len() >= self.limits.bytes { Err(ResponseFault::TooLarge) } else { Ok(None) }
    }

    /// The reason phrase of a complete head, if it is ASCII.
    pub fn reason_of<'b>(&self, head: &'b [u8]) -> &'b [u8] {
        let reason = head.get(self.reason.clone()).unwrap_or_default();
        if reason.is_ascii() { reason } else { b"" }
    }

    /// The fields of a complete head, as parts of its bytes and in their order. `Transfer-Encoding` is left out, because
    /// it is about the connection to the backend.
    ///
    /// # Errors
    /// `head` is not the head that was read.
    pub fn headers(&self, head: &Bytes) -> Result<HeaderMap, ResponseFault> {
        const OTHER: ResponseFault = ResponseFault::Malformed("a field cannot be represented");
        let mut headers = HeaderMap::with_capacity(self.fields.len());
        for span in &self.fields {
            let range = |(start, end): (u32, u32)| start as usize..end as usize;
            let name =
                head.get(range(span.name)).and_then(|name| HeaderName::from_bytes(name).ok()).ok_or(OTHER)?;
            if name == TRANSFER_ENCODING {
                continue;
            }
            if span.value.1 as usize > head.len() {
                return Err(OTHER);
            }
            let value = HeaderValue::from_maybe_shared(head.slice(range(span.value))).map_err(|_| OTHER)?;
            headers.append(name, value);
        }
        Ok(headers)
    }

    /// Accepts the byte at `at` and continues with `part`.
    fn advance_to(&mut self, part: Part) {
        self.at += 1;
        self.part = part;
    }

    /// `HTTP/1.0` or `HTTP/1.1`, a blank, three digits, and either a blank or the end of the line: many servers leave out
    /// the blank if there is no reason phrase.
    fn status(&mut self, byte: u8) -> Result<(), ResponseFault> {
        const NAME: &[u8] = b"HTTP/1.";
        let fits = match self.at {
            7 => {
                self.is_http_11 = byte == b'1';
                matches!(byte, b'0' | b'1')
            }
            8 => byte == b' ',
            9 if byte == b'0' => false,
            9..=11 => {
                self.status = 10 * self.status + u16::from(byte.wrapping_sub(b'0'));
                byte.is_ascii_digit()
            }
            12 if byte == b' ' => {
                self.advance_to(Part::Reason);
                self.reason = self.at..self.at;
                return Ok(());
            }
            12 if byte == b'\r' => {
                self.advance_to(Part::LineFeed);
                return Ok(());
            }
            at => NAME.get(at) == Some(&byte),
        };
        if !fits {
            return bad("the status line is not version and status");
        }
        self.at += 1;
        Ok(())
    }

    fn reason(&mut self, head: &[u8]) -> Result<(), ResponseFault> {
        self.at += crate::request::value_len(head.get(self.at..).unwrap_or_default());
        match head.get(self.at) {
            None => Ok(()),
            Some(b'\r') => {
                self.reason.end = self.at;
                self.advance_to(Part::LineFeed);
                Ok(())
            }
            Some(b'\n') => bad(LINE_END),
            Some(_) => bad("the reason phrase has a control character"),
        }
    }

    fn field(&mut self, head: &[u8], name: Range<usize>, value: Range<usize>) -> Result<(), ResponseFault> {
        let narrow = |at: usize| u32::try_from(at).map_err(|_| ResponseFault::TooLarge);
        self.fields.push(FieldSpan {
            name: (narrow(name.start)?, narrow(name.end)?),
            value: (narrow(value.start)?, narrow(value.end)?),
        });
        let name = head.get(name).unwrap_or_default();
        let value = head.get(value).unwrap_or_default();
        if name.len() == 10 && name.eq_ignore_ascii_case(b"connection") {
            let mut options = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            self.closes |= options.any(|option| option.eq_ignore_ascii_case(b"close"));
            return Ok(());
        }
        self.framing.add(name, value, self.is_http_11).map_err(ResponseFault::Malformed)
    }

    /// RFC 9112 section 6.3.
    fn complete(&self) -> Result<ResponseHead, ResponseFault> {
        let Ok(status) = StatusCode::from_u16(self.status) else {
            return bad("the status line is not version and status");
        };
        let switches = status == StatusCode::SWITCHING_PROTOCOLS;
        if switches && !self.is_http_11 {
            return bad("HTTP/1.0 cannot switch protocols");
        }
        let has_no_body = self.to_head
            || status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let framing = if has_no_body {
            ResponseFraming::Delimited(Framing::None)
        } else {
            self.framing.stated().map_or(ResponseFraming::UntilClose, ResponseFraming::Delimited)
        };
        // A backend that states a body here may also send one (RFC 9110 section 8.6, RFC 9112 section 6.1).
        let contradicts = status == StatusCode::NO_CONTENT
            && !self.to_head
            && self.framing.stated().is_some_and(|framing| framing != Framing::None);
        let ends = contradicts || self.closes || switches || framing == ResponseFraming::UntilClose;
        Ok(ResponseHead { len: self.at, status, framing, keep_alive: self.is_http_11 && !ends })
    }
}

impl From<FieldFault> for ResponseFault {
    fn from(fault: FieldFault) -> Self {
        match fault {
            FieldFault::Malformed(why) => Self::Malformed(why),
            FieldFault::TooLarge => Self::TooLarge,
        }
    }
}

#[cfg(test)]
mod tests;
