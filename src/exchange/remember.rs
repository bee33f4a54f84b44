//! What the list of recent refusals keeps of an exchange.

use super::{Exchange, RefusedToken, Summary, client};
use crate::claims::VerifiedToken;
use crate::refusals::{self, Refusal};
use crate::trace_context::TraceIdText;

impl Exchange {
    /// Adds a refusal to the list for the status page.
    pub(super) fn remember(&self, summary: &Summary<'_>) {
        let Some(reason) = summary.reason else { return };
        let (token, refused) = (self.token.as_deref(), self.refused_token.as_ref());
        let claimed = |of: fn(&RefusedToken) -> &Option<Box<str>>| {
            refused.filter(|_| token.is_none()).and_then(|refused| of(refused).as_deref())
        };
        let kid = token.map_or_else(|| claimed(|refused| &refused.kid), VerifiedToken::kid);
        let client = self.user_agent.as_ref().and_then(|value| client::products(value));
        self.recorder.refusals.add(Refusal {
            time: self.time,
            request_id: self.request_id_text().into(),
            trace_id: self.trace_id.as_ref().map(|id| TraceIdText::of(id).as_str().into()),
            via: self.via,
            method: refusals::shortened(summary.method),
            path: refusals::shortened(&summary.path),
            status: self.status.map(|status| status.as_u16()),
            decision: summary.decision,
            reason,
            detail: self
                .denial
                .as_ref()
                .and_then(|denial| denial.detail.clone())
                .or_else(|| self.ended.clone()),
            rule: summary.rule.map(Into::into),
            principal: summary.principal.map(refusals::shortened),
            claimed_subject: claimed(|refused| &refused.subject).map(refusals::shortened),
            token_class: token.map(|token| token.class().as_str()),
            issuer: summary.issuer.map(Into::into),
            kid: kid.map(refusals::shortened),
            token_fingerprint: token
                .map(|token| token.fingerprint().short())
                .or_else(|| claimed(|refused| &refused.fingerprint))
                .map(Into::into),
            client: client.map(Into::into),
            source_address: self.source,
        });
    }
}
