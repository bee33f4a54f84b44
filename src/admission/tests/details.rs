//! What operators read about each refusal: the values that were wanted and found. The table has a row for every reason.

use std::time::Duration;

use super::*;
use crate::claims::{DomainRule, OwnTokens, PrincipalMapping};
use crate::decision::SystemCredential;
use crate::diagnosis::SourceSummary;
use crate::jose::AlgorithmSet;
use crate::policy::{Effect, Expression, Impersonation, Requirement};
use crate::revocation::{Remark, Revocation, RevocationLists, Revocations, RevokedBy};
use crate::test_support::{HMAC, P256, SECRET, SigningKey, base64url, without};

mod claims;
mod form;
mod keys;
mod rules;

const ISSUER: &str = "https://okta.example";

/// One refused request, and the text about it.
struct Case {
    admission: Admission,
    request: Request,
    keys: Option<KeySet>,
    unreachable: bool,
    sources: Vec<SourceSummary>,
    revocations: Option<RevocationLists>,
    step: Step,
    detail: &'static str,
}

fn case(step: Step, token: &str, detail: &'static str) -> Case {
    Case {
        admission: world(),
        request: Request::with_token(token),
        keys: Some(key_set(&[RSA.jwk_named("k")])),
        unreachable: false,
        sources: Vec::new(),
        revocations: None,
        step,
        detail,
    }
}

impl Case {
    fn changed(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn with_rules(self, change: impl FnOnce(&mut crate::claims::ClaimRules)) -> Self {
        self.changed(|case| change(&mut case.admission.authorizer.trust[0].rules))
    }

    fn with_rule(self, verdict: Verdict, when: Option<&str>) -> Self {
        let rule = Rule {
            name: "r".into(),
            matching: Matching::default(),
            when: when.map(|when| Expression::parse(when).unwrap()),
            verdict,
            mode: Mode::Enforce,
        };
        self.changed(|case| case.admission.authorizer.policy.rules = vec![rule].into())
    }

    fn requiring(self, change: impl FnOnce(&mut Requirement)) -> Self {
        let mut requirement = Requirement::default();
        change(&mut requirement);
        self.with_rule(Verdict::Require(Box::new(requirement)), None)
    }

    /// What is wrong, if anything is.
    fn check(&self, reason: Reason) -> Option<String> {
        let target = Uri::from_static(self.request.path);
        let head = self.request.head(&target);
        let mut snapshot = Snapshot::new(NOW_DATE, Arc::new(KeyRing { generation: 1, sets: vec![None] }));
        if let Some(keys) = &self.keys {
            let keys = Arc::new(KeySet::new(keys.keys().to_vec()));
            snapshot.keys = Arc::new(KeyRing { generation: 1, sets: vec![Some(keys)] });
        }
        snapshot.unreachable = self.unreachable.then_some(0).into_iter().collect();
        snapshot.sources = vec![self.sources.clone()];
        snapshot.revocations = self.revocations.as_ref();
        let mut seen = Seen::default();
        let denial = self.admission.admit_offline(&head, &mut snapshot, &mut seen).unwrap_err();
        assert_eq!(denial.reason, seen.0[0].1);
        if self.step.is_about_token() && !matches!(self.step, Step::Token | Step::Issuer) {
            assert_eq!(denial.entry, Some(0), "the entry that refused the token: {:?}", self.detail);
        }
        let sent = self.request.headers.get("authorization").map(|value| value.to_str().unwrap_or_default());
        let parts = sent.into_iter().flat_map(|value| value.split(['.', ' ']));
        for part in parts.filter(|part| part.len() > 16) {
            assert!(!self.detail.contains(part), "a part of the token");
        }
        let found = (seen.0.as_slice(), denial.detail.as_deref());
        let wanted = (&[(self.step, reason)][..], Some(self.detail));
        (found != wanted).then(|| format!("found  {found:?}\nwanted {wanted:?}\n"))
    }
}

/// One issuer entry, and no rule.
fn world() -> Admission {
    let mut admission = admission();
    admission.authorizer.trust = vec![entry("okta", &[ISSUER])];
    admission.authorizer.policy.rules = Vec::new().into();
    admission
}

/// The same in front of another backend.
fn world_of(backend: Backend) -> Admission {
    let mut admission = world();
    admission.head = outbound_head(backend);
    admission
}

fn claims(more: serde_json::Value) -> serde_json::Value {
    with(with(good_claims(), json!({"iss": ISSUER})), more)
}

fn token_of(more: serde_json::Value) -> String {
    RSA.token(Algorithm::RS256, Some("k"), &claims(more))
}

fn signed_by(key: &SigningKey, algorithm: Algorithm, kid: Option<&str>) -> String {
    key.token(algorithm, kid, &claims(json!({})))
}

fn with_header(header: &str) -> String {
    RSA.compact(Algorithm::RS256, header.as_bytes(), claims(json!({})).to_string().as_bytes())
}

fn with_payload(payload: &str) -> String {
    RSA.compact(Algorithm::RS256, br#"{"alg":"RS256","kid":"k"}"#, payload.as_bytes())
}

fn of_request(step: Step, lines: &[(&str, &str)], detail: &'static str) -> Case {
    case(step, "", detail).changed(|case| case.request = Request::new("/x", lines))
}

fn sources(failure: Option<&str>) -> Vec<SourceSummary> {
    let failure = failure.map(str::to_owned);
    vec![SourceSummary { name: "https://okta.example/keys".to_owned(), keys: 1, age: Some(40), failure }]
}

/// A row of the table.
enum Row {
    /// Requests that are refused with this reason.
    Cases(Vec<Case>),
    /// A head that is refused before admission, and the text about it.
    Head(RequestFault, &'static str),
    /// Not about the head of a request or its token: where the texts are made and tested.
    Elsewhere(&'static str),
}

/// The row of a reason. A new reason needs one, or it does not compile.
fn row(reason: Reason) -> Row {
    Row::Cases(match reason {
        Reason::MissingToken => {
            vec![of_request(Step::Credentials, &[], "there is no Authorization field, or nothing in it")]
        }
        Reason::UnsupportedScheme => form::unsupported_schemes(),
        Reason::MalformedToken => {
            [form::malformed_texts(), form::malformed_tokens(), form::malformed_claims()]
                .into_iter()
                .flatten()
                .collect()
        }
        Reason::AlgorithmNotAllowed => keys::algorithms(),
        Reason::UntrustedIssuer => keys::issuers(),
        Reason::UnknownKey => keys::unknown_keys(),
        Reason::InvalidSignature => keys::signatures(),
        Reason::Expired | Reason::NotYetValid | Reason::MissingExpiry | Reason::LifetimeTooLong => {
            claims::times(reason)
        }
        Reason::WrongAudience => claims::audiences(),
        Reason::MissingPrincipal => claims::principals(),
        Reason::WrongDomain => claims::domains(),
        Reason::Revoked => claims::revoked(),
        Reason::NoMapping => claims::unmapped(),
        Reason::InsufficientPermissions => rules::rules(),
        Reason::ImpersonationDenied => rules::impersonation(),
        Reason::AmbiguousCredentials => vec![
            of_request(
                Step::Request,
                &[("authorization", "Bearer a"), ("authorization", "Bearer b")],
                "there is more than one Authorization field: the request has authorization (8 bytes), \
                 authorization (8 bytes)",
            ),
            of_request(
                Step::Request,
                &[("authorization", "Bearer a,b")],
                "Authorization has a comma: the request has authorization (10 bytes, a comma at position 9)",
            ),
            of_request(
                Step::Request,
                &[("authorization", "Bearer a"), ("cookie", "PLAY_SESSION=x")],
                "both a token and a session cookie: the request has authorization (8 bytes), the cookie \
                 PLAY_SESSION",
            )
            .changed(|case| case.request.via = Via::ForwardAuth { removes_fields: true }),
        ],
        Reason::BadTarget => form::bad_targets(),
        Reason::KeysUnavailable => keys::no_keys(),
        Reason::RevocationsUnavailable => claims::no_list(),
        Reason::PayloadTooLarge => vec![
            case(Step::Body, &token_of(json!({})), "Content-Length is 101, limits.bodyBytes is 100")
                .changed(|case| case.request.content_length = Some(101)),
        ],
        Reason::MethodNotAllowed => {
            let detail = "allowed are GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS";
            return Row::Head(RequestFault::MethodNotAllowed, detail);
        }
        Reason::OutsidePrefix => {
            let detail = "the path does not begin with stripPrefix, as it is written there";
            return Row::Head(RequestFault::OutsidePrefix, detail);
        }
        Reason::TargetTooLong => {
            return Row::Head(RequestFault::TargetTooLong, "it is longer than limits.targetBytes");
        }
        Reason::HeadTooLarge => {
            let detail = "it exceeds limits.headerBytes or limits.headerCount";
            return Row::Head(RequestFault::HeadTooLarge, detail);
        }
        Reason::RequestTimeout => {
            return Row::Head(RequestFault::TimedOut, "the head did not arrive in time");
        }
        Reason::Overloaded | Reason::RateLimited => {
            return Row::Elsewhere("gateway, tests/integration/limits");
        }
        Reason::BadTokenRequest => {
            return Row::Elsewhere("gateway, tests/integration/exchange/endpoint");
        }
        Reason::CredentialUnavailable => {
            return Row::Elsewhere("backend_credentials, tests/integration/exchange");
        }
        Reason::UpstreamUnreachable | Reason::UpstreamTimeout | Reason::UpstreamProtocol => {
            return Row::Elsewhere("gateway, tests/integration/forwarding/faults.rs");
        }
    })
}

#[test]
fn operators_learn_what_was_wanted_and_found() {
    let mut wrong = String::new();
    for reason in Reason::ALL {
        match row(reason) {
            Row::Cases(cases) => {
                assert!(!cases.is_empty(), "{reason:?}");
                wrong.extend(cases.iter().filter_map(|case| case.check(reason)));
            }
            Row::Head(fault, detail) => {
                let denial = Denial::from(fault);
                assert_eq!((denial.reason, denial.detail.as_deref()), (reason, Some(detail)));
            }
            Row::Elsewhere(place) => assert!(!reason.is_authorization() && !place.is_empty(), "{reason:?}"),
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
