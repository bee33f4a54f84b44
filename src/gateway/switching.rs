//! Requests to switch protocols, and the bounds that end streams and tunnels with their token.

use std::time::Duration;

use http::StatusCode;
use http_body::Body as _;
use tokio::time::Instant;

use super::Gateway;
use crate::client_body::ClientBody;
use crate::decision::{Caller, Permit};
use crate::exchange::Exchange;
use crate::jose::Algorithm;
use crate::message::{Head, Response};
use crate::outbound_head::{
    HandshakeFault, check_websocket, is_granted, remove_connection_fields, requested_protocol, set_upgrade,
};
use crate::policy::Mode;
use crate::request::{Credentials, RequestFacts};
use crate::respond::{self, ObservedBody};
use crate::revocation_list::TokenWatch;
use crate::upstream::{ResponseBody, Upstream};

const WEBSOCKET: &str = "websocket";

/// A permitted request to switch protocols.
pub(super) struct Upgrade {
    pub(super) protocol: String,
}

/// What cuts off a streamed response or a tunnel.
pub(super) struct Bounds {
    /// The expiry of its token.
    pub(super) until: Option<Instant>,
    /// The revocation of its token.
    pub(super) token: Option<TokenWatch>,
}

/// Whether a response must not be relayed: a 101 to another protocol than the client asked for.
pub(super) fn is_broken<B>(response: &Response<B>, upgrade: Option<&Upgrade>) -> bool {
    let granted = || upgrade.is_some_and(|upgrade| is_granted(response.headers(), &upgrade.protocol));
    response.status() == StatusCode::SWITCHING_PROTOCOLS && !granted()
}

impl Gateway {
    /// The protocol that a request asks to switch to; `None` if it asks for none or that is not permitted. The request
    /// is then served as any other (RFC 9110 section 7.8).
    ///
    /// # Errors
    /// The WebSocket handshake is invalid.
    pub(super) fn upgrade(
        &self,
        upstream: &Upstream,
        head: &Head,
        body: &ClientBody,
    ) -> Result<Option<Upgrade>, HandshakeFault> {
        let Some(protocol) = requested_protocol(&head.method, head.version, &head.headers) else {
            return Ok(None);
        };
        let permitted = upstream.can_switch() && self.upgrades.iter().any(|listed| **listed == *protocol);
        if !permitted || !body.is_end_stream() {
            return Ok(None);
        }
        if protocol == WEBSOCKET {
            check_websocket(&head.headers)?;
        }
        Ok(Some(Upgrade { protocol }))
    }

    /// What cuts off a permitted request and its response.
    pub(super) fn bounds(&self, permit: &Permit, facts: &RequestFacts, revocations: u64) -> Bounds {
        Bounds { until: self.end_of(permit), token: self.token_watch(permit, facts, revocations) }
    }

    /// Watches for the revocation of the token of a permitted request. `seen` is the version of the list from before
    /// the token was checked.
    fn token_watch(&self, permit: &Permit, facts: &RequestFacts, seen: u64) -> Option<TokenWatch> {
        let (Caller::Token(token), Credentials::Bearer(bearer)) = (permit.caller(), &facts.credentials)
        else {
            return None;
        };
        // Report mode permits revoked tokens too.
        let enforced = self.admission.authorizer.policy.mode == Mode::Enforce;
        // Only DataHub's own tokens are listed by their text.
        let text = if token.algorithm() == Algorithm::HS256 { bearer.as_str() } else { "" };
        enforced.then(|| self.revocations.watch(token.clone(), text, seen))
    }

    /// When a permitted request must end.
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
    /// Starts the tunnel after the backend's 101.
    pub(super) fn switch(
        self,
        upstream: &Upstream,
        exchange: Box<Exchange>,
        mut response: Response<Box<ResponseBody>>,
        bounds: Bounds,
    ) -> Response<ObservedBody> {
        let backend = response.body_mut().take_switched();
        remove_connection_fields(response.headers_mut());
        set_upgrade(response.headers_mut(), &self.protocol);
        let mut tunnel = upstream.tunnel(backend, self.protocol == WEBSOCKET);
        if let Some(until) = bounds.until {
            tunnel.ends_by(until);
        }
        if let Some(token) = bounds.token {
            tunnel.ends_with(token);
        }
        respond::switch(exchange, response, tunnel)
    }
}
