//! Forward-auth: another proxy asks for the decision and enforces it itself.
//!
//! 1. The proxy's request is turned into the request that it asks about, the [`OriginalRequest`].
//! 2. That request goes through the same admission as every other. Nothing is forwarded.
//! 3. A permit becomes a 200 with the fields to set; a denial becomes its refusal. Proxies look only at the status, so
//!    only a permit may get a 2xx.

use http::{HeaderValue, Method, Version};

use super::{
    ExchangeObserver, FailureSource, Gateway, LiveEnvironment, Peer, Received, Waited, take_place,
    unsendable_identity,
};
use crate::admission::{Admitted, RequestHead, Via};
use crate::client_body::ClientBody;
use crate::decision::{Denial, Reason};
use crate::diagnosis::{Detail, QuotedNames};
use crate::exchange::Exchange;
use crate::message::field_name::{
    AUTHORIZATION, HOST, X_ENVOY_AUTH_HEADERS_TO_REMOVE, X_FORWARDED_FOR, X_METAGATE_REFUSAL,
};
use crate::message::{Fields, Request, Response};
use crate::panics;
use crate::request::{FaultPlace, ForwardAuthDialect, OriginalRequest, RequestFault};
use crate::respond::{self, ObservedBody, ResponseFormat};

const NO_SOURCE: RequestFault = RequestFault::BadTarget("X-Forwarded-For names no address");

/// The denial for a request whose client has no address.
fn without_source(headers: &Fields) -> Denial {
    match headers.get_all(X_FORWARDED_FOR).last() {
        Some(value) => {
            let place = FaultPlace::Value(b"x-forwarded-for", value.as_bytes());
            Denial::of_request(NO_SOURCE, Some(place))
        }
        None => Denial::new(Reason::BadTarget).with("X-Forwarded-For names no address: the field is missing"),
    }
}

impl Gateway {
    /// Serves a request on the forward-auth listener.
    pub(super) async fn serve_forward_auth(
        &self,
        peer: &Peer,
        request: Request<ClientBody>,
    ) -> Response<ObservedBody> {
        let Request { head, body } = request;
        let http2 = head.version == Version::HTTP_2;
        let id = self.request_id(&head.headers);
        let original = match self.forward_auth {
            Some(dialect) => OriginalRequest::read(dialect, &head.method, &head.uri, &head.headers),
            None => Err(RequestFault::BadTarget("forwardAuth is off")),
        };
        let (method, target) = match &original {
            Ok(original) => (original.method.clone(), original.target.clone()),
            Err(_) => (head.method.clone(), head.uri.clone()),
        };
        let recorder = self.recorder.clone();
        let mut exchange = Exchange::begin(recorder, method, target, &head.headers, peer.address, id);
        panics::is_about(exchange.request_id());
        exchange.via_forward_auth();
        exchange.set_protocol(head.version, peer.tls);
        // Never as gRPC: gRPC errors have status 200, which would permit the request.
        let format =
            ResponseFormat { grpc: false, close: false, http2, to_head: head.method == Method::HEAD };
        let mut received = Received { exchange, head, body, format };
        let admitted = self.admit_original(&mut received, peer, original).await;
        peer.named.first_turn(&peer.account).await;
        match admitted {
            Ok(headers) => {
                let Received { exchange, head, body, .. } = received;
                let close = self.discard_or_close(body, &head.headers, http2, peer);
                respond::grant(exchange, headers, close)
            }
            Err(denial) => {
                let refusal = self.refusal_field(&denial);
                let mut response = self.refuse(received, denial, peer);
                // For a proxy that reads only fields of a response (nginx).
                if let Some(value) = refusal {
                    response.headers_mut().insert(X_METAGATE_REFUSAL, value);
                }
                response
            }
        }
    }

    /// The denial for a request that does not say in one way which request it asks about.
    fn unknown_original(&self, fault: RequestFault, headers: &Fields) -> Denial {
        let (Some(dialect), RequestFault::BadTarget(why)) = (self.forward_auth, fault) else {
            return fault.into();
        };
        let found = QuotedNames(OriginalRequest::names(headers));
        let wanted = dialect.fields();
        let detail =
            Detail::of(format_args!("{why}; forwardAuth.target reads {wanted}, and the request has {found}"));
        Denial::new(Reason::BadTarget).with(detail.finish())
    }

    /// Admits the original request, and returns the fields of the response that permits it.
    async fn admit_original(
        &self,
        received: &mut Received,
        peer: &Peer,
        original: Result<OriginalRequest, RequestFault>,
    ) -> Result<Fields, Denial> {
        let Received { exchange, head, body, .. } = received;
        let source = self.admission.head.source_behind_peer(&head.headers);
        take_place(exchange, peer, source)?;
        let original = original.map_err(|fault| self.unknown_original(fault, &head.headers))?;
        // The proxy is trusted in everything else that it sends. Without this field every client would have the proxy's
        // address, and rules about networks would match all clients or none.
        let source = source.ok_or_else(|| without_source(&head.headers))?;
        exchange.set_source(Some(source));
        if let Some(host) = original.host {
            head.headers.insert(HOST, host);
        }
        // Only Envoy can be told which fields to remove.
        let removes_fields = self.forward_auth == Some(ForwardAuthDialect::Request);
        let request_head = RequestHead {
            method: &original.method,
            target: &original.target,
            version: head.version,
            headers: &head.headers,
            source: Some(source),
            content_length: None,
            via: Via::ForwardAuth { removes_fields },
            token_fields: None,
        };
        let waited = Waited::default();
        let (failures, patience) = (FailureSource::via_forward_auth(source), self.unverified_timeout);
        let mut environment =
            LiveEnvironment::new(self, peer, Some(source), failures, body, patience, &waited);
        // A verified token ends only the turns of the client that the proxy names, not those of the connection.
        let mut observer = ExchangeObserver::new(exchange, Some(peer), &waited);
        let admitted = self.admission.admit(&request_head, &mut environment, &mut observer).await;
        let Admitted { facts, permit } = admitted.inspect_err(|_| exchange.waited(waited.total()))?;
        let mut headers = self
            .admission
            .head
            .forward_auth_fields(&head.headers, &facts, &permit, source)
            .map_err(unsendable_identity)?;
        if removes_fields {
            self.name_removals(&mut headers, &head.headers);
        }
        Ok(headers)
    }

    /// Names the fields that Envoy must remove: it keeps a client's field if the response has none of that name.
    fn name_removals(&self, headers: &mut Fields, client_headers: &Fields) {
        let reserved = self
            .admission
            .head
            .reserved()
            .chain(self.admission.head.unlisted(client_headers))
            .chain([AUTHORIZATION.as_str()]);
        let removed: Vec<&str> = reserved.filter(|name| !headers.contains_key(*name)).collect();
        // Field names contain only bytes that are valid in a field.
        if let Ok(value) = HeaderValue::try_from(removed.join(",")) {
            headers.insert(X_ENVOY_AUTH_HEADERS_TO_REMOVE, value);
        }
    }

    fn refusal_field(&self, denial: &Denial) -> Option<HeaderValue> {
        if self.forward_auth != Some(ForwardAuthDialect::Original) {
            return None;
        }
        HeaderValue::from_maybe_shared(self.wording.texts(denial).body.clone()).ok()
    }
}
