//! The credential of the user that a caller acts as.

use http::HeaderValue;

use super::Gateway;
use crate::decision::{Caller, Denial, Permit};
use crate::message::Fields;
use crate::outbound_head::remove_fields_with;

impl Gateway {
    /// Puts the credential of the user that the caller acts as into a rewritten head. `None` if the caller acts as itself.
    ///
    /// # Errors
    /// There is no credential. The client's own token must not take its place.
    pub(super) async fn set_credential(
        &self,
        headers: &mut Fields,
        permit: &Permit,
    ) -> Result<Option<HeaderValue>, Denial> {
        let Caller::Token(token) = permit.caller() else { return Ok(None) };
        let Some(user) = token.mapped_user() else { return Ok(None) };
        // Boxed, because minting is rare and its future is large.
        let credential = Box::pin(self.credentials.of(user, token, (self.clock)())).await?;
        self.admission.head.set_credential(headers, &credential);
        Ok(Some(credential))
    }
}

/// Removes the fields of a response that have the credential in them: it must not reach the client.
pub(super) fn remove_credential(headers: &mut Fields, credential: Option<&HeaderValue>) {
    let Some(credential) = credential.map(HeaderValue::as_bytes) else { return };
    remove_fields_with(headers, credential.strip_prefix(b"Bearer ").unwrap_or(credential));
}
