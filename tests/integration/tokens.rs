//! Tokens: every kind that must be let in, and every kind that must not.

mod claims;
mod encodings;
mod headers;

use serde_json::json;

use crate::support::eventually;
use crate::support::gateway::text;
use crate::support::issuer::{Issuer, JWKS};
use crate::support::keys::{self, DATAHUB_SECRET, Key};
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer, now};
use crate::support::upstream::Upstream;
use crate::support::wire::{Answer, Client, NoAnswer, request_bytes};

/// A token text that must never be let in, and why.
struct Hostile {
    name: String,
    token: String,
}

fn hostile(name: impl Into<String>, token: String) -> Hostile {
    Hostile { name: name.into(), token }
}

/// A gateway that knows two RSA keys, both curves, an Ed25519 key and DataHub's secret.
fn stage() -> Stage {
    let known = [keys::rsa(), keys::other_rsa(), keys::p256(), keys::p384(), keys::ed25519()];
    let issuer = Issuer::with_keys(&known.map(Key::jwk));
    Stage::with(issuer, Upstream::echo(), |setup| {
        setup.env("DATAHUB_TOKEN_SERVICE_SIGNING_KEY", DATAHUB_SECRET)
    })
}

fn good() -> Vec<(String, Token)> {
    let mut good = Vec::new();
    for alg in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] {
        good.push((alg.to_owned(), Token::user().signed(alg, keys::rsa())));
    }
    good.push(("ES256".to_owned(), Token::user().signed("ES256", keys::p256())));
    good.push(("ES384".to_owned(), Token::user().signed("ES384", keys::p384())));
    good.push(("EdDSA".to_owned(), Token::user().signed("EdDSA", keys::ed25519())));
    let float = json!(now() as f64 + 3600.5);
    let named = [
        ("HS256 by DataHub's secret", Token::datahub()),
        ("the documented bot, exp null", Token::bot()),
        ("a bot without exp", Token::bot().without("exp")),
        ("a user of OpenMetadata", Token::user()),
        ("a personal access token", Token::personal()),
        ("an identity provider's token", Token::keycloak("https://idp.test/realms/acme")),
        ("an access token by RFC 9068", Token::user().header("typ", json!("at+jwt"))),
        ("no typ", Token::user().without_header("typ")),
        ("another header member", Token::user().header("x5t", json!("abc"))),
        ("a fractional exp", Token::user().claim("exp", float)),
        ("without iat", Token::user().without("iat")),
        ("an audience nobody asks about", Token::user().claim("aud", json!(["a", "b"]))),
        ("a principal that is not ASCII", Token::user().claim("email", json!("zoé@open-metadata.org"))),
        ("claims of every JSON type", Token::user().claim("x", json!({"a": [1, 2.5, null, true, "z"]}))),
    ];
    good.extend(named.map(|(name, token)| (name.to_owned(), token)));
    good
}

#[test]
fn good_tokens_pass_and_hostile_ones_never_do() {
    let stage = stage();
    let evil = stage.issuer.url("/evil");
    let hostile: Vec<Hostile> =
        [headers::hostile(&evil), encodings::hostile(), claims::hostile()].into_iter().flatten().collect();
    let good = good();

    let mut kept_out = Vec::new();
    for (name, token) in &good {
        let answer = stage.gateway.get_as(token, "/api/v1/tables");
        if answer.status != 200 {
            kept_out.push(format!("{name}: {} {}", answer.status, answer.text()));
        }
    }
    let reached = stage.upstream.requests().len();
    let mut let_in = Vec::new();
    let mut wrong = Vec::new();
    for case in &hostile {
        let mut client = Client::connect(stage.gateway.proxy);
        let fields = format!("Bearer {}", case.token);
        client.send(request_bytes("GET", "/api/v1/tables", &[("Authorization", &fields)], b""));
        match client.answer() {
            Ok(answer) if answer.status == 401 => {}
            // A comma makes a list of credentials; some bytes no field value may hold.
            Ok(answer) if answer.status == 400 && case.name.starts_with("(400)") => {}
            // Too large for a head: refused before it is read to its end.
            Ok(Answer { status: 431, .. }) | Err(NoAnswer::Closed) if case.token.len() > 60_000 => {}
            Ok(Answer { status: 200, .. }) => let_in.push(case.name.clone()),
            other => wrong.push(format!("{}: {:?}", case.name, other.map(|answer| answer.status))),
        }
    }
    println!(
        "hostile tokens: {} tried, {} let in; good tokens: {} tried, {} kept out",
        hostile.len(),
        let_in.len(),
        good.len(),
        kept_out.len()
    );
    assert!(let_in.is_empty(), "let in: {let_in:#?}");
    assert!(kept_out.is_empty(), "good ones kept out: {kept_out:#?}");
    assert!(wrong.is_empty(), "not 401: {wrong:#?}");
    assert_eq!(stage.upstream.requests().len(), reached, "a refused request reached the upstream");
    assert_eq!(stage.issuer.hits("/evil"), 0, "a key named inside a token was fetched");
    // One fetch at the start; unknown key ids ask once more at most within the cooldown.
    assert!(stage.issuer.hits(JWKS) <= 2, "{} fetches", stage.issuer.hits(JWKS));
    assert!(stage.gateway.probe("/readyz").status == 200);
    let broken: Vec<_> = stage
        .gateway
        .stderr()
        .into_iter()
        .filter(|line| !line.starts_with('{') || !line.ends_with('}'))
        .collect();
    assert!(broken.is_empty(), "a log line was broken: {broken:?}");
}

#[test]
fn every_spelling_of_the_scheme_goes_upstream_in_the_one_that_backends_read() {
    let stage = Stage::plain(|setup| setup);
    let token = Token::bot().encode();
    for (index, scheme) in ["Bearer", "bearer", "BEARER", "bEARER"].into_iter().enumerate() {
        let target = format!("/{index}");
        let answer = stage.gateway.get(&target, &[("Authorization", &format!("{scheme} {token}"))]);
        assert_eq!(answer.status, 200, "{scheme}");
        let request = stage.upstream.request_to(&target);
        assert_eq!(request.head.value("authorization"), Some(format!("Bearer {token}").as_str()), "{scheme}");
    }
}

#[test]
fn scheme_and_token_are_one_space_apart() {
    let stage = Stage::plain(|setup| setup);
    let token = Token::bot().encode();
    let get = |value: String| -> Answer { stage.gateway.get("/x", &[("Authorization", &value)]) };
    for value in [
        String::new(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        format!("Bearer{token}"),
        format!("BearerX{token}"),
        format!("Bearer\t{token}"),
        format!("Bearer  {token}"),
        format!("Bearer {token} {token}"),
        format!("DPoP {token}"),
        format!("\"Bearer {token}\""),
        token.clone(),
    ] {
        let shown = value.replace(&token, "<token>");
        assert_eq!(get(value).status, 401, "{shown:?}");
    }
    assert_eq!(stage.upstream.requests().len(), 0);
    // White space around a field value is no part of it (RFC 9110 section 5.5).
    assert_eq!(get(format!("  Bearer {token} \t")).status, 200);
}

#[test]
fn the_limit_on_tokens_is_exact() {
    let limit = 2000;
    let stage = Stage::plain(|setup| setup.env("METAGATE_LIMITS__TOKEN_BYTES", limit.to_string()));
    let of_length = |length: usize| {
        (0..length)
            .map(|filler| Token::bot().claim("x", json!("x".repeat(filler))).encode())
            .find(|token| token.len() >= length)
            .expect("a filler grows")
    };
    let fits = of_length(limit - 1);
    assert!(fits.len() <= limit, "{}", fits.len());
    assert_eq!(stage.gateway.get_with(&fits, "/fits").status, 200);
    let long = of_length(limit + 1);
    assert_eq!(stage.gateway.get_with(&long, "/long").status, 401);
    assert_eq!(text(&stage.gateway.audit_of("/long"), "reason"), Some("malformed_token"));
}

#[test]
fn a_remembered_token_is_judged_anew_by_its_times_and_its_bytes() {
    let stage = Stage::plain(|setup| setup);
    // A token that ends within the leeway: good for a moment, then not.
    let short = Token::user().expires_in(-28);
    let request = request_bytes("GET", "/short", &[("Authorization", &bearer(&short))], b"");
    let mut client = Client::connect(stage.gateway.proxy);
    let mut status = || client.send(&request).answer().expect("an answer").status;
    assert_eq!(status(), 200);
    eventually("the remembered token to expire", || (status() == 401).then_some(()));
    let good = Token::user().encode();
    assert_eq!(stage.gateway.get_with(&good, "/good").status, 200);
    let last = good.chars().last().expect("a character");
    // 256 bytes leave two bits to the last character: `A`, `Q`, `g` and `w` are canonical there.
    let other = if last == 'A' { 'Q' } else { 'A' };
    let changed = format!("{}{other}", &good[..good.len() - 1]);
    assert_eq!(stage.gateway.get_with(&changed, "/changed").status, 401);
}
