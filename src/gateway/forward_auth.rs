//! Another proxy asks for the decision, and carries it out itself.
//!
//! The question is turned into the request that it asks about and goes the way of every request, up
//! to the decision. Only a permit is answered with a 2xx: that is all that every proxy looks at.

use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, Version};
use hyper::body::Incoming;

use super::{Gateway, Peer, take_place};
use crate::challenge;
use crate::decision::{Denial, Permit, Reason};
use crate::exchange::Exchange;
use crate::request::{Asked, Credentials, RequestFacts, RequestFault, TargetForm};
use crate::respond::{self, Manner, ObservedBody};

/// The body of a refusal, for a proxy that takes nothing but fields from it (nginx).
const X_METAGATE_REFUSAL: HeaderName = HeaderName::from_static("x-metagate-refusal");
/// What Envoy removes from the request that it asks about.
const X_ENVOY_AUTH_HEADERS_TO_REMOVE: HeaderName = HeaderName::from_static("x-envoy-auth-headers-to-remove");

const LOOK_ALIKE: RequestFault = RequestFault::BadTarget("an identity field is spelled in another way");
const UNLISTED: RequestFault = RequestFault::BadTarget("a field may carry an identity and is on no list");

impl Gateway {
    /// Answers the question of a proxy.
    pub(super) async fn answer_proxy(
        &self,
        peer: &Peer,
        request: Request<Incoming>,
    ) -> Response<ObservedBody> {
        let (mut head, body) = request.into_parts();
        let http2 = head.version == Version::HTTP_2;
        let id = self.request_id(&head.headers);
        let asked = match self.forward_auth {
            Some(form) => Asked::read(form, &head.method, &head.uri, &head.headers),
            None => Err(RequestFault::BadTarget("forwardAuth is off")),
        };
        let (method, target) = match &asked {
            Ok(asked) => (asked.method.clone(), asked.target.clone()),
            Err(_) => (head.method.clone(), head.uri.clone()),
        };
        let ledger = self.ledger.clone();
        let mut exchange = Exchange::begin(ledger, method, target, &head.headers, peer.address, id);
        exchange.asked_by_proxy();
        let source = self.head.source_behind_peer(&head.headers);
        let asked = take_place(&mut exchange, peer, source).and_then(|()| asked.map_err(Denial::from));
        match self.judge_asked(&mut exchange, asked, &mut head).await {
            Ok((permit, fields)) => {
                exchange.permitted(&permit);
                let close = self.leave(body, &head.headers, http2, peer);
                respond::grant(exchange, fields, close)
            }
            Err(denial) => {
                let refusal = self.refusal_field(&denial);
                // Never as gRPC: its answers are 200, which would let the request in.
                let manner =
                    Manner { grpc: false, close: false, http2, to_head: head.method == Method::HEAD };
                let mut answer = self.refuse(exchange, denial, body, &head.headers, manner, peer);
                if let Some(value) = refusal {
                    answer.headers_mut().insert(X_METAGATE_REFUSAL, value);
                }
                answer
            }
        }
    }

    /// The permit, and the fields of the answer.
    async fn judge_asked(
        &self,
        exchange: &mut Exchange,
        asked: Result<Asked, Denial>,
        head: &mut Parts,
    ) -> Result<(Permit, HeaderMap), Denial> {
        let asked = asked?;
        // The peer is believed in all else that it says. Without this field every client would have
        // the proxy's own address, and rules about networks would let all of them in or none.
        let source = self.head.source_behind_peer(&head.headers);
        let source = source.ok_or(RequestFault::BadTarget("X-Forwarded-For names no address"))?;
        exchange.comes_from(Some(source));
        if let Some(host) = asked.host {
            head.headers.insert(HOST, host);
        }
        let habits = self.gate.backend.habits();
        let facts =
            RequestFacts::read(&asked.method, &asked.target, head.version, &head.headers, habits, source)?;
        // The proxy would forward both, and the backend may prefer the one that nobody judged.
        if facts.has_session_cookie && !matches!(facts.credentials, Credentials::Missing) {
            return Err(RequestFault::AmbiguousCredentials.into());
        }
        // The proxy would forward them, and the backend may take them for the fields that it sets.
        if self.head.has_look_alikes(&head.headers) {
            return Err(LOOK_ALIKE.into());
        }
        // Only Envoy can be told of each.
        let names_removals = self.forward_auth == Some(TargetForm::Request);
        if !names_removals && self.head.unlisted(&head.headers).next().is_some() {
            return Err(UNLISTED.into());
        }
        let permit = self.judge(exchange, &facts).await?;
        let mut fields = self
            .head
            .handed_over(&head.headers, &facts, &permit, source)
            .map_err(|reason: Reason| Denial::new(reason))?;
        if names_removals {
            self.name_removals(&mut fields, &head.headers);
        }
        Ok((permit, fields))
    }

    /// Envoy keeps a client's field where the answer has none of that name.
    fn name_removals(&self, fields: &mut HeaderMap, asked: &HeaderMap) {
        let ours = self.head.reserved().chain(self.head.unlisted(asked)).chain([AUTHORIZATION.as_str()]);
        let removed: Vec<&str> = ours.filter(|name| !fields.contains_key(*name)).collect();
        // Names of fields fit into a field.
        if let Ok(value) = HeaderValue::try_from(removed.join(",")) {
            fields.insert(X_ENVOY_AUTH_HEADERS_TO_REMOVE, value);
        }
    }

    fn refusal_field(&self, denial: &Denial) -> Option<HeaderValue> {
        if self.forward_auth != Some(TargetForm::Original) {
            return None;
        }
        let status = challenge::row(denial.reason).status;
        HeaderValue::try_from(challenge::body(status, self.wording.message(denial))).ok()
    }
}
