//! Whether a browser or a program is asking, as a backend is told by a field of its own.

use std::net::IpAddr;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use super::OutboundHead;
use crate::backend::RequestSourceField;
use crate::decision::Caller;
use crate::policy::contains_address;

/// What one backend is told, and by which field.
#[derive(Clone, Debug)]
pub(super) struct RequestSource {
    name: HeaderName,
    browser: HeaderValue,
    program: HeaderValue,
    has_frontend: bool,
    frontend_peers: Vec<IpNet>,
}

impl RequestSource {
    pub(super) fn new(field: &RequestSourceField) -> Self {
        Self {
            name: HeaderName::from_static(field.name),
            browser: HeaderValue::from_static(field.browser),
            program: HeaderValue::from_static(field.program),
            has_frontend: field.has_frontend,
            frontend_peers: Vec::new(),
        }
    }

    /// Compared without case, as GMS does it; two values say nothing.
    fn is_said_to_be_browser(&self, fields: &HeaderMap) -> bool {
        let mut values = fields.get_all(&self.name).iter();
        let first =
            values.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(self.browser.as_bytes()));
        first && values.next().is_none()
    }
}

impl OutboundHead {
    /// The same rules, for requests that the backend's frontend sends from one of `networks`: it says
    /// itself which of them are those of a browser.
    #[must_use]
    pub fn with_frontend_peers(mut self, networks: Vec<IpNet>) -> Self {
        if let Some(source) = self.request_source.as_mut().filter(|source| source.has_frontend) {
            source.frontend_peers = networks;
        }
        self
    }

    /// What the backend is told, if anything, of a request from `peer` with these fields of its own. Only
    /// the cookie of a session is a browser. The backend's own services say it themselves.
    pub(super) fn request_source_of(
        &self,
        fields: &HeaderMap,
        caller: &Caller,
        peer: Option<IpAddr>,
    ) -> Option<(HeaderName, HeaderValue)> {
        let source = self.request_source.as_ref()?;
        let is_browser = match caller {
            Caller::SessionCookie => true,
            Caller::Token(_) => {
                peer.is_some_and(|peer| contains_address(&source.frontend_peers, peer))
                    && source.is_said_to_be_browser(fields)
            }
            Caller::Anonymous | Caller::DatahubSystem => return None,
        };
        let value = if is_browser { &source.browser } else { &source.program };
        Some((source.name.clone(), value.clone()))
    }
}
