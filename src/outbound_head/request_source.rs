//! Sets the field that says whether a browser or a program sends the request.

use std::net::IpAddr;

use http::HeaderValue;
use ipnet::IpNet;

use super::{Identity, OutboundHead};
use crate::backend::RequestSourceField;
use crate::decision::Caller;
use crate::message::{Fields, NewName};
use crate::policy::contains_address;

/// The field of one backend, its values, and the peers that may set it.
#[derive(Clone, Debug)]
pub(super) struct RequestSource {
    name: NewName,
    browser: HeaderValue,
    program: HeaderValue,
    has_frontend: bool,
    frontend_peers: Vec<IpNet>,
}

impl RequestSource {
    pub(super) fn new(field: &RequestSourceField) -> Self {
        Self {
            name: field.name.into(),
            browser: HeaderValue::from_static(field.browser),
            program: HeaderValue::from_static(field.program),
            has_frontend: field.has_frontend,
            frontend_peers: Vec::new(),
        }
    }

    /// Whether the request's own field says that it comes from a browser. Compared without case, as in GMS; more
    /// than one value does not count.
    fn claims_browser(&self, headers: &Fields) -> bool {
        let mut values = headers.get_all(&self.name);
        let first =
            values.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(self.browser.as_bytes()));
        first && values.next().is_none()
    }
}

impl OutboundHead {
    /// Trusts the field in requests from one of `networks`, where the backend's frontend runs: the frontend says
    /// itself which requests come from a browser.
    #[must_use]
    pub fn with_frontend_peers(mut self, networks: Vec<IpNet>) -> Self {
        if let Some(source) = self.request_source.as_mut().filter(|source| source.has_frontend) {
            source.frontend_peers = networks;
        }
        self.identity = Identity::default();
        self
    }

    /// The field to set for a request from `peer` with these fields, if any. Without a trusted frontend, only a
    /// session cookie shows that a browser sends the request. The backend's own services set the field themselves.
    pub(super) fn request_source_of(
        &self,
        headers: &Fields,
        caller: &Caller,
        peer: Option<IpAddr>,
    ) -> Option<(NewName, HeaderValue)> {
        let source = self.request_source.as_ref()?;
        let is_browser = match caller {
            // A backend with a frontend of its own reads no session cookie.
            Caller::SessionCookie if source.has_frontend => return None,
            Caller::SessionCookie => true,
            Caller::Token(_) => {
                peer.is_some_and(|peer| contains_address(&source.frontend_peers, peer))
                    && source.claims_browser(headers)
            }
            Caller::Anonymous | Caller::DatahubSystem => return None,
        };
        let value = if is_browser { &source.browser } else { &source.program };
        Some((source.name.clone(), value.clone()))
    }
}
