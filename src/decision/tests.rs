//! Routes, credentials, report mode and the mapping of faults to denials.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod expressions;
mod graphql;
mod impersonation;
mod index;
mod readings;
mod rules;
mod trace;

use crate::message::Fields;
use serde_json::{Value, json};

use super::*;
use crate::policy::{Matching, Methods, PathPattern, Requirement, RouteTable, Rule, Verdict};
use crate::test_support::{authorizer, decide, facts_of, fields, verified};

const BEARER: (&str, &str) = ("authorization", "Bearer a.b.c");

fn facts(backend: Backend, method: &str, path: &str, lines: &[(&str, &str)]) -> RequestFacts {
    facts_of(backend, method, path, &fields(lines))
        .unwrap_or_else(|fault| panic!("{method} {path}: {fault:?}"))
}

/// The decision about a request with a verified token with these claims.
fn decide_for(authorizer: &Authorizer, method: &str, path: &str, claims: Value) -> Result<Permit, Denial> {
    decide(authorizer, &facts(authorizer.backend, method, path, &[BEARER]), Some(verified(claims)))
}

fn reason(outcome: &Result<Permit, Denial>) -> Option<Reason> {
    outcome.as_ref().err().map(|denial| denial.reason)
}

#[test]
fn a_public_route_requires_a_path_with_one_reading() {
    let authorizer = authorizer(Backend::OpenMetadata);
    let route = |method: &str, path: &str| authorizer.route(&facts(Backend::OpenMetadata, method, path, &[]));
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/api/v1/system/version"),
        ("HEAD", "/api/v1/system/version"),
        ("GET", "/api/v1/system/version?x=%2e%2e/../y"),
        ("POST", "/api/v1/users/login"),
        ("GET", "/assets/a/b.js"),
        ("GET", "/assets/"),
        ("GET", "/my-data/"),
    ] {
        assert_eq!(route(method, path), Route::Public, "{method} {path}");
    }
    for (method, path) in [
        ("POST", "/api/v1/system/version"),
        ("GET", "/api/v1/users/login"),
        ("GET", "/api/v1/users;v1/system/version"),
        ("GET", "/api/v1;x=/system/version"),
        ("GET", "/api/v1;v1%2Fusers%2Flogin/events/subscriptions/validation/condition/x"),
        ("GET", "/api/v1/system%2fversion"),
        ("GET", "/api/v1/system/%76ersion"),
        ("GET", "//api/v1/system/version"),
        ("GET", "/api//v1/system/version"),
        ("GET", "/api/v1/system/version/"),
        ("GET", "/api/v1/system/version;"),
        ("GET", "/api/v1/system/version%20"),
        ("GET", "/api/v1/system/version."),
        ("GET", "/Api/v1/system/version"),
        ("GET", "/assets//"),
        ("GET", "/assets/;/"),
        ("GET", "/API/V1/SYSTEM/VERSION"),
        ("GET", "/api/v1/system/version/x"),
        ("GET", "/x/api/v1/system/version"),
        ("GET", "/api/v1/users?/api/v1/system/version"),
        ("GET", "/assets/a%2fb.js"),
        ("GET", "/assets/a;b.js"),
        ("GET", "/assets//b.js"),
        ("OPTIONS", "/api/v1/tables"),
        ("GET", "/api/v1/tables"),
    ] {
        assert_eq!(route(method, path), Route::Protected, "{method} {path}");
    }
}

#[test]
fn an_optional_route_requires_a_path_with_one_reading() {
    let mut authorizer = authorizer(Backend::Generic);
    let rows = [(Route::Public, "GET /docs/open"), (Route::Optional, "GET /docs/**")];
    authorizer.policy.routes = RouteTable::parse(&rows).unwrap();
    let route = |path: &str| authorizer.route(&facts(Backend::Generic, "GET", path, &[]));
    assert_eq!(route("/docs/a"), Route::Optional);
    assert_eq!(route("/docs/a;b"), Route::Protected);
    assert_eq!(route("/docs%2fa"), Route::Protected);
    assert_eq!(route("/docs/a/"), Route::Optional);
    assert_eq!(route("/docs/a/?EIO=4&transport=polling"), Route::Optional);
    assert_eq!(route("/docs/a//"), Route::Protected);
    assert_eq!(route("/docs/open/"), Route::Protected, "its two readings have different rows");
    assert_eq!(route("/docs/open"), Route::Public, "the first row decides");
}

#[test]
fn a_token_on_a_public_route_is_ignored() {
    let authorizer = authorizer(Backend::OpenMetadata);
    for authorization in ["Bearer a.b.c", "Bearer not a token", "Bearer \u{e9}", "Digest x", "Basic x:y"] {
        let lines = [("authorization", authorization), ("x-impersonate-user", "admin")];
        let facts = facts(Backend::OpenMetadata, "GET", "/api/v1/system/version", &lines);
        let permit = decide(&authorizer, &facts, Some(verified(json!({"isBot": true})))).unwrap();
        assert!(matches!(permit.caller(), Caller::Anonymous), "{authorization}: no identity");
        assert_eq!((permit.route(), permit.would_deny()), (Route::Public, None));
    }
}

#[test]
fn each_kind_of_credentials_has_its_reason() {
    let mut authorizer = authorizer(Backend::Generic);
    authorizer.policy.routes = RouteTable::parse(&[(Route::Optional, "/open")]).unwrap();
    for (authorization, protected, optional) in [
        (None, Some(Reason::MissingToken), None),
        (Some(""), Some(Reason::MissingToken), None),
        (Some("Bearer"), Some(Reason::MissingToken), None),
        (Some("Bearer a b"), Some(Reason::MalformedToken), Some(Reason::MalformedToken)),
        (Some("Basic x:y"), Some(Reason::UnsupportedScheme), Some(Reason::UnsupportedScheme)),
        (Some("Digest x"), Some(Reason::UnsupportedScheme), Some(Reason::UnsupportedScheme)),
        // Verified, and refused.
        (Some("Bearer a.b.c"), Some(Reason::InvalidSignature), Some(Reason::InvalidSignature)),
    ] {
        let lines: Vec<_> = authorization.into_iter().map(|value| ("authorization", value)).collect();
        for (path, expected) in [("/closed", protected), ("/open", optional)] {
            let outcome = decide(&authorizer, &facts(Backend::Generic, "GET", path, &lines), None);
            assert_eq!(reason(&outcome), expected, "{authorization:?} {path}");
        }
    }
    let open = decide(&authorizer, &facts(Backend::Generic, "GET", "/open", &[]), None).unwrap();
    assert!(matches!(open.caller(), Caller::Anonymous));
    let with_token = decide_for(&authorizer, "GET", "/open", json!({})).unwrap();
    assert!(matches!(with_token.caller(), Caller::Token(token) if token.principal() == "ada"));
}

#[test]
fn datahubs_system_credential_is_accepted_only_for_gms_and_if_configured() {
    let system = "Basic __datahub_system:system-secret";
    let answer = |authorizer: &Authorizer, value: &str| {
        let facts = facts(authorizer.backend, "POST", "/entities", &[("authorization", value)]);
        decide(authorizer, &facts, None)
    };
    let gms = authorizer(Backend::DataHubGms);
    for value in [system, "basic __datahub_system:system-secret", "BASIC __datahub_system:system-secret"] {
        assert!(matches!(answer(&gms, value).unwrap().caller(), Caller::DatahubSystem), "{value}");
    }
    for value in [
        "Basic __datahub_system:system-secreT",
        "Basic __datahub_system:system-secret2",
        "Basic __datahub_system:",
        "Basic __datahub_system",
        "Basic :system-secret",
        "Basic  __datahub_system:system-secret",
        "Basic",
        // Base64, as in RFC 7617. DataHub does not encode it.
        "Basic X19kYXRhaHViX3N5c3RlbTpzeXN0ZW0tc2VjcmV0",
        "__datahub_system:system-secret",
    ] {
        assert_eq!(reason(&answer(&gms, value)), Some(Reason::UnsupportedScheme), "{value}");
    }
    for backend in [Backend::Generic, Backend::OpenMetadata, Backend::DataHubFrontend] {
        let authorizer = authorizer(backend);
        assert_eq!(reason(&answer(&authorizer, system)), Some(Reason::UnsupportedScheme), "{backend:?}");
    }
    let unset = Authorizer { datahub_system: None, ..authorizer(Backend::DataHubGms) };
    assert_eq!(reason(&answer(&unset, system)), Some(Reason::UnsupportedScheme));
    // Rules apply to tokens, not to DataHub's own services.
    let mut strict = authorizer(Backend::DataHubGms);
    strict.policy.default = Effect::Deny;
    assert!(answer(&strict, system).is_ok());
    assert!(!format!("{strict:?}").contains("system-secret"), "Debug output contains no secret");
}

#[test]
fn a_session_cookie_is_accepted_only_for_datahubs_frontend() {
    let frontend = authorizer(Backend::DataHubFrontend);
    let cookie = ("cookie", "PLAY_SESSION=x");
    let answer = |authorizer: &Authorizer, lines: &[(&str, &str)]| {
        decide(
            authorizer,
            &facts(authorizer.backend, "GET", "/api/v2/graphql", lines),
            Some(verified(json!({}))),
        )
    };
    assert!(matches!(answer(&frontend, &[cookie]).unwrap().caller(), Caller::SessionCookie));
    assert!(matches!(answer(&frontend, &[cookie, BEARER]).unwrap().caller(), Caller::Token(_)));
    let basic = answer(&frontend, &[cookie, ("authorization", "Basic x")]);
    assert_eq!(reason(&basic), Some(Reason::UnsupportedScheme), "other credentials are checked");
    let broken = answer(&frontend, &[cookie, ("authorization", "Bearer x y")]);
    assert_eq!(reason(&broken), Some(Reason::MalformedToken));
    assert_eq!(reason(&answer(&frontend, &[("cookie", "other=x")])), Some(Reason::MissingToken));
    assert_eq!(reason(&answer(&authorizer(Backend::DataHubGms), &[cookie])), Some(Reason::MissingToken));
    assert_eq!(reason(&answer(&authorizer(Backend::Generic), &[cookie])), Some(Reason::MissingToken));
    // Without a token it meets no requirement.
    let mut strict = authorizer(Backend::DataHubFrontend);
    strict.policy.default = Effect::Deny;
    assert_eq!(reason(&answer(&strict, &[cookie])), Some(Reason::InsufficientPermissions));
}

#[test]
fn reserved_principals_are_refused_in_every_mode() {
    let mut authorizer = authorizer(Backend::DataHubGms);
    authorizer.policy.reserved_actors = vec!["__datahub_system".into(), "datahub".into(), "root".into()];
    for mode in [Mode::Enforce, Mode::Report] {
        authorizer.policy.mode = mode;
        for name in ["datahub", "DataHub", "__datahub_system", "__DATAHUB_SYSTEM", "root"] {
            let denial = decide_for(&authorizer, "GET", "/aspects/x", json!({"sub": name})).expect_err(name);
            assert_eq!(denial.reason, Reason::InsufficientPermissions);
            assert!(
                denial.detail.as_ref().is_some_and(|detail| detail.contains("administrators")),
                "{denial:?}"
            );
        }
        for name in ["ada", "datahub2", "datahub@example.org"] {
            assert!(decide_for(&authorizer, "GET", "/aspects/x", json!({"sub": name})).is_ok(), "{name}");
        }
    }
    authorizer.policy.reserved_actors.clear();
    assert!(
        decide_for(&authorizer, "GET", "/aspects/x", json!({"sub": "datahub"})).is_ok(),
        "without the actor field"
    );
}

#[test]
fn report_mode_only_reports_authorization_denials() {
    let mut authorizer = authorizer(Backend::OpenMetadata);
    authorizer.policy.mode = Mode::Report;
    authorizer.policy.default = Effect::Deny;
    for (lines, expected) in [
        (&[][..], Reason::MissingToken),
        (&[("authorization", "Digest x")], Reason::UnsupportedScheme),
        (&[("authorization", "Bearer x y")], Reason::MalformedToken),
        (&[BEARER], Reason::InvalidSignature),
    ] {
        let permit =
            decide(&authorizer, &facts(authorizer.backend, "GET", "/api/v1/tables", lines), None).unwrap();
        assert_eq!(permit.would_deny().map(|denial| denial.reason), Some(expected));
        assert!(matches!(permit.caller(), Caller::Anonymous), "no identity was verified");
        assert_eq!(permit.route(), Route::Protected);
    }
    for reason in Reason::ALL {
        let facts = facts(authorizer.backend, "GET", "/api/v1/tables", &[BEARER]);
        let outcome = authorizer.decide(&facts, Route::Protected, Err(Denial::new(reason)));
        assert_eq!(outcome.is_ok(), reason.is_authorization(), "{reason:?}");
    }
}

#[test]
fn report_mode_keeps_the_identity_of_a_token_that_rules_deny() {
    let mut authorizer = authorizer(Backend::OpenMetadata);
    authorizer.policy.mode = Mode::Report;
    authorizer.policy.default = Effect::Deny;
    let permit = decide_for(&authorizer, "GET", "/api/v1/tables", json!({})).unwrap();
    assert!(matches!(permit.caller(), Caller::Token(token) if token.principal() == "ada"));
    assert_eq!(permit.would_deny().map(|denial| denial.reason), Some(Reason::InsufficientPermissions));
    let lines = [BEARER, ("x-impersonate-user", "root")];
    let facts = facts(authorizer.backend, "GET", "/api/v1/tables", &lines);
    let permit = decide(&authorizer, &facts, Some(verified(json!({})))).unwrap();
    assert_eq!(permit.would_deny().map(|denial| denial.reason), Some(Reason::ImpersonationDenied));
    authorizer.policy.default = Effect::Allow;
    let permit = decide_for(&authorizer, "GET", "/api/v1/tables", json!({})).unwrap();
    assert_eq!(permit.would_deny(), None);
}

#[test]
fn reason_words_are_unique() {
    let words: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(words.len(), Reason::ALL.len());
}

#[test]
fn faults_become_denials_that_name_their_entry() {
    use crate::claims::ClaimsFault;
    for (fault, reason) in [
        (TokenFault::Malformed("x"), Reason::MalformedToken),
        (TokenFault::AlgorithmNotAllowed, Reason::AlgorithmNotAllowed),
        (TokenFault::WrongKeyAlgorithm, Reason::AlgorithmNotAllowed),
        (TokenFault::UntrustedIssuer, Reason::UntrustedIssuer),
        (TokenFault::UnknownKey, Reason::UnknownKey),
        (TokenFault::KeysUnavailable, Reason::KeysUnavailable),
        (TokenFault::InvalidSignature, Reason::InvalidSignature),
        (TokenFault::Claims(ClaimsFault::Malformed("x")), Reason::MalformedToken),
        (TokenFault::Claims(ClaimsFault::Expired), Reason::Expired),
        (TokenFault::Claims(ClaimsFault::NotYetValid), Reason::NotYetValid),
        (TokenFault::Claims(ClaimsFault::MissingExpiry), Reason::MissingExpiry),
        (TokenFault::Claims(ClaimsFault::LifetimeTooLong), Reason::LifetimeTooLong),
        (TokenFault::Claims(ClaimsFault::UntrustedIssuer), Reason::UntrustedIssuer),
        (TokenFault::Claims(ClaimsFault::WrongAudience), Reason::WrongAudience),
        (TokenFault::Claims(ClaimsFault::MissingPrincipal), Reason::MissingPrincipal),
        (TokenFault::Claims(ClaimsFault::WrongDomain), Reason::WrongDomain),
    ] {
        let denial = Denial::of_token(fault, Some(3));
        assert_eq!((denial.reason, denial.entry, denial.rule), (reason, Some(3), None), "{fault:?}");
        assert_eq!(denial.detail.is_some(), reason == Reason::MalformedToken, "{fault:?}");
    }
    let ambiguous = Denial::from(RequestFault::AmbiguousCredentials("x"));
    assert_eq!((ambiguous.reason, ambiguous.detail.as_deref()), (Reason::AmbiguousCredentials, Some("x")));
    assert_eq!(Denial::from(RequestFault::BadTarget("x")).detail.as_deref(), Some("x"));
    assert!(facts_of(Backend::Generic, "GET", "/a/../b", &Fields::new()).is_err());
}
