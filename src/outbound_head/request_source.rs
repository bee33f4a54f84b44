//! `X-DataHub-Request-Source`: whether a browser or a program is asking. GMS picks a rate limit by it
//! and believes whoever sends it (DataHub 2.0, `ClientClassifier`).

use std::net::IpAddr;

use http::header::{HeaderMap, HeaderValue};
use ipnet::IpNet;

use super::{OutboundHead, X_DATAHUB_REQUEST_SOURCE};
use crate::backend::Backend;
use crate::decision::Caller;
use crate::policy::contains_address;

const BROWSER: HeaderValue = HeaderValue::from_static("BROWSER");
const SDK: HeaderValue = HeaderValue::from_static("SDK");

impl OutboundHead {
    /// The same rules, for requests that DataHub's frontend sends to GMS from one of `networks`: it says
    /// itself which of them are those of a browser.
    #[must_use]
    pub fn with_frontend_peers(mut self, networks: Vec<IpNet>) -> Self {
        self.frontend_peers = networks;
        self
    }

    /// What the backend is told, if anything, of a request from `peer` with these fields of its own. To the
    /// frontend only the cookie of a session is a browser. DataHub's own services say it themselves.
    pub(super) fn request_source(
        &self,
        fields: &HeaderMap,
        caller: &Caller,
        peer: Option<IpAddr>,
    ) -> Option<HeaderValue> {
        match (self.backend, caller) {
            (Backend::DataHubFrontend, Caller::SessionCookie) => Some(BROWSER),
            (Backend::DataHubFrontend, Caller::Token(_)) => Some(SDK),
            (Backend::DataHubGms, Caller::Token(_)) => {
                let from_frontend = peer.is_some_and(|peer| contains_address(&self.frontend_peers, peer));
                Some(if from_frontend && says_browser(fields) { BROWSER } else { SDK })
            }
            _ => None,
        }
    }
}

/// Compared without case, as GMS does it; two values say nothing.
fn says_browser(fields: &HeaderMap) -> bool {
    let mut values = fields.get_all(X_DATAHUB_REQUEST_SOURCE).iter();
    let first = values.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"BROWSER"));
    first && values.next().is_none()
}
