//! Another proxy asks for the decision, and carries it out itself.
//!
//! The question is turned into the request that it asks about and goes the way of every request, up
//! to the decision. Only a permit is answered with a 2xx: that is all that every proxy looks at.

use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, Version};
use hyper::body::Incoming;

use super::{ExchangeObserver, Gateway, LiveEnvironment, Peer, Received, take_place};
use crate::admission::{Admitted, RequestHead, Via};
use crate::challenge;
use crate::decision::Denial;
use crate::exchange::Exchange;
use crate::request::{ForwardAuthDialect, OriginalRequest, RequestFault};
use crate::respond::{self, ObservedBody, ResponseFormat};

/// The body of a refusal, for a proxy that takes nothing but fields from it (nginx).
const X_METAGATE_REFUSAL: HeaderName = HeaderName::from_static("x-metagate-refusal");
/// What Envoy removes from the request that it asks about.
const X_ENVOY_AUTH_HEADERS_TO_REMOVE: HeaderName = HeaderName::from_static("x-envoy-auth-headers-to-remove");

impl Gateway {
    /// Answers the question of a proxy.
    pub(super) async fn answer_proxy(
        &self,
        peer: &Peer,
        request: Request<Incoming>,
    ) -> Response<ObservedBody> {
        let (head, body) = request.into_parts();
        let http2 = head.version == Version::HTTP_2;
        let id = self.request_id(&head.headers);
        let asked = match self.forward_auth {
            Some(form) => OriginalRequest::read(form, &head.method, &head.uri, &head.headers),
            None => Err(RequestFault::BadTarget("forwardAuth is off")),
        };
        let (method, target) = match &asked {
            Ok(asked) => (asked.method.clone(), asked.target.clone()),
            Err(_) => (head.method.clone(), head.uri.clone()),
        };
        let recorder = self.recorder.clone();
        let mut exchange = Exchange::begin(recorder, method, target, &head.headers, peer.address, id);
        exchange.via_forward_auth();
        // Never as gRPC: its answers are 200, which would let the request in.
        let format =
            ResponseFormat { grpc: false, close: false, http2, to_head: head.method == Method::HEAD };
        let mut received = Received { exchange, head, body, format };
        match self.admit_asked(&mut received, peer, asked).await {
            Ok(fields) => {
                let Received { exchange, head, body, .. } = received;
                let close = self.leave(body, &head.headers, http2, peer);
                respond::grant(exchange, fields, close)
            }
            Err(denial) => {
                let refusal = self.refusal_field(&denial);
                let mut answer = self.refuse(received, denial, peer);
                if let Some(value) = refusal {
                    answer.headers_mut().insert(X_METAGATE_REFUSAL, value);
                }
                answer
            }
        }
    }

    /// The fields of the answer that lets the request in.
    async fn admit_asked(
        &self,
        received: &mut Received,
        peer: &Peer,
        asked: Result<OriginalRequest, RequestFault>,
    ) -> Result<HeaderMap, Denial> {
        let Received { exchange, head, body, .. } = received;
        let source = self.admission.head.source_behind_peer(&head.headers);
        take_place(exchange, peer, source)?;
        let asked = asked?;
        // The peer is believed in all else that it says. Without this field every client would have
        // the proxy's own address, and rules about networks would let all of them in or none.
        let source = source.ok_or(RequestFault::BadTarget("X-Forwarded-For names no address"))?;
        exchange.set_source(Some(source));
        if let Some(host) = asked.host {
            head.headers.insert(HOST, host);
        }
        // Only Envoy can be told of each.
        let removes_fields = self.forward_auth == Some(ForwardAuthDialect::Request);
        let question = RequestHead {
            method: &asked.method,
            target: &asked.target,
            version: head.version,
            headers: &head.headers,
            source: Some(source),
            content_length: None,
            via: Via::ForwardAuth { removes_fields },
        };
        let mut environment = LiveEnvironment::new(self, Some(source), body, self.unverified_timeout);
        let mut observer = ExchangeObserver::new(exchange, None, self);
        let Admitted { facts, permit } =
            self.admission.admit(&question, &mut environment, &mut observer).await?;
        let mut fields =
            self.admission.head.handed_over(&head.headers, &facts, &permit, source).map_err(Denial::new)?;
        if removes_fields {
            self.name_removals(&mut fields, &head.headers);
        }
        Ok(fields)
    }

    /// Envoy keeps a client's field where the answer has none of that name.
    fn name_removals(&self, fields: &mut HeaderMap, asked: &HeaderMap) {
        let ours = self
            .admission
            .head
            .reserved()
            .chain(self.admission.head.unlisted(asked))
            .chain([AUTHORIZATION.as_str()]);
        let removed: Vec<&str> = ours.filter(|name| !fields.contains_key(*name)).collect();
        // Names of fields fit into a field.
        if let Ok(value) = HeaderValue::try_from(removed.join(",")) {
            fields.insert(X_ENVOY_AUTH_HEADERS_TO_REMOVE, value);
        }
    }

    fn refusal_field(&self, denial: &Denial) -> Option<HeaderValue> {
        if self.forward_auth != Some(ForwardAuthDialect::Original) {
            return None;
        }
        let status = denial.reason.row().status;
        HeaderValue::try_from(challenge::body(status, self.wording.message(denial))).ok()
    }
}
