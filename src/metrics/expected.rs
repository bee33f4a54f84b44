//! Counters that exist from the start, at zero. Without them `increase()` does not see the first event, because a
//! counter that appears with the value 1 has not increased.

use std::hash::Hash;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::labels::{CauseLabel, FetchLabels, LimitLabel, ResultLabel, SignalLabel, SourceLabel};
use super::{KeySourceLabels, Metrics, RequestLabels, WouldDenyLabels};
use crate::backend::TokenClass;
use crate::config::{MAX_PREPARED_COUNTERS, REFUSED_IF_VERIFIED};
use crate::decision::{Kind, Reason};
use crate::signals::Signal;

/// The names that the labels of a configuration's requests can have.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'c> {
    /// The names of the issuer entries.
    pub issuers: &'c [Box<str>],
    /// The names of the rules.
    pub rules: &'c [Box<str>],
    /// Whether anything is only reported.
    pub reports: bool,
    /// Whether CORS preflights are answered.
    pub preflights: bool,
}

impl Metrics {
    /// Creates the counters that do not depend on the configuration.
    pub(super) fn create_fixed(&self) {
        self.token_cache.create(0, || ResultLabel { result: "hit" });
        self.token_cache.create(1, || ResultLabel { result: "miss" });
        for (number, limit) in ["failures", "principal"].into_iter().enumerate() {
            self.rate_limited.create(number, || LimitLabel { limit });
        }
        for signal in Signal::ALL {
            create(&self.signals, &SignalLabel { signal: signal.as_str() });
        }
        for result in ["ok", "timeout", "failed", "limited"] {
            create(&self.upstream_connections, &ResultLabel { result });
        }
        for result in ["applied", "refused"] {
            create(&self.config_reloads, &ResultLabel { result });
        }
        for result in Self::SPAN_RESULTS {
            create(&self.spans, &ResultLabel { result });
        }
        for cause in ["total", "client", "memory"] {
            create(&self.connections_refused, &CauseLabel { cause });
        }
        for cause in ["idle", "memory"] {
            create(&self.connections_closed, &CauseLabel { cause });
        }
    }

    /// Creates the counters of requests for every reason, issuer and rule of a configuration.
    pub fn expect(&self, expected: &Expected<'_>) {
        let requests = request_labels(expected).take(MAX_PREPARED_COUNTERS);
        requests.for_each(|labels| self.requests.create(&labels));
        if expected.reports {
            for labels in would_deny_labels(expected).take(MAX_PREPARED_COUNTERS) {
                create(&self.would_deny, &labels);
            }
        }
    }

    /// Creates the counters of introspection.
    pub fn expect_introspections(&self) {
        for result in ["active", "inactive", "failed", "postponed"] {
            create(&self.introspections, &ResultLabel { result });
        }
    }

    /// Creates the counters of a key source, whose fetches have these results.
    pub fn expect_source(&self, source: KeySourceLabels<'_>, results: &[&'static str]) {
        create(&self.jwks_kid_reused, &SourceLabel::from(source));
        for result in results.iter().copied() {
            create(&self.jwks_fetches, &FetchLabels::new(source, result));
        }
    }
}

fn create<L: Clone + Eq + Hash>(family: &Family<L, Counter>, labels: &L) {
    drop(family.get_or_create(labels));
}

/// The most useful first.
fn request_labels<'c>(expected: &Expected<'c>) -> impl Iterator<Item = RequestLabels<'c>> {
    let Expected { issuers, rules, reports, preflights } = *expected;
    let any_issuer = move || std::iter::once("").chain(issuers.iter().map(AsRef::as_ref));
    let forwarded = |decision, issuer, rule| RequestLabels { decision, reason: "", issuer, rule };
    let refused = |reason: Reason, issuer, rule| RequestLabels {
        decision: reason.row().decision,
        reason: reason.as_str(),
        issuer,
        rule,
    };
    let without_rule = any_issuer().map(move |issuer| forwarded("allow", issuer, ""));
    let refusals = any_issuer().flat_map(move |issuer| Reason::ALL.map(|reason| refused(reason, issuer, "")));
    let of_rules = rules.iter().flat_map(move |rule| {
        any_issuer().flat_map(move |issuer| {
            [forwarded("allow", issuer, rule), refused(Reason::InsufficientPermissions, issuer, rule)]
        })
    });
    let reported = reported_reasons().flat_map(move |reason| {
        any_issuer()
            .map(move |issuer| RequestLabels { decision: "would_deny", ..refused(reason, issuer, "") })
    });
    let reported = reported.filter(move |_| reports);
    let preflights = preflights.then(|| forwarded("preflight", "", ""));
    let without_token = [forwarded("public", "", ""), forwarded("error", "", "")];
    without_token
        .into_iter()
        .chain(preflights)
        .chain(without_rule)
        .chain(refusals)
        .chain(reported)
        .chain(of_rules)
}

/// What report mode only reports.
fn reported_reasons() -> impl Iterator<Item = Reason> {
    Reason::ALL.into_iter().filter(|reason| reason.row().kind == Kind::Authorization)
}

/// Those without a verified token, which has a class, and those with one.
fn would_deny_labels<'c>(expected: &Expected<'c>) -> impl Iterator<Item = WouldDenyLabels> {
    let Expected { issuers, rules, .. } = *expected;
    let any_issuer = move || std::iter::once("").chain(issuers.iter().map(AsRef::as_ref));
    let labels = |reason: Reason, issuer: &str, rule: &str, class| WouldDenyLabels {
        reason: reason.as_str(),
        issuer: issuer.to_owned(),
        rule: rule.to_owned(),
        class,
    };
    let classes = move |reason: Reason, issuer: &str, rule: &str| {
        TokenClass::ALL.map(|class| labels(reason, issuer, rule, class.as_str()))
    };
    let unverified = reported_reasons()
        .flat_map(move |reason| any_issuer().map(move |issuer| labels(reason, issuer, "", "")));
    let verified = REFUSED_IF_VERIFIED
        .into_iter()
        .flat_map(move |reason| issuers.iter().flat_map(move |issuer| classes(reason, issuer, "")));
    let of_rules = rules.iter().flat_map(move |rule| {
        issuers.iter().flat_map(move |issuer| classes(Reason::InsufficientPermissions, issuer, rule))
    });
    unverified.chain(verified).chain(of_rules)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CounterNames;

    /// The warning about too many counters is made from the same numbers.
    #[test]
    fn the_configuration_knows_how_many_counters_there_are() {
        for (issuers, rules, reports) in [(0, 0, false), (1, 3, false), (2, 5, true), (3, 0, true)] {
            let names = |count: usize| (0..count).map(|at| at.to_string().into()).collect::<Vec<Box<str>>>();
            let (entries, all) = (names(issuers), names(rules));
            let expected = Expected { issuers: &entries, rules: &all, reports, preflights: false };
            let counted = CounterNames { issuers, rules, reports };
            assert_eq!(request_labels(&expected).count(), counted.requests(), "{counted:?}");
            if reports {
                assert_eq!(would_deny_labels(&expected).count(), counted.would_deny(), "{counted:?}");
            }
        }
    }
}
