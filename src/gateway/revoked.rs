//! Requests whose token is revoked while they run.

use std::time::Duration;

use tokio::time::sleep;

use super::Gateway;
use crate::decision::{Caller, Permit};
use crate::policy::Mode;
use crate::request::{Credentials, RequestFacts};
use crate::revocation::RevokedBy;
use crate::revocation_list::TokenWatch;

/// Most answers come sooner. Only for those that take longer is the list looked at while we wait.
const SOON: Duration = Duration::from_secs(1);

impl Gateway {
    /// Looks out for the revocation of the token that let a request in.
    pub(super) fn token_watch(&self, permit: &Permit, facts: &RequestFacts, seen: u64) -> Option<TokenWatch> {
        let (Caller::Token(token), Credentials::Bearer(bearer)) = (permit.caller(), &facts.credentials)
        else {
            return None;
        };
        // In report mode a revoked token would have been let in too.
        let enforced = self.gate.policy.mode == Mode::Enforce;
        enforced.then(|| self.revocations.watch(token.clone(), bearer.as_str(), seen))
    }
}

/// Waits for an answer's head. An upload and a long poll end too when the token is revoked, and what the
/// backend says to a token that was revoked meanwhile reaches nobody.
///
/// # Errors
/// By what it was revoked.
pub(super) async fn unless_revoked<T>(
    answer: impl Future<Output = T> + Unpin,
    token: Option<&mut TokenWatch>,
) -> Result<T, RevokedBy> {
    let Some(token) = token else { return Ok(answer.await) };
    let answer = tokio::select! {
        biased;
        answer = answer => answer,
        by = async {
            sleep(SOON).await;
            token.revoked().await
        } => return Err(by),
    };
    token.revoked_by().map_or(Ok(answer), Err)
}
