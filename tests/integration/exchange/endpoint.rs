//! The token endpoint: workloads exchange their tokens for longer ones that only metagate accepts.

mod attacks;
mod life;
mod pages;
mod requests;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{OpenMetadata, directory, issuer, write_key};
use crate::support::gateway::{DELIBERATE, Gateway, Setup, text};
use crate::support::issuer::Issuer;
use crate::support::keys::{p256, third_rsa};
use crate::support::token::{Token, now, parts};
use crate::support::wire::{self, Response};

const ENDPOINT: &str = "/oauth2/token";
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const GRANT: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange";
const JWT: &str = "subject_token_type=urn:ietf:params:oauth:token-type:jwt";
/// The subject of a run of CI.
const MAIN: &str = "repo:acme/docs@456789:ref:refs/heads/main";

const CONFIG: &str = "backend: openmetadata
authentication:
  issuers:
    - {name: github, issuer: https://github.example, publicKeyUrls: ['ISSUER/cluster'], audiences: [metagate]}
    - {name: other, issuer: https://other.example, publicKeyUrls: ['ISSUER/other'], audiences: [metagate], exchange: required}
    - {name: own, issuer: open-metadata.org, publicKeyUrls: ['ISSUER/api/v1/system/config/jwks']}
mint: {issuer: 'https://metagate.example/backend', keyFiles: ['FILES/1.pem']}
issuer: {url: 'https://metagate.example', audience: metagate-jobs, keyFiles: ['FILES/issuer.pem']ENDPOINT}
exchange:
  - name: nightly-ci
    from: {issuer: github, claims: {repository_id: ['456789'], ref: [refs/heads/main]}}
    as: {user: ingestion-bot, email: ingestion-bot@open-metadata.org}
    tokenLifetime: 6h
  - name: inline
    from: {issuer: github, subjects: [inline-only]}
    as: {user: lineage-bot, email: lineage-bot@open-metadata.org}
";

/// The servers around a gateway, and its files.
struct Jobs {
    gateway: Gateway,
    backend: OpenMetadata,
    _issuer: Issuer,
    files: TempDir,
}

impl Jobs {
    #[track_caller]
    fn start() -> Self {
        Self::with("", "")
    }

    /// With more keys of `issuer`, and more sections.
    #[track_caller]
    fn with(endpoint: &str, more: &str) -> Self {
        let (issuer, backend, files) = (issuer(), OpenMetadata::start(), directory());
        write_key(&files.path().join("1.pem"), third_rsa());
        write_key(&files.path().join("issuer.pem"), p256());
        let config = CONFIG.replace("ISSUER", &issuer.url("")).replace("ENDPOINT", endpoint);
        let config = config.replace("FILES", &files.path().display().to_string());
        let jobs_file = files.path().join("metagate.yaml");
        std::fs::write(&jobs_file, config + more).expect("the configuration");
        let gateway = start(&jobs_file, &backend);
        backend.change(|database| database.key_urls = vec![gateway.health]);
        Self { gateway, backend, _issuer: issuer, files }
    }

    /// Another process with the same files.
    #[track_caller]
    fn replica(&self) -> Gateway {
        start(&self.config_file(), &self.backend)
    }

    fn config_file(&self) -> PathBuf {
        self.files.path().join("metagate.yaml")
    }

    /// Replaces a text of the configuration, which must occur, and reloads it.
    #[track_caller]
    fn reload(&self, old: &str, new: &str) {
        let config = std::fs::read_to_string(self.config_file()).expect("the configuration");
        assert!(config.contains(old), "{old} is not in the configuration");
        std::fs::write(self.config_file(), config.replace(old, new)).expect("the configuration");
        assert_eq!(self.gateway.ask_admin("POST", "/reload", &[DELIBERATE]).status, 200);
    }

    /// The response to a token request for this token.
    #[track_caller]
    fn request(&self, token: &Token) -> Response {
        post(&self.gateway, &form(&token.encode()))
    }

    /// The token that is issued for this one.
    #[track_caller]
    fn issued(&self, token: &Token) -> String {
        let response = self.request(token);
        assert_eq!(response.status, 200, "{}", response.text());
        response.json()["access_token"].as_str().expect("a token").to_owned()
    }

    /// The status of a request to the backend with this token, and who the backend saw.
    #[track_caller]
    fn ask(&self, token: &str, path: &str) -> (u16, Value) {
        let response = self.gateway.get_with(token, path);
        (response.status, serde_json::from_slice(&response.body).unwrap_or_default())
    }

    /// The status and the reason of the refusal of a request to the backend with this token.
    #[track_caller]
    fn refusal(&self, token: &str, path: &str) -> (u16, String) {
        let before = self.backend.upstream.requests().len();
        let status = self.gateway.get_with(token, path).status;
        let record = self.gateway.audit_of(path);
        assert_eq!(self.backend.upstream.requests().len(), before, "it reached the backend");
        (status, text(&record, "reason").unwrap_or_default().to_owned())
    }

    /// The audit records of token requests, of which there must be this many.
    #[track_caller]
    fn records(&self, count: usize) -> Vec<Value> {
        crate::support::eventually("the records of token requests", || {
            let records = self.gateway.audit();
            let of_endpoint = |record: &Value| text(record, "via") == Some("token_endpoint");
            let found: Vec<_> = records.into_iter().filter(of_endpoint).collect();
            assert!(found.len() <= count, "{found:?}");
            (found.len() == count).then_some(found)
        })
    }
}

#[track_caller]
fn start(config: &Path, backend: &OpenMetadata) -> Gateway {
    let gateway = Setup::run()
        .env("METAGATE_UPSTREAM__URL", backend.upstream.url())
        .arguments(&["--config", config.to_str().expect("a path")])
        .start();
    gateway.wait_ready();
    gateway
}

fn form(token: &str) -> String {
    format!("{GRANT}&{JWT}&subject_token={token}")
}

#[track_caller]
fn post(gateway: &Gateway, form: &str) -> Response {
    wire::send(gateway.proxy, "POST", ENDPOINT, &[FORM], form.as_bytes())
}

/// A token of a run of CI on `main`, which ends in five minutes.
fn run() -> Token {
    Token::of(json!({
        "iss": "https://github.example", "aud": "metagate", "sub": MAIN, "jti": "run-1",
        "repository_id": "456789", "ref": "refs/heads/main", "iat": now() - 5, "exp": now() + 300
    }))
}

fn claims(token: &str) -> Value {
    super::openmetadata::object(parts(token).1).map(Value::Object).expect("a claims set")
}

/// A token with these claims that the issuer's own key signs.
fn own(issued: &str, claims: Value) -> Token {
    let header = super::openmetadata::object(parts(issued).0).expect("a header");
    Token::of(claims)
        .signed("ES256", p256())
        .header("kid", header["kid"].clone())
        .header("typ", json!("at+jwt"))
}

/// `base` with more members.
fn with(mut base: Value, more: Value) -> Value {
    let (Some(members), Value::Object(more)) = (base.as_object_mut(), more) else { panic!("not an object") };
    members.extend(more);
    base
}
