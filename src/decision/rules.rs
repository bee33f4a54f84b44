//! Evaluates the authorization rules.
//!
//! For each interpretation of the request, the first rule that matches decides. The request is allowed only
//! if every interpretation is allowed.

use crate::claims::{TokenClass, VerifiedToken};
use crate::jose::JsonValue;
use crate::policy::{
    Budget, Effect, Expression, Fault, Matching, Mode, Policy, Requirement, Rule, Subject, Unreadable,
    Verdict, contains_address, wildcard_matches,
};
use crate::request::RequestFacts;

mod answers;
mod interpretation;

use answers::Answers;
use interpretation::RequestedOperation;
pub(super) use interpretation::{Interpretation, Interpretations};

/// What the rules decide.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) effect: Effect,
    /// The rule that decided; `None` if the default did.
    pub(super) rule: Option<usize>,
    /// Why, if the rule's own effect does not explain it.
    pub(super) detail: Option<&'static str>,
    /// A rule in report mode that would have refused, and why.
    pub(super) reported: Option<(usize, Option<&'static str>)>,
}

pub(super) fn evaluate(policy: &Policy, facts: &RequestFacts, token: Option<&VerifiedToken>) -> Outcome {
    let mut allowed = Outcome { effect: policy.default, ..Outcome::default() };
    if policy.rules.is_empty() {
        return allowed;
    }
    let interpretations = match Interpretations::of(policy, facts) {
        Ok(interpretations) => interpretations,
        Err(detail) => return Outcome { effect: Effect::Deny, detail: Some(detail), ..Outcome::default() },
    };
    let evaluator = Evaluator::of_all(policy, facts, token, &interpretations);
    for (place, interpretation) in interpretations.all(facts).enumerate() {
        let outcome = evaluator.evaluate(&interpretation);
        let reported = allowed.reported.or(outcome.reported);
        if outcome.effect == Effect::Deny {
            return Outcome { reported, ..outcome };
        }
        // Report the rule that decided for the raw path.
        allowed = if place == 0 { outcome } else { Outcome { reported, ..allowed } };
    }
    allowed
}

/// Whether a rule about GraphQL may apply to this request.
pub(super) fn ask_for_graphql(policy: &Policy, facts: &RequestFacts, token: &VerifiedToken) -> bool {
    let asks = |rule: &&Rule| {
        rule.matching.graphql.is_some() || rule.when.as_ref().is_some_and(Expression::asks_graphql)
    };
    policy
        .rules
        .iter()
        .filter(asks)
        .any(|rule| facts.path.all().any(|path| is_about(&rule.matching, facts, path, Some(token))))
}

/// Evaluates the interpretations of one request, which share one budget.
pub(super) struct Evaluator<'r> {
    policy: &'r Policy,
    pub(super) facts: &'r RequestFacts,
    pub(super) token: Option<&'r VerifiedToken>,
    budget: Budget,
    answers: Answers,
}

/// Whether a rule matches an interpretation.
pub(super) enum Match {
    No,
    Yes,
    /// This cannot be evaluated, so the request is denied.
    Unknown(&'static str),
}

impl<'r> Evaluator<'r> {
    pub(super) fn new(policy: &'r Policy, facts: &'r RequestFacts, token: Option<&'r VerifiedToken>) -> Self {
        Self { policy, facts, token, budget: Budget::default(), answers: Answers::default() }
    }

    /// An evaluator for all interpretations of a request. It caches what each rule says of each part.
    pub(super) fn of_all(
        policy: &'r Policy,
        facts: &'r RequestFacts,
        token: Option<&'r VerifiedToken>,
        interpretations: &Interpretations<'_>,
    ) -> Self {
        let answers = Answers::new(policy.rules.len(), interpretations.parts());
        Self { answers, ..Self::new(policy, facts, token) }
    }

    pub(super) fn evaluate(&self, interpretation: &Interpretation<'_>) -> Outcome {
        let mut reported = None;
        for (index, rule) in self.policy.rules.iter().enumerate() {
            let Some((effect, detail)) = self.evaluate_rule(Some(index), rule, interpretation) else {
                continue;
            };
            match rule.mode {
                Mode::Enforce => return Outcome { effect, rule: Some(index), detail, reported },
                // A rule in report mode decides nothing: the rules after it do.
                Mode::Report if effect == Effect::Deny => reported = reported.or(Some((index, detail))),
                Mode::Report => {}
            }
        }
        Outcome { effect: self.policy.default, reported, ..Outcome::default() }
    }

    /// The effect of one rule; `None` if it does not match.
    pub(super) fn rule(
        &self,
        rule: &Rule,
        interpretation: &Interpretation<'_>,
    ) -> Option<(Effect, Option<&'static str>)> {
        self.evaluate_rule(None, rule, interpretation)
    }

    /// `index` is the rule's index in [`Answers`]; `None` evaluates it without the cache.
    fn evaluate_rule(
        &self,
        index: Option<usize>,
        rule: &Rule,
        interpretation: &Interpretation<'_>,
    ) -> Option<(Effect, Option<&'static str>)> {
        match self.is_matched(index, &rule.matching, interpretation) {
            Match::No => return None,
            Match::Unknown(detail) => return Some((Effect::Deny, Some(detail))),
            Match::Yes => {}
        }
        let decided = match (&rule.verdict, self.token) {
            (Verdict::Allow, _) => Effect::Allow,
            (Verdict::Require(requirement), Some(token))
                if self.answers.is_met.get(index, 0, || meets(requirement, self.facts, token)) =>
            {
                Effect::Allow
            }
            (Verdict::Require(_), _) => return Some((Effect::Deny, None)),
            (Verdict::Deny, _) => Effect::Deny,
        };
        let Some(when) = &rule.when else { return Some((decided, None)) };
        match (self.meets_condition(when, interpretation), &rule.verdict) {
            (Ok(true), _) => Some((decided, None)),
            (Ok(false), Verdict::Require(_)) => Some((Effect::Deny, None)),
            (Ok(false), Verdict::Allow | Verdict::Deny) => None,
            (Err(fault), _) => Some((Effect::Deny, Some(fault.detail()))),
        }
    }

    fn meets_condition(&self, when: &Expression, interpretation: &Interpretation<'_>) -> Result<bool, Fault> {
        let graphql = match interpretation.operation {
            RequestedOperation::Operation(operation, _) => Some(operation),
            RequestedOperation::Nothing | RequestedOperation::Unreadable(_) => None,
        };
        let subject = Subject { request: self.facts, path: interpretation.path, token: self.token, graphql };
        when.evaluate(&subject, &self.budget)
    }

    pub(super) fn matches(&self, matching: &Matching, interpretation: &Interpretation<'_>) -> Match {
        self.is_matched(None, matching, interpretation)
    }

    fn is_matched(
        &self,
        index: Option<usize>,
        matching: &Matching,
        interpretation: &Interpretation<'_>,
    ) -> Match {
        let answers = &self.answers;
        let about = || is_about(matching, self.facts, interpretation.path, self.token);
        if !answers.is_about.get(index, interpretation.indexes.path, about) {
            return Match::No;
        }
        if !matching.query.is_empty() {
            let Some(parameters) = &interpretation.parameters else {
                return Match::Unknown("query: it cannot be decoded");
            };
            let has = |(name, patterns): &(Box<str>, Vec<Box<str>>)| {
                parameters.iter().any(|(key, value)| **key == **name && any_matches(patterns, value))
            };
            if !answers
                .has_query
                .get(index, interpretation.indexes.parameters, || matching.query.iter().all(has))
            {
                return Match::No;
            }
        }
        let Some(graphql) = &matching.graphql else { return Match::Yes };
        match (interpretation.operation, graphql.unreadable) {
            (RequestedOperation::Operation(operation, field), _) => {
                let selected = || {
                    (graphql.operations.is_empty() || graphql.operations.contains(&operation.kind))
                        && (graphql.fields.is_empty() || any_matches(&graphql.fields, field))
                };
                let matched = answers.selects.get(index, interpretation.indexes.operation, selected);
                if matched { Match::Yes } else { Match::No }
            }
            (RequestedOperation::Unreadable(_) | RequestedOperation::Nothing, Unreadable::Skip) => Match::No,
            (RequestedOperation::Unreadable(why), Unreadable::Deny) => Match::Unknown(why),
            (RequestedOperation::Nothing, Unreadable::Deny) => {
                Match::Unknown("graphql: it was not looked at")
            }
        }
    }
}

/// Whether a rule is about this method, path, host and issuer.
fn is_about(matching: &Matching, facts: &RequestFacts, path: &[u8], token: Option<&VerifiedToken>) -> bool {
    let is_from = |issuer: &str| token.is_some_and(|token| token.is_from(issuer));
    matching.methods.contain(&facts.method)
        && (matching.paths.is_empty() || matching.paths.iter().any(|pattern| pattern.matches(path)))
        && (matching.hosts.is_empty()
            || matching.hosts.iter().any(|host| host.eq_ignore_ascii_case(&facts.host)))
        && (matching.issuers.is_empty() || matching.issuers.iter().any(|issuer| is_from(issuer)))
}

fn any_matches(patterns: &[Box<str>], text: &str) -> bool {
    patterns.iter().any(|pattern| wildcard_matches(pattern, text))
}

pub(super) fn meets(requirement: &Requirement, facts: &RequestFacts, token: &VerifiedToken) -> bool {
    let any = |wanted: &[Box<str>], granted: &[Box<str>]| {
        wanted.is_empty() || wanted.iter().any(|name| granted.contains(name))
    };
    let all = |wanted: &[Box<str>], granted: &[Box<str>]| wanted.iter().all(|name| granted.contains(name));
    let one_of = |wanted: &[Box<str>], is: &dyn Fn(&str) -> bool| {
        wanted.is_empty() || wanted.iter().any(|name| is(name))
    };
    any(&requirement.any_role, token.roles())
        && all(&requirement.all_roles, token.roles())
        && any(&requirement.any_scope, token.scopes())
        && all(&requirement.all_scopes, token.scopes())
        && one_of(&requirement.token_types, &|name| is_type(token, name))
        && one_of(&requirement.principals, &|pattern| wildcard_matches(pattern, token.principal()))
        && one_of(&requirement.issuers, &|name| token.is_from(name))
        && one_of(&requirement.audiences, &|name| holds(token.claims().get("aud"), name))
        && requirement
            .claims
            .iter()
            .all(|(path, values)| values.iter().any(|value| holds(path.find(token.claims()), value)))
        && (requirement.source_ips.is_empty()
            // A peer without an address is in none of the networks.
            || facts.source_ip.is_some_and(|ip| contains_address(&requirement.source_ips, ip)))
}

/// Whether `name` is the token's class, or, for the backend's own tokens, the word in `tokenType` or `type`
/// (`BOT`, `PERSONAL_ACCESS`, `SESSION`).
///
/// If `name` is the word of a class, only the class counts and never the claim, because the class is derived
/// from more than the claim.
fn is_type(token: &VerifiedToken, name: &str) -> bool {
    if TokenClass::ALL.iter().any(|class| class.as_str() == name) {
        return token.class().as_str() == name;
    }
    let says =
        |claim: &str| token.claims().get(claim).and_then(JsonValue::as_str).is_some_and(|text| text == name);
    token.is_backends_own() && (says("tokenType") || says("type"))
}

/// Whether a claim is this text, or a list that contains it. Numbers and booleans are compared as JSON text.
fn holds(claim: Option<JsonValue<'_>>, wanted: &str) -> bool {
    match claim {
        Some(JsonValue::String(text)) => text == wanted,
        Some(JsonValue::Array(items)) => {
            items.iter().any(|item| !matches!(item, JsonValue::Array(_)) && holds(Some(item), wanted))
        }
        Some(JsonValue::Bool(value)) => wanted == if value { "true" } else { "false" },
        Some(JsonValue::Number(number)) => number.to_string() == wanted,
        Some(JsonValue::Null | JsonValue::Object(_)) | None => false,
    }
}
