//! How the rules came to their answer, for people. Nothing is decided here: each step is asked of the
//! code that decides, one condition at a time.

use super::{Gate, rules};
use crate::claims::VerifiedToken;
use crate::policy::{Effect, Matching, Requirement, Rule, Verdict};
use crate::request::RequestFacts;

/// Every rule that was asked, for the reading of the path that decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// That reading. Not what is forwarded: see [`crate::request::PathReadings`].
    pub reading: Box<str>,
    /// The rules in their order, up to the one that decided.
    pub rules: Vec<RuleTrace>,
}

/// What one rule said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTrace {
    /// Its place in [`crate::policy::Policy::rules`].
    pub rule: usize,
    /// What it said.
    pub outcome: RuleOutcome,
}

/// What a rule says about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleOutcome {
    /// It is not about this request: these keys of `match` say so.
    NotMatched(Vec<&'static str>),
    /// It matches and lets the request through.
    Allowed,
    /// It matches and refuses: these keys of `require` are not met, or `action`.
    Denied(Vec<&'static str>),
}

impl Gate {
    /// How the rules judge a request whose caller is known.
    pub fn trace(&self, facts: &RequestFacts, token: Option<&VerifiedToken>) -> Trace {
        let denies =
            |path: &&[u8]| rules::judge_reading(&self.policy, facts, path, token).effect == Effect::Deny;
        let path = facts.path.all().find(denies).unwrap_or(facts.path.raw().as_bytes());
        let decided = rules::judge_reading(&self.policy, facts, path, token).rule;
        let asked = self.policy.rules.iter().take(decided.map_or(usize::MAX, |rule| rule + 1));
        let traced = asked
            .enumerate()
            .map(|(rule, own)| RuleTrace { rule, outcome: outcome(own, facts, path, token) });
        Trace { reading: String::from_utf8_lossy(path).into(), rules: traced.collect() }
    }
}

fn outcome(rule: &Rule, facts: &RequestFacts, path: &[u8], token: Option<&VerifiedToken>) -> RuleOutcome {
    if !rules::matches(&rule.matching, facts, path, token) {
        let conditions = conditions(&rule.matching);
        let failed = conditions.iter().filter(|(_, alone)| !rules::matches(alone, facts, path, token));
        return RuleOutcome::NotMatched(failed.map(|(name, _)| *name).collect());
    }
    if rules::verdict(rule, facts, token) == Effect::Allow {
        return RuleOutcome::Allowed;
    }
    let unmet = match (&rule.verdict, token) {
        (Verdict::Require(requirement), Some(token)) => {
            let parts = parts(requirement);
            parts
                .iter()
                .filter(|(_, alone)| !rules::meets(alone, facts, token))
                .map(|(name, _)| *name)
                .collect()
        }
        (Verdict::Require(_), None) => vec!["require"],
        (Verdict::Allow | Verdict::Deny, _) => vec!["action"],
    };
    RuleOutcome::Denied(unmet)
}

/// Each condition of a match alone.
fn conditions(matching: &Matching) -> [(&'static str, Matching); 4] {
    let Matching { methods, paths, hosts, issuers } = matching.clone();
    let none = Matching::default;
    [
        ("methods", Matching { methods, ..none() }),
        ("paths", Matching { paths, ..none() }),
        ("hosts", Matching { hosts, ..none() }),
        ("issuers", Matching { issuers, ..none() }),
    ]
}

/// Each part of a requirement alone.
fn parts(requirement: &Requirement) -> [(&'static str, Requirement); 10] {
    let own = requirement.clone();
    let none = Requirement::default;
    [
        ("anyRole", Requirement { any_role: own.any_role, ..none() }),
        ("allRoles", Requirement { all_roles: own.all_roles, ..none() }),
        ("anyScope", Requirement { any_scope: own.any_scope, ..none() }),
        ("allScopes", Requirement { all_scopes: own.all_scopes, ..none() }),
        ("tokenType", Requirement { token_types: own.token_types, ..none() }),
        ("principals", Requirement { principals: own.principals, ..none() }),
        ("issuers", Requirement { issuers: own.issuers, ..none() }),
        ("audiences", Requirement { audiences: own.audiences, ..none() }),
        ("claims", Requirement { claims: own.claims, ..none() }),
        ("sourceIps", Requirement { source_ips: own.source_ips, ..none() }),
    ]
}
