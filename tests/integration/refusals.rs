//! Every refusal that a client can cause: status, body, fields, audit record and metric.

use serde_json::json;

use crate::support::eventually;
use crate::support::gateway::{Gateway, text};
use crate::support::issuer::{Issuer, JWKS};
use crate::support::keys;
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer, now, tampered};
use crate::support::wire::{self, Client, Response};

const INVALID: &str = "invalid_token";

/// One issuer entry with every check of a token enabled, and no simple list.
const STRICT: &str = r#"
authentication:
  issuers:
    - name: strict
      issuer: open-metadata.org
      publicKeyUrls: [ISSUER/jwks]
      audiences: [openmetadata]
      algorithms: [RS256]
      maxLifetime: 2h
authorization:
  rules:
    - name: only-admins-delete
      match: {methods: [DELETE], paths: ["/api/**"]}
      require: {anyRole: [Admin]}
"#;

fn strict_token() -> Token {
    Token::user().claim("aud", json!("openmetadata"))
}

/// Checks what all refusals have in common: the exact body and the response fields.
#[track_caller]
fn assert_refusal(response: &Response, status: u16, message: &str) {
    assert_eq!(response.status, status, "{:?}", response.text());
    assert_eq!(response.text(), format!(r#"{{"code":{status},"message":"{message}"}}"#));
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    let request_id = response.header("x-request-id").expect("an X-Request-Id");
    assert!(!request_id.is_empty() && request_id.is_ascii());
    assert_eq!(response.header("location"), None);
}

#[track_caller]
fn assert_challenge(response: &Response, error: &str, message: &str) {
    let expected = format!(r#"Bearer realm="metagate", error="{error}", error_description="{message}""#);
    assert_eq!(response.header("www-authenticate"), Some(expected.as_str()));
}

/// Checks that the audit record and the metric have the same reason.
#[track_caller]
fn assert_recorded(gateway: &Gateway, path: &str, reason: &str, status: u16) {
    let record = gateway.audit_of(path);
    assert_eq!(text(&record, "reason"), Some(reason), "{record}");
    assert_eq!(record["status"], status, "{record}");
    eventually("the metric to count it", || {
        (gateway.metric("metagate_requests_total", &[("reason", reason)]) >= 1.0).then_some(())
    });
}

/// Checks the refusal of a bad token: 401 with the full challenge, recorded, and nothing upstream.
#[track_caller]
fn assert_bad_token(stage: &Stage, reason: &str, token: &str, message: &str) {
    let path = format!("/api/{reason}");
    let response = stage.gateway.get_with(token, &path);
    assert_refusal(&response, 401, message);
    assert_challenge(&response, INVALID, message);
    assert_recorded(&stage.gateway, &path, reason, 401);
    assert_eq!(stage.upstream.connections(), 0, "{reason}: the upstream was contacted");
}

#[test]
fn missing_token_gets_a_challenge_without_error() {
    let stage = Stage::plain(|setup| setup);
    let response = stage.gateway.get("/api/missing", &[]);
    assert_eq!(response.head.start, "HTTP/1.1 401 Unauthorized");
    assert_refusal(&response, 401, "No Authorization header provided");
    assert_eq!(response.header("www-authenticate"), Some(r#"Bearer realm="metagate""#));
    assert_recorded(&stage.gateway, "/api/missing", "missing_token", 401);
    assert_eq!(stage.upstream.connections(), 0);
}

#[test]
fn other_schemes_get_a_challenge_without_error() {
    let stage = Stage::plain(|setup| setup);
    for (path, value) in
        [("/a", "Basic dXNlcjpwYXNz"), ("/b", "Digest x=y"), ("/c", "BearerX abc"), ("/d", "Token a.b.c")]
    {
        let response = stage.gateway.get(path, &[("Authorization", value)]);
        assert_refusal(&response, 401, "Authorization header must use the Bearer scheme");
        // RFC 6750 section 3.1: no error code for an unsupported authentication method.
        assert_eq!(response.header("www-authenticate"), Some(r#"Bearer realm="metagate""#), "{value}");
        assert_recorded(&stage.gateway, path, "unsupported_scheme", 401);
    }
    assert_eq!(stage.upstream.connections(), 0);
}

#[test]
fn bad_tokens_of_the_simple_list_are_refused_with_their_reason() {
    let stage = Stage::plain(|setup| setup);
    let user = Token::user();
    assert_bad_token(&stage, "malformed_token", "not-a-token", "Token is malformed");
    let unsigned = user.clone().header("alg", json!("none")).encode();
    assert_bad_token(&stage, "algorithm_not_allowed", &unsigned, "Token algorithm is not allowed");
    let unknown = user.clone().signed("RS256", keys::other_rsa()).encode();
    let message = "Token signing key not found in the configured public keys";
    assert_bad_token(&stage, "unknown_key", &unknown, message);
    let tampered = tampered(&user.encode());
    assert_bad_token(&stage, "invalid_signature", &tampered, "Token signature is invalid");
    let expired = user.clone().expires_in(-3600).encode();
    assert_bad_token(&stage, "expired", &expired, "Token has expired");
    let early = user.clone().claim("nbf", json!(now() + 3600)).encode();
    assert_bad_token(&stage, "not_yet_valid", &early, "Token is not valid yet");
    let endless = user.clone().without("exp").encode();
    assert_bad_token(&stage, "missing_expiry", &endless, "Token must have an expiration time");
    let nobody = user.without("sub").without("email").without("preferred_username").encode();
    let message = "Token has none of the principal claims [email, preferred_username, sub]";
    assert_bad_token(&stage, "missing_principal", &nobody, message);
}

#[test]
fn bad_tokens_of_an_issuer_entry_are_refused_with_their_reason() {
    let stage = Stage::configured(Issuer::of(keys::rsa()), STRICT);
    assert_eq!(stage.gateway.get_as(&strict_token(), "/api/good").status, 200, "a valid token");
    stage.upstream.close_connections();
    let before = stage.upstream.connections();

    let refused = |reason: &str, token: Token, message: &str| {
        let path = format!("/api/{reason}");
        let response = stage.gateway.get_as(&token, &path);
        assert_refusal(&response, 401, message);
        assert_challenge(&response, INVALID, message);
        assert_recorded(&stage.gateway, &path, reason, 401);
    };
    refused(
        "untrusted_issuer",
        strict_token().issuer("https://elsewhere.test"),
        "Token issuer is not trusted",
    );
    let other = strict_token().claim("aud", json!("other"));
    refused("wrong_audience", other, "Token is not meant for this service");
    let long = strict_token().claim("iat", json!(now())).expires_in(3 * 3600);
    refused("lifetime_too_long", long, "Token lifetime is longer than allowed");
    let other = strict_token().signed("PS256", keys::rsa());
    refused("algorithm_not_allowed", other, "Token algorithm is not allowed");
    assert_eq!(stage.upstream.connections(), before, "the upstream was contacted");
}

#[test]
fn openmetadata_expiry_message_is_what_its_web_ui_expects() {
    let stage = Stage::plain(|setup| setup.env("METAGATE_BACKEND", "openmetadata"));
    let message = "Expired token! Token has expired";
    assert_bad_token(&stage, "expired", &Token::user().expires_in(-3600).encode(), message);
}

#[test]
fn principal_domain_is_checked_as_in_openmetadata() {
    let stage = Stage::plain(|setup| {
        setup
            .env("METAGATE_BACKEND", "openmetadata")
            .env("AUTHORIZER_ENFORCE_PRINCIPAL_DOMAIN", "\"true\"")
            .env("AUTHORIZER_PRINCIPAL_DOMAIN", "\"open-metadata.org\"")
    });
    let other = Token::user().claim("email", json!("ada@elsewhere.test"));
    let message = "Token principal is not in an allowed domain";
    assert_bad_token(&stage, "wrong_domain", &other.clone().encode(), message);
    assert_eq!(stage.gateway.get_as(&Token::user(), "/api/v1/tables").status, 200);
    let bot = Token::bot().claim("email", json!("bot@elsewhere.test"));
    assert_eq!(stage.gateway.get_as(&bot, "/api/v1/tables").status, 200, "bots are exempt");
}

#[test]
fn refusal_by_a_rule_is_403_insufficient_scope() {
    let stage = Stage::configured(Issuer::of(keys::rsa()), STRICT);
    let token = bearer(&strict_token());
    let delete =
        |token: &str, path| wire::send(stage.gateway.proxy, "DELETE", path, &[("Authorization", token)], b"");
    let response = delete(&token, "/api/v1/tables/1");
    let message = "Token lacks required role/permission";
    assert_refusal(&response, 403, message);
    assert_challenge(&response, "insufficient_scope", message);
    assert_recorded(&stage.gateway, "/api/v1/tables/1", "insufficient_permissions", 403);
    let record = stage.gateway.audit_of("/api/v1/tables/1");
    assert_eq!(text(&record, "rule"), Some("only-admins-delete"), "{record}");
    assert_eq!(stage.upstream.connections(), 0);

    let admin = bearer(&strict_token().claim("roles", json!(["Admin"])));
    assert_eq!(delete(&admin, "/api/v1/tables/2").status, 200);
}

#[test]
fn impersonation_by_a_user_is_403() {
    let stage = Stage::plain(|setup| setup.env("METAGATE_BACKEND", "openmetadata"));
    let token = bearer(&Token::user());
    let response =
        stage.gateway.get("/api/imp", &[("Authorization", &token), ("X-Impersonate-User", "admin")]);
    let message = "Only bot users can impersonate other users";
    assert_refusal(&response, 403, message);
    assert_challenge(&response, "insufficient_scope", message);
    assert_recorded(&stage.gateway, "/api/imp", "impersonation_denied", 403);
    assert_eq!(stage.upstream.connections(), 0);
}

#[test]
fn several_credentials_are_a_bad_request() {
    let stage = Stage::plain(|setup| setup);
    let good = bearer(&Token::bot());
    let bad = "Bearer abc";
    let list = format!("{good}, {good}");
    let message = "Request carries more than one credential";
    for (path, fields) in [
        ("/good-bad", vec![good.as_str(), bad]),
        ("/bad-good", vec![bad, &good]),
        ("/good-good", vec![&good, &good]),
        ("/list", vec![&list]),
        ("/basic-good", vec!["Basic eDp5", &good]),
    ] {
        let fields: Vec<_> = fields.into_iter().map(|value| ("Authorization", value)).collect();
        let response = stage.gateway.get(path, &fields);
        assert_refusal(&response, 400, message);
        assert_recorded(&stage.gateway, path, "ambiguous_credentials", 400);
    }
    assert_eq!(stage.upstream.connections(), 0);
}

#[test]
fn ambiguous_path_is_refused_before_the_token_is_checked() {
    let stage = Stage::plain(|setup| setup);
    let good = bearer(&Token::bot());
    for fields in [vec![], vec![("Authorization", good.as_str())]] {
        let response = stage.gateway.get("/api/v1/../admin", &fields);
        assert_refusal(&response, 400, "Request path is ambiguous or malformed");
        assert_eq!(response.header("www-authenticate"), None);
    }
    eventually("both refusals to be counted", || {
        (stage.gateway.metric("metagate_requests_total", &[("reason", "bad_target")]) == 2.0).then_some(())
    });
    assert_eq!(stage.upstream.connections(), 0);
}

#[test]
fn methods_outside_http_apis_are_405() {
    let stage = Stage::plain(|setup| setup.env("METAGATE_BACKEND", "openmetadata"));
    let good = bearer(&Token::bot());
    // With a token, without one, and on a public route: TRACE would echo the credentials.
    for (index, method) in
        ["TRACE", "TRACK", "CONNECT", "get", "Get", "FOO", "PROPFIND"].into_iter().enumerate()
    {
        for (path, fields) in [
            (format!("/{index}/token"), vec![("Authorization", good.as_str()), ("X-Secret", "s3cret")]),
            (format!("/{index}/none"), vec![("X-Secret", "s3cret")]),
            ("/api/v1/system/version".to_owned(), vec![("X-Secret", "s3cret")]),
        ] {
            let response = wire::send(stage.gateway.proxy, method, &path, &fields, b"");
            assert_refusal(&response, 405, "Request method is not allowed");
            assert_eq!(
                response.header("allow"),
                Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
                "{method}"
            );
            assert_eq!(response.header("connection"), Some("close"), "{method}");
            assert!(!response.text().contains("s3cret"), "{method} echoes");
            if path.starts_with(&format!("/{index}")) {
                assert_recorded(&stage.gateway, &path, "method_not_allowed", 405);
            }
        }
    }
    let mut client = Client::connect(stage.gateway.proxy);
    client.send("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().expect("a response").status, 405, "P14");
    assert_eq!(client.rest(), "", "what follows is not parsed as a request");
    assert_eq!(stage.upstream.connections(), 0);
}

#[test]
fn content_length_over_the_limit_is_413() {
    let stage = Stage::plain(|setup| setup.env("METAGATE_LIMITS__BODY_BYTES", "8"));
    let token = bearer(&Token::bot());
    let fields = [("Authorization", token.as_str())];
    let post = |path, body: &[u8]| wire::send(stage.gateway.proxy, "POST", path, &fields, body);
    let response = post("/large", b"123456789");
    assert_refusal(&response, 413, "Request body is larger than allowed");
    assert_recorded(&stage.gateway, "/large", "payload_too_large", 413);
    assert_eq!(stage.upstream.connections(), 0);
    assert_eq!(post("/fits", b"12345678").status, 200);
}

#[test]
fn refusal_of_head_has_no_body() {
    let stage = Stage::plain(|setup| setup);
    let response = wire::send(stage.gateway.proxy, "HEAD", "/api/v1/tables", &[], b"");
    assert_eq!((response.status, response.body.len()), (401, 0));
    assert_eq!(response.header("content-type"), Some("application/json"));
    let record = stage.gateway.audit_of("/api/v1/tables");
    assert_eq!((&record["status"], &record["complete"]), (&401.into(), &true.into()));
    // Also for a malformed head. Later bytes are not part of the response.
    let mut client = wire::Client::connect(stage.gateway.proxy);
    client.send("HEAD /unread HTTP/1.1\r\nHost: a\u{1}\r\n\r\n");
    let response = client.response_to("HEAD").expect("a response");
    assert_eq!((response.status, client.rest().as_str()), (400, ""));
    assert_eq!(stage.gateway.audit_of("/unread")["complete"], true);
}

#[test]
fn grpc_requests_get_a_grpc_refusal() {
    let stage = Stage::plain(|setup| setup);
    let response =
        stage.gateway.get("/svc/Method", &[("Content-Type", "application/grpc"), ("TE", "trailers")]);
    assert_eq!(response.status, 200);
    assert_eq!(response.header("grpc-status"), Some("16"));
    assert_eq!(stage.upstream.connections(), 0);
}

#[test]
fn report_mode_counts_but_does_not_refuse() {
    let config = format!("{}  mode: report\n", STRICT);
    let stage = Stage::configured(Issuer::of(keys::rsa()), &config);
    let response = stage.gateway.get("/api/report", &[]);
    assert_eq!(response.status, 200);
    let record = stage.gateway.audit_of("/api/report");
    assert!(record.to_string().contains("missing_token"), "{record}");
}

/// The four rows of the error table in OpenMetadata's documentation, with two kinds of bad token.
#[test]
fn openmetadata_error_table_holds() {
    let stage = Stage::configured(
        Issuer::of(keys::rsa()),
        "authentication: {publicKeyUrls: [ISSUER/jwks]}\nauthorization: {default: deny, rules: [{name: readers, match: {methods: [GET]}, require: {anyRole: [DataConsumer]}}]}",
    );
    let fixed = Token::user();
    let rows: [(u16, Option<String>, &str); 5] = [
        (401, None, "No Authorization header provided"),
        (401, Some("eyJ.not.token".to_owned()), "Token is malformed"),
        (401, Some(tampered(&fixed.encode())), "Token signature is invalid"),
        (401, Some(fixed.expires_in(-3600).encode()), "Token has expired"),
        (
            403,
            Some(Token::user().claim("roles", json!(["Other"])).encode()),
            "Token lacks required role/permission",
        ),
    ];
    for (status, token, message) in rows {
        let response = match token {
            Some(token) => stage.gateway.get_with(&token, "/api/v1/tables"),
            None => stage.gateway.get("/api/v1/tables", &[]),
        };
        assert_refusal(&response, status, message);
    }
    assert_eq!(stage.upstream.connections(), 0);
    assert_eq!(stage.gateway.get_as(&Token::user(), "/api/v1/tables").status, 200);
    assert_eq!(stage.issuer.hits(JWKS), 2, "one refresh, for the invalid signature");
}
