//! Tokens in other request fields than `Authorization` (`authentication.tokenHeaders`).

use serde_json::json;

use crate::support::gateway::{Setup, text};
use crate::support::issuer::{Issuer, JWKS};
use crate::support::keys::{p256, rsa};
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer};
use crate::support::upstream::Upstream;
use crate::support::wire;

const IAP: &str = "X-Goog-IAP-JWT-Assertion";

fn stage(headers: &str) -> Stage {
    stage_with(headers, |setup| setup)
}

fn stage_with(headers: &str, adjust: impl FnOnce(Setup) -> Setup) -> Stage {
    let issuer = Issuer::with_keys(&[rsa().jwk(), p256().jwk()]);
    Stage::with(issuer, Upstream::echo(), |setup| {
        adjust(setup.env("METAGATE_AUTHENTICATION__TOKEN_HEADERS", headers))
    })
}

/// The status, and the reason of a refusal.
fn outcome(stage: &Stage, path: &str, headers: &[(&str, &str)]) -> (u16, Option<String>) {
    let status = stage.gateway.get(path, headers).status;
    let record = stage.gateway.audit_of(path);
    (status, text(&record, "reason").map(str::to_owned))
}

#[test]
fn a_token_of_another_field_goes_on_as_authorization() {
    let stage = stage("[X-Goog-IAP-JWT-Assertion]");
    let (token, other) = (Token::user().encode(), Token::bot().encode());
    let own = format!("Bearer {other}");
    let lines = [(IAP, &*token), ("Authorization", &own), ("X_Goog_IAP_JWT_Assertion", &other)];
    assert_eq!(stage.gateway.get("/api/x", &lines).status, 200);
    let sent = stage.upstream.request_to("/api/x").head;
    assert_eq!(sent.values("authorization"), [format!("Bearer {token}")]);
    for name in ["x-goog-iap-jwt-assertion", "x_goog_iap_jwt_assertion"] {
        assert!(sent.values(name).is_empty(), "{name}");
    }
    assert_eq!(sent.value("x-forwarded-user"), Some("ada@open-metadata.org"));
}

#[test]
fn a_request_has_one_credential_in_one_of_the_fields() {
    let stage =
        stage("[Authorization, X-Goog-IAP-JWT-Assertion, {name: Proxy-Authorization, scheme: Bearer}]");
    let (raw, own) = (Token::user().encode(), bearer(&Token::user()));
    let refused = |status, reason: &str| (status, Some(reason.to_owned()));
    for (at, (lines, expected)) in [
        (&[(IAP, &*raw)][..], (200, None)),
        (&[("Authorization", &own)], (200, None)),
        (&[("Proxy-Authorization", &own)], (200, None)),
        (&[("Authorization", &own), (IAP, &raw)], refused(400, "ambiguous_credentials")),
        (&[(IAP, &raw), (IAP, &raw)], refused(400, "ambiguous_credentials")),
        (&[(IAP, &own)], refused(401, "malformed_token")),
        (&[("Authorization", &raw)], refused(401, "unsupported_scheme")),
        (&[("Proxy-Authorization", &raw)], refused(401, "unsupported_scheme")),
        (&[("X_Goog_IAP_JWT_Assertion", &raw)], refused(401, "missing_token")),
        (&[("Connection", "X-Goog-IAP-JWT-Assertion"), (IAP, &raw)], refused(400, "bad_target")),
        (&[], refused(401, "missing_token")),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/api/{at}");
        let (status, reason) = outcome(&stage, &path, lines);
        let reason = reason.filter(|_| status != 200);
        assert_eq!((status, reason), expected, "{at}");
        if status == 200 {
            let sent = stage.upstream.request_to(&path).head;
            assert_eq!(sent.values("authorization"), [own.as_str()], "{at}");
            assert!(sent.value("proxy-authorization").is_none());
        }
    }
}

#[test]
fn padded_tokens_need_a_field_that_allows_them() {
    let stage = stage("[Authorization, X-Plain, {name: X-Amzn-Oidc-Data, padded: true}]");
    // One of these has padding in each of its first two parts.
    let tokens = (0..3).flat_map(|a| (0..3).map(move |b| (a, b)));
    let padded = tokens.map(|(a, b)| {
        let token = Token::user().signed("ES256", p256()).header("x", json!("x".repeat(a)));
        token.claim("x", json!("x".repeat(b))).encode_padded()
    });
    let token = padded.into_iter().find(|token| token.matches("=.").count() == 2).expect("one of them");
    assert_eq!(outcome(&stage, "/api/padded", &[("X-Amzn-Oidc-Data", &token)]).0, 200);
    let sent = stage.upstream.request_to("/api/padded").head;
    assert_eq!(sent.value("authorization"), Some(&*format!("Bearer {token}")), "as it was signed");
    let unpadded = token.replace('=', "");
    for (at, (name, value)) in [
        ("X-Plain", token.clone()),
        ("Authorization", format!("Bearer {token}")),
        // The signature covers the padding.
        ("X-Amzn-Oidc-Data", unpadded.clone()),
        ("X-Plain", unpadded),
        ("X-Amzn-Oidc-Data", token.replacen('=', "", 1)),
        ("X-Amzn-Oidc-Data", token.replacen("=.", "==.", 1)),
        ("X-Amzn-Oidc-Data", format!("={token}")),
    ]
    .iter()
    .enumerate()
    {
        let (status, _) = outcome(&stage, &format!("/api/wrong/{at}"), &[(name, value)]);
        assert_eq!(status, 401, "{name} {at}");
    }
    let plain = Token::user().signed("ES256", p256()).encode();
    assert_eq!(outcome(&stage, "/api/plain", &[("X-Amzn-Oidc-Data", &plain)]).0, 200);
}

#[test]
fn forward_auth_names_the_token_in_authorization() {
    let stage = stage_with("[X-Goog-IAP-JWT-Assertion]", |setup| {
        setup
            .env("METAGATE_FORWARD_AUTH__LISTEN", "127.0.0.1:0")
            .env("METAGATE_FORWARD_AUTH__TARGET", "request")
            .env("METAGATE_AUTHORIZATION__PUBLIC", "/open")
    });
    let (raw, own) = (Token::user().encode(), bearer(&Token::bot()));
    let at = stage.gateway.listener("forward-auth");
    let ask = |target: &str, lines: &[(&str, &str)]| {
        wire::get(at, target, &[lines, &[("X-Forwarded-For", "192.0.2.7")]].concat())
    };
    let response = ask("/api/x", &[(IAP, &raw), ("Authorization", &own)]);
    assert_eq!(
        (response.status, response.head.value("authorization")),
        (200, Some(&*format!("Bearer {raw}")))
    );
    let removed = response.head.value("x-envoy-auth-headers-to-remove").unwrap_or_default().to_owned();
    assert!(removed.split(',').any(|name| name == "x-goog-iap-jwt-assertion"), "{removed}");
    let open = ask("/open", &[("Authorization", &own)]);
    assert_eq!((open.status, open.head.value("authorization")), (200, None));
    let removed = open.head.value("x-envoy-auth-headers-to-remove").unwrap_or_default();
    assert!(removed.split(',').any(|name| name == "authorization"), "{removed}");
    assert_eq!(ask("/api/x", &[("Authorization", &own)]).status, 401);
    assert_eq!(ask("/api/x", &[(IAP, &raw), ("X_Goog_IAP_JWT_Assertion", &raw)]).status, 400);
}

#[test]
fn the_systems_of_datahub_keep_their_credential() {
    let system = "Basic __datahub_system:0123456789abcdef-secret";
    let stage = stage_with("[X-Goog-IAP-JWT-Assertion]", |setup| {
        setup
            .env("METAGATE_BACKEND", "datahub-gms")
            .env("DATAHUB_SYSTEM_CLIENT_SECRET", "0123456789abcdef-secret")
            .env("DATAHUB_SYSTEM_CLIENT_ID", "__datahub_system")
    });
    assert_eq!(outcome(&stage, "/entities/1", &[("Authorization", system)]).0, 200);
    assert_eq!(stage.upstream.request_to("/entities/1").head.value("authorization"), Some(system));
    let raw = Token::user().encode();
    assert_eq!(outcome(&stage, "/entities/2", &[("Authorization", system), (IAP, &raw)]).0, 400);
    let own = bearer(&Token::user());
    assert_eq!(outcome(&stage, "/entities/3", &[("Authorization", &own)]).0, 401);
}

#[test]
fn explain_and_rule_tests_put_the_token_into_the_configured_field() {
    let issuer = Issuer::of(rsa());
    let config = format!(
        "upstream: {{url: 'http://127.0.0.1:9'}}\n\
         authentication: {{publicKeyUrls: ['{}'], audiences: [x], tokenHeaders: [X-Goog-IAP-JWT-Assertion]}}\n\
         authorization: {{tests: [{{name: a, claims: {{sub: ada}}, request: GET /api/x, expect: allow}}]}}\n",
        issuer.url(JWKS)
    );
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), Token::user().claim("aud", json!("x")).encode()).expect("a token");
    let path = file.path().to_str().expect("a path");
    let explained =
        Setup::command(&["explain", "--token-file", path, "--path", "/api/x"]).config(&*config).finish();
    assert_eq!(explained.code, Some(0), "{} {}", explained.stdout, explained.stderr);
    let checked = Setup::command(&["check", "--offline"]).config(&*config).finish();
    assert_eq!(checked.code, Some(0), "{} {}", checked.stdout, checked.stderr);
}

/// One process behind Google IAP and, on another address, for scripts: each address reads its own field, and neither
/// lets a token of the other's field through.
#[test]
fn each_address_of_listen_may_read_its_own_field() {
    let listen = "[\"127.0.0.1:0\", {address: \"127.0.0.1:0\", tokenHeaders: [X-Goog-IAP-JWT-Assertion]}]";
    let stage = stage_with("[Authorization]", |setup| {
        setup.env("METAGATE_LISTEN", listen).env("METAGATE_AUTHORIZATION__PUBLIC", "/open/**")
    });
    let addresses = stage.gateway.logs().into_iter().filter(|log| text(log, "listener") == Some("proxy"));
    let addresses: Vec<std::net::SocketAddr> =
        addresses.filter_map(|log| text(&log, "address")?.parse().ok()).collect();
    let [scripts, iap] = *addresses else { panic!("{addresses:?}") };
    let (raw, own) = (Token::user().encode(), bearer(&Token::user()));
    let (other_raw, other) = (Token::bot().encode(), bearer(&Token::bot()));
    let sent = |path: &str| {
        let head = stage.upstream.request_to(path).head;
        for name in ["x-goog-iap-jwt-assertion", "x_goog_iap_jwt_assertion"] {
            assert!(head.values(name).is_empty(), "{path} {name}");
        }
        head.values("authorization").into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let lines = [(IAP, &*other_raw), ("Authorization", &own), ("X_Goog_IAP_JWT_Assertion", &other_raw)];
    assert_eq!(wire::get(scripts, "/api/scripts", &lines).status, 200);
    assert_eq!(sent("/api/scripts"), std::slice::from_ref(&own));
    let lines = [(IAP, &*raw), ("Authorization", &other)];
    assert_eq!(wire::get(iap, "/api/iap", &lines).status, 200);
    assert_eq!(sent("/api/iap"), std::slice::from_ref(&own));

    assert_eq!(wire::get(scripts, "/api/a", &[(IAP, &raw)]).status, 401);
    assert_eq!(wire::get(iap, "/api/b", &[("Authorization", &own)]).status, 401);
    assert!(
        text(&stage.gateway.audit_of("/api/b"), "detail")
            .is_some_and(|detail| detail.contains("tokenHeaders"))
    );
    // Nothing that was not verified is forwarded from either.
    for (at, address) in [scripts, iap].into_iter().enumerate() {
        let path = format!("/open/{at}");
        assert_eq!(wire::get(address, &path, &[(IAP, &raw)]).status, 200);
        assert_eq!(sent(&path), Vec::<String>::new());
    }
    assert_eq!(wire::get(iap, "/open/basic", &[("Authorization", "Basic YTpi")]).status, 200);
    assert_eq!(sent("/open/basic"), Vec::<String>::new());
}
