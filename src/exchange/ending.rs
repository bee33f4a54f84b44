//! How a permitted exchange ends.

use std::borrow::Cow;
use std::time::Duration;

use super::Exchange;
use crate::decision::Denial;
use crate::diagnosis::{self, Detail};
use crate::revocation::Revoked;
use crate::trust::TokenFault;

impl Exchange {
    /// Records that the whole response was sent.
    pub fn completed(&mut self) {
        self.complete = true;
    }

    /// Records that a streamed response or a tunnel was cut off because its token was revoked.
    pub fn ended_by_revocation(&mut self, revoked: &Revoked) {
        let mut detail = Detail::of(format_args!("ended: "));
        diagnosis::add_revoked(&mut detail, revoked, self.token.as_deref());
        self.ended = Some(detail.finish());
    }

    /// The denial for a request whose token was revoked while it waited for the backend.
    pub fn revoked_while_waiting(&self, revoked: &Revoked) -> Denial {
        let mut detail = Detail::of(format_args!(""));
        diagnosis::add_revoked(&mut detail, revoked, self.token.as_deref());
        Denial::of_token(TokenFault::Revoked(revoked.by), None).with(detail.finish())
    }

    /// Records why the backend failed.
    pub fn set_cause(&mut self, cause: Cow<'static, str>) {
        self.ended = Some(cause);
    }

    /// Records that the request is one for the token endpoint: nothing is forwarded.
    pub fn via_token_endpoint(&mut self) {
        self.via = Some("token_endpoint");
    }

    /// Records that a token with this fingerprint was issued, after `waited` for keys or the body.
    pub fn issued_token(&mut self, fingerprint: &str, waited: Duration) {
        self.waited = waited;
        let _ = self.count_overhead();
        self.in_flight = None;
        self.forwarded = true;
        self.issued = Some(fingerprint.into());
    }

    /// Records that the request is one for the revocation endpoint: nothing is forwarded.
    pub fn via_revocation_endpoint(&mut self) {
        self.via = Some("revocation_endpoint");
    }

    /// Records that its token is revoked, after `waited` for keys, the body or the list.
    pub fn revoked_token(&mut self, detail: &'static str, waited: Duration) {
        self.waited = waited;
        let _ = self.count_overhead();
        self.in_flight = None;
        self.forwarded = true;
        self.ended = Some(detail.into());
    }

    /// Records that metagate answered a CORS preflight.
    pub fn answered_preflight(&mut self) {
        let _ = self.count_overhead();
        self.answered = Some("preflight");
    }

    /// Records that metagate answered with a document of its own, which needs no token.
    pub fn answered_document(&mut self) {
        let _ = self.count_overhead();
        self.answered = Some("public");
        self.public = true;
    }

    /// The word for the decision, in audit records and metrics.
    pub(super) fn decision(&self) -> &'static str {
        if let Some(answered) = self.answered {
            return answered;
        }
        match (&self.denial, self.forwarded) {
            (Some(_), true) => "would_deny",
            (Some(denial), false) => denial.reason.row().decision,
            (None, true) if self.public => "public",
            (None, true) => "allow",
            // The client disconnected before the decision.
            (None, false) => "error",
        }
    }
}
