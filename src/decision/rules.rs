//! Authorization rules: the first that matches decides, for every reading of the path, and the
//! strictest answer stands.

use serde_json::Value;

use crate::claims::{TokenClass, VerifiedToken};
use crate::policy::{
    Effect, Matching, Mode, Policy, Requirement, Rule, Verdict, contains_address, wildcard_matches,
};
use crate::request::RequestFacts;

/// What the rules say.
pub(super) struct Outcome {
    pub(super) effect: Effect,
    /// The rule that decided; none: the default did.
    pub(super) rule: Option<usize>,
    /// A rule in report mode that would have refused.
    pub(super) reported: Option<usize>,
}

pub(super) fn judge(policy: &Policy, facts: &RequestFacts, token: Option<&VerifiedToken>) -> Outcome {
    let mut allowed = Outcome { effect: policy.default, rule: None, reported: None };
    if policy.rules.is_empty() {
        return allowed;
    }
    for (reading, path) in facts.path.all().enumerate() {
        let outcome = judge_reading(policy, facts, path, token);
        let reported = allowed.reported.or(outcome.reported);
        if outcome.effect == Effect::Deny {
            return Outcome { reported, ..outcome };
        }
        // The raw reading's rule is the one that is named.
        allowed = if reading == 0 { outcome } else { Outcome { reported, ..allowed } };
    }
    allowed
}

pub(super) fn judge_reading(
    policy: &Policy,
    facts: &RequestFacts,
    path: &[u8],
    token: Option<&VerifiedToken>,
) -> Outcome {
    let mut reported = None;
    for (index, rule) in
        policy.rules.iter().enumerate().filter(|(_, rule)| matches(&rule.matching, facts, path, token))
    {
        let effect = verdict(rule, facts, token);
        match rule.mode {
            Mode::Enforce => return Outcome { effect, rule: Some(index), reported },
            // A rule that only reports changes nothing: the ones after it decide.
            Mode::Report if effect == Effect::Deny => reported = reported.or(Some(index)),
            Mode::Report => {}
        }
    }
    Outcome { effect: policy.default, rule: None, reported }
}

pub(super) fn matches(
    matching: &Matching,
    facts: &RequestFacts,
    path: &[u8],
    token: Option<&VerifiedToken>,
) -> bool {
    let held = |own: &str| token.is_some_and(|token| is_issuer(token, own));
    matching.methods.contain(&facts.method)
        && (matching.paths.is_empty() || matching.paths.iter().any(|pattern| pattern.matches(path)))
        && (matching.hosts.is_empty()
            || matching.hosts.iter().any(|host| host.eq_ignore_ascii_case(&facts.host)))
        && (matching.issuers.is_empty() || matching.issuers.iter().any(|own| held(own)))
}

pub(super) fn verdict(rule: &Rule, facts: &RequestFacts, token: Option<&VerifiedToken>) -> Effect {
    match (&rule.verdict, token) {
        (Verdict::Allow, _) => Effect::Allow,
        (Verdict::Require(requirement), Some(token)) if meets(requirement, facts, token) => Effect::Allow,
        (Verdict::Require(_) | Verdict::Deny, _) => Effect::Deny,
    }
}

pub(super) fn meets(requirement: &Requirement, facts: &RequestFacts, token: &VerifiedToken) -> bool {
    let any = |wanted: &[Box<str>], held: &[Box<str>]| {
        wanted.is_empty() || wanted.iter().any(|name| held.contains(name))
    };
    let all = |wanted: &[Box<str>], held: &[Box<str>]| wanted.iter().all(|name| held.contains(name));
    let one_of = |wanted: &[Box<str>], is: &dyn Fn(&str) -> bool| {
        wanted.is_empty() || wanted.iter().any(|name| is(name))
    };
    any(&requirement.any_role, token.roles())
        && all(&requirement.all_roles, token.roles())
        && any(&requirement.any_scope, token.scopes())
        && all(&requirement.all_scopes, token.scopes())
        && one_of(&requirement.token_types, &|name| is_type(token, name))
        && one_of(&requirement.principals, &|pattern| wildcard_matches(pattern, token.principal()))
        && one_of(&requirement.issuers, &|name| is_issuer(token, name))
        && one_of(&requirement.audiences, &|name| holds(token.claims().get("aud"), name))
        && requirement
            .claims
            .iter()
            .all(|(path, values)| values.iter().any(|value| holds(path.find(token.claims()), value)))
        && (requirement.source_ips.is_empty()
            // Who has no address comes from none of these.
            || facts.source_ip.is_some_and(|ip| contains_address(&requirement.source_ips, ip)))
}

fn is_issuer(token: &VerifiedToken, name: &str) -> bool {
    token.entry() == name || token.issuer() == Some(name)
}

/// The class's word, or the token's own: `BOT`, `PERSONAL_ACCESS`, `SESSION`. A class's word in the
/// token makes it none of that class: whether it is one was judged by more than that.
fn is_type(token: &VerifiedToken, name: &str) -> bool {
    if TokenClass::ALL.iter().any(|class| class.as_str() == name) {
        return token.class().as_str() == name;
    }
    let own = |claim: &str| token.claims().get(claim).and_then(Value::as_str).is_some_and(|own| own == name);
    own("tokenType") || own("type")
}

/// Whether a claim is this text, or a list that holds it. Numbers and booleans by their JSON text.
fn holds(claim: Option<&Value>, wanted: &str) -> bool {
    match claim {
        Some(Value::String(text)) => text == wanted,
        Some(Value::Array(items)) => items.iter().any(|item| !item.is_array() && holds(Some(item), wanted)),
        Some(Value::Bool(value)) => wanted == if *value { "true" } else { "false" },
        Some(Value::Number(number)) => number.to_string() == wanted,
        Some(Value::Null | Value::Object(_)) | None => false,
    }
}
