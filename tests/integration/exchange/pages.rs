//! The configurations of `docs/exchange.md`, as they are written there.

use std::fs;

use serde_json::json;

use super::gms::Gms;
use super::openmetadata::OpenMetadata;
use super::{directory, write_key};
use crate::support::gateway::{Gateway, Setup};
use crate::support::https::HttpsServer;
use crate::support::issuer::Issuer;
use crate::support::keys::{DATAHUB_SECRET, key_set, other_rsa, rsa, spare_rsa, third_rsa};
use crate::support::token::{Token, now};

/// The file of this name on the page.
fn file(name: &str) -> String {
    let page =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/exchange.md")).expect("the page");
    let mark = format!("<!-- file: {name} -->\n```yaml\n");
    let (_, rest) = page.split_once(&mark).unwrap_or_else(|| panic!("no {name}"));
    rest.split_once("```").expect("an end of the block").0.to_owned()
}

/// Replaces a text, which must occur.
fn replaced(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "{old} is not in the file");
    text.replace(old, new)
}

#[track_caller]
fn status(gateway: &Gateway, token: &Token, path: &str) -> (u16, String) {
    let response = gateway.get_as(token, path);
    (response.status, response.text())
}

#[test]
fn kubernetes_and_openmetadata() {
    const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
    let token = |account: &str, audience: &str| {
        Token::of(json!({
            "iss": ISSUER, "aud": [audience], "sub": format!("system:serviceaccount:metadata:{account}"),
            "iat": now(), "nbf": now(), "exp": now() + 3600,
            "kubernetes.io": {"namespace": "metadata", "serviceaccount": {"name": account, "uid": "1"}}
        }))
    };
    let (pod, backend, issuer) = (directory(), OpenMetadata::start(), Issuer::empty());
    let own = token("metagate", ISSUER).encode();
    let server = HttpsServer::start(false, |head| match head.split(' ').nth(1) {
        Some("/openid/v1/jwks") => (200, key_set(&[rsa().jwk()])),
        _ => (404, String::new()),
    });
    for (name, text) in [("token", &own), ("ca.crt", &server.authority)] {
        fs::write(pod.path().join(name), text).expect("a file");
    }
    write_key(&pod.path().join("1.pem"), third_rsa());
    issuer.publish("/api/v1/system/config/jwks", &[spare_rsa().jwk_openmetadata()]);
    let here = pod.path().display();
    let config = file("kubernetes/metagate.yaml");
    let config = replaced(
        &config,
        "kubernetes: {}",
        &format!("kubernetes: {{tokenFile: {here}/token, caFile: {here}/ca.crt}}"),
    );
    let config = replaced(&config, "/etc/metagate/mint", &here.to_string());
    let keys = issuer.url("/api/v1/system/config/jwks");
    let config = replaced(&config, "http://127.0.0.1:8585/api/v1/system/config/jwks", &keys);
    let gateway = Setup::run()
        .config(config)
        .env("METAGATE_UPSTREAM__URL", backend.upstream.url())
        .env("KUBERNETES_SERVICE_HOST", server.address.ip().to_string())
        .env("KUBERNETES_SERVICE_PORT", server.address.port().to_string())
        .start();
    gateway.wait_ready();
    backend.change(|database| database.key_urls = vec![gateway.health]);
    let tables = "/api/v1/tables";
    let (code, body) = status(&gateway, &token("ingestion", "metagate"), tables);
    assert_eq!((code, body.contains("\"name\":\"ingestion-bot\"")), (200, true), "{body}");
    assert_eq!(status(&gateway, &token("other", "metagate"), tables).0, 403);
    assert_eq!(status(&gateway, &token("ingestion", ISSUER), tables).0, 401);
    let (code, body) = status(&gateway, &Token::user().signed("RS256", spare_rsa()), tables);
    assert_eq!((code, body.contains("\"name\":\"ada\"")), (200, true), "{body}");
}

#[test]
fn github_actions_client_credentials_and_datahub() {
    let (files, gms, issuer) = (directory(), Gms::start(), Issuer::empty());
    let key = files.path().join("datahub-signing-key");
    fs::write(&key, DATAHUB_SECRET).expect("a key");
    issuer.publish("/github", &[rsa().jwk()]);
    issuer.publish("/okta", &[other_rsa().jwk()]);
    let config = file("datahub/metagate.yaml");
    let config = replaced(&config, "/run/secrets/datahub-signing-key", key.to_str().expect("a path"));
    let (github, okta) =
        ("https://token.actions.githubusercontent.com", "https://acme.okta.com/oauth2/default");
    // Without its keys, an entry discovers them from its issuer, which is not reached here.
    let with_keys = |config: &str, iss: &str, path: &str| {
        let line = format!("issuer: {iss}\n");
        replaced(config, &line, &format!("{line}      publicKeyUrls: ['{}']\n", issuer.url(path)))
    };
    let config = with_keys(&with_keys(&config, github, "/github"), okta, "/okta");
    let gateway = Setup::run().config(config).env("METAGATE_UPSTREAM__URL", gms.upstream.url()).start();
    gateway.wait_ready();
    let run = Token::of(json!({
        "iss": github, "aud": "metagate.example", "sub": "repo:acme@123/docs@456789:ref:refs/heads/main",
        "repository": "acme/docs", "repository_id": "456789", "repository_owner_id": "123", "ref": "refs/heads/main",
        "event_name": "push", "iat": now(), "exp": now() + 300
    }));
    let client = Token::of(json!({
        "iss": okta, "aud": "metagate.example", "sub": "0oa1airflow", "cid": "0oa1airflow",
        "scp": ["metadata"], "iat": now(), "exp": now() + 3600
    }))
    .signed("RS256", other_rsa());
    let path = "/openapi/v3/entity/dataset";
    for (token, user) in [
        (&run, "service_6f0c1c55-0b6e-4c7e-a7a5-0d8f5c1b2a3e"),
        (&client, "service_a1b2c3d4-5e6f-4708-8190-a2b3c4d5e6f7"),
    ] {
        let (code, body) = status(&gateway, token, path);
        assert_eq!((code, body.contains(user)), (200, true), "{body}");
    }
    let fork = run.clone().claim("repository_id", json!("999")).claim("ref", json!("refs/heads/main"));
    assert_eq!(status(&gateway, &fork, path).0, 403);
    assert_eq!(status(&gateway, &run.clone().claim("ref", json!("refs/pull/7/merge")), path).0, 403);
    assert_eq!(status(&gateway, &run.claim("aud", json!("https://github.com/acme")), path).0, 401);
    // A person of the same issuer: forwarded, and GMS refuses a token that it did not sign.
    let person = client.claim("sub", json!("ada")).claim("cid", json!("0oa2web")).claim("uid", json!("00u1"));
    assert_eq!(status(&gateway, &person, path).0, 401);
    let head = gms.upstream.request_to(path).head;
    assert_eq!(head.value("x-forwarded-user"), Some("ada"));
}
