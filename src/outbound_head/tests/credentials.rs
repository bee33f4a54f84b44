//! `Authorization` and session cookies.

use super::*;
use crate::request::{TokenField, TokenFields};

/// CVE-2023-25557: DataHub's frontend treats any `Authorization` field as a credential.
#[test]
fn an_empty_authorization_field_is_removed() {
    for value in ["", "Bearer", "bearer ", " \t"] {
        let lines = [("authorization", value), ("cookie", "PLAY_SESSION=x")];
        let frontend = Backend::DataHubFrontend;
        for authorizer in [authorizer(frontend), open(frontend)] {
            let fields = sent_by(&head(frontend), &authorizer, &lines, json!({}));
            assert_values(&fields, "authorization", &[]);
            assert_values(&fields, "cookie", &["PLAY_SESSION=x"]);
        }
    }
}

#[test]
fn authorization_is_forwarded_in_canonical_form() {
    for value in ["Bearer a.b.c", "bearer a.b.c", "BEARER a.b.c", "\tBearer a.b.c "] {
        // Public routes do not check the token, and the backend gets it nevertheless.
        for authorizer in [authorizer(Backend::Generic), open(Backend::Generic)] {
            let lines = [("authorization", value)];
            let fields = sent_by(&head(Backend::Generic), &authorizer, &lines, json!({}));
            assert_values(&fields, "authorization", &["Bearer a.b.c"]);
            assert!(fields.to_header_map()["authorization"].is_sensitive(), "no log prints it");
            assert!(!format!("{fields:?}").contains("a.b.c"), "{fields:?}");
        }
    }
}

#[test]
fn authorization_may_be_stripped() {
    let strip = OutboundHead::new(Backend::DataHubGms, names(true), Authorization::Strip, Vec::new());
    let gms = authorizer(Backend::DataHubGms);
    let fields = sent_by(&strip, &gms, &[BEARER], json!({}));
    assert_values(&fields, "authorization", &[]);
    assert_values(&fields, "x-datahub-actor", &["urn:li:corpuser:ada"]);
    let public = open(Backend::DataHubGms);
    let mut reporting = authorizer(Backend::DataHubGms);
    reporting.policy.mode = Mode::Report;
    for lines in [&[BEARER][..], &[], &[("authorization", "Basic x:y")], &[("authorization", "Bearer a b")]] {
        for authorizer in [&public, &reporting] {
            assert_values(&sent_by(&strip, authorizer, lines, json!({})), "authorization", &[]);
        }
    }
    // DataHub's own services authenticate to the backend with this field.
    let system = [("authorization", "Basic __datahub_system:system-secret")];
    assert_values(&sent_by(&strip, &gms, &system, json!({})), "authorization", &[system[0].1]);
}

#[test]
fn session_cookies_are_removed_if_there_are_other_credentials() {
    let cookies = |authorizer: &Authorizer, lines: &[(&str, &str)]| {
        let fields = sent_by(&head(authorizer.backend), authorizer, lines, json!({}));
        fields.get_all("cookie").map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let frontend = authorizer(Backend::DataHubFrontend);
    for (lines, kept) in [
        (&["PLAY_SESSION=x"][..], &[][..]),
        (&["a=b; PLAY_SESSION=x; c=d"], &["a=b; c=d"]),
        (&["actor=x;PLAY_SESSION=y;a=b"], &["a=b"]),
        (&["a=b", "PLAY_SESSION=x", "c=d; actor=y"], &["a=b", "c=d"]),
        (&["a=b; ,PLAY_SESSION=x", ", ,actor=x"], &["a=b"]),
        (&["PLAY_SESSION =x; a=\"b; c\""], &["a=\"b; c\""]),
        (&["PLAY_SESSION; actor; a=b"], &["a=b"]),
        (&["a=PLAY_SESSION; PLAY_SESSIONX=1"], &["a=PLAY_SESSION; PLAY_SESSIONX=1"]),
        // Without a session cookie nothing is changed.
        (&["a=b;c=d"], &["a=b;c=d"]),
    ] {
        let lines: Vec<_> = lines.iter().map(|value| ("cookie", *value)).chain([BEARER]).collect();
        assert_eq!(cookies(&frontend, &lines), kept, "{lines:?}");
        assert_eq!(cookies(&open(Backend::DataHubFrontend), &lines), kept, "on a public route: {lines:?}");
    }
    let session = [("cookie", "PLAY_SESSION=x; actor=y")];
    assert_eq!(
        cookies(&frontend, &session),
        ["PLAY_SESSION=x; actor=y"],
        "a session without a token is forwarded"
    );
    let gms = authorizer(Backend::DataHubGms);
    assert_eq!(cookies(&gms, &[BEARER, session[0]]), ["PLAY_SESSION=x; actor=y"], "GMS reads no cookie");
}

#[test]
fn a_session_cookie_next_to_non_ascii_bytes_is_removed() {
    let mut lines = fields(&[BEARER, ("host", "a.example")]);
    lines.insert("cookie", HeaderValue::from_bytes(b"a=\xff; PLAY_SESSION=x").unwrap());
    let facts = facts_of(Backend::DataHubFrontend, "GET", "/x", &lines).unwrap();
    let permit = decide(&authorizer(Backend::DataHubFrontend), &facts, Some(verified(json!({})))).unwrap();
    let fields = rewritten(&head(Backend::DataHubFrontend), lines, &facts, &permit);
    assert_eq!(fields.get("cookie").unwrap().as_bytes(), b"a=\xff");
}

fn with_token_fields(
    backend: Backend,
    authorization: Authorization,
    listed: &[&'static str],
) -> OutboundHead {
    let fields = listed.iter().map(|name| match *name {
        "authorization" => TokenField::authorization(),
        name => TokenField::new(HeaderName::from_static(name), None, false),
    });
    OutboundHead::new(backend, names(false), authorization, Vec::new())
        .with_token_fields(TokenFields::new(fields.collect(), true))
}

/// As [`sent_by`], with the token in one of the head's token fields.
fn sent_with(head: &OutboundHead, authorizer: &Authorizer, lines: &[(&str, &str)], claims: Value) -> Fields {
    let mut fields = fields(lines);
    fields.insert("host", HeaderValue::from_static("a.example"));
    let (method, target, source) = (http::Method::GET, http::Uri::from_static("/api/x"), None);
    let (version, quirks) = (http::Version::HTTP_11, authorizer.backend.quirks());
    let read =
        RequestFacts::read_with(head.token_fields(), &method, &target, version, &fields, quirks, source);
    let facts = read.unwrap();
    let permit = decide(authorizer, &facts, Some(verified(claims))).unwrap();
    rewritten(head, fields, &facts, &permit)
}

#[test]
fn a_verified_token_of_another_field_goes_on_as_authorization() {
    let head = with_token_fields(Backend::Generic, Authorization::Forward, &["x-token"]);
    let lines = [("x-token", "a.b.c"), ("authorization", "Bearer d.e.f"), ("x_token", "g.h.i")];
    let fields = sent_with(&head, &authorizer(Backend::Generic), &lines, json!({}));
    assert_values(&fields, "authorization", &["Bearer a.b.c"]);
    assert_values(&fields, "x-token", &[]);
    assert_values(&fields, "x_token", &[]);
    let strip = with_token_fields(Backend::Generic, Authorization::Strip, &["x-token"]);
    let fields = sent_with(&strip, &authorizer(Backend::Generic), &lines, json!({}));
    for name in ["authorization", "x-token", "x_token"] {
        assert_values(&fields, name, &[]);
    }
}

#[test]
fn an_unverified_token_of_another_field_goes_nowhere() {
    for names in [&["x-token"][..], &["x-token", "authorization"]] {
        let head = with_token_fields(Backend::Generic, Authorization::Forward, names);
        for value in ["a.b.c", "a b", ""] {
            let fields = sent_with(&head, &open(Backend::Generic), &[("x-token", value)], json!({}));
            assert_values(&fields, "authorization", &[]);
            assert_values(&fields, "x-token", &[]);
        }
    }
}

#[test]
fn authorization_is_removed_unless_it_is_a_token_field() {
    let lines = [("authorization", "Bearer a.b.c")];
    for (names, kept) in [(&["x-token"][..], &[][..]), (&["x-token", "authorization"], &["Bearer a.b.c"])] {
        let head = with_token_fields(Backend::Generic, Authorization::Forward, names);
        let fields = sent_with(&head, &open(Backend::Generic), &lines, json!({}));
        assert_values(&fields, "authorization", kept);
    }
    // Also if the token field has no token. Otherwise a public route gets what the client sent.
    let head = with_token_fields(Backend::Generic, Authorization::Forward, &["x-token"]);
    let malformed = [("x-token", "a b"), lines[0]];
    let fields = sent_with(&head, &open(Backend::Generic), &malformed, json!({}));
    assert_values(&fields, "authorization", &[]);
    for value in ["Basic x:y", "Digest x", "Bearer a b"] {
        let lines = [("authorization", value)];
        let fields = sent_by(&self::head(Backend::Generic), &open(Backend::Generic), &lines, json!({}));
        assert_values(&fields, "authorization", &[value]);
    }
    let gms = with_token_fields(Backend::DataHubGms, Authorization::Forward, &["x-token"]);
    let system = [("authorization", "Basic __datahub_system:system-secret")];
    let fields = sent_with(&gms, &authorizer(Backend::DataHubGms), &system, json!({}));
    assert_values(&fields, "authorization", &[system[0].1]);
}
