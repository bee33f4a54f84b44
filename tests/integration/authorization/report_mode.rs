//! Report mode over sockets: every request is evaluated, counted and audited, none is refused, and
//! unverified callers get no identity.

use serde_json::json;

use crate::support::gateway::text;
use crate::support::issuer::Issuer;
use crate::support::keys;
use crate::support::message::Head;
use crate::support::stage::Stage;
use crate::support::stub::Next;
use crate::support::token::{Token, bearer, tampered};
use crate::support::upstream::Upstream;

const ALL: &str = r#"
backend: openmetadata
authentication:
  issuers: [{name: own, issuer: open-metadata.org, publicKeyUrls: [ISSUER/jwks], audiences: [om]}]
authorization:
  mode: report
  rules:
    - name: no-bots
      match: {paths: ["/api/v1/policies/**"]}
      require: {tokenType: [user]}
"#;

const IDENTITY: [&str; 3] = ["x-forwarded-user", "x-forwarded-email", "x-forwarded-groups"];

fn token() -> Token {
    Token::bot().claim("aud", json!("om"))
}

/// Sends a request with this `Authorization` and forged identity fields, and returns what reached
/// the upstream.
#[track_caller]
fn sent(stage: &Stage, path: &str, authorization: Option<&str>) -> Head {
    let mut fields = vec![
        ("User-Agent", "python-requests/2.32.3 (ada's laptop)"),
        ("X-Forwarded-User", "admin"),
        ("X_Forwarded_User", "admin"),
        ("X-Forwarded-Email", "admin@example.org"),
        ("X-Forwarded-Groups", "Admin"),
    ];
    fields.extend(authorization.map(|value| ("Authorization", value)));
    assert_eq!(stage.gateway.get(path, &fields).status, 200, "{path}");
    stage.upstream.request_to(path).head
}

fn metric(stage: &Stage, labels: &[(&str, &str)]) -> f64 {
    stage.gateway.metric("metagate_would_deny_total", labels)
}

#[test]
fn unverified_requests_are_forwarded_without_an_identity() {
    let stage = Stage::configured(Issuer::of(keys::rsa()), ALL);
    let expired = bearer(&token().expires_in(-3600));
    let forged = format!("Bearer {}", tampered(&token().encode()));
    let for_others = bearer(&token().claim("aud", json!("other")));
    let nobodys = bearer(&token().issuer("https://nobody.example"));
    for (path, authorization, reason, issuer) in [
        ("/api/a", None, "missing_token", ""),
        ("/api/b", Some(&*expired), "expired", "own"),
        ("/api/c", Some(&*forged), "invalid_signature", "own"),
        ("/api/d", Some(&*for_others), "wrong_audience", "own"),
        ("/api/e", Some(&*nobodys), "untrusted_issuer", ""),
        ("/api/f", Some("Bearer eyJ.not.token"), "malformed_token", ""),
        ("/api/g", Some("Digest abc"), "unsupported_scheme", ""),
    ] {
        let head = sent(&stage, path, authorization);
        for name in IDENTITY {
            assert_eq!(head.value(name), None, "{path} {name}");
        }
        assert_eq!(head.values("x_forwarded_user"), [""; 0], "{path}");
        assert_eq!(
            head.value("authorization"),
            authorization,
            "{path}: forwarded, so that the backend can decide"
        );
        let record = stage.gateway.audit_of(path);
        let field = |name| text(&record, name);
        assert_eq!((field("decision"), field("reason")), (Some("would_deny"), Some(reason)), "{path}");
        assert_eq!((field("client"), field("principal")), (Some("python-requests/2.32.3"), None), "{path}");
        assert_eq!(
            (field("issuer").unwrap_or_default(), record["status"].as_u64()),
            (issuer, Some(200)),
            "{path}"
        );
        // The claims of a forged token are the attacker's.
        let claimed = match reason {
            "missing_token" | "malformed_token" | "unsupported_scheme" => None,
            "invalid_signature" => Some("admin"),
            _ => Some("ingestion-bot"),
        };
        assert_eq!(field("claimed_subject"), claimed, "{path}");
        let labels = [("reason", reason), ("issuer", issuer), ("rule", ""), ("class", "")];
        assert_eq!(metric(&stage, &labels), 1.0, "{path}");
        let labels = [("decision", "would_deny"), ("reason", reason), ("issuer", issuer), ("rule", "")];
        assert_eq!(stage.gateway.metric("metagate_requests_total", &labels), 1.0, "{path}");
    }
}

#[test]
fn verified_requests_keep_their_identity_and_name_the_rule() {
    let stage = Stage::configured(Issuer::of(keys::rsa()), ALL);
    let head = sent(&stage, "/api/v1/policies/x", Some(&bearer(&token())));
    assert_eq!(head.values("x-forwarded-user"), ["ingestion-bot"]);
    let record = stage.gateway.audit_of("/api/v1/policies/x");
    let field = |name| text(&record, name);
    assert_eq!((field("decision"), field("rule")), (Some("would_deny"), Some("no-bots")));
    assert_eq!((field("principal"), field("token_class")), (Some("ingestion-bot"), Some("bot")));
    assert_eq!(field("claimed_subject"), None);
    let labels =
        [("reason", "insufficient_permissions"), ("issuer", "own"), ("rule", "no-bots"), ("class", "bot")];
    assert_eq!(metric(&stage, &labels), 1.0);
    // Allowed requests are neither counted nor marked.
    sent(&stage, "/api/v1/tables", Some(&bearer(&token())));
    assert_eq!(text(&stage.gateway.audit_of("/api/v1/tables"), "decision"), Some("allow"));
    assert_eq!(metric(&stage, &[]), 1.0);
    // Ambiguous requests are refused even in report mode.
    assert_eq!(stage.gateway.get("/api/../x", &[]).status, 400);
}

#[test]
fn authorization_is_stripped_in_report_mode_if_configured() {
    let config = format!("{ALL}upstream: {{authorization: strip}}\n");
    let stage = Stage::configured(Issuer::of(keys::rsa()), &config);
    let head = sent(&stage, "/api/a", Some(&bearer(&token().expires_in(-3600))));
    assert_eq!(head.value("authorization"), None);
}

#[test]
fn report_only_rule_is_named_instead_of_the_allowing_rule() {
    let config = r#"
authentication: {publicKeyUrls: [ISSUER/jwks]}
authorization:
  rules:
    - {name: soon, match: {methods: [GET]}, require: {anyRole: [Admin]}, mode: report}
    - {name: now, match: {paths: ["/api/**"]}, action: allow}
"#;
    let stage = Stage::configured(Issuer::of(keys::rsa()), config);
    assert_eq!(stage.gateway.get_as(&Token::personal(), "/api/a").status, 200);
    let record = stage.gateway.audit_of("/api/a");
    assert_eq!((text(&record, "decision"), text(&record, "rule")), (Some("would_deny"), Some("soon")));
    assert_eq!(metric(&stage, &[("rule", "soon"), ("class", "personal_access")]), 1.0);
    assert_eq!(stage.gateway.get("/api/b", &[]).status, 401, "only that rule is in report mode");
    assert_eq!(metric(&stage, &[]), 1.0);
    let warned =
        stage.gateway.logs().into_iter().any(|log| text(&log, "key") == Some("authorization.rules[0].mode"));
    assert!(warned, "a rule in report mode is warned about at startup");
}

#[test]
fn would_deny_is_counted_if_the_backend_fails() {
    let upstream = Upstream::scripted(|_| Ok(Next::Close));
    let stage = Stage::configured_with(Issuer::of(keys::rsa()), upstream, ALL);
    assert_eq!(stage.gateway.get("/api/a", &[]).status, 502);
    stage.gateway.audit_of("/api/a");
    assert_eq!(metric(&stage, &[("reason", "missing_token")]), 1.0);
    assert_eq!(stage.gateway.metric("metagate_requests_total", &[("decision", "error")]), 1.0);
}
