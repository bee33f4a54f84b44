//! Where the exchange stands among the steps, and which tokens must not be forwarded.

use super::*;
use crate::claims::MappedUser;
use crate::decision::Caller;
use crate::token_exchange::{ExchangeEntry, ExchangeIssuer, TokenExchange};

const MINTED_BY: &str = "https://metagate.example";

/// Only the subject `job` of the issuer is mapped.
pub(super) fn exchanging(mode: Mode) -> Admission {
    let mut admission = admission();
    let user = MappedUser { index: 0, entry: "nightly".into(), user: "bot".into(), email: None };
    let entry = ExchangeEntry {
        issuer: "a".into(),
        subjects: vec!["job".into()],
        claims: Vec::new(),
        user: Arc::new(user),
    };
    let issuers = vec![ExchangeIssuer { name: "a".into(), is_required: true }];
    let authorizer = &mut admission.authorizer;
    authorizer.exchange = TokenExchange::new(vec![entry], issuers);
    authorizer.trust.push(crate::test_support::entry("b", &["https://b.example"]));
    authorizer.policy.mode = mode;
    authorizer.policy.minted_issuer = Some(MINTED_BY.into());
    admission
}

pub(super) fn of(issuer: &str, subject: &str) -> String {
    let claims = with(good_claims(), json!({"iss": issuer, "sub": subject, "roles": ["Admin"]}));
    RSA.token(Algorithm::RS256, Some("k"), &claims)
}

fn script() -> Script {
    let keys = || Some(Arc::new(key_set(&[RSA.jwk_named("k")])));
    let ring = KeyRing { generation: 1, sets: vec![keys(), keys()] };
    Script { refresh: Refresh::Unchanged, ..Script::new([Arc::new(ring)]) }
}

#[test]
fn revocation_comes_first_and_rules_after_it() {
    let admission = exchanging(Mode::Enforce);
    let refusal = |subject: &str, revoked: bool| {
        let request = Request::with_token(&of("https://a.example", subject));
        let mut script = Script { revoked, ..script() };
        let refused = request.admit_by(&admission, &mut script).map(drop).unwrap_err();
        assert!(!script.calls.contains(&"body"), "its body is not read");
        refused
    };
    assert_eq!(refusal("other", true), (Step::Revocation, Reason::Revoked));
    assert_eq!(refusal("other", false), (Step::Mapping, Reason::NoMapping));
    assert_eq!(refusal("job", true), (Step::Revocation, Reason::Revoked));
    let mut script = script();
    let admitted =
        Request::with_token(&of("https://a.example", "job")).admit_by(&admission, &mut script).unwrap();
    let Caller::Token(token) = admitted.permit.caller() else { panic!("a token") };
    assert_eq!((token.principal(), token.subject(), token.roles().len()), ("bot", Some("job"), 0));
    assert!(admitted.permit.withholds_token());
    assert_eq!(script.calls, ["keep", "body"], "it is cached as it is mapped");
}

/// Whether the token of a request for this path is withheld; `None` if the request is refused.
fn withheld(mode: Mode, path: &'static str, value: &str) -> Option<bool> {
    let request = Request::new(path, &[("authorization", value)]);
    request.admit_by(&exchanging(mode), &mut script()).ok().map(|admitted| admitted.permit.withholds_token())
}

#[test]
fn a_withheld_token_goes_on_in_no_field() {
    let admission = exchanging(Mode::Enforce);
    let token = of("https://a.example", "job");
    let lines = [("authorization", &*format!("Bearer {token}")), ("x-copy", &*token), ("x-other", "kept")];
    let admitted = Request::new("/x", &lines).admit_by(&admission, &mut script()).unwrap();
    let mut headers = fields(&lines);
    admission.head.rewrite(&mut headers, &admitted.facts, &admitted.permit, None, false).unwrap();
    let values: Vec<_> = headers.iter().map(|field| field.value().as_bytes().to_vec()).collect();
    assert!(!values.iter().any(|value| value.ends_with(token.as_bytes())), "{headers:?}");
    assert!(headers.contains_key("x-other"));
}

#[test]
fn tokens_that_may_be_exchanged_are_withheld_on_public_routes() {
    for (value, expected) in [
        (format!("Bearer {}", of("https://a.example", "job")), true),
        (format!("Bearer {}", of("https://a.example", "other")), true),
        (format!("Bearer {}", of(MINTED_BY, "bot")), true),
        ("Bearer a.b.c".to_owned(), true),
        ("Bearer a b".to_owned(), true),
        (format!("Bearer {}", of("https://b.example", "job")), false),
        (format!("Bearer {}", of("https://c.example", "job")), false),
        (
            format!("Bearer {}", RSA.token(Algorithm::RS256, None, &with(good_claims(), json!({"iss": 5})))),
            true,
        ),
        ("Basic YTpi".to_owned(), false),
    ] {
        assert_eq!(withheld(Mode::Enforce, "/open", &value), Some(expected), "{value}");
    }
}

#[test]
fn report_mode_forwards_no_token_of_the_exchange() {
    let bearer = |issuer: &str, subject: &str| format!("Bearer {}", of(issuer, subject));
    assert_eq!(withheld(Mode::Report, "/x", &bearer("https://a.example", "other")), None, "no mapping");
    assert_eq!(withheld(Mode::Report, "/x", &bearer("https://a.example", "job")), Some(true));
    assert_eq!(withheld(Mode::Report, "/x", &bearer(MINTED_BY, "bot")), Some(true));
    assert_eq!(withheld(Mode::Report, "/x", &bearer("https://c.example", "job")), Some(false));
    let forged = OTHER_RSA.token(
        Algorithm::RS256,
        Some("k"),
        &with(good_claims(), json!({"iss": "https://a.example", "sub": "job"})),
    );
    assert_eq!(withheld(Mode::Report, "/x", &format!("Bearer {forged}")), Some(true));
}

/// Without entries nothing is withheld, whatever the token is.
#[test]
fn without_the_exchange_tokens_go_on() {
    for path in ["/open", "/x"] {
        let request = Request::new(path, &[("authorization", &format!("Bearer {}", token(&RSA)))]);
        let admitted =
            request.admit(&mut Script::new([ring(1, Some(key_set(&[RSA.jwk_named("k")])))])).unwrap();
        assert!(!admitted.permit.withholds_token(), "{path}");
    }
}
