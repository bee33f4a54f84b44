//! Explains how the rules came to a decision. Nothing is decided here: the trace calls the code that
//! decides, one condition at a time.

use super::Authorizer;
use super::rules::{self, Evaluator, Interpretation, Interpretations, Match, Part};
use crate::claims::VerifiedToken;
use crate::policy::{Effect, Rule, Verdict};
use crate::request::RequestFacts;

/// Every rule that was evaluated, for the interpretation of the request that decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The interpretation's reading of the path. Not what is forwarded: see [`crate::request::PathReadings`].
    pub reading: Box<str>,
    /// The rules in order, up to the one that decided.
    pub rules: Vec<RuleTrace>,
}

/// The outcome of one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTrace {
    /// The index in [`crate::policy::Policy::rules`].
    pub rule: usize,
    /// What the rule did.
    pub outcome: RuleOutcome,
}

/// What a rule does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleOutcome {
    /// It does not match, because of these keys of `match` or because of `when`.
    NotMatched(Vec<&'static str>),
    /// It matches and allows the request.
    Allowed,
    /// It denies the request. The list names the keys of `require` that are not met, or `when` or `action`,
    /// or the keys of `match` that cannot be evaluated.
    Denied(Vec<&'static str>),
}

impl Authorizer {
    /// Traces the evaluation of the rules for a request whose caller is known.
    pub fn trace(&self, facts: &RequestFacts, token: Option<&VerifiedToken>) -> Trace {
        let raw = facts.path.raw();
        // With too many interpretations, no rule is evaluated.
        let Ok(interpretations) = Interpretations::of(&self.policy, facts) else {
            return Trace { reading: raw.into(), rules: Vec::new() };
        };
        let evaluator = Evaluator::of_all(&self.policy, facts, token, &interpretations);
        let refused = interpretations
            .all(facts)
            .find(|interpretation| evaluator.evaluate(interpretation).effect == Effect::Deny);
        let Some(interpretation) = refused.or_else(|| interpretations.all(facts).next()) else {
            return Trace { reading: raw.into(), rules: Vec::new() };
        };
        let evaluator = Evaluator::new(&self.policy, facts, token);
        let decided = evaluator.evaluate(&interpretation).rule;
        let evaluated = self.policy.rules.iter().take(decided.map_or(usize::MAX, |index| index + 1));
        let traced = evaluated.enumerate().map(|(index, rule)| RuleTrace {
            rule: index,
            outcome: outcome(&evaluator, rule, &interpretation),
        });
        Trace { reading: String::from_utf8_lossy(interpretation.path).into(), rules: traced.collect() }
    }
}

fn outcome(evaluator: &Evaluator<'_>, rule: &Rule, interpretation: &Interpretation<'_>) -> RuleOutcome {
    let conditions = |wanted: &dyn Fn(&Match) -> bool| {
        let conditions = evaluator.conditions(&rule.matching, interpretation);
        conditions.into_iter().filter(|(_, found)| wanted(found)).map(|(name, _)| name).collect()
    };
    let allows_without_when = || {
        let without = Rule { when: None, ..rule.clone() };
        matches!(evaluator.rule(&without, interpretation), Some((Effect::Allow, _)))
    };
    match (evaluator.rule(rule, interpretation), evaluator.matches(&rule.matching, interpretation)) {
        (None, Match::Yes) => RuleOutcome::NotMatched(vec!["when"]),
        (None, _) => RuleOutcome::NotMatched(conditions(&|found| matches!(found, Match::No))),
        (Some((Effect::Allow, _)), _) => RuleOutcome::Allowed,
        (Some((Effect::Deny, _)), Match::Unknown(_)) => {
            RuleOutcome::Denied(conditions(&|found| matches!(found, Match::Unknown(_))))
        }
        // It would allow without the expression, or it denies because of an error in it.
        (Some((Effect::Deny, detail)), _) if detail.is_some() || allows_without_when() => {
            RuleOutcome::Denied(vec!["when"])
        }
        (Some((Effect::Deny, _)), _) => RuleOutcome::Denied(unmet(evaluator, rule)),
    }
}

/// The parts of a requirement that are not met.
fn unmet(evaluator: &Evaluator<'_>, rule: &Rule) -> Vec<&'static str> {
    match (&rule.verdict, evaluator.token) {
        (Verdict::Require(requirement), Some(token)) => {
            rules::unmet(requirement, evaluator.facts, token).map(Part::key).collect()
        }
        (Verdict::Require(_), None) => vec!["require"],
        (Verdict::Allow | Verdict::Deny, _) => vec!["action"],
    }
}
