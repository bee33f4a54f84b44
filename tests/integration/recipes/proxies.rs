//! Proxies that pass on a token of their own in another field.

use base64::Engine as _;
use serde_json::{Value, json};

use super::pages::{Recipe, Written};
use crate::support::issuer::Reply;
use crate::support::keys::{Key, key_set, other_p256, p256, rsa};
use crate::support::token::{Token, bearer, now};

fn token(claims: Value, alg: &str, key: &'static Key) -> Token {
    let token = Token::of(claims).claim("iat", json!(now() - 5)).claim("exp", json!(now() + 600));
    token.signed(alg, key)
}

/// The token is accepted in this field, and neither it nor a client's `Authorization` goes upstream.
#[track_caller]
fn check_accepted(recipe: &Recipe, field: &str, token: &str, user: &str) {
    let own = bearer(&Token::bot());
    let fields = [(field, token), ("Authorization", &own), ("X-Forwarded-User", "evil")];
    assert_eq!(recipe.outcome("GET", "/accepted", &fields).0, 200);
    let head = recipe.upstream.request_to("/accepted").head;
    assert_eq!(head.values("x-forwarded-user"), [user]);
    for name in ["authorization", &field.to_lowercase()] {
        assert!(head.values(name).is_empty(), "{name}");
    }
    assert_eq!(recipe.outcome("GET", "/no-token", &[("Authorization", &own)]).1, "missing_token");
    assert_eq!(
        recipe.outcome("GET", "/bearer", &[("Authorization", &format!("Bearer {token}"))]).1,
        "missing_token"
    );
    assert_eq!(recipe.outcome("GET", "/twice", &[(field, token), (field, token)]).1, "ambiguous_credentials");
}

#[test]
fn google_iap() {
    const FIELD: &str = "X-Goog-IAP-JWT-Assertion";
    let keys = Reply::Json(key_set(&[p256().jwk_with(json!({"alg": "ES256"}))]));
    let recipe =
        Written::of("google-iap.md").serve("https://www.gstatic.com/iap/verify/public_key-jwk", keys).start();
    let of = |audience: &str| {
        token(
            json!({"iss": "https://cloud.google.com/iap", "aud": audience, "email": "ada@acme.example",
                "sub": "accounts.google.com:117", "hd": "acme.example"}),
            "ES256",
            p256(),
        )
    };
    let good = of("/projects/123456789012/global/backendServices/1234567890123456789");
    check_accepted(&recipe, FIELD, &good.encode(), "ada@acme.example");
    let other = of("/projects/999/global/backendServices/1");
    assert_eq!(recipe.outcome("GET", "/other", &[(FIELD, &other.encode())]).1, "wrong_audience");
    let forged = good.signed("ES256", other_p256()).header("kid", json!(p256().kid));
    assert_eq!(recipe.outcome("GET", "/forged", &[(FIELD, &forged.encode())]).1, "invalid_signature");
}

#[test]
fn cloudflare_access() {
    const FIELD: &str = "Cf-Access-Jwt-Assertion";
    // The document has more members than a key set.
    let mut set: Value =
        serde_json::from_str(&key_set(&[rsa().jwk_with(json!({"alg": "RS256"}))])).expect("JSON");
    set["public_cert"] = json!({"kid": rsa().kid, "cert": "-----BEGIN CERTIFICATE-----"});
    set["public_certs"] = json!([{"kid": rsa().kid, "cert": "-----BEGIN CERTIFICATE-----"}]);
    let url = "https://acme.cloudflareaccess.com/cdn-cgi/access/certs";
    let recipe = Written::of("cloudflare-access.md").serve(url, Reply::Json(set.to_string())).start();
    let of = |more: Value| {
        let aud = ["32eafc7626e737a1f2bbbb5b3c9a1ad1f1a5d3a5b6c7d8e9f0a1b2c3d4e5f607"];
        let claims = json!({"iss": "https://acme.cloudflareaccess.com", "aud": aud, "type": "app",
            "nbf": now() - 5, "identity_nonce": "6ei69kawdKzMIAPF", "country": "DE"});
        let own = token(claims, "RS256", rsa());
        more.as_object()
            .expect("claims")
            .iter()
            .fold(own, |token, (name, value)| token.claim(name, value.clone()))
    };
    let user = of(json!({"email": "ada@acme.example", "sub": "7335d417-61da-459d-899c-0a01c76a2f94"}));
    check_accepted(&recipe, FIELD, &user.encode(), "ada@acme.example");
    let service = of(json!({"common_name": "e367826f93b8d71185e03fe518aff3b4.access", "sub": ""}));
    assert_eq!(recipe.outcome("GET", "/service", &[(FIELD, &service.encode())]).0, 200);
    let session = user.clone().claim("type", json!("org"));
    assert_eq!(recipe.outcome("GET", "/session", &[(FIELD, &session.encode())]).0, 403);
    let other = user.claim("aud", json!(["another application"]));
    assert_eq!(recipe.outcome("GET", "/other", &[(FIELD, &other.encode())]).1, "wrong_audience");
}

const ALB: &str = "X-Amzn-Oidc-Data";
const KID: &str = "12345678-1234-1234-1234-123456789012";
const SIGNER: &str =
    "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/metadata/0123456789abcdef";

fn pem(key: &Key) -> String {
    // SubjectPublicKeyInfo of a P-256 key (RFC 5480).
    let prefix = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
    let (x, y) = key.coordinates();
    let der = [&prefix[..], &[4], &x, &y].concat();
    let text = base64::prelude::BASE64_STANDARD.encode(der);
    format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
}

fn alb() -> Recipe {
    Written::of("aws-alb.md")
        .serve_by_kid("https://public-keys.auth.elb.eu-central-1.amazonaws.com/", KID, pem(p256()))
        .start()
}

fn alb_token(kid: &str) -> Token {
    let issuer = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Example";
    let claims = json!({"iss": issuer, "sub": "d1a2", "email": "ada@acme.example", "email_verified": "true",
        "username": "ada", "exp": now() + 120});
    Token::of(claims)
        .signed("ES256", p256())
        .header("kid", json!(kid))
        .header("signer", json!(SIGNER))
        .header("client", json!("1example23456789"))
        .header("iss", json!(issuer))
        .header("exp", json!(now() + 120))
}

#[test]
fn aws_load_balancer() {
    let recipe = alb();
    let good = alb_token(KID);
    check_accepted(&recipe, ALB, &good.encode_padded(), "ada@acme.example");
    assert_eq!(recipe.outcome("GET", "/unpadded", &[(ALB, &good.encode())]).0, 200);
    assert_eq!(recipe.issuer.hits(&format!("/{KID}")), 1, "the key is fetched once");
    for (at, (token, reason)) in [
        (
            good.clone().header("signer", json!(SIGNER.replace("123456789012", "999999999999"))),
            "untrusted_issuer",
        ),
        (good.clone().header("signer", json!([SIGNER])), "untrusted_issuer"),
        (good.clone().without_header("signer"), "untrusted_issuer"),
        (good.clone().header("client", json!("another")), "untrusted_issuer"),
        (good.clone().signed("ES256", other_p256()).header("kid", json!(KID)), "invalid_signature"),
        (good.clone().expires_in(-600), "expired"),
    ]
    .iter()
    .enumerate()
    {
        let path = format!("/bad/{at}");
        let (_, found, detail) = recipe.outcome("GET", &path, &[(ALB, &token.encode_padded())]);
        assert_eq!(found, *reason, "{at}: {detail}");
        if *reason == "untrusted_issuer" {
            assert!(detail.contains("(requireHeader)"), "{detail}");
        }
    }
    assert_eq!(recipe.issuer.requests().len(), 1, "none of these causes a fetch");
}

#[test]
fn invented_kids_cause_few_fetches() {
    let recipe = alb();
    for at in 0..40 {
        let token = alb_token(&format!("invented-{at}"));
        let (status, ..) = recipe.outcome("GET", &format!("/{at}"), &[(ALB, &token.encode_padded())]);
        assert_eq!(status, 401);
    }
    // Those of another form are never asked for.
    for (at, kid) in ["../x", "a/b", "a?b", "%2e", "", &"k".repeat(65)].iter().enumerate() {
        let token = alb_token(kid);
        assert_eq!(
            recipe.outcome("GET", &format!("/odd/{at}"), &[(ALB, &token.encode_padded())]).0,
            401,
            "{kid}"
        );
    }
    let requests = recipe.issuer.requests().len();
    assert!((1..=12).contains(&requests), "{requests} fetches");
    let targets: Vec<String> =
        recipe.issuer.requests().iter().map(|request| request.head.target().to_owned()).collect();
    assert!(targets.iter().all(|target| target.starts_with("/invented-")), "{targets:?}");
}
