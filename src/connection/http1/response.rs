//! Writes responses (RFC 9112 sections 4 to 7).

use std::fmt::Write as _;
use std::io;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderName, Method, StatusCode, Version};
use http_body::{Body, Frame};

use super::request::keeps_alive;
use crate::client_body::Outgoing;
use crate::connection::date::date;
use crate::gateway::UnreadHead;
use crate::message::field_name::{CONNECTION, CONTENT_LENGTH, DATE, TRAILER, TRANSFER_ENCODING};
use crate::message::{Decimal, Fields, Head, Response};
use crate::outbound_head::list_members;

/// The terms on which a response is sent: what the request and the connection demand.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResponseTerms {
    is_http_11: bool,
    is_to_head: bool,
    /// Whether the connection closes after the response.
    pub(super) closes: bool,
}

impl ResponseTerms {
    pub(super) fn of(head: &Head) -> Self {
        Self {
            is_http_11: head.version == Version::HTTP_11,
            is_to_head: head.method == Method::HEAD,
            closes: !keeps_alive(head),
        }
    }

    pub(super) fn of_refused(head: &UnreadHead) -> Self {
        Self { is_http_11: true, is_to_head: head.is_head(), closes: true }
    }
}

/// How the end of a response body is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// There is no body.
    None,
    /// So many bytes are left.
    Length(u64),
    Chunked,
    /// The connection closes.
    Close,
}

/// Writes one response body.
#[derive(Debug)]
pub(super) struct BodyWriter {
    framing: Framing,
    /// The trailer fields that the head announced. Others are dropped.
    trailers: Vec<HeaderName>,
}

impl BodyWriter {
    /// Writes the head. Changes `terms` if the connection has to close after this response.
    pub(super) fn begin(
        out: &mut BytesMut,
        response: &Response<impl Body>,
        terms: &mut ResponseTerms,
    ) -> Self {
        let (headers, switches) = (response.headers(), response.status() == StatusCode::SWITCHING_PROTOCOLS);
        let framing = framing(response.status(), response.body(), *terms);
        terms.closes |= framing == Framing::Close
            || list_members(headers, CONNECTION).any(|option| option.eq_ignore_ascii_case(b"close"));
        let trailers = if framing == Framing::Chunked { announced(headers) } else { Vec::new() };
        write_status(out, response.status(), response.reason());
        headers.write_to(out, |name| match name {
            // Kept in the response to HEAD, which has a length but no body.
            CONTENT_LENGTH => terms.is_to_head,
            TRANSFER_ENCODING => false,
            TRAILER => framing == Framing::Chunked,
            CONNECTION => switches,
            _ => true,
        });
        match framing {
            Framing::Length(length) => {
                out.put_slice(b"content-length: ");
                out.put_slice(Decimal::of(length).as_bytes());
                out.put_slice(b"\r\n");
            }
            Framing::Chunked => out.put_slice(b"transfer-encoding: chunked\r\n"),
            Framing::None | Framing::Close => {}
        }
        match (terms.closes, terms.is_http_11) {
            _ if switches => {}
            (true, _) => out.put_slice(b"connection: close\r\n"),
            (false, false) => out.put_slice(b"connection: keep-alive\r\n"),
            (false, true) => {}
        }
        if !headers.contains_key(DATE)
            && let Some(date) = date()
        {
            write_field(out, "date", date.as_bytes());
        }
        out.put_slice(b"\r\n");
        Self { framing, trailers }
    }

    /// Writes a frame of the body; `None` at its end. `is_last` means that no other frame follows.
    ///
    /// # Errors
    /// The body is longer or shorter than its Content-Length.
    pub(super) fn write(
        &mut self,
        out: &mut Outgoing,
        frame: Option<Frame<Bytes>>,
        is_last: bool,
    ) -> io::Result<()> {
        let mut trailers = None;
        match frame.map(Frame::into_data) {
            Some(Ok(data)) => self.write_data(out, data, is_last)?,
            Some(Err(frame)) => trailers = frame.into_trailers().ok(),
            None => {}
        }
        match &mut self.framing {
            Framing::Length(1..) if is_last => return Err(io::ErrorKind::UnexpectedEof.into()),
            Framing::Chunked if is_last || trailers.is_some() => {
                self.framing = Framing::None;
                out.text().put_slice(b"0\r\n");
                for (name, value) in trailers.iter().flatten() {
                    if self.trailers.contains(name) {
                        write_field(out.text(), name.as_str(), value.as_bytes());
                    }
                }
                out.text().put_slice(b"\r\n");
            }
            _ => {}
        }
        Ok(())
    }

    fn write_data(&mut self, out: &mut Outgoing, data: Bytes, is_last: bool) -> io::Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        match &mut self.framing {
            Framing::None => {}
            Framing::Close => out.data(data, b""),
            Framing::Length(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(io::ErrorKind::InvalidData)?;
                out.data(data, b"");
            }
            Framing::Chunked => {
                // Writing to a buffer cannot fail.
                let _ = write!(out.text(), "{:x}\r\n", data.len());
                if is_last {
                    self.framing = Framing::None;
                }
                out.data(data, if is_last { b"\r\n0\r\n\r\n" } else { b"\r\n" });
            }
        }
        Ok(())
    }
}

fn framing(status: StatusCode, body: &impl Body, terms: ResponseTerms) -> Framing {
    let has_no_body = terms.is_to_head
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if has_no_body {
        return Framing::None;
    }
    match body.size_hint().exact() {
        Some(length) => Framing::Length(length),
        None if terms.is_http_11 => Framing::Chunked,
        None => Framing::Close,
    }
}

fn announced(headers: &Fields) -> Vec<HeaderName> {
    list_members(headers, TRAILER).filter_map(|name| HeaderName::from_bytes(name).ok()).collect()
}

/// With our own version, whatever the client's is (RFC 9110 section 2.5).
fn write_status(out: &mut BytesMut, status: StatusCode, reason: &[u8]) {
    if status == StatusCode::OK && reason == b"OK" {
        return out.put_slice(b"HTTP/1.1 200 OK\r\n");
    }
    out.put_slice(b"HTTP/1.1 ");
    out.put_slice(status.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(reason);
    out.put_slice(b"\r\n");
}

fn write_field(out: &mut BytesMut, name: &str, value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.put_slice(name.as_bytes());
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}
