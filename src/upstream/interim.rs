//! Interim responses of the backend (RFC 9110 section 15.2), such as 103 (Early Hints), for HTTP/1.1 clients.
//!
//! The task of the client's connection reads them from the backend, so they wait here only until it has been polled:
//! it then writes them, in front of the final response if that has arrived too.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use http::StatusCode;

use crate::message::Fields;
use crate::message::field_name::CONTENT_LENGTH;
use crate::outbound_head::remove_connection_fields;

/// How much may wait. More is dropped: an interim response is only a hint.
const MAX_BYTES: usize = 16 * 1024;

/// The interim responses to the current request of a connection.
#[derive(Debug, Default)]
pub struct InterimResponses(Mutex<BytesMut>);

impl InterimResponses {
    /// 100 (Continue) applies to one connection only, and 101 (Switching Protocols) is a final response.
    pub(super) fn add(&self, status: StatusCode, mut headers: Fields) {
        if matches!(status, StatusCode::CONTINUE | StatusCode::SWITCHING_PROTOCOLS) {
            return;
        }
        remove_connection_fields(&mut headers);
        headers.remove(CONTENT_LENGTH);
        let mut bytes = BytesMut::new();
        bytes.extend_from_slice(b"HTTP/1.1 ");
        bytes.extend_from_slice(status.as_str().as_bytes());
        bytes.extend_from_slice(b" ");
        bytes.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
        bytes.extend_from_slice(b"\r\n");
        for field in headers.iter() {
            for part in [field.name().as_bytes(), b": ", field.value().as_bytes(), b"\r\n"] {
                bytes.extend_from_slice(part);
            }
        }
        bytes.extend_from_slice(b"\r\n");
        let mut waiting = self.waiting();
        if waiting.len() + bytes.len() <= MAX_BYTES {
            waiting.extend_from_slice(&bytes);
        }
    }

    /// Takes the bytes to write.
    pub fn take(&self) -> Bytes {
        let mut waiting = self.waiting();
        if waiting.is_empty() { Bytes::new() } else { std::mem::take(&mut *waiting).freeze() }
    }

    fn waiting(&self) -> MutexGuard<'_, BytesMut> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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
}
