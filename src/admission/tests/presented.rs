//! Tokens that are presented for another purpose than a request to the backend: to be exchanged, revoked or explained.

use std::time::Duration;

use super::exchange::{exchanging, of};
use super::*;
use crate::request::Credentials;
use crate::token_exchange::Issuance;

/// Takes what a form has in place of a token through the steps of the token endpoint.
fn exchanged(
    admission: &Admission,
    subject: &Credentials,
    revoked: Option<&RevocationLists>,
) -> Result<(), (Step, Denial)> {
    let keys = || Some(Arc::new(key_set(&[RSA.jwk_named("k")])));
    let ring = KeyRing { generation: 1, sets: vec![keys(), keys()] };
    let mut snapshot = Snapshot { revocations: revoked, ..Snapshot::new(NOW_DATE, Arc::new(ring)) };
    let (request, target) = (Request::new("/x", &[]), Uri::from_static("/x"));
    let mut seen = Seen::default();
    let checked = admission.check_subject_offline(&request.head(&target), subject, &mut snapshot, &mut seen);
    checked.map_err(|denial| {
        assert_eq!(seen.0.len(), 1, "one step refuses: {:?}", seen.0);
        assert_eq!(seen.0[0].1, denial.reason);
        (seen.0[0].0, denial)
    })
}

fn bearer(admission: &Admission, token: &str) -> Credentials {
    credentials(admission, &format!("Bearer {token}"))
}

fn credentials(admission: &Admission, authorization: &str) -> Credentials {
    let request = Request::new("/x", &[("authorization", authorization)]);
    admission.facts(&request.head(&Uri::from_static("/x"))).unwrap().credentials
}

fn issuing() -> Admission {
    let mut admission = exchanging(Mode::Enforce);
    admission.authorizer.trust[1].rules.issuers = vec!["https://b.example".into()];
    let issuance = Issuance {
        entry: "nightly".into(),
        lifetime: Duration::from_secs(600),
        issuers: vec!["https://a.example".into()],
    };
    let exchange = std::mem::take(&mut admission.authorizer.exchange);
    admission.authorizer.exchange = exchange.with_issuance(vec![issuance]);
    admission
}

#[test]
fn only_a_mapped_token_of_an_issuing_entry_is_exchanged() {
    let admission = issuing();
    let outcome = |admission: &Admission, token: &str| {
        exchanged(admission, &bearer(admission, token), None)
            .map_err(|(step, denial)| (step, denial.reason, denial.detail.unwrap_or_default().into_owned()))
    };
    let job = of("https://a.example", "job");
    assert_eq!(outcome(&admission, &job), Ok(()));
    // A public route, and rules that would refuse the request, are about other requests.
    let (step, reason, detail) = outcome(&exchanging(Mode::Enforce), &job).unwrap_err();
    assert_eq!((step, reason), (Step::Mapping, Reason::NoMapping));
    assert!(detail.contains("nightly") && detail.contains("tokenLifetime"), "{detail}");
    for (token, step, reason) in [
        (of("https://a.example", "other"), Step::Mapping, Reason::NoMapping),
        (of("https://b.example", "job"), Step::Mapping, Reason::NoMapping),
        (of("https://c.example", "job"), Step::Issuer, Reason::UntrustedIssuer),
        ("a.b.c".to_owned(), Step::Token, Reason::MalformedToken),
    ] {
        let (found_step, found, _) = outcome(&admission, &token).unwrap_err();
        assert_eq!((found_step, found), (step, reason), "{token}");
    }
    let (.., unmapped) = outcome(&admission, &of("https://b.example", "job")).unwrap_err();
    assert_eq!(unmapped, "no entry of exchange takes it");
}

#[test]
fn a_revoked_token_is_not_exchanged_even_in_report_mode() {
    let mut admission = issuing();
    admission.authorizer.policy.mode = Mode::Report;
    let subject = bearer(&admission, &of("https://a.example", "job"));
    assert!(exchanged(&admission, &subject, None).is_ok());
    let entry = Revocation::new(RevokedBy::Subject, "job").unwrap();
    let lists = RevocationLists::from(Arc::new(Revocations::new([entry], None).unwrap()));
    let (step, denial) = exchanged(&admission, &subject, Some(&lists)).unwrap_err();
    assert_eq!((step, denial.reason), (Step::Revocation, Reason::Revoked));
    let missing = RevocationLists::new([], Some("store".into()));
    let (step, denial) = exchanged(&admission, &subject, Some(&missing)).unwrap_err();
    assert_eq!((step, denial.reason), (Step::Revocation, Reason::RevocationsUnavailable));
}

#[test]
fn only_bearer_tokens_are_verified() {
    let basic = credentials(&issuing(), "Basic a:b");
    for (credentials, reason) in [
        (Credentials::Missing, Reason::MissingToken),
        (Credentials::OtherScheme("Negotiate"), Reason::MissingToken),
        (basic, Reason::MissingToken),
        (Credentials::Malformed("why"), Reason::MalformedToken),
    ] {
        let (step, denial) = exchanged(&issuing(), &credentials, None).unwrap_err();
        assert_eq!((step, denial.reason), (Step::Credentials, reason), "{credentials:?}");
        let detail = (reason == Reason::MalformedToken).then_some("why");
        assert_eq!(denial.detail.as_deref(), detail, "{credentials:?}");
    }
}

/// Takes only the token of a request through the steps.
fn checked(request: &Request, revoked: Option<&RevocationLists>) -> Result<(), (Step, Reason)> {
    let keys = ring(1, Some(key_set(&[RSA.jwk_named("k")])));
    let mut snapshot = Snapshot { revocations: revoked, ..Snapshot::new(NOW_DATE, keys) };
    let (target, mut seen) = (Uri::from_static(request.path), Seen::default());
    let checked = admission().check_token_offline(&request.head(&target), &mut snapshot, &mut seen);
    checked.map_err(|denial| {
        assert_eq!(seen.0.len(), 1, "one step refuses: {:?}", seen.0);
        assert_eq!(seen.0[0].1, denial.reason);
        seen.0[0]
    })
}

/// One of these paths is public, and a rule denies what has no body at the other.
#[test]
fn a_token_is_checked_whatever_the_path_requires() {
    let subject = Revocation::new(RevokedBy::Subject, "ada").unwrap();
    let lists = RevocationLists::from(Arc::new(Revocations::new([subject], None).unwrap()));
    for path in ["/open", "/x"] {
        let with = |value: &str| Request::new(path, &[("authorization", value)]);
        let good = with(&format!("Bearer {}", token(&RSA)));
        assert_eq!(checked(&good, None), Ok(()), "{path}");
        assert_eq!(checked(&good, Some(&lists)), Err((Step::Revocation, Reason::Revoked)), "{path}");
        for (request, refused) in [
            (Request::new(path, &[]), (Step::Credentials, Reason::MissingToken)),
            (with("Basic a"), (Step::Credentials, Reason::UnsupportedScheme)),
            (with("Bearer a.b"), (Step::Token, Reason::MalformedToken)),
            (with(&format!("Bearer {}", token(&OTHER_RSA))), (Step::Signature, Reason::InvalidSignature)),
            (Request::new(path, &[("connection", "authorization")]), (Step::Request, Reason::BadTarget)),
        ] {
            assert_eq!(checked(&request, None), Err(refused), "{path}");
        }
    }
}
