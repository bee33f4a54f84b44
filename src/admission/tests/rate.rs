//! Where the rate limits are applied, and what counts against them.

use super::detailed::{Detailed, good};
use super::*;

#[test]
fn nothing_of_a_limited_token_is_verified_or_counted() {
    let mut limited = Detailed { failures: true, ..Detailed::new(good()) };
    for token in [token(&RSA), token(&OTHER_RSA), "a.b.c".to_owned()] {
        let refused = Request::with_token(&token).admit_by(&admission(), &mut limited).map(drop);
        assert_eq!(refused.unwrap_err(), (Step::Rate, Reason::RateLimited));
    }
    assert_eq!((limited.script.calls.as_slice(), limited.counted), (["check"; 3].as_slice(), 0));
}

#[test]
fn the_wait_is_in_the_denial() {
    let target = Uri::from_static("/x");
    let request = Request::with_token(&token(&RSA));
    let (admission, head) = (admission(), request.head(&target));
    let mut limited = Detailed { failures: true, ..Detailed::new(good()) };
    let denied =
        pin!(admission.admit(&head, &mut limited, &mut ())).poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(Err(denial)) = denied else { panic!("it is refused at once") };
    assert_eq!(denial.retry_after, Some(2), "1.5 s, rounded up");
    assert_eq!(denial.detail.as_deref(), Some("more than limits.failures of this client network"));
}

#[test]
fn a_cached_token_is_never_limited_by_the_failures_of_others() {
    let cached = Some(Arc::new(verified(json!({}))));
    let mut limited = Detailed { failures: true, ..Detailed::new(Script { cached, ..good() }) };
    assert!(Request::with_token(&token(&RSA)).admit_by(&admission(), &mut limited).is_ok());
    assert_eq!(limited.script.calls, ["permit", "body"]);
}

/// Otherwise the failures of others, while it waits for keys, could turn a good token away.
#[test]
fn a_token_that_waits_for_keys_is_checked_once() {
    let (old, new) = (key_set(&[OTHER_RSA.jwk_named("old")]), key_set(&[RSA.jwk_named("k")]));
    let mut limited = Detailed::new(Script::new([ring(1, Some(old)), ring(2, Some(new))]));
    assert!(Request::with_token(&token(&RSA)).admit_by(&admission(), &mut limited).is_ok());
    assert_eq!(limited.script.calls, ["check", "newer keys", "introspect", "keep", "permit", "body"]);
}

#[test]
fn only_tokens_that_are_not_genuine_count() {
    let claims = |more| with(good_claims(), with(json!({"iss": "https://a.example"}), more));
    let signed = |key: &crate::test_support::SigningKey, kid, more| {
        key.token(Algorithm::RS256, Some(kid), &claims(more))
    };
    let counted = |mode, script, field: &str| {
        let mut limited = Detailed::new(script);
        let mut admission = admission();
        admission.authorizer.policy.mode = mode;
        let _ = Request::new("/x", &[("authorization", field)]).admit_by(&admission, &mut limited);
        limited.counted
    };
    for mode in [Mode::Enforce, Mode::Report] {
        for token in [
            "a.b.c".to_owned(),
            "a b".to_owned(),
            "x".repeat(MAX_BYTES + 1),
            RSA.token(Algorithm::RS256, Some("k"), &good_claims()),
            signed(&OTHER_RSA, "k", json!({})),
            signed(&OTHER_RSA, "unknown", json!({})),
        ] {
            assert_eq!(counted(mode, good(), &format!("Bearer {token}")), 1, "{mode:?} {token}");
        }
        let fine = signed(&RSA, "k", json!({}));
        let (expired, future) = (json!({"exp": NOW - 3600}), json!({"nbf": NOW + 3600}));
        for token in [fine.clone(), signed(&RSA, "k", expired), signed(&RSA, "k", future)] {
            assert_eq!(counted(mode, good(), &format!("Bearer {token}")), 0, "{mode:?} {token}");
        }
        let revoked = Script { revoked: true, ..good() };
        assert_eq!(counted(mode, revoked, &format!("Bearer {fine}")), 0);
        for field in ["", "Basic YTpi"] {
            assert_eq!(counted(mode, good(), field), 0, "{field}");
        }
    }
}

#[test]
fn a_principal_over_its_rate_is_refused_before_the_body_is_read() {
    let mut limited = Detailed { principal: true, ..Detailed::new(good()) };
    let refused = Request::with_token(&token(&RSA)).admit_by(&admission(), &mut limited).map(drop);
    assert_eq!(refused.unwrap_err(), (Step::Rate, Reason::RateLimited));
    assert_eq!(limited.script.calls, ["check", "introspect", "keep", "permit"]);
    assert_eq!(limited.counted, 0);
}
