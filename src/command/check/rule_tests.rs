//! Runs `authorization.tests`: each request passes the same admission as a real one, with a token signed by a key that
//! is generated for the test.

use std::sync::Arc;

use aws_lc_rs::error::Unspecified;
use http::{HeaderValue, StatusCode, Version};
use serde_json::{Value, json};

use super::signer::Signer;
use crate::admission::{Admission, Observer, RequestHead, Snapshot, Step, Via};
use crate::config::{Config, RuleTest};
use crate::decision::{Authorizer, Caller, Denial, Permit, Reason, Route, Routed, RuleOutcome};
use crate::gateway::admission;
use crate::jose::{KeyDialect, KeySet};
use crate::message::Fields;
use crate::numeric_date::NumericDate;
use crate::policy::Mode;
use crate::request::RequestFacts;
use crate::revocation::RevocationLists;
use crate::trust::KeyRing;

const KEY_ID: &str = "metagate-check";
/// The lifetime of the tokens in seconds, unless an entry's `maxLifetime` is shorter.
const LIFETIME: i64 = 300;

/// The results of all tests.
pub(super) struct Results {
    pub(super) tests: Vec<TestResult>,
    /// The rules that did not decide in any test.
    pub(super) never_hit: Vec<usize>,
    rules: Vec<Box<str>>,
    /// Whether the policy or any rule is in report mode.
    reporting: bool,
}

/// The result of one test.
pub(super) struct TestResult {
    pub(super) name: Box<str>,
    pub(super) path: String,
    pub(super) passed: bool,
    request: String,
    expected: Outcome,
    actual: Outcome,
    reason: Option<Reason>,
    steps: Vec<String>,
}

/// An expected or actual outcome.
struct Outcome {
    /// The status of the refusal; `None` if the request is allowed.
    status: Option<StatusCode>,
    /// The name of the rule that decides.
    rule: Option<Box<str>>,
}

/// Runs every test at the time `now`. Rules in report mode are enforced, because the tests describe the intended
/// outcome.
///
/// The steps of a test that passes are kept only if `all_steps`: each names every rule before the one that decides.
pub(super) fn run(config: &Config, now: NumericDate, all_steps: bool) -> Result<Results, Unspecified> {
    let mut admission = admission(config);
    let authorizer = &mut admission.authorizer;
    let reporting = authorizer.policy.mode == Mode::Report
        || authorizer.policy.rules.iter().any(|rule| rule.mode == Mode::Report);
    authorizer.policy.mode = Mode::Enforce;
    authorizer.policy.rules.change(|rules| rules.iter_mut().for_each(|rule| rule.mode = Mode::Enforce));
    let signers: Vec<Option<Signer>> = config
        .trust
        .iter()
        .enumerate()
        .map(|(index, entry)| {
            let signs = config.rule_tests.iter().any(|test| test.entry == index && test.claims.is_some());
            if signs { Signer::new(entry.algorithms) } else { Ok(None) }
        })
        .collect::<Result<_, _>>()?;
    let rules: Vec<Box<str>> = authorizer.policy.rules.iter().map(|rule| rule.name.clone()).collect();
    let mut hit = vec![false; rules.len()];
    let mut tests = Vec::new();
    let revocations = config.revocations.of_file();
    let runner = Runner { config, admission, signers, revocations, now };
    for test in &config.rule_tests {
        let mut steps = Steps { authorizer: &runner.admission.authorizer, lines: Vec::new() };
        let decided = runner.admit(test, &mut ())?;
        let rule = match &decided {
            Ok(permit) => permit.rule(),
            Err(denial) => denial.rule,
        };
        if let Some(hit) = rule.and_then(|rule| hit.get_mut(rule)) {
            *hit = true;
        }
        let status = decided.as_ref().err().map(|denial| denial.reason.row().status);
        let name = |rule: Option<usize>| rule.and_then(|rule| rules.get(rule)).cloned();
        let passed = status == test.expect && (test.rule.is_none() || test.rule == rule);
        if all_steps || !passed {
            let _ = runner.admit(test, &mut steps)?;
        }
        tests.push(TestResult {
            name: test.name.clone(),
            path: test.path.clone(),
            passed,
            request: format!("{} {}", test.method, test.target),
            expected: Outcome { status: test.expect, rule: name(test.rule) },
            actual: Outcome { status, rule: name(rule) },
            reason: decided.as_ref().err().map(|denial| denial.reason),
            steps: steps.lines,
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

    /// How many tests passed and failed, and how many rules decided in a test.
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
            "coverage": {"rules": self.rules.len(), "hit": self.rules.len() - names.len(), "never_hit": names},
        })
    }
}

impl TestResult {
    /// The expected and the actual outcome, in one line.
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

    /// The steps of the decision.
    pub(super) fn steps(&self) -> &[String] {
        &self.steps
    }

    fn json(&self) -> Value {
        let outcome = |outcome: &Outcome| json!({"status": outcome.status.map(|status| status.as_u16()), "allowed": outcome.status.is_none(), "rule": outcome.rule});
        let mut actual = outcome(&self.actual);
        if let Some(actual) = actual.as_object_mut() {
            actual.insert("reason".to_owned(), self.reason.map(Reason::as_str).into());
        }
        json!({
            "name": self.name,
            "path": self.path,
            "request": self.request,
            "passed": self.passed,
            "expected": outcome(&self.expected),
            "actual": actual,
            "steps": self.steps,
        })
    }
}

impl Outcome {
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

/// The environment that the tests run in.
struct Runner<'a> {
    config: &'a Config,
    admission: Admission,
    signers: Vec<Option<Signer>>,
    now: NumericDate,
    /// The list of the file: the others are not read.
    revocations: RevocationLists,
}

impl Runner<'_> {
    /// Admits the request of a test as the proxy would.
    fn admit(
        &self,
        test: &RuleTest,
        steps: &mut (impl Observer + Send),
    ) -> Result<Result<Permit, Denial>, Unspecified> {
        let mut headers = Fields::from(test.fields.clone());
        // Each entry has its own keys, so a token that selects another entry does not verify.
        let mut sets = vec![Some(Arc::default()); self.config.trust.len()];
        if let Some((token, keys)) = self.sign(test)? {
            if let Some(set) = sets.get_mut(test.entry) {
                *set = Some(Arc::new(keys));
            }
            let (name, value) = self.admission.head.token_fields().field_for(&token);
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
        let head = RequestHead {
            method: &test.method,
            target: &test.target,
            version: Version::HTTP_11,
            headers: &headers,
            source: Some(test.source_ip),
            content_length: Some(test.body.len() as u64),
            via: Via::Proxy,
            token_fields: None,
        };
        let mut snapshot = Snapshot::new(self.now, Arc::new(KeyRing { generation: 0, sets }));
        snapshot.revocations = Some(&self.revocations);
        snapshot.body = &test.body;
        snapshot.graphql_bytes = self.config.limits.graphql_bytes;
        let admitted = self.admission.admit_offline(&head, &mut snapshot, steps);
        Ok(admitted.map(|admitted| admitted.permit))
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
            let given = claims.keys().any(|claim| claim.eq_ignore_ascii_case(name));
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
        // If the domain of principals is checked, OpenMetadata's own tokens are recognized by their kid.
        let own_kid = rules
            .domain
            .as_ref()
            .filter(|domain| claims.get("iss").and_then(Value::as_str) == Some(&*domain.own_issuer));
        let kid = own_kid.map_or(KEY_ID, |domain| &*domain.own_key_id);
        let token = signer.token(kid, &rules.kinds, &claims)?;
        // If some keys of the entry are OpenMetadata's own, so is the generated key.
        let dialect = match entry.keys.has_backends_own_set() {
            true => KeyDialect::OpenMetadata,
            false => KeyDialect::Standard,
        };
        Ok(Some((token, signer.key_set(kid, dialect))))
    }
}

/// Describes each step of an admission.
struct Steps<'a> {
    authorizer: &'a Authorizer,
    lines: Vec<String>,
}

impl Observer for Steps<'_> {
    fn route(&mut self, _: &RequestFacts, routed: Routed) {
        self.lines.push(match routed.route {
            Route::Public => "route: public; a token is ignored and no rule is evaluated".to_owned(),
            Route::Optional => "route: optional; without a token no rule is evaluated".to_owned(),
            Route::Protected => "route: protected".to_owned(),
        });
    }

    fn caller(&mut self, caller: &Caller) {
        let Caller::Token(token) = caller else { return };
        let (class, roles) = (token.class().as_str(), token.roles().join(", "));
        self.lines.push(format!(
            "token: verified by {}; {class} {}, roles [{roles}]",
            token.entry(),
            token.principal().escape_debug()
        ));
    }

    /// The outcome of each rule, if rules are evaluated at all.
    fn rules(&mut self, facts: &RequestFacts, caller: &Result<Caller, Denial>) {
        let token = match caller {
            Ok(Caller::Token(token)) => Some(&**token),
            Ok(Caller::SessionCookie) => None,
            Ok(Caller::Anonymous | Caller::DatahubSystem) | Err(_) => return,
        };
        let trace = self.authorizer.trace(facts, token);
        if *trace.reading != *facts.path.raw() {
            self.lines.push(format!("path: read as {}", trace.reading.escape_debug()));
        }
        for evaluated in trace.rules {
            let name =
                self.authorizer.policy.rules.get(evaluated.rule).map(|rule| &*rule.name).unwrap_or_default();
            self.lines.push(match evaluated.outcome {
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

    fn refused(&mut self, step: Step, denial: &Denial) {
        let name = match step {
            // The trace already names the rule that refuses.
            Step::Rules => return,
            step if step.is_about_token() => Step::Token.as_str(),
            step => step.as_str(),
        };
        let detail = denial.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
        self.lines.push(format!("{name}: {}{detail}", denial.reason.as_str()));
    }
}

/// The keys of a rule that refused or did not match; `otherwise` if no single key is responsible.
fn listed(names: &[&str], otherwise: &str) -> String {
    if names.is_empty() { otherwise.to_owned() } else { names.join(", ") }
}
