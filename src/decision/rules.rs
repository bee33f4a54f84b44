//! Evaluates the authorization rules.
//!
//! For each interpretation of the request, the first rule that matches decides. The request is allowed only
//! if every interpretation is allowed.

use crate::claims::{RolesClaim, VerifiedToken};
use crate::diagnosis::{Detail, Plain, Quoted};
use crate::policy::{
    Budget, Effect, Expression, Fault, Matching, Mode, Policy, Rule, Subject, Unreadable, Verdict,
    wildcard_matches,
};
use crate::request::RequestFacts;

mod answers;
mod interpretation;
mod requirement;

use answers::{Answers, Table};
pub(super) use interpretation::{Interpretation, Interpretations};
use interpretation::{RequestedOperation, SelectedRules};
use requirement::meets;
pub(super) use requirement::{Part, unmet};

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
    /// Which reading of the path the effect is for.
    pub(super) reading: usize,
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
            return Outcome { reported, reading: interpretation.indexes.path, ..outcome };
        }
        // Report the rule that decided for the raw path.
        allowed = if place == 0 { outcome } else { Outcome { reported, ..allowed } };
    }
    allowed
}

/// Says why the rules refuse: what the rule with this index wants, or that the default refuses. `why` is why the rule
/// could not be evaluated; `roles_claim` is where the token's roles are.
pub(super) fn describe(
    policy: &Policy,
    facts: &RequestFacts,
    token: Option<&VerifiedToken>,
    (rule, why): (Option<usize>, Option<&'static str>),
    roles_claim: Option<&RolesClaim>,
) -> Detail {
    if let Some(why) = why {
        return Detail::of(format_args!("{why}"));
    }
    let Some(rule) = rule.and_then(|rule| policy.rules.get(rule)) else {
        return Detail::of(format_args!("no rule matches, and authorization.default is deny"));
    };
    let requirement = match &rule.verdict {
        Verdict::Require(requirement) => requirement,
        Verdict::Allow | Verdict::Deny => return Detail::of(format_args!("action: deny")),
    };
    let Some(token) = token else {
        return Detail::of(format_args!("require: the request has a session cookie and no token"));
    };
    requirement::describe_unmet(requirement, facts, token, roles_claim).unwrap_or_else(|| {
        let when = rule.when.as_ref().map_or("", Expression::text);
        Detail::of(format_args!("when: this is false: {}", Plain(when)))
    })
}

/// Adds the reading of the path with this index, unless it is the path as it was sent.
pub(super) fn name_reading(detail: &mut Detail, facts: &RequestFacts, reading: usize) {
    if let Some(path) = facts.path.all().nth(reading).filter(|_| reading > 0) {
        detail
            .add(format_args!("; a backend may read the path as {}", Quoted(&String::from_utf8_lossy(path))));
    }
}

/// Whether a rule about GraphQL may apply to this request.
pub(super) fn ask_for_graphql(policy: &Policy, facts: &RequestFacts, token: &VerifiedToken) -> bool {
    let rules = &policy.rules;
    let asks = |rule: &Rule| rule.asks_for_graphql() && is_from(&rule.matching, Some(token));
    let selected = |path| rules.selected(&facts.method, &facts.host, path);
    rules.ask_for_graphql()
        && facts.path.all().flat_map(selected).any(|index| rules.get(index).is_some_and(asks))
}

/// Evaluates the interpretations of one request, which share one budget.
pub(super) struct Evaluator<'r> {
    policy: &'r Policy,
    pub(super) facts: &'r RequestFacts,
    pub(super) token: Option<&'r VerifiedToken>,
    budget: Budget,
    /// What is shared by several interpretations; `None` for a single one.
    shared: Option<(&'r SelectedRules, Answers)>,
}

/// Whether a rule matches an interpretation.
pub(super) enum Match {
    No,
    Yes,
    /// This cannot be evaluated, so the request is denied.
    Unknown(&'static str),
}

impl Match {
    const fn of(matched: bool) -> Self {
        if matched { Self::Yes } else { Self::No }
    }
}

impl<'r> Evaluator<'r> {
    pub(super) fn new(policy: &'r Policy, facts: &'r RequestFacts, token: Option<&'r VerifiedToken>) -> Self {
        Self { policy, facts, token, budget: Budget::default(), shared: None }
    }

    /// An evaluator for all interpretations of a request. It caches what each rule says of each part.
    pub(super) fn of_all(
        policy: &'r Policy,
        facts: &'r RequestFacts,
        token: Option<&'r VerifiedToken>,
        interpretations: &'r Interpretations<'_>,
    ) -> Self {
        let shared = interpretations
            .selected
            .as_ref()
            .map(|selected| (selected, Answers::new(selected.rules.len(), interpretations.parts())));
        Self { shared, ..Self::new(policy, facts, token) }
    }

    pub(super) fn evaluate(&self, interpretation: &Interpretation<'_>) -> Outcome {
        match &self.shared {
            Some((selected, _)) => {
                let rows = selected.of_path(interpretation.indexes.path);
                self.first(interpretation, rows.map(|(row, index)| (Some(row), index)))
            }
            None => {
                let (method, host) = (&self.facts.method, &self.facts.host);
                let indexes = self.policy.rules.selected(method, host, interpretation.path);
                self.first(interpretation, indexes.map(|index| (None, index)))
            }
        }
    }

    /// The outcome of the first rule that matches, of those that the method, the host and the path select. Each has
    /// its row in [`Answers`].
    fn first(
        &self,
        interpretation: &Interpretation<'_>,
        selected: impl Iterator<Item = (Option<usize>, usize)>,
    ) -> Outcome {
        let mut reported = None;
        for (row, index) in selected {
            let Some(rule) = self.policy.rules.get(index) else { continue };
            let Some((effect, detail)) = self.effect(row, rule, interpretation) else { continue };
            match rule.mode {
                Mode::Enforce => {
                    return Outcome { effect, rule: Some(index), detail, reported, ..Outcome::default() };
                }
                // A rule in report mode decides nothing: the rules after it do.
                Mode::Report if effect == Effect::Deny => reported = reported.or(Some((index, detail))),
                Mode::Report => {}
            }
        }
        Outcome { effect: self.policy.default, reported, ..Outcome::default() }
    }

    /// The effect of any rule; `None` if it does not match.
    pub(super) fn rule(
        &self,
        rule: &Rule,
        interpretation: &Interpretation<'_>,
    ) -> Option<(Effect, Option<&'static str>)> {
        let selects = is_about(&rule.matching, self.facts, interpretation.path);
        if selects { self.effect(None, rule, interpretation) } else { None }
    }

    /// The effect of a rule that the method, the host and the path select; `None` if it does not match. `row` is its
    /// row in [`Answers`]; `None` evaluates it without the cache.
    fn effect(
        &self,
        row: Option<usize>,
        rule: &Rule,
        interpretation: &Interpretation<'_>,
    ) -> Option<(Effect, Option<&'static str>)> {
        match self.is_matched(row, &rule.matching, interpretation) {
            Match::No => return None,
            Match::Unknown(detail) => return Some((Effect::Deny, Some(detail))),
            Match::Yes => {}
        }
        let decided = match (&rule.verdict, self.token) {
            (Verdict::Allow, _) => Effect::Allow,
            (Verdict::Require(requirement), Some(token))
                if self.once(
                    row,
                    |answers| (&answers.is_met, 0),
                    || meets(requirement, self.facts, token),
                ) =>
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

    /// An answer about a rule, from the cache if there is one.
    fn once(
        &self,
        row: Option<usize>,
        place: impl FnOnce(&Answers) -> (&Table, usize),
        evaluate: impl FnOnce() -> bool,
    ) -> bool {
        let Some((_, answers)) = &self.shared else { return evaluate() };
        let (table, part) = place(answers);
        table.get(row, part, evaluate)
    }

    fn meets_condition(&self, when: &Expression, interpretation: &Interpretation<'_>) -> Result<bool, Fault> {
        let graphql = match interpretation.operation {
            RequestedOperation::Operation(operation, _) => Some(operation),
            RequestedOperation::Nothing | RequestedOperation::Unreadable(_) => None,
        };
        let subject = Subject { request: self.facts, path: interpretation.path, token: self.token, graphql };
        when.evaluate(&subject, &self.budget)
    }

    /// Whether any rule matches.
    pub(super) fn matches(&self, matching: &Matching, interpretation: &Interpretation<'_>) -> Match {
        let selects = is_about(matching, self.facts, interpretation.path);
        if selects { self.is_matched(None, matching, interpretation) } else { Match::No }
    }

    /// Each condition of a match separately, with its key.
    pub(super) fn conditions(
        &self,
        matching: &Matching,
        interpretation: &Interpretation<'_>,
    ) -> [(&'static str, Match); 6] {
        [
            ("methods", Match::of(matching.methods.contain(&self.facts.method))),
            ("paths", Match::of(has_path(matching, interpretation.path))),
            ("hosts", Match::of(has_host(matching, self.facts))),
            ("issuers", Match::of(is_from(matching, self.token))),
            ("query", self.has_query(None, matching, interpretation)),
            ("graphql", self.is_selected(None, matching, interpretation)),
        ]
    }

    /// Whether a rule that the method, the host and the path select matches.
    fn is_matched(
        &self,
        row: Option<usize>,
        matching: &Matching,
        interpretation: &Interpretation<'_>,
    ) -> Match {
        if !self.once(row, |answers| (&answers.is_from, 0), || is_from(matching, self.token)) {
            return Match::No;
        }
        match self.has_query(row, matching, interpretation) {
            Match::Yes => self.is_selected(row, matching, interpretation),
            other => other,
        }
    }

    /// Whether the query has the parameters that a rule names.
    fn has_query(
        &self,
        row: Option<usize>,
        matching: &Matching,
        interpretation: &Interpretation<'_>,
    ) -> Match {
        if matching.query.is_empty() {
            return Match::Yes;
        }
        let Some(parameters) = &interpretation.parameters else {
            return Match::Unknown("query: it cannot be decoded");
        };
        let has = |(name, patterns): &(Box<str>, Vec<Box<str>>)| {
            parameters.iter().any(|(key, value)| **key == **name && any_matches(patterns, value))
        };
        let place = interpretation.indexes.parameters;
        let has_all = || matching.query.iter().all(has);
        Match::of(self.once(row, |answers| (&answers.has_query, place), has_all))
    }

    /// Whether a rule selects the GraphQL operation.
    fn is_selected(
        &self,
        row: Option<usize>,
        matching: &Matching,
        interpretation: &Interpretation<'_>,
    ) -> Match {
        let Some(graphql) = &matching.graphql else { return Match::Yes };
        match (interpretation.operation, graphql.unreadable) {
            (RequestedOperation::Operation(operation, field), _) => {
                let selected = || {
                    (graphql.operations.is_empty() || graphql.operations.contains(&operation.kind))
                        && (graphql.fields.is_empty() || any_matches(&graphql.fields, field))
                };
                let place = interpretation.indexes.operation;
                Match::of(self.once(row, |answers| (&answers.selects, place), selected))
            }
            (RequestedOperation::Unreadable(_) | RequestedOperation::Nothing, Unreadable::Skip) => Match::No,
            (RequestedOperation::Unreadable(why), Unreadable::Deny) => Match::Unknown(why),
            (RequestedOperation::Nothing, Unreadable::Deny) => {
                Match::Unknown("graphql: it was not looked at")
            }
        }
    }
}

/// Whether a rule is about this method, path and host: what [`Rules::selected`](crate::policy::Rules::selected) looks
/// up for all rules.
fn is_about(matching: &Matching, facts: &RequestFacts, path: &[u8]) -> bool {
    matching.methods.contain(&facts.method) && has_path(matching, path) && has_host(matching, facts)
}

fn has_path(matching: &Matching, path: &[u8]) -> bool {
    matching.paths.is_empty() || matching.paths.iter().any(|pattern| pattern.matches(path))
}

fn has_host(matching: &Matching, facts: &RequestFacts) -> bool {
    matching.hosts.is_empty() || matching.hosts.iter().any(|host| host.eq_ignore_ascii_case(&facts.host))
}

/// Whether a rule is about the issuer of this token.
fn is_from(matching: &Matching, token: Option<&VerifiedToken>) -> bool {
    let is_from = |issuer: &str| token.is_some_and(|token| token.is_from(issuer));
    matching.issuers.is_empty() || matching.issuers.iter().any(|issuer| is_from(issuer))
}

fn any_matches(patterns: &[Box<str>], text: &str) -> bool {
    patterns.iter().any(|pattern| wildcard_matches(pattern, text))
}
