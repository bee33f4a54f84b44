//! Requests that ask for another protocol, and streams that end with their token.

use std::time::Duration;

use http::Response;
use http::request::Parts;
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;

use super::Gateway;
use crate::decision::{Caller, Permit};
use crate::exchange::Exchange;
use crate::outbound_head::{
    HandshakeFault, ask_for, asked_protocol, check_websocket, remove_connection_fields,
};
use crate::policy::Mode;
use crate::request::{Credentials, RequestFacts};
use crate::respond::{self, ObservedBody};
use crate::revocation_list::TokenWatch;
use crate::upstream::{AnswerBody, Upstream};

const WEBSOCKET: &str = "websocket";

/// A protocol that was asked for and may be asked for, and the client's half of the connection.
pub(super) struct Upgrade {
    pub(super) protocol: String,
    client: OnUpgrade,
}

/// What ends a request before its end.
pub(super) struct Bounds {
    /// Its token's expiry.
    pub(super) until: Option<Instant>,
    /// Its token's revocation.
    pub(super) token: Option<TokenWatch>,
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

    /// What ends a request that is let through, and its answer.
    pub(super) fn bounds(&self, permit: &Permit, facts: &RequestFacts, revocations: u64) -> Bounds {
        Bounds { until: self.end_of(permit), token: self.token_watch(permit, facts, revocations) }
    }

    /// Looks out for the revocation of the token that let a request in. `seen` is the version of the list from
    /// before it was judged.
    fn token_watch(&self, permit: &Permit, facts: &RequestFacts, seen: u64) -> Option<TokenWatch> {
        let (Caller::Token(token), Credentials::Bearer(bearer)) = (permit.caller(), &facts.credentials)
        else {
            return None;
        };
        // In report mode a revoked token would have been let in too.
        let enforced = self.admission.authorizer.policy.mode == Mode::Enforce;
        enforced.then(|| self.revocations.watch(token.clone(), bearer.as_str(), seen))
    }

    /// When what a permit lets through has to end.
    fn end_of(&self, permit: &Permit) -> Option<Instant> {
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
        bounds: Bounds,
    ) -> Response<ObservedBody> {
        let backend = hyper::upgrade::on(&mut answer);
        remove_connection_fields(answer.headers_mut());
        ask_for(answer.headers_mut(), &self.protocol);
        let mut tunnel = upstream.tunnel(self.client, backend, self.protocol == WEBSOCKET);
        if let Some(until) = bounds.until {
            tunnel.ends_by(until);
        }
        if let Some(token) = bounds.token {
            tunnel.ends_with(token);
        }
        respond::switch(exchange, answer, tunnel)
    }
}
