//! Forward-auth: another proxy asks for the decision. Covers every dialect and the contents of the
//! auth response. No auth request is ever forwarded upstream.

use std::net::SocketAddr;

use serde_json::json;

use crate::support::gateway::Setup;
use crate::support::issuer::{Issuer, JWKS};
use crate::support::keys;
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer};
use crate::support::upstream::Upstream;
use crate::support::wire::{self, Client, Response};

mod responses;
mod requests;

const RULES: &str = "
authorization:
  public: [\"GET /public/**\"]
  optional: [\"GET /optional\"]
  rules:
    - {name: only-admins-delete, match: {methods: [DELETE]}, require: {anyRole: [Admin]}}
    - {name: one-host, match: {hosts: [admin.test]}, require: {anyRole: [Admin]}}
    - {name: one-network, match: {paths: [/net]}, require: {sourceIps: [192.0.2.0/24]}}
";

/// A gateway with a forward-auth listener for one dialect.
struct AuthService {
    stage: Stage,
    address: SocketAddr,
}

impl AuthService {
    #[track_caller]
    fn of(dialect: &str) -> Self {
        Self::with(dialect, RULES)
    }

    /// With this configuration in addition to the keys.
    #[track_caller]
    fn with(dialect: &str, config: &str) -> Self {
        Self::configured("", dialect, config)
    }

    /// The same with the issuer's tokens as the backend's own (`backendTokens`).
    fn with_own_keys(dialect: &str, config: &str) -> Self {
        Self::configured(", backendTokens: true", dialect, config)
    }

    fn configured(authentication: &str, dialect: &str, config: &str) -> Self {
        let config = format!(
            "authentication: {{publicKeyUrls: [ISSUER/jwks], principalClaims: [sub]{authentication}}}\nforwardAuth: {{listen: \"127.0.0.1:0\", target: {dialect}}}\n{config}"
        );
        let stage = Stage::configured(Issuer::of(keys::rsa()), &config);
        let address = stage.gateway.listener("forward-auth");
        Self { stage, address }
    }

    #[track_caller]
    fn ask(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Response {
        wire::send(self.address, method, target, fields, b"")
    }

    /// The auth request of Traefik or Caddy for this request.
    #[track_caller]
    fn forwarded(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Response {
        let named = [
            ("X-Forwarded-Method", method),
            ("X-Forwarded-Uri", target),
            ("X-Forwarded-Host", "catalog.test"),
            ("X-Forwarded-For", "192.0.2.9"),
        ];
        self.ask("GET", "/", &[&named[..], fields].concat())
    }

    /// The auth request of nginx.
    #[track_caller]
    fn original(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Response {
        let named =
            [("X-Original-Method", method), ("X-Original-URI", target), ("X-Forwarded-For", "192.0.2.9")];
        self.ask("GET", "/", &[&named[..], fields].concat())
    }

    /// The auth request of Envoy.
    #[track_caller]
    fn request(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Response {
        self.ask(method, target, &[&[("X-Forwarded-For", "192.0.2.9")], fields].concat())
    }
}

impl Drop for AuthService {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.stage.upstream.requests().len(), 0, "an auth request went upstream");
        }
    }
}

#[track_caller]
fn assert_refused(response: &Response, status: u16, message: &str) {
    assert_eq!(response.status, status, "{}", response.text());
    assert_eq!(response.json(), json!({"code": status, "message": message}));
    for name in ["authorization", "x-forwarded-user", "x-forwarded-email", "x-forwarded-groups"] {
        assert_eq!(response.header(name), None, "a refusal names nobody");
    }
}

const BAD_TARGET: &str = "Request path is ambiguous or malformed";
const NO_TOKEN: &str = "No Authorization header provided";
