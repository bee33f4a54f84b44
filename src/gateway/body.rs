//! Request bodies: those to forward, and those to discard.

use std::time::Duration;

use bytes::Bytes;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use super::refusal::broken_body;
use super::{Gateway, Peer};
use crate::client_body::ClientBody;
use crate::decision::{Denial, Reason};
use crate::discard::{BODY_BUFFER_BYTES, Discarder};
use crate::exchange::Exchange;
use crate::message::Fields;
use crate::message::field_name::EXPECT;
use crate::respond::ResponseFormat;
use crate::upstream::{ReadAhead, RequestBody, RequestProgress, Rest, stated_length};

impl Gateway {
    /// The body to forward. Charges the budget for it.
    pub(super) fn request_body(
        &self,
        exchange: &mut Exchange,
        ahead: ReadAhead,
        incoming: ClientBody,
        format: ResponseFormat,
        peer: &Peer,
        head_bytes: usize,
    ) -> RequestBody {
        let is_empty = ahead.bytes.is_empty() && incoming.is_end_stream();
        if let Some(place) = exchange.place() {
            let body_bytes = if is_empty { 0 } else { BODY_BUFFER_BYTES };
            place.forwards(body_bytes + head_bytes);
        }
        if is_empty {
            return RequestBody::Empty;
        }
        let silence = if peer.account.is_trusted() { None } else { Some(self.unverified_timeout) };
        let progress = RequestProgress::new(format.grpc, silence);
        exchange.set_request_body(progress.clone());
        let rest = format.http2.then(|| self.discarder(peer));
        let (limit, incoming) = (self.admission.body_bytes, Rest::new(incoming, rest));
        RequestBody::Stream { ahead, incoming, progress, limit, last: None }
    }

    /// Discards the body of a refused request, up to the bound. Returns whether the connection must close instead: if
    /// the body is too long, or if the client waits for `100 (Continue)`, which it does not get.
    pub(super) fn discard_or_close(
        &self,
        body: ClientBody,
        headers: &Fields,
        http2: bool,
        peer: &Peer,
    ) -> bool {
        if body.is_end_stream() {
            return false;
        }
        let discarder = self.discarder(peer);
        let too_long = stated_length(headers).is_some_and(|length| length > discarder.bytes());
        if !http2 && (headers.contains_key(EXPECT) || too_long) {
            return true;
        }
        discarder.discard(body);
        false
    }

    /// Reads and discards bodies of this client.
    pub fn discarder(&self, peer: &Peer) -> Discarder {
        Discarder::new(self.discard, peer.account.clone(), peer.named.clone())
    }
}

/// Waits up to `patience` for the first bytes of a body, or its end, so that an unverified client cannot occupy a
/// connection to the backend before it sends.
pub(super) async fn first_bytes(
    body: &mut ClientBody,
    patience: Duration,
    stated: Option<u64>,
) -> Result<ReadAhead, Denial> {
    let reading = async {
        while !body.is_end_stream() {
            match body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data()
                        && !bytes.is_empty()
                    {
                        return Ok(ReadAhead { bytes, ended: body.is_end_stream() });
                    }
                }
                Some(Err(_)) => return Err(broken_body(0, stated)),
                None => break,
            }
        }
        Ok(ReadAhead { bytes: Bytes::new(), ended: true })
    };
    timeout(patience, reading).await.unwrap_or_else(|_| {
        Err(Denial::new(Reason::RequestTimeout)
            .with("the body did not begin within limits.unverifiedTimeout"))
    })
}

/// Whether a body ends within `patience` without a byte. Over HTTP/2 the end may arrive in a separate frame.
pub(super) async fn is_empty(body: &mut ClientBody, patience: Duration) -> bool {
    let reading = async {
        while !body.is_end_stream() {
            match body.frame().await {
                Some(Ok(frame)) if frame.data_ref().is_none_or(|data| data.is_empty()) => {}
                Some(_) => return false,
                None => return body.is_end_stream(),
            }
        }
        true
    };
    timeout(patience, reading).await.unwrap_or(false)
}
