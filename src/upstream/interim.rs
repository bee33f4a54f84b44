//! Interim responses of the backend (RFC 9110 section 15.2), like 103 (Early Hints), on their way to an
//! HTTP/1.1 client.
//!
//! hyper's server writes none. So they wait here until the client's stream is flushed: hyper does that
//! when everything that it was given is written, and before it has been given the final response.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HeaderMap};
use http::{Request, StatusCode};
use tokio::sync::Notify;

use crate::outbound_head::remove_connection_fields;

/// What may wait at once. A backend that sends more loses it: an interim response is only a hint.
const MAX_BYTES: usize = 16 * 1024;

/// The interim responses to the request that a connection is waiting for.
#[derive(Debug, Default)]
pub struct InterimResponses {
    waiting: Mutex<BytesMut>,
    arrived: Notify,
}

impl InterimResponses {
    /// Takes note of those to this request.
    pub(super) fn listen<B>(self: &std::sync::Arc<Self>, request: &mut Request<B>) {
        let own = self.clone();
        hyper::ext::on_informational(request, move |response| {
            own.add(response.status(), response.headers());
        });
    }

    /// 100 (Continue) is between two neighbours, and 101 (Switching Protocols) a final response.
    fn add(&self, status: StatusCode, fields: &HeaderMap) {
        if matches!(status, StatusCode::CONTINUE | StatusCode::SWITCHING_PROTOCOLS) {
            return;
        }
        let mut fields = fields.clone();
        remove_connection_fields(&mut fields);
        fields.remove(CONTENT_LENGTH);
        let mut bytes = BytesMut::new();
        bytes.extend_from_slice(b"HTTP/1.1 ");
        bytes.extend_from_slice(status.as_str().as_bytes());
        bytes.extend_from_slice(b" ");
        bytes.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
        bytes.extend_from_slice(b"\r\n");
        for (name, value) in &fields {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                bytes.extend_from_slice(part);
            }
        }
        bytes.extend_from_slice(b"\r\n");
        let mut waiting = self.waiting();
        if waiting.len() + bytes.len() <= MAX_BYTES {
            waiting.extend_from_slice(&bytes);
            drop(waiting);
            self.arrived.notify_one();
        }
    }

    /// Resolves when there is something to write.
    pub async fn arrive(&self) {
        self.arrived.notified().await;
    }

    /// What is to be written now.
    pub fn take(&self) -> Bytes {
        let mut waiting = self.waiting();
        if waiting.is_empty() { Bytes::new() } else { std::mem::take(&mut *waiting).freeze() }
    }

    /// The final response is here: what was not written comes too late.
    pub fn discard(&self) {
        self.waiting().clear();
    }

    fn waiting(&self) -> MutexGuard<'_, BytesMut> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn hints_go_on_without_what_belongs_to_the_connection() {
        let interim = InterimResponses::default();
        let mut fields = HeaderMap::new();
        for (name, value) in [
            ("link", "</a.css>; rel=preload"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("content-length", "5"),
        ] {
            fields.insert(name, HeaderValue::from_static(value));
        }
        interim.add(StatusCode::CONTINUE, &fields);
        interim.add(StatusCode::SWITCHING_PROTOCOLS, &fields);
        assert_eq!(interim.take(), "");
        interim.add(StatusCode::EARLY_HINTS, &fields);
        assert_eq!(interim.take(), "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n");
        interim.add(StatusCode::EARLY_HINTS, &fields);
        interim.discard();
        assert_eq!(interim.take(), "");
        (0..1000).for_each(|_| interim.add(StatusCode::EARLY_HINTS, &fields));
        assert!(interim.take().len() <= MAX_BYTES);
    }
}
