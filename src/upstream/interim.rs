//! Interim responses of the backend (RFC 9110 section 15.2), such as 103 (Early Hints).
//!
//! The task of the client's connection, or over HTTP/2 of its stream, reads them from the backend, so they wait here only
//! until it has been polled: it then writes them, in front of the final response if that has arrived too.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use http::StatusCode;

use crate::message::Fields;
use crate::message::field_name::CONTENT_LENGTH;
use crate::outbound_head::remove_connection_fields;

/// How much may wait, and how much is sent of one request over HTTP/2, where h2 buffers it without a limit. More is
/// dropped: an interim response is only a hint.
const MAX_BYTES: usize = 16 * 1024;

/// The interim responses to the current request of a connection, or to the request of a stream.
#[derive(Debug, Default)]
pub struct InterimResponses(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    heads: Vec<(StatusCode, Fields)>,
    /// How many they would take over HTTP/1.
    bytes: usize,
}

impl InterimResponses {
    /// 100 (Continue) applies to one connection only, and 101 (Switching Protocols) is a final response.
    pub(super) fn add(&self, status: StatusCode, mut headers: Fields) {
        if matches!(status, StatusCode::CONTINUE | StatusCode::SWITCHING_PROTOCOLS) {
            return;
        }
        remove_connection_fields(&mut headers);
        headers.remove(CONTENT_LENGTH);
        let fields = headers.iter().map(|field| field.name().len() + field.value().as_bytes().len() + 4);
        let bytes = STATUS_LINE_BYTES + fields.sum::<usize>();
        let mut waiting = self.waiting();
        if waiting.bytes + bytes <= MAX_BYTES {
            waiting.bytes += bytes;
            waiting.heads.push((status, headers));
        }
    }

    /// Takes the bytes to write over HTTP/1.
    pub fn take(&self) -> Bytes {
        let mut waiting = self.waiting();
        if waiting.heads.is_empty() {
            return Bytes::new();
        }
        let mut bytes = BytesMut::with_capacity(waiting.bytes);
        for (status, headers) in std::mem::take(&mut *waiting).heads {
            let reason = status.canonical_reason().unwrap_or_default();
            for part in [&b"HTTP/1.1 "[..], status.as_str().as_bytes(), b" ", reason.as_bytes(), b"\r\n"] {
                bytes.extend_from_slice(part);
            }
            headers.write_to(&mut bytes, |_| true);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.freeze()
    }

    /// Takes the heads to send over HTTP/2. They still count for the limit.
    pub fn take_heads(&self) -> Vec<(StatusCode, Fields)> {
        std::mem::take(&mut self.waiting().heads)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a status line takes at most, with the empty line after the fields.
const STATUS_LINE_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn early_hints_are_forwarded_without_connection_fields() {
        let interim = InterimResponses::default();
        let mut headers = Fields::new();
        for (name, value) in [
            ("link", "</a.css>; rel=preload"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("content-length", "5"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        interim.add(StatusCode::CONTINUE, headers.clone());
        interim.add(StatusCode::SWITCHING_PROTOCOLS, headers.clone());
        assert_eq!(interim.take(), "");
        interim.add(StatusCode::EARLY_HINTS, headers.clone());
        assert_eq!(interim.take(), "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n");
        (0..1000).for_each(|_| interim.add(StatusCode::EARLY_HINTS, headers.clone()));
        assert!(interim.take().len() <= MAX_BYTES);
    }

    #[test]
    fn over_http2_the_limit_applies_to_the_whole_request() {
        let interim = InterimResponses::default();
        let mut headers = Fields::new();
        headers.insert("link", HeaderValue::from_static("</a.css>; rel=preload"));
        let mut count = 0;
        for _ in 0..1000 {
            interim.add(StatusCode::EARLY_HINTS, headers.clone());
            count += interim.take_heads().len();
        }
        assert!((100..MAX_BYTES / STATUS_LINE_BYTES).contains(&count), "{count}");
    }
}
