//! Requests that ask for another protocol, and streams that end with their token.

use std::time::Duration;

use http::Response;
use http::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_VERSION};
use http::request::Parts;
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;

use super::{Gateway, Peer};
use crate::decision::{Caller, Permit};
use crate::exchange::Exchange;
use crate::outbound_head::{
    HandshakeFault, WEBSOCKET_VERSION, ask_for, asked_protocol, check_websocket, remove_connection_fields,
};
use crate::request::RequestFault;
use crate::respond::{self, Manner, ObservedBody};
use crate::revocation_list::TokenWatch;
use crate::upstream::{AnswerBody, Upstream};

const WEBSOCKET: &str = "websocket";

/// A protocol that was asked for and may be asked for, and the client's half of the connection.
pub(super) struct Upgrade {
    pub(super) protocol: String,
    client: OnUpgrade,
}

impl Gateway {
    /// What a request asks to switch to; nothing where it is not to be switched to: the request is
    /// then one like any other (RFC 9110 section 7.8).
    ///
    /// # Errors
    /// What is wrong with the handshake of a WebSocket.
    pub(super) fn upgrade(
        &self,
        upstream: &Upstream,
        head: &mut Parts,
        body: &Incoming,
    ) -> Result<Option<Upgrade>, HandshakeFault> {
        // hyper leaves it where there is an `Upgrade`.
        let Some(client) = head.extensions.remove::<OnUpgrade>() else { return Ok(None) };
        let Some(protocol) = asked_protocol(&head.method, head.version, &head.headers) else {
            return Ok(None);
        };
        let may = upstream.can_switch() && self.upgrades.iter().any(|own| **own == *protocol);
        if !may || !body.is_end_stream() {
            return Ok(None);
        }
        if protocol == WEBSOCKET {
            check_websocket(&head.headers)?;
        }
        Ok(Some(Upgrade { protocol, client }))
    }

    /// Refuses a handshake, and says which version would be taken (RFC 6455 section 4.4).
    pub(super) fn refuse_handshake(
        &self,
        exchange: Exchange,
        fault: HandshakeFault,
        body: Incoming,
        fields: &HeaderMap,
        manner: Manner,
        peer: &Peer,
    ) -> Response<ObservedBody> {
        let denial = RequestFault::BadTarget(fault.as_str()).into();
        let mut answer = self.refuse(exchange, denial, body, fields, manner, peer);
        if fault == HandshakeFault::Version {
            let version = HeaderValue::from_static(WEBSOCKET_VERSION);
            answer.headers_mut().insert(SEC_WEBSOCKET_VERSION, version);
        }
        answer
    }

    /// When what a permit lets through has to end.
    pub(super) fn end_of(&self, permit: &Permit) -> Option<Instant> {
        if !self.close_on_token_expiry {
            return None;
        }
        let Caller::Token(token) = permit.caller() else { return None };
        let left = token.valid_until()?.since((self.clock)());
        Instant::now().checked_add(Duration::from_secs(u64::try_from(left).unwrap_or(0)))
    }
}

impl Upgrade {
    /// The backend has agreed.
    pub(super) fn switch(
        self,
        upstream: &Upstream,
        exchange: Exchange,
        mut answer: Response<AnswerBody>,
        until: Option<Instant>,
        token: Option<TokenWatch>,
    ) -> Response<ObservedBody> {
        let backend = hyper::upgrade::on(&mut answer);
        remove_connection_fields(answer.headers_mut());
        ask_for(answer.headers_mut(), &self.protocol);
        let mut tunnel = upstream.tunnel(self.client, backend, self.protocol == WEBSOCKET);
        if let Some(until) = until {
            tunnel.ends_by(until);
        }
        if let Some(token) = token {
            tunnel.ends_with(token);
        }
        respond::switch(exchange, answer, tunnel)
    }
}
