//! `docs/recipes/kubernetes-service-accounts.md`, with a stand-in for the API server.

use serde_json::json;
use tempfile::TempDir;

use super::{blocks, named};
use crate::support::gateway::Setup;
use crate::support::https::HttpsServer;
use crate::support::keys::{self, key_set};
use crate::support::token::{Token, bearer, now};
use crate::support::upstream::Upstream;
use crate::support::wire::send;

const PAGE: &str = "kubernetes-service-accounts.md";
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// A token of a service account as the API server issues it.
fn token(account: &str, audience: &str) -> Token {
    Token::of(json!({
        "iss": ISSUER,
        "aud": [audience],
        "sub": format!("system:serviceaccount:metadata:{account}"),
        "iat": now(),
        "nbf": now(),
        "exp": now() + 3600,
        "jti": "6b1f0e5c-5a0e-4f0e-8a65-7f0d1d2c3b4a",
        "kubernetes.io": {"namespace": "metadata", "serviceaccount": {"name": account, "uid": "1"}},
    }))
    .without_header("typ")
}

/// Answers like the API server: only with the pod's token, and with a `jwks_uri` that nobody can reach.
fn api_server(own: String) -> HttpsServer {
    HttpsServer::start(false, move |head| {
        if !head.to_lowercase().contains(&format!("authorization: bearer {own}\r\n").to_lowercase()) {
            return (403, String::new());
        }
        match head.split(' ').nth(1) {
            Some("/openid/v1/jwks") => (200, key_set(&[keys::rsa().jwk()])),
            Some("/.well-known/openid-configuration") => (
                200,
                json!({"issuer": ISSUER, "jwks_uri": "https://192.0.2.1:6443/openid/v1/jwks"}).to_string(),
            ),
            _ => (404, String::new()),
        }
    })
}

#[test]
fn the_files_of_the_page_work() {
    let pod = TempDir::new().expect("a directory");
    let own = token("metagate", ISSUER).encode();
    let server = api_server(own.clone());
    for (name, text) in [("token", &own), ("ca.crt", &server.authority)] {
        std::fs::write(pod.path().join(name), text).expect("a file");
    }
    // The files of a pod are at a place that only a container has.
    let here = pod.path().display();
    let files = format!("kubernetes: {{tokenFile: {here}/token, caFile: {here}/ca.crt}}");
    let page = named(PAGE, "metagate.yaml");
    assert!(page.contains("kubernetes: {}"), "{page}");
    let config = page.replace("kubernetes: {}", &files);
    let upstream = Upstream::echo();
    let setup = |setup: Setup| {
        setup
            .config(config.clone())
            .env("METAGATE_UPSTREAM__URL", upstream.url())
            .env("KUBERNETES_SERVICE_HOST", server.address.ip().to_string())
            .env("KUBERNETES_SERVICE_PORT", server.address.port().to_string())
            .env("HTTPS_PROXY", "http://192.0.2.1:1")
    };
    let gateway = setup(Setup::run()).start();
    gateway.wait_ready();
    assert!(
        server.heads().iter().all(|head| head.starts_with("GET /openid/v1/jwks ")),
        "{:?}",
        server.heads()
    );

    // The audience that the job asks for is the one that is accepted, and its account the one that may write.
    let job = named(PAGE, "job.yaml");
    assert!(job.contains("audience: metagate\n") && job.contains("serviceAccountName: ingestion\n"));
    assert_eq!(gateway.get_as(&token("ingestion", "metagate"), "/api/v1/tables").status, 200);
    assert_eq!(gateway.get_as(&token("other", "metagate"), "/api/v1/tables").status, 200);
    // Only the account of the job may write.
    for (account, expected) in [("ingestion", 200), ("other", 403)] {
        let path = format!("/api/v1/tables/by/{account}");
        let own = bearer(&token(account, "metagate"));
        let response = send(gateway.proxy, "POST", &path, &[("Authorization", &own)], b"{}");
        assert_eq!(response.status, expected, "{account}");
    }
    let for_server = gateway.get_as(&token("ingestion", ISSUER), "/api/v1/tables");
    assert_eq!(for_server.status, 401);
    gateway.assert_no_token_in_output();
    assert!(!gateway.stderr().concat().contains(&own), "the pod's token is in the log");
}

#[test]
fn only_the_named_account_writes() {
    let page = named(PAGE, "metagate.yaml");
    let job = named(PAGE, "job.yaml");
    let account = "system:serviceaccount:metadata:ingestion";
    assert!(page.contains(account), "{page}");
    assert!(
        job.contains("namespace: metadata\n") && job.contains("serviceAccountName: ingestion\n"),
        "{job}"
    );
    let binding = &blocks(PAGE, "yaml")[0];
    assert!(binding.contains("name: system:service-account-issuer-discovery"), "{binding}");
}
