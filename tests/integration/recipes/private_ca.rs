//! `docs/recipes/private-ca.md`, with an identity provider whose certificate a private authority signed.

use std::sync::{Arc, Mutex};

use serde_json::json;
use tempfile::TempDir;

use super::{blocks, named};
use crate::support::gateway::Setup;
use crate::support::https::HttpsServer;
use crate::support::keys::{self, key_set};
use crate::support::token::Token;
use crate::support::upstream::Upstream;

const PAGE: &str = "private-ca.md";
const ISSUER: &str = "https://idp.corp.example/realms/corp";
const FILE: &str = "/etc/metagate/corp-ca.pem";

/// An identity provider, and its issuer.
fn provider(asks: bool) -> (HttpsServer, String) {
    let base = Arc::new(Mutex::new(String::new()));
    let own = base.clone();
    let server = HttpsServer::start(asks, move |head| {
        let base = own.lock().expect("a URL");
        match head.split(' ').nth(1) {
            Some("/realms/corp/.well-known/openid-configuration") => {
                (200, json!({"issuer": *base, "jwks_uri": format!("{base}/certs")}).to_string())
            }
            Some("/realms/corp/certs") => (200, key_set(&[keys::rsa().jwk()])),
            _ => (404, String::new()),
        }
    });
    let issuer = server.url("/realms/corp");
    base.lock().expect("a URL").clone_from(&issuer);
    (server, issuer)
}

#[test]
fn the_file_of_the_page_works() {
    let (provider, issuer) = provider(false);
    let directory = TempDir::new().expect("a directory");
    let authority = directory.path().join("corp-ca.pem");
    std::fs::write(&authority, &provider.authority).expect("a file");
    let page = named(PAGE, "metagate.yaml");
    assert!(page.contains(ISSUER) && page.matches(FILE).count() == 2, "{page}");
    let config = page.replace(ISSUER, &issuer).replace(FILE, &authority.display().to_string());
    let upstream = Upstream::echo();
    let gateway = Setup::run().config(config.clone()).env("METAGATE_UPSTREAM__URL", upstream.url()).start();
    gateway.wait_ready();
    let token = Token::user().issuer(&issuer).claim("aud", json!("openmetadata"));
    assert_eq!(gateway.get_as(&token, "/x").status, 200);

    // Without the file, the message is the one at the beginning of the page.
    let without = config.replace(&format!("  caFile: {}\n  issuers", authority.display()), "  issuers");
    assert_ne!(without, config);
    let finished =
        Setup::command(&["keys"]).config(without).env("METAGATE_UPSTREAM__URL", upstream.url()).finish();
    let message = blocks(PAGE, "text").remove(0);
    assert!(finished.stdout.contains(message.trim()), "{} {}", finished.stdout, finished.stderr);
}

#[test]
fn a_client_certificate_is_presented_to_the_server_of_the_keys() {
    let (provider, issuer) = provider(true);
    let directory = TempDir::new().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let (chain, key) = (file("tls.crt", &provider.client.0), file("tls.key", &provider.client.1));
    let authority = file("ca.pem", &provider.authority);
    let run = |certificate: &str| {
        let config = format!(
            "authentication: {{issuers: [{{name: corp, issuer: '{issuer}', audiences: [a], caFile: '{authority}'{certificate}}}]}}"
        );
        Setup::command(&["keys"]).config(config).env("METAGATE_UPSTREAM__URL", "http://192.0.2.1:1").finish()
    };
    let finished = run(&format!(", clientCertFile: '{chain}', clientKeyFile: '{key}'"));
    assert_eq!(finished.code, Some(0), "{} {}", finished.stdout, finished.stderr);
    assert_eq!(run("").code, Some(1), "the server asks for one");
}
