//! CORS preflights: those that are answered here, and what operators are told about the others.

use http::Method;

use super::{Gateway, Peer, Received};
use crate::admission::{RequestHead, Via};
use crate::cors::{CrossOrigin, is_preflight};
use crate::decision::{Denial, Reason};
use crate::diagnosis::{Detail, Quoted};
use crate::message::field_name::ORIGIN;
use crate::message::{Fields, Head, Response};
use crate::request::{RequestFacts, RequestFault};
use crate::respond::{self, ObservedBody};

impl Gateway {
    /// The fields of the response, if the request is a preflight from an allowed origin. One with a malformed head is
    /// refused like every other request.
    pub(super) fn preflight(
        &self,
        cross_origin: &CrossOrigin<'_>,
        received: &Received,
        peer: &Peer,
    ) -> Option<Fields> {
        let answer = cross_origin.answer(&received.head.method, &received.head.headers)?;
        self.facts_of(received, peer).is_ok().then_some(answer)
    }

    /// The facts of a request that is answered without a decision, or what is wrong with its head.
    pub(super) fn facts_of(
        &self,
        received: &Received,
        peer: &Peer,
    ) -> Result<Box<RequestFacts>, RequestFault> {
        let Head { method, uri, version, headers } = &*received.head;
        let head = RequestHead {
            method,
            target: uri,
            version: *version,
            headers,
            source: peer.address,
            content_length: None,
            via: Via::Proxy,
            token_fields: self.token_fields(peer),
        };
        self.admission.facts(&head)
    }

    /// Answers a preflight. Nothing is forwarded, and no token is looked at.
    pub(super) fn answer_preflight(
        &self,
        received: Received,
        fields: Fields,
        peer: &Peer,
    ) -> Response<ObservedBody> {
        let Received { mut exchange, head, body, format } = received;
        exchange.set_source(self.admission.head.source_ip(&head.headers, peer.address));
        let close = self.discard_or_close(body, &head.headers, format.http2, peer);
        respond::preflight(exchange, fields, close)
    }
}

/// The denial, which says what to configure if a preflight was refused because it has no token.
pub(super) fn explained(denial: Denial, head: &Head) -> Denial {
    if denial.reason != Reason::MissingToken
        || head.method != Method::OPTIONS
        || !is_preflight(&head.method, &head.headers)
    {
        return denial;
    }
    let origin = head.headers.only(ORIGIN);
    let detail = match origin.as_ref().and_then(|origin| origin.to_str().ok()) {
        Some("null") => Detail::of(format_args!(
            "a CORS preflight of a page whose origin is null (sandboxed or local), which cannot be allowed"
        )),
        origin => Detail::of(format_args!(
            "a CORS preflight, which never has a token: if pages of this origin may send requests, add {} to \
             cors.allowOrigins",
            Quoted(origin.unwrap_or_default())
        )),
    };
    denial.with(detail.finish())
}
