//! `exchange`: workloads act as users of the backend. The backends are models of their filters, which verify what
//! arrives.

mod attacks;
mod bots;
mod bots_page;
mod endpoint;
mod files;
mod gms;
mod openmetadata;
mod pages;
mod recorded;
mod requests;
mod rotation;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::support::gateway::{Gateway, Setup};
use crate::support::issuer::Issuer;
use crate::support::keys::{Key, other_rsa, rsa, spare_rsa, third_rsa};
use crate::support::message::Head;
use crate::support::token::{Token, now, parts};
use openmetadata::OpenMetadata;

const SPARK: &str = "system:serviceaccount:spark:lineage";
const ISSUERS: &str = "authentication:
  issuers:
    - {name: cluster, issuer: https://cluster.example, publicKeyUrls: ['ISSUER/cluster'], audiences: [metagate]}
    - {name: other, issuer: https://other.example, publicKeyUrls: ['ISSUER/other'], audiences: [metagate], EXCHANGE}
    - {name: own, issuer: open-metadata.org, publicKeyUrls: ['ISSUER/api/v1/system/config/jwks']}
";
const EXCHANGE: &str = "exchange:
  - name: spark
    from: {issuer: cluster, subjects: ['system:serviceaccount:spark:lineage']}
    as: {user: lineage-bot, email: lineage-bot@open-metadata.org}
  - name: ci
    from: {issuer: cluster, claims: {repository_id: ['456789'], ref: [refs/heads/main], protected: [true]}}
    as: {user: ingestion-bot, email: ingestion-bot@open-metadata.org}
";

/// The servers around a gateway, and the files of its keys.
pub struct Scene {
    pub gateway: Gateway,
    pub backend: OpenMetadata,
    pub issuer: Issuer,
    pub files: TempDir,
}

impl Scene {
    /// With more sections in the configuration.
    #[track_caller]
    pub fn with(more: &str) -> Self {
        let (issuer, backend, files) = (issuer(), OpenMetadata::start(), directory());
        write_key(&files.path().join("1.pem"), third_rsa());
        let gateway = start(&config(&issuer, &files, more), &backend);
        backend.change(|database| database.key_urls = vec![gateway.health]);
        Self { gateway, backend, issuer, files }
    }

    #[track_caller]
    pub fn plain() -> Self {
        Self::with("")
    }

    /// The status, and what the backend answered or why metagate refused.
    #[track_caller]
    pub fn ask(&self, token: &Token) -> (u16, Value) {
        let response = self.gateway.get_as(token, "/api/v1/tables");
        (response.status, serde_json::from_slice(&response.body).unwrap_or_default())
    }

    /// The reason of the refusal of a request with this token.
    #[track_caller]
    pub fn refusal(&self, token: &Token, path: &str) -> (u16, String) {
        let before = self.backend.upstream.requests().len();
        let status = self.gateway.get_as(token, path).status;
        let record = self.gateway.audit_of(path);
        assert_eq!(self.backend.upstream.requests().len(), before, "it reached the backend");
        (status, record["reason"].as_str().unwrap_or_default().to_owned())
    }

    /// The head that the backend got of the last request for this path.
    #[track_caller]
    pub fn sent(&self, path: &str) -> Head {
        self.backend.upstream.request_to(path).head
    }
}

/// The configuration, with `1.pem` of this directory.
fn config(issuer: &Issuer, files: &TempDir, more: &str) -> String {
    let key = files.path().join("1.pem");
    let mint =
        format!("mint: {{issuer: 'https://metagate.example/backend', keyFiles: ['{}']}}\n", key.display());
    let text = format!("backend: openmetadata\n{ISSUERS}{EXCHANGE}{mint}{more}");
    text.replace("ISSUER", &issuer.url("")).replace("EXCHANGE", "exchange: required")
}

#[track_caller]
fn start(config: &str, backend: &OpenMetadata) -> Gateway {
    let setup = Setup::run().env("METAGATE_UPSTREAM__URL", backend.upstream.url());
    let gateway = setup.config(config).start();
    gateway.wait_ready();
    gateway
}

fn issuer() -> Issuer {
    let issuer = Issuer::empty();
    issuer.publish("/cluster", &[rsa().jwk()]);
    issuer.publish("/other", &[other_rsa().jwk()]);
    issuer.publish("/api/v1/system/config/jwks", &[spare_rsa().jwk_openmetadata()]);
    issuer
}

fn directory() -> TempDir {
    let mode = fs::Permissions::from_mode(0o700);
    tempfile::Builder::new().permissions(mode).tempdir().expect("a directory")
}

fn write_key(path: &Path, key: &Key) {
    fs::write(path, key.private_pem()).expect("a key file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("its mode");
}

/// A token of a service account of the cluster.
fn workload(subject: &str) -> Token {
    Token::of(json!({
        "iss": "https://cluster.example", "aud": ["metagate"], "sub": subject,
        "iat": now() - 5, "exp": now() + 3600, "jti": format!("id-of-{subject}")
    }))
}

/// A token of a run of CI.
fn run_of_ci() -> Token {
    let token = workload("repo:acme/docs@456789:ref:refs/heads/main");
    let token = token.claim("repository_id", json!("456789")).claim("protected", json!(true));
    token.claim("ref", json!("refs/heads/main"))
}

/// The claims of the token that the backend got.
#[track_caller]
fn minted(head: &Head) -> Map<String, Value> {
    let value = head.value("authorization").expect("a credential");
    let token = value.strip_prefix("Bearer ").expect("a bearer token");
    openmetadata::object(parts(token).1).expect("a claims set")
}
