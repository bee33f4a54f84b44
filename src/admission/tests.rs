//! The order of the steps, and what each requests from the [`Environment`].

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::VecDeque;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use http::header::HeaderName;
use serde_json::json;

use super::*;
use crate::backend::Backend;
use crate::jose::{Algorithm, KeySet, TokenSummary, UnverifiedToken};
use crate::outbound_head::{Authorization, IdentityNames};
use crate::policy::{
    GraphqlMatching, Matching, Mode, PathPattern, Policy, Route, RouteTable, Routed, Rule, Verdict,
};
use crate::revocation::{Revocation, RevocationLists, Revocations, RevokedBy};
use crate::test_support::{MAX_BYTES, NOW, OTHER_RSA, RSA};
use crate::test_support::{entry, fields, good_claims, key_set, verified, with};

mod bots;
mod cache;
mod detailed;
mod details;
mod exchange;
mod facts;
mod presented;
mod rate;
mod seen;
mod snapshot;

use detailed::good;
use seen::Seen;

const NOW_DATE: NumericDate = NumericDate::from_secs(NOW);

fn outbound_head(backend: Backend) -> OutboundHead {
    let names = IdentityNames {
        user: Some(HeaderName::from_static("x-forwarded-user")),
        email: Some(HeaderName::from_static("x-forwarded-email")),
        groups: Some(HeaderName::from_static("x-forwarded-groups")),
        datahub_actor: false,
    };
    OutboundHead::new(backend, names, Authorization::Forward, Vec::new())
}

fn admission() -> Admission {
    let graphql = Rule {
        name: "graphql".into(),
        matching: Matching {
            paths: vec![PathPattern::parse("/x").unwrap()],
            graphql: Some(GraphqlMatching { fields: vec!["secret".into()], ..GraphqlMatching::default() }),
            ..Matching::default()
        },
        when: None,
        verdict: Verdict::Deny,
        mode: Mode::Enforce,
    };
    let authorizer = Authorizer {
        policy: Policy {
            routes: RouteTable::parse(&[(Route::Public, "/open")]).unwrap(),
            rules: vec![graphql].into(),
            ..Policy::default()
        },
        trust: vec![entry("a", &["https://a.example"])],
        datahub_system: None,
        ..crate::test_support::authorizer(Backend::DataHubFrontend)
    };
    let head = outbound_head(authorizer.backend);
    Admission { authorizer, head, body_bytes: 100, target_bytes: 8192 }
}

fn token(key: &crate::test_support::SigningKey) -> String {
    key.token(Algorithm::RS256, Some("k"), &with(good_claims(), json!({"iss": "https://a.example"})))
}

fn ring(generation: u64, keys: Option<KeySet>) -> Arc<KeyRing> {
    Arc::new(KeyRing { generation, sets: vec![keys.map(Arc::new)] })
}

/// A scripted environment: each request for keys moves to the next ring, and every call is logged.
struct Script {
    rings: VecDeque<Arc<KeyRing>>,
    refresh: Refresh,
    cached: Option<Arc<VerifiedToken>>,
    revoked: bool,
    calls: Vec<&'static str>,
}

impl Script {
    fn new(rings: impl IntoIterator<Item = Arc<KeyRing>>) -> Self {
        let rings = rings.into_iter().collect();
        Self { rings, refresh: Refresh::Changed, cached: None, revoked: false, calls: Vec::new() }
    }

    fn next(&mut self) {
        if self.rings.len() > 1 {
            self.rings.pop_front();
        }
    }
}

impl Environment for Script {
    fn now(&self) -> NumericDate {
        NOW_DATE
    }

    fn keys(&self) -> Arc<KeyRing> {
        self.rings[0].clone()
    }

    fn cached(&mut self, _: &[u8], _: u64, _: NumericDate) -> Option<Arc<VerifiedToken>> {
        self.cached.clone()
    }

    fn keep(&mut self, _: &str, _: &Arc<VerifiedToken>, generation: u64) {
        assert_eq!(generation, self.rings[0].generation, "cached with the keys that verified it");
        self.calls.push("keep");
    }

    async fn first_keys(&mut self, _: usize) -> bool {
        self.calls.push("first keys");
        self.next();
        self.rings[0].sets[0].is_some()
    }

    async fn newer_keys(&mut self, _: &str, _: usize, generation: u64) -> Refresh {
        assert_eq!(generation, self.rings[0].generation, "newer than the current keys");
        self.calls.push("newer keys");
        self.next();
        self.refresh
    }

    fn revocation(&self, _: &VerifiedToken, _: &[u8]) -> Result<Option<Box<Revoked>>, Unavailable> {
        let entry = Revoked { by: RevokedBy::Id, value: "id-1".into(), until: None, note: None };
        Ok(self.revoked.then(|| Box::new(entry)))
    }

    async fn graphql(&mut self, _: &RequestFacts, _: &Fields) -> Result<Graphql, Denial> {
        self.calls.push("body");
        Ok(Graphql::Operations(Vec::new()))
    }
}

struct Request {
    path: &'static str,
    headers: Fields,
    content_length: Option<u64>,
    via: Via,
}

impl Request {
    fn new(path: &'static str, lines: &[(&str, &str)]) -> Self {
        let headers = fields(&[&[("host", "a.example")], lines].concat());
        Self { path, headers, content_length: None, via: Via::Proxy }
    }

    fn with_token(token: &str) -> Self {
        Self::new("/x", &[("authorization", &format!("Bearer {token}"))])
    }

    fn head<'a>(&'a self, target: &'a Uri) -> RequestHead<'a> {
        RequestHead {
            method: &Method::POST,
            target,
            version: Version::HTTP_11,
            headers: &self.headers,
            source: None,
            content_length: self.content_length,
            via: self.via,
            token_fields: None,
        }
    }

    fn admit(&self, script: &mut Script) -> Result<Admitted, (Step, Reason)> {
        self.admit_by(&admission(), script)
    }

    fn admit_by<E>(&self, admission: &Admission, script: &mut E) -> Result<Admitted, (Step, Reason)>
    where
        E: Environment + Send,
    {
        let target = Uri::from_static(self.path);
        let head = self.head(&target);
        let mut seen = Seen::default();
        let admitted =
            { pin!(admission.admit(&head, script, &mut seen)).poll(&mut Context::from_waker(Waker::noop())) };
        let Poll::Ready(admitted) = admitted else { panic!("a script never waits") };
        admitted.map_err(|denial| {
            assert_eq!(seen.0.len(), 1, "one step refuses: {:?}", seen.0);
            assert_eq!(seen.0[0].1, denial.reason);
            seen.0[0]
        })
    }
}

/// A request that every step would refuse. The faults are fixed one after the other.
#[test]
fn the_first_step_that_refuses_decides_the_reason() {
    let mut large = Request::new("/x", &[("connection", "authorization"), ("authorization", "Basic a")]);
    large.content_length = Some(101);
    let reason = |request: &Request, script: &mut Script| request.admit(script).map(drop).unwrap_err();
    assert_eq!(reason(&large, &mut good()), (Step::Request, Reason::BadTarget));
    large.headers.remove("connection");
    assert_eq!(reason(&large, &mut good()), (Step::Credentials, Reason::UnsupportedScheme));
    for (token, expected) in [
        ("a.b".to_owned(), (Step::Token, Reason::MalformedToken)),
        ("x".repeat(MAX_BYTES + 1), (Step::Token, Reason::MalformedToken)),
        (RSA.token(Algorithm::RS256, Some("k"), &good_claims()), (Step::Issuer, Reason::UntrustedIssuer)),
        (token(&OTHER_RSA), (Step::Signature, Reason::InvalidSignature)),
        (
            RSA.token(
                Algorithm::RS256,
                Some("k"),
                &with(good_claims(), json!({"iss": "https://a.example", "exp": NOW - 3600})),
            ),
            (Step::Claims, Reason::Expired),
        ),
    ] {
        large
            .headers
            .insert("authorization", format!("Bearer {token}").parse::<http::HeaderValue>().unwrap());
        let mut script = Script { refresh: Refresh::Unchanged, ..good() };
        assert_eq!(reason(&large, &mut script), expected);
        assert!(!script.calls.contains(&"body") && !script.calls.contains(&"keep"), "{:?}", script.calls);
    }
    large
        .headers
        .insert("authorization", format!("Bearer {}", token(&RSA)).parse::<http::HeaderValue>().unwrap());
    let mut revoked = Script { revoked: true, ..good() };
    assert_eq!(reason(&large, &mut revoked), (Step::Revocation, Reason::Revoked));
    assert_eq!(revoked.calls, ["keep"], "its body is not read");
    let mut script = good();
    assert_eq!(reason(&large, &mut script), (Step::Body, Reason::PayloadTooLarge));
    assert_eq!(script.calls, ["keep", "body"]);
    large.content_length = Some(100);
    assert!(large.admit(&mut good()).is_ok());
}

#[test]
fn a_cached_token_is_still_checked_for_revocation() {
    let cached = Some(Arc::new(verified(json!({}))));
    let mut script = Script { cached, revoked: true, ..Script::new([ring(1, None)]) };
    let refused = Request::with_token(&token(&RSA)).admit(&mut script).map(drop);
    assert_eq!(refused.unwrap_err(), (Step::Revocation, Reason::Revoked));
    assert!(script.calls.is_empty(), "no key is needed");
}

#[test]
fn a_token_is_tried_again_with_newer_keys() {
    let (old, new) = (key_set(&[OTHER_RSA.jwk_named("old")]), key_set(&[RSA.jwk_named("k")]));
    let request = Request::with_token(&token(&RSA));
    let mut script = Script::new([ring(1, None), ring(2, Some(old)), ring(3, Some(new))]);
    assert!(request.admit(&mut script).is_ok());
    assert_eq!(script.calls, ["first keys", "newer keys", "keep", "body"]);
}

#[test]
fn requests_for_newer_keys_are_bounded() {
    let request = Request::with_token(&token(&RSA));
    let none = |refresh| Script { refresh, ..Script::new([ring(1, Some(KeySet::default()))]) };
    for (refresh, reason, times) in [
        (Refresh::Changed, Reason::UnknownKey, usize::from(MAX_REFRESHES)),
        (Refresh::Unchanged, Reason::UnknownKey, 1),
        (Refresh::Unreachable, Reason::KeysUnavailable, 1),
    ] {
        let mut script = none(refresh);
        assert_eq!(request.admit(&mut script).map(drop).unwrap_err(), (Step::Key, reason));
        assert_eq!(script.calls, vec!["newer keys"; times]);
    }
    let mut script = Script::new([ring(1, None)]);
    assert_eq!(request.admit(&mut script).map(drop).unwrap_err(), (Step::Key, Reason::KeysUnavailable));
    assert_eq!(script.calls, ["first keys"]);
}

#[test]
fn bodies_are_read_only_with_a_verified_token() {
    let mut script = Script::new([ring(1, Some(key_set(&[RSA.jwk_named("k")])))]);
    assert!(Request::new("/open", &[]).admit(&mut script).is_ok());
    // Without the body, the rule cannot exclude that it applies, so the request is denied.
    let session = Request::new("/x", &[("cookie", "PLAY_SESSION=a")]);
    let refused = (Step::Rules, Reason::InsufficientPermissions);
    assert_eq!(session.admit(&mut script).map(drop).unwrap_err(), refused);
    assert!(script.calls.is_empty(), "{:?}", script.calls);
    // Another proxy does not send the body.
    let via = Via::ForwardAuth { removes_fields: true };
    let request = Request { via, ..Request::with_token(&token(&RSA)) };
    assert_eq!(request.admit(&mut script).map(drop).unwrap_err(), refused);
    assert_eq!(script.calls, ["keep"]);
}

#[test]
fn forward_auth_refuses_fields_that_the_proxy_would_forward() {
    let authorization = format!("Bearer {}", token(&RSA));
    let bearer = ("authorization", &*authorization);
    let (tells, cannot) =
        (Via::ForwardAuth { removes_fields: true }, Via::ForwardAuth { removes_fields: false });
    for (line, via, expected) in [
        // About the proxy's connection to us, not about the request that it forwards.
        (("connection", "authorization"), tells, None),
        (("connection", "authorization"), Via::Proxy, Some(Reason::BadTarget)),
        (("cookie", "PLAY_SESSION=a"), tells, Some(Reason::AmbiguousCredentials)),
        (("cookie", "PLAY_SESSION=a"), Via::Proxy, None),
        (("x_forwarded_user", "a"), tells, Some(Reason::BadTarget)),
        (("x_forwarded_user", "a"), Via::Proxy, None),
        (("x-datahub-new", "a"), tells, None),
        (("x-datahub-new", "a"), cannot, Some(Reason::BadTarget)),
        (("x-datahub-new", "a"), Via::Proxy, None),
    ] {
        let request = Request { via, ..Request::new("/y", &[bearer, line]) };
        let refused = request.admit(&mut good()).err().map(|(_, reason)| reason);
        assert_eq!(refused, expected, "{line:?} {via:?}");
    }
}

#[test]
fn report_mode_admits_a_request_with_a_refused_token() {
    let mut admission = admission();
    admission.authorizer.policy.mode = Mode::Report;
    let mut script = Script::new([ring(1, Some(KeySet::default()))]);
    script.refresh = Refresh::Unchanged;
    let admitted = Request::with_token(&token(&RSA)).admit_by(&admission, &mut script).unwrap();
    assert_eq!(admitted.permit.would_deny().unwrap().reason, Reason::UnknownKey);
    assert!(matches!(admitted.permit.caller(), Caller::Anonymous));
}

#[test]
fn observer_learns_what_a_refused_token_says_if_it_can_be_parsed() {
    #[derive(Default)]
    struct Refused(Vec<Option<TokenSummary>>);
    impl Observer for Refused {
        fn token_refused(&mut self, token: Option<TokenSummary>) {
            self.0.push(token);
        }
    }
    let of = |issuer: &str, more| {
        RSA.token(Algorithm::RS256, Some("k"), &with(with(good_claims(), json!({"iss": issuer})), more))
    };
    let long = "\u{e9}".repeat(129);
    let good = of("https://a.example", json!({}));
    for (token, key, subject) in [
        (of("https://a.example", json!({"exp": NOW - 100})), &RSA, Some("ada")),
        (of("https://a.example", json!({"sub": long})), &OTHER_RSA, Some(&long[..256])),
        (of("https://b.example", json!({"sub": 5})), &RSA, None),
    ] {
        let mut refused = Refused::default();
        let snapshot = &mut Snapshot::new(NOW_DATE, ring(1, Some(key_set(&[key.jwk_named("k")]))));
        let (request, target) = (Request::with_token(&token), Uri::from_static("/x"));
        assert!(admission().admit_offline(&request.head(&target), snapshot, &mut refused).is_err());
        let expected = TokenSummary {
            kid: Some("k".into()),
            fingerprint: UnverifiedToken::parse(&token, MAX_BYTES).unwrap().fingerprint().short().into(),
            subject: subject.map(Into::into),
        };
        assert_eq!(refused.0, [Some(expected)]);
    }
    for (token, calls) in [(&*format!("{good}."), &[None][..]), (&good, &[])] {
        let mut refused = Refused::default();
        let snapshot = &mut Snapshot::new(NOW_DATE, ring(1, Some(key_set(&[RSA.jwk_named("k")]))));
        let (request, target) = (Request::with_token(token), Uri::from_static("/x"));
        let _either = admission().admit_offline(&request.head(&target), snapshot, &mut refused);
        assert_eq!(refused.0, calls);
    }
}
