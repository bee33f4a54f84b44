//! What is read of a head before any decision: the length of its target, its token field, and what is kept of a connection's
//! fields.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;

use super::*;
use crate::message::Section;
use crate::request::{TokenField, TokenFields, uri_of};

#[test]
fn a_target_may_be_as_long_as_configured() {
    let mut admission = admission();
    admission.target_bytes = 20;
    let read = |text: &str| {
        let target = uri_of(text.as_bytes()).unwrap();
        admission.facts(&Request::new("/x", &[]).head(&target)).map(drop)
    };
    assert_eq!(read(&format!("/{}", "a".repeat(18))), Ok(()));
    assert_eq!(read(&format!("/{}", "a".repeat(19))), Ok(()));
    assert_eq!(read(&format!("/{}", "a".repeat(20))), Err(RequestFault::TargetTooLong));
    // As it was received: a stand-in for one octet is longer.
    assert_eq!(read(&format!("/?{}", "<".repeat(18))), Ok(()));
    assert_eq!(read(&format!("/?{}", "<".repeat(19))), Err(RequestFault::TargetTooLong));
}

/// A longer one is refused before anything else, even if the cache has it.
#[test]
fn a_token_may_be_as_long_as_configured() {
    let token = token(&RSA);
    let cached = Some(Arc::new(verified(json!({}))));
    for (token_bytes, refusal) in [
        (token.len() + 1, None),
        (token.len(), None),
        (token.len() - 1, Some((Step::Token, Reason::MalformedToken))),
    ] {
        for cached in [None, cached.clone()] {
            let mut admission = admission();
            admission.authorizer.token_bytes = token_bytes;
            let mut script = Script { cached, ..good() };
            let refused = Request::with_token(&token).admit_by(&admission, &mut script).err();
            assert_eq!(refused, refusal, "{token_bytes}");
        }
    }
}

/// As load balancers of AWS write it: each part with its base64 padding.
fn padded_token() -> String {
    let claims = with(good_claims(), json!({"iss": "https://a.example"})).to_string();
    let input = format!("{}.{}", URL_SAFE.encode(br#"{"alg":"RS256","kid":"k"}"#), URL_SAFE.encode(claims));
    let signature = RSA.sign(Algorithm::RS256, input.as_bytes());
    format!("{input}.{}", URL_SAFE.encode(signature))
}

#[test]
fn a_padded_token_is_accepted_in_a_field_that_may_have_one() {
    let refused = |padded| {
        let mut admission = admission();
        let field = TokenField::new(HeaderName::from_static("x-amzn-oidc-data"), None, padded);
        admission.head = admission.head.with_token_fields(TokenFields::new(vec![field], false));
        let request = Request::new("/y", &[("x-amzn-oidc-data", &padded_token())]);
        request.admit_by(&admission, &mut good()).err()
    };
    assert!(padded_token().contains("=.") && padded_token().ends_with('='));
    assert_eq!(refused(true), None);
    assert_eq!(refused(false), Some((Step::Credentials, Reason::MalformedToken)));
}

#[test]
fn facts_of_fields_are_kept_for_usual_requests_of_clients() {
    let admission = admission();
    for (via, target, is_kept) in [
        (Via::Proxy, "/x", true),
        // The field `Host` has to be compared with the target.
        (Via::Proxy, "http://a.example/x", false),
        // Other fields are refused.
        (Via::ForwardAuth { removes_fields: true }, "/x", false),
    ] {
        let section = Arc::new(Section::new(b""));
        let mut request = Request { via, ..Request::new("/x", &[]) };
        request.headers = request.headers.of_section(&section);
        admission.facts(&request.head(&Uri::from_static(target))).unwrap();
        assert_eq!(admission.head.known_facts(&section).is_some(), is_kept, "{via:?} {target}");
        // What is kept says nothing about another target's host.
        let other = Uri::from_static("http://b.example/x");
        assert!(admission.facts(&request.head(&other)).is_err(), "{via:?} {target}");
    }
}
