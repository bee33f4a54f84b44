//! Protected resource metadata: its documents, and what it adds to challenges.

use bytes::Bytes;
use http::{HeaderValue, Method};

use super::{Gateway, ListenerKind, Peer, Received};
use crate::decision::{Denial, Reason};
use crate::message::Response;
use crate::policy::Verdict;
use crate::request::RequestFault;
use crate::respond::{self, ObservedBody};

impl Gateway {
    /// The document that a request asks for, if it does. Documents need no token. A request with a malformed head is
    /// refused like every other.
    pub(super) fn metadata_document(&self, received: &Received, peer: &Peer) -> Option<Bytes> {
        let document = self.resource_metadata.as_ref()?.document(received.head.uri.path())?;
        let is_read = [Method::GET, Method::HEAD, Method::OPTIONS].contains(&received.head.method);
        let is_well_formed = || match self.facts_of(received, peer) {
            // The well-known paths are those of the host, whatever path the installation is below.
            Ok(_) | Err(RequestFault::OutsidePrefix) => true,
            Err(_) => false,
        };
        (is_read && is_well_formed()).then(|| document.clone())
    }

    /// Answers a request for a document.
    pub(super) fn answer_metadata(
        &self,
        received: Received,
        document: Bytes,
        peer: &Peer,
    ) -> Response<ObservedBody> {
        let Received { mut exchange, head, body, format } = received;
        exchange.set_source(self.admission.head.source_ip(&head.headers, peer.address));
        let close = self.discard_or_close(body, &head.headers, format.http2, peer);
        let document = (head.method != Method::OPTIONS).then_some(document);
        respond::metadata(exchange, document, format, close)
    }

    /// The challenge of a refusal, if the request is to a protected resource.
    pub(super) fn resource_challenge(
        &self,
        received: &Received,
        denial: &Denial,
        peer: &Peer,
    ) -> Option<HeaderValue> {
        let metadata = self.resource_metadata.as_ref()?;
        // On that listener the path is not that of the request that is refused.
        if peer.listener_kind == ListenerKind::ForwardAuth {
            return None;
        }
        let challenge = self.wording.texts(denial).challenge.as_ref()?;
        let of_rule = match denial.reason {
            Reason::InsufficientPermissions => Some(self.scopes_of(denial)),
            _ => None,
        };
        metadata.challenge(received.head.uri.path(), challenge, of_rule.as_deref())
    }

    /// The scopes that the deciding rule wants.
    fn scopes_of(&self, denial: &Denial) -> Vec<Box<str>> {
        let rules = &self.admission.authorizer.policy.rules;
        match denial.rule.and_then(|rule| rules.get(rule)).map(|rule| &rule.verdict) {
            Some(Verdict::Require(wanted)) => {
                let mut scopes = [&*wanted.all_scopes, &*wanted.any_scope].concat();
                scopes.dedup();
                scopes
            }
            Some(Verdict::Allow | Verdict::Deny) | None => Vec::new(),
        }
    }
}
