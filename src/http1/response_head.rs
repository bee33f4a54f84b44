//! Strict parsing of a response head (RFC 9112 sections 2 to 6), as its bytes arrive.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, StatusCode};

use crate::message::field_name::{CONTENT_LENGTH, TRANSFER_ENCODING};
use crate::message::{FieldSpans, Fields};
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
#[derive(Clone)]
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
    fields: FieldSpans,
    framing: FramingFields,
    closes: bool,
    /// Whether the length is stated more than once, each time the same.
    repeats_length: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// `HTTP/1.1 200`
    Status,
    Reason,
    LineFeed,
    Fields,
}

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
            fields: FieldSpans::new(),
            framing: FramingFields::new(),
            closes: false,
            repeats_length: false,
        }
    }

    /// Starts again before the first byte of a response to this method.
    pub fn begin(&mut self, method: &Method) {
        *self = Self { to_head: *method == Method::HEAD, ..Self::new(self.limits) };
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
        self.usual_status(head);
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

    /// The fields of a complete head, as parts of its bytes, and its reason phrase (empty if it is not ASCII), unless
    /// that is the usual one of the status. `Transfer-Encoding` is left out, because it is about the connection to the
    /// backend. A repeated `Content-Length` is replaced by one with its value (RFC 9110 section 8.6).
    pub fn take_fields(&mut self, head: BytesMut) -> (Fields, Option<Bytes>) {
        let reason = head.get(self.reason.clone()).filter(|reason| reason.is_ascii()).unwrap_or_default();
        let usual = StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason());
        let reason = (usual.map(str::as_bytes) != Some(reason)).then(|| Bytes::copy_from_slice(reason));
        let mut fields = Fields::of(std::mem::take(&mut self.fields), head);
        fields.remove(TRANSFER_ENCODING);
        if let Some(length) = self.framing.length().filter(|_| self.repeats_length) {
            fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        (fields, reason)
    }

    /// Accepts the byte at `at` and continues with `part`.
    fn advance_to(&mut self, part: Part) {
        self.at += 1;
        self.part = part;
    }

    /// Reads `HTTP/1.1`, a status and a blank at once, if they have arrived at once.
    fn usual_status(&mut self, head: &[u8]) {
        let Some([b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1', b' ', digits @ .., b' ']) =
            head.first_chunk::<13>().filter(|_| self.at == 0)
        else {
            return;
        };
        if !digits.iter().all(u8::is_ascii_digit) || digits.first() == Some(&b'0') {
            return;
        }
        self.status = digits.iter().fold(0, |status, digit| 10 * status + u16::from(digit - b'0'));
        self.is_http_11 = true;
        self.at = 12;
        self.advance_to(Part::Reason);
        self.reason = self.at..self.at;
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
        self.fields.push(name.clone(), value.clone()).ok_or(ResponseFault::TooLarge)?;
        let name = head.get(name).unwrap_or_default();
        let value = head.get(value).unwrap_or_default();
        if name.len() == 10 && name.eq_ignore_ascii_case(b"connection") {
            let mut options = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            self.closes |= options.any(|option| option.eq_ignore_ascii_case(b"close"));
            return Ok(());
        }
        if name.len() == 14 && name.eq_ignore_ascii_case(b"content-length") {
            let added = self.framing.add_response_length(value).map_err(ResponseFault::Malformed)?;
            self.repeats_length |= added;
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
