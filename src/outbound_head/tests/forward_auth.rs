//! The fields for a proxy that only asks for the decision, and what a configuration adds to a head.

use super::*;
use crate::claims::{ClaimPath, FieldRules, MappedUser, Mapping, VerifiedToken};
use crate::request::{TokenField, TokenFields};
use crate::token_exchange::{ExchangeIssuer, TokenExchange};

/// What the proxy that asks is told to set.
fn forward_auth_fields(
    head: &OutboundHead,
    authorizer: &Authorizer,
    lines: &[(&str, &str)],
    claims: Value,
) -> Fields {
    let fields = fields(lines);
    let facts = facts_of(authorizer.backend, "GET", "/api/x", &fields).unwrap();
    let permit = decide(authorizer, &facts, Some(verified(claims))).unwrap();
    head.forward_auth_fields(&fields, &facts, &permit, PEER).unwrap()
}

#[test]
fn a_proxy_that_asks_is_told_the_identity_and_nothing_of_the_client() {
    let generic = authorizer(Backend::Generic);
    let prefixed = head(Backend::Generic).with_prefix(PathPrefix::new("/catalog"));
    assert_eq!(prefixed.prefix().map(PathPrefix::as_str), Some("/catalog"));
    let lines = [
        ("authorization", "bearer a.b.c"),
        ("x-forwarded-user", "forged"),
        ("x-other", "1"),
        ("x-forwarded-prefix", "/forged"),
    ];
    let claims = json!({"email": "ada@corp.example", "roles": ["a", "b"]});
    let fields = forward_auth_fields(&prefixed, &generic, &lines, claims);
    assert_values(&fields, "authorization", &["Bearer a.b.c"]);
    assert_values(&fields, "x-forwarded-email", &["ada@corp.example"]);
    assert_values(&fields, "x-forwarded-groups", &["a,b"]);
    assert_values(&fields, "x-forwarded-prefix", &["/catalog"]);
    assert_values(&fields, "x-other", &[]);
    assert!(!fields.iter().map(|field| field.value()).any(|value| value == "forged"), "{fields:?}");
    let open = forward_auth_fields(&head(Backend::Generic), &open(Backend::Generic), &lines[1..], json!({}));
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn a_proxy_that_asks_is_told_the_fields_that_the_caller_may_send() {
    let gms = authorizer(Backend::DataHubGms);
    let system = ("authorization", "Basic __datahub_system:system-secret");
    for name in Backend::DataHubGms.preset().granted.system {
        let fields = forward_auth_fields(
            &head(Backend::DataHubGms),
            &gms,
            &[system, (name, "x"), ("x-other", "x")],
            json!({}),
        );
        assert_values(&fields, name, &["x"]);
        assert_values(&fields, "authorization", &[system.1]);
        assert_values(&fields, "x-other", &[]);
    }
    let source = Backend::DataHubGms.preset().request_source.as_ref().unwrap();
    let fields = forward_auth_fields(
        &head(Backend::DataHubGms),
        &gms,
        &[BEARER, (source.name, source.browser)],
        json!({}),
    );
    assert_values(&fields, source.name, &[source.program]);
}

#[test]
fn roles_that_were_left_out_are_marked() {
    let mark = cut_mark(&HeaderName::from_static("x-forwarded-groups")).unwrap();
    let rules = |max_groups_bytes| FieldRules { max_groups_bytes, ..FieldRules::default() };
    for (max, groups, marked) in [(3, "a,b", false), (2, "a", true), (5, "a,b", false)] {
        let head = head(Backend::Generic).with_field_rules(rules(max));
        let lines = [BEARER, (mark.as_str(), "forged")];
        let fields = sent_by(&head, &authorizer(Backend::Generic), &lines, json!({"roles": ["a", "b"]}));
        assert_values(&fields, "x-forwarded-groups", &[groups]);
        assert_values(&fields, mark.as_str(), if marked { &["true"] } else { &[] });
    }
}

/// `identity.headers`.
#[test]
fn configured_claims_have_fields_that_no_client_may_send() {
    let field = |name, claims: &[&'static str]| {
        (HeaderName::from_static(name), claims.iter().map(|claim| ClaimPath::new(claim)).collect())
    };
    let claims = vec![field("x-team", &["team", "group"]), field("x-cost", &["cost.center"])];
    let head = head(Backend::Generic).with_field_rules(FieldRules { claims, ..FieldRules::default() });
    let reserved: Vec<&str> = head.reserved().collect();
    assert!(
        ["x-team", "x-cost", "x-forwarded-user"].iter().all(|name| reserved.contains(name)),
        "{reserved:?}"
    );
    let lines = [BEARER, ("x-team", "forged"), ("X_Cost", "forged")];
    let generic = authorizer(Backend::Generic);
    let sent = |claims| sent_by(&head, &generic, &lines, claims);
    let both = sent(json!({"team": "data", "group": "no", "cost": {"center": "7"}}));
    assert_values(&both, "x-team", &["data"]);
    assert_values(&both, "x-cost", &["7"]);
    assert_values(&both, "x_cost", &[]);
    let second = sent(json!({"group": "ops"}));
    assert_values(&second, "x-team", &["ops"]);
    assert_values(&second, "x-cost", &[]);
    assert_values(&sent_by(&head, &open(Backend::Generic), &lines, json!({})), "x-team", &[]);
    // A caller that acts as another user takes no claim with it.
    let user = MappedUser { index: 0, entry: "nightly".into(), user: "bot".into(), email: None };
    let token = verified(json!({"team": "data", "roles": ["Admin"]})).mapped(Mapping::User(user.into()));
    assert!(head.can_send(&token));
    let fields = sent_for_token(&head, token);
    assert_values(&fields, "x-forwarded-user", &["bot"]);
    assert_values(&fields, "x-team", &[]);
    assert_values(&fields, "x-forwarded-groups", &[]);
}

fn sent_for_token(head: &OutboundHead, token: VerifiedToken) -> Fields {
    let fields = fields(&[BEARER, ("host", "a.example")]);
    let facts = facts_of(Backend::Generic, "GET", "/api/x", &fields).unwrap();
    let permit = decide(&authorizer(Backend::Generic), &facts, Some(token)).unwrap();
    rewritten(head, fields, &facts, &permit)
}

/// [`OutboundHead::can_send`] tells a command that explains a request what the request itself gets.
#[test]
fn an_identity_that_fits_into_no_field_cannot_be_sent() {
    let claims = vec![(HeaderName::from_static("x-team"), vec![ClaimPath::new("team")])];
    let rules = || FieldRules { claims: claims.clone(), ..FieldRules::default() };
    for (length, good) in [(1024, true), (1025, false)] {
        for datahub_actor in [false, true] {
            let names = names(datahub_actor);
            let head = OutboundHead::new(Backend::DataHubGms, names, Authorization::Forward, Vec::new())
                .with_field_rules(rules());
            let token = verified(json!({"team": "a".repeat(length)}));
            assert_eq!(head.can_send(&token), good, "{length}");
            let mut fields = fields(&[BEARER, ("host", "a.example")]);
            let facts = facts_of(Backend::DataHubGms, "GET", "/api/x", &fields).unwrap();
            let permit = decide(&authorizer(Backend::DataHubGms), &facts, Some(token)).unwrap();
            let rewritten = head.rewrite(&mut fields, &facts, &permit, PEER, false);
            assert_eq!(rewritten.err(), (!good).then_some(Reason::MalformedToken), "{length}");
        }
    }
}

/// The path that was removed is told to the backend, and no client can tell it another one.
#[test]
fn a_removed_prefix_is_told() {
    let lines = [BEARER, ("x-forwarded-prefix", "/forged")];
    let generic = authorizer(Backend::Generic);
    assert_values(&sent_by(&head(Backend::Generic), &generic, &lines, json!({})), "x-forwarded-prefix", &[]);
    let prefixed = head(Backend::Generic).with_prefix(PathPrefix::new("/catalog"));
    assert_values(&sent_by(&prefixed, &generic, &lines, json!({})), "x-forwarded-prefix", &["/catalog"]);
}

#[test]
fn token_fields_of_other_listeners_are_removed_too() {
    let other =
        TokenFields::new(vec![TokenField::new(HeaderName::from_static("x-token"), None, false)], true);
    let head = head(Backend::Generic).without_token_fields([&other]);
    let lines = [BEARER, ("x-token", "d.e.f"), ("x_token", "d.e.f")];
    let fields = sent_by(&head, &authorizer(Backend::Generic), &lines, json!({}));
    assert_values(&fields, "authorization", &["Bearer a.b.c"]);
    assert_values(&fields, "x-token", &[]);
    assert_values(&fields, "x_token", &[]);
}

#[test]
fn a_credential_of_the_backend_takes_the_place_of_the_clients() {
    let mut headers = fields(&[BEARER, ("x-other", "kept")]);
    head(Backend::Generic).set_credential(&mut headers, &HeaderValue::from_static("Bearer minted"));
    assert_values(&headers, "authorization", &["Bearer minted"]);
    assert_values(&headers, "x-other", &["kept"]);
}

/// On a public route, a token that cannot be read may be one of an issuer that takes part in the exchange.
#[test]
fn a_withheld_token_is_neither_forwarded_nor_told_to_a_proxy() {
    let mut exchanging = open(Backend::Generic);
    let issuer = ExchangeIssuer { name: "idp".into(), is_required: true };
    exchanging.exchange = TokenExchange::new(Vec::new(), vec![issuer]);
    let head = head(Backend::Generic);
    for value in ["Bearer a.b.c", "bearer a.b.c"] {
        let lines = [("authorization", value)];
        assert_values(&sent_by(&head, &exchanging, &lines, json!({})), "authorization", &[]);
        assert_values(&forward_auth_fields(&head, &exchanging, &lines, json!({})), "authorization", &[]);
        let without_exchange = open(Backend::Generic);
        let sent = sent_by(&head, &without_exchange, &lines, json!({}));
        assert_values(&sent, "authorization", &["Bearer a.b.c"]);
    }
}

#[test]
fn a_withheld_token_is_removed_wherever_it_is() {
    let token = format!("{}.{}.{}", "a".repeat(20), "b".repeat(20), "c".repeat(20));
    let long = format!("before {token} after");
    let other = "a".repeat(token.len());
    let lines = [
        ("x-copy", &*long),
        ("x-exact", &*token),
        ("x-part", &token[..40]),
        ("x-other", "kept"),
        ("x-long", &*other),
    ];
    let mut headers = fields(&lines);
    headers.append("x-bytes", HeaderValue::from_bytes(&[b"\xff", token.as_bytes()].concat()).unwrap());
    remove_fields_with(&mut headers, token.as_bytes());
    let names: Vec<&str> = headers.iter().map(|field| field.name()).collect();
    assert_eq!(names, ["x-part", "x-other", "x-long"]);
    // A short text may be anywhere.
    let mut short = fields(&[("content-length", "12"), ("x-long", &*"12".repeat(20))]);
    remove_fields_with(&mut short, b"12");
    assert_eq!(short.iter().count(), 2);
}

#[test]
fn families_of_reserved_names_are_listed() {
    let gms: Vec<&str> = head(Backend::DataHubGms).reserved_families().collect();
    let generic: Vec<&str> = head(Backend::Generic).reserved_families().collect();
    assert!(gms.contains(&"x-datahub-") && !generic.contains(&"x-datahub-"), "{gms:?}");
    assert!(generic.contains(&"cf-access-"), "{generic:?}");
}
