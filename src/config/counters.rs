//! How many counters the requests of a configuration can have: one for each combination of decision, reason, issuer and
//! rule.

use crate::backend::TokenClass;
use crate::decision::{Kind, Reason};
use crate::policy::{Mode, Policy};

/// How many counters of one metric are created in advance: a configuration may have thousands of rules.
pub const MAX_PREPARED_COUNTERS: usize = 2000;

/// What the number of counters depends on.
#[derive(Clone, Copy, Debug)]
pub struct CounterNames {
    /// How many issuer entries there are.
    pub issuers: usize,
    /// How many rules there are.
    pub rules: usize,
    /// Whether anything is only reported.
    pub reports: bool,
}

impl CounterNames {
    /// Those of `issuers` entries and this policy.
    pub fn of(issuers: usize, policy: &Policy) -> Self {
        Self { issuers, rules: policy.rules.len(), reports: reports(policy) }
    }

    /// The number of counters of `metagate_requests_total`.
    pub fn requests(self) -> usize {
        let without_token = 2;
        let for_each_issuer = 1 + Reason::ALL.len() + if self.reports { reported_reasons() } else { 0 };
        // Its requests are allowed or refused.
        let of_rules = self.rules.saturating_mul(2);
        self.any_issuer()
            .saturating_mul(for_each_issuer.saturating_add(of_rules))
            .saturating_add(without_token)
    }

    /// The number of counters of `metagate_would_deny_total`.
    pub fn would_deny(self) -> usize {
        if !self.reports {
            return 0;
        }
        let classes = self.issuers.saturating_mul(TokenClass::ALL.len());
        let verified = classes.saturating_mul(REFUSED_IF_VERIFIED.len().saturating_add(self.rules));
        reported_reasons().saturating_mul(self.any_issuer()).saturating_add(verified)
    }

    /// The issuers, and none.
    fn any_issuer(self) -> usize {
        self.issuers.saturating_add(1)
    }
}

/// The reasons to refuse a verified token, in the counters of report mode.
pub const REFUSED_IF_VERIFIED: [Reason; 3] =
    [Reason::InsufficientPermissions, Reason::Revoked, Reason::ImpersonationDenied];

/// Whether a policy only reports something.
pub fn reports(policy: &Policy) -> bool {
    policy.mode == Mode::Report || policy.rules.iter().any(|rule| rule.mode == Mode::Report)
}

fn reported_reasons() -> usize {
    Reason::ALL.into_iter().filter(|reason| reason.row().kind == Kind::Authorization).count()
}
