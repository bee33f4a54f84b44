//! Which fields go upstream, and which never do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod connection;
mod credentials;
mod forward_auth;
mod forwarded;
mod identity;
mod repeated;

use crate::message::{Fields, Section};
use serde_json::{Value, json};

use super::*;
use crate::decision::{Authorizer, Permit};
use crate::policy::{Impersonation, Mode, Route, RouteTable};
use crate::test_support::{authorizer, decide, facts_of, fields, verified};

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const BEARER: (&str, &str) = ("authorization", "Bearer a.b.c");

fn names(datahub_actor: bool) -> IdentityNames {
    IdentityNames {
        user: Some(HeaderName::from_static("x-forwarded-user")),
        email: Some(HeaderName::from_static("x-forwarded-email")),
        groups: Some(HeaderName::from_static("x-forwarded-groups")),
        datahub_actor,
    }
}

fn head(backend: Backend) -> OutboundHead {
    OutboundHead::new(backend, names(false), Authorization::Forward, Vec::new())
}

/// The fields that go upstream for a request for `/api/x` with these fields and a token with these claims.
fn sent_by(head: &OutboundHead, authorizer: &Authorizer, lines: &[(&str, &str)], claims: Value) -> Fields {
    let mut fields = fields(lines);
    if !fields.contains_key("host") {
        fields.insert("host", HeaderValue::from_static("a.example"));
    }
    let facts = facts_of(authorizer.backend, "GET", "/api/x", &fields).unwrap();
    let permit = decide(authorizer, &facts, Some(verified(claims))).unwrap();
    rewritten(head, fields, &facts, &permit)
}

/// Fields of which a section was received before get the same as others.
fn rewritten(head: &OutboundHead, mut fields: Fields, facts: &RequestFacts, permit: &Permit) -> Fields {
    let (section, received) = (Arc::new(Section::new(b"")), fields.clone());
    head.rewrite(&mut fields, facts, permit, PEER, false).unwrap();
    for _ in 0..3 {
        let mut repeated = received.of_section(&section);
        head.rewrite(&mut repeated, facts, permit, PEER, false).unwrap();
        assert_eq!(repeated, fields);
    }
    fields
}

fn sent(backend: Backend, lines: &[(&str, &str)], claims: Value) -> Fields {
    sent_by(&head(backend), &authorizer(backend), &[&[BEARER], lines].concat(), claims)
}

/// An authorizer for which every route is public.
fn open(backend: Backend) -> Authorizer {
    let mut authorizer = authorizer(backend);
    authorizer.policy.routes = RouteTable::parse(&[(Route::Public, "/**")]).unwrap();
    authorizer
}

#[track_caller]
fn assert_values(fields: &Fields, name: &str, expected: &[&str]) {
    let lower = name.to_ascii_lowercase();
    let found: Vec<_> = fields.get_all(&*lower).map(|value| value.to_str().unwrap_or("?")).collect();
    assert_eq!(found, expected, "{name}");
}

/// The fields that go upstream for a request with these fields from this caller.
fn sent_for(backend: Backend, caller: Caller, lines: &[(&str, &str)]) -> Fields {
    let fields = fields(&[&[("host", "a.example")], lines].concat());
    let facts = facts_of(backend, "GET", "/x", &Fields::new()).unwrap();
    let authorizer = open(backend);
    let permit = authorizer.decide(&facts, authorizer.route(&facts), Ok(caller)).unwrap();
    let head = OutboundHead::new(backend, names(false), Authorization::Forward, Vec::new());
    rewritten(&head, fields, &facts, &permit)
}

/// Spellings of a name that some server may read as this name.
fn spellings(name: &str) -> Vec<String> {
    let mixed: String =
        name.char_indices().map(|(at, c)| if at % 2 == 0 { c.to_ascii_uppercase() } else { c }).collect();
    let mut all = vec![name.to_owned(), name.to_uppercase(), mixed.clone()];
    for other in ["_", ".", "", "--", "%", "~", "-_-"] {
        all.extend([name.replace('-', other), name.replacen('-', other, 1), mixed.replace('-', other)]);
    }
    let (start, end) = name.split_at(name.len() / 2);
    all.extend([format!("-{name}"), format!("{name}_"), format!("{start}-{end}"), format!("{start}'{end}")]);
    all
}

#[test]
fn forged_identity_fields_never_go_upstream() {
    for backend in Backend::ALL {
        // Of these fields a user may send only the persona, which has its own test.
        let granted = backend.preset().granted.impersonator.iter().filter(|name| name.contains("user"));
        let reserved = NAMES.iter().chain(backend.preset().identity.names).chain(granted);
        let head = head(backend);
        let mut authorizers = [authorizer(backend), open(backend)];
        // In enforce mode impersonation would be refused before anything is forwarded.
        authorizers.iter_mut().for_each(|authorizer| authorizer.policy.mode = Mode::Report);
        for name in reserved {
            for spelling in spellings(name) {
                for authorizer in &authorizers {
                    let lines = [BEARER, (&*spelling, "forged"), (&*spelling, "again"), ("x-other", "kept")];
                    let fields = sent_by(&head, authorizer, &lines, json!({}));
                    let forged = fields
                        .iter()
                        .map(|field| field.value())
                        .any(|value| value == "forged" || value == "again");
                    assert!(!forged, "{backend:?} {spelling}: {fields:?}");
                    assert_values(&fields, "x-other", &["kept"]);
                }
            }
        }
    }
}

#[test]
fn configured_names_are_reserved_in_addition_to_the_default_ones() {
    let custom = IdentityNames {
        user: Some(HeaderName::from_static("x_my_user")),
        email: Some(HeaderName::from_static("x-my-email")),
        groups: Some(HeaderName::from_static("x.my.groups")),
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
    let fields = sent_by(&head, &authorizer(Backend::Generic), &lines, json!({"roles": ["R"]}));
    assert!(!fields.iter().map(|field| field.value()).any(|value| value == "forged"), "{fields:?}");
    assert_values(&fields, "x_my_user", &["ada"]);
    assert_values(&fields, "x.my.groups", &["R"]);
}

#[test]
fn verified_values_replace_all_values_of_the_client() {
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
fn principals_are_encoded_and_stay_distinct() {
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
fn anonymous_requests_have_no_identity_fields() {
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
fn only_a_permitted_bot_may_send_the_impersonation_field() {
    let wish =
        [("X-Impersonate-User", "ada"), ("x_impersonate_user", "root"), ("x-openmetadata-persona", "p")];
    let mut authorizer = authorizer(Backend::OpenMetadata);
    let bots = vec!["ada".into()];
    authorizer.policy.impersonation = Some(Impersonation { issuer: "https://idp.example".into(), bots });
    let by = |authorizer: &Authorizer, claims| {
        sent_by(&head(Backend::OpenMetadata), authorizer, &[&[BEARER], &wish[..]].concat(), claims)
    };
    let bot = by(&authorizer, json!({"isBot": true}));
    assert_values(&bot, "x-impersonate-user", &["ada"]);
    assert_values(&bot, "x_impersonate_user", &[]);
    assert_values(&bot, "x-openmetadata-persona", &["p"]);
    let underscored = sent(Backend::OpenMetadata, &wish[1..], json!({}));
    assert_values(&underscored, "x_impersonate_user", &[]);
    // If the denial is only reported, the field is still removed.
    authorizer.policy.mode = Mode::Report;
    for claims in [json!({}), json!({"isBot": true, "sub": "eve"})] {
        assert_values(&by(&authorizer, claims), "x-impersonate-user", &[]);
    }
}

/// OpenMetadata compares the field with the personas that are assigned to the user.
#[test]
fn only_a_verified_user_may_send_the_persona_field() {
    let wish = [("X-OpenMetadata-Persona", "steward"), ("x_openmetadata_persona", "other")];
    let user = sent(Backend::OpenMetadata, &wish, json!({}));
    assert_values(&user, "x-openmetadata-persona", &["steward"]);
    assert_values(&user, "x_openmetadata_persona", &[]);
    let anonymous = sent_by(&head(Backend::OpenMetadata), &open(Backend::OpenMetadata), &wish, json!({}));
    assert_values(&anonymous, "x-openmetadata-persona", &[]);
    let twice = [("x-openmetadata-persona", "a"), ("X-OpenMetadata-Persona", "b")];
    assert_values(&sent(Backend::OpenMetadata, &twice, json!({})), "x-openmetadata-persona", &["a"]);
}

#[test]
fn only_datahubs_own_services_may_act_for_users() {
    let lines = [
        ("X-DataHub-Actor", "urn:li:corpuser:ada"),
        ("x_datahub_actor", "urn:li:corpuser:eve"),
        ("x-datahub-delegated-for-id", "ada"),
        ("x-datahub-request-source", "BROWSER"),
        ("x-forwarded-user", "ada"),
    ];
    let system = sent_for(Backend::DataHubGms, Caller::DatahubSystem, &lines);
    assert_values(&system, "x-datahub-actor", &["urn:li:corpuser:ada"]);
    assert_values(&system, "x-datahub-delegated-for-id", &["ada"]);
    assert_values(&system, "x-datahub-request-source", &["BROWSER"]);
    assert_values(&system, "x_datahub_actor", &[]);
    assert_values(&system, "x-forwarded-user", &[]);
    let bot = Caller::Token(verified(json!({"isBot": true})).into());
    for (backend, caller) in [
        (Backend::DataHubGms, bot.clone()),
        (Backend::DataHubGms, Caller::Anonymous),
        (Backend::DataHubFrontend, bot),
        (Backend::DataHubFrontend, Caller::SessionCookie),
    ] {
        let sent = sent_for(backend, caller, &lines);
        for (name, _) in &lines[..3] {
            assert_values(&sent, name, &[]);
        }
    }
}

#[test]
fn datahubs_actor_field_is_set_if_configured_and_always_stripped() {
    let lines =
        [BEARER, ("X-DataHub-Actor", "urn:li:corpuser:admin"), ("x_datahub_actor", "urn:li:corpuser:admin")];
    for (backend, set) in
        [(Backend::DataHubGms, true), (Backend::DataHubGms, false), (Backend::DataHubFrontend, false)]
    {
        let head = OutboundHead::new(backend, names(set), Authorization::Forward, Vec::new());
        let fields = sent_by(&head, &authorizer(backend), &lines, json!({"sub": "a,(b)"}));
        let expected: &[&str] = if set { &["urn:li:corpuser:a%2C%28b%29"] } else { &[] };
        assert_values(&fields, "x-datahub-actor", expected);
        assert_values(&fields, "x_datahub_actor", &[]);
    }
}
