//! A restricting rule over sockets: no alternative spelling of its path reaches the backend.

use crate::support::issuer::Issuer;
use crate::support::keys;
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer};
use crate::support::wire;

const CONFIG: &str = r#"
authentication: {publicKeyUrls: [ISSUER/jwks]}
authorization:
  rules:
    - name: closed
      match: {paths: ["/api/v1/policies/**", "/api/v1/bots", "/api/*/settings", "/api/v1/users/*/token"]}
      action: deny
"#;

#[test]
fn rule_applies_to_every_spelling_of_its_paths() {
    let stage = Stage::configured(Issuer::of(keys::rsa()), CONFIG);
    let token = bearer(&Token::user());
    for path in [
        "/api/v1/policies",
        "/api/v1;x/policies",
        "/api/v1/%70olicies",
        "/api/v1/%70%6flicies;a=b/x",
        "//api//v1///policies",
        "/api/v1/policies/",
        "/api/v1%2Fpolicies",
        "/api/v1/policies%3Bx",
        "/api/v1/bots/",
        "/api/v1/;/bots",
        "/api/v1/bots;",
        "/api/v1/b%6Fts",
        "/api/v2/settings/",
        "/api/v1;v1%2Fusers%2Flogin/settings",
        "/api/v1/users/ada/token/",
        "/api/v1/users/ada;x/%74oken",
        "/api/v1/users//ada/token",
    ] {
        for method in ["GET", "PUT", "DELETE"] {
            let response = wire::send(stage.gateway.proxy, method, path, &[("Authorization", &token)], b"");
            assert_eq!(response.status, 403, "{method} {path}");
        }
        assert_eq!(stage.gateway.audit_of(path)["rule"], "closed", "{path}");
    }
    for path in [
        "/api/v1/x/../policies",
        "/api/v1/x/%2e%2e/policies",
        "/api/v1/x/%252e%252e/policies",
        "/api/v1/x/..;/bots",
    ] {
        assert_eq!(stage.gateway.get(path, &[("Authorization", &token)]).status, 400, "{path}");
    }
    assert_eq!(stage.upstream.connections(), 0);
    assert_eq!(
        stage.gateway.get("/api/v1/tables/name/a%2Fpolicies", &[("Authorization", &token)]).status,
        200
    );
    assert_eq!(stage.upstream.only_request().head.target(), "/api/v1/tables/name/a%2Fpolicies");
}
