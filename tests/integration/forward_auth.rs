//! Another proxy asks for the decision: every way to name the request, and what the answer says.
//! Nothing here ever goes upstream.

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

/// A gateway that answers questions of one form.
struct Judge {
    stage: Stage,
    address: SocketAddr,
}

impl Judge {
    #[track_caller]
    fn of(form: &str) -> Self {
        Self::with(form, RULES)
    }

    /// With this configuration besides the keys.
    #[track_caller]
    fn with(form: &str, config: &str) -> Self {
        Self::configured("", form, config)
    }

    /// The same in front of a backend whose own keys are the issuer's.
    fn with_own_keys(form: &str, config: &str) -> Self {
        Self::configured(", backendTokens: true", form, config)
    }

    fn configured(authentication: &str, form: &str, config: &str) -> Self {
        let config = format!(
            "authentication: {{publicKeyUrls: [ISSUER/jwks], principalClaims: [sub]{authentication}}}\nforwardAuth: {{listen: \"127.0.0.1:0\", target: {form}}}\n{config}"
        );
        let stage = Stage::configured(Issuer::of(keys::rsa()), &config);
        let address = stage.gateway.listener("forward-auth");
        Self { stage, address }
    }

    #[track_caller]
    fn ask(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Response {
        wire::send(self.address, method, target, fields, b"")
    }

    /// As Traefik or Caddy would ask about this request.
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

    /// As nginx would.
    #[track_caller]
    fn original(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Response {
        let named =
            [("X-Original-Method", method), ("X-Original-URI", target), ("X-Forwarded-For", "192.0.2.9")];
        self.ask("GET", "/", &[&named[..], fields].concat())
    }

    /// As Envoy would.
    #[track_caller]
    fn request(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Response {
        self.ask(method, target, &[&[("X-Forwarded-For", "192.0.2.9")], fields].concat())
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.stage.upstream.requests().len(), 0, "a question went upstream");
        }
    }
}

#[track_caller]
fn refused(response: &Response, status: u16, message: &str) {
    assert_eq!(response.status, status, "{}", response.text());
    assert_eq!(response.json(), json!({"code": status, "message": message}));
    for name in ["authorization", "x-forwarded-user", "x-forwarded-email", "x-forwarded-groups"] {
        assert_eq!(response.header(name), None, "a refusal names nobody");
    }
}

const BAD_TARGET: &str = "Request path is ambiguous or malformed";
const NO_TOKEN: &str = "No Authorization header provided";
