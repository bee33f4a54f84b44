//! The fields that a client must not send (step 2).

use super::{Admission, RequestHead, Via};
use crate::request::{Credentials, RequestFacts, RequestFault};

pub(super) const LOOK_ALIKE: RequestFault =
    RequestFault::BadTarget("an identity field is spelled in another way");
pub(super) const UNLISTED: RequestFault =
    RequestFault::BadTarget("a field may carry an identity and is on no list");

impl Admission {
    /// Checks what `Connection` names, and what another proxy would forward.
    pub(super) fn check_fields(
        &self,
        head: &RequestHead<'_>,
        facts: &RequestFacts,
    ) -> Result<(), RequestFault> {
        let headers = head.headers;
        match head.via {
            Via::Proxy => self.head.check_connection(headers)?,
            Via::ForwardAuth { removes_fields } => {
                // The proxy forwards both, and the backend may prefer the cookie, which was not verified.
                if facts.has_session_cookie && !matches!(facts.credentials, Credentials::Missing) {
                    return Err(RequestFault::AmbiguousCredentials("both a token and a session cookie"));
                }
                if self.head.look_alikes(headers).next().is_some() {
                    return Err(LOOK_ALIKE);
                }
                if !removes_fields && self.head.unlisted(headers).next().is_some() {
                    return Err(UNLISTED);
                }
            }
        }
        Ok(())
    }
}
