//! What goes upstream, and what never does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod forwarded;

use serde_json::{Value, json};

use super::*;
use crate::decision::{Gate, Permit};
use crate::policy::{Effect, Mode, Route, RouteTable};
use crate::test_support::{decide, facts_of, fields, gate, verified};

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const BEARER: (&str, &str) = ("authorization", "Bearer a.b.c");

fn names(datahub_actor: bool) -> IdentityNames {
    IdentityNames {
        user: HeaderName::from_static("x-forwarded-user"),
        email: HeaderName::from_static("x-forwarded-email"),
        groups: HeaderName::from_static("x-forwarded-groups"),
        datahub_actor,
    }
}

fn head(backend: Backend) -> OutboundHead {
    OutboundHead::new(backend, names(false), Authorization::Forward, Vec::new())
}

/// The fields that go upstream for a request for `/api/x` with these, and a token of these claims.
fn sent_by(head: &OutboundHead, gate: &Gate, lines: &[(&str, &str)], claims: Value) -> HeaderMap {
    let mut fields = fields(lines);
    if !fields.contains_key("host") {
        fields.insert("host", HeaderValue::from_static("a.example"));
    }
    let facts = facts_of(gate.backend, "GET", "/api/x", &fields).unwrap();
    let permit = decide(gate, &facts, Some(verified(claims))).unwrap();
    rewritten(head, fields, &facts, &permit)
}

fn rewritten(head: &OutboundHead, mut fields: HeaderMap, facts: &RequestFacts, permit: &Permit) -> HeaderMap {
    head.rewrite(&mut fields, facts, permit, PEER, false).unwrap();
    fields
}

fn sent(backend: Backend, lines: &[(&str, &str)], claims: Value) -> HeaderMap {
    sent_by(&head(backend), &gate(backend), &[&[BEARER], lines].concat(), claims)
}

/// A gate that lets everybody in without looking.
fn open(backend: Backend) -> Gate {
    let mut gate = gate(backend);
    gate.policy.routes = RouteTable::parse(&[(Route::Public, "/**")]).unwrap();
    gate
}

#[track_caller]
fn assert_values(fields: &HeaderMap, name: &str, expected: &[&str]) {
    let found: Vec<_> = fields.get_all(name).iter().map(|value| value.to_str().unwrap_or("?")).collect();
    assert_eq!(found, expected, "{name}");
}

/// Every way to write a name that some server reads as this one.
fn spellings(name: &str) -> Vec<String> {
    let mixed: String =
        name.char_indices().map(|(at, c)| if at % 2 == 0 { c.to_ascii_uppercase() } else { c }).collect();
    let mut all = vec![name.to_owned(), name.to_uppercase(), mixed.clone()];
    for other in ["_", "."] {
        all.extend([name.replace('-', other), name.replacen('-', other, 1), mixed.replace('-', other)]);
    }
    all
}

#[test]
fn no_identity_of_a_clients_own_making_goes_upstream() {
    for backend in Backend::ALL {
        let reserved = ALWAYS_RESERVED.iter().chain(backend.identity_fields());
        for name in reserved {
            for spelling in spellings(name) {
                for gate in [gate(backend), open(backend)] {
                    let lines = [BEARER, (&*spelling, "forged"), (&*spelling, "again"), ("x-other", "kept")];
                    let fields = sent_by(&head(backend), &gate, &lines, json!({}));
                    let forged = fields.values().any(|value| value == "forged" || value == "again");
                    assert!(!forged, "{backend:?} {spelling}: {fields:?}");
                    assert_values(&fields, "x-other", &["kept"]);
                }
            }
        }
    }
}

#[test]
fn configured_names_are_reserved_and_the_usual_ones_still_are() {
    let custom = IdentityNames {
        user: HeaderName::from_static("x_my_user"),
        email: HeaderName::from_static("x-my-email"),
        groups: HeaderName::from_static("x.my.groups"),
        datahub_actor: false,
    };
    let head = OutboundHead::new(Backend::Generic, custom, Authorization::Forward, Vec::new());
    let lines = [
        BEARER,
        ("x_my_user", "forged"),
        ("x-my-user", "forged"),
        ("x-my.user", "forged"),
        ("x_my_email", "forged"),
        ("x-my-groups", "forged"),
        ("x-forwarded-user", "forged"),
    ];
    let fields = sent_by(&head, &gate(Backend::Generic), &lines, json!({"roles": ["R"]}));
    assert!(!fields.values().any(|value| value == "forged"), "{fields:?}");
    assert_values(&fields, "x_my_user", &["ada"]);
    assert_values(&fields, "x.my.groups", &["R"]);
}

#[test]
fn exactly_one_value_of_ours_is_set() {
    let lines = [("x-forwarded-user", "root"), ("X-Forwarded-User", "admin"), ("x_forwarded_user", "x")];
    let claims = json!({"sub": "ada", "email": "ada@example.org", "roles": ["Data Steward", "a,b", "100%"]});
    let fields = sent(Backend::Generic, &lines, claims);
    assert_values(&fields, "x-forwarded-user", &["ada@example.org"]);
    assert_values(&fields, "x-forwarded-email", &["ada@example.org"]);
    assert_values(&fields, "x-forwarded-groups", &["Data Steward,a%2Cb,100%25"]);
    let bare =
        sent(Backend::Generic, &[("x-forwarded-groups", "Admin"), ("x-forwarded-email", "e")], json!({}));
    assert_values(&bare, "x-forwarded-user", &["ada"]);
    assert_values(&bare, "x-forwarded-groups", &[]);
    assert_values(&bare, "x-forwarded-email", &[]);
}

#[test]
fn names_that_no_field_can_hold_are_encoded_and_stay_distinct() {
    for (sub, value) in [
        ("jos\u{e9}", "jos%C3%A9"),
        ("\u{202e}nimda", "%E2%80%AEnimda"),
        ("\u{430}dmin", "%D0%B0dmin"),
        ("jos%C3%A9", "jos%25C3%25A9"),
        (" ada", "%20ada"),
        ("a, b", "a, b"),
    ] {
        assert_values(&sent(Backend::Generic, &[], json!({"sub": sub})), "x-forwarded-user", &[value]);
    }
}

#[test]
fn nobody_known_carries_no_identity() {
    let facts_lines =
        [BEARER, ("x-forwarded-user", "root"), ("x-impersonate-user", "root"), ("x-datahub-actor", "root")];
    for backend in Backend::ALL {
        let head = OutboundHead::new(backend, names(true), Authorization::Forward, Vec::new());
        let fields = sent_by(&head, &open(backend), &facts_lines, json!({"isBot": true}));
        for name in ["x-forwarded-user", "x-forwarded-email", "x-forwarded-groups", "x-datahub-actor"] {
            assert_values(&fields, name, &[]);
        }
        if backend == Backend::OpenMetadata {
            assert_values(&fields, "x-impersonate-user", &[]);
        }
    }
}

#[test]
fn fields_about_the_connection_go_no_further() {
    let lines = [
        ("connection", "keep-alive, X-Secret,  x-other ,, \"bad\""),
        ("connection", "third"),
        ("x-secret", "1"),
        ("x-other", "1"),
        ("third", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic x"),
        ("proxy-authenticate", "Basic"),
        ("te", "trailers"),
        ("trailer", "x"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("http2-settings", "x"),
        ("expect", "100-continue"),
        ("x-kept", "1"),
    ];
    let fields = sent(Backend::Generic, &lines, json!({}));
    for (name, _) in &lines[..lines.len() - 1] {
        assert_values(&fields, name, &[]);
    }
    assert_values(&fields, "x-kept", &["1"]);
}

#[test]
fn connection_cannot_take_away_what_is_ours_or_what_the_request_means() {
    let lines = [
        ("connection", "close, X-Forwarded-User, X-Forwarded-For, Authorization, Host, Cookie"),
        ("connection", "content-length, content-type, x-forwarded-groups, X-Forwarded-Proto"),
        ("host", "a.example"),
        ("cookie", "a=b"),
        ("content-length", "5"),
        ("content-type", "text/plain"),
    ];
    let fields = sent(Backend::Generic, &lines, json!({"roles": ["R"]}));
    for (name, value) in [
        ("x-forwarded-user", "ada"),
        ("x-forwarded-groups", "R"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-proto", "http"),
        ("authorization", "Bearer a.b.c"),
        ("host", "a.example"),
        ("cookie", "a=b"),
        ("content-length", "5"),
        ("content-type", "text/plain"),
        ("connection", ""),
    ] {
        let expected: &[&str] = if value.is_empty() { &[] } else { &[value] };
        assert_values(&fields, name, expected);
    }
}

#[test]
fn a_bot_may_say_whom_it_impersonates_and_nobody_else_may() {
    let wish =
        [("X-Impersonate-User", "ada"), ("x_impersonate_user", "root"), ("x-openmetadata-persona", "p")];
    let bot = sent(Backend::OpenMetadata, &wish, json!({"isBot": true}));
    assert_values(&bot, "x-impersonate-user", &["ada"]);
    assert_values(&bot, "x_impersonate_user", &[]);
    assert_values(&bot, "x-openmetadata-persona", &[]);
    let underscored = sent(Backend::OpenMetadata, &wish[1..], json!({}));
    assert_values(&underscored, "x_impersonate_user", &[]);
    // Reported and not refused, the wish still does not go on.
    let mut gate = gate(Backend::OpenMetadata);
    gate.policy.mode = Mode::Report;
    let user = sent_by(&head(Backend::OpenMetadata), &gate, &[BEARER, wish[0]], json!({}));
    assert_values(&user, "x-impersonate-user", &[]);
}

#[test]
fn datahubs_actor_is_set_where_it_is_wanted_and_stripped_everywhere() {
    let lines =
        [BEARER, ("X-DataHub-Actor", "urn:li:corpuser:admin"), ("x_datahub_actor", "urn:li:corpuser:admin")];
    for (backend, set) in
        [(Backend::DataHubGms, true), (Backend::DataHubGms, false), (Backend::DataHubFrontend, false)]
    {
        let head = OutboundHead::new(backend, names(set), Authorization::Forward, Vec::new());
        let fields = sent_by(&head, &gate(backend), &lines, json!({"sub": "a,(b)"}));
        let expected: &[&str] = if set { &["urn:li:corpuser:a%2C%28b%29"] } else { &[] };
        assert_values(&fields, "x-datahub-actor", expected);
        assert_values(&fields, "x_datahub_actor", &[]);
    }
}

#[test]
fn authorization_goes_on_in_the_one_form_that_backends_read() {
    for value in ["Bearer a.b.c", "bearer a.b.c", "BEARER a.b.c", "\tBearer a.b.c "] {
        let fields =
            sent_by(&head(Backend::Generic), &gate(Backend::Generic), &[("authorization", value)], json!({}));
        assert_values(&fields, "authorization", &["Bearer a.b.c"]);
        assert!(fields["authorization"].is_sensitive(), "no log prints it");
    }
}

#[test]
fn authorization_may_be_stripped_or_replaced() {
    let strip = OutboundHead::new(Backend::Generic, names(false), Authorization::Strip, Vec::new());
    let ours = HeaderValue::from_static("Basic id:secret");
    let replace =
        OutboundHead::new(Backend::DataHubGms, names(true), Authorization::Replace(ours), Vec::new());
    let gms = gate(Backend::DataHubGms);
    assert_values(&sent_by(&strip, &gate(Backend::Generic), &[BEARER], json!({})), "authorization", &[]);
    assert_values(&sent_by(&strip, &open(Backend::Generic), &[BEARER], json!({})), "authorization", &[]);
    assert_values(&sent_by(&replace, &gms, &[BEARER], json!({})), "authorization", &["Basic id:secret"]);

    // Our own credential never goes with a request that nobody vouched for.
    let public = open(Backend::DataHubGms);
    for lines in [&[BEARER][..], &[], &[("authorization", "Basic x:y")]] {
        assert_values(&sent_by(&replace, &public, lines, json!({})), "authorization", &[]);
    }
    let mut optional = gate(Backend::DataHubGms);
    optional.policy.routes = RouteTable::parse(&[(Route::Optional, "/api/x")]).unwrap();
    assert_values(&sent_by(&replace, &optional, &[], json!({})), "authorization", &[]);
    let mut reporting = gate(Backend::DataHubGms);
    reporting.policy.mode = Mode::Report;
    for lines in [&[][..], &[("authorization", "Basic x:y")], &[("authorization", "Bearer a b")]] {
        assert_values(&sent_by(&replace, &reporting, lines, json!({})), "authorization", &[]);
    }
    // With a verified token that only a rule would have refused, it is as if it had not.
    reporting.policy.default = Effect::Deny;
    let fields = sent_by(&replace, &reporting, &[BEARER], json!({}));
    assert_values(&fields, "authorization", &["Basic id:secret"]);
    assert_values(&fields, "x-datahub-actor", &["urn:li:corpuser:ada"]);

    // DataHub's own services say who they are by this very field.
    let system = [("authorization", "Basic __datahub_system:system-secret")];
    for head in [&strip, &replace] {
        assert_values(&sent_by(head, &gms, &system, json!({})), "authorization", &[system[0].1]);
    }
}

#[test]
fn a_session_cookie_never_goes_with_another_credential() {
    let cookies = |gate: &Gate, lines: &[(&str, &str)]| {
        let fields = sent_by(&head(gate.backend), gate, lines, json!({}));
        fields.get_all("cookie").iter().map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let frontend = gate(Backend::DataHubFrontend);
    for (lines, kept) in [
        (&["PLAY_SESSION=x"][..], &[][..]),
        (&["a=b; PLAY_SESSION=x; c=d"], &["a=b; c=d"]),
        (&["actor=x;PLAY_SESSION=y;a=b"], &["a=b"]),
        (&["a=b", "PLAY_SESSION=x", "c=d; actor=y"], &["a=b", "c=d"]),
        (&["a=b; ,PLAY_SESSION=x", ", ,actor=x"], &["a=b"]),
        (&["PLAY_SESSION =x; a=\"b; c\""], &["a=\"b; c\""]),
        (&["PLAY_SESSION; actor; a=b"], &["a=b"]),
        (&["a=PLAY_SESSION; PLAY_SESSIONX=1"], &["a=PLAY_SESSION; PLAY_SESSIONX=1"]),
        (&["a=b"], &["a=b"]),
    ] {
        let lines: Vec<_> = lines.iter().map(|value| ("cookie", *value)).chain([BEARER]).collect();
        assert_eq!(cookies(&frontend, &lines), kept, "{lines:?}");
        assert_eq!(cookies(&open(Backend::DataHubFrontend), &lines), kept, "on a public route: {lines:?}");
    }
    let alone = [("cookie", "PLAY_SESSION=x; actor=y")];
    assert_eq!(cookies(&frontend, &alone), ["PLAY_SESSION=x; actor=y"], "a browser's own login goes on");
    let gms = gate(Backend::DataHubGms);
    assert_eq!(cookies(&gms, &[BEARER, alone[0]]), ["PLAY_SESSION=x; actor=y"], "GMS reads no cookie");
}

#[test]
fn a_session_cookie_beside_other_bytes_is_dropped_too() {
    let mut lines = fields(&[BEARER, ("host", "a.example")]);
    lines.insert("cookie", HeaderValue::from_bytes(b"a=\xff; PLAY_SESSION=x").unwrap());
    let facts = facts_of(Backend::DataHubFrontend, "GET", "/api/x", &lines).unwrap();
    let permit = decide(&gate(Backend::DataHubFrontend), &facts, Some(verified(json!({})))).unwrap();
    let fields = rewritten(&head(Backend::DataHubFrontend), lines, &facts, &permit);
    assert_eq!(fields["cookie"].as_bytes(), b"a=\xff");
}
