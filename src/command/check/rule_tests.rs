//! Running `authorization.tests`: each request walks the way of a real one, with a token whose key is
//! made for it, by the code that judges requests.

use std::sync::Arc;

use aws_lc_rs::error::Unspecified;
use http::header::AUTHORIZATION;
use http::{HeaderValue, StatusCode, Version};
use serde_json::{Value, json};

use super::signer::Signer;
use crate::challenge;
use crate::claims::VerifiedToken;
use crate::config::{Config, RuleTest};
use crate::decision::{Caller, Denial, Gate, NextStep, Permit, Reason, Route, RuleOutcome};
use crate::gateway::gate;
use crate::jose::{KeyDialect, KeySet, UnverifiedToken};
use crate::numeric_date::NumericDate;
use crate::policy::Mode;
use crate::request::{Graphql, RequestFacts};
use crate::trust::{self, TokenFault};

const KEY_ID: &str = "metagate-check";
/// How long the tokens are good for, in seconds, where an entry does not want less.
const LIFETIME: i64 = 300;

/// How the tests went.
pub(super) struct Results {
    pub(super) tests: Vec<TestResult>,
    /// The rules that decided in no test.
    pub(super) never_hit: Vec<usize>,
    rules: Vec<Box<str>>,
    /// Whether anything only reports.
    reporting: bool,
}

/// One test and what became of its request.
pub(super) struct TestResult {
    pub(super) name: Box<str>,
    pub(super) path: String,
    pub(super) passed: bool,
    request: String,
    expected: Answer,
    actual: Answer,
    reason: Option<Reason>,
    steps: Vec<String>,
}

/// What was or should be said to a request.
struct Answer {
    /// The status of the refusal; `None`: it goes on.
    status: Option<StatusCode>,
    /// The name of the rule that decides.
    rule: Option<Box<str>>,
}

/// Runs every test at the time `now`. What only reports is judged as if it were enforced: the tests say
/// what will be.
pub(super) fn run(config: &Config, now: NumericDate) -> Result<Results, Unspecified> {
    let mut gate = gate(config);
    let reporting =
        gate.policy.mode == Mode::Report || gate.policy.rules.iter().any(|rule| rule.mode == Mode::Report);
    gate.policy.mode = Mode::Enforce;
    gate.policy.rules.iter_mut().for_each(|rule| rule.mode = Mode::Enforce);
    let signers: Vec<Option<Signer>> = config
        .trust
        .iter()
        .enumerate()
        .map(|(index, entry)| {
            let signs = config.rule_tests.iter().any(|test| test.entry == index && test.claims.is_some());
            if signs { Signer::new(entry.algorithms) } else { Ok(None) }
        })
        .collect::<Result<_, _>>()?;
    let rules: Vec<Box<str>> = gate.policy.rules.iter().map(|rule| rule.name.clone()).collect();
    let mut hit = vec![false; rules.len()];
    let mut tests = Vec::new();
    for test in &config.rule_tests {
        let mut walk = Walk { config, gate: &gate, signers: &signers, now, steps: Vec::new() };
        let decided = walk.walk(test)?;
        let rule = match &decided {
            Ok(permit) => permit.rule(),
            Err(denial) => denial.rule,
        };
        if let Some(hit) = rule.and_then(|rule| hit.get_mut(rule)) {
            *hit = true;
        }
        let status = decided.as_ref().err().map(|denial| challenge::row(denial.reason).status);
        let name = |rule: Option<usize>| rule.and_then(|rule| rules.get(rule)).cloned();
        tests.push(TestResult {
            name: test.name.clone(),
            path: test.path.clone(),
            passed: status == test.expect && (test.rule.is_none() || test.rule == rule),
            request: format!("{} {}", test.method, test.target),
            expected: Answer { status: test.expect, rule: name(test.rule) },
            actual: Answer { status, rule: name(rule) },
            reason: decided.as_ref().err().map(|denial| denial.reason),
            steps: walk.steps,
        });
    }
    let never_hit = hit.iter().enumerate().filter(|(_, hit)| !**hit).map(|(rule, _)| rule).collect();
    Ok(Results { tests, never_hit, rules, reporting })
}

impl Results {
    /// The name of a rule.
    pub(super) fn rule(&self, index: usize) -> &str {
        self.rules.get(index).map(AsRef::as_ref).unwrap_or_default()
    }

    /// How many tests passed and failed, and how many rules decided in one of them.
    pub(super) fn summary(&self) -> String {
        let passed = self.tests.iter().filter(|test| test.passed).count();
        let mut text = format!("tests: {passed} passed, {} failed", self.tests.len() - passed);
        let (all, never) = (self.rules.len(), self.never_hit.len());
        if all > 0 {
            text.push_str(&format!("; rules hit: {} of {all}", all - never));
        }
        if never > 0 {
            let names: Vec<_> = self.never_hit.iter().map(|rule| self.rule(*rule)).collect();
            text.push_str(&format!("; never hit: {}", names.join(", ")));
        }
        if self.reporting {
            text.push_str("\n  what only reports is tested as if it were enforced");
        }
        text
    }

    pub(super) fn json(&self) -> Value {
        let names: Vec<_> = self.never_hit.iter().map(|rule| self.rule(*rule)).collect();
        json!({
            "passed": self.tests.iter().filter(|test| test.passed).count(),
            "failed": self.tests.iter().filter(|test| !test.passed).count(),
            "results": self.tests.iter().map(TestResult::json).collect::<Vec<_>>(),
            "coverage": {"rules": self.rules.len(), "hit": self.rules.len() - names.len(), "neverHit": names},
        })
    }
}

impl TestResult {
    /// What was expected and what was answered, in a line.
    pub(super) fn message(&self) -> String {
        let reason = self.reason.map(|reason| format!(" {}", reason.as_str())).unwrap_or_default();
        format!(
            "{}: {} was expected to be {}, and is {}{reason}{}",
            self.name,
            self.request,
            self.expected.text(),
            self.actual.word(),
            self.actual.by()
        )
    }

    /// Each step of the decision.
    pub(super) fn steps(&self) -> &[String] {
        &self.steps
    }

    fn json(&self) -> Value {
        let answer = |answer: &Answer| json!({"status": answer.status.map(|status| status.as_u16()), "allowed": answer.status.is_none(), "rule": answer.rule});
        let mut actual = answer(&self.actual);
        if let Some(actual) = actual.as_object_mut() {
            actual.insert("reason".to_owned(), self.reason.map(Reason::as_str).into());
        }
        json!({
            "name": self.name,
            "path": self.path,
            "request": self.request,
            "passed": self.passed,
            "expected": answer(&self.expected),
            "actual": actual,
            "steps": self.steps,
        })
    }
}

impl Answer {
    fn word(&self) -> String {
        self.status.map_or_else(|| "allowed".to_owned(), |status| status.as_u16().to_string())
    }

    fn by(&self) -> String {
        self.rule.as_ref().map(|rule| format!(" by rule {rule}")).unwrap_or_default()
    }

    fn text(&self) -> String {
        format!("{}{}", self.word(), self.by())
    }
}

/// One request on its way.
struct Walk<'a> {
    config: &'a Config,
    gate: &'a Gate,
    signers: &'a [Option<Signer>],
    now: NumericDate,
    steps: Vec<String>,
}

impl Walk<'_> {
    /// The same steps in the same order as [`crate::gateway`].
    fn walk(&mut self, test: &RuleTest) -> Result<Result<Permit, Denial>, Unspecified> {
        let mut fields = test.fields.clone();
        let signed = self.sign(test)?;
        if let Some((token, _)) = &signed
            && let Ok(value) = HeaderValue::try_from(format!("Bearer {token}"))
        {
            fields.insert(AUTHORIZATION, value);
        }
        let habits = self.gate.backend.habits();
        let (method, target) = (&test.method, &test.target);
        let read = RequestFacts::read(method, target, Version::HTTP_11, &fields, habits, test.source_ip);
        let mut facts = match read {
            Ok(facts) => facts,
            Err(fault) => {
                let denial = Denial::from(fault);
                self.refused("request", &denial);
                return Ok(Err(denial));
            }
        };
        let route = self.gate.route(&facts);
        self.steps.push(match route {
            Route::Public => "route: public; no token is looked at and no rule is asked".to_owned(),
            Route::Optional => "route: optional; without a token no rule is asked".to_owned(),
            Route::Protected => "route: protected".to_owned(),
        });
        let caller = match self.gate.next_step(&facts, route) {
            NextStep::Decide(caller) => caller.inspect_err(|denial| self.refused("credentials", denial)),
            NextStep::Verify(token) => self.verify(token.as_str(), test.entry, signed.map(|(_, keys)| keys)),
        };
        if self.gate.asks_graphql(&facts, &caller) {
            facts.graphql = Some(match test.body.len() <= self.config.limits.graphql_bytes {
                true => Graphql::read(&facts, &test.fields, &test.body),
                false => Graphql::TOO_LONG,
            });
        }
        self.trace(&facts, caller.as_ref().ok());
        let decided = self.gate.decide(&facts, route, caller);
        Ok(decided.and_then(|permit| self.judge_body(test, permit)))
    }

    /// A token of the test's claims, and the keys that verify it.
    fn sign(&self, test: &RuleTest) -> Result<Option<(String, KeySet)>, Unspecified> {
        let (Some(claims), Some(entry)) = (&test.claims, self.config.trust.get(test.entry)) else {
            return Ok(None);
        };
        let Some(Some(signer)) = self.signers.get(test.entry) else { return Ok(None) };
        let rules = &entry.rules;
        let mut claims = claims.clone();
        let mut add = |name: &str, value: Option<Value>| {
            let given = claims.keys().any(|own| own.eq_ignore_ascii_case(name));
            if let (false, Some(value)) = (given, value) {
                claims.insert(name.to_owned(), value);
            }
        };
        let longest =
            rules.max_lifetime.map_or(LIFETIME, |max| i64::try_from(max.as_secs()).unwrap_or(LIFETIME));
        add("iss", rules.issuers.first().map(|issuer| (**issuer).into()));
        add("aud", rules.audiences.first().map(|audience| (**audience).into()));
        add("iat", Some(self.now.as_secs().into()));
        add("exp", Some(self.now.as_secs().saturating_add(LIFETIME.min(longest)).into()));
        // OpenMetadata's own tokens are told by their kid where the domain of principals is checked.
        let own_kid = rules
            .domain
            .as_ref()
            .filter(|domain| claims.get("iss").and_then(Value::as_str) == Some(&*domain.own_issuer));
        let kid = own_kid.map_or(KEY_ID, |domain| &*domain.own_key_id);
        let types = &rules.kinds.types;
        let usual = types.iter().find(|name| ***name == *"jwt").or(types.first());
        let token = signer.token(kid, usual.map(AsRef::as_ref), &claims)?;
        // If some keys of an entry are OpenMetadata's own, so is the one that signs for it here.
        let dialect = match entry.keys.has_openmetadatas_keys() {
            true => KeyDialect::OpenMetadata,
            false => KeyDialect::Standard,
        };
        Ok(Some((token, signer.key_set(kid, dialect))))
    }

    fn verify(&mut self, text: &str, signing: usize, keys: Option<KeySet>) -> Result<Caller, Denial> {
        let verified = self.verify_token(text, signing, keys.unwrap_or_default());
        match &verified {
            Ok(token) => {
                let (class, roles) = (token.class().as_str(), token.roles().join(", "));
                self.steps.push(format!(
                    "token: verified by {}; {class} {}, roles [{roles}]",
                    token.entry(),
                    token.principal().escape_debug()
                ));
            }
            Err(denial) => self.refused("token", denial),
        }
        verified.map(Caller::Token)
    }

    fn verify_token(&self, text: &str, signing: usize, keys: KeySet) -> Result<Arc<VerifiedToken>, Denial> {
        let token = UnverifiedToken::parse(text, self.gate.token_bytes)
            .map_err(|fault| Denial::of_token(fault.into(), None))?;
        let index =
            trust::entry_for(&token, &self.gate.trust).map_err(|fault| Denial::of_token(fault, None))?;
        let Some(entry) = self.gate.trust.get(index) else {
            return Err(Denial::of_token(TokenFault::UntrustedIssuer, None));
        };
        // Each entry has keys of its own: a token that another entry judges is signed by none of them.
        let none = KeySet::default();
        let keys = if index == signing { &keys } else { &none };
        let verified = trust::verify(token, entry, Some(keys), self.now)
            .map_err(|fault| Denial::of_token(fault, Some(index)))?;
        let revocations = self.config.revocations.as_ref().map(|(_, version)| &version.list);
        match revocations.and_then(|list| list.find(&verified, text)) {
            Some(by) => Err(Denial::of_token(TokenFault::Revoked(by), Some(index))),
            None => Ok(Arc::new(verified)),
        }
    }

    /// What each rule says, where rules are asked at all.
    fn trace(&mut self, facts: &RequestFacts, caller: Option<&Caller>) {
        let token = match caller {
            Some(Caller::Token(token)) => Some(&**token),
            Some(Caller::SessionCookie) => None,
            Some(Caller::Anonymous | Caller::DatahubSystem) | None => return,
        };
        let trace = self.gate.trace(facts, token);
        if *trace.reading != *facts.path.raw() {
            self.steps.push(format!("path: read as {}", trace.reading.escape_debug()));
        }
        for asked in trace.rules {
            let name = self.gate.policy.rules.get(asked.rule).map(|rule| &*rule.name).unwrap_or_default();
            self.steps.push(match asked.outcome {
                RuleOutcome::NotMatched(by) => {
                    format!("rule {name}: does not match by {}", listed(&by, "match"))
                }
                RuleOutcome::Allowed => format!("rule {name}: matches and allows"),
                RuleOutcome::Denied(by) => {
                    format!("rule {name}: matches and refuses by {}", listed(&by, "when"))
                }
            });
        }
    }

    /// The gateway refuses a body that is too large before it sends anything on.
    fn judge_body(&mut self, test: &RuleTest, permit: Permit) -> Result<Permit, Denial> {
        let limit = self.config.limits.body_bytes;
        if limit == 0 || test.body.len() as u64 <= limit {
            return Ok(permit);
        }
        let denial = Denial::new(Reason::PayloadTooLarge);
        self.refused("body", &denial);
        Err(denial)
    }

    fn refused(&mut self, step: &str, denial: &Denial) {
        let detail = denial.detail.map(|detail| format!(": {detail}")).unwrap_or_default();
        self.steps.push(format!("{step}: {}{detail}", denial.reason.as_str()));
    }
}

/// The keys of a rule that said no; `otherwise` where none of them did alone.
fn listed(names: &[&str], otherwise: &str) -> String {
    if names.is_empty() { otherwise.to_owned() } else { names.join(", ") }
}
